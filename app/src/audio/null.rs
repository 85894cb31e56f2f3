//! The silent output: runs the renderer by the clock when no device does.

use std::{
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use engine::{
    Result,
    audio::{StreamSpec, WORK_RATE_HZ},
    playback::Renderer,
};

/// How often it renders.
const TICK: Duration = Duration::from_millis(10);

/// How often it looks for orders while nothing plays.
const RESTING_TICK: Duration = Duration::from_millis(100);

/// After a longer gap (the computer slept) the playhead goes on from where it was.
const LONGEST_GAP: Duration = Duration::from_millis(500);

const OUTPUT: StreamSpec = StreamSpec { sample_rate_hz: WORK_RATE_HZ, channels: 2 };

/// The thread "silent output"; it rests while it has no renderer.
#[derive(Debug)]
pub(super) struct SilentOutput {
    give: Option<Sender<Renderer>>,
    stop: Sender<()>,
    home: Receiver<Renderer>,
    thread: Option<JoinHandle<()>>,
}

impl SilentOutput {
    pub(super) fn start() -> Result<Self> {
        let (give, given) = bounded::<Renderer>(1);
        let (stop, stopped) = bounded(1);
        let (send_home, home) = bounded(1);
        let thread = super::spawn("silent output", move || {
            for mut renderer in given {
                // Cannot fail: this is the rate and channel count every renderer can do.
                let _ = renderer.set_output(OUTPUT);
                run(&mut renderer, &stopped);
                if send_home.send(renderer).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { give: Some(give), stop, home, thread: Some(thread) })
    }

    /// Runs `renderer` until [`SilentOutput::take`].
    pub(super) fn play(&self, renderer: Renderer) {
        if let Some(give) = &self.give {
            let _ = give.send(renderer);
        }
    }

    /// Gives back the renderer it was given.
    pub(super) fn take(&self) -> Option<Renderer> {
        self.stop.send(()).ok()?;
        self.home.recv().ok()
    }
}

impl Drop for SilentOutput {
    fn drop(&mut self) {
        self.give = None;
        let _ = self.stop.try_send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Renders as many frames as the clock says until `stopped`; a little, and seldom, while nothing
/// plays.
fn run(renderer: &mut Renderer, stopped: &Receiver<()>) {
    let mut buffer = vec![0.0; frames(LONGEST_GAP) as usize * usize::from(OUTPUT.channels)];
    let mut began = Instant::now();
    let mut rendered = 0;
    loop {
        let resting = renderer.is_resting();
        let tick = if resting { RESTING_TICK } else { TICK };
        if !stopped.recv_timeout(tick).is_err_and(|e| e.is_timeout()) {
            return;
        }
        let mut due = frames(began.elapsed()) - rendered;
        if resting || due > frames(LONGEST_GAP) {
            (began, rendered, due) = (Instant::now(), 0, frames(TICK));
        }
        rendered += due;
        let samples = due as usize * usize::from(OUTPUT.channels);
        renderer.render(&mut buffer[..samples], Duration::ZERO);
    }
}

fn frames(time: Duration) -> u64 {
    (time.as_secs_f64() * f64::from(WORK_RATE_HZ)) as u64
}
