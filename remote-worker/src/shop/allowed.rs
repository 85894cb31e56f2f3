//! Models outside the program's own list that the owner lets in.

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
};

use engine::{
    ErrorKind, Result,
    catalogue::{Model, Sha256},
    protocol::ModelOrder,
    store::{read_bounded, write_atomically},
};

/// Most bytes of the file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The line that lets all in.
const ANY: &str = "any";

/// The owner's list: one hash a line, of a model or of its file, or the word `any`.
#[derive(Debug, Clone)]
pub struct Allowed {
    path: PathBuf,
}

impl Allowed {
    /// The list in `data_dir`.
    pub fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join("allowed-models.txt") }
    }

    /// Lets in a model of which this is the hash, or that of its only file.
    ///
    /// # Errors
    /// What the disk says.
    pub fn allow(&self, hash: &Sha256) -> Result<()> {
        self.add(hash.to_string())
    }

    /// Lets every model in.
    ///
    /// # Errors
    /// What the disk says.
    pub fn allow_any(&self) -> Result<()> {
        self.add(ANY.to_owned())
    }

    /// Lets no more models in than the program's own list names.
    ///
    /// # Errors
    /// What the disk says.
    pub fn clear(&self) -> Result<()> {
        self.write(&BTreeSet::new())
    }

    /// Whether the owner lets this model in. A list that cannot be read lets none in.
    pub fn lets_in(&self, order: &ModelOrder) -> bool {
        let lines = self.lines().unwrap_or_default();
        lines.contains(ANY)
            || lines.contains(&Self::name_of(order))
            || lines.contains(&Sha256(order.hash).to_string())
            || (!order.files.is_empty()
                && order.files.iter().all(|file| lines.contains(&file.sha256.to_string())))
    }

    /// The hash by which the owner lets a model in: that of its weights, whatever its quality.
    pub fn name_of(order: &ModelOrder) -> String {
        let files = order.files.iter().map(|file| &file.sha256);
        Sha256(Model::hash_of_weights(files)).to_string()
    }

    fn add(&self, line: String) -> Result<()> {
        let mut lines = self.lines()?;
        lines.insert(line);
        self.write(&lines)
    }

    fn lines(&self) -> Result<BTreeSet<String>> {
        match read_bounded(&self.path, MAX_FILE_BYTES) {
            Err(e) if e.kind == ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(e) => Err(e),
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                Ok(text.lines().map(|line| line.trim().to_ascii_lowercase()).collect())
            }
        }
    }

    fn write(&self, lines: &BTreeSet<String>) -> Result<()> {
        write_atomically(&self.path, |mut file| {
            lines.iter().try_for_each(|line| writeln!(file, "{line}"))
        })
    }
}
