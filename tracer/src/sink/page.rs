//! Text on its way to a terminal or a file: the one place that writes it.
//!
//! What it is given is escaped, whoever it is from, and only the styles that it is given beside a text are written as
//! they are. So a name can neither colour a line nor end it.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use anstyle::Style;

use super::foreign::{self, printable};

/// What a page is written on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Medium {
    /// It shows colours.
    pub colour: bool,
    /// Columns that it has. What has no blank to break a line at may be longer.
    pub width: usize,
    /// Where an event's line is broken; a file's is not, so that one line tells all that `grep` looks for.
    pub row_width: usize,
}

impl Medium {
    /// A file or a pipe.
    pub const PLAIN: Self = Self { colour: false, width: 100, row_width: usize::MAX };
    /// A terminal that shows colours, and is as wide as a file's page.
    pub const COLOURED: Self = Self::terminal(true, Self::PLAIN.width);

    /// A terminal of that many columns.
    pub const fn terminal(colour: bool, width: usize) -> Self {
        Self { colour, width, row_width: width }
    }
}

/// Lines of text.
pub struct Page<'a> {
    out: &'a mut dyn Write,
    medium: Medium,
}

impl<'a> Page<'a> {
    /// A page on such a medium.
    pub(crate) fn new(out: &'a mut dyn Write, medium: Medium) -> Self {
        Self { out, medium }
    }

    /// Its columns.
    pub(crate) const fn width(&self) -> usize {
        self.medium.width
    }

    /// See [`Medium::row_width`].
    pub(crate) const fn row_width(&self) -> usize {
        self.medium.row_width
    }

    /// An empty line.
    pub(crate) fn gap(&mut self) -> io::Result<()> {
        self.out.write_all(b"\n")
    }

    /// A line.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        self.painted(Style::new(), text)
    }

    /// A line in a style.
    pub(crate) fn painted(&mut self, style: Style, text: &str) -> io::Result<()> {
        self.paint(style, &printable(text))?;
        self.gap()
    }

    /// Lines that are laid out already, of which the last `end` bytes are in a style. A line's end in them is one of
    /// ours: names were made printable when they were put in.
    pub(crate) fn rows(&mut self, rows: &mut String, end: usize, style: Style) -> io::Result<()> {
        // At once, as nearly all of a trace is such lines.
        if !self.medium.colour && rows.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~' | b'\n')) {
            rows.push('\n');
            return self.out.write_all(rows.as_bytes());
        }
        let (rows, end) = rows.split_at_checked(rows.len().saturating_sub(end)).unwrap_or((rows, ""));
        for (number, line) in rows.split('\n').enumerate() {
            if number > 0 {
                self.gap()?;
            }
            self.out.write_all(printable(line).as_bytes())?;
        }
        self.painted(style, end)
    }

    /// A paragraph, folded.
    pub(crate) fn paragraph(&mut self, indent: &str, text: &str) -> io::Result<()> {
        if fits(indent, text, self.width()) {
            self.out.write_all(indent.as_bytes())?;
            self.out.write_all(text.as_bytes())?;
            return self.gap();
        }
        folded(indent, text, self.width()).iter().try_for_each(|line| self.line(line))
    }

    /// A paragraph behind a name: it begins at `column`, and so does each further line of it.
    pub(crate) fn labelled(&mut self, name: &str, column: usize, text: &str) -> io::Result<()> {
        let first = format!("{:column$}", printable(name));
        let further = " ".repeat(column);
        let options = textwrap::Options::new(self.width()).initial_indent(&first).subsequent_indent(&further);
        let options = options.break_words(false).word_splitter(textwrap::WordSplitter::NoHyphenation);
        textwrap::wrap(&printable(text), options).iter().try_for_each(|line| self.line(line))
    }

    /// A paragraph whose first words, after `before`, are in a style.
    pub(crate) fn marked(&mut self, before: &str, style: Style, mark: &str, after: &str) -> io::Result<()> {
        let text = format!("{before}{mark}{after}");
        let lines = folded("", &text, self.width());
        let mut lines = lines.iter();
        if let Some(first) = lines.next() {
            match first.strip_prefix(before).and_then(|rest| rest.strip_prefix(mark)) {
                Some(rest) => {
                    self.out.write_all(before.as_bytes())?;
                    self.paint(style, mark)?;
                    self.line(rest)?;
                }
                None => self.line(first)?,
            }
        }
        lines.try_for_each(|line| self.line(line))
    }

    /// Writes what is printable already.
    fn paint(&mut self, style: Style, text: &str) -> io::Result<()> {
        if self.medium.colour && style != Style::new() {
            return write!(self.out, "{style}{text}{style:#}");
        }
        self.out.write_all(text.as_bytes())
    }
}

