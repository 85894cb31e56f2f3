//! Samples as bytes, raw or packed, and how fast a link carries them.
//!
//! Packing sorts the bytes of all samples by significance, so that signs and exponents, which are
//! alike, lie together, and compresses them: 0.8 of the size at 100 MB/s a core, worth it on slow
//! links only.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{
    audio::Planar,
    error::{Error, ErrorKind, Result},
    protocol::Encoding,
};

const SAMPLE_BYTES: usize = size_of::<f32>();

/// Fastest of zstd's levels that gains anything on audio.
const LEVEL: i32 = 1;

/// Little-endian f32, channel after channel.
pub(super) fn raw(audio: &Planar) -> Vec<u8> {
    let channels = audio.channels().iter().map(|samples| bytemuck::cast_slice::<f32, u8>(samples));
    channels.collect::<Vec<&[u8]>>().concat()
}

/// `raw` as it is to be sent: packed, if that is wanted and makes it smaller.
pub(super) fn encode(raw: Vec<u8>, pack: bool) -> (Encoding, Vec<u8>) {
    let packed = pack.then(|| zstd::bulk::compress(&by_significance(&raw), LEVEL));
    match packed {
        Some(Ok(packed)) if packed.len() < raw.len() => (Encoding::Packed, packed),
        _ => (Encoding::Raw, raw),
    }
}

/// Whether `payload_bytes` can be so many raw bytes in this encoding.
pub(super) fn can_be(encoding: Encoding, payload_bytes: u64, raw_bytes: u64) -> bool {
    match encoding {
        Encoding::Raw => payload_bytes == raw_bytes,
        Encoding::Packed => payload_bytes < raw_bytes,
    }
}

/// What was sent, which must come to exactly `raw_bytes`.
pub(super) fn decode(sent: Vec<u8>, encoding: Encoding, raw_bytes: usize) -> Result<Vec<u8>> {
    let wrong = || Error::new(ErrorKind::Damaged, "The samples that came are not as many as said");
    let raw = match encoding {
        Encoding::Raw => sent,
        Encoding::Packed => {
            let sorted =
                zstd::bulk::decompress(&sent, raw_bytes).map_err(|e| wrong().caused_by(e))?;
            by_sample(&sorted)
        }
    };
    if raw.len() == raw_bytes { Ok(raw) } else { Err(wrong()) }
}

/// First bytes of all samples, then second ones, and so on; what is no whole sample stays last.
fn by_significance(raw: &[u8]) -> Vec<u8> {
    let whole = raw.len() / SAMPLE_BYTES * SAMPLE_BYTES;
    let mut sorted = Vec::with_capacity(raw.len());
    for byte in 0..SAMPLE_BYTES {
        sorted.extend(raw[..whole].iter().skip(byte).step_by(SAMPLE_BYTES));
    }
    sorted.extend_from_slice(&raw[whole..]);
    sorted
}

fn by_sample(sorted: &[u8]) -> Vec<u8> {
    let samples = sorted.len() / SAMPLE_BYTES;
    let mut raw = sorted.to_vec();
    for (n, sample) in raw.chunks_exact_mut(SAMPLE_BYTES).enumerate() {
        for (byte, out) in sample.iter_mut().enumerate() {
            *out = sorted[byte * samples + n];
        }
    }
    raw
}

/// Links slower than this have payloads packed: two cores' worth of packing.
const SLOW_BYTES_PER_SEC: f64 = 40e6;

/// Less than this says more about latency than about the link.
const LEAST_BYTES: u64 = 1 << 20;

/// Weight of the newest measurement in the running mean.
const NEWEST: f64 = 0.3;

/// How fast a link carries payloads, each way by itself: many links carry both at once.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// To the other computer.
    pub(super) there: Way,
    /// From it.
    pub(super) back: Way,
}

impl Meter {
    /// Bytes per second of the way back, which has most to carry, or else of the way there; once
    /// enough were carried.
    pub(super) fn bytes_per_sec(&self) -> Option<f64> {
        self.back.bytes_per_sec().or_else(|| self.there.bytes_per_sec())
    }

