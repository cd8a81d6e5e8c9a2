//! libbpf-tools' `tcpstates` sees the same state changes as we do.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::socket::{setsockopt, sockopt},
    unistd::Pid,
};
use serde_json::Value;
use tracer::testbed::{host::Host, link, tcp};

use crate::{
    alone,
    report::{Trace, of_kind},
    witness::{Line, Witness, mark},
};

/// Nobody else has them: the other tool does not tell namespaces apart.
const ADDRESSES: [&str; 2] = ["10.115.66.1", "2001:db8:66::1"];
/// Connections of each kind and family.
const ROUNDS: u16 = 20;
/// What else goes on may be too much for the other tool.
const ATTEMPTS: usize = 5;
const TIMEOUT: Duration = Duration::from_secs(10);

/// The changes of each socket, by its ends.
type Lives = BTreeMap<(SocketAddr, SocketAddr), Vec<String>>;

#[test]
#[ignore = "needs root"]
fn another_tool_sees_the_same_changes_in_the_same_order() {
    let _alone = alone();
    let host = Host::new("agreed").unwrap();
    let addresses = ADDRESSES.map(|address| address.parse::<IpAddr>().unwrap());
    host.run(move || {
        link::add_address(link::LOOPBACK, addresses[0], 24)?;
        link::add_address(link::LOOPBACK, addresses[1], 64)?;
        // The other tool has a buffer for each processor and reads one after the other: only what happens
        // on one of them comes in order. Loopback's segments stay on it.
        let mut one = CpuSet::new();
        one.set(0)?;
        Ok(sched_setaffinity(Pid::from_raw(0), &one)?)
    })
    .unwrap();
    // A port of its own for each, since those of the last one wait (TIME_WAIT).
    for first in (10_000..).step_by(1000).take(ATTEMPTS) {
        let Some(witness) = Witness::start() else { return };
        let trace = Trace::start(&["-e", "state", "--netns", &host.netns().to_string()]);
        for address in addresses {
            host.run(move || (0..ROUNDS).try_for_each(|round| converse(address, first + 10 * round))).unwrap();
        }
        let ours = trace.stop();
        let theirs = witness.finish(|| {
            host.run(|| {
                mark();
                Ok(())
            })
            .unwrap();
        });
        let theirs = lives_of_sockets(&theirs.lines, &addresses).filter(|_| !theirs.is_incomplete);
        if agree(&lives_of(&ours), theirs.as_ref()) {
            return;
        }
    }
    panic!("the other tool lost events {ATTEMPTS} times");
}

/// Whether the other tool saw the same; `None` and false: it lost something. It does not always say so: the kernel does
/// not run its program for what interrupts it.
fn agree(ours: &Lives, theirs: Option<&Lives>) -> bool {
    // A listener and its child, and the two or one of each conversation, see `converse`.
    assert_eq!(ours.len(), usize::from(ROUNDS) * ADDRESSES.len() * 9, "{ours:#?}");
    let Some(theirs) = theirs else { return false };
    for (ends, life) in theirs {
        let mut ours = ours.get(ends).expect("we have all sockets that it has").iter();
        assert!(life.iter().all(|change| ours.any(|our| our == change)), "{ends:?}: we have all that it has, in order");
    }
    ours == theirs
}

/// By every way to end: by either's FIN, by either's RST, refused, and with itself. Each connection's ports
/// are its own from the beginning, so that its ends are what it is known by.
fn converse(address: IpAddr, port: u16) -> anyhow::Result<()> {
    let end = |number| SocketAddr::new(address, port + number);
    let connect = |number, to| {
        let socket = tcp::bound(end(number), TIMEOUT)?;
        socket.connect(&SocketAddr::into(to)).map(|()| socket).map_err(anyhow::Error::from)
    };
    let listener = tcp::listening(end(0), TIMEOUT)?;
    let client = connect(1, end(0))?;
    let server = tcp::accept(&listener)?;
    drop(client);
    tcp::hear_end(&server)?;
    drop(server);

    let client = connect(2, end(0))?;
    drop(tcp::accept(&listener)?);
    tcp::hear_end(&client)?;
    drop(client);

    let client = connect(3, end(0))?;
    let server = tcp::accept(&listener)?;
    setsockopt(&client, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
    drop(client);
    assert!(tcp::hear_end(&server).is_err(), "it is reset");
    drop((server, listener));

    assert!(connect(4, end(9)).is_err(), "nobody listens there");
    drop(connect(5, end(5))?);
    Ok(())
}

fn lives_of(objects: &[Value]) -> Lives {
    let mut lives = Lives::new();
    for event in of_kind(objects, "state") {
        let end = |name: &str| event[name].as_str().unwrap().parse().unwrap();
        let change = format!("{} -> {}", event["old"].as_str().unwrap(), event["new"].as_str().unwrap());
        lives.entry((end("local"), end("remote"))).or_default().push(change);
    }
    lives
}

/// By the kernel's address of each socket, which may be another's later.
///
/// None if a socket's end, or its beginning, is missing.
fn lives_of_sockets(lines: &[Line], addresses: &[IpAddr]) -> Option<Lives> {
    let mut sockets: HashMap<u64, ((SocketAddr, SocketAddr), Vec<String>)> = HashMap::new();
    let mut lives = Lives::new();
    for line in lines.iter().filter(|line| addresses.contains(&line.local.ip())) {
        let ends = (line.local, line.remote);
        let (of, life) = sockets.entry(line.socket).or_insert_with(|| (ends, Vec::new()));
        if *of != ends {
            return None;
        }
        life.push(format!("{} -> {}", line.old, line.new));
        if line.new == "CLOSE" {
            let (ends, life) = sockets.remove(&line.socket).expect("it has just been there");
            if lives.insert(ends, life).is_some() {
                return None;
            }
        }
    }
    sockets.is_empty().then_some(lives)
}
