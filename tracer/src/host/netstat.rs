//! A socket's line as `netstat -tnp` prints it, from sock_diag and `/proc`.

use procfs::process::{FDTarget, Process};

use crate::{event::Family, host::sock_diag::TcpSocket};

/// The column heads of [`line()`].
pub const HEAD: &str =
    "Proto Recv-Q Send-Q Local Address           Foreign Address         State       PID/Program name";

/// The process that has a socket open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Process id.
    pub pid: i32,
    /// The process's name.
    pub name: String,
}

/// One line under [`HEAD`]; an unknown program is `-`.
pub fn line(socket: &TcpSocket, program: Option<&Program>) -> String {
    let proto = match family(socket) {
        Family::Ipv4 => "tcp",
        Family::Ipv6 => "tcp6",
    };
    let program = program.map_or_else(|| "-".to_owned(), |program| format!("{}/{}", program.pid, program.name));
    let TcpSocket { recv_queue, send_queue, state, .. } = socket;
    let (local, remote) = (socket.local.to_string(), socket.remote.to_string());
    format!("{proto:<5} {recv_queue:>6} {send_queue:>6} {local:<23} {remote:<23} {state:<11} {program}")
}

/// The process that has the socket of this inode open: this one if it has, else any other.
pub fn program(inode: u32) -> Option<Program> {
    let this = Process::myself().ok().into_iter();
    let all = procfs::process::all_processes().ok().into_iter().flatten().flatten();
    this.chain(all).find(|process| has_open(process, u64::from(inode))).and_then(|process| {
        let name = process.stat().ok()?.comm;
        Some(Program { pid: process.pid, name })
    })
}

fn has_open(process: &Process, inode: u64) -> bool {
    // A process that has ended meanwhile, or that may not be looked into, has nothing to show.
    let files = process.fd().ok().into_iter().flatten().flatten();
    files.into_iter().any(|file| matches!(file.target, FDTarget::Socket(socket) if socket == inode))
}

fn family(socket: &TcpSocket) -> Family {
    if socket.local.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TcpState;

    #[test]
    fn a_line_is_aligned_with_its_head() {
        let end = "10.115.20.30:1234".parse().unwrap();
        let socket = TcpSocket {
            state: TcpState::ESTABLISHED,
            local: end,
            remote: end,
            cookie: 1,
            inode: 2,
            recv_queue: 0,
            send_queue: 12,
        };
        let program = Program { pid: 4242, name: "tracer".into() };
        let line = line(&socket, Some(&program));
        assert_eq!(line, "tcp        0     12 10.115.20.30:1234       10.115.20.30:1234       ESTABLISHED 4242/tracer");
        for (column, text) in [("Local", "10."), ("State", "ESTABLISHED"), ("PID", "4242")] {
            assert_eq!(HEAD.find(column), line.find(text), "{column}");
        }
    }

    #[test]
    fn this_process_has_its_own_sockets_open() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let all = crate::host::sock_diag::list(Family::Ipv4).unwrap();
        let socket = all.iter().find(|socket| socket.local == address).unwrap();
        assert_eq!(program(socket.inode).unwrap().pid, std::process::id() as i32);
    }
}
