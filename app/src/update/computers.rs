//! Other computers: asking the hub on a thread that may wait, and keeping what the window shows of
//! them true. The pairing window is open as long as its dialog.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use engine::{
    Result,
    crew::{DeviceId, Standing},
    job::JobPhase,
    remote::{Hub, HubStatus, PairingStage},
};

use super::{Desk, chores::Done, next, speech::say, toasts::Message};
use crate::{
    command::Command,
    state::{Dialog, PairingView, State, computers::is_usable},
    units,
};

/// How often the countdown is drawn.
const TICK: Duration = Duration::from_millis(250);

/// What the dialog that adds a computer has told so far.
#[derive(Default)]
pub(super) struct Pairing {
    /// Who was paired before; unknown until the hub is open.
    known: Option<Vec<DeviceId>>,
    countdown: Countdown,
    /// The pairing of before is over, whose stage may still be the newest one known.
    is_fresh: bool,
    /// The last stage that was spoken of.
    said: Option<PairingStage>,
}

impl Desk {
    /// Opens the hub, in the background, where a computer is paired; nothing otherwise.
    pub(super) fn look_for_computers(&self) {
        let engine = Arc::clone(&self.engine);
        self.chores.give(move || {
            let hub = match engine.computers() {
                Ok(computers) if computers.list().is_empty() => return Done::Nothing,
                Ok(_) => engine.hub(),
                Err(error) => Err(error),
            };
            hub.map_or_else(Done::Failed, Done::Hub)
        });
    }

    /// Asks something of the hub, in the background.
    pub(super) fn ask_hub(&self, ask: impl FnOnce(&Hub) -> Result<()> + Send + 'static) {
        let engine = Arc::clone(&self.engine);
        self.chores.give(move || {
            let hub = engine.hub().and_then(|hub| ask(&hub).map(|()| hub));
            hub.map_or_else(Done::Failed, Done::Hub)
        });
    }

    pub(super) fn make_ticket(&self) {
        let engine = Arc::clone(&self.engine);
        self.chores.give(move || {
            let ticket = engine.hub().and_then(|hub| hub.ticket());
            ticket.map_or_else(Done::Failed, |ticket| Done::Ticket(ticket.to_string()))
        });
    }

    pub(super) fn take_hub(&mut self, hub: Arc<Hub>) {
        if self.hub.is_none() {
            let watch = hub.watch(self.wake());
            self.hub = Some((hub, watch));
        }
    }

    /// Shows the hub's newest snapshot and tells its news; opens and closes the pairing window with
    /// its dialog.
    pub(super) fn poll_computers(&mut self, state: &mut State, dt_secs: f32) {
        if let Some((hub, _)) = &self.hub {
            let old = std::mem::replace(&mut state.computers, hub.status());
            if !Arc::ptr_eq(&old, &state.computers) && is_at_work(state) {
                for message in news(&old, &state.computers) {
                    message.show(state, next(&mut self.last_key));
                }
            }
        }
        let open = state.dialog == Some(Dialog::AddComputer);
        match (&mut self.pairing, open) {
            (None, false) => {}
            (None, true) => {
                self.pairing = Some(Pairing::default());
                state.pairing = PairingView::default();
                self.ask_hub(|hub| hub.start_pairing());
            }
            (Some(_), false) => {
                self.pairing = None;
                // It is a secret.
                state.pairing.ticket = None;
                self.ask_hub(|hub| {
                    hub.stop_pairing();
                    Ok(())
                });
            }
            (Some(pairing), true) => {
                if self.hub.is_some() {
                    follow(pairing, state, Instant::now(), dt_secs);
                }
                self.ctx.request_repaint_after(TICK);
            }
        }
    }
}

fn is_at_work(state: &State) -> bool {
    let mut jobs = state.songs.iter().filter_map(|song| song.job.as_ref());
    jobs.any(|job| matches!(job.phase, JobPhase::Running))
}

