//! The audio callback's side: takes blocks from the ring, mixes them, sends them back. Nothing
//! here allocates, frees, locks, logs or reads a file, except where it says so.

use std::{sync::Arc, time::Duration};

use rtrb::{Consumer, Producer};

use crate::{
    audio::StreamSpec,
    error::Result,
    playback::{
        BLOCK_FRAMES, FADE_FRAMES, Listen, MAX_LANES,
        block::Block,
        controls::Controls,
        history::History,
        output::Output,
        player::Link,
        ramp::Ramp,
        report::Progress,
        voice::{Bus, Curves, Located, Voice, crossfade},
    },
};

/// Most frames mixed in one go.
pub(super) const CHUNK_FRAMES: usize = 128;

/// Never wait for more than this before starting, however large the device's buffer is.
const MOST_TO_START: usize = 4 * BLOCK_FRAMES;

/// Fills the device's buffers; owned by the audio callback.
#[derive(Debug)]
pub struct Renderer {
    mixer: Mixer,
    output: Output,
}

impl Renderer {
    pub(super) fn new(
        link: Arc<Link>,
        filled: Consumer<Block>,
        free: Producer<Block>,
        output: StreamSpec,
    ) -> Result<Self> {
        Ok(Self { mixer: Mixer::new(link, filled, free), output: Output::new(output)? })
    }

    /// Rate and channels it renders.
    pub fn output(&self) -> StreamSpec {
        self.output.spec()
    }

    /// Changes rate and channels, for another device. Allocates: not for the callback.
    ///
    /// # Errors
    /// When `output` has no channels or an absurd rate; the old one stays then.
    pub fn set_output(&mut self, output: StreamSpec) -> Result<()> {
        self.output = Output::new(output)?;
        Ok(())
    }

    /// Whether nothing sounds and nothing is about to: whoever renders by a clock of his own may do
    /// so seldom until an order comes.
    pub fn is_resting(&self) -> bool {
        let mixer = &self.mixer;
        mixer.is_silent() && (!mixer.controls.playing || mixer.current.finished())
    }

    /// Fills `out`, interleaved frames of the output's channel count, with the next sound;
    /// `latency` is the time until the first of them will be heard.
    pub fn render(&mut self, out: &mut [f32], latency: Duration) {
        let at_nanos = self.mixer.link.epoch.elapsed().as_nanos() as u64;
        let behind = self.output.delay_work_frames() + work_frames(latency);
        let clock = self.mixer.clock.saturating_sub(behind);
        self.mixer.take_controls();
        self.mixer.frames_due = self.output.work_frames_for(out.len());
        self.output.render(out, |left, right| self.mixer.mix(left, right));
        self.mixer.report(clock, at_nanos);
    }
}

fn work_frames(duration: Duration) -> u64 {
    (duration.as_secs_f64() * f64::from(crate::audio::WORK_RATE_HZ)).round() as u64
}

/// Mixes at the work rate.
#[derive(Debug)]
struct Mixer {
    link: Arc<Link>,
    filled: Consumer<Block>,
    free: Producer<Block>,
    controls: Controls,
    /// What sounds.
    current: Voice,
    /// What will sound: blocks of a newer order.
    incoming: Voice,
    /// What sounded before the last change, while it fades out.
    outgoing: Voice,
    fade_left: usize,
    transport: Ramp,
    master: Ramp,
    listen: Ramp,
    lanes: [[Ramp; 2]; MAX_LANES],
    curves: Box<Curves>,
    starving: bool,
    /// Frames the callback in progress wants.
    frames_due: usize,
    /// Frames mixed so far, silent ones too.
    clock: u64,
    history: History,
}

impl Mixer {
    fn new(link: Arc<Link>, filled: Consumer<Block>, free: Producer<Block>) -> Self {
        Self {
            link,
            filled,
            free,
            controls: Controls::default(),
            current: Voice::new(),
            incoming: Voice::new(),
            outgoing: Voice::new(),
            fade_left: 0,
            transport: Ramp::at(0.0),
            master: Ramp::at(1.0),
            listen: Ramp::at(1.0),
            lanes: [[Ramp::at(1.0); 2]; MAX_LANES],
            curves: Box::new(Curves {
                listen: [0.0; CHUNK_FRAMES],
                lanes: [[[0.0; CHUNK_FRAMES]; 2]; MAX_LANES],
            }),
            starving: false,
            frames_due: 0,
            clock: 0,
            history: History::new(),
        }
    }

