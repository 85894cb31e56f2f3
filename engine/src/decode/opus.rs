//! Opus for Symphonia, by the pure-Rust port `ropus` (RFC 6716, headers RFC 7845).

use ropus::OpusMSDecoder;
use symphonia::core::{
    audio::{
        AsGenericAudioBufferRef, AudioBuffer, AudioMut, AudioSpec, Channels, GenericAudioBufferRef,
    },
    codecs::{
        CodecInfo,
        audio::{
            AudioCodecParameters, AudioDecoder, AudioDecoderOptions, FinalizeResult,
            well_known::CODEC_ID_OPUS,
        },
        registry::{RegisterableAudioDecoder, SupportedAudioCodec},
    },
    errors::{Error, Result},
    packet::PacketRef,
};

/// Opus always decodes to this rate here, whatever the original was.
const RATE_HZ: i32 = 48_000;

/// Longest packet: 120 ms.
const MAX_PACKET_FRAMES: usize = RATE_HZ as usize * 120 / 1000;

/// One to eight channels of Opus, in the order of Symphonia's speaker positions.
pub(super) struct OpusDecoder {
    params: AudioCodecParameters,
    channel_order: &'static [usize],
    decoder: OpusMSDecoder,
    /// Factor from 16-bit integers to float, with the header's output gain in it.
    scale: f32,
    pcm: Vec<i16>,
    buffer: AudioBuffer<f32>,
}

/// What decoding needs from the identification header, RFC 7845 § 5.1.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    channels: u8,
    pre_skip_frames: u16,
    gain_q8_db: i16,
    streams: u8,
    coupled: u8,
    /// Which decoded channel each output channel is.
    mapping: Vec<u8>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (magic, head) = bytes.split_at_checked(8)?;
        let [_version, channels, skip_low, skip_high, _, _, _, _, gain_low, gain_high, family, ..] =
            *head
        else {
            return None;
        };
        if magic != b"OpusHead" || channels == 0 {
            return None;
        }
        let (streams, coupled, mapping) = match family {
            0 if channels <= 2 => (1, channels - 1, (0..channels).collect()),
            1 if channels <= 8 => {
                let mapping = head.get(13..13 + usize::from(channels))?;
                (head[11], head[12], mapping.to_vec())
            }
            _ => return None,
        };
        Some(Self {
            channels,
            pre_skip_frames: u16::from_le_bytes([skip_low, skip_high]),
            gain_q8_db: i16::from_le_bytes([gain_low, gain_high]),
            streams,
            coupled,
            mapping,
        })
    }
}

/// Frames to drop from the start of an Opus stream; 0 when its header cannot be read.
pub(super) fn pre_skip(params: &AudioCodecParameters) -> u64 {
    let head = params.extra_data.as_deref().and_then(Head::parse);
    head.map_or(0, |head| u64::from(head.pre_skip_frames))
}

/// From Opus's (that is Vorbis's) channel order to that of Symphonia's positions.
pub(super) fn channel_order(channels: usize) -> &'static [usize] {
    match channels {
        3 => &[0, 2, 1],
        5 => &[0, 2, 1, 3, 4],
        6 => &[0, 2, 1, 4, 5, 3],
        7 => &[0, 2, 1, 5, 6, 4, 3],
        8 => &[0, 2, 1, 6, 7, 4, 5, 3],
        n => &[0, 1, 2, 3][..n.min(4)],
    }
}

