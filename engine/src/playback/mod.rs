//! The mixer core: reads the mixture and the stems ahead of time, mixes them sample-accurately in
//! the audio callback, and tells the window what is being heard.
//!
//! Three parts, three threads:
//! - [`Player`] is the remote control. The app's update holds it; no method waits for anything.
//! - [`Feeder`] reads blocks from disk ahead of the playhead, on the thread "playback feeder".
//! - [`Renderer`] belongs to the audio callback. [`Renderer::render`] never allocates, frees,
//!   locks, logs or reads a file. Blocks come to it, and go back, through lock-free rings.
//!
//! One player lasts for the whole program: [`Player::load`] puts another song into it.
//!
//! ```text
//! playback::new(StreamSpec) -> Result<(Player, Renderer)>
//!
//! Player::load(PlaybackSource)         another song: stopped, at its start, without a loop
//! Player::set_source(PlaybackSource)   the same song, but its stems appeared or changed;
//!                                      position, loop and sound go on without a gap
//! Player::unload()                     no song
//! Player::play() pause() is_playing()  play() at the end starts over
//! Player::ended()                      the song ran out; is_playing() is false then
//! Player::seek(frame)                  while playing with a short crossfade; never changes play/pause
//! Player::position_frame()             what is being heard; the target at once after a seek
//! Player::length_frames()              length so far (grows while decoding)
//! Player::set_loop(Option<Range>)      sample-exact; at least MIN_LOOP_FRAMES long
//! Player::loop_range()
//! Player::set_lanes(&[LaneControl])    solo, mute, gain, pan by the rules of `mix`
//! Player::set_listen(Listen)           the stems, or the original (A)
//! Player::listen()
//! Player::set_master_gain_db(f32)
//! Player::meters() -> Meters           peaks since the last call
//! Player::underruns()                  times the sound stopped because nothing was read yet
//! Player::take_error()                 a read error of the feeder, once
//!
//! Renderer::render(&mut [f32], latency: Duration)   interleaved, at the output's channel count
//! Renderer::set_output(StreamSpec)                  for another device; not in the callback
//! ```
//!
//! All frames are frames of the song at [`WORK_RATE_HZ`]; the output may have another rate.
//! Where stems are not ready the original plays instead, crossfaded at the border. With unity
//! gains what is heard is exactly the sum of the stems in lane order, or exactly the mixture.

mod block;
mod controls;
mod feeder;
mod history;
mod output;
mod player;
mod ramp;
mod renderer;
mod report;
mod seqcell;
mod source;
mod voice;

use std::{ops::Range, sync::Arc};

use crate::{
    audio::{StreamSpec, WORK_RATE_HZ},
    error::Result,
};

pub use controls::Listen;
pub use feeder::{Feeder, FeederState};
pub use player::Player;
pub use renderer::Renderer;
pub use report::Meters;
pub use source::{PlaybackSource, StemSource};

/// Most lanes a source may have.
pub const MAX_LANES: usize = 16;

/// Length of every crossfade and gain ramp: 5.8 ms at the work rate. A power of two, so that the
/// ramps end exactly on their target.
pub const FADE_FRAMES: usize = 256;

/// Frames read and handed to the renderer at a time.
pub const BLOCK_FRAMES: usize = 1024;

/// Shortest loop, 23 ms; shorter ones are lengthened to it.
pub const MIN_LOOP_FRAMES: u64 = BLOCK_FRAMES as u64;

/// Blocks the feeder keeps ahead of the playhead: 0.46 s.
const READ_AHEAD_BLOCKS: usize = 20;

/// Blocks in circulation: those ahead, as many of an abandoned position that the renderer has not
/// given back yet, and a few in its hands.
const POOL_BLOCKS: usize = 2 * READ_AHEAD_BLOCKS + 4;

/// A player without a song and its renderer for `output`; starts the thread "playback feeder".
///
/// # Errors
/// When `output` has no channels or an absurd rate, or the system has no thread to give.
pub fn new(output: StreamSpec) -> Result<(Player, Renderer)> {
    let (mut player, feeder, renderer) = new_unthreaded(output)?;
    player.start_feeder(feeder)?;
    Ok((player, renderer))
}

/// Like [`new`], but the caller drives the feeder itself by [`Feeder::fill`]: for tests and
/// offline rendering, where the same calls must always give the same samples.
///
/// # Errors
/// When `output` has no channels or an absurd rate.
pub fn new_unthreaded(output: StreamSpec) -> Result<(Player, Feeder, Renderer)> {
    let link = Arc::new(player::Link::default());
    let (filled_in, filled_out) = rtrb::RingBuffer::new(POOL_BLOCKS);
    let (free_in, free_out) = rtrb::RingBuffer::new(POOL_BLOCKS);
    let renderer = Renderer::new(link.clone(), filled_out, free_in, output)?;
    let feeder = Feeder::new(link.clone(), filled_in, free_out);
    Ok((Player::new(link), feeder, renderer))
}

/// The loop as it will be played: at least [`MIN_LOOP_FRAMES`] long and, once the song's length is
/// known, inside the song; `None` when that is impossible.
fn normalized_loop(range: &Range<u64>, length: Option<u64>) -> Option<Range<u64>> {
    let end = range.end.max(range.start.saturating_add(MIN_LOOP_FRAMES));
    let end = length.map_or(end, |length| end.min(length));
    let start = range.start.min(end.saturating_sub(MIN_LOOP_FRAMES));
    (start < end && end - start >= MIN_LOOP_FRAMES).then_some(start..end)
}

const _: () = assert!(WORK_RATE_HZ > 0 && FADE_FRAMES.is_power_of_two());
