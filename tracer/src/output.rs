//! Standard output, or a file, in batches, through the format that the user chose.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, IsTerminal as _, Write},
    path::Path,
};

use anyhow::Context as _;
use jiff::tz::TimeZone;

use crate::{
    report::Counts,
    sink::{
        Item, Sink,
        json::Json,
        text::{Manner, Text},
    },
};

/// How to show a run, and where.
#[derive(Debug, Clone, Copy)]
pub struct OutputArgs<'a> {
    /// JSON instead of text.
    pub json: bool,
    /// What text says.
    pub manner: Manner,
    /// A file instead of standard output.
    pub file: Option<&'a Path>,
}

/// The one place that writes what a command reports.
pub struct Output {
    sink: Box<dyn Sink>,
    out: Box<dyn Write>,
    counts: Counts,
}

impl Output {
    /// Text has colours where a terminal shows it.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn new(&OutputArgs { json, manner, file }: &OutputArgs<'_>) -> anyhow::Result<Self> {
        let stdout = io::stdout().lock();
        let is_terminal = file.is_none() && stdout.is_terminal();
        let out: Box<dyn Write> = match file {
            Some(path) => Box::new(File::create(path).with_context(|| format!("cannot write to {}", path.display()))?),
            None => Box::new(stdout),
        };
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = is_terminal && !plain;
        let sink: Box<dyn Sink> =
            if json { Box::new(Json::default()) } else { Box::new(Text::new(colour, manner, TimeZone::system())) };
        Ok(Self::to(Box::new(BufWriter::with_capacity(64 << 10, out)), sink))
    }

    /// Through this format to this place.
    pub fn to(out: Box<dyn Write>, sink: Box<dyn Sink>) -> Self {
        Self { sink, out, counts: Counts::default() }
    }

    /// Writes one item; it may stay in the buffer.
    ///
    /// # Errors
    /// Those of the output; a broken pipe among them.
    pub fn write(&mut self, item: Item<'_>) -> io::Result<()> {
        if let Item::Event(event) = item {
            self.counts.add(event.kind());
        }
        self.sink.write(&mut self.out, item)
    }

    /// The events that were written, by kind.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.clone().into()
    }

    /// Puts out all that was written.
    ///
    /// # Errors
    /// Those of the output.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
