//! `tracer doctor`: how each event is observed on this kernel, and with which limitations.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    process::ExitCode,
};

use serde::Serialize;

use crate::{
    cli::DoctorArgs,
    config::Config,
    confine,
    event::Kind,
    filter::Criteria,
    host::pid_namespace,
    kernel::{
        btf::KernelBtf,
        loader::{Probes, Settings},
        preflight::{self, Purpose, Unmet},
        probes::{Mechanism, Outcome, Probe},
        room::Room,
    },
    session,
    sink::page::{Medium, Page},
};

/// Everything that `doctor` finds out.
#[derive(Debug, Serialize)]
pub struct Examination {
    /// Release of the running kernel.
    pub kernel: String,
    /// Machine architecture.
    pub arch: &'static str,
    /// The kernel's BTF: its path, or why it cannot be used.
    pub btf: String,
    /// Lockdown mode, null without that security module.
    pub lockdown: Option<String>,
    /// Capabilities that `trace` needs and this process lacks.
    pub missing_capabilities: Vec<String>,
    /// Further capabilities that `demo` needs and this process lacks.
    pub missing_for_demo: Vec<String>,
    /// One entry per logical event; empty if the probes could not be tried.
    pub probes: Vec<ProbeReport>,
    /// Features lost because the kernel lacks a field.
    pub missing_fields: Vec<String>,
    /// What a run does not know for want of privileges.
    pub unknown: Vec<String>,
    /// What a run gives up when all is set up.
    pub confinement: Vec<String>,
    /// Effects of the tracer's own pid namespace.
    pub pid_namespace: Vec<String>,
    /// Capacity of the programs' socket table; null if the programs could not be tried.
    pub room: Option<Room>,
}

/// How one logical event is observed.
#[derive(Debug, Serialize)]
pub struct ProbeReport {
    /// The event.
    pub event: &'static str,
    #[serde(skip)]
    probe: Probe,
    /// The mechanism chosen, null if none works.
    pub chosen: Option<Mechanism>,
    /// Where it is attached.
    pub hooks: Vec<String>,
    /// Mechanisms that the kernel rejected before.
    pub refused: Vec<Refusal>,
    /// Limitations of the chosen mechanism.
    pub degraded: Vec<String>,
    /// Fields of the event that may be null, or differ, because of these limitations.
    pub blind_fields: Vec<&'static str>,
}

/// A mechanism that the kernel rejected.
#[derive(Debug, Serialize)]
pub struct Refusal {
    /// Which.
    pub mechanism: Mechanism,
    /// How the kernel refused.
    pub reason: String,
}

