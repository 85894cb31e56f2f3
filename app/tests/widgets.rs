//! Every part by pointer, by keyboard and by what a screen reader is told.

mod common;

use common::{harness, spoken};
use egui::{Key, Modifiers, Rect, accesskit::Role, pos2, vec2};
use egui_kittest::{
    Harness,
    kittest::{NodeT as _, Queryable as _},
};
use engine::mix::{MAX_GAIN_DB, MIN_GAIN_DB};
use stemhive::{
    state::Meter,
    theme::{Theme, Type},
    widgets::{self, Button, IconButton, LevelMeter, dialog},
};

const SIZE: egui::Vec2 = vec2(300.0, 240.0);

fn toggled<S>(harness: &Harness<'_, S>, label: &str) -> Option<egui::accesskit::Toggled> {
    harness.get_by_label(label).accesskit_node().toggled()
}

#[test]
fn buttons_click_by_pointer_space_and_enter_unless_off_limits() {
    let mut harness = harness(SIZE, true, [0; 2], |ui, clicks: &mut [i32; 2]| {
        clicks[0] += i32::from(ui.add(Button::primary("Go").keys("Ctrl+G")).clicked());
        let off = ui.add_enabled(false, Button::secondary("Off limits"));
        clicks[1] += i32::from(off.clicked());
    });
    harness.get_by_label("Go").click();
    harness.run();
    assert_eq!(harness.state()[0], 1);
    harness.get_by_label("Go").focus();
    harness.run();
    harness.key_press(Key::Space);
    harness.run();
    harness.key_press(Key::Enter);
    harness.run();
    assert_eq!(harness.state()[0], 3);
    harness.get_by_label("Off limits").click();
    harness.run();
    assert_eq!(harness.state()[1], 0);
    let node = harness.get_by_label("Go");
    assert_eq!(node.accesskit_node().role(), Role::Button);
    assert_eq!(node.accesskit_node().data().keyboard_shortcut(), Some("Ctrl+G"));
    assert!(harness.get_by_label("Off limits").accesskit_node().is_disabled());
}

#[test]
fn icon_buttons_have_a_name_and_a_state() {
    use stemhive::icons::Icon;
    let mut harness = harness(SIZE, true, false, |ui, on: &mut bool| {
        if ui.add(IconButton::new(Icon::Loop, "Loop").selected(*on)).clicked() {
            *on = !*on;
        }
    });
    assert_eq!(toggled(&harness, "Loop"), Some(egui::accesskit::Toggled::False));
    harness.get_by_label("Loop").click();
    harness.run();
    assert_eq!(toggled(&harness, "Loop"), Some(egui::accesskit::Toggled::True));
}

#[test]
fn solo_and_mute_say_lane_what_and_state() {
    let mut harness = harness(SIZE, true, [false; 2], |ui, on: &mut [bool; 2]| {
        on[0] ^= widgets::solo_button(ui, on[0], "Vocals").clicked();
        on[1] ^= widgets::mute_button(ui, on[1], "Vocals").clicked();
    });
    let size = harness.get_by_label("Vocals, solo").rect().size();
    assert_eq!(size, vec2(30.0, 26.0));
    harness.get_by_label("Vocals, solo").click();
    harness.get_by_label("Vocals, mute").click();
    harness.run();
    assert_eq!(*harness.state(), [true, true]);
    assert_eq!(toggled(&harness, "Vocals, solo"), Some(egui::accesskit::Toggled::True));
    harness.get_by_label("Vocals, mute").focus();
    harness.run();
    harness.key_press(Key::Space);
    harness.run();
    assert_eq!(*harness.state(), [true, false]);
}

fn volume(gain_db: f32) -> Harness<'static, f32> {
    harness(SIZE, true, gain_db, |ui, gain_db| {
        widgets::volume_slider(ui, gain_db, "Vocals");
    })
}

