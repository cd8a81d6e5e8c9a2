//! Command lines: the options, and what filters make of them.

use clap::Parser as _;
use tracer::{
    cli::{Cli, Command},
    filter::{Admission, Criteria, FilterArgs},
    sink::foreign::{Printable, printable},
};

use crate::{golden, limit::Limit, plain::assert_plain};

/// The options of all commands are made, and ports are a bit each.
const LIMIT: Limit = Limit { fixed: 8 << 20, per_byte: 4 << 10 };
/// Longer ones are not typed; and each value that names something of the host is looked up there.
const LONGEST: usize = 4096;

/// Any lines are arguments, and are refused or mean something.
pub fn check(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let text = String::from_utf8_lossy(bytes);
    LIMIT.hold(bytes.len(), || {
        let arguments: Vec<&str> = text.lines().collect();
        match Cli::try_parse_from([&["tracer"], &arguments[..]].concat()) {
            Ok(cli) => match &cli.command {
                Command::Trace(args) => apply(&args.filter),
                Command::Rst(args) => apply(&args.filter),
                Command::Replay(args) => apply(&args.filter),
                Command::Demo(_) | Command::Doctor(_) | Command::Schema => {}
            },
            // What is wrong with others is escaped, line by line.
            Err(error) if !arguments.iter().any(|argument| printable(argument) != *argument) => {
                assert_plain(&error.render().to_string(), "the error");
            }
            Err(_) => {}
        }
    });
}

/// What the filters mean on this host, and which events of a recording they let pass.
fn apply(filter: &FilterArgs) {
    match Criteria::of_host(filter) {
        Ok(criteria) => {
            let (low, high) = criteria.local_ports();
            assert!(low <= high, "{filter:?}");
            assert!(criteria.networks.iter().all(|(prefix, _)| *prefix <= 128), "{filter:?}");
        }
        Err(error) => assert_plain(&format!("{:#}", Printable(error)), "the error"),
    }
    golden::with_events(|events, kinds| {
        let admission = Admission::new(filter.clone(), kinds.clone());
        let shown = events.iter().filter(|event| admission.admits(event)).count();
        let is_all = Criteria::of_host(filter).is_ok_and(|criteria| criteria.are_none());
        assert!(!is_all || shown == events.len(), "nothing was asked for, and {shown} are shown");
    });
}
