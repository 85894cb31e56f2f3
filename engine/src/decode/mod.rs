//! Audio files to PCM: [`Decoder`] reads any supported file as blocks of planar f32 at the source's
//! own rate and channel count, without the encoder's delay and padding.
//!
//! Symphonia does the demuxing and most decoding, `ropus` decodes Opus (`opus`), libvorbis Vorbis in
//! surround (`vorbis`), `syom` HE-AAC and AAC in surround (`aac`). What they leave out lives here: which frames a file means to be heard
//! (`window`), edit lists and copy protection of MP4 (`mp4`), a second chance for odd WAV and AIFF
//! files (`riff`), tags in our own words (`facts`), and clear refusals (`refusal`).

mod aac;
mod downmix;
mod facts;
mod flac;
mod mp4;
mod mpeg;
mod opus;
mod refusal;
mod riff;
mod vorbis;
mod window;

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use symphonia::{
    core::{
        audio::{AudioSpec, GenericAudioBufferRef},
        codecs::{
            CodecParameters,
            audio::{
                AudioCodecParameters, AudioDecoder, AudioDecoderOptions, well_known::CODEC_ID_AAC,
            },
            registry::CodecRegistry,
        },
        common::Limit,
        errors::Error as SymphoniaError,
        formats::{FormatOptions, FormatReader, Track, probe::Hint},
        io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions},
        meta::MetadataOptions,
        packet::Packet,
    },
    default::{get_probe, register_enabled_codecs},
};

pub use downmix::Downmix;
use window::Window;

use crate::{
    audio::{MAX_CHANNELS, Planar, StreamSpec},
    error::{Error, ErrorKind, Result},
    song::SongInfo,
};

/// Sample rates outside of this are taken for damage.
const RATES_HZ: std::ops::RangeInclusive<u32> = 100..=768_000;

/// Largest sample there can be: of floats that hold 32-bit integers as they are.
const LOUDEST: f32 = (1u32 << 31) as f32;

/// Undecodable packets in a row after which the rest is given up as damaged.
const MAX_BAD_PACKETS_IN_A_ROW: u32 = 1_000;

/// MPEG packets in a row that must agree on another rate or channel count before it is believed;
/// fewer are taken for junk that looks like a packet.
const CHANGED_PACKETS: u32 = 3;

/// Largest cover picture that is kept, in bytes.
const MAX_COVER_BYTES: usize = 16 << 20;

/// Symphonia's decoders and our Opus one.
static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut registry = CodecRegistry::new();
    register_enabled_codecs(&mut registry);
    registry.register_audio_decoder::<opus::OpusDecoder>();
    registry
});

/// An open audio file that yields its PCM block by block.
pub struct Decoder {
    info: SongInfo,
    file_name: PathBuf,
    reader: Box<dyn FormatReader>,
    codec: Box<dyn AudioDecoder>,
    track_id: u32,
    spec: StreamSpec,
    downmix: Downmix,
    window: Window,
    block: Planar,
    /// `block` holds the first block already: it was decoded to learn the true rate and channels.
    first_block_waits: bool,
    ended: bool,
    frames: u64,
    packets: u64,
    damage: Damage,
    /// For native FLAC, whose reader passes over damage without a word.
    flac: Option<flac::Account>,
}

/// What went wrong on the way without stopping us.
#[derive(Default)]
struct Damage {
    in_a_row: u32,
    packets: u64,
    not_samples: u64,
    cut_short: Option<String>,
    /// Frames that the file claims, when it says so itself and not by an estimate.
    claimed_frames: Option<u64>,
    /// Another format that the last packets have, and how many of them.
    changed: Option<(StreamSpec, u32)>,
}

