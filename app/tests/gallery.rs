//! All parts in their states on one sheet, dark and light, beside the design's `08-parts`.

mod common;

use common::{harness, snapshot};
use egui::{Id, Ui, Vec2, vec2};
use engine::model::Stem;
use stemhive::{
    icons::Icon,
    state::{Meter, stem_title},
    theme::{Theme, Type},
    widgets::{self, Button, IconButton, LevelMeter},
};

fn titled(ui: &mut Ui, title: &str, size: Vec2, contents: impl FnOnce(&mut Ui)) {
    let theme = Theme::get(ui);
    widgets::card(theme).show(ui, |ui| {
        ui.set_min_size(size);
        ui.set_max_width(size.x);
        ui.vertical(|ui| {
            widgets::label_color(ui, Type::Small, theme.text3, title);
            ui.add_space(4.0);
            contents(ui);
        });
    });
}

fn stems(ui: &mut Ui) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 16.0;
        for stem in Stem::ALL {
            let color = Theme::get(ui).stem(stem);
            let (rect, _) = ui.allocate_exact_size(vec2(28.0, 28.0), egui::Sense::hover());
            ui.painter().rect_filled(rect, 6.0, color);
            let (rect, _) = ui.allocate_exact_size(vec2(20.0, 28.0), egui::Sense::hover());
            Icon::stem(stem).paint(ui.painter(), rect.center(), 20.0, color);
            widgets::label(ui, Type::BodyMedium, stem_title(stem));
        }
    });
}

fn toggles(ui: &mut Ui) {
    for solo in [true, false] {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 20.0;
            let button = |ui: &mut Ui, on, name: &str| {
                if solo {
                    widgets::solo_button(ui, on, name)
                } else {
                    widgets::mute_button(ui, on, name)
                }
            };
            button(ui, false, "Off");
            button(ui, true, "On");
            if solo {
                button(ui, false, "Focus").request_focus();
            } else {
                button(ui, false, "Rest");
            }
            ui.add_enabled_ui(false, |ui| button(ui, false, "Off limits"));
        });
        ui.add_space(8.0);
    }
}

fn meters(ui: &mut Ui) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 26.0;
        let color = Theme::get(ui).stem(Stem::Vocals);
        let meter = |level: [f32; 2], hold: [f32; 2], clipped| Meter {
            level_db: level,
            hold_db: hold,
            clipped,
            ..Meter::default()
        };
        for (name, meter) in [
            ("Signal", meter([-26.0, -28.0], [-20.0, -23.0], false)),
            ("Loud", meter([-6.0, -9.0], [-2.0, -4.0], false)),
            ("Clipped", meter([-0.5, -1.0], [0.0, 0.0], true)),
            ("Silent", Meter::default()),
        ] {
            ui.allocate_ui(vec2(LevelMeter::THICKNESS, 84.0), |ui| {
                ui.add(LevelMeter::new(&meter, color, name));
            });
        }
        ui.allocate_ui(vec2(140.0, LevelMeter::THICKNESS), |ui| {
            let color = Theme::get(ui).text2;
            let meter = meter([-12.0, -16.0], [-8.0, -10.0], false);
            ui.add(LevelMeter::new(&meter, color, "Master").horizontal());
        });
    });
}

fn buttons(ui: &mut Ui) {
    ui.horizontal(|ui| {
        ui.add(Button::primary("Export…").icon(Icon::Export).keys("Ctrl+Shift+E"));
        ui.add(Button::secondary("Pause").icon(Icon::Pause));
        ui.add(Button::outlined("Refine"));
        ui.add(Button::text("Cancel").keys("Esc"));
    });
    ui.horizontal(|ui| {
        ui.add(Button::primary("Open a song…").icon(Icon::Folder).keys("Ctrl+O").big());
        ui.add(Button::secondary("Show folder").small());
        ui.add(Button::text("Balanced · 4 stems").icon(Icon::Wand).trailing(Icon::ChevronDown));
    });
    ui.horizontal(|ui| {
        ui.add_enabled(false, Button::secondary("Off limits"));
        ui.add_enabled(false, Button::primary("Off limits"));
        ui.add(IconButton::new(Icon::Panel, "Side panel").filled());
        ui.add(IconButton::new(Icon::Loop, "Loop").selected(true));
        ui.add(IconButton::new(Icon::SkipStart, "Start"));
    });
}

