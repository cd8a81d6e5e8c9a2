//! Aligned columns for people: time, process, local, remote, what happened. It fits the page's width, but for IPv6
//! addresses longer than that; details go on indented lines below.

mod causes;
mod clock;
mod details;
mod kinds;
mod line;
mod losses;
mod units;

use std::{
    collections::VecDeque,
    io::{self, Write},
    num::NonZeroUsize,
    sync::Arc,
};

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use lru::LruCache;

use self::{
    clock::Clock,
    line::{Columns, row},
};
use super::{
    Item, Sink,
    page::{Medium, Page, folded},
};
use crate::{
    event::{Event, Family, Owner, Pid, Shared, Verdict, end},
    kernel::{probes::Probe, room::Room},
    report::{Loss, RunInfo, ScenarioReport, Summary, Unaccounted},
};

const INDENT: &str = "             ";
/// Frames of a kernel stack that are shown; JSON has them all.
const FRAMES: usize = 8;

/// The text format.
#[derive(Debug)]
pub struct Text {
    /// What it is written on.
    pub medium: Medium,
    /// What is shown below the lines.
    pub style: TextStyle,
    /// The zone that times are shown in.
    pub zone: TimeZone,
    /// Processes that were introduced, by id and command line.
    known: LruCache<(Pid, Option<Arc<str>>), ()>,
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
pub enum TextStyle {
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
/// Processes that are recognised without hashing.
const RECENT: usize = 8;
/// Whys that are kept as lines.
const WHYS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

impl Sink for Text {
    fn write(&mut self, out: &mut dyn Write, item: Item<'_>) -> io::Result<()> {
        let page = &mut Page::new(out, self.medium);
        match item {
            Item::Start(info) => start(page, info),
            Item::Scenario(name, title, family) => scenario(page, name, title, family),
            Item::Event(event) => self.event(page, event),
            Item::Loss(loss) => self.loss(page, loss),
            Item::Report(report, _) => report_of(page, report),
            Item::Summary(summary) => self.summary(page, summary),
        }
    }
}

impl Text {
    /// A text that begins.
    pub fn new(medium: Medium, style: TextStyle, zone: TimeZone) -> Self {
        Self {
            medium,
            style,
            zone,
            known: LruCache::new(KNOWN),
            recent: VecDeque::new(),
            clock: Clock::default(),
            whys: LruCache::new(WHYS),
            parts: Parts::default(),
        }
    }

    fn event(&mut self, page: &mut Page<'_>, event: &Event) -> io::Result<()> {
        self.line(page, event)?;
        kinds::below(page, event, self.style == TextStyle::Demo)?;
        let TextStyle::Trace { tasks, evidence } = self.style else { return Ok(()) };
        if let Some(verdict) = event.verdict() {
            self.why(page, verdict)?;
            if evidence {
                details::evidence(page, verdict)?;
            }
        }
        if tasks {
            details::task(page, event)?;
        }
        match &event.owner {
            Some(owner) if self.is_new(owner) => details::owner(page, owner, event.netns_name.as_deref()),
            _ => Ok(()),
        }
    }

    /// The event's own line. It is made in places that are used again: most of what is shown are such lines.
    fn line(&mut self, page: &mut Page<'_>, event: &Event) -> io::Result<()> {
        let Parts { process, what, line } = &mut self.parts;
        for part in [&mut *process, what, line] {
            part.clear();
        }
        line::process(process, event);
        let style = kinds::what(what, event);
        let [local, remote] = [event.local, event.remote].map(end::text);
        let time = self.clock.show(event.time, &self.zone);
        row(line, &Columns { time, process, local: &local, remote: &remote, what }, page.row_width());
        // Painted last: escape sequences have no width.
        page.rows(line, what.len(), style)
    }

