//! From evidence to masks: how much of every band, in the middle and at the sides, belongs to
//! drums, bass and vocals. `other` is what they leave.
//!
//! Each stem's expected share of power is a product of cues; the shares, divided by their sum, are
//! Wiener masks. All curves are rational functions, so that no mathematics library has a say.

use super::grid::{BANDS, Row, centres_hz};

/// What is known about one frame, band by band. Magnitudes, never zero.
pub(super) struct Evidence<'a> {
    /// Middle: half the sum of left and right.
    pub(super) mid: &'a Row,
    /// Side: half their difference.
    pub(super) side: &'a Row,
    /// Root of the power of both.
    pub(super) both: &'a Row,
    /// What lasts: the median over time of `both`.
    pub(super) lasting: &'a Row,
    /// What is broad: the median over frequency of `both`.
    pub(super) broad: &'a Row,
    /// What of `mid` repeats.
    pub(super) repeating: &'a Row,
    /// Where the bass is expected, 0 to 1.
    pub(super) bass: &'a Row,
}

/// Masks of one frame for the middle and the side.
pub(super) struct Masks {
    pub(super) drums: [Row; 2],
    pub(super) bass: [Row; 2],
    pub(super) vocals: [Row; 2],
}

impl Masks {
    pub(super) fn new() -> Box<Self> {
        let zeros = [[0.0; BANDS]; 2];
        Box::new(Self { drums: zeros, bass: zeros, vocals: zeros })
    }
}

// How much of each stem is expected where nothing else is known. Chosen once on four songs,
// coarsely: twice or half of any of them changes the scores by a few tenths of a decibel.
const DRUMS: f32 = 0.7;
const BASS: f32 = 4.0;
const VOCALS: f32 = 1.0;
const OTHER: f32 = 0.6;
/// `other` keeps this much of what looks like a voice.
const OTHER_IN_VOCALS: f32 = 0.3;
/// Bass and vocals are rarely at the sides.
const BASS_AT_SIDES: f32 = 0.3;
const VOCALS_AT_SIDES: f32 = 0.15;
const OTHER_AT_SIDES: f32 = 1.5;
/// A kick stands out of what lasts by more than this factor.
const KICK_ABOVE: f32 = 2.0;

/// What each stem's spectrum looks like in general, and the curves for the cues.
pub(super) struct Priors {
    pub(super) centres_hz: Row,
    /// Where the bass is expected whatever it plays.
    pub(super) bass: Row,
    /// Fades the comb on its harmonics.
    pub(super) bass_harmonics: Row,
    kick: Row,
    vocals: Row,
    other: Row,
}

impl Priors {
    pub(super) fn new() -> Self {
        let centres_hz = centres_hz();
        let low_pass =
            |hz: f32, order: i32| centres_hz.map(|f| 1.0 / (1.0 + (f / hz).powi_(order)));
        let high_pass = |hz: f32, order: i32| low_pass(hz, order).map(|low| 1.0 - low);
        let upper = low_pass(9000.0, 3);
        let lower = high_pass(180.0, 6);
        Self {
            centres_hz,
            bass: low_pass(140.0, 4),
            bass_harmonics: low_pass(500.0, 4),
            kick: low_pass(160.0, 6),
            vocals: std::array::from_fn(|band| lower[band] * upper[band]),
            other: high_pass(120.0, 3),
        }
    }

