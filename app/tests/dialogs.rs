//! The start screen, the dialogs and the messages at work: what pressing things asks for, and that
//! all of it can be reached by keyboard and is named.

mod common;

use common::{export_state, harness, start_state};
use egui::{Key, Modifiers, vec2};
use egui_kittest::{
    Harness,
    kittest::{NodeT as _, Queryable as _},
};
use engine::{model::Stem, song::SongId};
use stemhive::{
    command::Command,
    state::{
        ClipChoice, Device, Dialog, ExportFormat, ExportPart, ExportRun, State, Supply,
        ThemeChoice, Toast, Tone,
    },
    views::{dialogs, start, testing, toasts},
};

type Asked = (State, Vec<Command>);

/// The window without the song screen. Edits of forms take effect, all else is only noted.
fn window(state: State) -> Harness<'static, Asked> {
    let mut harness = harness(
        vec2(1280.0, 860.0),
        true,
        (state, Vec::new()),
        |ui, (state, asked): &mut Asked| {
            let mut commands = Vec::new();
            if state.song().is_none() {
                start::start_ui(ui, state, &mut commands);
            }
            toasts::toasts_ui(ui.ctx(), state, 76.0, &mut commands);
            dialogs::dialogs_ui(ui.ctx(), state, &mut commands);
            for command in &commands {
                match command {
                    Command::EditExport(form) => state.export = (**form).clone(),
                    Command::EditSettings(settings) => state.settings = (**settings).clone(),
                    Command::EditPaletteQuery(query) => state.palette_query = query.clone(),
                    Command::EditPathField(path) => state.path_field = path.clone(),
                    Command::CloseDialog => state.dialog = None,
                    _ => {}
                }
            }
            asked.extend(commands);
        },
    );
    harness.run();
    harness
}

fn press(harness: &mut Harness<'_, Asked>, label: &str) -> Vec<Command> {
    harness.state_mut().1.clear();
    harness.get_by_label(label).click();
    harness.run();
    harness.state().1.clone()
}

fn key(harness: &mut Harness<'_, Asked>, key: Key) -> Vec<Command> {
    harness.state_mut().1.clear();
    harness.key_press(key);
    harness.run();
    harness.state().1.clone()
}

/// Presses Tab until the focus comes round; the names it stopped at.
fn tab_stops(harness: &mut Harness<'_, Asked>) -> Vec<String> {
    let mut stops: Vec<String> = Vec::new();
    for _ in 0..80 {
        harness.key_press(Key::Tab);
        harness.run();
        let focused = harness.root().accesskit_node();
        let mut open = vec![focused];
        let mut found = None;
        while let Some(node) = open.pop() {
            if node.is_focused() {
                found = node.label();
            }
            open.extend(node.children());
        }
        let Some(name) = found else { continue };
        if stops.first() == Some(&name) {
            break;
        }
        stops.push(name);
    }
    stops
}

#[test]
fn the_start_screen_opens_songs_in_every_way() {
    let mut harness = window(start_state());
    assert!(harness.get_by_label("Open a song…").is_focused(), "the first thing to do");
    assert_eq!(key(&mut harness, Key::Enter), [Command::OpenFiles]);
    let id = |n| SongId([n; 32]);
    assert_eq!(press(&mut harness, "Open Lithium"), [Command::OpenRecent(id(1))]);
    let paused = press(&mut harness, "Continue Der Nachtzug (live)");
    assert_eq!(paused, [Command::OpenRecent(id(2))]);

    harness.get_by_label("Path of a song").click();
    harness.run();
    harness.get_by_label("Path of a song").type_text("/tmp/a.mp3");
    harness.run();
    assert_eq!(harness.state().0.path_field, "/tmp/a.mp3");
    assert_eq!(key(&mut harness, Key::Enter), [Command::OpenPathField]);
    assert_eq!(press(&mut harness, "Open this path"), [Command::OpenPathField]);
}

#[test]
fn forgetting_a_song_asks_first() {
    let mut harness = window(start_state());
    assert_eq!(press(&mut harness, "Forget Lithium…"), []);
    assert_eq!(press(&mut harness, "Keep Lithium"), []);
    assert_eq!(press(&mut harness, "Forget Lithium…"), []);
    let forgotten = press(&mut harness, "Delete Lithium");
    assert_eq!(forgotten, [Command::ForgetRecent(SongId([1; 32]))]);
    assert!(harness.query_by_label("Delete Lithium").is_none());
}

