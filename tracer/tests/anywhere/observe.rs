//! Several traces of one workload: what a filter lets pass, compared with what a trace without it saw.

use std::{
    cell::Cell,
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use serde_json::Value;

use crate::report::Trace;

/// All kinds that need no more than a socket's own life.
const EVENTS: &str = "state,rst,open,close";
const KINDS: [&str; 7] = ["state", "rst", "stray_rst", "open", "close", "lookup", "raw_send"];

/// A filter, and what it must let pass, said in other words.
pub(crate) struct Case {
    args: Vec<String>,
    selects: Box<dyn Fn(&Value) -> bool + Sync>,
    nothing: bool,
}

impl Case {
    pub(crate) fn new(args: &str, selects: impl Fn(&Value) -> bool + Sync + 'static) -> Self {
        let args = args.split(' ').map(str::to_owned).collect();
        Self { args, selects: Box::new(selects), nothing: false }
    }

    /// A filter that nothing in the workload passes.
    pub(crate) fn nothing(args: &str) -> Self {
        Self { nothing: true, ..Self::new(args, |_| false) }
    }

    fn start(&self, netns: &str) -> Trace {
        let mut args = vec!["--netns", netns];
        if !self.args.iter().any(|arg| arg == "-e") {
            args.extend(["-e", EVENTS]);
        }
        args.extend(self.args.iter().map(String::as_str));
        Trace::start(&args)
    }
}

/// Traces the workload in a namespace once for each case. It must close so many connected sockets; all is
/// over then.
pub(crate) fn observe(netns: u32, closes: usize, cases: &[Case], workload: impl FnOnce()) {
    // Each has megabytes of maps, and a small machine may be all that there is.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);

    let netns = netns.to_string();
    let traces: Vec<_> = std::thread::scope(|scope| {
        let starting: Vec<_> = cases.iter().map(|case| scope.spawn(|| case.start(&netns))).collect();
        starting.into_iter().map(|trace| trace.join().unwrap()).collect()
    });
    // The last to attach is the last to see an event: what it has told, the others have.
    let mut whole = Trace::start(&["--netns", &netns, "-e", EVENTS]);
    workload();
    wait_closed(&mut whole, closes);
    let all = whole.stop();
    for (case, trace) in cases.iter().zip(traces) {
        check(case, &all, &trace.stop());
    }
}

/// Waits until so many sockets that had, or tried, a connection are closed.
pub(crate) fn wait_closed(trace: &mut Trace, closes: usize) {
    let left = Cell::new(closes);
    trace.wait("all closing events", |object| {
        if object["event"] == "close" {
            left.set(left.get() - 1);
        }
        left.get() == 0
    });
}

fn check(case: &Case, all: &[Value], shown: &[Value]) {
    let args = case.args.join(" ");
    let wanted = keys(all.iter().filter(|event| (case.selects)(event)));
    let whole = keys(all);
    assert_eq!(wanted.is_empty(), case.nothing, "{args}: the workload is not as it should be: {whole:#?}");
    assert!(wanted.len() < whole.len(), "{args}: nothing is outside");
    assert_eq!(keys(shown), wanted, "{args}");

    // What it excludes took no room in the ring buffer.
    let summary = shown.last().unwrap();
    for kind in KINDS {
        let count = shown.iter().filter(|event| event["event"] == kind).count();
        assert_eq!(summary["submitted"][kind], count, "{args}: {kind}");
        assert_eq!(summary["lost"]["ring_buffer"][kind], 0, "{args}: {kind}");
    }
    if args.contains("--opens") {
        // How a connection opens shows too late for its process to be told only then; but each is told once.
        assert!(summary["submitted"]["process"].as_u64() <= Some(owners(all) as u64), "{args}");
    } else {
        assert_eq!(summary["submitted"]["process"], owners(shown), "{args}: processes were announced");
    }
}

/// How many processes own something.
fn owners(events: &[Value]) -> usize {
    let pids = events.iter().filter_map(|event| event["owner"]["pid"].as_u64());
    pids.collect::<HashSet<_>>().len()
}

/// What tells an event from others, whoever reports it and when.
fn keys<'a>(events: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    const FIELDS: [&str; 8] = ["event", "netns", "local", "remote", "old", "new", "direction", "opened"];
    let mut keys: Vec<_> = events
        .into_iter()
        .filter(|event| event["local"].is_string())
        .map(|event| {
            let fields = FIELDS.map(|field| event[field].to_string()).join(" ");
            format!("{fields} {}", event["owner"]["pid"])
        })
        .collect();
    // Those of two processors may come in either order.
    keys.sort_unstable();
    keys
}
