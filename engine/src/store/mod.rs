//! What lies on disk: tracks (planar f32 files), the cache folder, the library and the journal.

mod cache;
mod files;
mod journal;
mod library;
mod shelf;
mod song_folder;
mod track;

pub use cache::{Cache, Entry, Incoming, Kind, Pin, Usage, size_text};
pub use files::{read_bounded, write_atomically};
pub use journal::{Journal, MAX_JOURNAL_BYTES, MAX_RECORD_BYTES};
pub use library::{KnownFile, KnownJob, KnownSong, Library};
pub use shelf::{Shelf, Store};
pub use song_folder::{StoredSong, load_song, store_song};
pub use track::Track;