impl Decoder {
    /// Opens `path`, finds its first audio track and decodes its first block.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and other I/O kinds; [`ErrorKind::Unsupported`] when this is not
    /// audio we can read; [`ErrorKind::Protected`] for encrypted files; [`ErrorKind::Damaged`]
    /// when it is audio but no sound can be had from it.
    pub fn open(path: &Path) -> Result<Self> {
        let reading = |e| Error::io("read", path, e);
        let opening = |e| Error::io("open", path, e);
        // Asked before opening: opening a pipe would wait for somebody to write to it.
        let metadata = std::fs::metadata(path).map_err(opening)?;
        refusal::check_kind(path, &metadata)?;
        let mut file = File::open(path).map_err(opening)?;
        refusal::check_magic(path, &mut file)?;
        let mp4 = mp4::read(&mut file).map_err(reading)?;
        if mp4.protected {
            return Err(refusal::protected(path));
        }
        let flac = flac::Account::open(&mut file).map_err(reading)?;
        let mut decoder = match riff::stitch(File::open(path).map_err(opening)?).map_err(reading)? {
            Some(wave) if wave.is_misread => Self::open_source(path, Box::new(wave), &mp4, None)?,
            Some(wave) => Self::open_source(path, Box::new(file), &mp4, flac).or_else(|error| {
                Self::open_source(path, Box::new(wave), &mp4, None).map_err(|_| error)
            })?,
            None => {
                match flac::Mended::open(File::open(path).map_err(opening)?).map_err(reading)? {
                    Some(mended) => Self::open_source(path, Box::new(mended), &mp4, flac)?,
                    None => Self::open_reader(path, probe_file(path, file)?, &mp4, flac)?,
                }
            }
        };
        facts::estimate_bitrate(&mut decoder.info, metadata.len());
        Ok(decoder)
    }

    fn open_source(
        path: &Path,
        source: Box<dyn MediaSource>,
        mp4: &mp4::Facts,
        flac: Option<flac::Account>,
    ) -> Result<Self> {
        Self::open_reader(path, probe(path, source)?, mp4, flac)
    }

    fn open_reader(
        path: &Path,
        mut reader: Box<dyn FormatReader>,
        mp4: &mp4::Facts,
        flac: Option<flac::Account>,
    ) -> Result<Self> {
        let (track, codec) = choose_track(path, reader.as_ref())?;
        let params = codec.codec_params().clone();
        let tags = facts::read_tags(path, reader.as_mut());
        let window = Window::new(&track, &params, mp4, &tags);
        let claimed_frames = window.claimed_frames(&track);

        let unknown = StreamSpec { sample_rate_hz: 0, channels: 0 };
        let mut decoder = Self {
            info: facts::song_info(path, tags, &params, reader.format_info()),
            file_name: path.to_owned(),
            reader,
            codec,
            track_id: track.id,
            spec: unknown,
            downmix: Downmix::default(),
            window,
            block: Planar::default(),
            first_block_waits: false,
            ended: false,
            frames: 0,
            packets: 0,
            damage: Damage::default(),
            flac,
        };
        decoder.first_block_waits = decoder.fill()?;
        if !decoder.first_block_waits {
            return Err(decoder.silent());
        }
        decoder.info.source = decoder.spec;
        let rate_hz = decoder.spec.sample_rate_hz;
        decoder.info.source_frames = claimed_frames
            .or_else(|| window::media_claim(decoder.reader.media_info()))
            .map(|claim| claim.rescale_to(rate_hz));
        let is_estimate = mpeg::is_mpeg(&params.codec) && track.delay.is_none();
        if claimed_frames.is_some() && !is_estimate {
            decoder.damage.claimed_frames = decoder.info.source_frames;
        }
        Ok(decoder)
    }

    /// What the file says about itself; rate and channels are those of the decoded PCM.
    pub fn info(&self) -> &SongInfo {
        &self.info
    }

    /// How to mix the source's channels to stereo; by the speaker layout the file declares.
    pub fn downmix(&self) -> &Downmix {
        &self.downmix
    }

