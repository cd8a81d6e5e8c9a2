//! Aligned columns for people: time, process, local, remote, what happened. It fits 100 columns, but
//! for IPv6 addresses longer than theirs; details go on indented lines below.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;

use super::{Item, Sink};
use crate::{
    event::{Body, Context, Direction, Event, Lookup, Observed, RawKind, Rst, RstKind, State, Table, TcpState},
    report::{RunInfo, ScenarioReport, Summary},
};

const WIDTH: usize = 100;
const INDENT: &str = "             ";
/// Frames of a kernel stack that are shown; JSON has them all.
const FRAMES: usize = 8;

/// The text format.
#[derive(Debug)]
pub struct Text {
    /// Colours, for a terminal.
    pub colour: bool,
    /// A line below each state change says whether the socket is in the ehash.
    pub ehash: bool,
    /// The zone that times are shown in.
    pub zone: TimeZone,
}

impl Sink for Text {
    fn write(&mut self, out: &mut dyn Write, item: Item<'_>) -> io::Result<()> {
        match item {
            Item::Start(info) => self.start(out, info),
            Item::Scenario(name, title) => self.scenario(out, name, title),
            Item::Event(event) => self.event(out, event),
            Item::Report(report) => self.report(out, report),
            Item::Summary(summary) => self.summary(out, summary),
        }
    }
}

impl Text {
    fn start(&self, out: &mut dyn Write, info: &RunInfo) -> io::Result<()> {
        let probes = info.probes.iter().map(|(probe, mechanism)| match mechanism {
            Some(mechanism) => format!("{probe} {mechanism}"),
            None => format!("{probe} not observed"),
        });
        let probes = probes.collect::<Vec<_>>().join(", ");
        wrapped(out, "", &format!("tracer {} on Linux {}: {probes}", info.version, info.kernel))?;
        for sentence in &info.degraded {
            wrapped(out, "", &format!("note: {sentence}"))?;
        }
        writeln!(
            out,
            "{}",
            self.paint(Style::new().bold(), &row("TIME", "PROCESS", "LOCAL", "REMOTE", "WHAT HAPPENED"))
        )
    }

    fn scenario(&self, out: &mut dyn Write, name: &str, title: &str) -> io::Result<()> {
        writeln!(out)?;
        for line in textwrap::wrap(&format!("== {name}: {title}"), WIDTH) {
            writeln!(out, "{}", self.paint(Style::new().bold(), &line))?;
        }
        Ok(())
    }

    fn event(&self, out: &mut dyn Write, event: &Event) -> io::Result<()> {
        let (what, style) = what(&event.body);
        let time = self.zone.to_datetime(event.time).strftime("%H:%M:%S%.3f").to_string();
        let line = row(&time, &process(event), &event.local.to_string(), &event.remote.to_string(), &what);
        // Painted last: escape sequences have no width.
        let line = line.strip_suffix(what.as_str()).unwrap_or(&line);
        writeln!(out, "{line}{}", self.paint(style, &what))?;
        match &event.body {
            Body::State(state) => self.state_details(out, state),
            Body::Rst(rst) => rst_details(out, rst),
            Body::Lookup(lookup) => lookup_details(out, lookup),
            Body::RawSend(raw) => wrapped(out, INDENT, &numbers(&raw.segment)),
        }
    }

    fn state_details(&self, out: &mut dyn Write, state: &State) -> io::Result<()> {
        let Some(entry) = state.ehash.filter(|_| self.ehash) else { return Ok(()) };
        match (entry.hashed, entry.bucket) {
            (true, Some(bucket)) => writeln!(out, "{INDENT}in the ehash, bucket {bucket}"),
            (true, None) => writeln!(out, "{INDENT}in the ehash, hash {:#010x}", entry.hash),
            (false, _) => writeln!(out, "{INDENT}not in the ehash at this moment"),
        }
    }

    fn report(&self, out: &mut dyn Write, report: &ScenarioReport) -> io::Result<()> {
        for line in &report.exhibits {
            writeln!(out, "    {line}")?;
        }
        let (mark, colour) = if report.ok { ("ok", AnsiColor::Green) } else { ("NOT OK", AnsiColor::Red) };
        let style = Style::new().bold().fg_color(Some(colour.into()));
        wrapped(out, "", &format!("-- {}: {}", self.paint(style, mark), report.outcome))?;
        for line in &report.verdict {
            wrapped(out, "   ", line)?;
        }
        Ok(())
    }

