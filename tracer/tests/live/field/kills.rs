//! Processes that end while they have connections: that is their own doing, whatever they were at when it came.

use std::{
    ffi::CStr,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
};

use nix::sys::{
    signal::Signal,
    socket::{setsockopt, sockopt},
};
use socket2::{Domain, Socket, Type};
use tracer::{
    event::TcpState,
    testbed::{host::Host, tcp},
};

use super::{
    End, Happened, Situation,
    memory::MemoryGroup,
    worker::{Inside, Worker},
};
use crate::{peer::Peer, report, wait::until};

pub(super) const ALL: &[Situation] = &[
    Situation { name: "a worker closes while its parent lives", perform: worker_closes },
    Situation { name: "a worker is killed while it computes", perform: killed_while_it_computes },
    Situation { name: "a worker is killed while it waits", perform: killed_while_it_waits },
    Situation { name: "a process with threads is killed", perform: killed_with_threads },
    Situation {
        name: "a process is killed with nothing unread, and data follows",
        perform: killed_with_nothing_unread,
    },
    Situation { name: "a worker faults", perform: faults },
    Situation { name: "the OOM killer ends a worker", perform: runs_out_of_memory },
    Situation { name: "a worker starts another program", perform: starts_a_program },
    Situation { name: "a worker closes the listener that it inherited, and a SYN comes", perform: inherited_listener },
    Situation { name: "several processes have listened, and a SYN comes", perform: several_listened },
    Situation { name: "a worker reads, and its parent lives", perform: worker_reads },
    Situation { name: "a worker is killed with connections in its queue", perform: killed_with_a_queue },
    Situation { name: "a worker exits with connections in its queue", perform: exits_with_a_queue },
];

/// What the kernel calls this process.
fn own_name() -> anyhow::Result<String> {
    Ok(std::fs::read_to_string("/proc/self/comm")?.trim_end().to_owned())
}

/// The control of those below: the process that closed is named, and not the one that listened.
fn worker_closes() -> anyhow::Result<Happened> {
    let host = Host::new("worker-closes")?;
    let (client, alive, ends) = host.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        let mut worker = Peer::inheriting("worker", &server);
        worker.ask(&format!("take {}", server.as_raw_fd()));
        client.write_all(b"GET")?;
        server.peek(&mut [0])?;
        drop(server);
        let (near, far) = (client.local_addr()?, client.peer_addr()?);
        worker.ask("close 1");
        let ends = vec![
            End::sent("close_unread").local(far).by("worker", worker.pid()).times(1),
            End::received("close_unread").local(near).by("worker", worker.pid()).times(1),
            End::closed("rst_sent").local(far).field("opened", "passive").times(1),
            End::closed("rst_received").local(near).field("opened", "active").times(1),
        ];
        Ok((client, (worker, listener), ends))
    })?;
    reset(&client)?;
    Ok(Happened { netns: vec![host.netns()], alive: vec![Box::new(client), Box::new(alive), Box::new(host)], ends })
}

/// The connection is reset by now.
fn reset(mut client: &TcpStream) -> anyhow::Result<()> {
    anyhow::ensure!(client.read(&mut [0]).is_err(), "the connection is reset");
    Ok(())
}

/// A worker that its parent forked accepts a connection, and acts with its request unread; then it ends, as `end` has
/// it. `how`: what is to be told of that.
fn with_a_request(
    name: &'static CStr,
    act: fn(&Inside),
    end: impl FnOnce(Worker) -> anyhow::Result<()> + Send + 'static,
    how: &str,
) -> anyhow::Result<Happened> {
    let host = Host::new("parent")?;
    let (client, listener, pid, (near, far)) = host.run(move || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let descriptor = listener.as_raw_fd();
        let mut worker = Worker::fork(name, |inside| {
            let server = inside.accept(descriptor);
            inside.close(descriptor);
            inside.peek(server);
            inside.is_ready();
            act(inside);
        })?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let (pid, ends) = (worker.pid(), (client.local_addr()?, client.peer_addr()?));
        client.write_all(b"GET")?;
        worker.wait_ready()?;
        end(worker)?;
        Ok((client, listener, pid, ends))
    })?;
    reset(&client)?;
    let comm = name.to_str()?;
    let ends = vec![
        End::sent("process_killed").local(far).by(comm, pid).says(how).says("with 3 bytes unread").times(1),
        End::received("process_killed").local(near).by(comm, pid).says(how).times(1),
        End::closed("rst_sent").local(far).times(1),
    ];
    Ok(Happened { netns: vec![host.netns()], alive: vec![Box::new((client, listener)), Box::new(host)], ends })
}

