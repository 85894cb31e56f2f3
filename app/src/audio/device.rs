//! Sound devices by cpal: names, the best format each offers, and the callback.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cpal::{
    BufferSize, Device, FromSample, Host, OutputCallbackInfo, SampleFormat, SizedSample, Stream,
    StreamConfig, SupportedBufferSize, SupportedStreamConfig,
    traits::{DeviceTrait as _, HostTrait as _, StreamTrait as _},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use engine::{
    audio::{StreamSpec, WORK_RATE_HZ},
    playback::Renderer,
};

use super::Shared;

/// Callback size we ask for: 23 ms, safe on a busy computer and quick enough for a fader.
const BUFFER_FRAMES: u32 = 1024;

/// Frames converted at a time for devices that do not take floats.
const CONVERT_FRAMES: usize = 1024;

/// How long a closed stream may take to give the renderer back.
const CLOSING: Duration = Duration::from_secs(2);

/// ALSA lists these beside real devices: they discard sound or only convert it.
const NOT_DEVICES: [&str; 7] =
    ["null", "lavrate", "samplerate", "speexrate", "speex", "upmix", "vdownmix"];

/// An open device whose callback runs.
pub(super) struct OpenDevice {
    name: String,
    device: Device,
    output: StreamSpec,
    give: rtrb::Producer<Renderer>,
    home: Receiver<Renderer>,
    beats: Arc<AtomicU64>,
    beat: (u64, Instant),
    opened: Instant,
    stream: Stream,
}

/// Lists the devices' names and opens the one called `wished`, or the system's default. The reason
/// for a failure is a sentence for the user.
pub(super) fn look(
    wished: Option<&str>,
    stream: u64,
    shared: &Arc<Shared>,
) -> (Vec<String>, Result<OpenDevice, String>) {
    let _quiet = Quiet::new();
    let host = match host() {
        Ok(host) => host,
        Err(error) => return (Vec::new(), Err(format!("There is no sound system ({error})"))),
    };
    let devices = list(&host);
    let names = devices.iter().map(|(name, _)| name.clone()).collect();
    let found = match wished {
        Some(wished) => devices
            .into_iter()
            .find(|(name, _)| name == wished)
            .ok_or_else(|| format!("“{wished}” is not connected")),
        None => host
            .default_output_device()
            .map(|device| (display_name(&device), device))
            .ok_or_else(|| "This computer has no sound device".to_owned()),
    };
    (names, found.and_then(|(name, device)| open(name, device, stream, shared)))
}

