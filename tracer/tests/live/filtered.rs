//! The filters' code in the programs is verified only when there are filters: all of them at once. What each
//! of them does is the same on every kernel, see `anywhere/filters.rs`.

use std::os::unix::fs::MetadataExt as _;

use crate::report::{Trace, connection};

#[test]
#[ignore = "needs root"]
fn all_filters_at_once_let_pass_what_they_should() {
    let pid = std::process::id().to_string();
    let netns = std::fs::metadata("/proc/self/ns/net").unwrap().ino().to_string();
    // The name of the thread that makes the connection.
    let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
    let mut args = vec!["-e", "state,rst,open,close,raw", "-p", &pid, "-f", "-u", "root", "--comm", name.trim_end()];
    args.extend(["-P", "1-65535", "-L", "1-65535", "-D", "1-65535", "--addr", "127.0.0.0/8,::/0", "-4"]);
    args.extend(["--netns", &netns, "--opens", "active,passive,simultaneous,self"]);
    // A hierarchy that is not there cannot be filtered by.
    if std::fs::metadata("/sys/fs/cgroup/cgroup.procs").is_ok() {
        args.extend(["--cgroup", "/"]);
    }
    let mut trace = Trace::start(&args);
    let (client, server) = connection();
    let (local, remote) = (client.local_addr().unwrap().to_string(), server.local_addr().unwrap().to_string());
    drop((client, server));
    for (end, how) in [(local, "active"), (remote, "passive")] {
        let close = trace.wait("a close", |event| event["event"] == "close" && event["local"] == end);
        assert_eq!((&close["opened"], &close["owner"]["pid"]), (&how.into(), &std::process::id().into()), "{close:#}");
    }
    let seen = trace.stop();
    let submitted = &seen.last().unwrap()["submitted"];
    assert_eq!(submitted["raw_send"], 0, "{submitted}");
}