/// By SIGKILL, from this process.
fn kill(worker: Worker) -> anyhow::Result<()> {
    worker.end(Signal::SIGKILL).map(drop)
}

fn killed_by_us() -> anyhow::Result<String> {
    Ok(format!("was killed by signal 9 from {}[{}]", own_name()?, std::process::id()))
}

fn killed_while_it_computes() -> anyhow::Result<Happened> {
    with_a_request(c"computes", |inside| inside.compute(), kill, &killed_by_us()?)
}

fn killed_while_it_waits() -> anyhow::Result<Happened> {
    with_a_request(c"waits", |inside| inside.sleep(), kill, &killed_by_us()?)
}

/// The last one that had it, and not the one that listened, has the port's RSTs.
fn inherited_listener() -> anyhow::Result<Happened> {
    let host = Host::new("inherited")?;
    let (pid, place) = host.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let place = listener.local_addr()?;
        let mut heir = Peer::inheriting("heir", &listener);
        heir.ask(&format!("take {}", listener.as_raw_fd()));
        drop(listener);
        heir.ask("close 1");
        anyhow::ensure!(TcpStream::connect(place).is_err(), "the SYN is refused");
        Ok((heir.pid(), place))
    })?;
    Ok(Happened {
        netns: vec![host.netns()],
        alive: vec![Box::new(host)],
        ends: vec![
            End::sent("closed_port").local(place).owner("heir", pid).times(1),
            End::received("closed_port").remote(place).times(1),
        ],
    })
}

/// Its twin: it is of none of them.
fn several_listened() -> anyhow::Result<Happened> {
    let host = Host::new("several")?;
    let place = host.run(|| {
        let bound = |place: SocketAddr| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_reuse_port(true)?;
            socket.bind(&place.into())?;
            Ok::<_, std::io::Error>(socket)
        };
        let one = bound("127.0.0.1:0".parse()?)?;
        one.listen(1)?;
        let place = one.local_addr()?.as_socket().expect("an IP socket");
        let other = bound(place)?;
        let descriptor = other.as_raw_fd();
        let mut worker = Worker::fork(c"other", |inside| {
            inside.listen(descriptor);
            inside.is_ready();
            inside.wait_for_go();
        })?;
        worker.wait_ready()?;
        drop(other);
        worker.go()?;
        worker.wait()?;
        drop(one);
        anyhow::ensure!(TcpStream::connect(place).is_err(), "the SYN is refused");
        Ok(place)
    })?;
    Ok(Happened {
        netns: vec![host.netns()],
        alive: vec![Box::new(host)],
        ends: vec![
            End::sent("closed_port").local(place).field("owner", serde_json::Value::Null).times(1),
            End::received("closed_port").remote(place).times(1),
        ],
    })
}

/// It closes with a FIN then, and the client's next request meets nobody.
fn killed_with_nothing_unread() -> anyhow::Result<Happened> {
    let host = Host::new("nothing-unread")?;
    let (client, pid, (near, far)) = host.run(|| {
        let (mut client, server) = report::connection();
        let mut worker = Peer::inheriting("quiet", &server);
        worker.ask(&format!("take {}", server.as_raw_fd()));
        client.write_all(b"GET")?;
        worker.ask("read 3");
        let (pid, ends) = (worker.pid(), (client.local_addr()?, server.local_addr()?));
        drop(server);
        worker.kill();
        anyhow::ensure!(client.read(&mut [0])? == 0, "it ends with a FIN");
        client.write_all(b"more")?;
        Ok((client, pid, ends))
    })?;
    let client = Socket::from(client);
    until("the RST", || Ok(tcp::state(&client)? == TcpState::CLOSE))?;
    let how = killed_by_us()?;
    let told = |end: End| end.by("quiet", pid).says(&how).says("4 more bytes arrived").times(1);
    let ends =
        vec![told(End::sent("data_after_close").local(far)), told(End::received("data_after_close").local(near))];
    Ok(Happened { netns: vec![host.netns()], alive: vec![Box::new(client), Box::new(host)], ends })
}

/// It is chance which of its threads closes what it had; it is named as a process is.
fn killed_with_threads() -> anyhow::Result<Happened> {
    let host = Host::new("threads")?;
    let (client, pid, (near, far)) = host.run(|| {
        let (mut client, server) = report::connection();
        let mut worker = Peer::inheriting("threaded", &server);
        worker.ask(&format!("take {}", server.as_raw_fd()));
        worker.ask("spin 3");
        client.write_all(b"GET")?;
        server.peek(&mut [0])?;
        let (pid, ends) = (worker.pid(), (client.local_addr()?, server.local_addr()?));
        drop(server);
        worker.kill();
        Ok((client, pid, ends))
    })?;
    reset(&client)?;
    let how = killed_by_us()?;
    let told = |end: End| end.by("threaded", pid).says(&how).times(1);
    let ends = vec![told(End::sent("process_killed").local(far)), told(End::received("process_killed").local(near))];
    Ok(Happened { netns: vec![host.netns()], alive: vec![Box::new(client), Box::new(host)], ends })
}

