//! MPEG audio (MP1, MP2, MP3): what a packet's own header says.

use symphonia::core::{
    codecs::audio::{
        AudioCodecId,
        well_known::{CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3},
    },
    packet::Packet,
};

use crate::audio::StreamSpec;

/// Whether `codec` is one of the three MPEG layers.
pub(super) fn is_mpeg(codec: &AudioCodecId) -> bool {
    [CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3].contains(codec)
}

/// The rate and channels of an MPEG packet when they are not `spec`'s any more. Symphonia calls
/// such packets damaged, but skipping them would silently drop the rest of a song.
pub(super) fn changed_spec(
    codec: &AudioCodecId,
    packet: &Packet,
    spec: StreamSpec,
) -> Option<StreamSpec> {
    let now = is_mpeg(codec).then(|| header_spec(&packet.data))??;
    (spec.channels != 0 && now != spec).then_some(now)
}

/// Rate and channels in a frame header, ISO 11172-3 § 2.4.2.3 and 13818-3, MPEG 2.5 included.
fn header_spec(frame: &[u8]) -> Option<StreamSpec> {
    let [0xff, b1, b2, b3, ..] = *frame else { return None };
    let divisor = match (b1 >> 3) & 3 {
        0 => 4,
        2 => 2,
        3 => 1,
        _ => return None,
    };
    let rate = *[44_100, 48_000, 32_000].get(usize::from((b2 >> 2) & 3))?;
    let channels = if b3 >> 6 == 3 { 1 } else { 2 };
    Some(StreamSpec { sample_rate_hz: rate / divisor, channels })
}
