//! Where songs come from and go to: the library knows which file is which song, the cache has the
//! song. One [`Shelf`] goes with one file, on the thread that opens it.

use std::{
    fs::{File, Metadata},
    path::Path,
    sync::Arc,
};

use crate::{
    error::{Error, Result},
    song::{Found, Keeper, Song, SongInfo, SongState},
    store::{Cache, Incoming, Library, Pin, load_song, store_song},
};

/// To be raised whenever decoding yields other samples than before: files are decoded again then.
const DECODER_VERSION: u32 = 3;

/// Cache and library.
#[derive(Debug)]
pub struct Store {
    /// Decoded songs and jobs.
    pub cache: Cache,
    /// Files, songs and jobs seen so far.
    pub library: Library,
}

/// Looks one file up before it is decoded and keeps what was decoded of it.
#[derive(Debug)]
pub struct Shelf {
    store: Arc<Store>,
    /// The file as it was before it was read.
    before: Option<Metadata>,
    hash: Option<[u8; 32]>,
    incoming: Option<Incoming>,
}

impl Shelf {
    /// For one file.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, before: None, hash: None, incoming: None }
    }

    /// The song that these very bytes decoded to before, if it still is in the cache.
    fn known(&mut self, path: &Path) -> Result<Option<Found>> {
        let Some(before) = &self.before else { return Ok(None) };
        let library = &self.store.library;
        if !library.knows_size(before.len())? {
            return Ok(None);
        }
        let hash = hash_file(path)?;
        self.hash = Some(hash);
        let Some(known) = library.file(&hash, DECODER_VERSION)? else { return Ok(None) };
        let Some(mut stored) = load_song(&self.store.cache, known.song) else { return Ok(None) };
        stored.info =
            SongInfo { path: path.to_owned(), cover: stored.info.cover.take(), ..known.info };
        if let Err(error) = library.remember_song(known.song, &stored.info, &stored.waveform) {
            tracing::warn!(%error, "the song is not among the recent ones");
        }
        Ok(Some(Found::Stored(Box::new(stored))))
    }

    fn store(&mut self, song: &Song) -> Result<Option<Pin>> {
        let (SongState::Ready { id, stats }, Some(info), Some(mixture), Some(incoming)) =
            (song.state(), song.info(), song.mixture(), self.incoming.take())
        else {
            return Ok(None);
        };
        let Store { cache, library } = &*self.store;
        let waveform = song.waveform();
        let pin = store_song(cache, incoming.dir(), id, &info, stats, &mixture, waveform)?;
        drop(incoming);
        library.remember_song(id, &info, waveform)?;
        // A file that changed while it was read is not what was decoded.
        let hash = match self.hash {
            Some(hash) => hash,
            None => hash_file(song.path())?,
        };
        let now = std::fs::metadata(song.path()).ok();
        if let (Some(before), Some(now)) = (&self.before, now)
            && before.len() == now.len()
            && before.modified().ok() == now.modified().ok()
        {
            library.remember_file(&hash, now.len(), DECODER_VERSION, id, &info)?;
        }
        Ok(Some(pin))
    }
}

impl Keeper for Shelf {
    fn find(&mut self, path: &Path) -> Result<Found> {
        self.before = std::fs::metadata(path).ok().filter(Metadata::is_file);
        match self.known(path) {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            // Then it is decoded, which says better what is wrong with the file, if anything is.
            Err(error) => tracing::warn!(%error, "a file cannot be looked up"),
        }
        make_room(&self.store.cache);
        let incoming = self.store.cache.incoming()?;
        let dir = incoming.dir().to_owned();
        self.incoming = Some(incoming);
        Ok(Found::Unknown(dir))
    }

    fn keep(&mut self, song: &Song) -> Option<Pin> {
        let kept = self.store(song).unwrap_or_else(|error| {
            // It plays and separates all the same; it will be decoded again next time.
            tracing::warn!(%error, "the song is not kept in the cache");
            None
        });
        make_room(&self.store.cache);
        kept
    }
}

/// Brings the cache back under its cap where that is possible. How long a song is shows only when
/// it is decoded, and one that is being listened to is never taken away.
fn make_room(cache: &Cache) {
    if let Err(error) = cache.make_room(0) {
        tracing::info!(%error, "the cache is over its cap");
    }
}

fn hash_file(path: &Path) -> Result<[u8; 32]> {
    let failed = |e| Error::io("read", path, e);
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path).map_err(failed)?).map_err(failed)?;
    Ok(*hasher.finalize().as_bytes())
}
