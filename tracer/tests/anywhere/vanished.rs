//! What a trace is about may go away meanwhile.

use std::process::{Command, Stdio};

use tracer::demo::host::Host;

use crate::{
    ends,
    observe::wait_closed,
    report::{Trace, objects, of_kind, run},
};

#[test]
#[ignore = "needs root"]
fn a_network_namespace_that_vanishes_is_no_failure() {
    let [first, second] = ["first", "second"].map(|name| Host::new(name).unwrap());
    let inodes = [&first, &second].map(Host::netns);
    let names = inodes.map(|inode| inode.to_string());
    let mut trace = Trace::start(&["--netns", &names[0], "--netns", &names[1], "-e", "state,close"]);
    let play = || {
        drop(ends::itself("127.0.0.1:1000".parse()?));
        Ok(())
    };
    first.run(play).unwrap();
    drop(first);
    // It goes on with what is left.
    second.run(play).unwrap();
    wait_closed(&mut trace, 2);
    let objects = trace.stop();
    let closed: Vec<_> = of_kind(&objects, "close").iter().map(|event| event["netns"].as_u64().unwrap()).collect();
    assert_eq!(closed, inodes.map(u64::from));
    assert_eq!(objects.last().unwrap()["event"], "summary");
}

#[test]
#[ignore = "needs root"]
fn a_process_that_has_ended_by_then_ends_the_trace_at_once() {
    // It has, but its id is still there until it is waited for.
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    std::io::Read::read_to_end(&mut output, &mut Vec::new()).unwrap();
    let pid = child.id().to_string();
    let stdout = run(&["trace", "-j", "-p", &pid, "-f"]).stdout;
    child.wait().unwrap();
    let kinds: Vec<_> = objects(&stdout).iter().map(|object| object["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["start", "summary"]);
}
