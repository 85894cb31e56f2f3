//! The settings file: JSON in the configuration folder, written whole or not at all.

use std::path::{Path, PathBuf};

use engine::{Error, ErrorKind, Result, engine::EngineConfig};

use super::gib;
use crate::state::Settings;

/// Largest settings file that is read.
const MOST_BYTES: u64 = 1 << 20;

/// Where the settings lie on this system, if it has a place for them.
pub fn default_path() -> Option<PathBuf> {
    let dirs = directories::ProjectDirs::from("", "", "stemhive")?;
    Some(dirs.config_dir().join("settings.json"))
}

/// Reads the settings; the defaults when there are none yet.
///
/// # Errors
/// When the file is there and cannot be read. It is left as it is until the next change.
pub fn load(path: &Path) -> Result<Settings> {
    let bytes = match engine::store::read_bounded(path, MOST_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(Settings::default()),
        Err(error) => return Err(error),
    };
    let mut settings: Settings = serde_json::from_slice(&bytes).map_err(|cause| {
        Error::new(ErrorKind::Damaged, "The settings file cannot be read")
            .kept("Stemhive starts with its usual settings")
            .advice(format!("Correct or delete “{}”", path.display()))
            .caused_by(cause)
    })?;
    settings.ui_scale = settings.ui_scale.clamp(0.8, 2.0);
    if !settings.cache_cap_gib.is_finite() || settings.cache_cap_gib <= 0.0 {
        settings.cache_cap_gib = Settings::default().cache_cap_gib;
    }
    Ok(settings)
}

/// `config` with the user's settings where it says nothing else.
pub fn configured(mut config: EngineConfig, settings: &Settings) -> EngineConfig {
    let usual = EngineConfig::default();
    if let Some(dir) = &settings.cache_dir
        && config.cache_dir == usual.cache_dir
    {
        config.cache_dir.clone_from(dir);
    }
    if config.cache_cap_bytes == usual.cache_cap_bytes {
        config.cache_cap_bytes = gib(settings.cache_cap_gib);
    }
    if config.threads.is_none() && settings.threads > 0 {
        config.threads = Some(settings.threads);
    }
    let name = settings.computer_name.trim();
    if config.computer_name.is_none() && !name.is_empty() {
        config.computer_name = Some(name.to_owned());
    }
    if config.worker_port == usual.worker_port {
        config.worker_port = settings.worker_port;
    }
    config.announce &= settings.announce;
    config
}

/// Writes the settings.
///
/// # Errors
/// Whatever the file system says.
pub fn save(path: &Path, settings: &Settings) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    }
    let text = serde_json::to_vec_pretty(settings).map_err(|cause| {
        Error::new(ErrorKind::Internal, "The settings cannot be written").caused_by(cause)
    })?;
    engine::store::write_atomically(path, |mut file| std::io::Write::write_all(&mut file, &text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ThemeChoice;

    #[test]
    fn settings_survive_and_damage_is_told() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("deep/settings.json");
        assert_eq!(load(&path).expect("no file is no error"), Settings::default());
        let mut settings = Settings { theme: ThemeChoice::Light, ..Settings::default() };
        settings.export.template = "{title} 夜 {stem}".into();
        save(&path, &settings).expect("it can be written");
        assert_eq!(load(&path).expect("it can be read"), settings);

        std::fs::write(&path, "{\"ui_scale\": 99, \"unknown\": 1}").expect("writable");
        assert_eq!(load(&path).expect("unknown fields are skipped").ui_scale, 2.0);
        std::fs::write(&path, "{\"ui_scale\": ").expect("writable");
        assert_eq!(load(&path).expect_err("cut short").kind, ErrorKind::Damaged);
    }
}