impl OpusDecoder {
    fn new(params: &AudioCodecParameters) -> Result<Self> {
        const BAD_HEAD: Error = Error::DecodeError("opus: unreadable identification header");
        let head = params.extra_data.as_deref().and_then(Head::parse).ok_or(BAD_HEAD)?;
        let channels = usize::from(head.channels);
        let layout = match &params.channels {
            Some(layout) if layout.count() == channels => layout.clone(),
            _ => Channels::Discrete(u16::from(head.channels)),
        };
        let decoder = OpusMSDecoder::new(
            RATE_HZ,
            i32::from(head.channels),
            i32::from(head.streams),
            i32::from(head.coupled),
            &head.mapping,
        )
        .map_err(|_| BAD_HEAD)?;
        let gain_db = f32::from(head.gain_q8_db) / 256.0;
        Ok(Self {
            params: params.clone(),
            channel_order: channel_order(channels),
            decoder,
            scale: 10f32.powf(gain_db / 20.0) / 32_768.0,
            pcm: vec![0; MAX_PACKET_FRAMES * channels],
            buffer: AudioBuffer::new(AudioSpec::new(RATE_HZ as u32, layout), MAX_PACKET_FRAMES),
        })
    }
}

impl AudioDecoder for OpusDecoder {
    fn reset(&mut self) {
        self.decoder.reset();
    }

    fn codec_info(&self) -> &CodecInfo {
        &Self::supported_codecs()[0].info
    }

    fn codec_params(&self) -> &AudioCodecParameters {
        &self.params
    }

    fn decode_ref(&mut self, packet: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
        self.buffer.clear();
        // No data would mean concealment of a lost packet to the decoder.
        let len = i32::try_from(packet.data.len()).ok().filter(|len| *len > 0);
        let frames = len
            .ok_or(Error::DecodeError("opus: impossible packet size"))
            .and_then(|len| {
                let max = MAX_PACKET_FRAMES as i32;
                self.decoder
                    .decode(Some(packet.data), len, &mut self.pcm, max, false)
                    .map_err(|_| Error::DecodeError("opus: damaged packet"))
            })?
            .clamp(0, MAX_PACKET_FRAMES as i32) as usize;

        self.buffer.render_uninit(Some(frames));
        let channels = self.channel_order.len();
        for (from, to) in self.channel_order.iter().enumerate() {
            let Some(plane) = self.buffer.plane_mut(*to) else { continue };
            let samples = self.pcm.iter().skip(from).step_by(channels);
            plane.iter_mut().zip(samples).for_each(|(out, s)| *out = f32::from(*s) * self.scale);
        }
        // The start is dropped by the window, since the pre-skip may span several packets.
        self.buffer.trim(0, packet.trim_end.get().min(frames as u64) as usize);
        Ok(self.buffer.as_generic_audio_buffer_ref())
    }

    fn finalize(&mut self) -> FinalizeResult {
        FinalizeResult::default()
    }

    fn last_decoded(&self) -> GenericAudioBufferRef<'_> {
        self.buffer.as_generic_audio_buffer_ref()
    }
}

impl RegisterableAudioDecoder for OpusDecoder {
    fn try_registry_new(
        params: &AudioCodecParameters,
        _options: &AudioDecoderOptions,
    ) -> Result<Box<dyn AudioDecoder>> {
        Ok(Box::new(Self::new(params)?))
    }

    fn supported_codecs() -> &'static [SupportedAudioCodec] {
        &[SupportedAudioCodec {
            id: CODEC_ID_OPUS,
            info: CodecInfo { short_name: "opus", long_name: "Opus", profiles: &[] },
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_stereo_and_surround_heads() {
        let mut bytes = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\xff\0".to_vec();
        let head = Head::parse(&bytes).expect("a stereo head");
        assert_eq!((head.channels, head.pre_skip_frames, head.gain_q8_db), (2, 312, -256));
        assert_eq!((head.streams, head.coupled, head.mapping), (1, 1, vec![0, 1]));

        bytes[9] = 6;
        bytes[18] = 1;
        assert_eq!(Head::parse(&bytes), None, "the mapping table is missing");
        bytes.extend([4, 2, 0, 4, 1, 2, 3, 5]);
        let head = Head::parse(&bytes).expect("a 5.1 head");
        assert_eq!((head.streams, head.coupled, head.mapping), (4, 2, vec![0, 4, 1, 2, 3, 5]));
    }
}
