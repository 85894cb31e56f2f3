//! Any number of channels to stereo, by ITU-R BS.775.

use symphonia::core::audio::{ChannelLabel, Channels, Position};

use crate::audio::Planar;

/// -3 dB, the share of a centre or surround channel in each side.
const MINUS_3_DB: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// How loud each source channel is in the left and right output. Mono and stereo pass unchanged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Downmix {
    gains: Vec<[f32; 2]>,
}

impl Downmix {
    /// The downmix of a speaker layout.
    ///
    /// BS.775's equations for 3/2: `L' = L + 0.7071 C + 0.7071 Ls`, likewise right; the low-frequency
    /// channel is left out, as the recommendation allows. Surrounds at the side count as surrounds,
    /// a lone rear centre goes to both sides at -6 dB (0.5, as from 3/1), overhead
    /// channels like the surrounds below them. The sum is not scaled: float keeps peaks over 1.
    /// Channels without a place in the room are shared out alternately, odd ones in the middle.
    pub(super) fn new(channels: &Channels) -> Self {
        let count = channels.count();
        if count <= 2 {
            return Self::default();
        }
        let placed = match channels {
            Channels::Positioned(positions) => positions.iter().map(gains_of).collect(),
            Channels::Custom(labels) => labels
                .iter()
                .map(|label| match label {
                    ChannelLabel::Positioned(position) => gains_of(*position),
                    _ => None,
                })
                .collect(),
            _ => vec![None; count],
        };
        let gains = placed
            .into_iter()
            .enumerate()
            .map(|(channel, gains)| gains.unwrap_or_else(|| unplaced(channel, count)))
            .collect();
        Self { gains }
    }

    /// Whether anything is to be mixed: the source has more than two channels.
    pub fn is_needed(&self) -> bool {
        !self.gains.is_empty()
    }

    /// Mixes `source`, which has the layout's channels, into `stereo`.
    pub fn mix(&self, source: &Planar, stereo: &mut Planar) {
        let mut sides = std::mem::take(stereo).into_channels();
        sides.resize_with(2, Vec::new);
        for (side, out) in sides.iter_mut().enumerate() {
            out.clear();
            out.resize(source.frames(), 0.0);
            for (channel, gains) in source.channels().iter().zip(&self.gains) {
                let gain = gains[side];
                if gain != 0.0 {
                    out.iter_mut().zip(channel).for_each(|(sum, sample)| *sum += gain * sample);
                }
            }
        }
        *stereo = Planar::from_channels(sides);
    }
}

fn gains_of(position: Position) -> Option<[f32; 2]> {
    let left = Position::FRONT_LEFT | Position::FRONT_LEFT_WIDE;
    let right = Position::FRONT_RIGHT | Position::FRONT_RIGHT_WIDE;
    let middle = Position::FRONT_CENTER | Position::BOTTOM_FRONT_CENTER;
    let low = Position::LFE1 | Position::LFE2;
    let side_left = Position::REAR_LEFT
        | Position::SIDE_LEFT
        | Position::TOP_FRONT_LEFT
        | Position::TOP_REAR_LEFT
        | Position::TOP_SIDE_LEFT
        | Position::BOTTOM_FRONT_LEFT;
    let side_right = Position::REAR_RIGHT
        | Position::SIDE_RIGHT
        | Position::TOP_FRONT_RIGHT
        | Position::TOP_REAR_RIGHT
        | Position::TOP_SIDE_RIGHT
        | Position::BOTTOM_FRONT_RIGHT;
    let behind = Position::REAR_CENTER
        | Position::TOP_CENTER
        | Position::TOP_FRONT_CENTER
        | Position::TOP_REAR_CENTER;
    let table = [
        (left, [1.0, 0.0]),
        (right, [0.0, 1.0]),
        (middle, [MINUS_3_DB, MINUS_3_DB]),
        (low, [0.0, 0.0]),
        (side_left, [MINUS_3_DB, 0.0]),
        (side_right, [0.0, MINUS_3_DB]),
        (behind, [0.5, 0.5]),
        (Position::FRONT_LEFT_CENTER, [1.0, 0.0]),
        (Position::FRONT_RIGHT_CENTER, [0.0, 1.0]),
    ];
    table.iter().find(|(set, _)| set.contains(position)).map(|(_, gains)| *gains)
}

fn unplaced(channel: usize, count: usize) -> [f32; 2] {
    match channel {
        last if last + 1 == count && count % 2 == 1 => [MINUS_3_DB, MINUS_3_DB],
        even if even % 2 == 0 => [1.0, 0.0],
        _ => [0.0, 1.0],
    }
}

#[cfg(test)]
mod tests {
    use symphonia::core::audio::layouts::{CHANNEL_LAYOUT_5P1, CHANNEL_LAYOUT_STEREO};

    use super::*;

    #[test]
    fn stereo_is_left_alone() {
        assert!(!Downmix::new(&CHANNEL_LAYOUT_STEREO).is_needed());
    }

    #[test]
    fn surround_follows_bs_775() {
        let downmix = Downmix::new(&CHANNEL_LAYOUT_5P1);
        // FL, FR, C, LFE, SL, SR, each alone in one frame.
        let channels = (0..6).map(|c| (0..6).map(|n| f32::from(u8::from(c == n))).collect());
        let mut stereo = Planar::default();
        downmix.mix(&Planar::from_channels(channels.collect()), &mut stereo);
        let m = MINUS_3_DB;
        assert_eq!(stereo.channel(0), [1.0, 0.0, m, 0.0, m, 0.0]);
        assert_eq!(stereo.channel(1), [0.0, 1.0, m, 0.0, 0.0, m]);
    }
}