    fn summary(&self, out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
        if !summary.answer.is_empty() {
            writeln!(out)?;
            for line in &summary.answer {
                wrapped(out, "", line)?;
            }
        }
        let counts = summary.counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>();
        let counts = if counts.is_empty() { "no events".to_owned() } else { counts.join(", ") };
        wrapped(out, "", &format!("\n{counts} in {:.1} s; {} lost", summary.seconds, summary.lost.total()))?;
        for (kind, lost) in summary.lost.ring_buffer.iter().filter(|(_, lost)| **lost > 0) {
            writeln!(out, "lost: {lost} {kind} records found the ring buffer full (a larger --ring-size helps)")?;
        }
        if summary.lost.decode > 0 {
            writeln!(out, "lost: {} records could not be decoded", summary.lost.decode)?;
        }
        Ok(())
    }

    fn paint<'a>(&self, style: Style, text: &'a str) -> Cow<'a, str> {
        if self.colour { format!("{style}{text}{style:#}").into() } else { text.into() }
    }
}

/// The columns. Ends that are too long for theirs (IPv6) push what happened to a line of its own.
fn row(time: &str, process: &str, local: &str, remote: &str, what: &str) -> String {
    const END: usize = 21;
    const WHAT_AT: usize = 75;
    let start = format!("{time:<12} {process:<17} ");
    if local.len() <= END && remote.len() <= END {
        return format!("{start}{local:<END$} {remote:<END$} {what}");
    }
    let separator = if start.len() + local.len() + 1 + remote.len() <= WIDTH {
        " ".to_owned()
    } else {
        format!("\n{:1$}", "", start.len())
    };
    format!("{start}{local}{separator}{remote}\n{:WHAT_AT$}{what}", "")
}

/// `comm[pid]` of the owner, else where the kernel was at work by itself.
fn process(event: &Event) -> String {
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
    let pid = format!("[{}]", owner.pid);
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

fn what(body: &Body) -> (String, Style) {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match body {
        Body::State(state) => {
            let style = if state.new == TcpState::ESTABLISHED { colour(AnsiColor::Green) } else { Style::new() };
            (format!("{} -> {}", state.old, state.new), style)
        }
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

fn rst_details(out: &mut dyn Write, rst: &Rst) -> io::Result<()> {
    let mut details = Vec::new();
    if let Some(reason) = &rst.reason {
        details.push(format!("reason {reason}"));
    } else if let Some(reason) = rst.derived_reason {
        details.push(format!("reason {reason} (derived)"));
    }
    match (rst.kind, &rst.trigger) {
        (RstKind::Firewall, Some(segment)) => {
            let numbers = numbers(segment);
            details.push(format!("a packet filter refused {} {numbers}, ttl {}", segment.flags, segment.ttl));
        }
        (RstKind::Firewall, None) => details.push("a packet filter refused a segment".to_owned()),
        (RstKind::Passive, Some(segment)) => {
            details.push(format!("answers {} {}, ttl {}", segment.flags, numbers(segment), segment.ttl));
        }
        (RstKind::Passive, None) => details.push("answers a segment that could not be read".to_owned()),
        (RstKind::Active, _) => details.push("this side aborted the connection".to_owned()),
        (RstKind::Peer, Some(segment)) => {
            details.push(format!("{} {}, ttl {}", segment.flags, numbers(segment), segment.ttl));
        }
        (RstKind::Peer, None) => {}
    }
    if !details.is_empty() {
        wrapped(out, INDENT, &details.join("; "))?;
    }
    if !rst.stack.is_empty() {
        let more = if rst.stack.len() > FRAMES { " < ..." } else { "" };
        let shown = rst.stack.iter().take(FRAMES).map(String::as_str).collect::<Vec<_>>().join(" < ");
        wrapped(out, INDENT, &format!("in {shown}{more}"))?;
    }
    Ok(())
}

fn lookup_details(out: &mut dyn Write, lookup: &Lookup) -> io::Result<()> {
    match lookup.observed {
        Observed::Probe => Ok(()),
        Observed::SockDiag => {
            writeln!(out, "{INDENT}run again through sock_diag; the kernel's own lookup is not observed here")
        }
    }
}

fn numbers(segment: &crate::event::Segment) -> String {
    format!("seq {} ack {} len {}", segment.seq, segment.ack, segment.len)
}

fn wrapped(out: &mut dyn Write, indent: &str, text: &str) -> io::Result<()> {
    let options = textwrap::Options::new(WIDTH).initial_indent(indent).subsequent_indent(indent).break_words(false);
    for line in textwrap::wrap(text, options) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