/// Keeps the open dialog true, speaks, and goes on to comparing fingerprints once somebody is
/// paired.
fn follow(pairing: &mut Pairing, state: &mut State, now: Instant, dt_secs: f32) {
    let status = Arc::clone(&state.computers);
    let all = || status.computers.iter().map(|computer| computer.device);
    let known = pairing.known.get_or_insert_with(|| all().collect());
    let by_code = status.pairing.as_ref().and_then(|open| match open.stage {
        PairingStage::Paired(device) => Some(device),
        _ => None,
    });
    pairing.is_fresh |= by_code.is_none();
    let by_code = by_code.filter(|_| pairing.is_fresh);
    // Whoever came with a ticket is not in the pairing window's stage.
    if let Some(device) = by_code.or_else(|| all().find(|device| !known.contains(device))) {
        let name = state.computer(device).map_or("A computer", |computer| &computer.name);
        let is_confirmed =
            state.computer(device).is_some_and(|it| it.standing != Standing::Unconfirmed);
        let compare = if is_confirmed { "" } else { " Compare its fingerprint." };
        say(state, format!("{name} is paired.{compare}"));
        state.dialog = Some(Dialog::Paired(device));
        return;
    }
    state.pairing.waited_secs += dt_secs;
    let Some(open) = &status.pairing else { return };
    let left = open.until.saturating_duration_since(now).as_secs_f32();
    state.pairing.code_left_secs = left;
    if pairing.said.as_ref() != Some(&open.stage) {
        pairing.said = Some(open.stage.clone());
        match &open.stage {
            PairingStage::WrongCode { tries_left } => {
                let left = units::tries(*tries_left);
                say(state, format!("Someone typed a wrong code. {left} left."));
            }
            PairingStage::Closed => say(state, "Three wrong codes. Pairing is closed."),
            PairingStage::Waiting | PairingStage::Paired(_) => {}
        }
    }
    if open.stage != PairingStage::Closed
        && let Some(text) = pairing.countdown.news(left)
    {
        say(state, text);
    }
}

/// Speaks at 1:00, 0:30 and 0:10, once each.
#[derive(Debug, Default)]
struct Countdown {
    before: Option<f32>,
}

impl Countdown {
    fn news(&mut self, left_secs: f32) -> Option<String> {
        let before = self.before.replace(left_secs)?;
        let passed = |mark: f32| before > mark && left_secs <= mark;
        // After a pause only the last of those that were passed is true.
        let mark = [10.0, 30.0, 60.0].into_iter().find(|mark| passed(*mark))?;
        (left_secs > 0.0).then(|| match mark as u32 {
            60 => "One minute left for this code".into(),
            secs => format!("{secs} seconds left for this code"),
        })
    }
}

/// What happened to computers between two snapshots while they were wanted.
fn news(old: &HubStatus, new: &HubStatus) -> Vec<Message> {
    let mut messages = Vec::new();
    for computer in &new.computers {
        let before = old.computers.iter().find(|other| other.device == computer.device);
        if !before.is_some_and(|before| is_usable(&before.standing)) {
            continue;
        }
        let message = match &computer.standing {
            Standing::Away => Message::warning(format!("{} is gone", computer.name))
                .text("Its unfinished pieces go to the others. It joins again when it is back."),
            Standing::SetAside { why, .. } => {
                Message::warning(format!("{} is set aside", computer.name))
                    .text(format!("{why}. Its pieces are done again by the others."))
            }
            _ => continue,
        };
        messages.push(
            message
                .kept("Nothing is lost and the result stays the same")
                .button("Show computers", Command::ShowComputers),
        );
    }
    messages
}

#[cfg(test)]
mod tests {
    use engine::remote::Pairing as Open;

    use super::*;
    use crate::views::testing;

    #[test]
    fn the_countdown_speaks_three_times_a_code() {
        let mut countdown = Countdown::default();
        let mut said = Vec::new();
        for tenth in (0..1_190).rev() {
            said.extend(countdown.news(tenth as f32 / 10.0));
        }
        // Another code.
        said.extend(countdown.news(119.0));
        said.extend(countdown.news(59.0));
        assert_eq!(
            said,
            [
                "One minute left for this code",
                "30 seconds left for this code",
                "10 seconds left for this code",
                "One minute left for this code",
            ]
        );
    }