    fn take_controls(&mut self) {
        if let Some(controls) = self.link.controls.try_read() {
            self.controls = controls;
        }
        self.master.set_target(self.controls.master_gain);
        self.listen.set_target(if self.controls.listen == Listen::Stems { 1.0 } else { 0.0 });
        for (ramps, gains) in self.lanes.iter_mut().zip(self.controls.lane_gains) {
            for (ramp, gain) in ramps.iter_mut().zip(gains) {
                ramp.set_target(gain);
            }
        }
    }

    /// Fills both slices, equally long and at most [`CHUNK_FRAMES`].
    fn mix(&mut self, left: &mut [f32], right: &mut [f32]) {
        let mut done = 0;
        while done < left.len() {
            done += self.mix_step(&mut left[done..], &mut right[done..]);
        }
    }

    /// Fills the beginning of both slices, as far as nothing changes; returns how far.
    fn mix_step(&mut self, left: &mut [f32], right: &mut [f32]) -> usize {
        self.collect();
        self.adopt();
        let sounding = self.may_sound();
        if self.is_silent() {
            // Nobody hears the settings jump.
            let ramps = self.lanes.iter_mut().flatten().chain([&mut self.master, &mut self.listen]);
            ramps.for_each(|ramp| ramp.snap(ramp.target()));
            if sounding && self.current.position() == 0 {
                // A song's first sample is where it was meant to begin; anywhere else we fade in.
                self.transport.snap(1.0);
            }
        }
        self.transport.set_target(if sounding { 1.0 } else { 0.0 });
        let frames = self.step_frames(left.len(), sounding);
        if frames == 0 {
            self.rest(left, right);
            return left.len();
        }
        let (left, right) = (&mut left[..frames], &mut right[..frames]);
        self.history.record(
            self.clock,
            self.current.position(),
            self.current.generation,
            self.current.front_frames() > 0,
        );
        self.mix_voices(left, right);
        self.clock += frames as u64;
        while let Some(block) = self.current.pop_played() {
            recycle(&mut self.free, block);
        }
        while let Some(block) = self.outgoing.pop_played() {
            recycle(&mut self.free, block);
        }
        frames
    }

    /// How many of `wanted` frames to mix in one go; none when nothing sounds.
    fn step_frames(&self, wanted: usize, sounding: bool) -> usize {
        if self.is_silent() && !sounding {
            return 0;
        }
        let mut frames = wanted;
        if !sounding {
            frames = frames.min(self.transport.frames_left());
        }
        match self.current.front_frames() {
            // Only what fades out is left.
            0 if self.fade_left == 0 || self.outgoing.is_empty() => return 0,
            0 => {}
            front => frames = frames.min(front),
        }
        if self.fade_left > 0 {
            frames = frames.min(self.fade_left);
            if self.outgoing.front_frames() > 0 {
                frames = frames.min(self.outgoing.front_frames());
            }
        }
        frames
    }

    /// Mixes one step of the current voice and the one that fades out.
    fn mix_voices(&mut self, left: &mut [f32], right: &mut [f32]) {
        let frames = left.len();
        self.listen.fill(&mut self.curves.listen[..frames]);
        for (ramps, curves) in self.lanes.iter_mut().zip(&mut self.curves.lanes) {
            for (ramp, curve) in ramps.iter_mut().zip(curves) {
                ramp.fill(&mut curve[..frames]);
            }
        }
        let gauges = &self.link.gauges;
        let mut bus: Bus = [[0.0; CHUNK_FRAMES]; 2];
        self.current.mix(frames, &self.curves, &mut bus, Some(gauges));
        if self.fade_left > 0 {
            // Should the old voice run out before it is gone, its last sample stands in for it.
            let mut old: Bus = self.outgoing.last().map(|last| [last; CHUNK_FRAMES]);
            self.outgoing.mix(frames, &self.curves, &mut old, None);
            for (bus, old) in bus.iter_mut().zip(&old) {
                let faded = FADE_FRAMES - self.fade_left + 1;
                for ((new, old), at) in bus.iter_mut().zip(old).zip(faded..).take(frames) {
                    *new = crossfade(*old, *new, at as f32 / FADE_FRAMES as f32);
                }
            }
            self.fade_left -= frames;
            if self.fade_left == 0 {
                clear(&mut self.outgoing, &mut self.free);
            }
        }
        let mut transport = [0.0; CHUNK_FRAMES];
        let mut master = [0.0; CHUNK_FRAMES];
        self.transport.fill(&mut transport[..frames]);
        self.master.fill(&mut master[..frames]);
        for (side, out) in [left, right].into_iter().enumerate() {
            let mut peak = 0f32;
            let factors = transport.iter().zip(&master);
            for ((out, sample), (transport, master)) in out.iter_mut().zip(&bus[side]).zip(factors)
            {
                *out = sample * transport * master;
                peak = peak.max(out.abs());
            }
            gauges.master_peak(side, peak);
        }
    }