/// The system's sound; not `cpal::default_host`, which panics when there is none.
fn host() -> Result<Host, cpal::Error> {
    let mut failed = cpal::Error::new(cpal::ErrorKind::HostUnavailable);
    for id in cpal::available_hosts() {
        match cpal::host_from_id(id) {
            Ok(host) => return Ok(host),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Output devices under names that differ.
fn list(host: &Host) -> Vec<(String, Device)> {
    let mut seen = HashSet::new();
    let devices = host.output_devices().into_iter().flatten();
    devices
        .filter_map(|device| {
            let driver = driver(&device);
            if NOT_DEVICES.contains(&driver.as_str()) {
                return None;
            }
            let mut name = display_name(&device);
            if !seen.insert(name.clone()) {
                name = format!("{name} ({driver})");
                seen.insert(name.clone()).then_some(())?;
            }
            Some((name, device))
        })
        .collect()
}

fn display_name(device: &Device) -> String {
    device.description().map_or_else(|_| "Sound device".into(), |about| about.name().to_owned())
}

fn driver(device: &Device) -> String {
    let about = device.description().ok();
    about.and_then(|about| about.driver().map(str::to_owned)).unwrap_or_default()
}

fn open(
    name: String,
    device: Device,
    stream: u64,
    shared: &Arc<Shared>,
) -> Result<OpenDevice, String> {
    let mut reason = format!("“{name}” offers no kind of sound we can play");
    let formats = formats(&device).map_err(|e| format!("“{name}” cannot be opened ({e})"))?;
    for format in formats {
        for buffer_size in [BufferSize::Fixed(buffer_frames(&format)), BufferSize::Default] {
            let config = StreamConfig { buffer_size, ..format.config() };
            match open_as(&name, &device, config, format.sample_format(), stream, shared) {
                Ok(open) => return Ok(open),
                Err(e) => reason = format!("“{name}” cannot be opened ({e})"),
            }
        }
    }
    Err(reason)
}

/// What to try, best first: stereo floats at the work rate need no conversion at all; then what
/// the device itself prefers.
fn formats(device: &Device) -> Result<Vec<SupportedStreamConfig>, cpal::Error> {
    let usual = device.default_output_config()?;
    let ours = device
        .supported_output_configs()?
        .filter_map(|range| {
            let channels = match range.channels() {
                2 => 2,
                1 => 0,
                _ => 1,
            };
            let rank = (channels, preference(range.sample_format())?);
            Some((rank, range.try_with_sample_rate(WORK_RATE_HZ)?))
        })
        .max_by_key(|(rank, _)| *rank)
        .map(|(_, format)| format);
    Ok(ours.into_iter().chain([usual]).collect())
}

/// How well a sample format suits us; `None` for one we cannot fill.
fn preference(format: SampleFormat) -> Option<u8> {
    let order = [
        SampleFormat::U8,
        SampleFormat::U16,
        SampleFormat::I16,
        SampleFormat::I24,
        SampleFormat::I32,
        SampleFormat::F64,
        SampleFormat::F32,
    ];
    order.iter().position(|known| *known == format).map(|place| place as u8)
}

fn buffer_frames(format: &SupportedStreamConfig) -> u32 {
    match *format.buffer_size() {
        SupportedBufferSize::Range { min, max } if min <= max => BUFFER_FRAMES.clamp(min, max),
        _ => BUFFER_FRAMES,
    }
}

fn open_as(
    name: &str,
    device: &Device,
    config: StreamConfig,
    format: SampleFormat,
    stream: u64,
    shared: &Arc<Shared>,
) -> Result<OpenDevice, cpal::Error> {
    let (give, given) = rtrb::RingBuffer::new(1);
    let (send_home, home) = bounded(1);
    let beats = Arc::new(AtomicU64::new(0));
    let slot = Slot { given, renderer: None, home: send_home, beats: beats.clone() };
    let on_error = {
        let (shared, name) = (shared.clone(), name.to_owned());
        move |error: cpal::Error| {
            use cpal::ErrorKind::{DeviceChanged, RealtimeDenied, Xrun};
            if !matches!(error.kind(), Xrun | DeviceChanged | RealtimeDenied) {
                shared.fail(stream, format!("“{name}” was lost ({error})"));
            }
        }
    };
    let build = match format {
        SampleFormat::F32 => build_float,
        SampleFormat::F64 => build::<f64>,
        SampleFormat::I32 => build::<i32>,
        SampleFormat::I24 => build::<cpal::I24>,
        SampleFormat::I16 => build::<i16>,
        SampleFormat::U16 => build::<u16>,
        SampleFormat::U8 => build::<u8>,
        _ => return Err(cpal::Error::new(cpal::ErrorKind::UnsupportedConfig)),
    };
    let built = build(device, config, slot, Box::new(on_error))?;
    built.play()?;
    let now = Instant::now();
    Ok(OpenDevice {
        name: name.to_owned(),
        device: device.clone(),
        output: StreamSpec { sample_rate_hz: config.sample_rate, channels: config.channels },
        give,
        home,
        beats,
        beat: (0, now),
        opened: now,
        stream: built,
    })
}

type OnError = Box<dyn FnMut(cpal::Error) + Send>;

fn build_float(
    device: &Device,
    config: StreamConfig,
    mut slot: Slot,
    on_error: OnError,
) -> Result<Stream, cpal::Error> {
    let fill = move |out: &mut [f32], info: &OutputCallbackInfo| slot.render(out, latency(info));
    device.build_output_stream(config, fill, on_error, None)
}

fn build<T: SizedSample + FromSample<f32>>(
    device: &Device,
    config: StreamConfig,
    mut slot: Slot,
    on_error: OnError,
) -> Result<Stream, cpal::Error> {
    let spec = StreamSpec { sample_rate_hz: config.sample_rate, channels: config.channels };
    let mut floats = vec![0.0; CONVERT_FRAMES * usize::from(config.channels)];
    let fill = move |out: &mut [T], info: &OutputCallbackInfo| {
        let mut latency = latency(info);
        for out in out.chunks_mut(floats.len()) {
            let floats = &mut floats[..out.len()];
            slot.render(floats, latency);
            convert(floats, out);
            let frames = (out.len() / usize::from(spec.channels)) as u64;
            latency += Duration::from_secs_f64(spec.secs(frames));
        }
    };
    device.build_output_stream(config, fill, on_error, None)
}

/// The largest float that is not one beyond the largest integer of any width.
const FULL_SCALE: f32 = 1.0 - f32::EPSILON / 2.0;

/// To another sample format, limited to full scale.
fn convert<T: SizedSample + FromSample<f32>>(floats: &[f32], out: &mut [T]) {
    for (out, float) in out.iter_mut().zip(floats) {
        *out = T::from_sample(float.clamp(-1.0, FULL_SCALE));
    }
}

/// Time until the first frame of the callback's buffer is heard.
fn latency(info: &OutputCallbackInfo) -> Duration {
    let stamp = info.timestamp();
    stamp.playback.saturating_duration_since(stamp.callback)
}

/// The callback's end: silence until the renderer arrives, and when the stream is closed, or
/// breaks, the renderer goes home.
struct Slot {
    given: rtrb::Consumer<Renderer>,
    renderer: Option<Renderer>,
    home: Sender<Renderer>,
    beats: Arc<AtomicU64>,
}

impl Slot {
    fn render(&mut self, out: &mut [f32], latency: Duration) {
        self.beats.fetch_add(1, Ordering::Relaxed);
        if self.renderer.is_none() {
            self.renderer = self.given.pop().ok();
        }
        match &mut self.renderer {
            Some(renderer) => renderer.render(out, latency),
            None => out.fill(0.0),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(renderer) = self.renderer.take().or_else(|| self.given.pop().ok()) {
            let _ = self.home.try_send(renderer);
        }
    }
}

impl OpenDevice {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn output(&self) -> StreamSpec {
        self.output
    }

    /// The device itself, for another stream.
    pub(super) fn handle(&self) -> Device {
        self.device.clone()
    }

    /// Time since it was opened.
    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Hands the renderer to the callback.
    pub(super) fn play(&mut self, renderer: Renderer) {
        // The ring is empty: a device gets one renderer in its life.
        let _ = self.give.push(renderer);
    }

    /// Whether the callback has not run for `time`.
    pub(super) fn is_stuck(&mut self, time: Duration) -> bool {
        let beats = self.beats.load(Ordering::Relaxed);
        if beats != self.beat.0 {
            self.beat = (beats, Instant::now());
        }
        self.beat.1.elapsed() >= time
    }

    /// Closes the stream and gives the renderer back.
    pub(super) fn close(self) -> Option<Renderer> {
        let Self { stream, home, .. } = self;
        drop(stream);
        home.recv_timeout(CLOSING).ok()
    }
}

/// Keeps ALSA's messages, which it writes to standard error whenever a device cannot be opened,
/// out of the terminal of a user who has no device.
#[cfg(target_os = "linux")]
struct Quiet(Option<std::rc::Rc<std::cell::RefCell<alsa::Output>>>);

#[cfg(target_os = "linux")]
impl Quiet {
    fn new() -> Self {
        Self(alsa::Output::local_error_handler().ok())
    }
}

#[cfg(target_os = "linux")]
impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(messages) = &self.0 {
            let messages = messages.borrow().to_string();
            if !messages.is_empty() {
                tracing::debug!(%messages, "ALSA");
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
struct Quiet;

#[cfg(not(target_os = "linux"))]
impl Quiet {
    fn new() -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_converted_and_limited() {
        let floats = [0.0, 1.0, -1.0, 7.0, -7.0, 0.5, f32::NAN];
        let mut signed = [9i16; 7];
        convert(&floats, &mut signed);
        assert_eq!(signed, [0, i16::MAX, i16::MIN, i16::MAX, i16::MIN, 16_384, 0]);
        let mut unsigned = [9u16; 7];
        convert(&floats, &mut unsigned);
        assert_eq!(unsigned, [32_768, u16::MAX, 0, u16::MAX, 0, 49_152, 32_768]);
        let mut wide = [cpal::I24::new(9).unwrap(); 7];
        convert(&floats, &mut wide);
        let wide = wide.map(cpal::I24::inner);
        assert_eq!(wide[..3], [0, 8_388_607, -8_388_608]);
        assert_eq!(wide[3..6], [8_388_607, -8_388_608, 4_194_304]);
    }
}