#[test]
fn volume_moves_by_arrows_finely_with_shift_and_resets() {
    let mut harness = volume(1.5);
    let name = "Vocals volume";
    assert_eq!(harness.get_by_label(name).value().as_deref(), Some("+1.5 decibels"));
    harness.get_by_label(name).focus();
    harness.run();
    harness.key_press(Key::ArrowRight);
    harness.run();
    assert_eq!(*harness.state(), 2.0);
    harness.key_press_modifiers(Modifiers::SHIFT, Key::ArrowLeft);
    harness.run();
    assert!((*harness.state() - 1.9).abs() < 1e-4);
    assert!(harness.get_by_label(name).is_focused(), "the arrows stay with the slider");
    harness.key_press(Key::Backspace);
    harness.run();
    assert_eq!(*harness.state(), 0.0);
    harness.key_press(Key::Home);
    harness.run();
    assert_eq!(*harness.state(), MIN_GAIN_DB);
    assert_eq!(harness.get_by_label(name).value().as_deref(), Some("silent"));
    harness.key_press(Key::End);
    harness.run();
    harness.key_press(Key::ArrowRight);
    harness.run();
    assert_eq!(*harness.state(), MAX_GAIN_DB, "never above the highest");
}

#[test]
fn volume_follows_the_pointer_and_double_click_is_0_db() {
    let mut harness = volume(-12.0);
    let rail = harness.get_by_label("Vocals volume").rect();
    let at = |x: f32| pos2(rail.left() + x * rail.width(), rail.center().y);
    harness.drag_at(at(0.3));
    harness.run();
    harness.hover_at(at(0.55));
    harness.run();
    let middle = *harness.state();
    assert!(middle > -12.0 && middle < 0.0, "{middle}");
    harness.hover_at(at(2.0));
    harness.run();
    assert_eq!(*harness.state(), MAX_GAIN_DB, "held at the end, far outside too");
    harness.drop_at(at(2.0));
    harness.run();
    let node = harness.get_by_label("Vocals volume");
    node.click();
    node.click();
    harness.run();
    assert_eq!(*harness.state(), 0.0);
}

#[test]
fn volume_obeys_a_screen_reader() {
    let mut harness = volume(0.0);
    harness.get_by_label("Vocals volume").increment_accesskit();
    harness.run();
    assert_eq!(*harness.state(), 0.5);
    harness.get_by_label("Vocals volume").set_value_accesskit(-6.0);
    harness.run();
    assert_eq!(*harness.state(), -6.0);
    harness.get_by_label("Vocals volume").set_value_accesskit(f64::NAN);
    harness.run();
    assert!(harness.state().is_finite(), "nonsense changes nothing");
    let node = harness.get_by_label("Vocals volume");
    let node = node.accesskit_node();
    assert_eq!(node.role(), Role::Slider);
    assert_eq!(node.max_numeric_value(), Some(f64::from(MAX_GAIN_DB)));
}

#[test]
fn pan_says_its_side() {
    let mut harness = harness(SIZE, true, -0.32f32, |ui, pan| {
        widgets::pan_slider(ui, pan, "Other");
    });
    assert_eq!(harness.get_by_label("Other pan").value().as_deref(), Some("32 left"));
    harness.get_by_label("Other pan").focus();
    harness.run();
    harness.key_press(Key::Backspace);
    harness.run();
    assert_eq!(harness.get_by_label("Other pan").value().as_deref(), Some("centre"));
    harness.key_press_modifiers(Modifiers::SHIFT, Key::ArrowRight);
    harness.run();
    assert!((*harness.state() - 0.01).abs() < 1e-6);
}

