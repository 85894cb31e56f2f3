//! Writing stems, mixes and songs as files.
//!
//! The way of an export: [`plan()`] chooses names and says what will happen; [`start`] measures
//! peaks, decides by the [`ClipPolicy`], and writes every file, several at once, each streamed
//! from its tracks through resampler, gain or limiter and dither into an encoder. Files are
//! written beside their places and renamed together at the end, so an export happens as a whole
//! or leaves nothing behind. [`convert()`] does the same for one file without separation.
//!
//! Every file holds exactly the planned number of frames; at the source's rate that is what the
//! song decodes to. Tags are carried over by the encoders and change nothing about that.

mod convert;
mod encoder;
mod flac;
mod format;
mod geometry;
mod handle;
mod level;
mod limiter;
mod mp3;
mod names;
mod parallel;
mod pcm;
mod place;
mod plan;
mod request;
mod rf64;
mod run;
mod source;
mod tags;
mod vorbis;
mod wav;

pub use convert::{ConvertOptions, Converted, convert};
pub use format::{Bits, Format, Mp3Quality, VorbisQuality};
pub use handle::{ExportHandle, ExportPhase, ExportStatus, Wake, start};
pub use level::{ClipPolicy, Level};
pub use names::{FIELDS, literal_template, safe_name};
pub use plan::{ExportPlan, PlannedFile, measure, plan};
pub use request::{Existing, ExportRequest, Item, Rate};
pub use run::Exported;