/// By an exception of its own: nobody sent that signal.
fn faults() -> anyhow::Result<Happened> {
    with_a_request(c"faults", Inside::fault, |worker| worker.wait().map(drop), "was killed by signal 11 with")
}

/// In a control group with little memory.
fn runs_out_of_memory() -> anyhow::Result<Happened> {
    let group = MemoryGroup::new(32 << 20)?;
    let mut happened = with_a_request(
        c"eats",
        |inside| {
            inside.wait_for_go();
            inside.eat();
        },
        move |mut worker| {
            group.take(worker.pid())?;
            worker.go()?;
            worker.wait().map(drop)
        },
        "was killed by the OOM killer",
    )?;
    for end in std::mem::take(&mut happened.ends) {
        happened.ends.push(end.never_says("signal"));
    }
    Ok(happened)
}

/// Its descriptors are closed by that: it is the same process, which has another name by then.
fn starts_a_program() -> anyhow::Result<Happened> {
    const PROGRAM: &CStr = c"/proc/self/exe";
    let mut happened = with_a_request(
        c"execs",
        |inside| {
            inside.close_on_exec();
            inside.exec(PROGRAM);
        },
        |worker| worker.wait().map(drop),
        "started",
    )?;
    let told = |end: End| end.instead_of("process_killed", "close_unread").never_says("killed");
    happened.ends = happened.ends.into_iter().map(told).collect();
    Ok(happened)
}

/// A client resets what a worker reads from: the worker has that connection, and not the parent who listens.
fn worker_reads() -> anyhow::Result<Happened> {
    let host = Host::new("parent")?;
    let (worker, pid, (near, far)) = host.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let descriptor = listener.as_raw_fd();
        let mut worker = Worker::fork(c"reads", |inside| {
            let server = inside.accept(descriptor);
            inside.read(server);
            inside.is_ready();
            inside.sleep();
        })?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let ends = (client.local_addr()?, client.peer_addr()?);
        client.write_all(b"GET")?;
        worker.wait_ready()?;
        setsockopt(&client, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
        let pid = worker.pid();
        Ok(((worker, listener), pid, ends))
    })?;
    let owner = |end: End| end.owner("reads", pid).times(1);
    let ends = vec![End::sent("linger_zero").local(near).times(1), owner(End::received("linger_zero").local(far))];
    Ok(Happened { netns: vec![host.netns()], alive: vec![Box::new(worker), Box::new(host)], ends })
}

/// A worker that listens itself ends, with two connections that it has not accepted.
fn with_a_queue(
    name: &'static CStr,
    act: fn(&Inside),
    end: fn(Worker) -> anyhow::Result<()>,
    how: &str,
) -> anyhow::Result<Happened> {
    let host = Host::new("parent")?;
    let (client, pid, far) = host.run(move || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, descriptor) = (listener.local_addr()?, listener.as_raw_fd());
        let mut worker = Worker::fork(name, |inside| {
            inside.listen(descriptor);
            inside.is_ready();
            inside.wait_for_go();
            act(inside);
        })?;
        worker.wait_ready()?;
        // The worker's alone.
        drop(listener);
        let client = TcpStream::connect(address)?;
        let another = TcpStream::connect(address)?;
        let pid = worker.pid();
        worker.go()?;
        end(worker)?;
        reset(&another)?;
        Ok((client, pid, address))
    })?;
    reset(&client)?;
    let comm = name.to_str()?;
    let told = |end: End| end.by(comm, pid).says(how).says("2 connections, this one among them, waited");
    let ends = vec![
        told(End::sent("listener_closed").local(far)).times(2),
        told(End::received("listener_closed").remote(far)).times(2),
    ];
    Ok(Happened { netns: vec![host.netns()], alive: vec![Box::new(client), Box::new(host)], ends })
}

fn killed_with_a_queue() -> anyhow::Result<Happened> {
    with_a_queue(c"queue-killed", |inside| inside.sleep(), kill, &killed_by_us()?)
}

fn exits_with_a_queue() -> anyhow::Result<Happened> {
    with_a_queue(c"queue-exits", |_| (), |worker| worker.wait().map(drop), "exited with status 0")
}
