//! The zip archive that `torch.save` writes: entries stored uncompressed in one folder.
//!
//! `rawzip` finds and parses the directory; here is what it leaves to its users: duplicates,
//! overlaps, compression and checksums.

use std::collections::HashMap;

use rawzip::{CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder, ZipSliceArchive};

use super::fault::{Fault, Found, shown};

/// Most entries of an archive. A Demucs network has about 540: one per tensor and a few more.
const MAX_ENTRIES: usize = 20_000;

/// An archive and the entries of the folder that holds `data.pkl`.
pub(super) struct Archive<'a> {
    zip: ZipSliceArchive<&'a [u8]>,
    /// Entries by their name within that folder.
    entries: HashMap<String, Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    place: ZipArchiveEntryWayfinder,
    is_plain: bool,
}

impl<'a> Archive<'a> {
    /// Reads the directory of an archive.
    pub(super) fn open(bytes: &'a [u8]) -> Found<Self> {
        let damaged = |error: rawzip::Error| {
            Fault::damaged(format!(
                "its zip directory cannot be read, it may be cut short ({error})"
            ))
        };
        let zip = ZipArchive::from_slice(bytes).map_err(damaged)?;
        if zip.entries_hint() > MAX_ENTRIES as u64 {
            return Err(too_many());
        }
        let mut all = Vec::new();
        let mut stored_bytes = 0_u64;
        let mut directory = zip.entries();
        while let Some(record) = directory.next_entry().map_err(damaged)? {
            if all.len() == MAX_ENTRIES {
                return Err(too_many());
            }
            // Stored entries that do not overlap cannot hold more than the file does.
            stored_bytes = stored_bytes.saturating_add(record.compressed_size_hint());
            if stored_bytes > bytes.len() as u64 {
                return Err(Fault::damaged("its entries claim more bytes than it has"));
            }
            let path = String::from_utf8_lossy(record.file_path().as_ref()).into_owned();
            let is_plain = record.compression_method() == CompressionMethod::STORE
                && record.compressed_size_hint() == record.uncompressed_size_hint()
                && !record.flags().is_encrypted();
            all.push((path, Entry { place: record.wayfinder(), is_plain }));
        }
        if all.len() as u64 != zip.entries_hint() {
            return Err(Fault::damaged("its zip directory is cut short"));
        }
        // The folder is called “archive” or like the file when it was saved.
        let folder = all
            .iter()
            .find_map(|(path, _)| path.strip_suffix("data.pkl").filter(|f| f.ends_with('/')))
            .ok_or_else(|| {
                Fault::unsupported("it is a zip archive, but holds no PyTorch data.pkl")
            })?
            .to_owned();
        let mut entries = HashMap::with_capacity(all.len());
        for (path, entry) in all {
            let Some(name) = path.strip_prefix(&folder) else { continue };
            if entries.insert(name.to_owned(), entry).is_some() {
                return Err(Fault::damaged(format!("it holds {} twice", shown(&path))));
            }
        }
        Ok(Self { zip, entries })
    }

    /// The content of the entry called `name` within the folder, its checksum verified; none where
    /// there is no such entry.
    pub(super) fn entry(&self, name: &str) -> Found<Option<&[u8]>> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        let place = || format!("its entry {}", shown(name));
        if !entry.is_plain {
            return Err(Fault::unsupported(
                "is compressed or encrypted, as PyTorch never writes it",
            )
            .within(&place()));
        }
        let found = self.zip.get_entry(entry.place).map_err(|error| {
            Fault::damaged(format!("cannot be found ({error})")).within(&place())
        })?;
        if rawzip::crc32(found.data()) != found.claim_verifier().crc {
            return Err(Fault::damaged("the checksum does not match").within(&place()));
        }
        Ok(Some(found.data()))
    }
}

fn too_many() -> Fault {
    Fault::too_large(format!("it has more than {MAX_ENTRIES} entries"))
}