#[test]
fn models_are_chosen_and_say_what_they_cost() {
    let mut harness = window(start_state());
    assert_eq!(press(&mut harness, "Best"), [Command::ChooseModel("best".into())]);
    assert_eq!(press(&mut harness, "Basic"), [], "it is chosen already");
    let huge = harness.get_by_label("Huge").accesskit_node().description().unwrap_or_default();
    assert!(huge.contains("1:58 for a 4-minute song"), "{huge}");
    assert!(huge.contains("14.7 GB not enough, 11.2 GB free"), "{huge}");
}

#[test]
fn models_are_downloaded_and_removed_only_when_asked_for() {
    let mut harness = window(start_state());
    assert_eq!(press(&mut harness, "Huge"), [], "it is not here");
    assert_eq!(press(&mut harness, "Download Huge"), [Command::FetchModel("huge".into())]);
    assert_eq!(press(&mut harness, "Remove Best"), [Command::RemoveModel("best".into())]);
    assert!(harness.query_by_label("Remove Basic").is_none(), "it is in the program");

    let mut state = start_state();
    state.models[1].supply = Supply::Damaged;
    state.models[2].supply = Supply::Coming { done: 21_000_000, total: 84_000_000 };
    state.settings.model = "best".into();
    assert_eq!(state.model().map(|card| &*card.info.name), Some("spectral"), "best is damaged");
    let mut harness = window(state);
    assert_eq!(press(&mut harness, "Best"), []);
    assert_eq!(press(&mut harness, "Download again Best"), [Command::FetchModel("best".into())]);
    let bar = harness.get_by_label("Downloading Huge").accesskit_node();
    assert_eq!(bar.value().as_deref(), Some("25 percent"));
    let cancel = press(&mut harness, "Cancel downloading Huge");
    assert_eq!(cancel, [Command::CancelFetch("huge".into())]);
    let huge = harness.get_by_label("Huge").accesskit_node().description().unwrap_or_default();
    assert!(huge.contains("21 MB of 84 MB"), "{huge}");
}

#[test]
fn every_control_of_the_start_screen_is_a_tab_stop() {
    let mut harness = window(start_state());
    let stops = tab_stops(&mut harness);
    for name in [
        "All keys",
        "Settings…",
        "Open a song…",
        "Path of a song",
        "Open Lithium",
        "Forget Étude no. 4…",
        "Basic",
        "Huge",
    ] {
        assert!(stops.iter().any(|stop| stop == name), "{name} in {stops:?}");
    }
}

#[test]
fn export_edits_its_form() {
    let mut harness = window(export_state());
    assert!(harness.get_by_label("Format, WAV").is_focused());
    press(&mut harness, "Bass");
    assert!(!harness.state().0.export.stems.contains(&Stem::Bass));
    press(&mut harness, "All stems");
    assert_eq!(harness.state().0.export.stems, testing::STEMS);
    press(&mut harness, "No stems");
    assert!(harness.state().0.export.stems.is_empty());
    press(&mut harness, "Mix of what you hear");
    press(&mut harness, "What the stems leave over");
    press(&mut harness, "Part of the song, Loop");
    press(&mut harness, "Limit the peaks");
    press(&mut harness, "Copy tags and cover");
    let form = &harness.state().0.export;
    assert_eq!((form.mix, form.residual, form.tags), (false, true, false));
    assert_eq!((form.part, form.clipping), (ExportPart::Loop, ClipChoice::Cut));

    press(&mut harness, "Format, FLAC");
    assert_eq!(harness.state().0.export.format, ExportFormat::Flac);
    assert!(harness.query_by_label("Bits, 32 float").is_none(), "FLAC has no floats");
    press(&mut harness, "Format, MP3");
    assert!(harness.query_by_label("Bits, 24").is_none());
    assert_eq!(press(&mut harness, "Change the folder…"), [Command::PickExportFolder]);
}

