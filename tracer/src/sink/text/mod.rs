//! Aligned columns for people: time, process, local, remote, what happened. It fits 100 columns, but
//! for IPv6 addresses longer than theirs; details go on indented lines below.

mod causes;
mod clock;
mod details;
mod line;
mod units;

use std::{
    borrow::Cow,
    collections::VecDeque,
    io::{self, Write},
    num::NonZeroUsize,
    sync::Arc,
};

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use lru::LruCache;

use self::{clock::Clock, line::row};
use super::{Item, Sink};
use crate::{
    diagnose::Verdict,
    event::{Body, Event, Family, Owner, Shared, end},
    probes::Probe,
    report::{Counter, RunInfo, ScenarioReport, Summary, Unaccounted},
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
    /// What is shown below the lines.
    pub manner: Manner,
    /// The zone that times are shown in.
    pub zone: TimeZone,
    /// Processes that were introduced, by id and command line.
    known: LruCache<(u32, Option<Arc<str>>), ()>,
    /// The last ones of them, as they come in each event: to be told without a look at their command lines.
    recent: VecDeque<Shared<Owner>>,
    clock: Clock,
    /// Why RSTs came, as lines: a flood has one reason, and folding takes longer than the rest of an event.
    whys: LruCache<String, Vec<String>>,
    parts: Parts,
}

/// What a line is made of.
#[derive(Debug, Default)]
struct Parts {
    process: String,
    what: String,
    line: String,
}

/// What a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// The demo: each state change says whether the socket is in the ehash.
    Demo,
    /// A trace: each process is introduced.
    Trace {
        /// Each event says which task the CPU was running.
        tasks: bool,
        /// Each RST shows its evidence and the remedy.
        evidence: bool,
    },
}

/// Processes that are not introduced again.
const KNOWN: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// Those of them that are told at once.
const RECENT: usize = 8;
/// Whys that are kept as lines.
const WHYS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

impl Sink for Text {
    fn write(&mut self, out: &mut dyn Write, item: Item<'_>) -> io::Result<()> {
        match item {
            Item::Start(info) => self.start(out, info),
            Item::Scenario(name, title, family) => self.scenario(out, name, title, family),
            Item::Event(event) => self.event(out, event),
            Item::Report(report, _) => self.report(out, report),
            Item::Summary(summary) => self.summary(out, summary),
        }
    }
}

impl Text {
    /// A text that begins.
    pub fn new(colour: bool, manner: Manner, zone: TimeZone) -> Self {
        Self {
            colour,
            manner,
            zone,
            known: LruCache::new(KNOWN),
            recent: VecDeque::new(),
            clock: Clock::default(),
            whys: LruCache::new(WHYS),
            parts: Parts::default(),
        }
    }

    fn start(&self, out: &mut dyn Write, info: &RunInfo) -> io::Result<()> {
        let is_event = |name: &str| Probe::ALL.iter().any(|probe| probe.name() == name && !probe.is_auxiliary());
        let probes =
            info.probes.iter().filter(|(probe, _)| is_event(probe)).map(|(probe, mechanism)| match mechanism {
                Some(mechanism) => format!("{probe} {mechanism}"),
                None => format!("{probe} not observed"),
            });
        let probes = probes.collect::<Vec<_>>().join(", ");
        wrapped(out, "", &format!("tracer {} on Linux {}: {probes}", info.version, info.kernel))?;
        for sentence in &info.degraded {
            wrapped(out, "", &format!("note: {sentence}"))?;
        }
        let mut headings = String::new();
        row(&mut headings, "TIME", "PROCESS", "LOCAL", "REMOTE", "WHAT HAPPENED");
        writeln!(out, "{}", self.paint(Style::new().bold(), &headings))
    }

    fn scenario(&self, out: &mut dyn Write, name: &str, title: &str, family: Family) -> io::Result<()> {
        writeln!(out)?;
        let over = if family == Family::Ipv6 { " (over IPv6)" } else { "" };
        for line in textwrap::wrap(&format!("== {name}: {title}{over}"), WIDTH) {
            writeln!(out, "{}", self.paint(Style::new().bold(), &line))?;
        }
        Ok(())
    }

    fn event(&mut self, out: &mut dyn Write, event: &Event) -> io::Result<()> {
        self.line(out, event)?;
        match &event.body {
            Body::State(state) if self.manner == Manner::Demo => details::ehash(out, state),
            Body::State(state) => details::state(out, state),
            Body::Rst(rst) | Body::StrayRst(rst) => details::rst(out, rst),
            Body::Lookup(lookup) => details::lookup(out, lookup),
            Body::RawSend(raw) => wrapped(out, INDENT, &details::numbers(&raw.segment)),
            Body::Open(open) => details::open(out, open, event.opened),
            Body::Close(close) => details::close(out, close, event.opened),
        }?;
        let Manner::Trace { tasks, evidence } = self.manner else { return Ok(()) };
        if let Some(verdict) = event.verdict() {
            self.why(out, verdict)?;
            if evidence {
                details::evidence(out, verdict)?;
            }
        }
        if tasks {
            details::task(out, event)?;
        }
        match &event.owner {
            Some(owner) if self.is_new(owner) => details::owner(out, owner, event.netns_name.as_deref()),
            _ => Ok(()),
        }
    }

