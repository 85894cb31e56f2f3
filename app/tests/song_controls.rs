//! Every control of the song screen, worked by mouse, keyboard and screen reader: what each asks
//! for.

mod common;

use std::sync::Arc;

use egui::{Key, Modifiers, Pos2, Rect, UiBuilder, Vec2, accesskit::Role, pos2};
use egui_kittest::{Harness, kittest::NodeT as _, kittest::Queryable as _};
use engine::job::{ChunkState, JobPhase};
use stemhive::{
    command::Command,
    keymap,
    state::{Device, Dialog, Listen, Region, SongView, State},
    update::{edit, undo::UndoStack},
    views::{self, song::song_ui, testing},
};

const WINDOW: Vec2 = Vec2::new(1440.0, 900.0);

/// Left edge and width of the waveforms at [`WINDOW`]'s size.
const WAVE_LEFT: f32 = 236.0;
const WAVE_WIDTH: f32 = 1440.0 - 304.0 - 236.0;

struct Screen {
    state: State,
    commands: Vec<Command>,
}

fn screen(state: State) -> Harness<'static, Screen> {
    let screen = Screen { state, commands: Vec::new() };
    let mut harness = common::harness(WINDOW, true, screen, |ui, screen: &mut Screen| {
        keymap::take_keys(ui, &screen.state, &mut screen.commands);
        let window = Rect::from_min_size(Pos2::ZERO, WINDOW);
        let mut child = ui.new_child(UiBuilder::new().max_rect(window));
        child.set_clip_rect(window);
        song_ui(&mut child, &screen.state, &mut screen.commands);
        screen.state.focus_request = None;
        screen.state.focused_region = views::region::focused(ui);
    });
    harness.run();
    harness
}

/// What is asked for once everything queued in `harness` has happened.
fn asked(harness: &mut Harness<'_, Screen>) -> Vec<Command> {
    harness.state_mut().commands.clear();
    harness.run();
    std::mem::take(&mut harness.state_mut().commands)
}

fn click(harness: &mut Harness<'_, Screen>, label: &str) -> Vec<Command> {
    harness.get_by_label(label).click();
    asked(harness)
}

fn drag(harness: &mut Harness<'_, Screen>, from: Pos2, to: Pos2) -> Vec<Command> {
    harness.hover_at(from);
    harness.drag_at(from);
    harness.run();
    harness.hover_at(from.lerp(to, 0.5));
    harness.run();
    harness.hover_at(to);
    let asked = asked(harness);
    harness.drop_at(to);
    harness.run();
    asked
}

fn frames(song: &SongView) -> f64 {
    song.frames as f64
}

/// Whether `frame` is where a click at `share` of the wave's width points, to half a pixel.
fn near(song: &SongView, frame: u64, share: f32) -> bool {
    let wanted = song.view.start + f64::from(share) * (song.view.end - song.view.start);
    (frame as f64 - wanted).abs() <= (song.view.end - song.view.start) / f64::from(WAVE_WIDTH)
}

#[test]
fn top_bar() {
    let mut harness = screen(testing::state(Some(1000)));
    assert_eq!(click(&mut harness, "All songs"), [Command::ShowStart]);
    assert_eq!(click(&mut harness, "Export…"), [Command::OpenExport]);
    assert_eq!(click(&mut harness, "Side panel"), [Command::ToggleSidePanel]);
    assert_eq!(click(&mut harness, "Settings…"), [Command::OpenDialog(Dialog::Settings)]);
    harness.get_by_label_contains("Lithium, Software-Entwicklungskit · 5:27 · MP3 320 kb/s");
}

#[test]
fn the_model_is_chosen_from_a_list_with_its_cost() {
    let mut state = testing::state(None);
    let mut other = testing::model();
    other.info.name = "best".into();
    other.info.title = "Best".into();
    state.models.push(other);
    let mut harness = screen(state);
    assert_eq!(click(&mut harness, "Model: Basic · 4 stems"), []);
    harness.get_all_by_label_contains("for this song").next().expect("cost is shown");
    assert_eq!(click(&mut harness, "Best"), [Command::ChooseModel("best".into())]);
}

