//! What the renderer tells: where it is, how loud it is, what went wrong.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::playback::{MAX_LANES, seqcell::SeqCell};

/// Where the renderer is, as of its last callback.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Newest order whose blocks it has taken up.
    pub(super) adopted: u64,
    /// Next frame of the song it will mix.
    pub(super) next_frame: u64,
    /// The order, if any, whose song it has played to the end.
    pub(super) ended: u64,
    /// Order to which the frame being heard belongs; lags behind `adopted` by the latency.
    pub(super) heard: u64,
    /// Frame that was heard when the callback began.
    pub(super) heard_frame: u64,
    /// How many frames from there are certain to be heard one after the other.
    pub(super) heard_run: u64,
    /// When the callback began, in nanoseconds since the link was made.
    pub(super) at_nanos: u64,
}

/// [`Progress`] on its way from the renderer to player and feeder.
#[derive(Debug)]
pub(super) struct ProgressCell(SeqCell<7>);

impl Default for ProgressCell {
    fn default() -> Self {
        Self(SeqCell::new([0; 7]))
    }
}

impl ProgressCell {
    pub(super) fn write(&self, p: &Progress) {
        self.0.write([
            p.adopted,
            p.next_frame,
            p.ended,
            p.heard,
            p.heard_frame,
            p.heard_run,
            p.at_nanos,
        ]);
    }

    pub(super) fn read(&self) -> Progress {
        let [adopted, next_frame, ended, heard, heard_frame, heard_run, at_nanos] = self.0.read();
        Progress { adopted, next_frame, ended, heard, heard_frame, heard_run, at_nanos }
    }
}

/// Peaks since the last reading, linear, after fader and master gain; left and right.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Meters {
    /// One pair per lane of the source.
    pub lanes: Vec<[f32; 2]>,
    /// What goes to the device.
    pub master: [f32; 2],
    /// Whether anything went beyond full scale.
    pub clipped: bool,
}

/// Meters and counters as the renderer writes them. Peaks are bits of non-negative floats, whose
/// order is that of the floats.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    lanes: [[AtomicU32; 2]; MAX_LANES],
    master: [AtomicU32; 2],
    clipped: AtomicBool,
    underruns: AtomicU64,
}

impl Gauges {
    pub(super) fn lane_peak(&self, lane: usize, side: usize, peak: f32) {
        self.lanes[lane][side].fetch_max(peak.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn master_peak(&self, side: usize, peak: f32) {
        self.master[side].fetch_max(peak.to_bits(), Ordering::Relaxed);
        if peak > 1.0 {
            self.clipped.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn count_underrun(&self) {
        self.underruns.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn underruns(&self) -> u64 {
        self.underruns.load(Ordering::Relaxed)
    }

    /// Reads the peaks of `lanes` lanes and starts them over.
    pub(super) fn take(&self, lanes: usize) -> Meters {
        let take = |peaks: &[AtomicU32; 2]| {
            [0, 1].map(|side: usize| f32::from_bits(peaks[side].swap(0, Ordering::Relaxed)))
        };
        Meters {
            lanes: self.lanes[..lanes].iter().map(take).collect(),
            master: take(&self.master),
            clipped: self.clipped.swap(false, Ordering::Relaxed),
        }
    }
}