fn sliders(ui: &mut Ui) {
    ui.set_max_width(220.0);
    for (mut gain_db, name) in [(0.0, "Drums"), (-4.0, "Other"), (1.5, "Vocals"), (-60.0, "Bass")] {
        widgets::volume_slider(ui, &mut gain_db, name);
    }
    for (mut pan, name) in [(0.0, "Drums"), (-0.32, "Other")] {
        widgets::pan_slider(ui, &mut pan, name);
    }
}

fn choices(ui: &mut Ui) {
    let theme = Theme::get(ui);
    let options = [(0, "WAV"), (1, "FLAC"), (2, "MP3"), (3, "Ogg")];
    widgets::segmented(ui, "Format", &mut 0, &options, 280.0);
    ui.horizontal_top(|ui| {
        ui.vertical(|ui| {
            ui.set_width(250.0);
            let drums = Some((Icon::Drums, theme.stem(Stem::Drums)));
            widgets::check_row(ui, &mut true, drums, "Drums", None);
            let bass = Some((Icon::Bass, theme.stem(Stem::Bass)));
            let muted = Some("Muted now, still exported");
            widgets::check_row(ui, &mut true, bass, "Bass", muted);
            widgets::checkbox(ui, &mut false, "What the stems leave over");
        });
        ui.vertical(|ui| {
            widgets::radio(ui, true, "Turn every file down 1.8 dB");
            widgets::radio(ui, false, "Cut the peaks");
            ui.add_enabled_ui(false, |ui| widgets::radio(ui, false, "Switch to 32 float"));
        });
    });
    let rates = [(44_100, "As the source, 44.1 kHz".to_owned())];
    widgets::combo(ui, "Sample rate", &mut 44_100, &rates, 280.0);
    let mut text = "{artist} - {title} ({stem})".to_owned();
    widgets::text_field(ui, "names", "File names", &mut text, "", Type::Mono, None);
    let mut query = String::new();
    widgets::search_field(ui, Id::unique("find"), "Find", &mut query, "Find a command");
    ui.add_space(4.0);
    widgets::progress_bar(ui, 0.46, theme.honey, "Separating");
}

fn marks(ui: &mut Ui) {
    ui.horizontal(|ui| {
        for letter in 0..8 {
            widgets::computer_badge(ui, letter, letter < 6, 24.0);
        }
    });
    ui.horizontal(|ui| {
        for keys in ["1", "R", "Esc", "Enter", "Ctrl+K", "Ctrl+Shift++"] {
            widgets::key_chip(ui, keys);
        }
    });
    ui.horizontal_wrapped(|ui| {
        ui.set_max_width(420.0);
        for icon in Icon::ALL {
            let (rect, _) = ui.allocate_exact_size(vec2(20.0, 24.0), egui::Sense::hover());
            icon.paint(ui.painter(), rect.center(), 20.0, Theme::get(ui).text);
        }
    });
    let color = Theme::get(ui).text;
    widgets::tabular(ui, Type::Time, color, "3:11.4");
    widgets::tabular(ui, Type::Time, color, "0:08.8");
}

fn sheet(ui: &mut Ui) {
    let theme = Theme::get(ui);
    let frame = egui::Frame::new().fill(theme.bg).inner_margin(32.0);
    frame.show(ui, |ui| {
        ui.set_min_size(ui.available_size());
        ui.spacing_mut().item_spacing = Vec2::splat(12.0);
        ui.horizontal(|ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(24.0, 24.0), egui::Sense::hover());
            Icon::Logo.paint(ui.painter(), rect.center(), 24.0, theme.text);
            widgets::label_color(ui, Type::Figure, theme.text, "Parts and their states");
        });
        titled(ui, "Stems", vec2(1000.0, 40.0), stems);
        ui.horizontal_top(|ui| {
            titled(ui, "Solo and mute", vec2(240.0, 110.0), toggles);
            titled(ui, "Meter", vec2(300.0, 110.0), meters);
            titled(ui, "Sliders", vec2(250.0, 110.0), sliders);
        });
        ui.horizontal_top(|ui| {
            titled(ui, "Choices", vec2(500.0, 250.0), choices);
            ui.vertical(|ui| {
                titled(ui, "Buttons", vec2(490.0, 140.0), buttons);
                titled(ui, "Marks", vec2(490.0, 140.0), marks);
            });
        });
    });
}

#[test]
fn parts_dark() {
    let mut harness = harness(vec2(1160.0, 1010.0), true, (), |ui, ()| sheet(ui));
    harness.run_ok();
    snapshot(&mut harness, "parts-dark");
}

#[test]
fn parts_light() {
    let mut harness = harness(vec2(1160.0, 1010.0), false, (), |ui, ()| sheet(ui));
    harness.run_ok();
    snapshot(&mut harness, "parts-light");
}
