//! File names from a template: legal on Windows, macOS and Linux, never outside the folder.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// What a template may name, in braces.
pub const FIELDS: [&str; 7] = ["artist", "title", "album", "stem", "id", "n", "model"];

/// Longest file name in bytes; the limit of ext4, APFS and NTFS (which counts UTF-16 units).
const NAME_LIMIT_BYTES: usize = 255;

/// Left free below the limit for the dot, the extension and a number against collisions.
const RESERVED_BYTES: usize = 15;

/// Values for the fields of a template; those not known are empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields<'a> {
    pub(super) artist: &'a str,
    pub(super) title: &'a str,
    pub(super) album: &'a str,
    /// "Drums"
    pub(super) stem: &'a str,
    /// "drums"
    pub(super) id: &'a str,
    /// Position in the export, from 1.
    pub(super) n: usize,
    pub(super) model: &'a str,
}

impl Fields<'_> {
    fn get(&self, name: &str) -> Option<String> {
        Some(match name {
            "artist" => self.artist.to_owned(),
            "title" => self.title.to_owned(),
            "album" => self.album.to_owned(),
            "stem" => self.stem.to_owned(),
            "id" => self.id.to_owned(),
            "n" => format!("{:02}", self.n),
            "model" => self.model.to_owned(),
            _ => return None,
        })
    }
}

/// A template cut at its braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(String),
}

impl Template {
    /// Reads `{artist} - {title} ({stem})` and the like; `{{` and `}}` are braces themselves.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] on a field that does not exist and on a brace without its partner.
    pub(super) fn parse(template: &str) -> Result<Self> {
        let known = FIELDS.map(|field| format!("{{{field}}}")).join(" ");
        let invalid = |what: String| {
            Err(Error::new(ErrorKind::Invalid, what).advice(format!("A name can hold {known}")))
        };
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some(brace) = rest.find(['{', '}']) {
            if brace > 0 {
                pieces.push(Piece::Text(rest[..brace].to_owned()));
            }
            let tail = &rest[brace..];
            if tail.starts_with("{{") || tail.starts_with("}}") {
                pieces.push(Piece::Text(tail[..1].to_owned()));
                rest = &tail[2..];
                continue;
            }
            let Some((field, after)) =
                tail.strip_prefix('{').and_then(|inside| inside.split_once('}'))
            else {
                return invalid(format!("A brace has no partner in “{template}”"));
            };
            if !FIELDS.contains(&field) {
                return invalid(format!("“{{{field}}}” is not a part of a file name"));
            }
            pieces.push(Piece::Field(field.to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The name without extension: legal, not empty, and short enough for a number and an
    /// extension to follow. Long values are shortened before the text around them, so that
    /// "(Drums)" at the end survives a long title.
    pub(super) fn render(&self, fields: &Fields<'_>) -> String {
        let limit = NAME_LIMIT_BYTES - RESERVED_BYTES;
        let mut value_limit = limit;
        loop {
            let filled = self.fill(fields, value_limit);
            let name = legal(&filled, usize::MAX);
            if name.len() <= limit {
                return name;
            }
            if value_limit <= 16 {
                return safe_name(&filled);
            }
            value_limit -= 8;
        }
    }

    fn fill(&self, fields: &Fields<'_>, value_limit: usize) -> String {
        let mut name = String::new();
        let mut some_empty = false;
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Field(field) => {
                    let value = fields.get(field).unwrap_or_default();
                    let value = value.trim();
                    some_empty |= value.is_empty();
                    name.push_str(cut(value, value_limit).trim_end());
                }
            }
        }
        if some_empty {
            // "{artist} - {title} ({album})" without artist and album is just the title.
            name = name.replace("()", "").replace("[]", "");
            while name.contains("  ") {
                name = name.replace("  ", " ");
            }
            name = name.replace(" - - ", " - ");
            name = name.trim_matches(|c: char| c.is_whitespace() || "-_".contains(c)).to_owned();
        }
        name
    }
}

/// A template that gives `name` itself, whatever braces are in it.
pub fn literal_template(name: &str) -> String {
    name.replace('{', "{{").replace('}', "}}")
}

/// `name` as a single, visible, legal component of a path on every system; "Untitled" when nothing
/// is left of it.
pub fn safe_name(name: &str) -> String {
    legal(name, NAME_LIMIT_BYTES - RESERVED_BYTES)
}

/// [`safe_name`] of at most `limit` bytes, and one more before a reserved name.
fn legal(name: &str, limit: usize) -> String {
    let mut safe: String = name
        .chars()
        .filter_map(|c| match c {
            '/' | '\\' | ':' | '|' => Some('-'),
            '"' => Some('\''),
            '<' | '>' | '*' | '?' => Some('_'),
            // Marks that make a name read in another direction than it is written.
            '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => None,
            c if c.is_control() => None,
            c => Some(c),
        })
        .collect();
    safe = cut(safe.trim(), limit).to_owned();
    // Windows drops dots and spaces at the end; a dot in front hides the file elsewhere.
    safe.truncate(safe.trim_end_matches(|c: char| c == '.' || c.is_whitespace()).len());
    if safe.starts_with('.') {
        safe.replace_range(..1, "_");
    }
    if safe.is_empty() {
        return "Untitled".to_owned();
    }
    if is_reserved(&safe) {
        safe.insert(0, '_');
    }
    safe
}

/// Device names that Windows reserves, whatever follows a dot.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_uppercase();
    let numbered = |prefix| {
        stem.strip_prefix(prefix).is_some_and(|rest| {
            rest.chars().count() == 1 && rest.contains(|c| "123456789¹²³".contains(c))
        })
    };
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str())
        || numbered("COM")
        || numbered("LPT")
}

