//! Words of other computers, as they may be shown: on one line, bounded, and without what could
//! control a terminal or make a line read otherwise than it is (Unicode TR 36, 2.5).

/// Longest name that is shown, in characters.
const NAME_CHARS: usize = 24;

/// Longest sentence that is shown, in characters.
const SENTENCE_CHARS: usize = 200;

/// A name: at most 24 characters.
pub(super) fn printable_name(name: &str) -> String {
    let seen = name.trim().chars().filter(|c| !c.is_control() && !is_unseen(*c));
    seen.take(NAME_CHARS).collect::<String>().trim().to_owned()
}

/// A sentence: at most 200 characters; line breaks and the like become spaces.
pub(super) fn printable_sentence(words: &str) -> String {
    let seen = words.chars().filter(|c| !is_unseen(*c));
    seen.map(|c| if c.is_control() { ' ' } else { c }).take(SENTENCE_CHARS).collect()
}

/// Whether it has no width, or turns the direction of what follows.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_controls_or_turns_anything() {
        let sly = "  a\u{1b}[31m\u{202e}b\u{200b}\r\nc  ";
        assert_eq!(printable_name(sly), "a[31mbc");
        assert_eq!(printable_sentence(sly), "  a [31mb  c  ");
        assert_eq!(printable_name(&"夜".repeat(500)).chars().count(), NAME_CHARS);
        assert_eq!(printable_sentence(&"夜".repeat(500)).chars().count(), SENTENCE_CHARS);
    }
}