#[test]
fn a_clipped_meter_stays_lit_until_its_cap_is_clicked() {
    let mut meter = Meter::default();
    meter.feed([1.2, 0.5], 0.02);
    let mut harness = harness(SIZE, true, meter, |ui, meter| {
        let room = Rect::from_min_size(pos2(20.0, 20.0), vec2(14.0, 80.0));
        let cap = ui.put(room, LevelMeter::new(meter, Theme::get(ui).ok, "Drums"));
        if cap.clicked() {
            meter.clipped = false;
        }
    });
    assert_eq!(harness.get_by_label("Drums level").accesskit_node().role(), Role::Meter);
    harness.get_by_label("Drums clipped, forget it").click();
    harness.run();
    assert!(!harness.state().clipped);
    assert!(harness.query_by_label("Drums clipped, forget it").is_none());
}

#[test]
fn meters_fall_24_db_a_second_and_hold_their_peak() {
    let mut meter = Meter::default();
    meter.feed([1.0, 0.1], 0.0);
    for _ in 0..50 {
        meter.feed([0.0, 0.0], 0.02);
    }
    assert!((meter.level_db[0] + 24.0).abs() < 0.1, "{:?}", meter.level_db);
    assert_eq!(meter.hold_db[0], 0.0, "held for 1.5 s");
    for _ in 0..50 {
        meter.feed([0.0, 0.0], 0.02);
    }
    assert!(meter.hold_db[0] < -5.0, "then it falls");
}

#[test]
fn segments_are_one_stop_of_the_tab_key_and_choose_by_arrows() {
    let mut harness = harness(SIZE, true, ('a', 0), |ui, (value, changes)| {
        let options = [('a', "WAV"), ('b', "FLAC"), ('c', "MP3")];
        *changes += i32::from(widgets::segmented(ui, "Format", value, &options, 240.0).changed());
        let _ = ui.add(Button::secondary("After"));
    });
    harness.key_press(Key::Tab);
    harness.run();
    assert!(harness.get_by_label("Format, WAV").is_focused());
    harness.key_press(Key::ArrowRight);
    harness.run();
    assert_eq!(*harness.state(), ('b', 1));
    assert!(harness.get_by_label("Format, FLAC").is_focused());
    harness.key_press(Key::ArrowRight);
    harness.run();
    harness.key_press(Key::ArrowRight);
    harness.run();
    assert_eq!(*harness.state(), ('c', 2), "ends at the last");
    harness.key_press(Key::Tab);
    harness.run();
    assert!(harness.get_by_label("After").is_focused(), "the others are no stops");
    harness.get_by_label("Format, WAV").click();
    harness.run();
    assert_eq!(*harness.state(), ('a', 3));
    assert_eq!(toggled(&harness, "Format, WAV"), Some(egui::accesskit::Toggled::True));
}

#[test]
fn checkbox_and_radio_by_click_and_space() {
    let mut harness = harness(SIZE, true, (false, 1), |ui, (checked, chosen)| {
        widgets::check_row(ui, checked, None, "Mix", Some("Drums and bass"));
        for n in [1, 2] {
            if widgets::radio(ui, *chosen == n, &format!("Number {n}")).clicked() {
                *chosen = n;
            }
        }
    });
    harness.get_by_label("Mix").click();
    harness.get_by_label("Number 2").click();
    harness.run();
    assert_eq!(*harness.state(), (true, 2));
    harness.get_by_label("Mix").focus();
    harness.run();
    harness.key_press(Key::Space);
    harness.run();
    assert_eq!(*harness.state(), (false, 2));
    let node = harness.get_by_label("Mix");
    assert_eq!(node.accesskit_node().role(), Role::CheckBox);
    assert_eq!(node.accesskit_node().description().as_deref(), Some("Drums and bass"));
}