#[test]
fn export_starts_by_enter_and_cancels_by_escape() {
    let mut harness = window(export_state());
    assert_eq!(key(&mut harness, Key::Enter), [Command::StartExport], "from the first choice");
    harness.get_by_label("Cancel").focus();
    harness.run();
    assert_eq!(key(&mut harness, Key::Enter), [Command::CloseDialog], "a focused button has it");

    let mut harness = window(export_state());
    assert_eq!(press(&mut harness, "Export 5 files"), [Command::StartExport]);
    assert_eq!(key(&mut harness, Key::Escape), [Command::CloseDialog]);
}

#[test]
fn nothing_is_exported_that_cannot_be() {
    let mut state = export_state();
    state.export.plan = Some(Err("The file names need {stem}, or all files have one name".into()));
    let mut harness = window(state);
    assert!(harness.query_by_label_contains("Export 0 files").is_some());
    assert_eq!(key(&mut harness, Key::Enter), []);

    let mut state = export_state();
    let Some(Ok(plan)) = &mut state.export.plan else { panic!("a plan") };
    plan.free_bytes = Some(1_000_000);
    let mut harness = window(state);
    assert_eq!(key(&mut harness, Key::Enter), [], "the disk is too small");
    let words = spoken_values(&harness);
    assert!(words.iter().any(|line| line.contains("Not enough space")), "{words:?}");
}

#[test]
fn exporting_a_ready_part_says_how_much_it_is() {
    let warns = |state: State| {
        let harness = window(state);
        spoken_values(&harness).iter().any(|line| line.contains("46 % of the song"))
    };
    let part = |mut state: State| {
        let Some(Ok(plan)) = &mut state.export.plan else { panic!("a plan") };
        plan.ready_fraction = 0.46;
        state
    };
    let mut half = part(export_state());
    half.songs = testing::state(Some(20)).songs;
    assert!(warns(half));
    assert!(!warns(part(export_state())), "a loop of a song that is all ready is no warning");
}

fn spoken_values(harness: &Harness<'_, Asked>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = vec![harness.root().accesskit_node()];
    while let Some(node) = open.pop() {
        lines.extend(node.value());
        open.extend(node.children());
    }
    lines
}

#[test]
fn every_control_of_the_export_dialog_is_a_tab_stop_and_none_behind_it() {
    let mut harness = window(export_state());
    let stops = tab_stops(&mut harness);
    for name in [
        "Close",
        "All stems",
        "Drums",
        "What the stems leave over",
        "Part of the song, Whole song",
        "Format, WAV",
        "Bits, 24",
        "Sample rate",
        "Copy tags and cover",
        "Turn every file down 1.8 dB",
        "File names",
        "Folder",
        "Change the folder…",
        "Export 5 files",
        "Cancel",
    ] {
        assert!(stops.iter().any(|stop| stop == name), "{name} in {stops:?}");
    }
}

#[test]
fn settings_take_effect_at_once() {
    let mut state = start_state();
    state.dialog = Some(Dialog::Settings);
    state.transport.device = Device::Open { name: "Speakers".into() };
    let mut harness = window(state);
    assert!(harness.get_by_label("Theme, System").is_focused());
    press(&mut harness, "Theme, Light");
    press(&mut harness, "Reduce motion, except playhead and meters");
    press(&mut harness, "Start separating as soon as a song is open");
    let settings = &harness.state().0.settings;
    assert_eq!(settings.theme, ThemeChoice::Light);
    assert!(settings.reduce_motion && !settings.separate_on_open);

    harness.get_by_label("Size").focus();
    harness.run();
    harness.key_press(Key::ArrowRight);
    harness.run();
    assert!((harness.state().0.settings.ui_scale - 1.1).abs() < 1e-6);
    assert_eq!(press(&mut harness, "Look for sound devices again"), [Command::LookForDevice]);
    assert_eq!(press(&mut harness, "Play a test tone"), [Command::PlayTestTone]);
    assert_eq!(press(&mut harness, "Change the cache folder…"), [Command::PickCacheFolder]);
    assert_eq!(press(&mut harness, "Clear the cache…"), [], "asks first");
    assert_eq!(press(&mut harness, "Delete all stems"), [Command::ClearCache]);
    assert_eq!(key(&mut harness, Key::Escape), [Command::CloseDialog]);
}

