//! What can be wrong with a weight file, before it is known which file it was.

use crate::{Error, ErrorKind};

/// A result whose error does not know the file's name yet.
pub(super) type Found<T> = Result<T, Fault>;

/// One thing that is wrong with a file: half a sentence that can follow its name and a colon.
#[derive(Debug)]
pub(super) struct Fault {
    kind: ErrorKind,
    what: String,
}

impl Fault {
    /// The file contradicts itself or ends early.
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Damaged, what: what.into() }
    }

    /// The file is something else, or wants something that weight files have no need of.
    pub(super) fn unsupported(what: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Unsupported, what: what.into() }
    }

    /// The file asks for more than the limits allow.
    pub(super) fn too_large(what: impl Into<String>) -> Self {
        Self { kind: ErrorKind::TooLarge, what: what.into() }
    }

    /// Says where in the file it is.
    pub(super) fn within(self, place: &str) -> Self {
        Self { what: format!("{place}: {}", self.what), ..self }
    }

    /// The error for the user, with the file's name.
    pub(super) fn about(self, file: &str) -> Error {
        let advice = match self.kind {
            ErrorKind::Damaged => "Download or copy the file again",
            _ => "Choose a Demucs model that its authors published, as .th or .safetensors",
        };
        Error::new(self.kind, format!("Cannot use the model file “{file}”: {}", self.what))
            .advice(advice)
    }
}

/// The system has no room for `bytes`.
pub(super) fn no_memory(bytes: u64) -> Fault {
    Fault::too_large(format!("{bytes} bytes do not fit into this computer's memory"))
}

/// Text of an untrusted file as it may appear in a message: quoted, short, one line.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let dots = if end < text.len() { "…" } else { "" };
    format!("“{}{dots}”", text[..end].escape_debug())
}
