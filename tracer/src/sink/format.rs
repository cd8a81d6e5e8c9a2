//! The output formats, and how the user chooses one. A new one is a variant here and a file beside this one.

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;

use super::{
    Sink,
    json::Json,
    page::Medium,
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