    fn waiting(state: &mut State, now: Instant, stage: PairingStage) {
        let until = now + Duration::from_secs(94);
        let status = Arc::make_mut(&mut state.computers);
        status.pairing = Some(Open { code: "483217".into(), until, stage });
    }

    #[test]
    fn whoever_is_paired_has_its_fingerprint_compared() {
        let (mut pairing, now) = (Pairing::default(), Instant::now());
        let mut state = testing::with_computers(None);
        state.dialog = Some(Dialog::AddComputer);
        waiting(&mut state, now, PairingStage::Waiting);
        follow(&mut pairing, &mut state, now, 0.25);
        assert_eq!((state.pairing.code_left_secs, state.pairing.waited_secs), (94.0, 0.25));
        waiting(&mut state, now, PairingStage::WrongCode { tries_left: 2 });
        follow(&mut pairing, &mut state, now, 0.25);
        assert_eq!(state.announcement.1, "Someone typed a wrong code. Two tries left.");
        assert_eq!(state.dialog, Some(Dialog::AddComputer));

        let new = &mut Arc::make_mut(&mut state.computers).computers[1];
        new.standing = Standing::Unconfirmed;
        let device = new.device;
        waiting(&mut state, now, PairingStage::Paired(device));
        follow(&mut pairing, &mut state, now, 0.25);
        assert_eq!(state.dialog, Some(Dialog::Paired(device)));
        assert_eq!(state.announcement.1, "Laptop-3 is paired. Compare its fingerprint.");
    }

    #[test]
    fn another_computer_is_waited_for_after_the_first() {
        let (mut pairing, now) = (Pairing::default(), Instant::now());
        let mut state = testing::with_computers(None);
        let first = state.computers.computers[0].device;
        state.dialog = Some(Dialog::AddComputer);
        // What came of the pairing before is still the newest that is known.
        waiting(&mut state, now, PairingStage::Paired(first));
        follow(&mut pairing, &mut state, now, 0.25);
        assert_eq!(state.dialog, Some(Dialog::AddComputer));
        waiting(&mut state, now, PairingStage::Waiting);
        follow(&mut pairing, &mut state, now, 0.25);
        // The same computer may come again, having forgotten this one.
        waiting(&mut state, now, PairingStage::Paired(first));
        follow(&mut pairing, &mut state, now, 0.25);
        assert_eq!(state.dialog, Some(Dialog::Paired(first)));
    }

    #[test]
    fn a_ticket_pairs_without_a_code() {
        let (mut pairing, now) = (Pairing::default(), Instant::now());
        let mut state = testing::with_computers(None);
        let status = Arc::make_mut(&mut state.computers);
        status.computers.truncate(2);
        let last = status.computers.pop().expect("a computer");
        state.dialog = Some(Dialog::AddComputer);
        waiting(&mut state, now, PairingStage::Waiting);
        follow(&mut pairing, &mut state, now, 0.25);
        assert_eq!(state.dialog, Some(Dialog::AddComputer));
        let device = last.device;
        Arc::make_mut(&mut state.computers).computers.push(last);
        follow(&mut pairing, &mut state, now, 0.25);
        assert_eq!(state.dialog, Some(Dialog::Paired(device)));
        assert_eq!(state.announcement.1, "Laptop-3 is paired.", "there is nothing to compare");
    }

    #[test]
    fn only_those_that_worked_are_missed() {
        let mut state = testing::with_computers(Some(3));
        let old = Arc::clone(&state.computers);
        let new = Arc::make_mut(&mut state.computers);
        for computer in &mut new.computers {
            computer.standing = Standing::Away;
        }
        assert_eq!(news(&old, new).len(), 2, "B and C");
        assert!(news(new, &old).is_empty());
    }
}
