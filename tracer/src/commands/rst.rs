//! `tracer rst`: only RSTs, each with its verdict, and a table of them at the end.

use std::{collections::BTreeSet, io, process::ExitCode};

use serde::Serialize;

use crate::{
    child::When,
    cli::RstArgs,
    commands::{
        output::OutputArgs,
        trace::{self, Job},
    },
    config::Config,
    event::Kind,
    pipeline::diagnose::{causes, deaths, queue},
    sink::{format::Format, page::Medium, text::TextStyle},
};

/// Runs the command.
///
/// # Errors
/// As [`trace::run`].
pub fn run(config: &Config, args: &RstArgs) -> anyhow::Result<ExitCode> {
    if args.causes {
        list(args.format.format())?;
        return Ok(ExitCode::SUCCESS);
    }
    trace::perform(
        config,
        &Job {
            // Who forges segments is evidence.
            kinds: BTreeSet::from([Kind::Rst, Kind::Stray, Kind::Close, Kind::Raw, Kind::Overflow]),
            shown: BTreeSet::from([Kind::Rst, Kind::Stray, Kind::Close, Kind::Overflow]),
            filter: &args.filter,
            duration: args.duration,
            count: args.count,
            command: &[],
            pty: When::Never,
            write: args.files.write.as_deref(),
            rotation: args.files.rotation.get(),
            output: OutputArgs {
                format: args.format.format(),
                style: TextStyle::Trace { tasks: false, evidence: args.evidence },
                file: args.files.output.as_deref(),
            },
            rsts_only: true,
            detail: args.detail,
            redact: args.redact.secrets(),
            fail_on_loss: args.fail_on_loss,
            user: args.user.as_deref(),
        },
    )
}

#[derive(Serialize)]
struct Listed {
    cause: &'static str,
    title: &'static str,
    remedy: &'static str,
}

/// The causes, with their texts.
fn list(format: Format) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let of_rsts = causes::ALL.iter().map(|it| Listed { cause: it.id, title: it.title, remedy: it.remedy });
    let of_deaths = deaths::ALL.iter().map(|it| Listed { cause: it.id, title: it.title, remedy: it.remedy });
    let of_queues = Listed { cause: queue::FULL.id, title: queue::FULL.title, remedy: queue::FULL.remedy };
    for listed in of_rsts.chain(of_deaths).chain([of_queues]) {
        format.write(&mut out, Medium::PLAIN, &listed, |page| {
            page.line(&format!("{}: {}", listed.cause, listed.title))?;
            page.paragraph("    ", listed.remedy)
        })?;
    }
    Ok(())
}
