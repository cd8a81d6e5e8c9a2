//! What is not known for want of privileges is said.

use std::{collections::BTreeSet, os::unix::process::CommandExt as _};

use caps::{CapSet, Capability};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use tracer::confine::capabilities::losses;

use crate::report::{objects, tracer};

/// What a run says that it does not know, with all capabilities but some.
fn unknown_without(dropped: &[Capability]) -> Vec<String> {
    let mut command = tracer();
    command.args(["trace", "-j", "-e", "rst", "-d", "0.1"]);
    let dropped: Vec<_> = dropped.to_vec();
    // SAFETY: between fork and exec it makes system calls only.
    unsafe {
        command.pre_exec(move || {
            // Before 5.11 maps count against it, and it can only be raised with a capability.
            let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
            dropped.iter().try_for_each(|&capability| {
                caps::drop(None, CapSet::Bounding, capability)
                    .and_then(|()| caps::drop(None, CapSet::Inheritable, capability))
                    .map_err(std::io::Error::other)
            })
        });
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let start = objects(&output.stdout).remove(0);
    let said = start["degraded"].as_array().unwrap().iter().map(|sentence| sentence.as_str().unwrap().to_owned());
    said.filter(|sentence| sentence.starts_with("without ")).collect()
}

#[test]
#[ignore = "needs root"]
fn each_capability_that_is_missing_is_named_with_what_it_costs() {
    assert_eq!(unknown_without(&[]), Vec::<String>::new());
    for (capability, what) in losses() {
        assert_eq!(unknown_without(&[capability]), [format!("without {capability}: {what}")]);
    }
}

#[test]
#[ignore = "needs root"]
fn the_two_that_it_needs_are_enough_to_run_and_the_rest_is_said() {
    let needed = [Capability::CAP_BPF, Capability::CAP_PERFMON];
    let others: Vec<_> = caps::all().into_iter().filter(|capability| !needed.contains(capability)).collect();
    let said: BTreeSet<_> = unknown_without(&others).into_iter().collect();
    let all: BTreeSet<_> = losses().map(|(capability, what)| format!("without {capability}: {what}")).collect();
    assert_eq!(said, all);
}
