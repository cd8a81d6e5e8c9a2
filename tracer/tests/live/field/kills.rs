//! Processes that end while they have connections.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

use tracer::demo::host::Host;

use super::{End, Happened, Situation};
use crate::peer::Peer;

pub(super) const ALL: &[Situation] =
    &[Situation { name: "a worker closes while its parent lives", perform: worker_closes }];

/// The control of those below: the process that closed is named, and not the one that listened.
fn worker_closes() -> anyhow::Result<Happened> {
    let host = Host::new("worker-closes")?;
    let (mut client, worker, pid, ends) = host.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        let mut worker = Peer::inheriting("worker", &server);
        worker.ask(&format!("take {}", std::os::fd::AsRawFd::as_raw_fd(&server)));
        drop(server);
        (&client).write_all(b"GET")?;
        let (pid, ends) = (worker.pid(), (client.local_addr()?, client.peer_addr()?));
        worker.ask("close 1");
        Ok((client, (worker, listener), pid, ends))
    })?;
    let reset = client.read(&mut [0]);
    anyhow::ensure!(reset.is_err(), "the connection is reset");
    let (near, far): (SocketAddr, SocketAddr) = ends;
    Ok(Happened {
        netns: vec![host.netns()],
        alive: vec![Box::new(client), Box::new(worker), Box::new(host)],
        ends: vec![
            End::sent("close_unread").local(far).by("worker", pid).times(1),
            End::received("close_unread").local(near).by("worker", pid).times(1),
            End::closed("rst_sent").local(far).field("opened", "passive").times(1),
            End::closed("rst_received").local(near).field("opened", "active").times(1),
        ],
    })
}
