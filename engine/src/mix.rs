//! The mixer's rules: which lanes sound, and how loud, left and right. Playback and export both
//! ask here, so what is heard is what is written.

use serde::{Deserialize, Serialize};

/// Lowest fader position that still sounds, in decibels; at or below it the lane is silent.
pub const MIN_GAIN_DB: f32 = -60.0;

/// Highest fader position, in decibels.
pub const MAX_GAIN_DB: f32 = 12.0;

/// One lane's controls as the user set them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LaneControl {
    /// Fader in decibels, [`MIN_GAIN_DB`]..=[`MAX_GAIN_DB`]; 0 leaves samples untouched.
    pub gain_db: f32,
    /// Balance, -1.0 (left only) to 1.0 (right only); 0 leaves samples untouched.
    pub pan: f32,
    /// Muted by its own button.
    pub mute: bool,
    /// Soloed.
    pub solo: bool,
}

impl Default for LaneControl {
    fn default() -> Self {
        Self { gain_db: 0.0, pan: 0.0, mute: false, solo: false }
    }
}

/// Why a lane does or does not sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audibility {
    /// It sounds.
    Audible,
    /// Its own mute is on.
    Muted,
    /// Another lane is soloed and this one is not.
    SilencedBySolo,
}

/// The solo and mute rule: solo adds, and soloing overrides muting.
pub fn audibility(lanes: &[LaneControl]) -> Vec<Audibility> {
    let any_solo = lanes.iter().any(|lane| lane.solo);
    lanes
        .iter()
        .map(|lane| match (any_solo, lane.solo, lane.mute) {
            (true, true, _) | (false, _, false) => Audibility::Audible,
            (true, false, _) => Audibility::SilencedBySolo,
            (false, _, true) => Audibility::Muted,
        })
        .collect()
}

/// Decibels to a linear factor; exactly 1.0 at 0 dB and exactly 0.0 at or below [`MIN_GAIN_DB`].
pub fn linear_gain(gain_db: f32) -> f32 {
    if gain_db <= MIN_GAIN_DB {
        0.0
    } else if gain_db == 0.0 {
        1.0
    } else {
        10f32.powf(gain_db.min(MAX_GAIN_DB) / 20.0)
    }
}

/// Left and right factors of every lane after fader, balance, solo and mute.
pub fn stereo_gains(lanes: &[LaneControl]) -> Vec<[f32; 2]> {
    audibility(lanes)
        .into_iter()
        .zip(lanes)
        .map(|(audible, lane)| {
            if audible != Audibility::Audible {
                return [0.0, 0.0];
            }
            let gain = linear_gain(lane.gain_db);
            let pan = lane.pan.clamp(-1.0, 1.0);
            [gain * (1.0 - pan.max(0.0)), gain * (1.0 + pan.min(0.0))]
        })
        .collect()
}