/// Runs the command. It succeeds if everything that `trace` shows by default can be observed.
///
/// # Errors
/// If the output fails, or the requirement that is not met, after all is printed.
pub fn run(config: &Config, args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let unmet = preflight::check(Purpose::Trace);
    let (findings, failure) = examine(config, unmet);
    let mut out = io::stdout().lock();
    let medium = Medium::terminal(false, WIDTH);
    args.format.format().write(&mut out, medium, &findings, |page| print(page, &findings))?;
    out.flush()?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    let observed = |probe: &Probe| findings.probes.iter().any(|f| f.probe == *probe && f.chosen.is_some());
    Ok(if Probe::ALL.iter().filter(|probe| probe.is_essential()).all(observed) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn examine(config: &Config, unmet: Result<(), Unmet>) -> (Examination, Option<anyhow::Error>) {
    let named = |purpose| preflight::lacking(purpose).iter().map(ToString::to_string).collect();
    let mut findings = Examination {
        kernel: session::info::kernel_release(),
        arch: std::env::consts::ARCH,
        btf: config.btf.display().to_string(),
        lockdown: preflight::lockdown(),
        missing_capabilities: named(Purpose::Trace),
        missing_for_demo: named(Purpose::Demo),
        probes: Vec::new(),
        missing_fields: Vec::new(),
        unknown: preflight::unknown(),
        confinement: confine::outlook(),
        pid_namespace: pid_namespace::notes(),
        room: None,
    };
    let kernel = match KernelBtf::load(&config.btf) {
        Ok(kernel) => kernel,
        Err(error) => {
            findings.btf = error.to_string();
            return (findings, Some(error.into()));
        }
    };
    if let Err(unmet) = unmet {
        return (findings, Some(unmet.into()));
    }
    let settings = Settings {
        probes: Probe::ALL.into(),
        family: config.family,
        // As they are when they report: what is never reported would not even be verified.
        reported: Kind::reported(&Kind::ALL.into()),
        criteria: Criteria::of_no_netns(),
        stacks: false,
        ring_bytes: 64 << 10,
        sockets: config.sockets,
        log: log::LevelFilter::Off,
    };
    match Probes::attach(&settings, &kernel) {
        Ok(probes) => {
            findings.probes = probes.outcomes.iter().map(finding).collect();
            findings.missing_fields.clone_from(&probes.missing_fields);
            findings.room = Some(probes.room);
            (findings, None)
        }
        Err(error) => (findings, Some(error)),
    }
}

fn finding(outcome: &Outcome) -> ProbeReport {
    let (chosen, hooks) = outcome.chosen.clone().unzip();
    ProbeReport {
        event: outcome.probe.name(),
        probe: outcome.probe,
        chosen,
        // A function with a kprobe and a kretprobe is one place.
        hooks: hooks.iter().flatten().map(ToString::to_string).collect::<BTreeSet<_>>().into_iter().collect(),
        refused: outcome
            .refused
            .iter()
            .map(|(mechanism, reason)| Refusal { mechanism: *mechanism, reason: reason.clone() })
            .collect(),
        degraded: outcome.degraded(),
        blind_fields: outcome.limitations.iter().filter_map(|limitation| limitation.field()).collect(),
    }
}

/// Columns of the page: what a terminal has at least.
const WIDTH: usize = 80;

/// Where the text begins that stands behind a name.
const COLUMN: usize = 24;

/// What matters first: what works, what does not, and what to do about it. How that was found out comes last.
fn print(page: &mut Page<'_>, findings: &Examination) -> io::Result<()> {
    print_host(page, findings)?;
    if !findings.probes.is_empty() {
        print_result(page, &findings.probes)?;
        print_plan(page, &findings.probes)?;
    }
    let notes = [&findings.missing_fields, &findings.unknown, &findings.pid_namespace];
    if notes.iter().any(|notes| !notes.is_empty()) {
        page.gap()?;
    }
    for sentence in notes.into_iter().flatten() {
        page.labelled("note: ", 6, sentence)?;
    }
    Ok(())
}

fn print_host(page: &mut Page<'_>, findings: &Examination) -> io::Result<()> {
    let lacking = |names: &[String]| match names {
        [] => "ok".to_owned(),
        names => format!("{} missing", names.join(", ")),
    };
    let mut line = |name: &str, text: &str| page.labelled(name, "capabilities  ".len(), text);
    line("kernel", &format!("{} {}", findings.kernel, findings.arch))?;
    line("BTF", &findings.btf)?;
    line("lockdown", findings.lockdown.as_deref().unwrap_or("not supported by this kernel"))?;
    line("capabilities", &format!("for trace: {}", lacking(&findings.missing_capabilities)))?;
    line("", &format!("for demo: {}", lacking(&findings.missing_for_demo)))?;
    for (at, sentence) in findings.confinement.iter().enumerate() {
        line(if at == 0 { "confinement" } else { "" }, sentence)?;
    }
    if let Some(Room { sockets, listeners, on_demand, bytes, most_bytes }) = findings.room {
        let [now, most] = [bytes, most_bytes].map(|bytes| bytes.div_ceil(1 << 20));
        let memory = if on_demand { format!("{now} MiB, at most {most} MiB") } else { format!("{most} MiB") };
        line("room", &format!("for {sockets} sockets and {listeners} listeners: {memory}"))?;
    }
    Ok(())
}

fn print_result(page: &mut Page<'_>, findings: &[ProbeReport]) -> io::Result<()> {
    let (works, fails): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.chosen.is_some());
    let (whole, limited): (Vec<_>, Vec<_>) = works.into_iter().partition(|finding| finding.degraded.is_empty());
    let names: Vec<_> = whole.iter().map(|finding| finding.probe.title()).collect();
    heading(page, "observed in full")?;
    page.labelled("", 2, &if names.is_empty() { "nothing".to_owned() } else { names.join("; ") })?;
    if !limited.is_empty() {
        heading(page, "observed with limitations")?;
    }
    for finding in limited {
        page.labelled(&format!("  {}", finding.probe.title()), COLUMN, &finding.degraded.join("; "))?;
    }
    if !fails.is_empty() {
        heading(page, "not observed")?;
    }
    for finding in fails {
        page.labelled(&format!("  {}", finding.probe.title()), COLUMN, finding.probe.without())?;
    }
    Ok(())
}

fn print_plan(page: &mut Page<'_>, findings: &[ProbeReport]) -> io::Result<()> {
    heading(page, "attached (and what the kernel rejected before)")?;
    for finding in findings {
        let chosen = match finding.chosen {
            Some(mechanism) => format!("{mechanism} {}", finding.hooks.join(", ")),
            None => "unavailable".to_owned(),
        };
        page.labelled(&format!("  {}", finding.probe.title()), COLUMN, &chosen)?;
        for refusal in &finding.refused {
            page.labelled("", COLUMN, &format!("not {}: {}", refusal.mechanism, refusal.reason))?;
        }
    }
    Ok(())
}

fn heading(page: &mut Page<'_>, text: &str) -> io::Result<()> {
    page.gap()?;
    page.line(text)
}
