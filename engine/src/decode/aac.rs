//! AAC for Symphonia where its own decoder, which does low complexity in mono and stereo, does not
//! do: spectral band replication and parametric stereo (HE-AAC), more than two channels, low delay.
//! By the pure-Rust `syom`.

use symphonia::core::{
    audio::{
        AsGenericAudioBufferRef, Audio, AudioBuffer, AudioMut, AudioSpec, Channels,
        GenericAudioBufferRef, Position,
    },
    codecs::{
        CodecInfo,
        audio::{AudioCodecParameters, AudioDecoder, FinalizeResult, well_known::CODEC_ID_AAC},
    },
    errors::{Error, Result},
    packet::PacketRef,
};
use syom::{Channel, DecodeOptions, Decoder, Frame};

/// Rates of MPEG-4's sampling frequency index, ISO 14496-3 § 1.6.3.4.
const RATES_HZ: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Up to this rate, spectral band replication often comes without being announced.
const MOST_CORE_HZ: u32 = 24_000;

/// Most frames of one packet: 1024, doubled by spectral band replication.
const MAX_PACKET_FRAMES: usize = 2048;

/// Whether a track may hold more than its header tells, so that Symphonia would decode half of it.
pub(super) fn may_be_extended(params: &AudioCodecParameters) -> bool {
    params.codec == CODEC_ID_AAC && params.sample_rate.is_some_and(|hz| hz <= MOST_CORE_HZ)
}

/// Any AAC there is for music, in the order of Symphonia's speaker positions.
pub(super) struct AacDecoder {
    params: AudioCodecParameters,
    config: Config,
    decoder: Decoder,
    /// Made anew when rate or channels turn out to be others.
    buffer: AudioBuffer<f32>,
}

/// How a decoder learns what is in the packets.
enum Config {
    /// From an `AudioSpecificConfig`.
    Known(Vec<u8>),
    /// From ADTS headers before each of them, which say this and leave the channels to the packets.
    Adts([u8; 7]),
}

impl Config {
    /// `None` for a rate that ADTS cannot say.
    fn of(params: &AudioCodecParameters) -> Option<Self> {
        if let Some(config) = params.extra_data.as_deref() {
            return Some(Self::Known(config.to_vec()));
        }
        // Symphonia keeps nothing of ADTS but rate and channels; all of it is low complexity.
        let rate = RATES_HZ.iter().position(|&hz| Some(hz) == params.sample_rate)? as u8;
        let channels = match params.channels.as_ref().map_or(0, Channels::count) {
            channels @ 1..=6 => channels as u8,
            8 => 7,
            _ => return Some(Self::Adts([0xff, 0xf1, 1 << 6 | rate << 2, 0, 0, 0x1f, 0xfc])),
        };
        Some(Self::Known(vec![2 << 3 | rate >> 1, rate << 7 | channels << 3]))
    }

    fn open(&self) -> Result<Decoder> {
        let options = DecodeOptions::unbounded();
        match self {
            Self::Known(config) => Decoder::from_asc(config, options).map_err(|_| {
                Error::Unsupported("neither low complexity, high efficiency nor low delay")
            }),
            Self::Adts(_) => Ok(Decoder::new(options)),
        }
    }
}

/// An ADTS frame of `packet`, ISO 13818-7 § 6.2; `None` when it is too long for one.
fn adts_frame(mut header: [u8; 7], packet: &[u8]) -> Option<Vec<u8>> {
    let bytes = u16::try_from(packet.len() + header.len()).ok().filter(|bytes| *bytes < 1 << 13)?;
    header[3] |= (bytes >> 11) as u8;
    header[4] = (bytes >> 3) as u8;
    header[5] |= (bytes << 5) as u8;
    Some([&header, packet].concat())
}

impl AacDecoder {
    /// A decoder of the track that `params` describe.
    ///
    /// # Errors
    /// When it is AAC of a kind that nobody decodes here.
    pub(super) fn new(params: &AudioCodecParameters) -> Result<Self> {
        let config = Config::of(params).ok_or(Error::Unsupported("an odd sample rate"))?;
        let spec = AudioSpec::new(params.sample_rate.unwrap_or(0), Channels::Discrete(1));
        Ok(Self {
            params: params.clone(),
            decoder: config.open()?,
            config,
            buffer: AudioBuffer::new(spec, 0),
        })
    }
}

