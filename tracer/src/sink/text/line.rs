//! One event, one line.

use std::iter;

use crate::{
    event::{Context, Event, Known},
    sink::foreign,
};

/// What an event line shows.
pub(super) struct Columns<'a> {
    pub(super) time: &'a str,
    pub(super) process: &'a str,
    pub(super) local: &'a str,
    pub(super) remote: &'a str,
    pub(super) what: &'a str,
}

/// Adds the columns. What they have no room for goes on below the local end: what happened where a page is narrow, and
/// ends that are longer than their columns (IPv6). So each column begins at one place, whatever follows.
pub(super) fn row(out: &mut String, columns: &Columns<'_>, width: usize) {
    const END: usize = 21;
    let Columns { time, process, local, remote, what } = *columns;
    let before = out.len();
    pad(out, time, 12);
    out.push(' ');
    pad(out, process, 17);
    out.push(' ');
    let start = out.len() - before;
    // The next part goes on in this line if it fits there.
    let part = |out: &mut String, used: &mut usize, column: usize, text: &str| {
        let at = (*used).max(column);
        if at.saturating_add(text.len()) > width || *used > column && width != usize::MAX {
            out.pop();
            out.push('\n');
            pad(out, "", start);
            *used = start;
        } else {
            pad(out, "", at - *used);
            *used = at;
        }
        out.push_str(text);
        *used += text.len() + 1;
        out.push(' ');
    };
    out.push_str(local);
    out.push(' ');
    let mut used = start + local.len() + 1;
    part(out, &mut used, start + END + 1, remote);
    part(out, &mut used, start + 2 * (END + 1), what);
    out.pop();
}

/// Adds a text, and blanks up to that many characters.
fn pad(out: &mut String, text: &str, width: usize) {
    out.push_str(text);
    let length = if text.is_ascii() { text.len() } else { text.chars().count() };
    out.extend(iter::repeat_n(' ', width.saturating_sub(length)));
}

/// Adds `comm[pid]` of the owner, else where the kernel was at work by itself.
pub(super) fn process(out: &mut String, event: &Event) {
    const COLUMN: usize = 17;
    let Some(owner) = &event.owner else {
        out.push_str(match event.context {
            Context::Process => "(process)",
            Context::KernelThread => "(kernel)",
            Context::Softirq => "(softirq)",
            Context::Timer => "(timer)",
            Context::Unknown => "-",
        });
        return;
    };
    let start = out.len();
    foreign::push(out, &owner.comm);
    let name = out.len();
    // No process was seen to accept it, or its previous owner is unknown: the owner is inferred.
    let mark = if matches!(owner.known, Known::Listener | Known::AtWork) { "?" } else { "" };
    out.push('[');
    owner.pid.push_to(out);
    out.push(']');
    out.push_str(mark);
    let pid = out.len() - name;
    let room = (COLUMN - 1).saturating_sub(pid);
    let characters = out[start..name].chars().count();
    if characters + pid > COLUMN {
        let kept = out[start..name].char_indices().nth(room).map_or(name, |(at, _)| start + at);
        out.replace_range(kept..name, "~");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(local: &str, remote: &str, what: &str, width: usize) -> String {
        let mut out = String::new();
        row(&mut out, &Columns { time: "12:00:00.000", process: "nginx[812]", local, remote, what }, width);
        out
    }

    #[test]
    fn columns_begin_at_one_place_whatever_follows() {
        const WHATS: [&str; 3] =
            ["CLOSE -> LISTEN", "SYN_RECV -> ESTABLISHED, self", "SYN_RECV -> ESTABLISHED, simultaneous"];
        let place = |text: &str, part: &str| {
            let (number, line) = text.lines().enumerate().find(|(_, line)| line.contains(part)).unwrap();
            (number, line.find(part).unwrap())
        };
        for width in [80, 100, 200] {
            for what in WHATS {
                let text = shown("10.115.20.30:1234", "10.115.20.40:80", what, width);
                assert_eq!(place(&text, "10.115.20.30"), (0, 31), "{text}");
                assert_eq!(place(&text, "10.115.20.40"), (0, 53), "{text}");
                let below = (1, 31);
                let expected = if 75 + what.len() <= width { (0, 75) } else { below };
                assert_eq!(place(&text, what), expected, "{text}");
                assert!(text.lines().all(|line| line.len() <= width && !line.ends_with(' ')), "{text}");
            }
        }
    }

    #[test]
    fn long_addresses_go_on_below_the_first() {
        let (local, remote) = ("[2001:db8:1111:2222:3333:4444:5555:6666]:65535", "[2001:db8::2]:443");
        for width in [80, 100, 200] {
            let text = shown(local, remote, "RST sent, was ESTABLISHED", width);
            assert!(text.lines().skip(1).all(|line| line.starts_with(&" ".repeat(31))), "{text}");
            assert!(text.lines().all(|line| line.len() <= width), "{text}");
            assert!([local, remote, "RST sent, was ESTABLISHED"].iter().all(|part| text.contains(part)), "{text}");
        }
    }
}