    /// Whether payloads are better packed.
    pub(super) fn is_slow(&self) -> bool {
        self.bytes_per_sec().is_some_and(|speed| speed < SLOW_BYTES_PER_SEC)
    }
}

/// One way, from the payloads it carried: bytes over the time in which at least one was under way.
#[derive(Debug, Default)]
pub(super) struct Way(Mutex<Reading>);

#[derive(Debug, Default)]
struct Reading {
    on_their_way: u32,
    since: Option<Instant>,
    bytes: u64,
    bytes_per_sec: Option<f64>,
}

impl Way {
    /// A payload starts; say [`Transfer::arrived`] when it is there.
    pub(super) fn begin(&self) -> Transfer<'_> {
        let mut reading = self.reading();
        reading.on_their_way += 1;
        reading.since.get_or_insert_with(Instant::now);
        Transfer(self)
    }

    /// Bytes per second, once enough were carried.
    fn bytes_per_sec(&self) -> Option<f64> {
        self.reading().bytes_per_sec
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A payload on its way.
pub(super) struct Transfer<'a>(&'a Way);

impl Transfer<'_> {
    /// So many bytes are there.
    pub(super) fn arrived(self, bytes: u64) {
        self.0.reading().bytes += bytes;
    }
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        let mut reading = self.0.reading();
        reading.on_their_way -= 1;
        let Some(since) = reading.since else { return };
        if reading.bytes >= LEAST_BYTES {
            let now = reading.bytes as f64 / since.elapsed().as_secs_f64().max(1e-6);
            let mean = reading.bytes_per_sec.map_or(now, |mean| mean + NEWEST * (now - mean));
            reading.bytes_per_sec = Some(mean);
            reading.bytes = 0;
            reading.since = Some(Instant::now());
        }
        if reading.on_their_way == 0 {
            reading.bytes = 0;
            reading.since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(samples: u32) -> Vec<u8> {
        let sample = |n: u32| (n.wrapping_mul(2_654_435_761) as i32) as f32 / 2f32.powi(33);
        (0..samples).flat_map(|n| sample(n).to_le_bytes()).collect()
    }

    #[test]
    fn packed_samples_come_out_as_they_went_in() {
        for samples in [1, 2, 3, 1000, 44_100] {
            let raw = noise(samples);
            let (encoding, sent) = encode(raw.clone(), true);
            assert!(can_be(encoding, sent.len() as u64, raw.len() as u64));
            assert_eq!(decode(sent, encoding, raw.len()).unwrap(), raw);
        }
        let (encoding, sent) = encode(noise(44_100), true);
        assert_eq!(encoding, Encoding::Packed);
        assert!(sent.len() < 44_100 * 4);
    }

    #[test]
    fn the_way_back_counts_once_it_carried_enough() {
        let meter = Meter::default();
        assert_eq!(meter.bytes_per_sec(), None);
        meter.there.begin().arrived(LEAST_BYTES);
        let there = meter.there.bytes_per_sec();
        assert!(there.is_some());
        meter.back.begin().arrived(LEAST_BYTES - 1);
        assert_eq!(meter.bytes_per_sec(), there);
        meter.back.begin().arrived(LEAST_BYTES);
        assert!(meter.back.bytes_per_sec().is_some());
        assert_eq!(meter.bytes_per_sec(), meter.back.bytes_per_sec());
    }

    #[test]
    fn what_unpacks_to_more_or_less_than_said_is_refused() {
        let raw = noise(44_100);
        let (encoding, sent) = encode(raw.clone(), true);
        for wrong in [raw.len() - 4, raw.len() + 4, 0] {
            assert!(decode(sent.clone(), encoding, wrong).is_err());
        }
        for at in 0..sent.len().min(64) {
            let mut damaged = sent.clone();
            damaged[at] ^= 0x55;
            if let Ok(other) = decode(damaged, encoding, raw.len()) {
                assert_eq!(other.len(), raw.len());
            }
        }
        assert!(decode(raw.clone(), Encoding::Raw, raw.len() - 4).is_err());
    }
}
