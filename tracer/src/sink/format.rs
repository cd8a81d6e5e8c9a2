//! The output formats, and how the user chooses one. A new one is a variant here and a file beside this one.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{
    Sink,
    json::Json,
    page::{Medium, Page},
    text::{Text, TextStyle},
};

/// An output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

impl Format {
    /// What writes it.
    pub fn sink(self, style: TextStyle, medium: Medium) -> Box<dyn Sink> {
        match self {
            Self::Text => Box::new(Text::new(medium, style, TimeZone::system())),
            Self::Json => Box::new(Json::default()),
        }
    }

    /// Writes what belongs to no run, such as what `tracer doctor` finds: an object for programs, what `text` puts on a
    /// page for people.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub fn write(
        self,
        out: &mut dyn Write,
        medium: Medium,
        object: &impl Serialize,
        text: impl FnOnce(&mut Page<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Self::Text => text(&mut Page::new(out, medium)),
            Self::Json => Json::default().line(out, object),
        }
    }
}

/// The options that choose a format.
#[derive(Debug, Clone, Copy, Args)]
pub struct FormatArgs {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Output JSON, one object per line (short for --format json)
    #[arg(short, long, conflicts_with = "format")]
    json: bool,
}

impl FormatArgs {
    /// The format that was chosen.
    pub const fn format(self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}
