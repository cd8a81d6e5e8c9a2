//! Standard output in batches, through the format that the user chose.

use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write as _};

use jiff::tz::TimeZone;

use crate::sink::{Item, Sink, json::Json, text::Text};

/// The one place that writes to standard output.
pub struct Output {
    sink: Box<dyn Sink>,
    out: BufWriter<StdoutLock<'static>>,
}

impl Output {
    /// JSON, or text with colours where a terminal shows it. `ehash`: text says for each state change
    /// whether the socket is in the established hash.
    pub fn new(json: bool, ehash: bool) -> Self {
        let stdout = io::stdout().lock();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = stdout.is_terminal() && !plain;
        let sink: Box<dyn Sink> =
            if json { Box::new(Json) } else { Box::new(Text { colour, ehash, zone: TimeZone::system() }) };
        Self { sink, out: BufWriter::with_capacity(64 << 10, stdout) }
    }

    /// Writes one item; it may stay in the buffer.
    ///
    /// # Errors
    /// Those of standard output; a broken pipe among them.
    pub fn write(&mut self, item: Item<'_>) -> io::Result<()> {
        self.sink.write(&mut self.out, item)
    }

    /// Puts out all that was written.
    ///
    /// # Errors
    /// Those of standard output.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
