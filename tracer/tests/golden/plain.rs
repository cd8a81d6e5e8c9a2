//! What a terminal does not obey.

use anstyle::{AnsiColor, Style};

/// No control character and none that cannot be seen, but for the ends of lines.
#[track_caller]
pub(crate) fn assert_plain(text: &str, what: &str) {
    let hazard = |c: char| {
        let is_unseen = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{3164}' | '\u{e0041}');
        c != '\n' && c.is_control() || is_unseen
    };
    let found = text.lines().find(|line| line.contains(hazard));
    assert_eq!(found, None, "{what}");
}

/// Without the styles that the text sets itself.
pub(crate) fn without_styles(text: &str) -> String {
    use AnsiColor::{Cyan, Green, Magenta, Red, Yellow};
    let colours = [Cyan, Green, Magenta, Red, Yellow].map(|colour| Style::new().fg_color(Some(colour.into())));
    let styles = colours.into_iter().flat_map(|style| [style.bold(), style]).chain([Style::new().bold()]);
    let plain = styles.fold(text.to_owned(), |text, style| text.replace(&style.render().to_string(), ""));
    plain.replace("\x1b[0m", "")
}