    fn why(&mut self, page: &mut Page<'_>, verdict: &Verdict) -> io::Result<()> {
        let why = format!("why ({}): {}", verdict.confidence, verdict.summary);
        let lines = self.whys.get_or_insert_with_key(why, |why| folded(INDENT, why, page.width()));
        lines.iter().try_for_each(|line| page.painted(Style::new().bold(), line))
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

    fn summary(&self, page: &mut Page<'_>, summary: &Summary) -> io::Result<()> {
        if !summary.answer.is_empty() {
            page.gap()?;
            for line in &summary.answer {
                page.paragraph("", line)?;
            }
        }
        if let Some(causes) = &summary.causes {
            self.causes(page, causes)?;
        }
        for Unaccounted { netns, counter, counted, reported } in &summary.unaccounted {
            let missing = counted.saturating_sub(*reported);
            let text = format!(
                "netns {netns}: kernel counted {counted} {}, tracer reported {reported} ({missing} missing; some may fall \
                 outside the trace window)",
                counter.name()
            );
            page.paragraph("", &text)?;
        }
        let counts = summary.counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>();
        let counts = if counts.is_empty() { "no events".to_owned() } else { counts.join(", ") };
        page.gap()?;
        page.paragraph("", &format!("{counts} in {:.1} s; {} lost", summary.seconds, summary.lost.total()))?;
        losses::sentences(&summary.lost).iter().try_for_each(|sentence| page.paragraph("", sentence))
    }

    /// Since when it is so goes without saying: each loss is told within moments.
    fn loss(&mut self, page: &mut Page<'_>, loss: &Loss) -> io::Result<()> {
        let before = format!("{} ", self.clock.show(loss.time, &self.zone));
        let style = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
        for sentence in losses::sentences(&loss.lost) {
            let (mark, after) = sentence.split_at(sentence.find(':').unwrap_or_default());
            page.marked(&before, style, mark, after)?;
        }
        Ok(())
    }
}

fn start(page: &mut Page<'_>, info: &RunInfo) -> io::Result<()> {
    let is_event = |name: &str| Probe::ALL.iter().any(|probe| probe.name() == name && !probe.is_auxiliary());
    let probes = info.probes.iter().filter(|(probe, _)| is_event(probe)).map(|(probe, mechanism)| match mechanism {
        Some(mechanism) => format!("{probe} {mechanism}"),
        None => format!("{probe} not observed"),
    });
    let probes = probes.collect::<Vec<_>>().join(", ");
    page.paragraph("", &format!("tracer {} on Linux {}: {probes}", info.version, info.kernel))?;
    for secret in &info.redacted {
        page.paragraph("", &format!("note: redacted: {}", secret.text()))?;
    }
    for sentence in &info.degraded {
        page.paragraph("", &format!("note: {sentence}"))?;
    }
    let Room { sockets, bytes, most_bytes, .. } = info.room;
    if sockets > 0 {
        let [now, most] = [bytes, most_bytes].map(|bytes| bytes.div_ceil(1 << 20));
        let memory = if now == most { format!("{most} MiB") } else { format!("{now} MiB, at most {most} MiB") };
        page.paragraph("", &format!("note: socket table: {sockets} sockets at a time ({memory}; --sockets)"))?;
    }
    let mut headings = String::new();
    let columns = Columns { time: "TIME", process: "PROCESS", local: "LOCAL", remote: "REMOTE", what: "WHAT HAPPENED" };
    row(&mut headings, &columns, page.row_width());
    headings.lines().try_for_each(|line| page.painted(Style::new().bold(), line))
}

fn scenario(page: &mut Page<'_>, name: &str, title: &str, family: Family) -> io::Result<()> {
    page.gap()?;
    let over = if family == Family::Ipv6 { " (over IPv6)" } else { "" };
    let heading = format!("== {name}: {title}{over}");
    folded("", &heading, page.width()).iter().try_for_each(|line| page.painted(Style::new().bold(), line))
}

fn report_of(page: &mut Page<'_>, report: &ScenarioReport) -> io::Result<()> {
    for line in &report.exhibits {
        page.line(&format!("    {line}"))?;
    }
    let (mark, colour) = if report.ok { ("ok", AnsiColor::Green) } else { ("NOT OK", AnsiColor::Red) };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    page.marked("-- ", style, mark, &format!(": {}", report.outcome))?;
    report.verdict.iter().try_for_each(|line| page.paragraph("   ", line))
}
