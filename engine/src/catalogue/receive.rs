//! Files of models that another computer of the user sends.

use std::{fmt, sync::Arc};

use super::{
    Catalogue,
    folder::{Claim, FileState},
    manifest::{MAX_FILE_BYTES, Model, ModelFile},
    part::Part,
};
use crate::{
    error::{Error, ErrorKind, Result},
    model::Stem,
    protocol::BlobRef,
    remote::BlobSink,
};

impl Catalogue {
    /// Whether the manifest names this file.
    pub fn lists(&self, blob: &BlobRef) -> bool {
        self.listed(blob).is_some()
    }

    /// Whether this file is here, as far as can be seen without reading it.
    pub fn has(&self, blob: &BlobRef) -> bool {
        let files = self.list().into_iter().flat_map(|entry| entry.model.files);
        files.into_iter().any(|file| is(&file, blob) && self.is_here(&file))
    }

    /// The files that `model` lacks to yield `stems`.
    pub(crate) fn lacks(&self, model: &Model, stems: &[Stem]) -> Vec<BlobRef> {
        let needed = model.files.iter().filter(|file| file.serves(stems));
        needed.filter(|file| !self.is_here(file)).map(ModelFile::blob).collect()
    }

    /// A place for the file `blob`, which may hold its beginning from before. One that the manifest
    /// does not name is loaded once when it is whole, and listed as brought by the user.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] for more bytes than any model has, [`ErrorKind::DiskFull`],
    /// [`ErrorKind::Busy`] while the same file comes another way; what the disk says.
    pub fn receive(self: &Arc<Self>, blob: &BlobRef) -> Result<Receiving> {
        if !(1..=MAX_FILE_BYTES).contains(&blob.bytes) {
            let what = format!("A model's file of {} bytes was announced", blob.bytes);
            return Err(Error::new(ErrorKind::TooLarge, what));
        }
        let listed = self.listed(blob).cloned();
        let is_listed = listed.is_some();
        let file = listed.unwrap_or_else(|| ModelFile {
            name: format!("received-{}.part", &blob.sha256.to_string()[..8]),
            url: None,
            bytes: blob.bytes,
            sha256: blob.sha256,
            stem: None,
        });
        let claim = self.folder.claim(&file.name)?;
        let part = Part::open(&self.folder, &file, |_| Ok(()))?;
        if let Err(error) = self.folder.require_room(blob.bytes - part.bytes) {
            // What came before only takes room that nobody has.
            let _ = self.folder.drop_part(&file.name);
            return Err(error);
        }
        Ok(Receiving { catalogue: Arc::clone(self), part, is_listed, _claim: claim })
    }

    fn listed(&self, blob: &BlobRef) -> Option<&ModelFile> {
        let mut files = self.manifest.models().iter().flat_map(|model| &model.files);
        files.find(|file| is(file, blob))
    }

    fn is_here(&self, file: &ModelFile) -> bool {
        matches!(self.folder.state(file), FileState::Good | FileState::Unchecked)
    }
}

fn is(file: &ModelFile, blob: &BlobRef) -> bool {
    (file.sha256, file.bytes) == (blob.sha256, blob.bytes)
}

/// A model's file on its way here.
pub struct Receiving {
    catalogue: Arc<Catalogue>,
    part: Part,
    is_listed: bool,
    _claim: Claim,
}

impl fmt::Debug for Receiving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiving({}, {} bytes)", self.part.file().sha256, self.part.bytes)
    }
}

impl BlobSink for Receiving {
    fn have_bytes(&self) -> u64 {
        self.part.bytes
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let left = self.part.file().bytes - self.part.bytes;
        if bytes.len() as u64 > left {
            self.part.restart()?;
            let what = "More bytes of a model's file came than it has";
            return Err(Error::new(ErrorKind::Damaged, what).kept("What came was thrown away"));
        }
        self.part.append(bytes).inspect_err(|error| {
            if error.kind == ErrorKind::DiskFull {
                // Others need the room more than a beginning that may never be gone on with.
                let _ = self.catalogue.folder.drop_part(&self.part.file().name);
            }
        })
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        let ModelFile { bytes, sha256, .. } = *self.part.file();
        if self.part.bytes < bytes {
            let what = format!("Only {} of a model's {bytes} bytes came", self.part.bytes);
            return Err(Error::new(ErrorKind::Network, what).kept("They are kept"));
        }
        let found = self.part.value();
        if found != sha256 {
            self.part.restart()?;
            let what = format!("A model's file came with the SHA-256 {found} instead of {sha256}");
            return Err(Error::new(ErrorKind::Damaged, what).kept("What came was thrown away"));
        }
        if self.is_listed {
            return self.part.finish();
        }
        let file = self.part.into_temporary()?;
        let name = format!("received-{}.{}", &sha256.to_string()[..8], kind(&file)?);
        self.catalogue.take_unknown(file, &name, sha256, bytes).map(drop)
    }
}

/// Extension that fits the content: PyTorch's files are ZIP archives.
fn kind(file: &tempfile::NamedTempFile) -> Result<&'static str> {
    use std::io::Read;
    let mut start = Vec::new();
    let opened = std::fs::File::open(file.path());
    opened
        .and_then(|opened| opened.take(2).read_to_end(&mut start))
        .map_err(|e| Error::io("read", file.path(), e))?;
    Ok(if start == b"PK" { "th" } else { "safetensors" })
}
