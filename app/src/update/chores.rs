//! Small jobs that take a while or touch the disk, done one after another on a thread of their own:
//! the list of recent songs, the models, the cache's size, the settings file,
//! covers, looking through folders, what is asked of other computers.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use egui::ColorImage;
use engine::{Error, catalogue::Fetch, remote::Hub};

use super::picker::EXTENSIONS;
use crate::state::{CacheUse, ModelCard, RecentSong};

/// What a chore brought.
pub enum Done {
    /// Nothing to tell.
    Nothing,
    /// Songs opened before.
    Recent(Vec<RecentSong>),
    /// What the cache holds.
    CacheUse(CacheUse),
    /// The cache was emptied of this much.
    Cleared(CacheUse),
    /// The small cover of the song with this key.
    Cover(u64, ColorImage),
    /// The models there are.
    Models(Vec<ModelCard>),
    /// This many cores were measured, with this many threads.
    Cores(f64, usize),
    /// A download that was asked for has begun.
    Fetching(String, Fetch),
    /// Other computers can be asked for now.
    Hub(Arc<Hub>),
    /// A ticket that pairs one computer.
    Ticket(String),
    /// Songs found in what was dropped or picked.
    Songs(Vec<PathBuf>),
    /// It went wrong.
    Failed(Error),
}

type Chore = Box<dyn FnOnce() -> Done + Send>;

/// Chores that may wait.
const MOST_WAITING: usize = 64;

/// The thread and what it brought.
pub struct Chores {
    give: Sender<Chore>,
    done: Receiver<Done>,
}

impl Chores {
    /// Starts the thread; `wake` is called after each chore.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(wake: impl Fn() + Send + 'static) -> engine::Result<Self> {
        let (give, to_do) = bounded::<Chore>(MOST_WAITING);
        let (bring, done) = bounded(MOST_WAITING);
        thread::Builder::new()
            .name("chores".into())
            .spawn(move || {
                for chore in to_do {
                    if bring.send(chore()).is_err() {
                        return;
                    }
                    wake();
                }
            })
            .map_err(|cause| {
                Error::new(engine::ErrorKind::Internal, "Cannot start a thread").caused_by(cause)
            })?;
        Ok(Self { give, done })
    }

    /// Gives a chore to do. With too many waiting it is dropped: whoever asked will ask again.
    pub fn give(&self, chore: impl FnOnce() -> Done + Send + 'static) {
        if self.give.try_send(Box::new(chore)).is_err() {
            tracing::warn!("too many chores are waiting; one is dropped");
        }
    }

    /// What has been brought since the last call.
    pub fn poll(&self) -> Vec<Done> {
        self.done.try_iter().collect()
    }
}

/// Most songs taken out of folders at once.
const MOST_SONGS: usize = 2000;

/// How deep folders are looked through.
const DEEPEST: usize = 8;

/// `paths` with every folder replaced by the songs in it, each folder sorted by name. Files given
/// by name are kept whatever their extension.
pub fn songs_in(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut songs = Vec::new();
    for path in paths {
        if path.is_dir() {
            look_through(&path, 0, &mut songs);
        } else {
            songs.push(path);
        }
    }
    songs.truncate(MOST_SONGS);
    songs
}

fn look_through(folder: &Path, depth: usize, songs: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if songs.len() >= MOST_SONGS {
            return;
        }
        // Links to folders could go round in circles.
        let is_link = path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
        if path.is_dir() {
            if depth < DEEPEST && !is_link {
                look_through(&path, depth + 1, songs);
            }
        } else if is_song(&path) {
            songs.push(path);
        }
    }
}

fn is_song(path: &Path) -> bool {
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| {
        EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_their_songs_in_order() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("Album/CD 2")).expect("writable");
        for name in
            ["Album/b.FLAC", "Album/a.mp3", "Album/cover.jpg", "Album/CD 2/夜.ogg", "odd.xyz"]
        {
            std::fs::write(at(name), b"").expect("writable");
        }
        let songs = songs_in(vec![at("odd.xyz"), at("Album"), at("missing.mp3")]);
        let expected =
            ["odd.xyz", "Album/CD 2/夜.ogg", "Album/a.mp3", "Album/b.FLAC", "missing.mp3"];
        assert_eq!(songs, expected.map(at));
    }
}
