//! Opens the window and runs until it is closed.

use std::{path::PathBuf, sync::Arc};

use engine::{
    Error, ErrorKind, Result,
    audio::{StreamSpec, WORK_RATE_HZ},
    engine::{Engine, EngineConfig},
    playback,
};

use crate::{
    app::App,
    audio::AudioOutput,
    state::{Settings, State},
    theme::Theme,
    update::{Desk, settings, sound::Sound, toasts},
};

/// Size of a new window in points.
const SIZE: [f32; 2] = [1440.0, 900.0];

/// The least the window can be shrunk to.
const MIN_SIZE: [f32; 2] = [800.0, 560.0];

/// Opens the window with `songs` in its queue and returns when it was closed. What `config` leaves
/// at its default comes from the user's settings.
///
/// # Errors
/// When there is no display, the cache cannot be used, or the system has no threads to give.
pub fn run(songs: Vec<PathBuf>, config: EngineConfig) -> Result<()> {
    let settings_path = settings::default_path();
    let (settings, complaint) = match settings_path.as_deref().map(settings::load) {
        Some(Ok(settings)) => (settings, None),
        Some(Err(error)) => (Settings::default(), Some(error)),
        None => (Settings::default(), None),
    };
    let engine = Arc::new(Engine::new(&settings::configured(config, &settings))?);
    let mut state = State { settings, ..State::default() };
    if let Some(error) = complaint {
        toasts::show_error(&mut state, u64::MAX, &error);
    }

    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title("Stemhive")
            .with_app_id("stemhive")
            .with_inner_size(SIZE)
            .with_min_inner_size(MIN_SIZE)
            .with_drag_and_drop(true),
        renderer: eframe::Renderer::Glow,
        centered: true,
        ..eframe::NativeOptions::default()
    };
    eframe::run_native(
        "stemhive",
        options,
        Box::new(move |creation| {
            let ctx = &creation.egui_ctx;
            Theme::install(ctx);
            // Ctrl+plus and minus are ours, with Shift.
            ctx.options_mut(|options| options.zoom_with_keyboard = false);
            let sound = open_sound(ctx, &state.settings)?;
            let desk = Desk::new(ctx.clone(), engine, sound, settings_path, &mut state)?;
            Ok(Box::new(App::new(state, desk, songs)))
        }),
    )
    .map_err(|cause| {
        Error::new(ErrorKind::Internal, format!("The window cannot be opened: {cause}"))
            .advice("Use the commands instead; “stemhive --help” lists them")
    })
}

/// The device may take its time; the window learns of it when it is there.
fn open_sound(ctx: &egui::Context, settings: &Settings) -> Result<Sound> {
    let (player, renderer) =
        playback::new(StreamSpec { sample_rate_hz: WORK_RATE_HZ, channels: 2 })?;
    let ctx = ctx.clone();
    let wake = move || ctx.request_repaint();
    Ok(Sound::new(player, AudioOutput::start(renderer, settings.device.clone(), wake)?))
}
