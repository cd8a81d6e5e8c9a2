//! `tracer replay`: a recording through the same decode ... sink as a live run, on any machine, without
//! privileges.

use std::{collections::HashMap, fs::File, io::BufReader, process::ExitCode};

use anyhow::Context as _;

use crate::{
    cli::ReplayArgs,
    decode,
    enrich::{Enricher, clock::Clock, symbols::Symbols},
    output::Output,
    recording::{Frame, Reader},
    sink::Item,
};

/// Runs the command.
///
/// # Errors
/// If the file is no recording or the output fails; or, after all before it is shown, where the file is
/// cut off or damaged.
pub fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let path = args.file.display();
    let file = File::open(&args.file).with_context(|| format!("cannot open {path}"))?;
    let (mut reader, preamble) = Reader::new(BufReader::new(file)).with_context(|| path.to_string())?;
    let symbols = Symbols::Recorded(HashMap::new());
    let mut enricher = Enricher::new(Clock::since(preamble.boot), symbols, preamble.reasons);
    let mut output = Output::new(args.json, false);
    output.write(Item::Start(&preamble.run))?;
    loop {
        match reader.frame() {
            Ok(Frame::Symbol(address, name)) => enricher.symbols().add(address, name),
            Ok(Frame::Record(bytes)) => match decode::decode(&bytes) {
                Ok(record) => output.write(Item::Event(&enricher.event(record)))?,
                Err(error) => log::warn!("a record was skipped: {error}"),
            },
            Ok(Frame::Summary(summary)) => {
                output.write(Item::Summary(&summary))?;
                output.flush()?;
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) => {
                output.flush()?;
                return Err(error).with_context(|| path.to_string());
            }
        }
    }
}
