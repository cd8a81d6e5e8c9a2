//! Whose a socket is: of two processes that talk to each other, each end belongs to its own.

use std::{
    io::{Read as _, Write as _, pipe},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tracer::testbed::host::Host;

use crate::{
    peer::Peer,
    report::{Trace, connection, is_observed},
};

const ROOT: u32 = 0;
const NOBODY: u32 = 65534;
const LOOPBACK: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

#[track_caller]
fn assert_owned(event: &Value, peer: &Peer, uid: u32, known: &str) {
    let owner = &event["owner"];
    assert_eq!(owner["pid"], peer.pid(), "{event:#}");
    assert_eq!(owner["comm"], peer.name(), "{event:#}");
    assert_eq!(owner["uid"], uid, "{event:#}");
    assert_eq!(owner["known"], known, "{event:#}");
    let cmdline = owner["cmdline"].as_str().unwrap_or_default();
    assert_eq!(cmdline.split(' ').next(), Some(peer.name()), "{event:#}");
}

fn state(local: &str, remote: &str, new: &str) -> impl Fn(&Value) -> bool {
    let [local, remote, new] = [local, remote, new].map(str::to_owned);
    move |event| {
        event["event"] == "state" && event["new"] == *new && event["local"] == local && event["remote"] == remote
    }
}

#[test]
#[ignore = "needs root"]
fn each_end_belongs_to_its_process() {
    let host = Host::new("owners").unwrap();
    let start = |name| host.run(move || Ok(Peer::start(name))).unwrap();
    let pairs = LOOPBACK.map(|address| {
        let (server, mut client) = (start("the-server"), start("the-client"));
        client.ask(&format!("become {NOBODY}"));
        (address, server, client)
    });
    let mut trace = Trace::start(&["--netns", &host.netns().to_string(), "-e", "state,rst,open,close"]);
    // Without a hook on accept() it is the listener's until the process works on it.
    let accepted = if trace.start["probes"]["accept"] == "raw_tp" { "listener" } else { "call" };
    let connections = pairs.map(|(address, mut server, mut client)| {
        let listener = server.ask(&format!("listen {address}"));
        let end = client.ask(&format!("connect {listener}"));
        assert_eq!(server.ask("accept"), end);
        client.ask("close 1");
        trace.wait("the client's FIN", state(&listener, &end, "CLOSE_WAIT"));
        server.ask("close 1");
        trace.wait("the server's end", state(&listener, &end, "CLOSE"));
        (listener, end, server, client)
    });
    let objects = trace.stop();

    let nobodys = objects.iter().filter(|object| object["netns"] == host.netns() && object["owner"].is_null());
    assert_eq!(nobodys.count(), 0, "{objects:#?}");
    let owned: Vec<_> = objects.iter().filter(|object| !object["owner"].is_null()).collect();
    for (listener, end, server, client) in &connections {
        let servers: Vec<_> = owned.iter().filter(|event| event["local"] == **listener).collect();
        // It has no port yet when it begins.
        let is_clients = |event: &&&&Value| event["local"] == **end || event["remote"] == **listener;
        let clients: Vec<_> = owned.iter().filter(|event| is_clients(&event)).collect();
        clients.iter().for_each(|event| assert_owned(event, client, NOBODY, "call"));
        // SYN_SENT, ESTABLISHED and that it opened, FIN_WAIT1, FIN_WAIT2, CLOSE and what closed it.
        assert_eq!(clients.len(), 7, "{clients:#?}");
        for event in &servers {
            let by_then = match (event["event"].as_str().unwrap(), event["new"].as_str().unwrap_or_default()) {
                ("open", _) | ("state", "SYN_RECV" | "ESTABLISHED") => "listener",
                ("state", "CLOSE_WAIT") => accepted,
                _ => "call",
            };
            assert_owned(event, server, ROOT, by_then);
        }
        // LISTEN, SYN_RECV, ESTABLISHED and that it opened, CLOSE_WAIT, LAST_ACK, CLOSE and what closed it.
        assert_eq!(servers.len(), 8, "{servers:#?}");
    }
}

#[test]
#[ignore = "needs root"]
fn an_inherited_connection_changes_hands_when_the_heir_works_on_it() {
    let host = Host::new("the-parent").unwrap();
    let mut trace = Trace::shared();
    let (client, server) = host.run(|| Ok(connection())).unwrap();
    let [local, remote] = [&client, &server].map(|end| end.local_addr().unwrap().to_string());
    let mut heir = Peer::inheriting("the-heir", &client);
    heir.ask(&format!("take {}", client.as_raw_fd()));
    // It is still open: the heir has it.
    drop(client);
    heir.ask("close 1");
    let opened = trace.wait("the connection", state(&local, &remote, "ESTABLISHED"));
    let closing = trace.wait("its FIN", state(&local, &remote, "FIN_WAIT1"));
    let passive = trace.wait("its arrival", state(&remote, &local, "CLOSE_WAIT"));
    drop(trace);
    for event in [&opened, &passive] {
        assert_eq!(event["owner"]["pid"], std::process::id(), "{event:#}");
        assert_eq!(event["owner"]["comm"], "the-parent", "{event:#}");
    }
    assert_owned(&closing, &heir, ROOT, "call");
}

/// As where another thread starts a program just when the owner closes.
#[test]
#[ignore = "needs root"]
fn a_child_that_execs_takes_no_socket_over() {
    let host = Host::new("the-parent").unwrap();
    let mut trace = Trace::start(&["--netns", &host.netns().to_string(), "-e", "state"]);
    let (client, server) = host.run(|| Ok(connection())).unwrap();
    let [local, remote] = [&client, &server].map(|end| end.local_addr().unwrap().to_string());
    let (mut forked, tell) = pipe().unwrap();
    let (wait, mut go) = pipe().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.arg("--list").stdout(Stdio::null());
    // SAFETY: it makes two system calls. Until it execs it has a copy of each descriptor, of the connection, too.
    unsafe {
        child.pre_exec(move || {
            (&tell).write_all(&[0])?;
            (&wait).read_exact(&mut [0])
        });
    }
    // It returns when the child has exec'd.
    let ran = thread::spawn(move || child.status());
    forked.read_exact(&mut [0]).unwrap();
    drop(client);
    go.write_all(&[0]).unwrap();
    let closing = trace.wait("its FIN", state(&local, &remote, "FIN_WAIT1"));
    assert_eq!(closing["owner"]["pid"], std::process::id(), "{closing:#}");
    assert_ne!(closing["task"]["pid"], std::process::id(), "this was no test: {closing:#}");
    assert!(ran.join().unwrap().unwrap().success());
    drop(server);
}

/// To look at a descriptor takes a reference to its file for a moment. If the owner closes it just then, who looks is the
/// last one to have it, and closes it (`fput` in fs/file_table.c).
#[test]
#[ignore = "needs root"]
fn who_looks_at_descriptors_takes_no_socket_over() {
    const AT_ONCE: usize = 200;
    const LONGEST: Duration = Duration::from_secs(30);
    let host = Host::new("looked-at").unwrap();
    let start = |name| host.run(move || Ok(Peer::start(name))).unwrap();
    let [mut server, mut client, mut looker] = ["the-server", "the-client", "the-looker"].map(start);
    let mut trace = Trace::start(&["--netns", &host.netns().to_string(), "-e", "state"]);
    let listener = server.ask("listen 127.0.0.1:0");
    looker.ask(&format!("look {}", server.pid()));
    let is_closed_by_looker = |event: &Value| {
        event["event"] == "state" && event["context"] == "process" && event["task"]["pid"] == looker.pid()
    };
    let begin = Instant::now();
    while !trace.seen.iter().any(is_closed_by_looker) && begin.elapsed() < LONGEST {
        trace.seen.clear();
        server.tell(&format!("serve {AT_ONCE}"));
        client.ask(&format!("burst {AT_ONCE} {listener}"));
        server.answer();
        // What came before is reported before the end of a last connection.
        let end = client.ask(&format!("connect {listener}"));
        assert_eq!(server.ask("accept"), end);
        for peer in [&mut client, &mut server] {
            peer.ask("close 1");
        }
        trace.wait("the last end", state(&listener, &end, "CLOSE"));
    }
    let by_looker: Vec<_> = trace.seen.iter().filter(|event| is_closed_by_looker(event)).cloned().collect();
    println!("closed by who looked: {}, after {:?}", by_looker.len(), begin.elapsed());
    by_looker.iter().for_each(|event| assert_eq!(event["owner"]["pid"], server.pid(), "{event:#}"));
}

/// A server and a client with two connections.
struct Older {
    server: Peer,
    client: Peer,
    listener: String,
    ends: [String; 2],
}

#[test]
#[ignore = "needs root"]
fn older_sockets_belong_to_who_holds_them() {
    let elsewhere = Host::new("elsewhere").unwrap();
    let pairs = LOOPBACK.into_iter().flat_map(|address| {
        let here = ["old-server", "old-client"].map(Peer::start);
        let there = ["old-server", "old-client"].map(|name| elsewhere.run(move || Ok(Peer::start(name))).unwrap());
        [here, there].map(|[server, client]| connect(address, server, client))
    });
    let pairs: Vec<_> = pairs.collect();
    let port = |older: &Older| older.listener.rsplit_once(':').unwrap().1.to_owned();
    let mut trace = Trace::start(&["-P", &pairs.iter().map(port).collect::<Vec<_>>().join(",")]);
    if is_observed(&trace.start, "existing") {
        pairs.into_iter().for_each(|older| follow_older(&mut trace, older));
    }
    trace.stop();
}

fn connect(address: &str, mut server: Peer, mut client: Peer) -> Older {
    let listener = server.ask(&format!("listen {address}"));
    let ends = [(); 2].map(|()| {
        let end = client.ask(&format!("connect {listener}"));
        assert_eq!(server.ask("accept"), end);
        end
    });
    Older { server, client, listener, ends }
}

fn follow_older(trace: &mut Trace, Older { mut server, mut client, listener, ends }: Older) {
    // The first is closed by the client, the second by the server: each has one end that only waits.
    client.ask("close 1");
    let passive = trace.wait("the client's FIN", state(&listener, &ends[0], "CLOSE_WAIT"));
    assert_owned(&passive, &server, ROOT, "held");
    let active = trace.wait("the client's close", state(&ends[0], &listener, "FIN_WAIT1"));
    assert_owned(&active, &client, ROOT, "call");
    server.ask("close 2");
    let passive = trace.wait("the server's FIN", state(&ends[1], &listener, "CLOSE_WAIT"));
    assert_owned(&passive, &client, ROOT, "held");
    let end = client.ask(&format!("connect {listener}"));
    let new = trace.wait("a connection to the old listener", state(&listener, &end, "ESTABLISHED"));
    assert_owned(&new, &server, ROOT, "listener");
    assert_eq!(new["opened"], "passive", "{new:#}");
}
