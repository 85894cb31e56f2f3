//! Everything Stemhive does that needs neither a window nor a sound card: decoding, separation,
//! scheduling, storage, mixing, playback rendering and export.
//!
//! The way of one song: [`decode`] streams PCM, [`song`] resamples it to the work rate, stores it
//! and grows its [`waveform`]; [`plan`] cuts it into chunks, [`scheduler`] hands them to workers,
//! [`assemble`] joins the results into stems; [`playback`] and [`export`] read stems through the
//! same [`mix`] rules.

pub mod assemble;
pub mod audio;
pub mod catalogue;
pub mod crew;
pub mod decode;
pub mod dsp;
pub mod engine;
pub mod error;
pub mod eval;
pub mod export;
pub mod inspect;
pub mod job;
pub mod local;
pub mod mix;
pub mod model;
mod parallel;
pub mod plan;
pub mod playback;
pub mod protocol;
pub mod remote;
pub mod resample;
pub mod roster;
pub mod scheduler;
pub mod song;
pub mod store;
pub mod waveform;

pub use error::{Error, ErrorKind, Result};