#[test]
fn progress_band() {
    let mut harness = screen(testing::state(Some(15)));
    assert_eq!(click(&mut harness, "Pause"), [Command::PauseOrContinue]);
    assert_eq!(click(&mut harness, "Cancel"), [Command::CancelSeparation]);
    for fact in ["Separating", "37 %", "1:12 elapsed", "about 1:23 left", "31× real time"] {
        harness.get_by_label(fact);
    }

    with_job(&mut harness, |phase, _| *phase = JobPhase::Paused);
    assert_eq!(click(&mut harness, "Continue"), [Command::PauseOrContinue]);
    with_job(&mut harness, |phase, _| *phase = JobPhase::Cancelled);
    assert_eq!(click(&mut harness, "Continue"), [Command::Separate]);

    let mut harness = screen(testing::state(None));
    assert_eq!(click(&mut harness, "Separate"), [Command::Separate]);
}

fn with_job(
    harness: &mut Harness<'_, Screen>,
    change: impl FnOnce(&mut JobPhase, &mut Vec<ChunkState>),
) {
    let song = &mut harness.state_mut().state.songs[0];
    let mut job = engine::job::JobStatus::clone(song.job.as_ref().expect("a job"));
    change(&mut job.phase, &mut job.chunks);
    song.job = Some(Arc::new(job));
    harness.run();
}

#[test]
fn eta_is_worked_out_before_it_is_known() {
    let mut state = testing::state(Some(1));
    let song = &mut state.songs[0];
    let mut job = engine::job::JobStatus::clone(song.job.as_ref().expect("a job"));
    job.eta = None;
    song.job = Some(Arc::new(job));
    let harness = screen(state);
    harness.get_by_label("working out how long");
}

#[test]
fn solo_and_mute_of_every_lane() {
    let mut harness = screen(testing::state(Some(15)));
    for (lane, name) in ["Drums", "Bass", "Other", "Vocals"].into_iter().enumerate() {
        assert_eq!(click(&mut harness, &format!("{name}, mute")), [Command::ToggleMute(lane)]);
        assert_eq!(click(&mut harness, &format!("{name}, solo")), [Command::ToggleSolo(lane)]);
        harness.get_by_label(&format!("{name}, solo")).click_modifiers(Modifiers::COMMAND);
        assert_eq!(asked(&mut harness), [Command::SoloOnly(lane)]);
    }
}

#[test]
fn volume_and_pan_by_keys_and_screen_reader() {
    let mut harness = screen(testing::state(Some(15)));
    harness.get_by_label("Bass volume").focus();
    harness.run();
    harness.key_press(Key::ArrowRight);
    assert_eq!(asked(&mut harness), [Command::SetGainDb { lane: 1, gain_db: 0.5 }]);
    harness.state_mut().state.songs[0].lanes[1].control.gain_db = 3.0;
    harness.run();
    harness.key_press(Key::Backspace);
    assert_eq!(asked(&mut harness), [Command::SetGainDb { lane: 1, gain_db: 0.0 }]);
    harness.get_by_label("Vocals volume").set_value_accesskit(-6.0);
    assert_eq!(asked(&mut harness), [Command::SetGainDb { lane: 3, gain_db: -6.0 }]);
    harness.get_by_label("Drums pan").increment_accesskit();
    let commands = asked(&mut harness);
    let [Command::SetPan { lane: 0, pan }] = commands[..] else { panic!("{commands:?}") };
    assert!((pan - 0.05).abs() < 1e-6);
}

#[test]
fn a_fader_follows_the_pointer() {
    let mut harness = screen(testing::state(Some(15)));
    let rect = harness.get_by_label("Other volume").rect();
    let from = pos2(rect.left() + 60.0, rect.center().y);
    let asked = drag(&mut harness, from, pos2(rect.left() + 20.0, rect.center().y));
    let Some(Command::SetGainDb { lane: 2, gain_db }) = asked.last() else {
        panic!("asked for {asked:?}");
    };
    assert!(*gain_db < -12.0, "{gain_db} dB at the left");
}

