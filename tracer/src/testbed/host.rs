//! A simulated host: a thread in a network namespace of its own.
//!
//! The namespace is anonymous. Nothing but the thread, and sockets opened in it, keeps it alive, so
//! it ends with the process, whatever ends that: there is nothing to clean up.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    sync::mpsc::{self, Sender},
    thread::{Builder, JoinHandle},
};

use anyhow::{Context as _, anyhow};
use nix::{
    errno::Errno,
    sched::{CloneFlags, unshare},
};

use crate::host::snmp;
use crate::testbed::link;

type Job = Box<dyn FnOnce() + Send>;

/// A thread in its own network namespace, with `lo` up.
///
/// The thread's name is the host's: it is what the kernel calls the task that acts for this host.
#[derive(Debug)]
pub struct Host {
    name: &'static str,
    netns: u32,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Makes a host; `name` has at most 15 bytes, as a kernel thread name.
    ///
    /// # Errors
    /// The kernel refuses a new namespace, or its loopback device cannot be used.
    pub fn new(name: &'static str) -> anyhow::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (ready, started) = mpsc::channel();
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let netns = enter_new_netns();
                let usable = netns.is_ok();
                if ready.send(netns).is_ok() && usable {
                    queue.into_iter().for_each(|job| job());
                }
            })
            .context("cannot start a thread for a host")?;
        let mut host = Self { name, netns: 0, jobs: Some(jobs), thread: Some(thread) };
        host.netns = started.recv().map_err(|_| host.gone())??;
        Ok(host)
    }

    /// What the host plays; also its thread's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Inode of the namespace, as in `/proc/PID/ns/net`.
    pub fn netns(&self) -> u32 {
        self.netns
    }

    /// Runs `job` on the host's thread, so in its namespace, and waits for the result.
    ///
    /// # Errors
    /// What `job` returns, or that the host's thread has died.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let (done, result) = mpsc::channel();
        let job: Job = Box::new(move || {
            // Nobody is left to take the result only if the caller's thread has died.
            drop(done.send(job()));
        });
        let jobs = self.jobs.as_ref().ok_or_else(|| self.gone())?;
        jobs.send(job).map_err(|_| self.gone())?;
        result.recv().map_err(|_| self.gone())?.with_context(|| format!("host {}", self.name))
    }

    /// `tcpOutRsts` (RFC 4022) from the namespace's `/proc/net/snmp`: the segments with RST that its TCP,
    /// over both address families, has sent, those included that a firewall dropped afterwards.
    ///
    /// # Errors
    /// The file is missing or not as expected.
    pub fn out_rsts(&self) -> anyhow::Result<u64> {
        self.run(|| {
            // Not /proc/net: that is the namespace of the process's main thread.
            const PATH: &str = "/proc/thread-self/net/snmp";
            let snmp = fs::read_to_string(PATH).with_context(|| format!("cannot read {PATH}"))?;
            snmp::counter(&snmp, "Tcp", "OutRsts").with_context(|| format!("{PATH} has no OutRsts of TCP"))
        })
    }

    fn gone(&self) -> anyhow::Error {
        anyhow!("the thread of host {} has ended early", self.name)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic in a job has already failed the `run` that sent it.
            drop(thread.join());
        }
    }
}

/// Moves the calling thread to a new network namespace and returns its inode.
fn enter_new_netns() -> anyhow::Result<u32> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
        Errno::EPERM => anyhow!("a private network namespace needs CAP_SYS_ADMIN: run as root"),
        Errno::EINVAL => anyhow!("this kernel has no network namespaces (CONFIG_NET_NS)"),
        Errno::ENOSPC => anyhow!("too many network namespaces: raise the sysctl user.max_net_namespaces"),
        other => anyhow!("cannot make a network namespace: {other}"),
    })?;
    link::bring_up(link::LOOPBACK)?;
    let inode = fs::metadata("/proc/thread-self/ns/net").context("cannot identify the network namespace")?.ino();
    u32::try_from(inode).context("the inode of a network namespace is out of range")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs root"]
    fn hosts_are_apart_and_named() {
        let one = Host::new("one").unwrap();
        let two = Host::new("two").unwrap();
        assert_ne!(one.netns(), two.netns());
        let name = one.run(|| Ok(std::thread::current().name().map(str::to_owned))).unwrap();
        assert_eq!(name.as_deref(), Some("one"));
        assert_eq!(two.out_rsts().unwrap(), 0);
    }

    #[test]
    #[ignore = "needs root"]
    fn a_failing_job_leaves_the_host_usable() {
        let host = Host::new("host").unwrap();
        let failed = host.run(|| -> anyhow::Result<()> { Err(anyhow!("refused")) }).unwrap_err();
        assert_eq!(format!("{failed:#}"), "host host: refused");
        assert_eq!(host.run(|| Ok(7)).unwrap(), 7);
    }
}
