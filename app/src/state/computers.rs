//! Other computers as the window shows them, and how long a song takes with them.

use engine::{
    crew::{DeviceId, Standing},
    remote::{Chosen, Computer},
};

use super::{ModelCard, State};

/// What the dialog that adds a computer shows beside the hub's snapshot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PairingView {
    /// Seconds until another code takes the place of the one shown.
    pub code_left_secs: f32,
    /// Seconds the dialog has been open and nobody came.
    pub waited_secs: f32,
    /// The ticket, once one was asked for.
    pub ticket: Option<String>,
}

/// Seconds that `core_secs` of work take on `cores` cores.
pub fn secs_on(core_secs: f64, cores: f64) -> f64 {
    core_secs / cores.max(1e-3)
}

/// Whether it works now, or will as soon as it has what it needs.
pub fn is_usable(standing: &Standing) -> bool {
    matches!(standing, Standing::Ready | Standing::GettingModel(_) | Standing::Testing)
}

impl ModelCard {
    /// What the threads of this computer come to, in the cores that costs are counted in.
    pub fn cores_here(&self) -> f64 {
        self.info.cost_core_secs_per_sec * 240.0 / f64::from(self.secs_for_4_min).max(1e-3)
    }
}

impl State {
    /// The paired computer called `device`.
    pub fn computer(&self, device: DeviceId) -> Option<&Computer> {
        self.computers.computers.iter().find(|computer| computer.device == device)
    }

    /// Whether the next song may use `device`.
    pub fn is_chosen(&self, device: DeviceId) -> bool {
        match &self.chosen {
            Chosen::All => true,
            Chosen::None => false,
            Chosen::Only(devices) => devices.contains(&device),
        }
    }

    /// The choice with `device` in it or not.
    pub fn chosen_with(&self, device: DeviceId, on: bool) -> Chosen {
        let all = self.computers.computers.iter().map(|computer| computer.device);
        let chosen: Vec<DeviceId> = all
            .filter(|other| if *other == device { on } else { self.is_chosen(*other) })
            .collect();
        match chosen.len() {
            0 => Chosen::None,
            // Whoever is paired later takes part, too.
            n if n == self.computers.computers.len() => Chosen::All,
            _ => Chosen::Only(chosen),
        }
    }

    /// Expected seconds of a song of `song_secs` on this computer and those that are chosen and can
    /// work.
    pub fn secs_for(&self, card: &ModelCard, song_secs: f64) -> f64 {
        let others = |computer: &&Computer| self.is_chosen(computer.device);
        self.secs_among(card, song_secs, others)
    }

    /// As [`Self::secs_for`], were `device` chosen, or not.
    pub fn secs_if(&self, card: &ModelCard, song_secs: f64, device: DeviceId, on: bool) -> f64 {
        self.secs_among(card, song_secs, |computer| {
            if computer.device == device { on } else { self.is_chosen(computer.device) }
        })
    }

    fn secs_among(
        &self,
        card: &ModelCard,
        song_secs: f64,
        takes_part: impl Fn(&&Computer) -> bool,
    ) -> f64 {
        let all = self.computers.computers.iter();
        let usable = all.filter(|computer| is_usable(&computer.standing));
        let others: f64 = usable.filter(takes_part).map(cores_of).sum();
        let core_secs = card.info.cost_core_secs_per_sec * song_secs;
        secs_on(core_secs, card.cores_here() + others)
    }
}

/// Cores of a computer; none as long as it did not say, or said nonsense.
pub fn cores_of(computer: &Computer) -> f64 {
    let cores = computer.about.as_ref().map_or(0.0, |about| about.cores);
    if cores.is_finite() { cores.clamp(0.0, 4096.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::testing;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-3 * b
    }

    #[test]
    fn minutes_are_work_over_summed_cores() {
        let mut state = testing::with_computers(None);
        let mut card = testing::model();
        // 6 cores here: 240 s x 2 core seconds / 6.
        card.info.cost_core_secs_per_sec = 2.0;
        card.secs_for_4_min = 80.0;
        // B has 6 cores, C 3; D to G are paired and cannot work.
        assert!(near(state.secs_for(&card, 240.0), 480.0 / 15.0));
        assert!(near(state.secs_for(&card, 60.0), 120.0 / 15.0));
        let b = state.computers.computers[0].device;
        let c = state.computers.computers[1].device;
        let d = state.computers.computers[2].device;
        assert!(near(state.secs_if(&card, 240.0, b, false), 480.0 / 9.0));
        assert!(near(state.secs_if(&card, 240.0, d, true), 480.0 / 15.0), "it cannot work");
        state.chosen = Chosen::Only(vec![c]);
        assert!(near(state.secs_for(&card, 240.0), 480.0 / 9.0));
        assert!(near(state.secs_if(&card, 240.0, b, true), 480.0 / 15.0));
        state.chosen = Chosen::None;
        assert!(near(state.secs_for(&card, 240.0), 80.0), "what the card says of this computer");
    }

    #[test]
    fn a_computer_that_says_nonsense_does_not_spoil_the_minutes() {
        let mut state = testing::with_computers(None);
        let card = testing::model();
        let status = std::sync::Arc::make_mut(&mut state.computers);
        for (computer, cores) in status.computers.iter_mut().zip([f64::NAN, -4.0]) {
            computer.about.as_mut().expect("it said who it is").cores = cores;
        }
        assert!(near(state.secs_for(&card, 240.0), f64::from(card.secs_for_4_min)));
    }

    #[test]
    fn computers_are_ticked_one_by_one() {
        let mut state = testing::with_computers(None);
        let devices: Vec<_> = state.computers.computers.iter().map(|c| c.device).collect();
        state.chosen = state.chosen_with(devices[0], false);
        assert_eq!(state.chosen, Chosen::Only(devices[1..].to_vec()));
        assert!(!state.is_chosen(devices[0]) && state.is_chosen(devices[1]));
        state.chosen = state.chosen_with(devices[0], true);
        assert_eq!(state.chosen, Chosen::All);
        for device in &devices {
            state.chosen = state.chosen_with(*device, false);
        }
        assert_eq!(state.chosen, Chosen::None);
    }
}