#[test]
fn a_click_in_a_lane_goes_there_and_a_drag_selects() {
    let mut harness = screen(testing::state(Some(15)));
    let song = harness.state().state.songs[0].clone();
    let at = |share: f32, y: f32| pos2(WAVE_LEFT + share * WAVE_WIDTH, y);
    for y in [300.0, 450.0, 600.0, 780.0] {
        let point = at(0.7, y);
        harness.hover_at(point);
        harness.drag_at(point);
        harness.drop_at(point);
        let asked = asked(&mut harness);
        let [Command::Seek(frame)] = asked[..] else { panic!("asked for {asked:?}") };
        assert!(near(&song, frame, 0.7));
    }
    let asked = drag(&mut harness, at(0.5, 300.0), at(0.25, 310.0));
    let Some(Command::Select(Some(range))) = asked.last() else { panic!("asked for {asked:?}") };
    assert!(near(&song, range.start, 0.25) && near(&song, range.end, 0.5));
}

#[test]
fn the_ruler_seeks_by_click_and_loops_by_drag() {
    let mut harness = screen(testing::state(Some(15)));
    let song = harness.state().state.songs[0].clone();
    let ruler = harness.get_by_role_and_label(Role::Slider, "Position 0:54 of 5:27").rect();
    let at = |share: f32| pos2(WAVE_LEFT + share * WAVE_WIDTH, ruler.center().y);
    harness.hover_at(at(0.4));
    harness.drag_at(at(0.4));
    harness.drop_at(at(0.4));
    let commands = asked(&mut harness);
    let [Command::Seek(frame)] = commands[..] else { panic!("asked for {commands:?}") };
    assert!(near(&song, frame, 0.4));

    let commands = drag(&mut harness, at(0.2), at(0.6));
    let Some(Command::SetLoop(range)) = commands.last() else { panic!("asked for {commands:?}") };
    assert!(near(&song, range.start, 0.2) && near(&song, range.end, 0.6));

    // Taking an edge of the loop leaves the other where it is.
    let whole = song.frames;
    harness.state_mut().state.songs[0].loop_range = Some(whole / 5..whole / 2);
    harness.run();
    let commands = drag(&mut harness, at(0.5), at(0.8));
    let Some(Command::SetLoop(range)) = commands.last() else { panic!("asked for {commands:?}") };
    assert_eq!(range.start, whole / 5);
    assert!(near(&song, range.end, 0.8));
}

#[test]
fn zoom_buttons_and_wheel() {
    let mut harness = screen(testing::state(Some(15)));
    assert_eq!(click(&mut harness, "Zoom in"), [Command::ZoomIn]);
    assert_eq!(click(&mut harness, "Zoom out"), [Command::ZoomOut]);
    assert_eq!(click(&mut harness, "Show the whole song"), [Command::ZoomFit]);

    let wheel = |harness: &mut Harness<'_, Screen>, delta: Vec2, modifiers: Modifiers| {
        harness.hover_at(pos2(WAVE_LEFT + WAVE_WIDTH / 2.0, 400.0));
        harness.event_modifiers(
            egui::Event::MouseWheel {
                unit: egui::MouseWheelUnit::Point,
                source: egui::MouseWheelSource::Wheel,
                delta,
                phase: egui::TouchPhase::Move,
                modifiers,
            },
            modifiers,
        );
        asked(harness)
    };
    let ctrl = Modifiers { ctrl: true, ..Modifiers::COMMAND };
    let commands = wheel(&mut harness, Vec2::new(0.0, 40.0), ctrl);
    let middle = frames(&harness.state().state.songs[0]) / 2.0;
    assert!(!commands.is_empty());
    for command in &commands {
        let Command::ZoomAround { factor, at_frame } = command else { panic!("{command:?}") };
        assert!(*factor > 1.0 && (at_frame - middle).abs() < 50_000.0);
    }
    let commands = wheel(&mut harness, Vec2::new(-30.0, 0.0), Modifiers::NONE);
    let moved = commands.iter().all(|c| matches!(c, Command::SetView(view) if view.start > 0.0));
    assert!(moved && !commands.is_empty(), "{commands:?}");
}

