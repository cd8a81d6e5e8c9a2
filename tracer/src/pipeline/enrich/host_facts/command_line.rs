//! Arguments of a process as one line.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read},
};

/// Longest command line that is read. Some have megabytes (`ARG_MAX`), of which no reader wants more.
const LONGEST: u64 = 16 << 10;

/// The command line of a process; `None` if it has none, as kernel threads and zombies, or cannot be read.
pub(super) fn of_process(pid: u32) -> Option<String> {
    let bytes = read(pid).ok()?;
    let line = join_arguments(bytes.get(..LONGEST as usize).unwrap_or(&bytes));
    let cut = if bytes.len() as u64 > LONGEST { "…" } else { "" };
    (!line.is_empty()).then(|| line + cut)
}

/// One byte more than the longest, to tell whether there is more.
fn read(pid: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/cmdline"))?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Arguments, each ended by NUL, as a line that a shell would split into them again.
///
/// A title that the process gave itself is not quoted: setproctitle(3) writes `NAME: TEXT` over the
/// arguments, and what is left of their room stays NUL. Invalid UTF-8 is replaced; control characters stay.
pub fn join_arguments(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let arguments = text.strip_suffix('\0').unwrap_or(&text);
    let title = arguments.trim_end_matches('\0');
    let padded = arguments.len() - title.len() >= 2;
    if title.is_empty() || (!title.contains('\0') && (title.contains(": ") || padded)) {
        return title.trim_end().to_owned();
    }
    let words = arguments.split('\0').enumerate().map(|(index, argument)| quote(argument, index == 0));
    words.collect::<Vec<_>>().join(" ")
}

/// Less eager than shlex, which quotes each `--option=value` because `=` matters in the first word.
fn quote(argument: &str, first: bool) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "+-./:@]_,%".contains(c) || (c == '=' && !first);
    // zsh takes `=name` for the path of a command.
    if !argument.is_empty() && !argument.starts_with('=') && argument.chars().all(plain) {
        return argument.into();
    }
    // It refuses NUL only, at which the arguments were split.
    shlex::try_quote(argument).unwrap_or(argument.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_where_a_shell_needs_it() {
        let lines: &[(&[u8], &str)] = &[
            (b"", ""),
            (b"\0", ""),
            (b"curl\0-v\0http://host:80/a,b\0", "curl -v http://host:80/a,b"),
            (b"no\0end", "no end"),
            (b"sh\0-c\0echo hi; exit 1\0", "sh -c 'echo hi; exit 1'"),
            (b"a\0--opt=val\0x=y\0", "a --opt=val x=y"),
            (b"A=b\0=ls\0", "'A=b' '=ls'"),
            (b"printf\0it's\0", "printf \"it's\""),
            (b"grep\0\0file\0", "grep '' file"),
            (b"grep\0\0", "grep ''"),
            ("ls\0größe\0".as_bytes(), "ls größe"),
            (b"a\0\xff\0", "a '\u{fffd}'"),
            (b"a\0one\ntwo\x1b[0m\0", "a 'one\ntwo\x1b[0m'"),
            (b"/opt/my app/run\0", "'/opt/my app/run'"),
        ];
        for (bytes, line) in lines {
            assert_eq!(join_arguments(bytes), *line);
        }
    }

    #[test]
    fn a_shell_splits_the_line_into_the_same_arguments() {
        for arguments in [["a b", "c'd", "e\"f"], ["$x", "`y`", "!z^"], ["~", "*", ""], ["\\", "#", "\t"]] {
            let bytes = arguments.map(|argument| format!("{argument}\0")).concat();
            assert_eq!(shlex::split(&join_arguments(bytes.as_bytes())).unwrap(), arguments);
        }
    }

    #[test]
    fn titles_are_shown_as_they_are() {
        assert_eq!(join_arguments(b"sshd: root@pts/0\0\0\0\0"), "sshd: root@pts/0");
        assert_eq!(join_arguments(b"nginx: worker process      \0"), "nginx: worker process");
        assert_eq!(join_arguments(b"(sd-pam)\0\0\0"), "(sd-pam)");
        assert_eq!(join_arguments(b"echo\0a: b\0"), "echo 'a: b'");
    }

    #[test]
    fn processes_have_one_unless_there_is_none() {
        let own = of_process(std::process::id()).unwrap();
        let arguments = std::env::args().map(|argument| argument + "\0").collect::<String>();
        assert_eq!(own, join_arguments(arguments.as_bytes()));
        assert_eq!(of_process(u32::MAX), None);
    }
}
