//! One manual page.

use std::io;

use clap::Command;
use clap_mangen::{
    Man,
    roff::{Inline, Roff, bold, roman},
};

use super::examples;

/// What each status means, for all commands.
const STATUSES: [(&str, &str); 7] = [
    ("0", "Success."),
    ("1", "A scenario or the run failed; with --fail-on-loss, an event was lost."),
    ("2", "The command line is wrong."),
    ("69", "The kernel does not support what is asked for."),
    ("77", "Privileges are missing."),
    ("126, 127", "The command of trace cannot be run, or is not found."),
    (
        "other",
        "trace -- COMMAND ends with the status of COMMAND, and with 128 and the signal's number if one ended it.",
    ),
];

/// The page of `tracer`, or of one of its commands, which must be built.
pub(crate) fn of(command: &Command) -> io::Result<Vec<u8>> {
    let is_root = command.has_subcommands();
    // Pages of commands are named as git's are.
    let title = if is_root { "tracer".to_owned() } else { format!("tracer-{}", command.get_name()) };
    // What clap says after its help is said in a section of its own here.
    let shown = command.clone().after_help(None::<&str>);
    let page = Man::new(shown)
        .title(title)
        .section("1")
        .source(concat!("tracer ", env!("CARGO_PKG_VERSION")))
        .manual("tracer");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if is_root {
        page.render_subcommands_section(&mut text)?;
    }
    section("EXAMPLES", examples::of(command.get_name())).to_writer(&mut text)?;
    section("EXIT STATUS", &STATUSES).to_writer(&mut text)?;
    see_also(command, is_root).to_writer(&mut text)?;
    Ok(text)
}

/// Words, each with what is to say of it.
fn section(title: &str, entries: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::default();
    roff.control("SH", [title]);
    for (word, explanation) in entries {
        roff.control("TP", []).text([bold(*word)]).text([roman(*explanation)]);
    }
    roff
}

fn see_also(command: &Command, is_root: bool) -> Roff {
    let pages: Vec<String> = match is_root {
        true => command.get_subcommands().map(|it| format!("tracer-{}", it.get_name())).collect(),
        false => vec!["tracer".to_owned()],
    };
    let mut line: Vec<Inline> = Vec::new();
    for page in pages {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(page), roman("(1)")]);
    }
    let mut roff = Roff::default();
    roff.control("SH", ["SEE ALSO"]).text(line);
    roff
}
