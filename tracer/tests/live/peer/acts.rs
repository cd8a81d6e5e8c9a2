//! The peer's side: orders from standard input, answers to standard error.

use std::{
    ffi::CString,
    io::Read as _,
    net::{TcpListener, TcpStream},
    os::fd::{FromRawFd as _, OwnedFd},
    thread,
};

use nix::{
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
    },
    unistd::{Uid, setuid},
};

use super::ANSWER;

/// Threads that connect at the same time in a burst.
const CONNECTORS: usize = 4;

/// What the peer has open.
#[derive(Default)]
struct Sockets {
    listeners: Vec<TcpListener>,
    /// Oldest first.
    streams: Vec<TcpStream>,
    /// The far ends of connections to itself.
    far: Vec<TcpStream>,
}

/// Obeys until there are no more orders, then ends the process.
pub(super) fn obey(name: &str) -> ! {
    prctl::set_name(&CString::new(name).expect("a name")).expect("it is short");
    // The first thread's, which the test harness keeps to itself, is the name of the process.
    std::fs::write("/proc/self/comm", name).expect("a process may rename itself");
    let mut sockets = Sockets::default();
    for order in std::io::stdin().lines() {
        let order = order.expect("orders are readable");
        let words: Vec<&str> = order.split(' ').collect();
        let answer = sockets.act(&words);
        eprintln!("{ANSWER}{answer}");
    }
    std::process::exit(0)
}

impl Sockets {
    fn act(&mut self, words: &[&str]) -> String {
        match *words {
            // Listens, and says where.
            ["listen", address] => {
                let listener = TcpListener::bind(address).expect("it listens");
                let address = listener.local_addr().unwrap().to_string();
                self.listeners.push(listener);
                return address;
            }
            // Connects, and says from where.
            ["connect", address] => {
                let stream = TcpStream::connect(address).expect("it connects");
                let address = stream.local_addr().unwrap().to_string();
                self.streams.push(stream);
                return address;
            }
            // Accepts a connection, and says from where it came.
            ["accept"] => {
                let (stream, remote) = self.listeners.last().expect("a listener").accept().expect("it accepts");
                self.streams.push(stream);
                return remote.to_string();
            }
            // Closes that many of the oldest connections.
            ["close", count] => drop(self.streams.drain(..number(count))),
            // Takes over a connection that it inherited.
            ["take", descriptor] => {
                // SAFETY: the test made this process with that descriptor, and says so once.
                let inherited = unsafe { OwnedFd::from_raw_fd(number(descriptor) as i32) };
                self.streams.push(inherited.into());
            }
            // Reads that many bytes from the last connection.
            ["read", count] => {
                let stream = self.streams.last_mut().expect("a connection");
                stream.read_exact(&mut vec![0; number(count)]).expect("it reads");
            }
            // Runs as this user from now on.
            ["become", user] => setuid(Uid::from_raw(number(user) as u32)).expect("root may"),
            // Connects to itself so often, and keeps both ends.
            ["hold", count] => self.hold(number(count)),
            // Connects that often and closes at once.
            ["burst", count, address] => burst(number(count), address),
            // Accepts that many connections and closes each after its peer.
            ["serve", count] => self.serve(number(count)),
            // Looks at a process's descriptors from now on, as lsof and `ss -p` do.
            ["look", process] => {
                let descriptors = format!("/proc/{process}/fd");
                thread::spawn(move || {
                    while let Ok(entries) = std::fs::read_dir(&descriptors) {
                        entries.flatten().for_each(|entry| drop(std::fs::read_link(entry.path())));
                    }
                });
            }
            // Keeps this many processors busy.
            ["spin", count] => {
                for _ in 0..number(count) {
                    // Its name is not the process's.
                    let spinner = thread::Builder::new().name("spinner".to_owned());
                    let spin = || {
                        loop {
                            std::hint::spin_loop();
                        }
                    };
                    spinner.spawn(spin).expect("there is room for a thread");
                }
            }
            _ => panic!("there is no such order: {words:?}"),
        }
        String::new()
    }

    fn hold(&mut self, count: usize) {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit");
        let needed = most.max(2 * count as u64 + 100);
        setrlimit(Resource::RLIMIT_NOFILE, needed, needed).expect("root may");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for _ in 0..count {
            self.streams.push(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
            self.far.push(listener.accept().unwrap().0);
        }
    }

    fn serve(&self, count: usize) {
        for _ in 0..count {
            let (mut stream, _) = self.listeners.last().expect("a listener").accept().expect("it accepts");
            assert_eq!(stream.read(&mut [0]).expect("the peer closes"), 0);
        }
    }
}

fn burst(count: usize, address: &str) {
    thread::scope(|scope| {
        for _ in 0..CONNECTORS {
            scope.spawn(|| {
                for _ in 0..count / CONNECTORS {
                    drop(TcpStream::connect(address).expect("it connects"));
                }
            });
        }
    });
}

fn number(word: &str) -> usize {
    word.parse().expect("a number")
}
