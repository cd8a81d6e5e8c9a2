//! A recording of a bit of everything, with what was shown live.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use tracer::testbed::host::Host;

use crate::{
    child::Player,
    ends::{exchange, itself, refused},
    observe::wait_closed,
    report::{Trace, tracer},
};

const EVENTS: &str = "state,rst,open,close";
const CLOSES: usize = 14;

/// Two traces of the same, one in each format.
pub(crate) struct Recorded {
    directory: TempDir,
    pub(crate) netns: u32,
    /// Of one that acts as another user and has another name, and of one whose child acts too.
    pub(crate) pids: [u32; 2],
    /// What was shown.
    pub(crate) json: String,
    pub(crate) text: String,
}

impl Recorded {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::new("recorded").unwrap();
        let netns = host.netns();
        let mut players = host
            .run(|| {
                let user = "name alice; user 65534; wait; exchange 127.0.0.1:2011 127.0.0.1:2010";
                let parent =
                    "wait; exchange 127.0.0.1:2031 127.0.0.1:2030; spawn; exchange 127.0.0.1:2041 127.0.0.1:2040";
                Ok([user, parent].map(Player::start))
            })
            .unwrap();
        let live = ["json", "text"].map(|format| Live::start(directory.path(), format, netns));
        // The last to attach is the last to see an event.
        let mut last = Trace::start(&["--netns", &netns.to_string(), "-e", EVENTS]);
        let play = || {
            let end = |text: &str| text.parse().unwrap();
            exchange(end("127.0.0.1:1001"), end("127.0.0.2:80"));
            exchange(end("[::1]:1003"), end("[::1]:8999"));
            exchange(end("[::ffff:127.0.0.4]:1004"), end("[::ffff:127.0.0.9]:9000"));
            refused(end("127.0.0.1:1005"), end("127.0.0.1:9005"));
            drop(itself(end("127.0.0.6:1006")));
            Ok(())
        };
        host.run(play).unwrap();
        players.iter_mut().for_each(Player::end);
        wait_closed(&mut last, CLOSES);
        last.stop();
        let [json, text] = live.map(Live::stop);
        Self { netns, pids: players.each_ref().map(Player::pid), json, text, directory }
    }

    /// The file that `-w` made with this format.
    pub(crate) fn recording(&self, format: &str) -> PathBuf {
        recording(self.directory.path(), format)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

fn recording(directory: &Path, format: &str) -> PathBuf {
    directory.join(format!("{format}.recording"))
}

/// A trace that records.
struct Live {
    child: Child,
    output: BufReader<ChildStdout>,
    shown: String,
}

impl Live {
    fn start(directory: &Path, format: &str, netns: u32) -> Self {
        let mut command = tracer();
        command.env("TZ", "UTC").args(["trace", "--netns", &netns.to_string(), "-e", EVENTS, "-w"]);
        command.arg(recording(directory, format));
        if format == "json" {
            command.arg("-j");
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut shown = String::new();
        // Its first line comes when it is attached.
        assert_ne!(output.read_line(&mut shown).unwrap(), 0);
        Self { child, output, shown }
    }

    fn stop(mut self) -> String {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
        self.output.read_to_string(&mut self.shown).unwrap();
        assert!(self.child.wait().unwrap().success());
        self.shown
    }
}
