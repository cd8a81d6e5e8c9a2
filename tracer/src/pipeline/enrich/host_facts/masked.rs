//! Facts without what is to be masked.

use super::{Fact, container, join_arguments};
use crate::{
    event::{Listener, Reader},
    redact::{Redact, Redactor},
};

/// What stands for parts of a path, and for a command line that nothing is left of.
const LEFT_OUT: &str = "...";
/// Parts of paths that name nobody, and by which containers are known.
const KNOWN: [&str; 14] = [
    "..",
    "user.slice",
    "system.slice",
    "machine.slice",
    "init.scope",
    "docker",
    "default",
    "k8s.io",
    "lxc",
    "lxc.payload",
    "besteffort",
    "burstable",
    "container",
    "supervisor",
];

impl Redact for Fact {
    fn redact(&mut self, redactor: &mut Redactor) {
        match self {
            Self::User { uid, name } => {
                *uid = redactor.uid(*uid);
                if let Some(masked) = redactor.user(*uid) {
                    *name = masked;
                }
            }
            Self::Cgroup { id: _, path: whole } => *whole = path(std::mem::take(whole), redactor),
            Self::Netns { inode: _, name: _ } | Self::Lost { mono_ns: _ } | Self::Stopped { mono_ns: _ } => {}
            Self::Listeners { mono_ns: _, listeners } => {
                for Listener { netns: _, address, pid: _, comm: _ } in listeners {
                    *address = redactor.address(*address);
                }
            }
            Self::Reader { mono_ns: _, reader: Reader { pid: _, comm: _, unread: _ } } => {}
            Self::CommandLine { pid: _, line } => *line = command_line(std::mem::take(line), redactor),
        }
    }
}

/// A command line as it is shown, without its arguments.
pub(super) fn command_line(line: String, redactor: &Redactor) -> String {
    if !redactor.hides_arguments() {
        return line;
    }
    // A title is not quoted; where it cannot be taken for quoted, nothing of it is left.
    let mut words = shlex::Shlex::new(&line);
    let Some(program) = words.next() else {
        return if line.is_empty() { line } else { LEFT_OUT.to_owned() };
    };
    let others = if words.next().is_some() || words.had_error { "\0..." } else { "" };
    join_arguments(&redactor.arguments(format!("{program}{others}\0").as_bytes()))
}

/// A control group's path without what may name a user: ids of users are masked, and of all other parts those stay that
/// are known to name something else, such as containers and services of the system. What is not known does not stay.
pub(super) fn path(whole: String, redactor: &mut Redactor) -> String {
    if !redactor.hides_users() {
        return whole;
    }
    let parts: Vec<&str> = whole.split('/').collect();
    let mut is_of_pods = false;
    let masked = parts.iter().enumerate().map(|(index, &part)| {
        let is_of_system = parts[..index].contains(&"system.slice") && !parts[..index].contains(&"user.slice");
        let is_of_pod = part.contains("kubepods") || is_of_pods && container::pod_uid(part).is_some();
        is_of_pods |= is_of_pod;
        let is_known = part.is_empty() || KNOWN.contains(&part) || is_of_pod;
        if is_known || container::at(&parts, index, is_of_pods).is_some() {
            return part.to_owned();
        }
        if let Some((before, uid, after)) = user_id(part) {
            return format!("{before}{}{after}", redactor.uid(uid));
        }
        if is_of_system { service(part) } else { LEFT_OUT.to_owned() }
    });
    masked.collect::<Vec<_>>().join("/")
}

/// Units that systemd makes for a user by its id: what is before it, the id, and what is after it.
fn user_id(part: &str) -> Option<(&'static str, u32, &'static str)> {
    const UNITS: [(&str, &str); 3] = [("user-", ".slice"), ("user@", ".service"), ("user-runtime-dir@", ".service")];
    UNITS.into_iter().find_map(|(before, after)| {
        let uid = part.strip_prefix(before)?.strip_suffix(after)?;
        Some((before, uid.parse().ok()?, after))
    })
}

/// A service of the system. An instance of a template may be called as the user whom it is for.
fn service(part: &str) -> String {
    match (part.split_once('@'), part.ends_with(".service") || part.ends_with(".slice")) {
        (None, true) => part.to_owned(),
        (Some((template, _)), true) => format!("{template}@{LEFT_OUT}.service"),
        (_, false) => LEFT_OUT.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Pid,
        redact::{Key, Secret},
    };

    fn redactor() -> Redactor {
        Redactor::new(&[Secret::Cmdline, Secret::User, Secret::Address].into(), Key::of([3; 16]))
    }

    #[test]
    fn only_the_program_of_a_command_line_is_left() {
        for (line, left) in [
            ("curl --password=hunter2", "curl ..."),
            ("'/home/alice/my bin/curl' -v", "..."),
            ("/home/alice/bin/curl -v", "curl ..."),
            ("sshd: alice@pts/0", "sshd ..."),
            ("it's: a title", "..."),
            ("nginx", "nginx"),
            ("nginx\nhunter2", "nginx ..."),
            ("# hunter2", "..."),
            ("", ""),
        ] {
            assert_eq!(command_line(line.to_owned(), &redactor()), left, "{line}");
        }
    }

    #[test]
    fn nothing_of_a_path_that_may_name_a_user_is_left() {
        for (whole, left) in [
            ("/", "/"),
            ("/user.slice/user-1000.slice/session-3.scope", "/user.slice/user-4000000001.slice/..."),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/alice.service",
                "/user.slice/user-4000000001.slice/user@4000000001.service/.../...",
            ),
            ("/system.slice/nginx.service", "/system.slice/nginx.service"),
            ("/system.slice/syncthing@alice.service", "/system.slice/syncthing@....service"),
            (
                "/system.slice/system-syncthing.slice/syncthing@alice.service",
                "/system.slice/system-syncthing.slice/syncthing@....service",
            ),
            ("/system.slice/home-alice.mount", "/system.slice/..."),
            ("/slurm/uid_1000/job_5", "/.../.../..."),
            ("/../alice", "/../..."),
        ] {
            assert_eq!(path(whole.to_owned(), &mut redactor()), left);
        }
        let mut addresses = Redactor::new(&[Secret::Address].into(), Key::of([3; 16]));
        assert_eq!(path("/alice".to_owned(), &mut addresses), "/alice");
    }

    #[test]
    fn facts_are_masked_as_records_are() {
        let mut redactor = redactor();
        let address = [10, 77, 88, 99].into();
        let listener = Listener { netns: 7, address, pid: Pid::of_record(8), comm: "nginx".into() };
        let mut facts = [
            Fact::User { uid: 1000, name: "alice".into() },
            Fact::Listeners { mono_ns: 1, listeners: vec![listener.clone()] },
            Fact::CommandLine { pid: 8, line: "curl --password=hunter2".into() },
        ];
        facts.iter_mut().for_each(|fact| fact.redact(&mut redactor));
        let masked = redactor.address(address);
        assert_ne!(masked, address);
        assert_eq!(
            facts,
            [
                Fact::User { uid: redactor.uid(1000), name: "user-1".into() },
                Fact::Listeners { mono_ns: 1, listeners: vec![Listener { address: masked, ..listener }] },
                Fact::CommandLine { pid: 8, line: "curl ...".into() },
            ]
        );
    }
}