impl AudioDecoder for AacDecoder {
    fn reset(&mut self) {
        // The configuration was good once, so it is again.
        if let Ok(decoder) = self.config.open() {
            self.decoder = decoder;
        }
    }

    fn codec_info(&self) -> &CodecInfo {
        &CodecInfo { short_name: "aac", long_name: "Advanced Audio Coding", profiles: &[] }
    }

    fn codec_params(&self) -> &AudioCodecParameters {
        &self.params
    }

    fn decode_ref(&mut self, packet: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
        let buffer = &mut self.buffer;
        buffer.clear();
        let take = |frame: Frame<'_>| {
            let (layout, places) = layout(frame.meta.labels(), frame.planar.len());
            let spec = AudioSpec::new(frame.sample_rate, layout);
            if *buffer.spec() != spec || buffer.capacity() == 0 {
                *buffer = AudioBuffer::new(spec, MAX_PACKET_FRAMES);
            }
            let frames = frame.samples.min(MAX_PACKET_FRAMES);
            buffer.render_uninit(Some(frames));
            for (samples, place) in frame.planar.iter().zip(places) {
                if let (Some(out), Some(samples)) = (buffer.plane_mut(place), samples.get(..frames))
                {
                    out.copy_from_slice(samples);
                }
            }
            Ok(())
        };
        let decoded = match &self.config {
            Config::Known(_) => self.decoder.decode_au(packet.data, take).is_ok(),
            Config::Adts(header) => adts_frame(*header, packet.data)
                .is_some_and(|frame| self.decoder.feed(&frame, take).is_ok()),
        };
        if !decoded {
            // It would refuse everything from here on.
            self.reset();
            return Err(Error::DecodeError("aac: damaged packet"));
        }
        let (start, end) = (packet.trim_start.get() as usize, packet.trim_end.get() as usize);
        self.buffer.trim(start, end);
        Ok(self.buffer.as_generic_audio_buffer_ref())
    }

    fn finalize(&mut self) -> FinalizeResult {
        FinalizeResult::default()
    }

    fn last_decoded(&self) -> GenericAudioBufferRef<'_> {
        self.buffer.as_generic_audio_buffer_ref()
    }
}

/// The speakers of `count` channels, and the place of each channel among Symphonia's positions,
/// which run in the order of WAV files. Channels without a name, or with one twice, stay in order.
fn layout(labels: impl Iterator<Item = Channel>, count: usize) -> (Channels, Vec<usize>) {
    let positions: Vec<Position> = labels.map_while(position).collect();
    let all = positions.iter().fold(Position::empty(), |all, one| all | *one);
    if positions.len() != count || all.bits().count_ones() as usize != count {
        return (Channels::Discrete(count as u16), (0..count).collect());
    }
    let before = |one: &Position| (all.bits() & (one.bits() - 1)).count_ones() as usize;
    let places = positions.iter().map(before).collect();
    (Channels::Positioned(all), places)
}

fn position(channel: Channel) -> Option<Position> {
    Some(match channel {
        Channel::FrontLeft => Position::FRONT_LEFT,
        Channel::FrontRight => Position::FRONT_RIGHT,
        Channel::FrontCenter => Position::FRONT_CENTER,
        Channel::Lfe => Position::LFE1,
        Channel::BackLeft => Position::REAR_LEFT,
        Channel::BackRight => Position::REAR_RIGHT,
        Channel::BackCenter => Position::REAR_CENTER,
        Channel::SideLeft => Position::SIDE_LEFT,
        Channel::SideRight => Position::SIDE_RIGHT,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_find_their_places() {
        use Channel::{BackCenter, FrontCenter, FrontLeft, FrontRight, Lfe, Other};
        let places = |labels: &[Channel]| layout(labels.iter().copied(), labels.len());
        let (speakers, order) = places(&[FrontCenter, FrontLeft, FrontRight, BackCenter, Lfe]);
        assert_eq!(order, [2, 0, 1, 4, 3]);
        assert!(matches!(speakers, Channels::Positioned(_)));
        for unclear in [[FrontLeft, FrontLeft, Lfe], [FrontLeft, Other, Lfe]] {
            assert_eq!(places(&unclear), (Channels::Discrete(3), vec![0, 1, 2]));
        }
    }
}
