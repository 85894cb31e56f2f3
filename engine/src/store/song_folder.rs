//! A decoded song's folder in the cache, written once and opened many times.
//!
//! `song.json` is written last and moved in last: a folder without it is not a song.

use std::{fs, io::Write, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind, Result},
    model::SongStats,
    song::{SongId, SongInfo},
    store::{
        Cache, Kind, Pin, Track,
        files::{read_bounded, write_atomically},
    },
    waveform::Waveform,
};

/// Name of the mixture's track.
const MIX: &str = "mix";
const FORMAT: u32 = 1;
const MOST_COVER_BYTES: u64 = 16 << 20;
const MOST_RECORD_BYTES: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    info: SongInfo,
    stats: SongStats,
    channels: u16,
    /// Frames at the work rate.
    frames: u64,
}

/// A song as it lies in the cache.
#[derive(Debug)]
pub struct StoredSong {
    /// Content id.
    pub id: SongId,
    /// What the file said that it was first opened from.
    pub info: SongInfo,
    /// Statistics at the work rate.
    pub stats: SongStats,
    /// The mixture at the work rate.
    pub mixture: Track,
    /// Its waveform.
    pub waveform: Waveform,
    /// Keeps it in the cache.
    pub pin: Pin,
}

/// Moves a decoded song from the `incoming` folder it was decoded into, where its track is called
/// "mix", to its place in the cache. Where it already is there, nothing changes. The track may stay
/// open throughout; the returned pin keeps the song in the cache.
///
/// # Errors
/// Whatever the file system says.
pub fn store_song(
    cache: &Cache,
    incoming: &Path,
    id: SongId,
    info: &SongInfo,
    stats: SongStats,
    mixture: &Track,
    waveform: &Waveform,
) -> Result<Pin> {
    let name = id.to_string();
    let pin = cache.pin(Kind::Song, &name)?;
    let target = cache.path(Kind::Song, &name);
    // Another process that stores the same song holds the claim; its copy is as good as ours.
    let Some(_claim) = cache.claim(Kind::Song, &name)? else {
        return Ok(pin);
    };
    if target.join("song.json").exists() {
        return Ok(pin);
    }

    mixture.sync()?;
    waveform.save(&incoming.join("mix.wave"))?;
    if let Some(cover) = &info.cover {
        write_atomically(&incoming.join("cover"), |mut file| file.write_all(cover))?;
    }
    let record = Record {
        format: FORMAT,
        info: SongInfo { path: info.path.to_string_lossy().into_owned().into(), ..info.clone() },
        stats,
        channels: u16::try_from(mixture.channel_count()).unwrap_or(u16::MAX),
        frames: mixture.frames(),
    };
    let json = serde_json::to_vec_pretty(&record)
        .map_err(|e| Error::new(ErrorKind::Internal, "Cannot describe the song").caused_by(e))?;
    write_atomically(&incoming.join("song.json"), |mut file| file.write_all(&json))?;

    // File by file: some systems do not rename a folder while a file inside it is open.
    fs::create_dir_all(&target).map_err(|e| Error::io("create", &target, e))?;
    let listing = fs::read_dir(incoming).map_err(|e| Error::io("read", incoming, e))?;
    let mut files: Vec<_> = listing.flatten().map(|file| file.file_name()).collect();
    files.sort_by_key(|file| file == "song.json");
    for file in files {
        let to = target.join(&file);
        fs::rename(incoming.join(&file), &to).map_err(|e| Error::io("write", &to, e))?;
    }
    Ok(pin)
}

/// The song `id` if it is in the cache whole. A damaged one is removed, so that it is decoded
/// again.
pub fn load_song(cache: &Cache, id: SongId) -> Option<StoredSong> {
    let name = id.to_string();
    let dir = cache.path(Kind::Song, &name);
    let pin = cache.pin(Kind::Song, &name).ok()?;
    if !dir.join("song.json").exists() {
        return None;
    }
    match read_song(&dir, id, pin) {
        Ok(song) => Some(song),
        Err(error) => {
            tracing::warn!(%error, "a song in the cache is damaged; it is decoded again");
            // The pin is gone by now; whoever else still uses it keeps it for the moment.
            if let Some(entry) = cache.entry(Kind::Song, &name) {
                cache.remove(&entry);
            }
            None
        }
    }
}

