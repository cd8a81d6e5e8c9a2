//! `fuzz`: libFuzzer chooses bytes, led by the code that they reach, and the targets of `tracer/fuzz` say what must hold.
//!
//! Any stable compiler will do. The passes that libFuzzer needs are in rustc's LLVM and are switched on by flags that are
//! stable, too; what is nightly's are the sanitizers, which find faults of `unsafe` code only. libFuzzer itself comes as
//! source with `libfuzzer-sys`, and takes a C++ compiler.

use std::{
    env, fs,
    path::PathBuf,
    process::{Child, Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{cargo, process, workspace::Workspace};

/// Edges are counted, and what is compared is told: so a magic number is found.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Megabytes that a target may take with its corpus: a bound for what the targets do not count themselves.
const MEGABYTES: u32 = 2048;
/// Seconds that an input may take, on a machine that does much else.
const LONGEST: u32 = 60;
/// The longest input: longer ones reach nothing else, and are played less often.
const BYTES: u32 = 8 << 10;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fuzz each target for this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u32,
    /// Fuzz so many targets at a time
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    /// Also add to the corpus in the repository what reaches other code: the fewest inputs that reach all
    #[arg(long)]
    keep: bool,
    /// What to fuzz, such as `pipeline`; all targets by default
    targets: Vec<String>,
}

pub(crate) fn main(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    run(workspace, args)?;
    Ok(ExitCode::SUCCESS)
}

/// Each target, for a minute.
pub(crate) fn all(workspace: &Workspace) -> Result<()> {
    run(workspace, &Args { seconds: 60, jobs: 2, keep: false, targets: Vec::new() })
}

fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut targets = build(workspace)?;
    if let Some(unknown) = args.targets.iter().find(|name| !targets.iter().any(|target| target.name == **name)) {
        let known: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
        bail!("there is no fuzz target {unknown}: there are {}", known.join(", "));
    }
    targets.retain(|target| args.targets.is_empty() || args.targets.contains(&target.name));
    let mut failed = Vec::new();
    for some in targets.chunks(args.jobs.into()) {
        let running =
            some.iter().map(|target| Ok((target, target.start(args.seconds)?))).collect::<Result<Vec<_>>>()?;
        for (target, mut child) in running {
            let status = child.wait().with_context(|| format!("cannot wait for {}", target.name))?;
            target.report()?;
            if !status.success() {
                failed.push(target);
            }
        }
    }
    if let Some(target) = failed.first() {
        bail!(
            "{} found an input that it must not fail for, in {}: once it passes, it belongs into {}",
            target.name,
            target.found.display(),
            target.corpus.display()
        );
    }
    if args.keep {
        targets.iter().try_for_each(Target::keep)?;
    }
    Ok(())
}

/// A target that was built.
struct Target {
    name: String,
    binary: PathBuf,
    /// In the repository.
    corpus: PathBuf,
    /// Inputs that led to other code: not in the repository, and begun with the next time.
    grown: PathBuf,
    /// Inputs that it failed for.
    found: PathBuf,
    log: PathBuf,
}

fn build(workspace: &Workspace) -> Result<Vec<Target>> {
    let compiler = env::var_os("CXX").unwrap_or_else(|| "c++".into());
    process::capture(Command::new(compiler).arg("--version"))
        .context("libFuzzer takes a C++ compiler: `apt install g++`, or name one in CXX")?;
    let mut command = cargo::command("build");
    command
        .current_dir(&workspace.root)
        // Flags would else be those of the build scripts, too.
        .args(["--target", &cargo::host_target()?])
        .arg("--target-dir")
        .arg(workspace.target.join("fuzzing"))
        .args(["--package", "tracer-fuzz", "--bins", "--features", "libfuzzer", "--profile", "fuzz"])
        .env("RUSTFLAGS", FLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    let home = workspace.root.join("tracer/fuzz");
    let work = workspace.target.join("fuzzing/work");
    let mut targets = Vec::new();
    for executable in cargo::executables(&mut command)? {
        let Some(name) = executable.name.strip_prefix("fuzz_") else { continue };
        targets.push(Target {
            corpus: home.join("corpus").join(name),
            grown: work.join(name).join("corpus"),
            found: work.join(name).join("found"),
            log: work.join(name).join("log"),
            binary: executable.path,
            name: name.to_owned(),
        });
    }
    targets.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(targets)
}

impl Target {
    fn start(&self, seconds: u32) -> Result<Child> {
        for directory in [&self.grown, &self.found] {
            fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        println!("{}: {seconds} s, its log is {}", self.name, self.log.display());
        let log = fs::File::create(&self.log).with_context(|| format!("cannot make {}", self.log.display()))?;
        let mut command = self.command();
        command
            .arg(format!("-max_total_time={seconds}"))
            .args([format!("-timeout={LONGEST}"), format!("-rss_limit_mb={MEGABYTES}"), format!("-max_len={BYTES}")])
            .arg(format!("-artifact_prefix={}/", self.found.display()))
            .args(["-print_final_stats=1", "-detect_leaks=0"])
            .args([&self.grown, &self.corpus])
            .stdout(Stdio::null())
            .stderr(log);
        command.spawn().with_context(|| format!("cannot run `{}`", process::show(&command)))
    }

    /// As the tracer does not know this machine's place, nor its user's taste.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env("TZ", "UTC").env("RUST_BACKTRACE", "1");
        command
    }

    /// What it has come to: how many inputs, or the failure.
    fn report(&self) -> Result<()> {
        let log = fs::read(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        let log = String::from_utf8_lossy(&log);
        let is_of_interest = |line: &&str| {
            ["panicked at", "ERROR: libFuzzer", "Test unit written to", "stat::number_of_executed_units"]
                .iter()
                .any(|mark| line.contains(mark))
                || line.contains("DONE")
        };
        log.lines().filter(is_of_interest).for_each(|line| println!("{}: {line}", self.name));
        Ok(())
    }

    /// Adds to the repository's corpus what it does not reach.
    fn keep(&self) -> Result<()> {
        let mut command = self.command();
        // By the code alone: how often a place is reached would make thousands of them.
        command
            .args(["-merge=1", "-use_counters=0", "-use_cmp=0", &format!("-timeout={LONGEST}")])
            .args([&self.corpus, &self.grown]);
        process::run(command.stderr(Stdio::null()))
    }
}
