//! What is said on standard error: errors, and the log. Paths, names and arguments in it are foreign.

use std::{borrow::Cow, env, io::Write as _, sync::mpsc, thread, time::Duration};

use clap::error::ErrorKind;

use crate::sink::foreign::{Printable, printable};

/// Starts the log.
pub fn start_log(level: log::LevelFilter) {
    env_logger::Builder::new()
        .filter_level(level)
        // How a library loads programs is of no interest here.
        .filter_module("aya", log::LevelFilter::Warn)
        .filter_module("aya_obj", log::LevelFilter::Warn)
        .format(|out, record| {
            let (style, level) = (out.default_level_style(record.level()), record.level());
            writeln!(out, "[{style}{level:<5}{style:#}] {}", Printable(record.args()))
        })
        .init();
}

/// How long a reader of standard error may take: it may be the one that does not read the output.
const PATIENCE: Duration = Duration::from_millis(200);

/// Says why the run failed, if somebody takes it.
pub fn say(error: &anyhow::Error) {
    let text = format!("tracer: {:#}", Printable(error));
    let (said, done) = mpsc::channel();
    thread::spawn(move || {
        eprintln!("{text}");
        // Nobody waits for it any more, or it is soon enough.
        let _ = said.send(());
    });
    let _ = done.recv_timeout(PATIENCE);
}

/// Says what is wrong with the command line, or what was asked of it, such as the help; and ends the process.
pub fn usage(error: &clap::Error) -> ! {
    let is_hostile = |argument: &str| matches!(printable(argument), Cow::Owned(_));
    let hostile = env::args_os().any(|argument| is_hostile(&argument.to_string_lossy()));
    if !hostile || matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        error.exit();
    }
    // Without styles: which of them are clap's would be hard to tell. Its lines remain lines.
    let text = error.render().to_string();
    text.lines().for_each(|line| eprintln!("{}", printable(line)));
    std::process::exit(error.exit_code());
}
