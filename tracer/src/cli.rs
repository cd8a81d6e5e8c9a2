//! The command line: syntax only.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Parser, Subcommand, builder::PossibleValuesParser};

use crate::{
    child::When,
    config::{Config, Rotation},
    demo::scenarios,
    event::{Family, Kind},
    filter::FilterArgs,
    host::malloc,
    kernel::{btf, probes::ProbeFamily},
    redact::RedactArgs,
    sink::format::FormatArgs,
};

/// Explains why TCP connections were reset, and how they opened.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 success; 1 a scenario or the run failed; 2 wrong usage; \
69 kernel support missing; 77 insufficient privileges. \
`trace -- COMMAND` exits with the status of COMMAND, 127 if it is not found, 126 if it cannot be run."
)]
pub struct Cli {
    /// Log the activity of the eBPF programs to standard error
    #[arg(short, long, global = true)]
    pub verbose: bool,

    /// Ring buffer size in KiB, a power of two [default: RAM/1024, clamped to 1024-16384]
    #[arg(long, global = true, value_name = "KIB", value_parser = ring_size)]
    pub ring_size: Option<u32>,

    /// Sockets to keep state for at a time [default: one per 8 KiB of RAM, clamped to 65536-2097152]
    #[arg(long, global = true, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(16..=1 << 24))]
    pub sockets: Option<u32>,

    /// Restrict probes to one attachment family (for comparison)
    #[arg(long, global = true, value_enum, default_value_t = ProbeFamily::Auto)]
    pub probes: ProbeFamily,

    /// Use this BTF file instead of the running kernel's
    #[arg(long, global = true, value_name = "PATH", default_value = btf::VMLINUX)]
    pub btf: PathBuf,

    /// Overwrite files that exist
    #[arg(long, global = true)]
    pub force: bool,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Trace TCP state changes, opens and resets, system-wide or for chosen processes or a command
    Trace(TraceArgs),
    /// Explain every RST sent or received, then summarize by cause
    Rst(RstArgs),
    /// Show, in private netns, how TCP connects without a listener, and why a raw socket cannot
    Demo(DemoArgs),
    /// Show a recording made with `trace -w`, on any machine and without privileges
    Replay(ReplayArgs),
    /// Show how each event is observed on this kernel, and the limitations
    Doctor(DoctorArgs),
    /// Print the JSON Schema of each line of -j output
    Schema,
}

/// `tracer trace`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Stop after this many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,

    /// Stop after this many events
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Events to report; lookup and raw add per-packet overhead
    #[arg(short, long, value_name = "EVENTS", value_delimiter = ',', default_value = "state,rst,open")]
    pub events: Vec<Kind>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the command's own help")]
    pub files: Files,

    /// Also print the task that was running on the CPU (always present in JSON)
    #[arg(long)]
    pub tasks: bool,

    /// Also print the evidence and the remedy for each RST (always present in JSON)
    #[arg(long)]
    pub evidence: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the command's own help")]
    pub detail: Detail,

    /// Exit 1 if any event was lost
    #[arg(long)]
    pub fail_on_loss: bool,

    /// Run as USER after setup, with only the capabilities still needed; files of -o and -w are USER's
    #[arg(short = 'Z', long = "relinquish-privileges", value_name = "USER")]
    pub user: Option<String>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the command's own help")]
    pub redact: RedactArgs,

    /// Give COMMAND a terminal of its own, which auto does if it runs as another user
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, requires = "command")]
    #[arg(default_value = "auto", default_missing_value = "always")]
    pub pty: When,

    /// The output format.
    #[command(flatten)]
    pub format: FormatArgs,

    /// Run COMMAND (as the sudo caller) and trace only it and its children; exits with its status
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["pids", "count", "duration"])]
    pub command: Vec<OsString>,

    // Last: what comes after it would be under its heading.
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the command's own help")]
    pub filter: FilterArgs,
}

/// `tracer rst`.
#[derive(Debug, Args)]
pub struct RstArgs {
    /// Stop after this many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,

    /// Stop after this many RSTs
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Also print the evidence and the remedy for each RST (always present in JSON)
    #[arg(long)]
    pub evidence: bool,

    /// List the known causes and exit
    #[arg(long)]
    pub causes: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the command's own help")]
    pub files: Files,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the command's own help")]
    pub detail: Detail,

    /// Exit 1 if any event was lost
    #[arg(long)]
    pub fail_on_loss: bool,

    /// Run as USER after setup, with only the capabilities still needed; files of -o and -w are USER's
    #[arg(short = 'Z', long = "relinquish-privileges", value_name = "USER")]
    pub user: Option<String>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the command's own help")]
    pub redact: RedactArgs,

    /// The output format.
    #[command(flatten)]
    pub format: FormatArgs,

    // Last: what comes after it would be under its heading.
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the command's own help")]
    pub filter: FilterArgs,
}

/// When a recording goes on in another file.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(group = ArgGroup::new("turn").args(["rotate_size", "rotate_time"]).multiple(true))]
pub struct RotationArgs {
    /// With -w, continue in the next file (FILE.0001, FILE.0002, ...) when one has this many KiB
    #[arg(long, value_name = "KIB", requires = "write", value_parser = clap::value_parser!(u64).range(4..=1 << 32))]
    pub rotate_size: Option<u64>,

    /// With -w, continue in the next file after this many seconds
    #[arg(long, value_name = "SECONDS", requires = "write", value_parser = seconds)]
    pub rotate_time: Option<Duration>,

    /// Keep only this many files of a recording, removing the oldest
    #[arg(long, value_name = "COUNT", requires = "turn", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
}

