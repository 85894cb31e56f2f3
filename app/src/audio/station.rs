//! The thread "audio output": opens and closes devices and decides where the renderer runs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use engine::{Error, ErrorKind, playback::Renderer};

use super::{
    DeviceState, Shared,
    device::{self, OpenDevice},
    null::SilentOutput,
    preview::Tone,
};

/// How often we look for a device while there is none.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// A device that asked for no sound in this time does not work any more.
const STUCK: Duration = Duration::from_secs(2);

/// Runs until the window closes.
pub(super) fn run(shared: &Arc<Shared>, silent: SilentOutput, renderer: Renderer) {
    let mut station = Station {
        shared,
        silent,
        place: Place::Waiting(Box::new(renderer)),
        streams: 0,
        tone: None,
        look_at: Instant::now(),
    };
    station.open();
    loop {
        let wishes = shared.wait(station.patience());
        if wishes.closed {
            return;
        }
        if let Some((_, reason)) = wishes.failed.filter(|(stream, _)| *stream == station.streams) {
            station.lose(reason);
        } else if station.is_stuck() {
            station.lose("The sound device stopped taking sound".into());
        }
        if wishes.reopen {
            station.shared.set_state(DeviceState::Opening);
            station.open();
        } else if station.may_look() {
            station.open();
        }
        if wishes.tone {
            station.start_tone();
        }
        station.end_tone();
    }
}

/// Where the renderer is.
enum Place {
    /// With us, before the first device is opened.
    Waiting(Box<Renderer>),
    /// In a device's callback.
    Device(Box<OpenDevice>),
    /// In the silent output.
    Silent,
    /// Nowhere: a sound system did not give it back.
    Lost,
}

struct Station<'a> {
    shared: &'a Arc<Shared>,
    silent: SilentOutput,
    place: Place,
    /// Counts streams, so that a late complaint about an old one is not taken for the new one's.
    streams: u64,
    tone: Option<Tone>,
    /// When to look for a device if there is none.
    look_at: Instant,
}

impl Station<'_> {
    fn patience(&self) -> Duration {
        let next = match self.place {
            Place::Device(_) => STUCK,
            _ => self.look_at.saturating_duration_since(Instant::now()),
        };
        self.tone.as_ref().map_or(next, |tone| next.min(tone.left()))
    }

    fn may_look(&self) -> bool {
        !matches!(self.place, Place::Device(_)) && Instant::now() >= self.look_at
    }

    fn is_stuck(&mut self) -> bool {
        match &mut self.place {
            Place::Device(device) => device.is_stuck(STUCK),
            _ => false,
        }
    }

    /// Closes what is open, lists the devices and opens the one wished for.
    fn open(&mut self) {
        self.tone = None;
        self.close_device();
        self.look_at = Instant::now() + LOOK_AGAIN;
        self.streams += 1;
        let wished = self.shared.lock().device.clone();
        let (names, opened) = device::look(wished.as_deref(), self.streams, self.shared);
        self.shared.set_names(names);
        match opened {
            Ok(device) => self.play_through(device),
            Err(reason) => {
                if let Place::Waiting(renderer) = std::mem::replace(&mut self.place, Place::Silent)
                {
                    self.silent.play(*renderer);
                }
                self.shared.set_state(DeviceState::NoDevice { reason });
            }
        }
    }

    fn play_through(&mut self, mut device: OpenDevice) {
        let renderer = match std::mem::replace(&mut self.place, Place::Lost) {
            Place::Waiting(renderer) => Some(*renderer),
            Place::Silent => self.silent.take(),
            Place::Device(_) | Place::Lost => None,
        };
        let Some(mut renderer) = renderer else {
            let reason = "The sound was lost in a device that broke; open the window again".into();
            return self.shared.set_state(DeviceState::NoDevice { reason });
        };
        if let Err(error) = renderer.set_output(device.output()) {
            self.silent.play(renderer);
            self.place = Place::Silent;
            return self.shared.set_state(DeviceState::NoDevice { reason: error.what });
        }
        device.play(renderer);
        let (name, output) = (device.name().to_owned(), device.output());
        self.place = Place::Device(Box::new(device));
        self.shared.set_state(DeviceState::Open { name, output });
    }

    /// Takes the renderer out of the device, if it is in one, and lets it run silently.
    fn close_device(&mut self) {
        match std::mem::replace(&mut self.place, Place::Lost) {
            Place::Device(device) => {
                if let Some(renderer) = device.close() {
                    self.silent.play(renderer);
                    self.place = Place::Silent;
                }
            }
            other => self.place = other,
        }
    }

    /// The device broke: on silently, and look for another one at once, unless it was hardly open.
    fn lose(&mut self, reason: String) {
        let lived = match &self.place {
            Place::Device(device) => device.age(),
            _ => return,
        };
        self.tone = None;
        self.close_device();
        let wait = if lived > LOOK_AGAIN { Duration::ZERO } else { LOOK_AGAIN };
        self.look_at = Instant::now() + wait;
        self.shared.set_state(DeviceState::NoDevice { reason });
    }

    fn start_tone(&mut self) {
        let Place::Device(device) = &self.place else { return };
        match Tone::start(device.handle()) {
            Ok(tone) => self.tone = Some(tone),
            Err(error) => self.shared.report(
                Error::new(
                    ErrorKind::Denied,
                    "The sound device takes no second sound for the tone",
                )
                .advice("Play a song instead, or choose a device that programs can share")
                .caused_by(error),
            ),
        }
    }

    fn end_tone(&mut self) {
        self.tone = self.tone.take().filter(|tone| !tone.left().is_zero());
    }
}
