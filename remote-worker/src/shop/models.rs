//! The models that were ordered, and the files that may come for them.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use engine::protocol::{BlobRef, ModelOrder};

use super::Allowed;

/// Orders, and files, that are remembered; a main PC asks again for what was forgotten.
const MOST_ORDERS: usize = 64;
const MOST_FILES: usize = 256;

pub(super) struct Orders {
    pub(super) allowed: Allowed,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The newest last.
    orders: VecDeque<ModelOrder>,
    wanted: VecDeque<BlobRef>,
}

impl Orders {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { allowed: Allowed::new(data_dir), known: Mutex::default() }
    }

    pub(super) fn remember(&self, order: &ModelOrder) {
        let orders = &mut self.known().orders;
        orders.retain(|known| known.hash != order.hash);
        orders.push_back(order.clone());
        if orders.len() > MOST_ORDERS {
            orders.pop_front();
        }
    }

    pub(super) fn find(&self, hash: &[u8; 32]) -> Option<ModelOrder> {
        self.known().orders.iter().find(|order| order.hash == *hash).cloned()
    }

    pub(super) fn want(&self, files: &[BlobRef]) {
        let wanted = &mut self.known().wanted;
        wanted.retain(|file| !files.contains(file));
        wanted.extend(files);
        let surplus = wanted.len().saturating_sub(MOST_FILES);
        wanted.drain(..surplus);
    }

    pub(super) fn wants(&self, blob: &BlobRef) -> bool {
        self.known().wanted.contains(blob)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
