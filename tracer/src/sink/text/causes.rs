//! The table of RSTs by cause, and what to do about the most frequent ones.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use jiff::tz::TimeZone;

use super::{Text, WIDTH, line::printable, wrapped};
use crate::{event::Direction, report::CauseCount};

/// Rows shown; JSON has all.
const ROWS: usize = 30;
/// Causes whose remedy is shown.
const REMEDIES: usize = 3;

impl Text {
    pub(super) fn causes(&self, out: &mut dyn Write, causes: &[CauseCount]) -> io::Result<()> {
        if causes.is_empty() {
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH as u16);
        table.set_header(["COUNT", "WAY", "CAUSE", "SURE", "PROCESS", "PEER", "FIRST", "LAST"]);
        for row in causes.iter().take(ROWS) {
            table.add_row(cells(row, &self.zone));
        }
        writeln!(out)?;
        for line in table.to_string().lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        if causes.len() > ROWS {
            writeln!(out, "... and {} more groups of cause, process and peer", causes.len() - ROWS)?;
        }
        let mut explained: Vec<&str> = Vec::new();
        for row in causes {
            if explained.len() < REMEDIES && !explained.contains(&row.cause.as_str()) {
                explained.push(&row.cause);
                writeln!(out)?;
                wrapped(out, "", &format!("{}: {}; {}", row.cause, row.title, row.remedy))?;
            }
        }
        Ok(())
    }
}

fn cells(row: &CauseCount, zone: &TimeZone) -> [String; 8] {
    let time = |time| zone.to_datetime(time).strftime("%H:%M:%S").to_string();
    [
        row.count.to_string(),
        match row.direction {
            Some(Direction::Sent) => "sent",
            Some(Direction::Received) => "received",
            None => "no RST",
        }
        .to_owned(),
        row.cause.clone(),
        row.confidence.to_string(),
        row.process.as_deref().map_or_else(|| "(others)".to_owned(), printable),
        row.peer.map_or_else(|| "(others)".to_owned(), |peer| peer.to_string()),
        time(row.first),
        time(row.last),
    ]
}
