//! Inside of the child: namespace, threads, clock.

use std::{
    fs,
    io::{self, BufRead as _, Write as _},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, unshare};

use super::{
    Workload,
    churn::{Churn, Close, Refused},
    end_with_parent,
    traffic::{Bulk, Exchange},
};
use crate::loopback;

/// What one thread does.
pub(super) trait Worker: Send {
    /// Does it once.
    fn operate(&mut self) -> io::Result<()>;
}

pub(super) fn run(workload: Workload, threads: usize) -> Result<ExitCode> {
    end_with_parent().context("cannot end with the parent")?;
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    loopback::bring_up().context("cannot bring the loopback device up")?;
    // Ports that are free are found at once.
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", "1024 65535").context("cannot widen the range of ports")?;
    let mut workers = (0..threads).map(|_| worker(workload)).collect::<io::Result<Vec<_>>>()?;
    println!("ready");
    for line in io::stdin().lock().lines() {
        let time = Duration::from_millis(line?.trim().parse().context("that is no time")?);
        let began = Instant::now();
        let operations = all_until(&mut workers, began + time)?;
        println!("{operations} {}", began.elapsed().as_nanos());
        io::stdout().flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn worker(workload: Workload) -> io::Result<Box<dyn Worker>> {
    Ok(match workload {
        Workload::ChurnRst => Box::new(Churn::new(Close::Rst)?),
        Workload::ChurnFin => Box::new(Churn::new(Close::Fin)?),
        Workload::Refused => Box::new(Refused::new()?),
        Workload::Bulk => Box::new(Bulk::new()?),
        Workload::Exchange => Box::new(Exchange::new()?),
    })
}

/// Lets all work until then; how often they did it, together.
fn all_until(workers: &mut [Box<dyn Worker>], end: Instant) -> Result<u64> {
    let until = |worker: &mut Box<dyn Worker>| -> io::Result<u64> {
        let mut operations = 0;
        while Instant::now() < end {
            worker.operate()?;
            operations += 1;
        }
        Ok(operations)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = workers.iter_mut().map(|worker| scope.spawn(|| until(worker))).collect();
        let counts = threads.into_iter().map(|thread| {
            let count = thread.join().map_err(|_| anyhow!("a thread of the load has panicked"))?;
            count.context("the load has failed")
        });
        counts.sum()
    })
}
