//! The examples of the manual pages.

/// What one types, and what it is for.
pub(crate) type Example = (&'static str, &'static str);

/// The examples for a page, that is for `tracer` or one of its commands.
pub(crate) fn of(name: &str) -> &'static [Example] {
    match name {
        "tracer" => &[
            ("tracer rst", "Explain every RST of this machine, until Ctrl-C."),
            ("tracer demo", "See how TCP connects without a listener, and why a raw socket cannot."),
            ("tracer doctor", "See what can be observed on this kernel."),
        ],
        "trace" => &[
            ("tracer trace -e state,rst,open,close -- curl https://example.org/", "Trace one command."),
            ("tracer trace -p 812 -P 443 -d 60", "Trace a process and its children for a minute, one port only."),
            ("tracer trace -e rst,close -w incident.recording", "Record what a later replay is to show."),
        ],
        "rst" => &[
            ("tracer rst -P 443 --evidence", "Explain the RSTs of a port, with evidence and remedy."),
            ("tracer rst -d 60 -j", "Explain a minute of RSTs as JSON, one object a line."),
            ("tracer rst --causes", "List the causes, and what to do about each."),
        ],
        "demo" => &[
            ("tracer demo", "Play all scenarios."),
            ("tracer demo self-connect -4 -6", "Play one scenario over IPv4 and over IPv6."),
            ("tracer demo raw-handshake --pcap wire.pcapng", "Also keep the packets."),
        ],
        "replay" => &[
            ("tracer replay incident.recording -e rst --evidence", "Show the RSTs of a recording."),
            ("tracer replay incident.recording -j -P 443", "Show one port of a recording as JSON."),
        ],
        "doctor" => &[
            ("tracer doctor", "Say what is observed here, what is not, and what to do then."),
            ("tracer doctor -j", "Say the same as JSON."),
        ],
        "schema" => &[("tracer schema > tracer.schema.json", "Keep the schema, to check output against.")],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};
    use tracer::cli::Cli;

    use super::*;

    #[test]
    fn every_page_has_examples_that_parse() {
        let command = Cli::command();
        let names = command.get_subcommands().map(clap::Command::get_name);
        for name in names.chain(["tracer"]) {
            assert!(!of(name).is_empty(), "{name} has no example");
            for (line, _) in of(name) {
                let words = shlex::split(line).unwrap().into_iter().take_while(|word| word != ">");
                Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
                assert!(name == "tracer" || line.starts_with(&format!("tracer {name}")), "{line}");
            }
        }
    }
}
