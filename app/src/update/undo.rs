//! Undoing changes of the mixer. A slider dragged, or a key held, is one change.

use engine::mix::LaneControl;

/// What a change turned, for telling one drag from the next change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knob {
    /// A lane's fader.
    Gain(usize),
    /// A lane's pan.
    Pan(usize),
    /// Solo and mute of any lane: every press counts.
    Switch,
}

/// The mixer as it was before the latest changes, per song.
#[derive(Debug, Default)]
pub struct UndoStack {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    song: u64,
    knob: Knob,
    at_secs: f64,
    before: Vec<LaneControl>,
}

/// Changes of one knob that are closer than this are one.
const SAME_TURN_SECS: f64 = 0.8;

/// Changes remembered.
const MOST_STEPS: usize = 200;

impl UndoStack {
    /// Remembers `before`, unless this only goes on turning the same knob.
    pub fn remember(&mut self, song: u64, knob: Knob, now_secs: f64, before: Vec<LaneControl>) {
        if let Some(last) = self.steps.last_mut() {
            let same = last.song == song && last.knob == knob && knob != Knob::Switch;
            if same && now_secs - last.at_secs < SAME_TURN_SECS {
                last.at_secs = now_secs;
                return;
            }
        }
        if self.steps.len() == MOST_STEPS {
            self.steps.remove(0);
        }
        self.steps.push(Step { song, knob, at_secs: now_secs, before });
    }

    /// The mixer of `song` before its latest change.
    pub fn undo(&mut self, song: u64) -> Option<Vec<LaneControl>> {
        let latest = self.steps.iter().rposition(|step| step.song == song)?;
        Some(self.steps.remove(latest).before)
    }

    /// Whether `song` has anything to undo.
    pub fn can_undo(&self, song: u64) -> bool {
        self.steps.iter().any(|step| step.song == song)
    }

    /// Forgets `song`, which was closed or got other lanes.
    pub fn forget(&mut self, song: u64) {
        self.steps.retain(|step| step.song != song);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixer(gain_db: f32) -> Vec<LaneControl> {
        vec![LaneControl { gain_db, ..LaneControl::default() }]
    }

    #[test]
    fn a_drag_is_one_step_and_songs_are_apart() {
        let mut stack = UndoStack::default();
        for (at, gain) in [(0.0, 0.0), (0.1, -1.0), (0.2, -2.0)] {
            stack.remember(1, Knob::Gain(0), at, mixer(gain));
        }
        stack.remember(1, Knob::Gain(0), 5.0, mixer(-3.0));
        stack.remember(2, Knob::Switch, 5.1, mixer(7.0));
        assert_eq!(stack.undo(1), Some(mixer(-3.0)));
        assert_eq!(stack.undo(1), Some(mixer(0.0)));
        assert_eq!(stack.undo(1), None);
        assert!(stack.can_undo(2));
        stack.forget(2);
        assert!(!stack.can_undo(2));
    }

    #[test]
    fn every_press_of_a_switch_counts_and_memory_is_bounded() {
        let mut stack = UndoStack::default();
        for press in 0..500 {
            stack.remember(1, Knob::Switch, f64::from(press) * 0.01, mixer(press as f32));
        }
        assert_eq!(stack.undo(1), Some(mixer(499.0)));
        assert_eq!((0..).take_while(|_| stack.undo(1).is_some()).count(), MOST_STEPS - 1);
    }
}
