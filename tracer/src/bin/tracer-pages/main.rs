//! Writes the manual pages and the completions of `tracer`, from the command line's very definition: `tracer-pages
//! DIRECTORY`.
//!
//! It is a program of its own, behind the feature `pages`, so that tracer does not carry what only who packages it needs.

mod examples;
mod page;

use std::{env, fs, io, path::Path, process::ExitCode};

use clap::CommandFactory as _;
use clap_complete::{Shell, generate_to};
use tracer::cli::Cli;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [directory] = &arguments[..] else {
        eprintln!("usage: tracer-pages DIRECTORY");
        return ExitCode::from(2);
    };
    match write(directory.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot write to {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

/// Writes `man/*.1` and `completions/*`.
fn write(directory: &Path) -> io::Result<()> {
    let mut command = Cli::command().disable_help_subcommand(true);
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command, "tracer", &completions)?;
    }
    command.build();
    fs::write(man.join("tracer.1"), page::of(&command)?)?;
    for subcommand in command.get_subcommands() {
        fs::write(man.join(format!("tracer-{}.1", subcommand.get_name())), page::of(subcommand)?)?;
    }
    Ok(())
}
