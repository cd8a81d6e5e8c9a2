//! The table of RSTs by cause, and what to do about the most frequent ones.

use std::io;

use comfy_table::{ContentArrangement, Table, presets};
use jiff::tz::TimeZone;

use super::Text;
use crate::{
    event::Direction,
    report::CauseCount,
    sink::{foreign::printable, page::Page},
};

/// Rows shown; JSON has all.
const ROWS: usize = 30;
/// Causes whose remedy is shown.
const REMEDIES: usize = 3;

impl Text {
    pub(super) fn causes(&self, page: &mut Page<'_>, causes: &[CauseCount]) -> io::Result<()> {
        if causes.is_empty() {
            return Ok(());
        }
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(page.width() as u16);
        table.set_header(["COUNT", "DIR", "CAUSE", "CONFIDENCE", "PROCESS", "PEER", "FIRST", "LAST"]);
        for row in causes.iter().take(ROWS) {
            table.add_row(cells(row, &self.zone));
        }
        page.gap()?;
        for line in table.to_string().lines() {
            page.line(line.trim_end())?;
        }
        if causes.len() > ROWS {
            page.line(&format!("... and {} more groups of cause, process and peer", causes.len() - ROWS))?;
        }
        let mut explained: Vec<&str> = Vec::new();
        for row in causes {
            if explained.len() < REMEDIES && !explained.contains(&row.cause.as_str()) {
                explained.push(&row.cause);
                page.gap()?;
                page.paragraph("", &format!("{}: {}; {}", row.cause, row.title, row.remedy))?;
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
        printable(&row.cause).into_owned(),
        row.confidence.to_string(),
        row.process.as_deref().map_or("(others)".into(), printable).into_owned(),
        row.peer.map_or_else(|| "(others)".to_owned(), |peer| peer.to_string()),
        time(row.first),
        time(row.last),
    ]
}
