//! The min/max/RMS pyramid behind every waveform: built once, in any order, drawn at any zoom.
//!
//! The base level holds one bucket per [`BASE_FRAMES`] frames, each further level one per two of
//! the level below, so a column of any width is the union of a few buckets. Energy is summed in
//! integers: integer sums do not depend on the order of their terms, so pieces that arrive in any
//! order and cut anywhere give the same pyramid to the last bit.

use std::{
    io::{BufReader, BufWriter, Read, Write},
    ops::Range,
    path::Path,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    error::{Error, ErrorKind, Result},
    store::Track,
};

/// Frames per bucket of the finest level. Below that many frames per column, draw from the track
/// itself with [`columns_from_track`].
pub const BASE_FRAMES: u64 = 256;

/// One pixel column of a waveform.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Column {
    /// Smallest sample.
    pub min: f32,
    /// Largest sample.
    pub max: f32,
    /// Root mean square.
    pub rms: f32,
}

/// Extremes and energy of a stretch of samples over all channels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    min: f32,
    max: f32,
    /// Sum of squares in units of 1 / [`AMPLITUDE_STEPS`]², truncated per sample.
    energy: u64,
}

/// Steps per full scale in which amplitudes are squared. An hour of stereo at full scale sums to
/// 2^60; what lies below -96 dBFS adds nothing, far under anything visible.
const AMPLITUDE_STEPS: f32 = 65_536.0;

/// Largest amplitude that energy tells apart (+36 dBFS); extremes are kept whatever they are.
const AMPLITUDE_LIMIT: f32 = 64.0;

impl Bucket {
    const EMPTY: Self = Self { min: f32::INFINITY, max: f32::NEG_INFINITY, energy: 0 };

    fn of(samples: &[f32]) -> Self {
        const LANES: usize = 8;
        let (mut min, mut max) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        let mut energy = [0u64; LANES];
        let mut add = |lane: usize, sample: f32| {
            // Adding zero turns -0.0 into 0.0, so that equal extremes are equal in their bits.
            let x = sample + 0.0;
            // Comparisons rather than `f32::min`, so that NaN changes nothing.
            min[lane] = if x < min[lane] { x } else { min[lane] };
            max[lane] = if x > max[lane] { x } else { max[lane] };
            let size = x.abs();
            let size = if size > AMPLITUDE_LIMIT { AMPLITUDE_LIMIT } else { size };
            let steps = (size * AMPLITUDE_STEPS) as i32 as u32;
            energy[lane] += u64::from(steps) * u64::from(steps);
        };
        let (groups, rest) = samples.as_chunks::<LANES>();
        for group in groups {
            for (lane, &sample) in group.iter().enumerate() {
                add(lane, sample);
            }
        }
        for (lane, &sample) in rest.iter().enumerate() {
            add(lane, sample);
        }
        (0..LANES).fold(Self::EMPTY, |acc, lane| {
            acc.and(Self { min: min[lane], max: max[lane], energy: energy[lane] })
        })
    }

    fn and(self, other: Self) -> Self {
        Self {
            min: if other.min < self.min { other.min } else { self.min },
            max: if other.max > self.max { other.max } else { self.max },
            energy: self.energy.saturating_add(other.energy),
        }
    }

    /// The column that this much of `frames` frames of `channels` channels looks like.
    fn column(self, frames: u64, channels: u16) -> Column {
        if self.min > self.max {
            return Column::default();
        }
        let samples = (frames.max(1) * u64::from(channels.max(1))) as f64;
        let rms = (self.energy as f64 / samples).sqrt() / f64::from(AMPLITUDE_STEPS);
        Column { min: self.min, max: self.max, rms: rms as f32 }
    }
}

/// `levels[0]` is the base; `levels[k + 1]` is half as long as `levels[k]`, rounded up; the last
/// one has at most one bucket.
#[derive(Debug, Default)]
struct Pyramid {
    levels: Vec<Vec<Bucket>>,
    frames: u64,
    channels: u16,
}

