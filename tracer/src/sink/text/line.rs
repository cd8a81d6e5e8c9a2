//! One event, one line.

use anstyle::{AnsiColor, Style};

use super::{WIDTH, units::duration};
use crate::event::{Body, Context, Direction, Event, Known, Open, Opened, RawKind, State, Table, TcpState, Took};

/// The columns. Ends that are too long for theirs (IPv6) push what happened to a line of its own.
pub(super) fn row(time: &str, process: &str, local: &str, remote: &str, what: &str) -> String {
    const END: usize = 21;
    const WHAT_AT: usize = 75;
    let start = format!("{time:<12} {process:<17} ");
    if local.len() <= END && remote.len() <= END {
        // How a connection opened may take what the columns before it do not need.
        let over = (start.len() + END + 1 + END + 1 + what.len()).saturating_sub(WIDTH);
        let remote_width = remote.len().max(END.saturating_sub(over));
        let local_width = local.len().max((END + END - remote_width).saturating_sub(over));
        if start.len() + local_width + 1 + remote_width + 1 + what.len() <= WIDTH {
            return format!("{start}{local:<local_width$} {remote:<remote_width$} {what}");
        }
    }
    let separator = if start.len() + local.len() + 1 + remote.len() <= WIDTH {
        " ".to_owned()
    } else {
        format!("\n{:1$}", "", start.len())
    };
    let indent = WHAT_AT.min(WIDTH.saturating_sub(what.len()));
    format!("{start}{local}{separator}{remote}\n{:indent$}{what}", "")
}

/// `comm[pid]` of the owner, else where the kernel was at work by itself.
pub(super) fn process(event: &Event) -> String {
    const COLUMN: usize = 17;
    let Some(owner) = &event.owner else {
        return match event.context {
            Context::Process => "(process)",
            Context::Softirq => "(softirq)",
            Context::Timer => "(timer)",
            Context::Unknown => "-",
        }
        .to_owned();
    };
    // Nobody was seen to accept it: that it is the listener's is inferred.
    let mark = if owner.known == Known::Listener { "?" } else { "" };
    let pid = format!("[{}]{mark}", owner.pid);
    let name = printable(&owner.comm);
    if name.chars().count() + pid.len() <= COLUMN {
        return name + &pid;
    }
    let kept = name.chars().take(COLUMN - 1 - pid.len()).collect::<String>();
    format!("{kept}~{pid}")
}

/// A process chooses its own name: what could move the cursor or hide text is shown escaped.
pub(crate) fn printable(name: &str) -> String {
    name.chars()
        .flat_map(|c| {
            let quote = matches!(c, '\'' | '"' | '\\');
            let escaped = (!quote).then(|| c.escape_debug());
            escaped.into_iter().flatten().chain(quote.then_some(c))
        })
        .collect()
}

/// What happened, and the colour for it.
pub(super) fn what(event: &Event) -> (String, Style) {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match &event.body {
        Body::State(state) => state_change(state, event.opened),
        Body::Open(open) => (opening(open, event.opened), colour(AnsiColor::Green)),
        Body::Close(close) => (format!("close by {}", close.ended_by), Style::new()),
        Body::Rst(rst) => {
            let direction = if rst.direction == Direction::Sent { "sent" } else { "received" };
            let whose = match (rst.closed_from, rst.socket_state) {
                (Some(state), _) => format!("was {state}"),
                (None, Some(state)) => state.to_string(),
                (None, None) if rst.socket => "socket".to_owned(),
                (None, None) => "no socket".to_owned(),
            };
            (format!("RST {direction}, {whose}"), colour(AnsiColor::Red).bold())
        }
        Body::StrayRst(rst) => {
            let whose = rst.socket_state.map_or_else(|| "reset nothing".to_owned(), |state| state.to_string());
            (format!("RST came, {whose}"), colour(AnsiColor::Red))
        }
        Body::Lookup(lookup) => {
            let table = if lookup.table == Table::Ehash { "ehash" } else { "listener" };
            match lookup.state {
                Some(state) => (format!("{table} hit, {state}"), colour(AnsiColor::Cyan)),
                None if lookup.hit => (format!("{table} hit"), colour(AnsiColor::Cyan)),
                None => (format!("{table} miss"), colour(AnsiColor::Yellow)),
            }
        }
        Body::RawSend(raw) => {
            let via = if raw.via == RawKind::Raw { "raw" } else { "packet" };
            (format!("{via} send {}", raw.segment.flags), colour(AnsiColor::Magenta))
        }
    }
}

/// The kernel's two states, but TIME_WAIT by its name: to the kernel that is another object.
fn state_change(state: &State, opened: Option<Opened>) -> (String, Style) {
    if state.new == TcpState::ESTABLISHED {
        let how = opened.map(|how| format!(", {how}")).unwrap_or_default();
        return (format!("{} -> {}{how}", state.old, state.new), Style::new().fg_color(Some(AnsiColor::Green.into())));
    }
    let new = if state.became == Some(Took::TimeWait) { TcpState::TIME_WAIT } else { state.new };
    (format!("{} -> {new}", state.old), Style::new())
}

fn opening(open: &Open, opened: Option<Opened>) -> String {
    let how = opened.map_or_else(|| "seen late".to_owned(), |how| how.to_string());
    match (open.handshake_ns, open.rtt_us) {
        (Some(handshake), _) => format!("open {how} {}", duration(handshake)),
        (None, Some(rtt)) => format!("open {how} rtt {}", duration(u64::from(rtt) * 1000)),
        (None, None) => format!("open {how}"),
    }
}