    /// Frames yielded so far, at the source's rate.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Sentences on what was not as it should be but did not stop us (damaged places that were
    /// skipped, a file that ends early). Complete once [`Decoder::next_block`] returned `None`.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.damage.packets > 0 {
            let n = self.damage.packets;
            let places = if n == 1 { "place was" } else { "places were" };
            notes.push(format!("{n} damaged {places} skipped"));
        }
        if self.damage.not_samples > 0 {
            notes.push(format!(
                "{} samples were no numbers or beyond all measure and became silence",
                self.damage.not_samples
            ));
        }
        notes.extend(self.damage.cut_short.clone());
        let claimed = self.damage.claimed_frames.unwrap_or(0);
        let missing = claimed.saturating_sub(self.frames);
        if self.ended && missing > u64::from(self.spec.sample_rate_hz / 10) {
            let (claimed, there) = (self.spec.secs(claimed), self.spec.secs(self.frames));
            notes.push(format!(
                "The file claims to last {}, but only {} could be read",
                minutes(claimed),
                minutes(there)
            ));
        }
        notes
    }

    /// The next block of PCM: [`SongInfo::source`]'s channels, at least one frame; `None` at the
    /// end. Damaged packets are skipped, as players do.
    ///
    /// # Errors
    /// When rate or channel count change on the way, when nothing but damage follows, or when
    /// reading fails.
    pub fn next_block(&mut self) -> Result<Option<&Planar>> {
        if !std::mem::take(&mut self.first_block_waits) && !self.fill()? {
            return Ok(None);
        }
        self.frames += self.block.frames() as u64;
        Ok(Some(&self.block))
    }

    /// Decodes until `block` holds audible frames; `false` at the end.
    fn fill(&mut self) -> Result<bool> {
        while !self.ended {
            let Some(packet) = self.next_packet()? else {
                self.ended = true;
                self.check_enough_was_read()?;
                break;
            };
            if packet.track_id != self.track_id {
                continue;
            }
            self.packets += 1;
            if self.decode(&packet)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// At the end: refuses to pass off scraps as the song.
    fn check_enough_was_read(&mut self) -> Result<()> {
        let damage = &self.damage;
        let mostly_damaged = damage.packets >= 8 && damage.packets > self.packets / 2;
        let mostly_passed_over = self.flac.as_ref().is_some_and(flac::Account::is_short);
        if !mostly_damaged && !mostly_passed_over {
            return Ok(());
        }
        let why = if mostly_damaged {
            "most of it is damaged"
        } else {
            "what follows is damaged, or changes its sample rate, channels or bit depth"
        };
        Err(Error::new(
            ErrorKind::Damaged,
            format!("Only {} of “{}” can be decoded: {why}", self.time(), self.file_name.display()),
        )
        .advice("Get an undamaged copy of the file, or convert it to WAV"))
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        loop {
            let error = match guarded(|| self.reader.next_packet()) {
                Ok(packet) => return Ok(packet),
                Err(error) => error,
            };
            match error {
                SymphoniaError::ResetRequired => self.reset()?,
                SymphoniaError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return self.end_early("the file ends in the middle of the audio");
                }
                SymphoniaError::IoError(e) if e.kind() != std::io::ErrorKind::Other => {
                    return Err(Error::io("read", &self.file_name, e));
                }
                other => return self.end_early(&other.to_string()),
            }
        }
    }

    /// The container cannot be read further: what came before is kept and noted, as players do.
    fn end_early(&mut self, why: &str) -> Result<Option<Packet>> {
        tracing::warn!(file = %self.file_name.display(), at = %self.position(), why, "ends early");
        self.damage.cut_short = Some(format!("Nothing can be read after {}: {why}", self.time()));
        Ok(None)
    }

    /// A chained stream starts (internet radio recordings, concatenated Ogg files): goes on when
    /// it is the same kind of audio; [`Decoder::decode`] refuses when it is not.
    fn reset(&mut self) -> Result<()> {
        let (track, codec) = choose_track(&self.file_name, self.reader.as_ref())?;
        let params = audio_params(&track).cloned().unwrap_or_default();
        self.window = Window::new(&track, &params, &mp4::Facts::default(), &facts::Tags::default());
        self.track_id = track.id;
        self.codec = codec;
        Ok(())
    }

    /// Decodes one packet into `block`; `false` when nothing of it is to be heard.
    fn decode(&mut self, packet: &Packet) -> Result<bool> {
        let decoded = guarded(|| {
            let buffer = self.codec.decode(packet)?;
            copy_planar(&buffer, &mut self.block);
            Ok(buffer.spec().clone())
        });
        let spec = match decoded {
            Ok(spec) => spec,
            Err(error) => {
                self.bad_packet(packet, &error)?;
                return Ok(false);
            }
        };
        if let Some(flac) = &mut self.flac {
            flac.decoded(packet.data.len(), &self.block, self.codec.codec_params());
        }
        self.damage.in_a_row = 0;
        self.damage.changed = None;
        if self.block.frames() == 0 {
            return Ok(false);
        }
        self.check_spec(&spec)?;
        self.window.trim(&mut self.block);
        self.silence_not_samples();
        Ok(self.block.frames() > 0)
    }

    fn bad_packet(&mut self, packet: &Packet, error: &SymphoniaError) -> Result<()> {
        if let Some(now) = mpeg::changed_spec(&self.codec.codec_params().codec, packet, self.spec) {
            let seen = match self.damage.changed {
                Some((before, seen)) if before == now => seen + 1,
                _ => 1,
            };
            self.damage.changed = Some((now, seen));
            if seen >= CHANGED_PACKETS {
                return Err(self.spec_changed(now));
            }
        }
        tracing::warn!(file = %self.file_name.display(), at = %self.position(), %error, "skipped a damaged packet");
        self.damage.packets += 1;
        self.damage.in_a_row += 1;
        if self.damage.in_a_row < MAX_BAD_PACKETS_IN_A_ROW {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Damaged,
            format!(
                "“{}” is damaged: nothing can be decoded from {} on ({error})",
                self.file_name.display(),
                self.position()
            ),
        )
        .advice("Get an undamaged copy of the file"))
    }

    /// The first block fixes rate and channels; later ones must agree.
    fn check_spec(&mut self, spec: &AudioSpec) -> Result<()> {
        let channels = self.block.channel_count();
        let now = StreamSpec {
            sample_rate_hz: spec.rate(),
            channels: u16::try_from(channels).unwrap_or(u16::MAX),
        };
        if now == self.spec {
            return Ok(());
        }
        if self.spec.channels != 0 {
            return Err(self.spec_changed(now));
        }
        if !RATES_HZ.contains(&now.sample_rate_hz) || !(1..=MAX_CHANNELS).contains(&channels) {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!(
                    "“{}” claims {} channels at {} Hz, which no real recording has",
                    self.file_name.display(),
                    now.channels,
                    now.sample_rate_hz
                ),
            )
            .advice("Get an undamaged copy of the file"));
        }
        self.spec = now;
        self.downmix = Downmix::new(spec.channels());
        self.window.set_rate(now.sample_rate_hz);
        Ok(())
    }

    fn spec_changed(&self, now: StreamSpec) -> Error {
        let name = |spec: StreamSpec| {
            let s = if spec.channels == 1 { "" } else { "s" };
            format!("{} channel{s} at {} Hz", spec.channels, spec.sample_rate_hz)
        };
        Error::new(
            ErrorKind::Unsupported,
            format!(
                "“{}” changes from {} to {} at {}; such files cannot be opened",
                self.file_name.display(),
                name(self.spec),
                name(now),
                self.position()
            ),
        )
        .advice("Convert the file to WAV or FLAC with one sample rate, then open that")
    }

    /// Replaces what is no sample by silence: one NaN would spread over everything, and what is far
    /// too large becomes one when it is squared.
    fn silence_not_samples(&mut self) {
        let mut replaced = 0;
        for sample in self.block.channels_mut().iter_mut().flatten() {
            if !(-LOUDEST..=LOUDEST).contains(sample) {
                *sample = 0.0;
                replaced += 1;
            }
        }
        if replaced > 0 && self.damage.not_samples == 0 {
            tracing::warn!(file = %self.file_name.display(), at = %self.position(), "what is no sample becomes silence");
        }
        self.damage.not_samples += replaced;
    }

    /// The error of a file from which not one frame came.
    fn silent(&self) -> Error {
        let why = match (&self.damage.cut_short, self.damage.packets) {
            (Some(_), _) => "it breaks off before any sound",
            (None, 0) => "it holds no sound",
            (None, _) => "none of its sound can be decoded",
        };
        Error::new(
            ErrorKind::Damaged,
            format!(
                "“{}” looks like {}, but {why} ({} packets read)",
                self.file_name.display(),
                self.info.codec,
                self.packets
            ),
        )
        .advice("Get an undamaged copy of the file")
    }

    fn position(&self) -> String {
        format!("{} (packet {})", self.time(), self.packets)
    }

    fn time(&self) -> String {
        if self.spec.sample_rate_hz == 0 {
            return "the start".into();
        }
        let frames =
            self.frames + if self.first_block_waits { self.block.frames() as u64 } else { 0 };
        minutes(self.spec.secs(frames))
    }
}