#[test]
fn a_list_opens_chooses_and_closes_by_keyboard() {
    let mut harness = harness(SIZE, true, 1, |ui, value| {
        let options: Vec<_> = (1..4).map(|n| (n, format!("Device {n}"))).collect();
        widgets::combo(ui, "Sound", value, &options, 200.0);
    });
    assert_eq!(harness.get_by_label("Sound").value().as_deref(), Some("Device 1"));
    harness.get_by_label("Sound").focus();
    harness.run();
    harness.key_press(Key::Enter);
    harness.run();
    assert!(harness.query_by_label("Device 3").is_some(), "{:?}", spoken(&harness));
    harness.key_press(Key::ArrowDown);
    harness.run();
    harness.key_press(Key::ArrowDown);
    harness.run();
    assert!(harness.get_by_label("Device 2").is_focused());
    harness.key_press(Key::Enter);
    harness.run();
    assert_eq!(*harness.state(), 2);
    assert!(harness.query_by_label("Device 3").is_none());
    harness.get_by_label("Sound").click();
    harness.run();
    harness.get_by_label("Device 3").click();
    harness.run();
    assert_eq!(*harness.state(), 3);
}

#[test]
fn a_long_path_shows_its_end_and_keeps_all_of_it() {
    let path = format!("/music/{}/Lithium", "a/".repeat(400));
    let mut harness = harness(SIZE, true, path.clone(), |ui, path| {
        widgets::path_field(ui, "folder", "Folder", path, "Folder");
    });
    assert_eq!(harness.get_by_label("Folder").value(), Some(path.clone()));
    assert_eq!(*harness.state(), path);
    harness.get_by_label("Folder").focus();
    harness.run();
    harness.get_by_label("Folder").type_text("x");
    harness.run();
    assert_eq!(harness.state().len(), path.len() + 1);
}

#[test]
fn progress_is_said_in_percent() {
    let harness = harness(SIZE, true, (), |ui, ()| {
        widgets::progress_bar(ui, 0.464, Theme::get(ui).honey, "Separating");
        widgets::progress_bar(ui, f32::NAN, Theme::get(ui).honey, "Unknown");
    });
    assert_eq!(harness.get_by_label("Separating").value().as_deref(), Some("46 percent"));
    assert_eq!(harness.get_by_label("Unknown").value().as_deref(), Some("0 percent"));
}

#[test]
fn figures_keep_their_width() {
    let harness = harness(SIZE, true, (), |ui, ()| {
        let color = Theme::get(ui).text;
        widgets::tabular(ui, Type::Time, color, "1:11.1");
        widgets::tabular(ui, Type::Time, color, "8:08.0");
    });
    let widths: Vec<f32> =
        ["1:11.1", "8:08.0"].map(|text| harness.get_by_value(text).rect().width()).into();
    assert_eq!(widths[0], widths[1]);
}

#[test]
fn a_dialog_traps_the_focus_and_gives_it_back() {
    let mut harness = harness(vec2(600.0, 400.0), true, (false, 0), |ui, (open, behind)| {
        if ui.add(Button::secondary("Open it")).clicked() {
            *open = true;
        }
        *behind += i32::from(ui.add(Button::secondary("Behind")).clicked());
        if !*open {
            dialog::leave(ui.ctx());
        } else if dialog::dialog(ui.ctx(), "Question", None, 300.0, |ui| {
            let first = ui.add(Button::primary("First"));
            dialog::focus_first(ui, &first);
            let _ = ui.add(Button::secondary("Second"));
        }) {
            *open = false;
        }
    });
    harness.get_by_label("Open it").focus();
    harness.run();
    harness.key_press(Key::Enter);
    harness.run();
    assert!(harness.get_by_label("First").is_focused(), "starts on the first choice");
    for name in ["Second", "Close", "First"] {
        harness.key_press(Key::Tab);
        harness.run();
        // After the last control there may be one stop with no focus, as egui wraps.
        if !harness.get_by_label(name).is_focused() {
            harness.key_press(Key::Tab);
            harness.run();
        }
        assert!(harness.get_by_label(name).is_focused(), "Tab reaches {name}");
    }
    harness.get_by_label("Behind").click();
    harness.run();
    assert_eq!(harness.state().1, 0, "what lies behind cannot be clicked");
    harness.key_press(Key::Escape);
    harness.run();
    assert!(!harness.state().0);
    assert!(harness.get_by_label("Open it").is_focused(), "the focus returns");
}
