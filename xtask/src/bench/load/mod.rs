//! The load, made by a child process in a network namespace of its own: both end together.
//!
//! Each measurement has a new one, so that none pays for what another left behind: a connection that was
//! closed in order stays in the tables for a minute, in TIME_WAIT.

mod churn;
mod driver;
mod order;
mod traffic;
mod worker;
mod workload;

use std::{
    env,
    io::{BufRead as _, BufReader, Lines, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};

pub(super) use self::{
    order::{Done, Order},
    workload::Workload,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(value_parser = Workload::named)]
    workload: Workload,
    /// Threads that make it, each with sockets of its own
    threads: usize,
}

/// The child's part: an order comes, an answer goes.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    driver::run(args.workload, args.threads)
}

/// The child, seen from outside.
pub(super) struct Load {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Load {
    /// Starts it; it does nothing yet.
    pub(super) fn start(workload: Workload, threads: usize) -> Result<Self> {
        let program = env::current_exe().context("cannot tell where this binary is")?;
        let mut child = Command::new(program)
            .args(["bench-load", workload.name(), &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the load")?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both are pipes");
        };
        let mut load = Self { child, orders, answers: BufReader::new(answers).lines() };
        load.answer()?;
        Ok(load)
    }

    /// Lets it work for so long.
    pub(super) fn run(&mut self, time: Duration) -> Result<Done> {
        self.order(Order::For(time))
    }

    /// Lets it do what an order says.
    pub(super) fn order(&mut self, order: Order) -> Result<Done> {
        writeln!(self.orders, "{}", order.to_line()).context("the load has ended")?;
        let answer = self.answer()?;
        Done::parse(&answer).with_context(|| format!("the load says: {answer}"))
    }

    fn answer(&mut self) -> Result<String> {
        self.answers.next().context("the load has ended")?.context("cannot hear the load")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It has nothing to clean up: its sockets and its namespace are gone with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