/// "3:05.250".
fn minutes(secs: f64) -> String {
    let millis = (secs * 1000.0).round() as u64;
    format!("{}:{:02}.{:03}", millis / 60_000, millis / 1000 % 60, millis % 1000)
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("file_name", &self.file_name)
            .field("spec", &self.spec)
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}

/// As [`probe`]; a bare MPEG stream that is cut off inside a packet reads as if it was not.
fn probe_file(path: &Path, file: File) -> Result<Box<dyn FormatReader>> {
    let reader = probe(path, Box::new(file))?;
    if !mpeg::is_bare_stream(reader.format_info()) {
        return Ok(reader);
    }
    let padded = File::open(path).and_then(mpeg::Padded::new);
    probe(path, Box::new(padded.map_err(|e| Error::io("open", path, e))?))
}

fn probe(path: &Path, source: Box<dyn MediaSource>) -> Result<Box<dyn FormatReader>> {
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|e| e.to_str()) {
        hint.with_extension(extension);
    }
    let tags = MetadataOptions::default().limit_visual_bytes(Limit::Maximum(MAX_COVER_BYTES));
    guarded(|| get_probe().probe(&hint, stream, FormatOptions::default(), tags))
        .map_err(|error| refusal::unreadable(path, error))
}

/// The first audio track whose codec we have.
fn choose_track(path: &Path, reader: &dyn FormatReader) -> Result<(Track, Box<dyn AudioDecoder>)> {
    let mut refused = None;
    for track in reader.tracks() {
        let Some(params) = audio_params(track) else { continue };
        // MPEG streams are trimmed by our window: Symphonia would also cut what lies beyond an
        // end that it only estimated from the bit rate.
        let options = AudioDecoderOptions::default().gapless(!mpeg::is_mpeg(&params.codec));
        let made = guarded(|| make_decoder(params, &options));
        match made {
            Ok(codec) => return Ok((track.clone(), codec)),
            Err(error) => _ = refused.get_or_insert((facts::codec_name(params, None), error)),
        }
    }
    Err(refusal::no_track(path, refused))
}

