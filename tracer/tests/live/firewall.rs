//! The RST of a packet filter: no part of TCP makes it, and its reporter needs a kprobe.

use std::net::{TcpListener, TcpStream};

use serde_json::Value;
use tracer::testbed::{filter, host::Host};

use crate::report::{Trace, is_observed, of_kind};

#[test]
#[ignore = "needs root"]
fn a_rejected_connect_is_reported_as_the_filters_doing() {
    if !is_observed(&Trace::shared().start, "rst_firewall") {
        return;
    }
    for loopback in ["127.0.0.1", "::1"] {
        let mut trace = Trace::shared();
        let host = Host::new("rejecter").unwrap();
        let listener = host
            .run(move || {
                filter::reject_incoming()?;
                // There is a listener; the filter keeps the segment from it.
                let listener = TcpListener::bind((loopback, 0))?.local_addr()?;
                assert!(TcpStream::connect(listener).is_err());
                Ok(listener)
            })
            .unwrap();
        // Inodes of namespaces are used again: a port tells better whose RST it is.
        let is_about = |event: &Value, end: &str| event["event"] == "rst" && event[end] == listener.to_string();
        trace.wait("the client's end", |event| is_about(event, "remote") && event["direction"] == "received");
        let objects = trace.so_far();
        let rsts = of_kind(objects, "rst");
        let sent: Vec<_> =
            rsts.into_iter().filter(|rst| is_about(rst, "local") && rst["direction"] == "sent").collect();
        assert_eq!(sent.len(), 1, "{loopback}: {sent:#?}");
        assert_eq!(sent[0]["kind"], "firewall");
        assert_eq!(sent[0]["netns"], host.netns());
        assert!(sent[0]["trigger"]["flags"].as_str().unwrap().starts_with("SYN"), "{:#}", sent[0]);
        assert_eq!(sent[0]["socket"], false);
    }
}