#[test]
fn the_overview_moves_the_view() {
    let mut state = testing::state(Some(15));
    let whole = frames(&state.songs[0]);
    state.songs[0].view = whole * 0.4..whole * 0.6;
    let mut harness = screen(state);
    let overview = harness.get_by_label("Stretch shown").rect();
    let at = |share: f32| pos2(WAVE_LEFT + share * WAVE_WIDTH, overview.center().y);
    let moved = |commands: &[Command]| match commands.last() {
        Some(Command::SetView(view)) => (view.start / whole, view.end / whole),
        other => panic!("asked for {other:?}"),
    };
    let close = |(start, end): (f64, f64), wanted: (f64, f64)| {
        (start - wanted.0).abs() < 0.003 && (end - wanted.1).abs() < 0.003
    };
    let frame = moved(&drag(&mut harness, at(0.5), at(0.7)));
    assert!(close(frame, (0.6, 0.8)), "the frame moves: {frame:?}");
    let edge = moved(&drag(&mut harness, at(0.6), at(0.9)));
    assert!(close(edge, (0.4, 0.9)), "its edge too: {edge:?}");

    harness.get_by_label("Stretch shown").focus();
    harness.run();
    harness.key_press(Key::PageDown);
    let paged = moved(&asked(&mut harness));
    assert!(close(paged, (0.58, 0.78)), "and keys: {paged:?}");
}

#[test]
fn pieces_tell_who_computed_them() {
    let mut harness = screen(testing::state(Some(15)));
    let strip = harness.get_by_label("Pieces");
    assert_eq!(strip.value().as_deref(), Some("0:00–0:08, This PC, 0.3 s"));
    strip.focus();
    harness.run();
    harness.key_press(Key::ArrowRight);
    assert_eq!(asked(&mut harness), [], "arrows move along the pieces, not the playhead");
    let said = harness.get_by_label("Pieces").value();
    assert_eq!(said.as_deref(), Some("0:08–0:16, This PC, 0.3 s"));
}

#[test]
fn transport() {
    let mut harness = screen(testing::state(Some(15)));
    assert_eq!(click(&mut harness, "Play"), [Command::PlayOrStop]);
    harness.state_mut().state.transport.playing = true;
    harness.run();
    assert_eq!(click(&mut harness, "Stop"), [Command::PlayOrStop]);
    assert_eq!(click(&mut harness, "Go to the start"), [Command::SeekStart]);
    assert_eq!(click(&mut harness, "Loop"), [Command::ToggleLoop]);
    assert_eq!(click(&mut harness, "Listen to, Original"), [Command::SetListen(Listen::Original)]);
    harness.get_by_label("Master volume").set_value_accesskit(-3.0);
    assert_eq!(asked(&mut harness), [Command::SetMasterDb(-3.0)]);
    harness.get_by_role_and_label(Role::Label, "Position 0:54 of 5:27");
}

#[test]
fn clipping_is_forgotten_by_a_click_on_the_cap() {
    let mut state = testing::state(Some(15));
    state.songs[0].lanes[0].meter.feed([1.2, 0.5], 0.1);
    state.transport.meter.feed([1.2, 0.5], 0.1);
    let mut harness = screen(state);
    assert_eq!(click(&mut harness, "Drums clipped, forget it"), [Command::ClearClip(Some(0))]);
    assert_eq!(click(&mut harness, "Master clipped, forget it"), [Command::ClearClip(None)]);
}

#[test]
fn without_a_device_a_line_says_so_and_helps() {
    let mut state = testing::state(Some(15));
    state.transport.device = Device::Missing { reason: "none is plugged in".into() };
    let mut harness = screen(state);
    harness.get_by_label_contains("No sound device found");
    assert_eq!(click(&mut harness, "Look again"), [Command::LookForDevice]);
    assert_eq!(click(&mut harness, "Choose a device…"), [Command::OpenDialog(Dialog::Settings)]);
}

#[test]
fn side_panel_queue_and_selection() {
    let mut state = testing::state(Some(15));
    state.songs.push(SongView::new(2, "/music/Next one.flac".into()));
    state.songs[0].selection = Some(441_000..882_000);
    let mut harness = screen(state);
    assert_eq!(click(&mut harness, "Next one, reading"), [Command::ShowSong(2)]);
    assert_eq!(click(&mut harness, "Close Next one"), [Command::CloseSong(2)]);
    assert_eq!(click(&mut harness, "Loop the selection"), [Command::LoopSelection]);
    assert_eq!(click(&mut harness, "Zoom to the selection"), [Command::ZoomSelection]);
    assert_eq!(click(&mut harness, "Clear the selection"), [Command::Select(None)]);
    harness.get_by_label("Null test, exact");
    harness.get_by_label("10.0 seconds, stems ready");
}