/// The decoder that does `params` best.
fn make_decoder(
    params: &AudioCodecParameters,
    options: &AudioDecoderOptions,
) -> std::result::Result<Box<dyn AudioDecoder>, SymphoniaError> {
    if vorbis::is_surround(params) {
        return Ok(Box::new(vorbis::SurroundDecoder::new(params)?));
    }
    let aac = || aac::AacDecoder::new(params).map(|made| Box::new(made) as Box<dyn AudioDecoder>);
    if aac::may_be_extended(params)
        && let Ok(decoder) = aac()
    {
        return Ok(decoder);
    }
    match CODECS.make_audio_decoder(params, options) {
        Err(_) if params.codec == CODEC_ID_AAC => aac(),
        made => made,
    }
}

fn audio_params(track: &Track) -> Option<&AudioCodecParameters> {
    match &track.codec_params {
        Some(CodecParameters::Audio(params)) => Some(params),
        _ => None,
    }
}

fn copy_planar(buffer: &GenericAudioBufferRef<'_>, block: &mut Planar) {
    let mut channels = std::mem::take(block).into_channels();
    buffer.copy_to_vecs_planar(&mut channels);
    *block = Planar::from_channels(channels);
}

/// Runs foreign decoding code; a panic on hostile input becomes an error like any other.
///
/// The state a panic leaves behind is only ever asked for the next packet or dropped, and safe
/// code in it cannot break anything else.
fn guarded<T>(
    work: impl FnOnce() -> std::result::Result<T, SymphoniaError>,
) -> std::result::Result<T, SymphoniaError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or(Err(SymphoniaError::DecodeError("the decoder stumbled over it")))
}
