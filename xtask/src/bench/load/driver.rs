//! Inside of the child: namespace, threads, clock.

use std::{
    fs,
    io::{self, BufRead as _, Write as _},
    process::ExitCode,
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, unshare};

use super::{
    churn::{Churn, Close, Refused},
    order::{Bystander, Done, Order},
    traffic::{Bulk, Exchange},
    worker::Worker,
    workload::Workload,
};
use crate::{bench::process, loopback, process::end_with_parent};

pub(super) fn run(workload: Workload, threads: usize) -> Result<ExitCode> {
    end_with_parent().context("cannot end with the parent")?;
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    loopback::bring_up().context("cannot bring the loopback device up")?;
    // Ports that are free are found at once.
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", "1024 65535").context("cannot widen the range of ports")?;
    let mut workers = (0..threads).map(|_| worker(workload)).collect::<io::Result<Vec<_>>>()?;
    println!("ready");
    for line in io::stdin().lock().lines() {
        let line = line?;
        let order = Order::parse(&line).with_context(|| format!("that is no order: {line}"))?;
        println!("{}", obey(&mut workers, order)?.to_line());
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

/// What a bystander computes is read right before and right after the work.
fn obey(workers: &mut [Box<dyn Worker>], order: Order) -> Result<Done> {
    let bystander = match order {
        Order::Times { bystander, .. } => bystander,
        Order::For(_) => None,
    };
    let look = || bystander.map(process::computed).transpose();
    let before = look()?;
    let began = Instant::now();
    let operations = match order {
        Order::For(time) => all(workers, |worker| until(worker, began + time))?,
        Order::Times { count, .. } => all(workers, |worker| times(worker, count))?,
    };
    let nanoseconds = u64::try_from(began.elapsed().as_nanos())?;
    let bystander = before.zip(look()?).map(|(before, after)| Bystander { before, after });
    Ok(Done { operations, nanoseconds, bystander })
}

fn until(worker: &mut dyn Worker, end: Instant) -> io::Result<u64> {
    let mut operations = 0;
    while Instant::now() < end {
        worker.operate()?;
        operations += 1;
    }
    Ok(operations)
}

fn times(worker: &mut dyn Worker, count: u64) -> io::Result<u64> {
    for _ in 0..count {
        worker.operate()?;
    }
    Ok(count)
}

/// Lets all work at once; how often they did it, together.
fn all(workers: &mut [Box<dyn Worker>], work: impl Fn(&mut dyn Worker) -> io::Result<u64> + Sync) -> Result<u64> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = workers.iter_mut().map(|worker| scope.spawn(move || work(worker.as_mut()))).collect();
        let counts = threads.into_iter().map(|thread| {
            let count = thread.join().map_err(|_| anyhow!("a thread of the load has panicked"))?;
            count.context("the load has failed")
        });
        counts.sum()
    })
}
