//! What a subject says of itself: by what means it observes, how many events it showed, and how many it lost.

use serde_json::Value;

/// A subject's own account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) events: u64,
    pub(super) lost: u64,
}

/// By what means the tracer observes, from the first lines of its output: a program that a kernel refused shows here,
/// as another means or none, and else only as a cost that is too good.
pub(super) fn means_of_tracer(head: &str) -> Option<String> {
    if let Some(start) = head.lines().next().and_then(|first| serde_json::from_str::<Value>(first).ok()) {
        let means = start["probes"].as_object()?.iter().map(|(probe, means)| match means.as_str() {
            Some(means) => format!("{probe} {means}"),
            None => format!("{probe} not observed"),
        });
        return Some(means.collect::<Vec<_>>().join(", "));
    }
    // `tracer VERSION on Linux RELEASE: MEANS`, folded; notes follow, or the heading.
    let first = head.lines().take_while(|line| !line.starts_with("note:") && !line.starts_with("TIME"));
    let first = first.collect::<Vec<_>>().join(" ");
    Some(first.split_once(": ")?.1.to_owned())
}

/// The tracer's last line of JSON, or the last lines of its text.
pub(super) fn by_tracer(tail: &str) -> Option<Account> {
    let last = tail.trim_end().lines().next_back()?;
    match serde_json::from_str::<Value>(last) {
        Ok(summary) => of_summary(&summary),
        Err(_) => of_text(tail),
    }
}

fn of_summary(summary: &Value) -> Option<Account> {
    let sum = |counts: &Value| Some(counts.as_object()?.values().filter_map(Value::as_u64).sum::<u64>());
    let lost = &summary["lost"];
    Some(Account {
        events: sum(&summary["counts"])?,
        lost: sum(&lost["ring_buffer"])?
            + lost["decode"].as_u64()?
            + lost["skipped"].as_u64()?
            + sum(&lost["undecided"])?
            + lost["memory"]["processes"].as_u64()?,
    })
}

/// `2 open, 8 state in 2.2 s; 0 lost`, folded at any blank; `no events in ...` without any.
fn of_text(tail: &str) -> Option<Account> {
    let words: Vec<&str> = tail.split_whitespace().collect();
    let end = words.windows(2).rposition(|pair| pair[0].parse::<u64>().is_ok() && pair[1] == "lost")?;
    // Before it: `in SECONDS s;`, and before that the counts.
    let counts = end.checked_sub(3).filter(|at| words[*at] == "in")?;
    let pairs = words[..counts].rchunks_exact(2).map_while(|pair| pair[0].parse::<u64>().ok());
    Some(Account { events: pairs.sum(), lost: words[end].parse().ok()? })
}

/// A peer's: each line of its output but the first is an event, and it complains of those that it lost
/// (`lost 12 events on CPU #0!`, `Lost 12 events`).
pub(super) fn by_peer(lines: u64, complaints: &str) -> Account {
    let words: Vec<&str> = complaints.split_whitespace().collect();
    let lost = words.windows(3).filter(|it| it[0].eq_ignore_ascii_case("lost") && it[2].starts_with("event"));
    Account { events: lines.saturating_sub(1), lost: lost.filter_map(|it| it[1].parse::<u64>().ok()).sum() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tracer_says_it_in_json() {
        let summary = r#"{"event":"summary","counts":{"state":8,"rst":2},"submitted":{"state":8},
            "lost":{"ring_buffer":{"state":3,"rst":1},"decode":1,"skipped":2,"undecided":{"rst":4},
            "memory":{"sockets":9,"processes":0},"unremembered":{}}}"#;
        let tail = format!("{{\"event\":\"state\"}}\n{}\n", summary.replace('\n', ""));
        assert_eq!(by_tracer(&tail), Some(Account { events: 10, lost: 11 }));
    }

    #[test]
    fn the_tracer_says_it_in_text() {
        let tail = "11:22:33.123 curl[7] 127.0.0.1:1 127.0.0.1:2 LAST_ACK -> CLOSE\n\n14 lookup, 1 raw_send, 8\n\
                    state in 2.2 s; 3 lost\nlost: 3 state records found the ring buffer full\n";
        assert_eq!(by_tracer(tail), Some(Account { events: 23, lost: 3 }));
        assert_eq!(by_tracer("TIME\n\nno events in 0.5 s; 0 lost\n"), Some(Account { events: 0, lost: 0 }));
        assert_eq!(by_tracer("killed\n"), None);
    }

    #[test]
    fn the_tracer_says_by_what_means_it_observes() {
        let text = "tracer 0.1.0 on Linux 6.18.1: lookup not observed, rst_received tp_btf,\nstate tp_btf\n\
                    note: lookup: not observed\nTIME PROCESS\n";
        assert_eq!(means_of_tracer(text).unwrap(), "lookup not observed, rst_received tp_btf, state tp_btf");
        let json = "{\"event\":\"start\",\"probes\":{\"accept\":null,\"state\":\"raw_tp\"}}\n";
        assert_eq!(means_of_tracer(json).unwrap(), "accept not observed, state raw_tp");
        assert_eq!(means_of_tracer("TIME PROCESS\n"), None);
    }

    #[test]
    fn peers_complain_in_their_own_words() {
        let complaints = "lost 12 events on CPU #0!\nlost 3 events on CPU #1!\n";
        assert_eq!(by_peer(101, complaints), Account { events: 100, lost: 15 });
        assert_eq!(by_peer(0, "Attaching 1 probe...\nLost 7 events\n"), Account { events: 0, lost: 7 });
    }
}
