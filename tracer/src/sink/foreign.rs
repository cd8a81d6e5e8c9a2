//! Foreign text: names and command lines that processes chose, what users, files and other kernels are called, what a
//! recording says. It can hold anything, and a terminal obeys some of it.
//!
//! Every character that does not show as itself is escaped, in a text on its way to a terminal or a text file, and in
//! JSON: control characters (C0, DEL, C1), those that change the direction of a text, line and paragraph separators,
//! and those that cannot be seen. Escaping what is escaped already changes nothing, so a text may pass here twice:
//! where it is put into a sentence, whose length matters, and on its way out.

use std::{borrow::Cow, fmt, io::Write as _};

/// Letters that are blank, as Unicode has it (Default_Ignorable_Code_Point): they can make two names look alike.
const BLANK: [char; 5] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}'];

/// A text in which nothing is left that a terminal might obey.
pub fn printable(text: &str) -> Cow<'_, str> {
    if is_plain(text.as_bytes()) {
        return text.into();
    }
    let mut printable = String::with_capacity(text.len() + 16);
    push_escaped(&mut printable, text);
    printable.into()
}

/// Adds the printable form of a text.
pub(crate) fn push(out: &mut String, text: &str) {
    if is_plain(text.as_bytes()) {
        return out.push_str(text);
    }
    push_escaped(out, text);
}

/// The printable form of what is displayed, such as an error.
pub struct Printable<T>(pub T);

impl<T: fmt::Display> fmt::Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if f.alternate() { format!("{:#}", self.0) } else { self.0.to_string() };
        f.write_str(&printable(&text))
    }
}

/// Nothing of it is to be escaped.
pub(super) fn is_plain(text: &[u8]) -> bool {
    // Without an early end, so that it is one loop over vectors.
    text.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'))
}

fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        if is_shown(c) {
            out.push(c);
        } else if BLANK.contains(&c) {
            out.extend(c.escape_unicode());
        } else {
            out.extend(c.escape_debug());
        }
    }
}

/// It shows as itself.
fn is_shown(c: char) -> bool {
    // To Rust's own escaping only these differ that can be seen. It knows the categories of Unicode.
    matches!(c, ' '..='~') || (c.escape_debug().len() == 1 && !BLANK.contains(&c))
}

/// Escapes, in place, a JSON text without blanks between its members: all that is not ASCII in it is in strings, and
/// so is DEL. What is below the blank is escaped by whoever made it.
pub(crate) fn escape_json(json: &mut Vec<u8>) {
    if json.iter().fold(true, |plain, byte| plain & (*byte < 0x7f)) {
        return;
    }
    // Made by a serializer, it is UTF-8.
    let Ok(text) = std::str::from_utf8(json) else { return };
    if text.chars().all(|c| c.is_ascii_control() && c != '\x7f' || is_shown(c)) {
        return;
    }
    let mut escaped = Vec::with_capacity(json.len() + 64);
    for c in text.chars() {
        if is_shown(c) || c.is_ascii() && c != '\x7f' {
            escaped.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // A vector takes all.
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    *json = escaped;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every character that must not reach a terminal, in words of Unicode.
    fn hazards() -> impl Iterator<Item = char> {
        let controls = ('\0'..='\x1f').chain('\x7f'..='\u{9f}');
        let bidirectional =
            ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}').chain("\u{61c}\u{200e}\u{200f}".chars());
        let separators = "\u{2028}\u{2029}\u{85}".chars();
        let unseen = "\u{ad}\u{34f}\u{180e}\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}\u{fe0f}\u{e0001}\u{e0041}".chars();
        controls.chain(bidirectional).chain(separators).chain(unseen).chain(BLANK)
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_left_and_what_shows_is_left_alone() {
        for hazard in hazards() {
            let escaped = printable(&format!("a{hazard}b")).into_owned();
            assert!(escaped.starts_with("a\\") && escaped.ends_with('b'), "{escaped:?}");
            assert!(is_plain(escaped.as_bytes()), "{escaped:?}");
            assert_eq!(printable(&escaped), escaped, "once is enough");
        }
        for shown in ["it's \"a\\b\"", "größe … 株式会社 ~", "\u{fffd}", ""] {
            assert_eq!(printable(shown), shown);
        }
        assert_eq!(printable("\x1b[31mé"), "\\u{1b}[31mé");
        assert_eq!(format!("{:#}", Printable(anyhow::anyhow!("b\n").context("a\t"))), "a\\t: b\\n");
    }

    #[test]
    fn json_stays_what_it_says() {
        for text in hazards().map(|hazard| format!("ü\"{hazard}\\")).chain(["größe 株".to_owned(), "plain".to_owned()])
        {
            let mut json = serde_json::to_vec(&[&text]).unwrap();
            escape_json(&mut json);
            assert_eq!(serde_json::from_slice::<[String; 1]>(&json).unwrap()[0], text);
            let json = String::from_utf8(json).unwrap();
            assert!(hazards().all(|hazard| !json.contains(hazard)), "{json:?}");
        }
        let mut shown = "[\"größe 株\"]".as_bytes().to_vec();
        escape_json(&mut shown);
        assert_eq!(shown, "[\"größe 株\"]".as_bytes());
        let mut tag = serde_json::to_vec("\u{e0041}\u{9b}\x7f").unwrap();
        escape_json(&mut tag);
        assert_eq!(tag, br#""\udb40\udc41\u009b\u007f""#);
    }
}
