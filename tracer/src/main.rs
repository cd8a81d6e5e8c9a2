//! Parses, runs, and maps the outcome to an exit code.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use tracer::{
    child::CommandError,
    cli::{Cli, Command},
    commands::{doctor, replay, rst, trace},
    demo,
    kernel::preflight,
    sink::json,
    stderr,
};

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| stderr::usage(&error));
    stderr::start_log(cli.log_level());
    let config = cli.config();
    let outcome = match &cli.command {
        Command::Trace(args) => trace::run(&config, args),
        Command::Rst(args) => rst::run(&config, args),
        Command::Demo(args) => demo::run(&config, args),
        Command::Replay(args) => replay::run(args),
        Command::Doctor(args) => doctor::run(&config, args),
        Command::Schema => schema(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            stderr::say(&error);
            exit_code(&error)
        }
    }
}

/// `tracer schema`.
fn schema() -> anyhow::Result<ExitCode> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer_pretty(&mut stdout, &json::schema()).map_err(io::Error::from)?;
    writeln!(stdout)?;
    Ok(ExitCode::SUCCESS)
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<CommandError>() {
        Some(error) => error.exit_code().into(),
        None => preflight::exit_code(error),
    }
}

/// The reader of our output has seen enough (`tracer ... | head`): that is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kind == Some(io::ErrorKind::BrokenPipe)
}