/// The longest prefix of at most `bytes` bytes that ends between characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// The first free name: `base.ext`, then `base 2.ext`, `base 3.ext` … with the number that was
/// added. `taken` is asked for each file name.
pub(super) fn number_up(
    base: &str,
    extension: &str,
    taken: impl Fn(&str) -> bool,
) -> (String, Option<u32>) {
    let plain = format!("{base}.{extension}");
    if !taken(&plain) {
        return (plain, None);
    }
    let mut number = 2;
    loop {
        let name = format!("{base} {number}.{extension}");
        if !taken(&name) {
            return (name, Some(number));
        }
        number += 1;
    }
}

/// Whether something, a dangling link too, has the name `name` in `folder`.
pub(super) fn exists(folder: &Path, name: &str) -> bool {
    folder.join(name).symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render(template: &str, fields: &Fields<'_>) -> String {
        Template::parse(template).map(|t| t.render(fields)).unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn templates_fill_in_and_tidy_up() {
        let full = Fields {
            artist: "AC/DC",
            title: "T.N.T.",
            album: "High: Voltage",
            stem: "Drums",
            id: "drums",
            n: 1,
            model: "Basic",
        };
        let bare = Fields { title: "Take 5", stem: "Bass", id: "bass", n: 2, ..Fields::default() };
        for (template, fields, expected) in [
            ("{artist} - {title} ({stem})", &full, "AC-DC - T.N.T. (Drums)"),
            ("{artist} - {title} ({stem})", &bare, "Take 5 (Bass)"),
            ("{title} - {artist}", &bare, "Take 5"),
            ("{artist} - {album} - {title}", &bare, "Take 5"),
            ("{title} ({album})", &bare, "Take 5"),
            ("{n} {id}", &bare, "02 bass"),
            ("{album}/{title}", &full, "High- Voltage-T.N.T"),
            ("{{{title}}} {{", &bare, "{Take 5} {"),
            ("{artist}", &bare, "Untitled"),
            ("", &bare, "Untitled"),
            ("..", &bare, "Untitled"),
            ("../../{title}", &bare, "_.-..-Take 5"),
        ] {
            assert_eq!(render(template, fields), expected, "{template}");
        }
    }

    #[test]
    fn bad_templates_are_refused_with_the_fields_there_are() {
        for template in ["{tilte}", "{title", "title}", "{}", "{ti{tle}"] {
            let error = Template::parse(template).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{template}");
            assert!(error.advice.is_some_and(|advice| advice.contains("{title}")));
        }
    }

    #[test]
    fn reserved_names_are_avoided() {
        for name in ["CON", "con", "nul.tar", "COM1", "lpt9.x", "COM²", "Aux "] {
            assert!(safe_name(name).starts_with('_'), "{name}");
        }
        for name in ["Contra", "COM", "COM10", "Auxiliary", "com1ng"] {
            assert_eq!(safe_name(name), name);
        }
    }

    #[test]
    fn a_long_title_keeps_the_stem_at_the_end() {
        let title = "ü".repeat(300);
        let fields = Fields { title: &title, artist: "A", stem: "Vocals", ..Fields::default() };
        let name = render("{artist} - {title} ({stem})", &fields);
        assert!(name.len() <= 240 && name.len() > 220, "{}", name.len());
        assert!(name.starts_with("A - üü") && name.ends_with("ü (Vocals)"), "{name}");
    }

    #[test]
    fn numbers_go_up_to_the_first_free_one() {
        let taken = ["a.wav", "a 2.wav"];
        assert_eq!(number_up("a", "wav", |n| taken.contains(&n)), ("a 3.wav".into(), Some(3)));
        assert_eq!(number_up("b", "wav", |n| taken.contains(&n)), ("b.wav".into(), None));
    }

    proptest! {
        #[test]
        fn any_song_gives_one_legal_component(
            artist in any::<String>(),
            title in any::<String>(),
            template in r"(\{(artist|title|stem|n)\}|[ -/.\\:a-z]){0,12}",
        ) {
            let fields = Fields { artist: &artist, title: &title, stem: "Drums", n: 7, ..Fields::default() };
            // Braces without partner cannot come out of the pattern above.
            let name = Template::parse(&template)?.render(&fields);
            prop_assert!(!name.is_empty() && name.len() <= 241);
            prop_assert!(!name.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|', '\0']));
            prop_assert!(!name.chars().any(char::is_control));
            prop_assert!(!name.starts_with('.') && !name.ends_with(['.', ' ']));
            let path = Path::new("/folder").join(format!("{name}.wav"));
            prop_assert_eq!(path.parent(), Some(Path::new("/folder")));
            prop_assert_eq!(safe_name(&name), name);
        }
    }
}