#[test]
fn the_palette_finds_and_does_by_keyboard() {
    let mut state = testing::state(Some(41));
    state.dialog = Some(Dialog::Palette);
    let mut harness = window(state);
    harness.get_by_label("Find a command").type_text("zoom");
    harness.run();
    assert_eq!(harness.state().0.palette_query, "zoom");
    assert_eq!(key(&mut harness, Key::ArrowDown), []);
    let done = key(&mut harness, Key::Enter);
    assert_eq!(done, [Command::CloseDialog, Command::ZoomOut]);
}

#[test]
fn the_palette_does_nothing_that_is_off() {
    let mut state = testing::state(Some(41));
    state.dialog = Some(Dialog::Palette);
    state.palette_query = "remove the loop".into();
    let mut harness = window(state);
    assert_eq!(key(&mut harness, Key::Enter), []);
}

#[test]
fn the_list_of_keys_names_every_key() {
    let mut state = start_state();
    state.dialog = Some(Dialog::Shortcuts);
    let mut harness = window(state);
    assert!(harness.get_by_label("Close").is_focused());
    let words = spoken_values(&harness);
    for label in ["Play or stop", "Loop starts here", "Solo lane", "Everything larger"] {
        assert!(words.iter().any(|word| word == label), "{label} in {words:?}");
    }
    assert_eq!(key(&mut harness, Key::Escape), [Command::CloseDialog]);
}

#[test]
fn messages_do_what_their_buttons_say() {
    let mut state = start_state();
    let toast = |key| Toast {
        key,
        tone: Tone::Good,
        title: format!("Message {key}"),
        text: None,
        kept: None,
        buttons: vec![(format!("Show {key}"), Command::ShowFolder("/tmp".into()))],
        left_secs: None,
    };
    state.toasts = (1..=5).map(toast).collect();
    let mut harness = window(state);
    assert!(harness.query_by_label("Hide: Message 2").is_none(), "three at most");
    assert_eq!(press(&mut harness, "Hide: Message 5"), [Command::DismissToast(5)]);
    assert_eq!(press(&mut harness, "Show 4"), [Command::ShowFolder("/tmp".into())]);

    harness.state_mut().0.exports =
        vec![ExportRun { key: 9, title: "Lithium".into(), fraction: 0.5, files: 2 }];
    harness.run();
    assert_eq!(press(&mut harness, "Cancel this export"), [Command::CancelExport(9)]);
    assert!(harness.query_by_label("Hide: Message 3").is_none());
}

#[test]
fn details_can_be_copied() {
    let mut state = start_state();
    let lines = vec!["Io: cannot read".to_owned(), "bad sector".to_owned()];
    state.dialog = Some(Dialog::Details { title: "Details".into(), lines });
    let mut harness = window(state);
    let copied = press(&mut harness, "Copy the details");
    assert_eq!(copied, [Command::Copy("Io: cannot read\nbad sector".into())]);
}

#[test]
fn quitting_while_exporting_asks() {
    let mut state = start_state();
    state.exports = vec![ExportRun { key: 1, title: "Lithium".into(), fraction: 0.5, files: 2 }];
    state.dialog = Some(Dialog::Quit);
    let mut harness = window(state.clone());
    assert!(harness.get_by_label("Keep exporting").is_focused());
    assert_eq!(press(&mut harness, "Quit anyway"), [Command::QuitNow]);
    let mut harness = window(state);
    assert_eq!(key(&mut harness, Key::Enter), [Command::CloseDialog]);
}

#[test]
fn the_screen_survives_any_size() {
    for (width, height) in [(800.0, 560.0), (400.0, 300.0), (200.0, 120.0), (3000.0, 400.0)] {
        for dialog in [
            None,
            Some(Dialog::Export),
            Some(Dialog::Settings),
            Some(Dialog::Shortcuts),
            Some(Dialog::Palette),
        ] {
            let mut state = if dialog.is_some() { export_state() } else { start_state() };
            state.dialog = dialog;
            let mut harness = window(state);
            harness.set_size(vec2(width, height));
            harness.key_press_modifiers(Modifiers::NONE, Key::Tab);
            harness.run_ok();
        }
    }
}
