//! What the player wants of the renderer: one snapshot, always seen whole.

use crate::playback::{MAX_LANES, seqcell::SeqCell};

/// What the user compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Listen {
    /// The stems through the mixer.
    #[default]
    Stems,
    /// The original mixture.
    Original,
}

/// The mixer's settings and the transport's wish.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Controls {
    /// Left and right factor of every lane.
    pub(super) lane_gains: [[f32; 2]; MAX_LANES],
    /// Factor on everything.
    pub(super) master_gain: f32,
    /// Stems or original.
    pub(super) listen: Listen,
    /// Whether the transport should run.
    pub(super) playing: bool,
    /// Which order to the feeder is the newest; blocks of an older one are to be left.
    pub(super) generation: u64,
}

impl Default for Controls {
    fn default() -> Self {
        Self {
            lane_gains: [[1.0; 2]; MAX_LANES],
            master_gain: 1.0,
            listen: Listen::Stems,
            playing: false,
            generation: 0,
        }
    }
}

const WORDS: usize = MAX_LANES + 2;

/// [`Controls`] on their way from the player to the renderer.
#[derive(Debug)]
pub(super) struct ControlsCell(SeqCell<WORDS>);

impl Default for ControlsCell {
    fn default() -> Self {
        Self(SeqCell::new(pack(&Controls::default())))
    }
}

impl ControlsCell {
    pub(super) fn write(&self, controls: &Controls) {
        self.0.write(pack(controls));
    }

    /// `None` while they are being replaced; the renderer then keeps what it has for one step.
    pub(super) fn try_read(&self) -> Option<Controls> {
        self.0.try_read().map(|words| unpack(&words))
    }
}

fn pair(high: f32, low: u32) -> u64 {
    u64::from(high.to_bits()) << 32 | u64::from(low)
}

fn pack(controls: &Controls) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, [left, right]) in words.iter_mut().zip(controls.lane_gains) {
        *word = pair(left, right.to_bits());
    }
    let flags = u32::from(controls.playing) | u32::from(controls.listen == Listen::Original) << 1;
    words[MAX_LANES] = pair(controls.master_gain, flags);
    words[MAX_LANES + 1] = controls.generation;
    words
}

fn unpack(words: &[u64; WORDS]) -> Controls {
    let high = |word: u64| f32::from_bits((word >> 32) as u32);
    let low = |word: u64| word as u32;
    let mut lane_gains = [[0.0; 2]; MAX_LANES];
    for (gains, word) in lane_gains.iter_mut().zip(words) {
        *gains = [high(*word), f32::from_bits(low(*word))];
    }
    let flags = low(words[MAX_LANES]);
    Controls {
        lane_gains,
        master_gain: high(words[MAX_LANES]),
        listen: if flags & 2 == 0 { Listen::Stems } else { Listen::Original },
        playing: flags & 1 != 0,
        generation: words[MAX_LANES + 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_survives_the_way() {
        let mut controls = Controls {
            master_gain: 0.25,
            listen: Listen::Original,
            playing: true,
            generation: u64::MAX - 3,
            ..Controls::default()
        };
        for (lane, gains) in controls.lane_gains.iter_mut().enumerate() {
            *gains = [lane as f32 * 0.125, -(lane as f32)];
        }
        let cell = ControlsCell::default();
        assert_eq!(cell.try_read(), Some(Controls::default()));
        cell.write(&controls);
        assert_eq!(cell.try_read(), Some(controls));
    }
}
