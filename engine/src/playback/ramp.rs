//! A value that moves to its target in [`FADE_FRAMES`] equal steps and arrives exactly.

use crate::playback::FADE_FRAMES;

#[derive(Debug, Clone, Copy)]
pub(super) struct Ramp {
    value: f32,
    target: f32,
    step: f32,
    left: usize,
}

impl Ramp {
    pub(super) fn at(value: f32) -> Self {
        Self { value, target: value, step: 0.0, left: 0 }
    }

    pub(super) fn set_target(&mut self, target: f32) {
        if target != self.target {
            self.target = target;
            self.step = (target - self.value) / FADE_FRAMES as f32;
            self.left = FADE_FRAMES;
        }
    }

    /// Jumps to `value`; for when nobody hears it.
    pub(super) fn snap(&mut self, value: f32) {
        *self = Self::at(value);
    }

    pub(super) fn value(&self) -> f32 {
        self.value
    }

    pub(super) fn target(&self) -> f32 {
        self.target
    }

    /// Frames until the target is reached.
    pub(super) fn frames_left(&self) -> usize {
        self.left
    }

    /// Writes the next values of the ramp.
    pub(super) fn fill(&mut self, curve: &mut [f32]) {
        let moving = self.left.min(curve.len());
        let (moved, rest) = curve.split_at_mut(moving);
        for value in moved {
            self.left -= 1;
            self.value = if self.left == 0 {
                self.target
            } else {
                self.target - self.step * self.left as f32
            };
            *value = self.value;
        }
        rest.fill(self.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrives_exactly_and_stays_whatever_the_pieces() {
        let mut whole = Ramp::at(0.3);
        whole.set_target(0.7);
        let mut at_once = [0.0; 300];
        whole.fill(&mut at_once);

        let mut pieces = Ramp::at(0.3);
        pieces.set_target(0.7);
        let mut in_pieces = [0.0; 300];
        in_pieces.chunks_mut(7).for_each(|piece| pieces.fill(piece));

        assert_eq!(at_once, in_pieces);
        assert!(at_once[FADE_FRAMES - 2] < 0.7);
        assert!(at_once[FADE_FRAMES - 1..].iter().all(|value| *value == 0.7));
        assert!(at_once.windows(2).all(|pair| pair[1] - pair[0] < 0.4 / 256.0 + 1e-6));
    }

    #[test]
    fn turning_round_starts_where_it_is() {
        let mut ramp = Ramp::at(0.0);
        ramp.set_target(1.0);
        let mut curve = [0.0; 128];
        ramp.fill(&mut curve);
        ramp.set_target(0.0);
        let mut back = [0.0; 256];
        ramp.fill(&mut back);
        assert_eq!(curve[127], 0.5);
        assert_eq!(back[0], 0.5 - 0.5 / 256.0);
        assert_eq!(back[255], 0.0);
    }
}