#[test]
fn lanes_are_groups_that_say_how_far_they_are() {
    let mut state = testing::state(Some(15));
    state.songs[0].lanes[1].control.mute = true;
    let harness = screen(state);
    harness.get_by_role_and_label(Role::Group, "Vocals, ready 36 percent");
    harness.get_by_role_and_label(Role::Group, "Bass, ready 36 percent, muted");
    let solo = harness.get_by_label("Vocals, solo");
    assert_eq!(solo.accesskit_node().toggled(), Some(egui::accesskit::Toggled::False));
    let volume = harness.get_by_label("Vocals volume");
    assert_eq!(volume.accesskit_node().role(), Role::Slider);
    assert_eq!(volume.value().as_deref(), Some("0.0 decibels"));
}

#[test]
fn every_control_has_a_name() {
    for state in [testing::state(None), testing::state(Some(15)), testing::state(Some(1000))] {
        let harness = screen(state);
        let mut open = vec![harness.root().accesskit_node()];
        let mut controls = 0;
        while let Some(node) = open.pop() {
            if egui::accessibility::is_input(node.role()) {
                controls += 1;
                let named = node.label().is_some_and(|label| !label.is_empty());
                assert!(named, "a {:?} has no name", node.role());
            }
            open.extend(node.children());
        }
        assert!(controls > 25, "{controls} controls");
    }
}

#[test]
fn up_and_down_change_the_lane() {
    let mut harness = screen(testing::state(Some(15)));
    harness.get_by_label("Drums, mute").focus();
    harness.run();
    for name in ["Bass, mute", "Other, mute", "Vocals, mute", "Vocals, mute"] {
        harness.key_press(Key::ArrowDown);
        harness.run();
        assert!(harness.get_by_label(name).is_focused(), "{name}");
    }
    harness.key_press(Key::ArrowUp);
    harness.run();
    assert!(harness.get_by_label("Other, mute").is_focused());
}

#[test]
fn space_plays_whatever_has_the_focus_and_enter_presses_it() {
    let mut harness = screen(testing::state(Some(15)));
    harness.get_by_label("Vocals, mute").focus();
    harness.run();
    harness.key_press(Key::Space);
    assert_eq!(asked(&mut harness), [Command::PlayOrStop]);
    harness.key_press(Key::Enter);
    assert_eq!(asked(&mut harness), [Command::ToggleMute(3)]);
    harness.key_press(Key::ArrowRight);
    assert_eq!(asked(&mut harness), [Command::SeekBy(1.0)], "no slider has the focus");
    assert!(harness.get_by_label("Vocals, mute").is_focused(), "and the focus stays");
}

#[test]
fn f6_goes_round_the_regions_in_focus_order() {
    let mut harness = screen(testing::state(Some(15)));
    let mut undo = UndoStack::default();
    let mut visited = Vec::new();
    for _ in 0..8 {
        harness.key_press(Key::F6);
        for command in asked(&mut harness) {
            edit::apply(&mut harness.state_mut().state, &mut undo, 0.0, command);
        }
        harness.run();
        visited.push(harness.state().state.focused_region.expect("something has the focus"));
    }
    let mut wanted = Region::ALL.to_vec();
    wanted.push(Region::TopBar);
    assert_eq!(visited, wanted);
}

#[test]
fn tab_goes_through_a_lane_in_order() {
    let mut harness = screen(testing::state(Some(15)));
    harness.get_by_label("Drums, solo").focus();
    harness.run();
    let rest =
        ["Drums, mute", "Drums volume", "Drums pan", "Drums waveform, 0:00 to 5:27", "Bass, solo"];
    for name in rest {
        harness.key_press(Key::Tab);
        harness.run();
        assert!(harness.get_by_label(name).is_focused(), "{name}");
    }
}
