//! From the work rate and stereo to the device's rate and channels.

use rubato::{
    Async, FixedAsync, Resampler as _, SincInterpolationParameters, WindowFunction,
    audioadapter_buffers::direct::SequentialSliceOfVecs,
};

use crate::{
    audio::{MAX_CHANNELS, StreamSpec, WORK_RATE_HZ},
    error::{Error, ErrorKind, Result},
    playback::renderer::CHUNK_FRAMES,
};

/// Output rates beyond these are not a sound device's.
const RATES_HZ: std::ops::RangeInclusive<u32> = 4_000..=768_000;

/// Taps of the resampling filter; half of them are its delay, 1.5 ms.
const FILTER_TAPS: usize = 128;

/// Turns stereo chunks at the work rate into interleaved frames of a device.
#[derive(Debug)]
pub(super) struct Output {
    spec: StreamSpec,
    chunk: [Vec<f32>; 2],
    converter: Option<Converter>,
}

/// Resamples after the mixer, so that every control acts as quickly as at the work rate.
#[derive(Debug)]
struct Converter {
    resampler: Async<f32>,
    resampled: [Vec<f32>; 2],
    /// What of `resampled` was not played yet.
    unread: std::ops::Range<usize>,
}

impl Output {
    pub(super) fn new(spec: StreamSpec) -> Result<Self> {
        let channels_ok = (1..=MAX_CHANNELS).contains(&usize::from(spec.channels));
        if !channels_ok || !RATES_HZ.contains(&spec.sample_rate_hz) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("Cannot play to {} channels at {} Hz", spec.channels, spec.sample_rate_hz),
            )
            .advice("Choose another sound device"));
        }
        let converter = (spec.sample_rate_hz != WORK_RATE_HZ)
            .then(|| Converter::new(spec.sample_rate_hz))
            .transpose()?;
        Ok(Self { spec, chunk: [vec![0.0; CHUNK_FRAMES], vec![0.0; CHUNK_FRAMES]], converter })
    }

    pub(super) fn spec(&self) -> StreamSpec {
        self.spec
    }

    /// Work-rate frames between leaving the mixer and leaving [`Output::render`].
    pub(super) fn delay_work_frames(&self) -> u64 {
        self.converter.as_ref().map_or(0, |converter| {
            let frames = converter.unread.len() + converter.resampler.output_delay();
            self.to_work_frames(frames)
        })
    }

    /// Work-rate frames that `samples` interleaved samples take, roughly.
    pub(super) fn work_frames_for(&self, samples: usize) -> usize {
        self.to_work_frames(samples / usize::from(self.spec.channels)) as usize
    }

    fn to_work_frames(&self, frames: usize) -> u64 {
        (frames as u64 * u64::from(WORK_RATE_HZ)).div_ceil(u64::from(self.spec.sample_rate_hz))
    }

    /// Fills `out` with what `mix` puts into its left and right slices, a chunk at a time.
    pub(super) fn render(&mut self, out: &mut [f32], mut mix: impl FnMut(&mut [f32], &mut [f32])) {
        let channels = usize::from(self.spec.channels);
        let whole = out.len() - out.len() % channels;
        let (mut rest, ragged) = out.split_at_mut(whole);
        ragged.fill(0.0);
        while !rest.is_empty() {
            let wanted = rest.len() / channels;
            let [left, right] = &mut self.chunk;
            let (left, right) = match &mut self.converter {
                None => {
                    let frames = wanted.min(CHUNK_FRAMES);
                    mix(&mut left[..frames], &mut right[..frames]);
                    (&left[..frames], &right[..frames])
                }
                Some(converter) => {
                    if converter.unread.is_empty() {
                        mix(left, right);
                        converter.convert(&self.chunk);
                    }
                    converter.take(wanted)
                }
            };
            let (now, later) = rest.split_at_mut(left.len() * channels);
            interleave(now, channels, left, right);
            rest = later;
        }
    }
}

impl Converter {
    fn new(rate_hz: u32) -> Result<Self> {
        let resampler = Async::new_sinc(
            f64::from(rate_hz) / f64::from(WORK_RATE_HZ),
            1.0,
            &SincInterpolationParameters::new(FILTER_TAPS, WindowFunction::BlackmanHarris2),
            CHUNK_FRAMES,
            2,
            FixedAsync::Input,
        )
        .map_err(|e| {
            Error::new(ErrorKind::Internal, format!("Cannot resample to {rate_hz} Hz")).caused_by(e)
        })?;
        let most = resampler.output_frames_max();
        Ok(Self { resampler, resampled: [vec![0.0; most], vec![0.0; most]], unread: 0..0 })
    }

    fn convert(&mut self, chunk: &[Vec<f32>; 2]) {
        let most = self.resampled[0].len();
        let converted = match (
            SequentialSliceOfVecs::new(chunk, 2, CHUNK_FRAMES),
            SequentialSliceOfVecs::new_mut(&mut self.resampled, 2, most),
        ) {
            (Ok(chunk), Ok(mut resampled)) => {
                self.resampler.process_into_buffer(&chunk, &mut resampled, None).ok()
            }
            _ => None,
        };
        self.unread = match converted {
            Some((_, frames)) if frames > 0 => 0..frames,
            // Cannot happen with buffers of these sizes; silence keeps the device going.
            _ => {
                self.resampled.iter_mut().for_each(|channel| channel.fill(0.0));
                0..most
            }
        };
    }

    /// At most `frames` of what was converted.
    fn take(&mut self, frames: usize) -> (&[f32], &[f32]) {
        let start = self.unread.start;
        self.unread.start = self.unread.end.min(start + frames);
        let range = start..self.unread.start;
        (&self.resampled[0][range.clone()], &self.resampled[1][range])
    }
}

/// Stereo to the device's channels: mono hears the average, more than two the front pair.
fn interleave(out: &mut [f32], channels: usize, left: &[f32], right: &[f32]) {
    for ((frame, left), right) in out.chunks_exact_mut(channels).zip(left).zip(right) {
        match frame {
            [mono] => *mono = (left + right) * 0.5,
            [first, second, others @ ..] => {
                (*first, *second) = (*left, *right);
                others.fill(0.0);
            }
            [] => {}
        }
    }
}
