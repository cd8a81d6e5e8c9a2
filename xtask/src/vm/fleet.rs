//! The live tests on several kernels, two machines at a time.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Result, anyhow};

use super::{ALL, CI, Emulator, External, Kernel, Options, Payload, fetch_all, qemu};
use crate::{arch::Arch, setup, test::Counts, workspace::Workspace};

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
    let all = names.iter().any(|name| name == ALL || name == CI);
    let equipment = equip(workspace, &mut kernels, all)?;

    let next = AtomicUsize::new(0);
    let work = || {
        let mut counts = Counts::default();
        while let Some(kernel) = kernels.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(equipment) = equipment.iter().find(|it| it.arch == kernel.arch) {
                let left_out = if all { kernel.left_out } else { &[] };
                for name in left_out {
                    println!("{:<10}| left out here, and played on others: {name}", kernel.name);
                }
                counts += test_one(equipment, kernel, options, &equipment.payload.test_commands(args, left_out));
            }
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

/// What machines of one processor need.
struct Equipment {
    arch: Arch,
    emulator: Emulator,
    payload: Payload,
}

impl Equipment {
    fn provide(workspace: &Workspace, arch: Arch) -> Result<Self> {
        let (emulator, payload) = (Emulator::provide(workspace, arch)?, Payload::of_tests(workspace, arch)?);
        Ok(Self { arch, emulator, payload })
    }
}

/// Provides what these kernels' processors need. `all`: nobody has asked for them by name, so that those of another
/// processor may be left out, and a word be said, where what builds for it cannot be had.
fn equip(workspace: &Workspace, kernels: &mut Vec<Kernel>, all: bool) -> Result<Vec<Equipment>> {
    let mut equipment = Vec::new();
    for arch in Arch::ALL {
        if !kernels.iter().any(|kernel| kernel.arch == arch) {
            continue;
        }
        if all
            && arch != Arch::host()?
            && let Err(error) = setup::cross(workspace, arch)
        {
            kernels.retain(|kernel| kernel.arch != arch);
            println!("NOT TESTED: the kernels for {}, since nothing builds for it here: {error:#}", arch.kernel());
            continue;
        }
        equipment.push(Equipment::provide(workspace, arch)?);
    }
    Ok(equipment)
}

/// Tests on one kernel. A machine that fails as a whole counts as one test that failed.
fn test_one(equipment: &Equipment, kernel: &Kernel, options: &Options, commands: &[Vec<String>]) -> Counts {
    let Equipment { emulator, payload, .. } = equipment;
    let start = Instant::now();
    let name = &kernel.name;
    let boot = |counts: &mut Counts| {
        *counts = Counts::default();
        let initramfs = payload.pack(kernel, commands.to_vec())?;
        qemu::boot(emulator, kernel, &initramfs, options, &mut |line| {
            println!("{name:<10}| {line}");
            *counts += Counts::of_line(line).unwrap_or_default();
        })
    };
    let mut counts = Counts::default();
    let mut result = boot(&mut counts);
    if let Err(error) = &result
        && error.is::<qemu::EmulationFailed>()
    {
        println!("{name:<10}| {error}: once more");
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
        println!("{name:<10}| {problem}");
        counts.failed += 1;
    }
    let (Counts { passed, failed }, seconds) = (counts, start.elapsed().as_secs_f64());
    println!("{name:<10}| {passed} passed, {failed} failed in {seconds:.1} s");
    counts
}