/// The lines of a paragraph, of a text in which a line's end is but a character.
pub(crate) fn folded(indent: &str, text: &str, width: usize) -> Vec<String> {
    let text = printable(text);
    if fits(indent, &text, width) {
        return vec![format!("{indent}{text}")];
    }
    let options = textwrap::Options::new(width).initial_indent(indent).subsequent_indent(indent).break_words(false);
    textwrap::wrap(&text, options).into_iter().map(Cow::into_owned).collect()
}

/// One line takes it all, and neither escaping nor folding would change it.
fn fits(indent: &str, text: &str, width: usize) -> bool {
    let is_short = !text.is_empty() && !text.ends_with(' ') && indent.len() + text.len() <= width;
    is_short && foreign::is_plain(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use anstyle::AnsiColor;

    use super::*;

    const WIDTH: usize = Medium::PLAIN.width;
    const INDENT: &str = "             ";
    const HOSTILE: &str = "\x1b[31mred\nTIME forged\u{9b}1m\u{202e}";

    fn shown(colour: bool, write: impl FnOnce(&mut Page<'_>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut Page::new(&mut out, Medium { colour, ..Medium::PLAIN })).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_text_that_fits_is_as_it_would_be_folded() {
        for text in ["a", "  two  words", "ends-with-a hyphen-", "why (certain): x[1] was killed by signal 9"] {
            for indent in ["", INDENT] {
                assert!(fits(indent, text, WIDTH));
                let options = textwrap::Options::new(WIDTH).initial_indent(indent).subsequent_indent(indent);
                assert_eq!(textwrap::wrap(text, options.break_words(false)), folded(indent, text, WIDTH), "{text:?}");
            }
        }
        assert!(!fits(INDENT, &"x".repeat(WIDTH - INDENT.len() + 1), WIDTH) && !fits("", "é", WIDTH));
    }

    #[test]
    fn a_text_neither_paints_nor_ends_a_line_and_ours_does() {
        let red = Style::new().fg_color(Some(AnsiColor::Red.into()));
        let escaped = "\\u{1b}[31mred\\nTIME forged\\u{9b}1m\\u{202e}";
        assert_eq!(shown(true, |page| page.line(HOSTILE)), format!("{escaped}\n"));
        assert_eq!(shown(true, |page| page.painted(red, HOSTILE)), format!("\x1b[31m{escaped}\x1b[0m\n"));
        assert_eq!(shown(false, |page| page.painted(red, HOSTILE)), format!("{escaped}\n"));
        assert_eq!(shown(true, |page| page.paragraph("  ", HOSTILE)), format!("  {escaped}\n"));
        let marked = shown(true, |page| page.marked("-- ", red, "ok", &format!(": {HOSTILE}")));
        assert_eq!(marked, format!("-- \x1b[31mok\x1b[0m: {escaped}\n"));
        let rows = |colour, end: &str| {
            let mut rows = format!("one\ntwo \x1b[1m{end}");
            shown(colour, |page| page.rows(&mut rows, end.len(), red))
        };
        assert_eq!(rows(true, HOSTILE), format!("one\ntwo \\u{{1b}}[1m\x1b[31m{escaped}\x1b[0m\n"));
        assert_eq!(rows(false, HOSTILE), format!("one\ntwo \\u{{1b}}[1m{escaped}\n"));
        assert_eq!(shown(false, |page| page.rows(&mut "one\ntwo".into(), 3, red)), "one\ntwo\n");
    }
}
