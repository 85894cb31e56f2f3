//! An append-only file of records that survives being cut off anywhere.
//!
//! Layout: eight bytes of magic, then per record `length: u32 | crc32c: u32 | postcard bytes`, all
//! little-endian; the checksum covers the length too, so a run of zeros is no record. Opening takes
//! the valid prefix; what follows it is cut off and never looked at again.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    marker::PhantomData,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, ErrorKind, Result};

const MAGIC: &[u8; 8] = b"STEMJRN1";
const HEADER_BYTES: usize = 8;

/// Largest record in bytes.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// Largest journal that is read; one record per chunk stays far below.
pub const MAX_JOURNAL_BYTES: u64 = 1 << 28;

/// An open journal of records `R`. One writer at a time; whoever opens it must see to that.
#[derive(Debug)]
pub struct Journal<R> {
    path: PathBuf,
    file: File,
    /// End of the last whole record; the next one goes here, over whatever a failed write left.
    end: u64,
    records: PhantomData<fn(R) -> R>,
}

impl<R: Serialize + DeserializeOwned> Journal<R> {
    /// Opens or creates the journal and returns the records of its valid prefix; the rest is cut
    /// off.
    ///
    /// # Errors
    /// Whatever the file system says; [`ErrorKind::TooLarge`] beyond [`MAX_JOURNAL_BYTES`].
    pub fn open(path: &Path) -> Result<(Self, Vec<R>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|e| Error::io("open", path, e))?;
        let (records, end) = parse(&contents(&mut file, path)?);
        let mut journal = Self { path: path.into(), file, end, records: PhantomData };
        let write = |e| Error::io("write", path, e);
        journal.file.set_len(end).map_err(write)?;
        if end == 0 {
            journal.put(MAGIC).map_err(write)?;
        }
        Ok((journal, records))
    }

    /// The records of the valid prefix, leaving the file as it is.
    ///
    /// # Errors
    /// As [`Self::open`], and [`ErrorKind::NotFound`] when there is none.
    pub fn read(path: &Path) -> Result<Vec<R>> {
        let mut file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        Ok(parse(&contents(&mut file, path)?).0)
    }

    /// Appends one record. After an error the journal is as before, and appending may be tried
    /// again.
    ///
    /// # Errors
    /// Whatever the file system says, a full disk above all; [`ErrorKind::TooLarge`] beyond
    /// [`MAX_RECORD_BYTES`].
    pub fn append(&mut self, record: &R) -> Result<()> {
        let mut bytes = postcard::to_extend(record, vec![0; HEADER_BYTES]).map_err(|e| {
            Error::new(ErrorKind::Internal, "A journal record cannot be written").caused_by(e)
        })?;
        let (header, body) = bytes.split_at_mut(HEADER_BYTES);
        if body.len() > MAX_RECORD_BYTES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("A journal record of {} bytes is too large", body.len()),
            ));
        }
        let length = (body.len() as u32).to_le_bytes();
        header[..4].copy_from_slice(&length);
        header[4..].copy_from_slice(&checksum(length, body).to_le_bytes());
        self.put(&bytes).map_err(|e| Error::io("write", &self.path, e))
    }

    /// Makes everything appended so far survive a power cut.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io("write", &self.path, e))
    }

    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

fn contents(file: &mut File, path: &Path) -> Result<Vec<u8>> {
    let read = |e| Error::io("read", path, e);
    let length = file.metadata().map_err(read)?.len();
    if length > MAX_JOURNAL_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("“{}” holds {length} bytes and is no journal of ours", path.display()),
        ));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(length).read_to_end(&mut bytes).map_err(read)?;
    Ok(bytes)
}

/// The records of the longest valid prefix, and where it ends.
fn parse<R: DeserializeOwned>(bytes: &[u8]) -> (Vec<R>, u64) {
    let mut records = Vec::new();
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        return (records, 0);
    };
    while let Some((record, after)) = next_record(rest) {
        records.push(record);
        rest = after;
    }
    (records, (bytes.len() - rest.len()) as u64)
}

fn next_record<R: DeserializeOwned>(bytes: &[u8]) -> Option<(R, &[u8])> {
    let (&length, rest) = bytes.split_first_chunk::<4>()?;
    let (&crc, rest) = rest.split_first_chunk::<4>()?;
    let body = rest.get(..u32::from_le_bytes(length) as usize)?;
    if body.len() > MAX_RECORD_BYTES || u32::from_le_bytes(crc) != checksum(length, body) {
        return None;
    }
    match postcard::take_from_bytes(body) {
        Ok((record, [])) => Some((record, &rest[body.len()..])),
        _ => None,
    }
}

fn checksum(length: [u8; 4], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length), body)
}
