//! Standard output, or a file, in batches, through the format that the user chose.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, IsTerminal as _, Write},
    ops::RangeInclusive,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rustix::termios::tcgetwinsize;

use crate::{
    confine,
    host::new_file::Making,
    outlet::{Gauge, Outlet},
    report::Counts,
    sink::{Item, Sink, format::Format, page::Medium, text::TextStyle},
};

/// How to show a run, and where.
#[derive(Debug, Clone, Copy)]
pub struct OutputArgs<'a> {
    /// The format.
    pub format: Format,
    /// What text says.
    pub style: TextStyle,
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
    /// Written by the caller's thread, in batches.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn new(args: &OutputArgs<'_>) -> anyhow::Result<Self> {
        let out = open(args.file.map(Path::to_owned), &Making::default()).with_context(|| {
            format!("cannot write to {}", args.file.unwrap_or(Path::new("standard output")).display())
        })?;
        Ok(Self::to(Box::new(BufWriter::with_capacity(64 << 10, out)), args.sink()))
    }

    /// Written by a thread of its own, in a file that is made as `making` says. Whether there is a file shows with [`Gauge::room`].
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn on_thread(args: &OutputArgs<'_>, making: &Making) -> anyhow::Result<(Self, Gauge)> {
        let file = args.file.map(Path::to_owned);
        let making = making.clone();
        let (outlet, gauge) = Outlet::new(move || {
            let file = open(file, &making)?;
            confine::writer(making.owner.as_ref());
            Ok(file)
        })
        .context("cannot start a thread that writes")?;
        Ok((Self::to(Box::new(outlet), args.sink()), gauge))
    }

    /// Through this format to this place.
    pub fn to(out: Box<dyn Write>, sink: Box<dyn Sink>) -> Self {
        Self { sink, out, counts: Counts::default() }
    }

    /// Writes one item; it may stay in the buffer.
    ///
    /// # Errors
    /// If the output cannot be written, for example because of a broken pipe.
    pub fn write(&mut self, item: Item<'_>) -> io::Result<()> {
        if let Item::Event(event) = item {
            self.counts.add(event.kind());
        }
        self.sink.write(&mut self.out, item)
    }

    /// Writes nowhere from now on.
    pub fn mute(&mut self) {
        self.out = Box::new(io::sink());
    }

    /// How many events were written.
    pub fn events(&self) -> u64 {
        self.counts.total()
    }

    /// The events that were written, by kind.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.clone().into()
    }

    /// Puts out all that was written.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl OutputArgs<'_> {
    fn sink(&self) -> Box<dyn Sink> {
        self.format.sink(self.style, if self.file.is_none() { stdout_medium() } else { Medium::PLAIN })
    }
}

/// There are colours where a terminal shows them, and lines are as long as it is wide.
fn stdout_medium() -> Medium {
    /// Less has no room for two ends and a process, more is hard to read.
    const WIDTHS: RangeInclusive<usize> = 80..=200;
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return Medium::PLAIN;
    }
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    // A terminal that does not know its size says 0.
    let columns = tcgetwinsize(stdout).map_or(0, |size| usize::from(size.ws_col));
    let width = if columns == 0 { Medium::PLAIN.width } else { columns.clamp(*WIDTHS.start(), *WIDTHS.end()) };
    Medium::terminal(!plain, width)
}

/// The file, or standard output.
fn open(path: Option<PathBuf>, making: &Making) -> io::Result<File> {
    match path {
        Some(path) => making.create(&path),
        None => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
    }
}
