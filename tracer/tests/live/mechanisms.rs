//! A trace by every mechanism, of what the demo does not show.
//!
//! Apart from the demos by every mechanism, and behind them in the alphabet: it needs what they say, and a test that
//! waits for another leaves a processor idle.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::OnceLock,
};

use serde_json::Value;

use crate::{
    columns::{ProbeFamily, blind, columns, essence},
    report::{Trace, abort, of_kind},
    unsent::Unanswered,
};

/// What one column reported of an abort, a refused connect, and segments that are not answered.
pub(crate) struct Run {
    pub(crate) column: &'static str,
    /// The ends of who aborted and of its peer.
    aborted: (SocketAddr, SocketAddr),
    closed: SocketAddr,
    pub(crate) unanswered: Vec<Unanswered>,
    pub(crate) objects: Vec<Value>,
}

/// A run by each column; one serves all tests.
pub(crate) fn runs() -> &'static [Run] {
    static RUNS: OnceLock<Vec<Run>> = OnceLock::new();
    let run = |column: &ProbeFamily| {
        let mut trace = Trace::start(&["--probes", column.name]);
        let aborted = abort();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(TcpStream::connect(closed).is_err());
        let unanswered = Unanswered::in_both_families(&mut trace);
        trace.wait("the RST of a refusal", |event| {
            event["event"] == "rst" && event["direction"] == "received" && event["remote"] == closed.to_string()
        });
        Run { column: column.name, aborted, closed, unanswered, objects: trace.stop() }
    };
    RUNS.get_or_init(|| columns().iter().map(run).collect())
}

#[test]
#[ignore = "needs root"]
fn an_abort_and_a_refusal_are_the_same_by_all_mechanisms() {
    let without = blind();
    // By role: the ports differ from run to run.
    let roles = |run: &Run| {
        let rsts = of_kind(&run.objects, "rst");
        let (first, second) = run.aborted;
        [(first, Some(second)), (second, Some(first)), (run.closed, None)].map(|(local, remote)| {
            // Both ends: another test may get one of the ports as soon as it is free.
            let is_one = |rst: &&&Value| {
                rst["local"] == local.to_string() && remote.is_none_or(|remote| rst["remote"] == remote.to_string())
            };
            let rsts = rsts.iter().filter(is_one).map(|rst| (*rst).clone()).collect::<Vec<_>>();
            essence(&rsts, &without).into_values().flatten().collect::<Vec<_>>()
        })
    };
    let first = roles(&runs()[0]);
    for run in runs() {
        let this = roles(run);
        assert_eq!(this.each_ref().map(Vec::len), [1, 1, 1], "{}: each RST once", run.column);
        assert_eq!(this, first, "{}", run.column);
    }
}