impl Pyramid {
    fn extend(&mut self, at_frame: u64, channels: &[&[f32]]) {
        let piece_frames = channels.first().map_or(0, |c| c.len());
        if piece_frames == 0 {
            return;
        }
        self.channels = self.channels.max(u16::try_from(channels.len()).unwrap_or(u16::MAX));
        let end_frame = at_frame + piece_frames as u64;
        self.frames = self.frames.max(end_frame);
        let new_from_level = self.grow();

        for samples in channels {
            let mut at = at_frame;
            let mut samples = *samples;
            while !samples.is_empty() {
                let room = (BASE_FRAMES - at % BASE_FRAMES) as usize;
                let (here, rest) = samples.split_at(room.min(samples.len()));
                let bucket = &mut self.levels[0][(at / BASE_FRAMES) as usize];
                *bucket = bucket.and(Bucket::of(here));
                at += here.len() as u64;
                samples = rest;
            }
        }
        let touched = (at_frame / BASE_FRAMES) as usize..end_frame.div_ceil(BASE_FRAMES) as usize;
        self.update_parents(touched, new_from_level);
    }

    /// Makes room for `self.frames`; returns the first level that did not exist before.
    fn grow(&mut self) -> usize {
        let existed = self.levels.len();
        let mut buckets = self.frames.div_ceil(BASE_FRAMES) as usize;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            if self.levels[level].len() < buckets {
                self.levels[level].resize(buckets, Bucket::EMPTY);
            }
            if buckets <= 1 {
                break;
            }
            buckets = buckets.div_ceil(2);
        }
        existed
    }

    /// Computes again whatever lies above the base buckets `touched`. Levels from `new_from_level`
    /// on are new: what was there before is all inside their first bucket.
    fn update_parents(&mut self, touched: Range<usize>, new_from_level: usize) {
        let mut touched = touched;
        for level in 1..self.levels.len() {
            let (below, above) = self.levels.split_at_mut(level);
            let (children, parents) = (&below[level - 1], &mut above[0]);
            let family = |parent: usize| {
                let first = children[2 * parent];
                children.get(2 * parent + 1).map_or(first, |&second| first.and(second))
            };
            touched = touched.start / 2..touched.end.div_ceil(2);
            for parent in touched.clone() {
                parents[parent] = family(parent);
            }
            if level >= new_from_level {
                parents[0] = family(0);
            }
        }
    }

    fn column(&self, level: usize, frames: Range<u64>) -> Column {
        let buckets = &self.levels[level];
        let width = BASE_FRAMES << level;
        let first = ((frames.start / width) as usize).min(buckets.len());
        let end = (frames.end.div_ceil(width) as usize).min(buckets.len());
        let covered =
            (end as u64 * width).min(self.frames) - (first as u64 * width).min(self.frames);
        buckets[first..end.max(first)]
            .iter()
            .fold(Bucket::EMPTY, |acc, &bucket| acc.and(bucket))
            .column(covered, self.channels)
    }
}

/// The waveform of one track, all its channels drawn as one. Grows while others draw it.
#[derive(Debug, Default)]
pub struct Waveform {
    pyramid: RwLock<Pyramid>,
    version: AtomicU64,
}