    /// The masks that `evidence` suggests.
    pub(super) fn masks(&self, evidence: &Evidence<'_>, masks: &mut Masks) {
        for band in 0..BANDS {
            let (mid, side) = (evidence.mid[band], evidence.side[band]);
            let both = evidence.both[band];
            let (lasting, broad) = (evidence.lasting[band], evidence.broad[band]);

            // Harmonic-percussive separation by medians (Fitzgerald, DAFx 2010). A kick is too narrow
            // for that and is known by its onset alone.
            let kick = self.kick[band];
            let struck = (1.0 - kick) * (broad / (broad + lasting))
                + kick * ((both - KICK_ABOVE * lasting).max_(0.0) / both);
            let tonal = (1.0 - struck) * (1.0 - struck);

            // A voice does not repeat and stands in the middle.
            let (mid_power, side_power) = (mid * mid, side * side);
            let repeating = evidence.repeating[band];
            let novel = (mid_power - repeating * repeating).max_(0.0) / mid_power;
            let central = (mid_power - side_power).max_(0.0) / (mid_power + side_power);
            let voice = novel * (0.5 + 0.5 * central);

            let drums = DRUMS * struck * struck;
            let bass = BASS * evidence.bass[band] * tonal;
            let vocals = VOCALS * self.vocals[band] * tonal * voice;
            let other = OTHER * self.other[band] * tonal;

            let in_mid = other * (OTHER_IN_VOCALS + 1.0 - voice);
            let whole = 1.0 / (drums + bass + vocals + in_mid + 1e-20);
            masks.drums[0][band] = drums * whole;
            masks.bass[0][band] = bass * whole;
            masks.vocals[0][band] = vocals * whole;

            let (bass, vocals) = (BASS_AT_SIDES * bass, VOCALS_AT_SIDES * vocals);
            let whole = 1.0 / (drums + bass + vocals + OTHER_AT_SIDES * other + 1e-20);
            masks.drums[1][band] = drums * whole;
            masks.bass[1][band] = bass * whole;
            masks.vocals[1][band] = vocals * whole;
        }
    }
}

/// Arithmetic with one outcome everywhere that compiles to vector instructions.
trait Portable {
    /// The larger one; like `max` without its care for NaN.
    fn max_(self, other: Self) -> Self;
    /// Whole powers by repeated multiplication; `powi`'s rounding is unspecified.
    fn powi_(self, exponent: i32) -> Self;
}

impl Portable for f32 {
    #[inline(always)]
    fn max_(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    fn powi_(self, exponent: i32) -> Self {
        (0..exponent).fold(1.0, |power, _| power * self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks_of(evidence: &Evidence<'_>) -> Box<Masks> {
        let mut masks = Masks::new();
        Priors::new().masks(evidence, &mut masks);
        masks
    }

    /// Band of a frequency below 4 kHz.
    fn band(hz: f32) -> usize {
        (hz / super::super::grid::bin_hz(1.0)) as usize
    }

    #[test]
    fn cues_send_sound_to_their_stem() {
        let (loud, quiet, none) = ([1.0; BANDS], [0.01; BANDS], [0.0; BANDS]);
        let tonal = Evidence {
            mid: &loud,
            side: &quiet,
            both: &loud,
            lasting: &loud,
            broad: &quiet,
            repeating: &loud,
            bass: &none,
        };
        let at = band(1000.0);
        let struck = masks_of(&Evidence { lasting: &quiet, broad: &loud, ..tonal });
        assert!(struck.drums[0][at] > 0.9);
        let sung = masks_of(&Evidence { repeating: &quiet, ..tonal });
        assert!(sung.vocals[0][at] > 0.6 && sung.vocals[1][at] < 0.2);
        let strummed = masks_of(&tonal);
        assert!(strummed.vocals[0][at] < 0.01 && strummed.drums[0][at] < 0.01);
        let plucked = masks_of(&Evidence { bass: &loud, ..tonal });
        assert!(plucked.bass[0][band(80.0)] > 0.9);
    }

    #[test]
    fn masks_are_shares() {
        // Any evidence at all, from a small generator.
        let mut state = 1u32;
        let mut row = || -> Row {
            std::array::from_fn(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let exponent = (state >> 28) as f32 - 8.0;
                (exponent * 2.0).exp2() * ((state >> 8) as f32 / 65_536.0 + 1e-5)
            })
        };
        for _ in 0..100 {
            let [mid, side, both, lasting, broad, repeating] = std::array::from_fn(|_| row());
            let bass = row().map(|x| x.min(1.0));
            let masks = masks_of(&Evidence {
                mid: &mid,
                side: &side,
                both: &both,
                lasting: &lasting,
                broad: &broad,
                repeating: &repeating,
                bass: &bass,
            });
            for part in 0..2 {
                for band in 0..BANDS {
                    let all =
                        [masks.drums[part][band], masks.bass[part][band], masks.vocals[part][band]];
                    assert!(all.iter().all(|m| (0.0..=1.0).contains(m)), "{all:?}");
                    assert!(all.iter().sum::<f32>() <= 1.0 + 1e-5, "{all:?}");
                }
            }
        }
    }
}