impl RotationArgs {
    /// As the recorder takes it.
    pub fn get(&self) -> Rotation {
        let Self { rotate_size, rotate_time, keep } = *self;
        Rotation { bytes: rotate_size.map(|kib| kib << 10), time: rotate_time, keep: keep.map(|keep| keep as usize) }
    }
}

/// Where a run goes beside standard output, or in its place.
#[derive(Debug, Args)]
pub struct Files {
    /// Also record to FILE, for `tracer replay`
    #[arg(short, long, value_name = "FILE")]
    pub write: Option<PathBuf>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the command's own help")]
    pub rotation: RotationArgs,

    /// Write to FILE instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What to find out about each RST, though it costs more.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Detail {
    /// Compare each RST's TTL, IP-ID and window with those of its connection; adds per-packet overhead
    #[arg(long)]
    pub baseline: bool,

    /// Capture the kernel stack of every RST, not only where the cause depends on it; costs 3 microseconds each
    #[arg(long)]
    pub stacks: bool,
}

/// `tracer replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Recording made with `trace -w`, or the files of one in order
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Events to show; all recorded ones by default
    #[arg(short, long, value_name = "EVENTS", value_delimiter = ',')]
    pub events: Vec<Kind>,

    /// Also print the task that was running on the CPU (always present in JSON)
    #[arg(long)]
    pub tasks: bool,

    /// Also print the evidence and the remedy for each RST (always present in JSON)
    #[arg(long)]
    pub evidence: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the command's own help")]
    pub redact: RedactArgs,

    /// The output format.
    #[command(flatten)]
    pub format: FormatArgs,

    // Last: what comes after it would be under its heading.
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the command's own help")]
    pub filter: FilterArgs,
}

/// `tracer demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Scenarios to play; all by default
    #[arg(value_name = "SCENARIO", value_parser = PossibleValuesParser::new(scenarios::names()))]
    pub scenarios: Vec<String>,

    /// Play over IPv4 (the default)
    #[arg(short = '4', long)]
    pub ipv4: bool,

    /// Play over IPv6; with -4, over both
    #[arg(short = '6', long)]
    pub ipv6: bool,

    /// The output format.
    #[command(flatten)]
    pub format: FormatArgs,

    /// Also write the packets on the wire, captured by packet sockets, to a pcapng file
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
}

/// `tracer doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The output format.
    #[command(flatten)]
    pub format: FormatArgs,
}

impl DemoArgs {
    /// What to play over.
    pub fn families(&self) -> Vec<Family> {
        match (self.ipv4, self.ipv6) {
            (true, true) => vec![Family::Ipv4, Family::Ipv6],
            (false, true) => vec![Family::Ipv6],
            (_, false) => vec![Family::Ipv4],
        }
    }
}

impl Cli {
    /// The level of our own log; the programs' follows it.
    pub fn log_level(&self) -> log::LevelFilter {
        if self.verbose { log::LevelFilter::Debug } else { log::LevelFilter::Warn }
    }

    /// What holds for every command.
    pub fn config(&self) -> Config {
        let Self { verbose, ring_size, sockets, probes, btf, force, command: _ } = self;
        Config {
            btf: btf.clone(),
            family: *probes,
            ring_bytes: ring_size.map_or_else(|| default_ring(malloc::total()), |kib| kib * 1024),
            sockets: *sockets,
            force: *force,
            verbose: *verbose,
        }
    }
}

/// Bytes of ring buffer for a machine with so many bytes of memory.
fn default_ring(memory: u64) -> u32 {
    let share = (memory / 1024).clamp(1 << 20, 16 << 20);
    // Within a u32 by the clamp, and a power of two, which the kernel asks for.
    1 << share.ilog2()
}

fn ring_size(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(kib) if kib.is_power_of_two() && (4..=1 << 20).contains(&kib) => Ok(kib),
        _ => Err("expected a power of two from 4 to 1048576".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|_| "expected a positive number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("expected a positive number of seconds".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::redact::Secret;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_redact_is_no_list_of_secrets_unless_it_says_so() {
        let secrets = |args: &[&str]| match Cli::try_parse_from([&["tracer", "replay"], args].concat())?.command {
            Command::Replay(args) => Ok(args.redact.secrets().into_iter().collect::<Vec<_>>()),
            _ => unreachable!("it is that command"),
        };
        let all = [Secret::Cmdline, Secret::User, Secret::Address];
        assert_eq!(secrets(&["file"]).unwrap_or_else(|error: clap::Error| panic!("{error}")), []);
        assert_eq!(secrets(&["--redact", "file"]).unwrap(), all);
        assert_eq!(secrets(&["--redact=user,cmdline", "file"]).unwrap(), all[..2]);
        for wrong in ["--redact=", "--redact=password"] {
            assert!(secrets(&[wrong, "file"]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_positive() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "inf", "NaN", "1e300", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_ring_grows_with_the_memory_within_bounds() {
        const GIB: u64 = 1 << 30;
        let sizes = [0, GIB - 1, 4 * GIB, 7 * GIB, 24 * GIB, u64::MAX].map(default_ring);
        assert_eq!(sizes.map(|bytes| bytes >> 20), [1, 1, 4, 4, 16, 16]);
        assert!(sizes.iter().all(|bytes| bytes.is_power_of_two()));
    }

    #[test]
    fn ring_sizes_are_powers_of_two() {
        assert_eq!(ring_size("1024"), Ok(1024));
        for wrong in ["0", "2", "1000", "2097152", "-4", "many"] {
            assert!(ring_size(wrong).is_err(), "{wrong}");
        }
    }
}