    /// Silence; nothing moves.
    fn rest(&mut self, left: &mut [f32], right: &mut [f32]) {
        left.fill(0.0);
        right.fill(0.0);
        self.transport.snap(0.0);
        self.fade_left = 0;
        clear(&mut self.outgoing, &mut self.free);
        self.history.record(self.clock, self.current.position(), self.current.generation, false);
        self.clock += left.len() as u64;
    }

    /// Sorts what the feeder sent: for the current voice, for the next one, or outdated.
    fn collect(&mut self) {
        while let Ok(block) = self.filled.pop() {
            if block.generation == self.current.generation {
                self.current.push(block);
            } else if block.generation > self.current.generation
                && block.generation >= self.incoming.generation
            {
                if block.generation > self.incoming.generation {
                    clear(&mut self.incoming, &mut self.free);
                    self.incoming.begin(block.generation, block.resume);
                }
                self.incoming.push(block);
            } else {
                recycle(&mut self.free, block);
            }
        }
    }

    /// Changes over to the newest order's blocks, if they are there: at once when silent, else by
    /// a crossfade, and for a resumed voice at the very frame.
    fn adopt(&mut self) {
        let newest = self.incoming.generation == self.controls.generation;
        let pausing = !self.controls.playing && !self.is_silent();
        if !newest || self.incoming.is_empty() || self.fade_left > 0 || pausing {
            return;
        }
        let position = self.current.position();
        let starved = self.current.available() == 0;
        if !self.is_silent() && !starved && !self.may_start(&self.incoming) {
            return;
        }
        if self.incoming.resume {
            let free = &mut self.free;
            let located = self.incoming.locate(position, |block| recycle(free, block));
            if located == Located::NotYet && !self.is_silent() && !starved {
                return;
            }
        }
        std::mem::swap(&mut self.outgoing, &mut self.current);
        std::mem::swap(&mut self.current, &mut self.incoming);
        clear(&mut self.incoming, &mut self.free);
        self.starving = false;
        if self.is_silent() {
            clear(&mut self.outgoing, &mut self.free);
        } else {
            self.fade_left = FADE_FRAMES;
        }
    }

    /// Whether the current voice should be heard: wanted, and enough of it there to fade out in
    /// time should no more come.
    fn may_sound(&mut self) -> bool {
        if !self.controls.playing || self.current.finished() {
            return false;
        }
        let outdated = self.controls.generation != self.current.generation;
        if outdated && self.is_silent() {
            return false;
        }
        let enough = if self.starving || self.is_silent() {
            self.may_start(&self.current)
        } else {
            self.current.has_end() || self.current.available() > FADE_FRAMES + CHUNK_FRAMES
        };
        if !enough && !self.starving && !self.is_silent() && !outdated {
            self.link.gauges.count_underrun();
        }
        self.starving = !enough;
        enough
    }

    fn may_start(&self, voice: &Voice) -> bool {
        let wanted = (self.frames_due + FADE_FRAMES + CHUNK_FRAMES).min(MOST_TO_START);
        voice.has_end() || voice.available() >= wanted
    }

    fn is_silent(&self) -> bool {
        self.transport.value() == 0.0
    }

    fn report(&self, heard_clock: u64, at_nanos: u64) {
        let heard = self.history.at(heard_clock, self.clock);
        let ended = self.current.finished() && self.is_silent();
        self.link.progress.write(&Progress {
            adopted: self.current.generation,
            next_frame: self.current.position(),
            ended: if ended { self.current.generation } else { 0 },
            heard: heard.generation,
            heard_frame: heard.frame,
            heard_run: heard.run,
            at_nanos,
        });
    }
}

/// Sends a block back to the feeder; the ring has room for every block there is.
fn recycle(free: &mut Producer<Block>, block: Block) {
    let returned = free.push(block);
    debug_assert!(returned.is_ok());
}

/// Sends all blocks of a voice back and forgets its order.
fn clear(voice: &mut Voice, free: &mut Producer<Block>) {
    while let Some(block) = voice.pop() {
        recycle(free, block);
    }
    voice.begin(0, false);
}
