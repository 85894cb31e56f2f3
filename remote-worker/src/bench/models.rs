//! Finding the model that an order names, and keeping it while it is used.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use engine::{
    ErrorKind, Result,
    engine::EngineConfig,
    model::{Quality, Separator, Stem},
    protocol::{BlobRef, MAX_NAME_BYTES, ModelOrder},
    roster::{Found, Roster},
};

/// How long a model is kept in memory after its last chunk.
const KEPT: Duration = Duration::from_secs(60);

/// The models of this computer, and those in memory.
pub(super) struct Models {
    roster: Roster,
    kept: Mutex<HashMap<[u8; 32], Kept>>,
}

struct Kept {
    separator: Arc<dyn Separator>,
    last_used: Instant,
}

/// What became of looking for a model.
pub(super) enum Sought {
    Here(Arc<dyn Separator>),
    Lacks(Vec<BlobRef>),
    Refused(String),
}

impl Models {
    pub(super) fn open(config: &EngineConfig) -> Result<Self> {
        Ok(Self { roster: Roster::open(config)?, kept: Mutex::default() })
    }

    /// The model with exactly the samples ordered.
    pub(super) fn find(&self, order: &ModelOrder) -> Sought {
        if let Some(kept) = self.kept().get_mut(&order.hash) {
            kept.last_used = Instant::now();
            return Sought::Here(Arc::clone(&kept.separator));
        }
        let quality = Quality { shifts: order.shifts, overlap: order.overlap };
        match self.roster.find_by_hash(&order.hash, quality, &order.stems) {
            Some(Found { separator, lacks }) if lacks.is_empty() => {
                let kept = Kept { separator: Arc::clone(&separator), last_used: Instant::now() };
                self.kept().insert(order.hash, kept);
                Sought::Here(separator)
            }
            Some(Found { lacks, .. }) => Sought::Lacks(lacks),
            None => self.not_found(order),
        }
    }

    fn not_found(&self, order: &ModelOrder) -> Sought {
        let catalogue = self.roster.catalogue();
        // Of a model that is known here, with every file here or not, the hash would have been
        // found if it gave the same samples.
        if order.files.iter().all(|file| catalogue.lists(file) || catalogue.has(file)) {
            let name = shown(&order.name);
            return Sought::Refused(format!(
                "“{name}” gives other samples here: another version of the program, or another \
                 kind of processor"
            ));
        }
        let missing = order.files.iter().filter(|file| !catalogue.has(file));
        Sought::Lacks(missing.copied().collect())
    }

    /// Reads what the model needs to yield the stems ordered.
    pub(super) fn prepare(&self, order: &ModelOrder) -> Sought {
        let separator = match self.find(order) {
            Sought::Here(separator) => separator,
            other => return other,
        };
        let known = &separator.info().stems;
        let place = |stem: &Stem| known.iter().position(|known| known == stem);
        let Some(keep) = order.stems.iter().map(place).collect::<Option<Vec<_>>>() else {
            return Sought::Refused(format!("“{}” has no such stems", shown(&order.name)));
        };
        match separator.prepare(&keep) {
            Ok(()) => Sought::Here(separator),
            Err(error) => {
                self.kept().remove(&order.hash);
                // A file that turned out to be wrong is wanted anew.
                match (error.kind, self.find(order)) {
                    (ErrorKind::Damaged | ErrorKind::NotFound, Sought::Lacks(files)) => {
                        Sought::Lacks(files)
                    }
                    _ => Sought::Refused(error.what),
                }
            }
        }
    }

    /// Lets go of models that were not used for a while; `all`: of every one.
    pub(super) fn shed(&self, all: bool) {
        // One that computes is used, by whoever else holds it.
        self.kept().retain(|_, kept| {
            let busy = Arc::strong_count(&kept.separator) > 1;
            if busy {
                kept.last_used = Instant::now();
            }
            busy || (!all && kept.last_used.elapsed() < KEPT)
        });
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<[u8; 32], Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name from elsewhere, fit to be shown.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(MAX_NAME_BYTES).collect()
}
