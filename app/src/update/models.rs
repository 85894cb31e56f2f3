//! Models coming and going: downloads, what they cost on this computer.

use std::sync::Arc;

use engine::{
    catalogue::{Entry, FetchPhase, FetchStatus, ModelState},
    engine::Engine,
    model::ModelInfo,
};

use super::{
    Desk,
    chores::Done,
    next,
    toasts::{Message, show_error},
};
use crate::state::{ModelCard, State, Supply};

/// A card for every model, with costs by how many cores the threads of this computer come to;
/// where that was not measured (with as many threads), by their number. Reads the folder of models.
pub(super) fn cards(engine: &Engine, measured: Option<(f64, usize)>) -> Vec<ModelCard> {
    let threads = engine.threads();
    let cores = match measured {
        Some((cores, of)) if of == threads && cores.is_finite() && cores > 0.0 => cores,
        _ => threads as f64,
    };
    let card = |(info, entry): (ModelInfo, Option<Entry>)| {
        let lanes = engine.chunks_at_once(info.memory_bytes_per_chunk);
        ModelCard {
            secs_for_4_min: (info.cost_core_secs_per_sec * 240.0 / cores) as f32,
            memory_bytes: match &entry {
                Some(entry) => entry.model.memory_bytes(lanes),
                None => info.memory_bytes_per_chunk.saturating_mul(lanes as u64),
            },
            quality: entry.as_ref().map(quality).unwrap_or_default(),
            supply: entry.as_ref().map_or(Supply::BuiltIn, supply),
            info,
        }
    };
    engine.all_models().into_iter().map(card).collect()
}

/// Of a model of the user's own nothing is known.
fn quality(entry: &Entry) -> String {
    if entry.imported { String::new() } else { entry.model.quality.clone() }
}

fn supply(entry: &Entry) -> Supply {
    let bytes = entry.model.bytes();
    match &entry.state {
        ModelState::Installed => Supply::Installed { bytes },
        ModelState::NotDownloaded { here_bytes, .. } => {
            Supply::Missing { bytes: bytes.saturating_sub(*here_bytes) }
        }
        ModelState::Damaged { .. } => Supply::Damaged,
    }
}

impl Desk {
    /// Measures this computer in the background.
    pub(super) fn measure_cores(&self) {
        let engine = Arc::clone(&self.engine);
        self.chores.give(move || Done::Cores(engine.measure_cores(), engine.threads()));
    }

    /// Keeps the best that was ever measured with as many threads: other work can only slow it.
    pub(super) fn note_cores(&self, state: &mut State, cores: f64, threads: usize) {
        let best = &mut state.settings.measured_cores;
        if best.is_none_or(|(known, of)| of != threads || cores > known) {
            *best = Some((cores, threads));
            self.list_models(state);
        }
    }

    /// Looks which models are here, in the background.
    pub(super) fn list_models(&self, state: &State) {
        let engine = Arc::clone(&self.engine);
        let measured = state.settings.measured_cores;
        self.chores.give(move || {
            engine.refresh_models();
            Done::Models(cards(&engine, measured))
        });
    }

    pub(super) fn show_models(&self, state: &mut State, cards: Vec<ModelCard>) {
        state.models = cards;
        for (name, fetch) in &self.fetches {
            show_progress(state, name, &fetch.status());
        }
    }

    pub(super) fn fetch_model(&self, state: &mut State, name: String) {
        if self.fetches.contains_key(&name) {
            return;
        }
        if let Some(card) = state.models.iter_mut().find(|card| card.info.name == name) {
            let total = match card.supply {
                Supply::Missing { bytes } => bytes,
                _ => 0,
            };
            card.supply = Supply::Coming { done: 0, total };
        }
        let (engine, wake) = (Arc::clone(&self.engine), self.wake());
        self.chores.give(move || match engine.catalogue().fetch(&name, wake) {
            Ok(fetch) => Done::Fetching(name, fetch),
            Err(error) => Done::Failed(error),
        });
    }

    pub(super) fn cancel_fetch(&self, state: &State, name: &str) {
        match self.fetches.get(name) {
            Some(fetch) => fetch.cancel(),
            None => self.list_models(state),
        }
    }

    pub(super) fn remove_model(&self, state: &State, name: String) {
        let engine = Arc::clone(&self.engine);
        self.chores.give(move || match engine.catalogue().remove(&name) {
            Ok(_) => Done::Nothing,
            Err(error) => Done::Failed(error),
        });
        self.list_models(state);
    }

    /// Shows how far downloads are, and ends those that have ended.
    pub(super) fn poll_fetches(&mut self, state: &mut State) {
        let mut ended = Vec::new();
        for (name, fetch) in &self.fetches {
            let status = fetch.status();
            show_progress(state, name, &status);
            if status.has_ended() {
                ended.push((name.clone(), status.phase));
            }
        }
        for (name, phase) in ended {
            self.fetches.remove(&name);
            let title = state
                .models
                .iter()
                .find(|card| card.info.name == name)
                .map_or_else(|| name.clone(), |card| card.info.title.clone());
            match phase {
                FetchPhase::Done => {
                    Message::good(format!("“{title}” is ready"))
                        .text("New songs are separated with it")
                        .show(state, next(&mut self.last_key));
                    // Whoever downloads a model wants it.
                    state.settings.model = name;
                }
                FetchPhase::Failed(error) => {
                    show_error(state, next(&mut self.last_key), &error);
                }
                FetchPhase::Cancelled | FetchPhase::Connecting | FetchPhase::Receiving => {}
            }
            self.list_models(state);
        }
    }
}

fn show_progress(state: &mut State, name: &str, status: &FetchStatus) {
    if let Some(card) = state.models.iter_mut().find(|card| card.info.name == name) {
        card.supply = Supply::Coming { done: status.bytes_done, total: status.bytes_total };
    }
}
