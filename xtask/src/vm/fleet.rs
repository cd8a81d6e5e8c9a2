//! The live tests on several kernels, two machines at a time.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Result, anyhow};

use super::{Emulator, External, Kernel, Options, Payload, fetch_all, qemu};
use crate::{test::Counts, workspace::Workspace};

/// More would only wait for each other: a machine has two processors.
const AT_A_TIME: usize = 2;

/// Runs the live tests on each of the kernels.
pub(crate) fn test(
    workspace: &Workspace,
    names: &[String],
    external: &External,
    options: &Options,
    args: &[String],
) -> Result<Counts> {
    let mut kernels = fetch_all(workspace, names, false)?;
    kernels.extend(external.kernel()?);
    let emulator = Emulator::provide(workspace)?;
    let payload = Payload::of_tests(workspace)?;

    let commands = payload.test_commands(args);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut counts = Counts::default();
        while let Some(kernel) = kernels.get(next.fetch_add(1, Ordering::Relaxed)) {
            counts += test_one(&emulator, kernel, &payload, options, &commands);
        }
        counts
    };
    thread::scope(|scope| {
        let workers = [(); AT_A_TIME].map(|()| scope.spawn(work));
        let mut total = Counts::default();
        for worker in workers {
            total += worker.join().map_err(|_| anyhow!("a machine's thread panicked"))?;
        }
        Ok(total)
    })
}

/// Tests on one kernel. A machine that fails as a whole counts as one test that failed.
fn test_one(
    emulator: &Emulator,
    kernel: &Kernel,
    payload: &Payload,
    options: &Options,
    commands: &[Vec<String>],
) -> Counts {
    let start = Instant::now();
    let name = &kernel.name;
    let boot = |counts: &mut Counts| {
        *counts = Counts::default();
        let initramfs = payload.pack(kernel, commands.to_vec())?;
        qemu::boot(emulator, kernel, &initramfs, options, &mut |line| {
            println!("{name:<5}| {line}");
            *counts += Counts::of_line(line).unwrap_or_default();
        })
    };
    let mut counts = Counts::default();
    let mut result = boot(&mut counts);
    if let Err(error) = &result
        && error.is::<qemu::EmulationFailed>()
    {
        println!("{name:<5}| {error}: once more");
        result = boot(&mut counts);
    }
    let problem = match result {
        Ok(0) if counts.passed == 0 => Some("no test ran".to_owned()),
        Ok(0) => None,
        Ok(status) if counts.failed == 0 => Some(format!("the tests ended with status {status}")),
        Ok(_) => None,
        Err(error) => Some(format!("{error:#}")),
    };
    if let Some(problem) = problem {
        println!("{name:<5}| {problem}");
        counts.failed += 1;
    }
    let (Counts { passed, failed }, seconds) = (counts, start.elapsed().as_secs_f64());
    println!("{name:<5}| {passed} passed, {failed} failed in {seconds:.1} s");
    counts
}