impl Waveform {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds equally long slices, one per channel, from `at_frame` on. Pieces may come in any order
    /// and be cut anywhere, but must not overlap earlier ones: their energy would count twice.
    pub fn extend(&self, at_frame: u64, channels: &[impl AsRef<[f32]>]) {
        /// Frames added per turn of the lock, so that whoever draws never waits long.
        const TURN_FRAMES: usize = 65_536;
        let channels: Vec<&[f32]> = channels.iter().map(AsRef::as_ref).collect();
        let frames = channels.iter().map(|c| c.len()).min().unwrap_or(0);
        let mut turn = Vec::with_capacity(channels.len());
        for start in (0..frames).step_by(TURN_FRAMES) {
            let end = frames.min(start + TURN_FRAMES);
            turn.clear();
            turn.extend(channels.iter().map(|c| &c[start..end]));
            let mut pyramid = self.pyramid.write().unwrap_or_else(PoisonError::into_inner);
            pyramid.extend(at_frame + start as u64, &turn);
        }
        if frames > 0 {
            self.version.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Becomes `other`, for whoever draws this one already.
    pub fn replace(&self, other: Self) {
        let other = other.pyramid.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.pyramid.write().unwrap_or_else(PoisonError::into_inner) = other;
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// The furthest frame added so far.
    pub fn frames(&self) -> u64 {
        self.read().frames
    }

    /// Changes whenever the waveform does; for caching what was drawn.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Replaces `out` by `count` columns that divide `frames` evenly. Every column covers all its
    /// samples, and up to a quarter of its width more at either side (one bucket where columns are
    /// narrower than that). Where nothing was added it is all zeros.
    pub fn columns(&self, frames: Range<f64>, count: usize, out: &mut Vec<Column>) {
        out.clear();
        out.resize(count, Column::default());
        let pyramid = self.read();
        if pyramid.levels.is_empty() {
            return;
        }
        let width = (frames.end - frames.start) / count.max(1) as f64;
        let level = ((width / (4 * BASE_FRAMES) as f64).max(1.0).log2() as usize)
            .min(pyramid.levels.len() - 1);
        for (index, column) in out.iter_mut().enumerate() {
            *column = pyramid.column(level, column_frames(frames.start, width, index));
        }
    }

    /// Writes the base level to `path`, which appears or is replaced at once.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn save(&self, path: &Path) -> Result<()> {
        let pyramid = self.read();
        crate::store::write_atomically(path, |file| {
            let mut to = Checked { inner: BufWriter::new(file), crc: 0 };
            to.write_all(MAGIC)?;
            to.write_all(&pyramid.frames.to_le_bytes())?;
            to.write_all(&pyramid.channels.to_le_bytes())?;
            for bucket in pyramid.levels.first().into_iter().flatten() {
                to.write_all(&bucket.min.to_le_bytes())?;
                to.write_all(&bucket.max.to_le_bytes())?;
                to.write_all(&bucket.energy.to_le_bytes())?;
            }
            let crc = to.crc;
            to.write_all(&crc.to_le_bytes())?;
            to.flush()
        })
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] when the file is not whole or not of this version; otherwise
    /// whatever the file system says.
    pub fn load(path: &Path) -> Result<Self> {
        let failed = |e| Error::io("read", path, e);
        let damaged = || {
            Error::new(ErrorKind::Damaged, format!("“{}” is not a whole waveform", path.display()))
        };
        let file = std::fs::File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut from = Checked { inner: BufReader::new(file), crc: 0 };

        let mut header = [0; HEADER_BYTES];
        from.read_exact(&mut header).map_err(|_| damaged())?;
        let (magic, sizes) = header.split_at(MAGIC.len());
        let frames = u64::from_le_bytes(sizes[..8].try_into().map_err(|_| damaged())?);
        let channels = u16::from_le_bytes(sizes[8..].try_into().map_err(|_| damaged())?);
        let buckets = frames.div_ceil(BASE_FRAMES);
        let expected = buckets
            .checked_mul(BUCKET_BYTES as u64)
            .and_then(|body| body.checked_add(HEADER_BYTES as u64 + 4));
        if magic != MAGIC || expected != Some(bytes) {
            return Err(damaged());
        }

        let mut pyramid = Pyramid { levels: Vec::new(), frames, channels };
        if buckets > 0 {
            pyramid.grow();
            let mut record = [0; BUCKET_BYTES];
            for bucket in &mut pyramid.levels[0] {
                from.read_exact(&mut record).map_err(failed)?;
                let [a, b, c, d, e, f, g, h, energy @ ..] = record;
                *bucket = Bucket {
                    min: f32::from_le_bytes([a, b, c, d]),
                    max: f32::from_le_bytes([e, f, g, h]),
                    energy: u64::from_le_bytes(energy),
                };
            }
            pyramid.update_parents(0..buckets as usize, 1);
        }
        let crc = from.crc;
        let mut stored = [0; 4];
        from.read_exact(&mut stored).map_err(failed)?;
        if u32::from_le_bytes(stored) != crc {
            return Err(damaged());
        }
        Ok(Self { pyramid: RwLock::new(pyramid), version: AtomicU64::new(1) })
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Pyramid> {
        self.pyramid.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces `out` by `count` columns that divide `frames` evenly, read from the samples
/// themselves: for zooms below [`BASE_FRAMES`] frames per column. Every column holds at least one
/// frame and exactly the frames it touches; beyond the track's ends it is all zeros.
///
/// # Errors
/// Whatever the file system says.
pub fn columns_from_track(
    track: &Track,
    frames: Range<f64>,
    count: usize,
    out: &mut Vec<Column>,
) -> Result<()> {
    const BLOCK_FRAMES: usize = 16_384;
    out.clear();
    out.resize(count, Column::default());
    let width = (frames.end - frames.start) / count.max(1) as f64;
    let channels = track.channel_count();
    let mut block = vec![vec![0f32; BLOCK_FRAMES]; channels];
    let mut loaded = 0..0;
    for (index, column) in out.iter_mut().enumerate() {
        let wanted = column_frames(frames.start, width, index);
        let wanted = wanted.start..wanted.end.min(track.frames());
        let mut bucket = Bucket::EMPTY;
        let mut at = wanted.start;
        while at < wanted.end {
            if !loaded.contains(&at) {
                track.read(at, &mut block)?;
                loaded = at..at + BLOCK_FRAMES as u64;
            }
            let end = wanted.end.min(loaded.end);
            let inside = (at - loaded.start) as usize..(end - loaded.start) as usize;
            for samples in &block {
                bucket = bucket.and(Bucket::of(&samples[inside.clone()]));
            }
            at = end;
        }
        let channels = u16::try_from(channels).unwrap_or(u16::MAX);
        *column = bucket.column(wanted.end.saturating_sub(wanted.start), channels);
    }
    Ok(())
}

/// The whole frames that column `index` of `width` frames touches, at least one; nothing before
/// frame 0.
fn column_frames(start: f64, width: f64, index: usize) -> Range<u64> {
    let from = (start + width * index as f64).floor();
    let to = (start + width * (index + 1) as f64).ceil().max(from + 1.0);
    // Casts from float saturate, so what lies before 0 becomes an empty range.
    from as u64..to as u64
}

/// Kind and version of the file; a pyramid of another version is built again.
const MAGIC: &[u8; 8] = b"SHwave1\n";
const HEADER_BYTES: usize = MAGIC.len() + 8 + 2;
const BUCKET_BYTES: usize = 16;

/// Sums CRC-32C over whatever passes through.
struct Checked<T> {
    inner: T,
    crc: u32,
}

impl<T: Write> Write for Checked<T> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.crc = crc32c::crc32c_append(self.crc, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Checked<T> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.crc = crc32c::crc32c_append(self.crc, &bytes[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn saved(waveform: &Waveform) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wave");
        waveform.save(&path).unwrap();
        std::fs::read(path).unwrap()
    }

    fn drawn(waveform: &Waveform, frames: Range<f64>, count: usize) -> Vec<Column> {
        let mut columns = Vec::new();
        waveform.columns(frames, count, &mut columns);
        columns
    }

    fn whole(channels: &[Vec<f32>]) -> Waveform {
        let waveform = Waveform::new();
        waveform.extend(0, channels);
        waveform
    }

    /// Extremes and RMS by the definition.
    fn expected(channels: &[Vec<f32>], frames: Range<usize>) -> Column {
        let inside: Vec<f32> =
            channels.iter().flat_map(|c| c[frames.clone()].iter().copied()).collect();
        let energy: f64 = inside.iter().map(|&x| f64::from(x).powi(2)).sum();
        Column {
            min: inside.iter().copied().fold(f32::INFINITY, f32::min),
            max: inside.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            rms: (energy / inside.len() as f64).sqrt() as f32,
        }
    }

    fn audio() -> impl Strategy<Value = Vec<Vec<f32>>> {
        (1usize..=2, 1usize..5000).prop_flat_map(|(channels, frames)| {
            prop::collection::vec(prop::collection::vec(-1.5f32..1.5, frames), channels)
        })
    }

    proptest! {
        #[test]
        fn any_order_and_any_cut_give_the_same_bytes_and_columns(
            audio in audio(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
            order in any::<u64>(),
        ) {
            let frames = audio[0].len();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(frames)).collect();
            cuts.extend([0, frames]);
            cuts.sort_unstable();
            let mut pieces: Vec<_> = cuts.windows(2).map(|pair| pair[0]..pair[1]).collect();
            pieces.sort_by_key(|piece| (piece.start as u64 + 1).wrapping_mul(order | 1));

            let grown = Waveform::new();
            for piece in pieces {
                let slices: Vec<&[f32]> = audio.iter().map(|c| &c[piece.clone()]).collect();
                grown.extend(piece.start as u64, &slices);
            }
            let whole = whole(&audio);
            prop_assert_eq!(saved(&grown), saved(&whole));
            for count in [1, 2, 7, 400] {
                let range = 0.0..frames as f64;
                prop_assert_eq!(drawn(&grown, range.clone(), count), drawn(&whole, range, count));
            }
        }

        #[test]
        fn columns_cover_their_samples_and_no_more_than_their_neighbourhood(
            audio in audio(),
            start in 0.0f64..4000.0,
            width in 1.0f64..3000.0,
            count in 1usize..20,
        ) {
            let frames = audio[0].len();
            let waveform = whole(&audio);
            let columns = drawn(&waveform, start..start + width * count as f64, count);
            for (index, column) in columns.iter().enumerate() {
                let touched = column_frames(start, width, index);
                let (from, to) = (touched.start as usize, (touched.end as usize).min(frames));
                if from >= to {
                    continue;
                }
                let inside = expected(&audio, from..to);
                prop_assert!(column.min <= inside.min && column.max >= inside.max);
                let margin = (width / 4.0).max(BASE_FRAMES as f64) as usize + 1;
                let around =
                    expected(&audio, from.saturating_sub(margin)..(to + margin).min(frames));
                prop_assert!(column.min >= around.min && column.max <= around.max);
            }
        }

        #[test]
        fn columns_from_a_track_are_exact(
            audio in audio(),
            start in -10.0f64..4000.0,
            width in 0.1f64..300.0,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let track = Track::create(dir.path(), "mix", audio.len()).unwrap();
            track.write(0, &audio).unwrap();
            let count = 30;
            let mut columns = Vec::new();
            let range = start..start + width * count as f64;
            columns_from_track(&track, range, count, &mut columns).unwrap();
            for (index, column) in columns.iter().enumerate() {
                let touched = column_frames(start, width, index);
                let end = (touched.end as usize).min(audio[0].len());
                if touched.start as usize >= end {
                    prop_assert_eq!(*column, Column::default());
                    continue;
                }
                let exact = expected(&audio, touched.start as usize..end);
                prop_assert_eq!((column.min, column.max), (exact.min, exact.max));
                prop_assert!((column.rms - exact.rms).abs() < 1e-4);
            }
        }

        #[test]
        fn saving_and_loading_changes_nothing(audio in audio()) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("mix.wave");
            let before = whole(&audio);
            before.save(&path).unwrap();
            let after = Waveform::load(&path).unwrap();
            prop_assert_eq!(after.frames(), before.frames());
            let range = 0.0..audio[0].len() as f64;
            prop_assert_eq!(drawn(&after, range.clone(), 33), drawn(&before, range, 33));
            prop_assert_eq!(saved(&after), saved(&before));
        }
    }

    #[test]
    fn rms_is_that_of_all_channels() {
        let audio = [vec![0.5f32; 10_000], vec![-0.25f32; 10_000]];
        let columns = drawn(&whole(&audio), 0.0..10_000.0, 3);
        let exact = ((0.25f64 + 0.0625) / 2.0).sqrt() as f32;
        for column in columns {
            assert_eq!((column.min, column.max), (-0.25, 0.5));
            assert!((column.rms - exact).abs() < 1e-5);
        }
    }

    #[test]
    fn nothing_added_is_drawn_as_silence_and_bad_samples_do_no_harm() {
        let waveform = Waveform::new();
        assert_eq!(drawn(&waveform, 0.0..1e9, 4), vec![Column::default(); 4]);
        waveform.extend(1_000_000, &[vec![f32::NAN, f32::INFINITY, -1.0, -0.0]]);
        assert_eq!(waveform.frames(), 1_000_004);
        assert_eq!(drawn(&waveform, 0.0..1000.0, 1), vec![Column::default()]);
        let all = drawn(&waveform, 0.0..2e6, 1);
        assert_eq!((all[0].min, all[0].max), (-1.0, f32::INFINITY));
        assert!(all[0].rms.is_finite());
        assert_eq!(drawn(&waveform, f64::NAN..f64::NAN, 2).len(), 2);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mix.wave");
        whole(&[vec![0.1; 3000]]).save(&path).unwrap();
        let good = std::fs::read(&path).unwrap();
        let mut bad_cases = vec![good[..good.len() - 1].to_vec(), good[..5].to_vec(), Vec::new()];
        for at in 0..good.len() {
            let mut flipped = good.clone();
            flipped[at] ^= 0x41;
            bad_cases.push(flipped);
        }
        for bad in bad_cases {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(Waveform::load(&path).unwrap_err().kind, ErrorKind::Damaged);
        }
    }

    #[test]
    fn the_version_tells_of_every_change() {
        let waveform = Waveform::new();
        let before = waveform.version();
        waveform.extend(0, &[vec![0.0; 10]]);
        let extended = waveform.version();
        assert_ne!(extended, before);
        waveform.replace(whole(&[vec![0.5; 3000]]));
        assert_ne!(waveform.version(), extended);
        assert_eq!(waveform.frames(), 3000);
        assert_eq!(drawn(&waveform, 0.0..3000.0, 1)[0].max, 0.5);
    }
}
