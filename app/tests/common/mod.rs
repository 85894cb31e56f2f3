//! What the window tests share: a harness with our theme, and snapshots with a tolerance.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use egui_kittest::{Harness, SnapshotOptions, kittest::NodeT as _};
use engine::song::SongId;
use stemhive::{
    state::{
        CacheUse, Dialog, ExportPlan, ModelCard, PlannedFile, RecentSong, Settings, Standing,
        State, Supply,
    },
    theme::Theme,
    views::testing,
};

/// A harness of `size` points around `ui`, in our theme. `S` is what the test looks at.
pub fn harness<'a, S: 'a>(
    size: impl Into<egui::Vec2>,
    dark: bool,
    state: S,
    mut ui: impl FnMut(&mut egui::Ui, &mut S) + 'a,
) -> Harness<'a, S> {
    let theme = if dark { egui::Theme::Dark } else { egui::Theme::Light };
    Harness::builder()
        .with_size(size)
        .with_theme(theme)
        .with_max_steps(64)
        .with_step_dt(1.0 / 60.0)
        .with_context_setup(move |ctx| {
            Theme::install(ctx);
            ctx.all_styles_mut(|style| {
                style.animation_time = 0.0;
                style.visuals.text_cursor.blink = false;
            });
        })
        .build_ui_state(
            move |parent, state| {
                // The harness leaves a margin; the window has none.
                let rect = parent.ctx().content_rect();
                let mut child = parent.new_child(egui::UiBuilder::new().max_rect(rect));
                child.set_clip_rect(rect);
                ui(&mut child, state);
            },
            state,
        )
}

/// Compares the picture with the stored one. Renderers differ by a shade at the edges of letters,
/// so a few pixels may.
pub fn snapshot<S>(harness: &mut Harness<'_, S>, name: &str) {
    let options = SnapshotOptions::new().threshold(1.0).max_failed_pixels(10);
    harness.snapshot_options(name, &options);
}

/// Everything a screen reader would stop at: "role: name = value".
pub fn spoken<S>(harness: &Harness<'_, S>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = vec![harness.root().accesskit_node()];
    while let Some(node) = open.pop() {
        if let Some(label) = node.label() {
            let value = node.value().map(|value| format!(" = {value}")).unwrap_or_default();
            lines.push(format!("{:?}: {label}{value}", node.role()));
        }
        open.extend(node.children());
    }
    lines
}

/// A window with models and recent songs, no song open.
pub fn start_state() -> State {
    let card = |name: &str, title: &str, description: &str, secs: f32, memory, supply| {
        let mut card = testing::state(None).models[0].clone();
        card.info.name = name.into();
        card.info.title = title.into();
        card.info.description = description.into();
        // As much work as six cores here do in that time.
        card.info.cost_core_secs_per_sec = f64::from(secs) * 6.0 / 240.0;
        ModelCard { secs_for_4_min: secs, memory_bytes: memory, supply, ..card }
    };
    let recent = |n: u8, title: &str, artist: Option<&str>, secs, standing| RecentSong {
        id: SongId([n; 32]),
        path: format!("/music/{title}.mp3").into(),
        title: title.into(),
        artist: artist.map(str::to_owned),
        duration_secs: secs,
        standing,
        peaks: (0..400)
            .map(|i| {
                let t = i as f32 / 400.0 * (3.0 + f32::from(n));
                let swell = 0.25 + 0.5 * (t * 2.1).sin().abs();
                (swell * (0.6 + 0.4 * (i as f32 * 12.9898).sin().abs())).min(1.0)
            })
            .collect(),
    };
    State {
        models: vec![
            card(
                "spectral",
                "Basic",
                "4 stems: drums, bass, other, vocals",
                8.0,
                310_000_000,
                Supply::BuiltIn,
            ),
            card(
                "best",
                "Best",
                "4 stems, cleanest, four models one after another",
                458.0,
                1_900_000_000,
                Supply::Installed { bytes: 336_565_084 },
            ),
            card(
                "huge",
                "Huge",
                "More than this computer can hold",
                118.0,
                14_700_000_000,
                Supply::Missing { bytes: 84_141_911 },
            ),
        ],
        recent: vec![
            recent(
                1,
                "Lithium",
                Some("Software-Entwicklungskit"),
                327.0,
                Standing::Separated { stems: 4 },
            ),
            recent(
                2,
                "Der Nachtzug (live)",
                Some("Nordklang"),
                242.0,
                Standing::HalfDone { fraction: 0.46 },
            ),
            recent(3, "Rehearsal 12 May, take 3", None, 4360.0, Standing::Separated { stems: 6 }),
            recent(4, "Étude no. 4", Some("Marta Kolář"), 171.0, Standing::NotSeparated),
        ],
        free_memory_bytes: Some(11_200_000_000),
        settings: Settings { threads: 6, model: "spectral".into(), ..Settings::default() },
        cache_use: Some(CacheUse { bytes: 3_400_000_000, songs: 14 }),
        ..State::default()
    }
}

/// The made-up song, separated, with an export form and what it would write.
pub fn export_state() -> State {
    let mut state = testing::state(Some(41));
    let song = state.song_mut().expect("a song");
    song.lanes[1].control.mute = true;
    song.lanes[2].control.gain_db = -4.0;
    song.loop_range = Some(100..200);
    song.selection = Some(300..400);
    let file = |name: &str, renamed| PlannedFile {
        name: format!("Software-Entwicklungskit - Lithium ({name}.wav"),
        bytes: 86_512_044,
        renamed,
    };
    state.export.folder = Some("/home/anna/Music/Stems/Lithium".into());
    state.export.plan = Some(Ok(ExportPlan {
        files: vec![
            file("Drums)", false),
            file("Bass)", false),
            file("Other)", false),
            file("Vocals) 2", true),
            file("Mix)", false),
        ],
        free_bytes: Some(41_000_000_000),
        over_db: Some(1.8),
        ready_fraction: 1.0,
    }));
    state.dialog = Some(Dialog::Export);
    state
}
