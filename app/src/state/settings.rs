//! What is kept between runs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ExportForm;

/// What the user chose; one JSON file in the configuration folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Dark, light or as the system.
    pub theme: ThemeChoice,
    /// Size of everything, 0.8..=2.0.
    pub ui_scale: f32,
    /// No animation except playhead and meters.
    pub reduce_motion: bool,
    /// Name of the model for new songs.
    pub model: String,
    /// Separate a song as soon as it is opened.
    pub separate_on_open: bool,
    /// What this computer's threads came to in cores when that was measured best, and how many
    /// threads there were; see `Engine::measure_cores`.
    pub measured_cores: Option<(f64, usize)>,
    /// Compute threads; 0 leaves one core to window and sound.
    pub threads: usize,
    /// Name under which this computer shows itself to others; empty = the system's.
    pub computer_name: String,
    /// UDP port at which other computers reach this one.
    pub worker_port: u16,
    /// Whether other computers find this one by looking through the network.
    pub announce: bool,
    /// Where the cache lies; empty = the system's place for caches.
    pub cache_dir: Option<PathBuf>,
    /// Cap of the cache in GiB.
    pub cache_cap_gib: f32,
    /// Name of the sound device; `None` = the system's default.
    pub device: Option<String>,
    /// Side panel shown beside the lanes of a wide window.
    pub side_panel: bool,
    /// The last export form.
    pub export: ExportForm,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: ThemeChoice::default(),
            ui_scale: 1.0,
            reduce_motion: false,
            model: "quick".into(),
            separate_on_open: true,
            measured_cores: None,
            threads: 0,
            computer_name: String::new(),
            worker_port: engine::protocol::DEFAULT_PORT,
            announce: true,
            cache_dir: None,
            cache_cap_gib: 20.0,
            device: None,
            side_panel: true,
            export: ExportForm::default(),
        }
    }
}

/// Which theme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ThemeChoice {
    /// As the system says, dark when it says nothing.
    #[default]
    System,
    /// Dark.
    Dark,
    /// Light.
    Light,
}

/// What the cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheUse {
    /// Bytes on disk.
    pub bytes: u64,
    /// Songs.
    pub songs: usize,
}
