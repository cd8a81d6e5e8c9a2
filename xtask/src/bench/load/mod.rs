//! The load, made by a child process in a network namespace of its own: both end together.
//!
//! Each measurement has a new one, so that none pays for what another left behind: a connection that was
//! closed in order stays in the tables for a minute, in TIME_WAIT.

mod churn;
mod driver;
mod order;
mod traffic;

use std::{
    env,
    io::{BufRead as _, BufReader, Lines, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::sys::{prctl, signal::Signal};

pub(super) use self::order::{Done, Order};

/// What is done over and over again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    ChurnRst,
    ChurnFin,
    Refused,
    Bulk,
    Exchange,
}

impl Workload {
    pub(super) const ALL: [Self; 5] = [Self::ChurnRst, Self::ChurnFin, Self::Refused, Self::Bulk, Self::Exchange];

    /// State changes of sockets in each operation, both ends together.
    pub(super) fn changes(self) -> u64 {
        match self {
            // To SYN_SENT, ESTABLISHED and CLOSE; to SYN_RECV, ESTABLISHED and CLOSE.
            Self::ChurnRst => 6,
            // To SYN_SENT, ESTABLISHED, FIN_WAIT1, FIN_WAIT2 and CLOSE; to SYN_RECV, ESTABLISHED, CLOSE_WAIT,
            // LAST_ACK and CLOSE.
            Self::ChurnFin => 10,
            // To SYN_SENT and CLOSE.
            Self::Refused => 2,
            Self::Bulk | Self::Exchange => 0,
        }
    }

    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ChurnRst => "churn-rst",
            Self::ChurnFin => "churn-fin",
            Self::Refused => "refused",
            Self::Bulk => "bulk",
            Self::Exchange => "exchange",
        }
    }

    /// What it does.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::ChurnRst => "connect, accept, abort at the client's end",
            Self::ChurnFin => "connect, accept, close at both ends",
            Self::Refused => "connect to a port without a listener",
            Self::Bulk => "send 64 KiB over an open connection",
            Self::Exchange => "send 64 bytes over an open connection, and 64 bytes back",
        }
    }

    pub(super) fn named(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| "there is no such workload".to_owned())
    }
}

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

/// Ends this process with its parent, whatever ends that.
pub(super) fn end_with_parent() -> nix::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_go_by_their_names() {
        for workload in Workload::ALL {
            assert_eq!(Workload::named(workload.name()), Ok(workload));
        }
        assert!(Workload::named("nothing").is_err());
    }
}
