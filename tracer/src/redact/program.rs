//! A command line without its arguments.

/// What stands for the arguments, if there are any.
const OTHERS: &[u8] = b"...";

/// The program's name, and what stands for its arguments; each ends with NUL, as those did.
///
/// The name is the last part of the path, as the rest of that may name a user. A process may have written a title over
/// its arguments (`sshd: alice@pts/0`), or have them in one string: only what is before the first blank is its name. If
/// that is a path, it may as well be the beginning of one with a blank in it, and nothing is left.
pub(super) fn without_arguments(arguments: &[u8]) -> Vec<u8> {
    let (program, others) = match arguments.iter().position(|&byte| byte == 0) {
        Some(end) => arguments.split_at(end),
        None => (arguments, &[][..]),
    };
    let is_blank = |byte: &u8| byte.is_ascii_whitespace();
    let name = program.split(is_blank).next().unwrap_or_default();
    let is_whole = name.len() == program.len();
    let is_path = name.contains(&b'/');
    let name = name.rsplit(|&byte| byte == b'/').next().filter(|_| is_whole || !is_path).unwrap_or_default();
    let name = name.strip_suffix(b":").unwrap_or(name);
    let has_others = !is_whole || others.iter().any(|&byte| byte != 0);
    let words = [name].into_iter().chain(has_others.then_some(OTHERS)).filter(|word| !word.is_empty());
    words.flat_map(|word| word.iter().copied().chain([0])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_the_program_is_left() {
        let lines: &[(&[u8], &[u8])] = &[
            (b"curl\0--password=hunter2\0", b"curl\0...\0"),
            (b"/home/alice/bin/curl\0-v\0", b"curl\0...\0"),
            (b"nginx\0", b"nginx\0"),
            (b"nginx", b"nginx\0"),
            (b"sshd: alice@pts/0\0\0\0\0", b"sshd\0...\0"),
            (b"postgres: alice shop 10.77.88.99(5555) idle\0", b"postgres\0...\0"),
            (b"node --password=hunter2", b"node\0...\0"),
            (b"/opt/alice's app/run\0-x\0", b"...\0"),
            (b"/usr/bin/node --password=a/hunter2\0", b"...\0"),
            (b"\0hunter2\0", b"...\0"),
            (b"/srv/\0", b""),
            (b"", b""),
            (b"\0\0\0", b""),
            (b"(sd-pam)\0\0\0", b"(sd-pam)\0"),
        ];
        for (arguments, left) in lines {
            let masked = without_arguments(arguments);
            assert_eq!(masked.escape_ascii().to_string(), left.escape_ascii().to_string());
            assert!(masked.len() <= arguments.len() + OTHERS.len() + 1);
        }
    }
}
