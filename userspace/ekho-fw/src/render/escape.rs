// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names and reasons come from others: whoever owns a user namespace can name a device
//! with an escape sequence. What a terminal would obey is made visible here, once, on
//! everything that is printed.

use std::borrow::Cow;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

/// What begins each of our own changes of style, and nothing else: others can't know it.
static MARK: LazyLock<String> =
    LazyLock::new(|| format!("\u{1}{:016x}", RandomState::new().hash_one(0)));

/// Whether a terminal obeys a character, shows those beside it in another order, or doesn't show it.
fn is_obeyed(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// A mark for a change of style, which [`text`] makes the terminal's sequence of.
pub fn style(code: &str) -> String {
    format!("{}[{code}m", *MARK)
}

/// Text for a terminal or a file. Lines end where they did.
pub fn text(text: &str) -> Cow<'_, str> {
    if !text.contains(|char| is_obeyed(char) && char != '\n') {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    let mut parts = text.split(MARK.as_str());
    push_shown(&mut shown, parts.next().unwrap_or_default(), true);
    for part in parts {
        shown.push('\u{1b}');
        push_shown(&mut shown, part, true);
    }
    shown.into()
}

/// A cell of a table, which is a line or a part of one.
pub fn cell(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    push_shown(&mut shown, text, false);
    shown
}

fn push_shown(shown: &mut String, text: &str, lines: bool) {
    for char in text.chars() {
        if is_obeyed(char) && !(lines && char == '\n') {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
}

/// JSON as serde_json writes it, which leaves some of these characters as they are.
/// They only occur within strings, so that they can be escaped wherever they are.
pub fn json(json: &str) -> Cow<'_, str> {
    let is_left = |char| is_obeyed(char) && char != '\n';
    if !json.contains(is_left) {
        return json.into();
    }
    let mut shown = String::with_capacity(json.len());
    for char in json.chars() {
        if is_left(char) {
            shown += &format!("\\u{:04x}", u32::from(char));
        } else {
            shown.push(char);
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "e\u{1b}]2;hi\u{7}\u{1b}[2J\u{9b}31m\u{202e}\t";

    #[test]
    fn what_a_terminal_obeys_becomes_visible() {
        let shown = text(EVIL);
        assert!(!shown.contains(is_obeyed), "{shown:?}");
        assert_eq!(shown, "e\\u{1b}]2;hi\\u{7}\\u{1b}[2J\\u{9b}31m\\u{202e}\\t");
        assert_eq!(text("ümlaut\nzwei"), "ümlaut\nzwei");
        assert_eq!(cell("a\nb"), "a\\nb");
    }

    #[test]
    fn our_own_styles_are_kept_and_forged_ones_are_not() {
        let bold = format!("{}ek0{}", style("1"), style("0"));
        assert_eq!(text(&bold), "\u{1b}[1mek0\u{1b}[0m");
        let forged = "\u{1}0123456789abcdef[1m\u{1b}[1m";
        assert!(!text(forged).contains(is_obeyed));
    }

    #[test]
    fn json_keeps_its_value() {
        let written = serde_json::to_string(EVIL).unwrap();
        let shown = json(&written);
        assert!(!shown.contains(is_obeyed), "{shown:?}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), EVIL);
        assert_eq!(json("{\n  \"a\": 1\n}"), "{\n  \"a\": 1\n}");
    }
}