    /// The event's own line. It is made in places that are used again: most of what is shown are such lines.
    fn line(&mut self, out: &mut dyn Write, event: &Event) -> io::Result<()> {
        let Parts { process, what, line } = &mut self.parts;
        for part in [&mut *process, what, line] {
            part.clear();
        }
        line::process(process, event);
        let style = line::what(what, event);
        let [local, remote] = [event.local, event.remote].map(end::text);
        row(line, self.clock.show(event.time, &self.zone), process, &local, &remote, what);
        if self.colour {
            // Painted last: escape sequences have no width.
            let plain = line.strip_suffix(what.as_str()).unwrap_or(line);
            return writeln!(out, "{plain}{style}{what}{style:#}");
        }
        line.push('\n');
        out.write_all(line.as_bytes())
    }

    fn why(&mut self, out: &mut dyn Write, verdict: &Verdict) -> io::Result<()> {
        let bold = if self.colour { Style::new().bold() } else { Style::new() };
        let why = format!("why ({}): {}", verdict.confidence, verdict.summary);
        let fold = |why: &String| folded(INDENT, why).into_iter().map(Cow::into_owned).collect();
        let lines = self.whys.get_or_insert_with_key(why, fold);
        lines.iter().try_for_each(|line| writeln!(out, "{bold}{line}{bold:#}"))
    }

    /// The process was not introduced yet.
    fn is_new(&mut self, owner: &Shared<Owner>) -> bool {
        if self.recent.iter().any(|recent| recent.is(owner)) {
            return false;
        }
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(owner.clone());
        self.known.put((owner.pid, owner.cmdline.clone()), ()).is_none()
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
        if let Some(causes) = &summary.causes {
            self.causes(out, causes)?;
        }
        for Unaccounted { netns, counter, counted, reported } in &summary.unaccounted {
            let missing = counted.saturating_sub(*reported);
            let (what, how) = match counter {
                Counter::OutRsts => ("RSTs", "sent"),
                Counter::EstabResets => ("ends of connections", "abrupt"),
            };
            let text = format!(
                "{missing} {what} of network namespace {netns} are unaccounted for: its kernel counted {counted} as {how} \
                 ({}), {reported} were reported; some may be older or newer than the trace",
                counter.name()
            );
            wrapped(out, "", &text)?;
        }
        let counts = summary.counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>();
        let counts = if counts.is_empty() { "no events".to_owned() } else { counts.join(", ") };
        wrapped(out, "", &format!("\n{counts} in {:.1} s; {} lost", summary.seconds, summary.lost.total()))?;
        for (kind, lost) in summary.lost.ring_buffer.iter().filter(|(_, lost)| **lost > 0) {
            writeln!(out, "lost: {lost} {kind} records found the ring buffer full (a larger --ring-size helps)")?;
        }
        if summary.lost.skipped > 0 {
            let runs = summary.lost.skipped;
            writeln!(out, "lost: {runs} events at most that came while their CPU was reporting another one")?;
        }
        if summary.lost.memory > 0 {
            let sockets = summary.lost.memory;
            writeln!(
                out,
                "lost: the past of {sockets} sockets, for which there was no room: owner and beginning are not known"
            )?;
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

fn wrapped(out: &mut dyn Write, indent: &str, text: &str) -> io::Result<()> {
    if fits(indent, text) {
        return writeln!(out, "{indent}{text}");
    }
    folded(indent, text).into_iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// One line takes it all, and folding would change nothing.
fn fits(indent: &str, text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    is_plain && !text.is_empty() && !text.ends_with(' ') && indent.len() + text.len() <= WIDTH
}

fn folded<'a>(indent: &'a str, text: &'a str) -> Vec<Cow<'a, str>> {
    if fits(indent, text) {
        return vec![format!("{indent}{text}").into()];
    }
    let options = textwrap::Options::new(WIDTH).initial_indent(indent).subsequent_indent(indent).break_words(false);
    textwrap::wrap(text, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_is_as_it_would_be_folded() {
        for text in ["a", "  two  words", "ends-with-a hyphen-", "why (certain): x[1] was killed by signal 9"] {
            for indent in ["", INDENT] {
                assert!(fits(indent, text));
                let options = textwrap::Options::new(WIDTH).initial_indent(indent).subsequent_indent(indent);
                assert_eq!(textwrap::wrap(text, options.break_words(false)), folded(indent, text), "{text:?}");
            }
        }
        assert!(!fits(INDENT, &"x".repeat(WIDTH - INDENT.len() + 1)) && !fits("", "two\nlines") && !fits("", "é"));
    }
}