fn read_song(dir: &Path, id: SongId, pin: Pin) -> Result<StoredSong> {
    let path = dir.join("song.json");
    let damaged =
        || Error::new(ErrorKind::Damaged, format!("“{}” is not a song's record", path.display()));
    let json = read_bounded(&path, MOST_RECORD_BYTES)?;
    let record: Record = serde_json::from_slice(&json).map_err(|e| damaged().caused_by(e))?;
    if record.format != FORMAT || !(1..=2).contains(&record.channels) {
        return Err(damaged());
    }
    let mixture = Track::open(dir, MIX, usize::from(record.channels), record.frames)?;
    let wave_path = dir.join("mix.wave");
    let waveform = match Waveform::load(&wave_path) {
        Ok(waveform) if waveform.frames() == record.frames => waveform,
        _ => {
            let waveform = waveform_of(&mixture)?;
            waveform.save(&wave_path)?;
            waveform
        }
    };
    let cover = read_bounded(&dir.join("cover"), MOST_COVER_BYTES).ok().map(Arc::from);
    let info = SongInfo { cover, ..record.info };
    Ok(StoredSong { id, info, stats: record.stats, mixture, waveform, pin })
}

/// The waveform of a whole track, read in blocks.
fn waveform_of(track: &Track) -> Result<Waveform> {
    const BLOCK_FRAMES: u64 = 65_536;
    let waveform = Waveform::new();
    let mut block = vec![Vec::new(); track.channel_count()];
    let mut at = 0;
    while at < track.frames() {
        let frames = BLOCK_FRAMES.min(track.frames() - at) as usize;
        block.iter_mut().for_each(|channel| channel.resize(frames, 0.0));
        track.read(at, &mut block)?;
        waveform.extend(at, &block);
        at += frames as u64;
    }
    Ok(waveform)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::StreamSpec;

    fn info() -> SongInfo {
        SongInfo {
            path: "/music/Übung — 音.mp3".into(),
            title: "Übung".into(),
            artist: Some("音".into()),
            album: None,
            codec: "MP3".into(),
            bitrate_bps: Some(128_000),
            bits_per_sample: None,
            source: StreamSpec { sample_rate_hz: 44_100, channels: 2 },
            source_frames: Some(1000),
            cover: Some(Arc::from(&b"not really a picture"[..])),
        }
    }

    fn stats() -> SongStats {
        // Values that only survive when floats are written and read to the last bit.
        SongStats {
            frames: 1000,
            mono_mean: 0.1 + 0.2,
            mono_std: 1.0 / 3.0,
            rms: std::f64::consts::LN_2,
            peak: 0.1,
        }
    }

    fn audio() -> Vec<Vec<f32>> {
        let wave = |step: f32| (0..1000).map(|i| (i as f32 * step).sin()).collect();
        vec![wave(0.1), wave(0.07)]
    }

    fn store(cache: &Cache) -> Pin {
        let incoming = cache.incoming().unwrap();
        let track = Track::create(incoming.dir(), MIX, 2).unwrap();
        track.write(0, &audio()).unwrap();
        let waveform = waveform_of(&track).unwrap();
        store_song(cache, incoming.dir(), SongId([7; 32]), &info(), stats(), &track, &waveform)
            .unwrap()
    }

    fn samples(track: &Track) -> Vec<Vec<f32>> {
        let mut samples = vec![vec![0.0; 1000]; 2];
        track.read(0, &mut samples).unwrap();
        samples
    }

    #[test]
    fn a_stored_song_comes_back_to_the_last_bit() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), 1 << 30).unwrap();
        assert!(load_song(&cache, SongId([7; 32])).is_none());
        drop(store(&cache));
        drop(store(&cache));
        let song = load_song(&cache, SongId([7; 32])).unwrap();
        assert_eq!(song.info, info());
        assert_eq!(song.stats, stats());
        assert_eq!(samples(&song.mixture), audio());
        assert_eq!(cache.usage().songs, 1);
        assert_eq!(cache.usage().incoming_bytes, 0);
    }

    #[test]
    fn a_lost_waveform_is_drawn_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), 1 << 30).unwrap();
        drop(store(&cache));
        let path = cache.path(Kind::Song, &SongId([7; 32]).to_string()).join("mix.wave");
        let before = fs::read(&path).unwrap();
        fs::write(&path, b"garbage").unwrap();
        assert!(load_song(&cache, SongId([7; 32])).is_some());
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_damaged_song_is_removed() {
        for damaged_file in ["song.json", "mix.1.f32"] {
            let dir = tempfile::tempdir().unwrap();
            let cache = Cache::open(dir.path(), 1 << 30).unwrap();
            drop(store(&cache));
            let folder = cache.path(Kind::Song, &SongId([7; 32]).to_string());
            fs::write(folder.join(damaged_file), b"{}").unwrap();
            assert!(load_song(&cache, SongId([7; 32])).is_none());
            assert!(!folder.exists());
        }
    }
}
