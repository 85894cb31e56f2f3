//! The settings dialog; everything takes effect at once.

use egui::{Align, Context, Id, Layout, Ui, vec2};

use super::{
    dialogs::{body, footer},
    models::{cores, threads},
};
use crate::{
    command::Command,
    icons::Icon,
    state::{Device, Settings, State, ThemeChoice},
    theme::{Theme, Type},
    units,
    widgets::{self, Button, dialog},
};

const WIDTH: f32 = 640.0;
const LABELS: f32 = 150.0;
const CONTROLS: f32 = 290.0;

/// Shows the dialog; whether it asks to be closed.
pub fn settings_ui(ctx: &Context, state: &State, commands: &mut Vec<Command>) -> bool {
    let mut settings = state.settings.clone();
    let mut close = false;
    let asked = dialog::dialog(ctx, "Settings", None, WIDTH, |ui| {
        body(ui, 150.0, |ui| {
            section(ui, "Look");
            look_ui(ui, &mut settings);
            section(ui, "Separating");
            separating_ui(ui, state, &mut settings);
            section(ui, "Sound");
            sound_ui(ui, state, &mut settings, commands);
            section(ui, "Cache");
            cache_ui(ui, state, &mut settings, commands);
            section(ui, "Other computers");
            computers_ui(ui, state, &mut settings);
        });
        footer(ui, |ui| {
            close = ui.add(Button::secondary("Done").keys("Esc")).clicked();
        });
    });
    if settings != state.settings {
        commands.push(Command::EditSettings(Box::new(settings)));
    }
    asked || close
}

fn section(ui: &mut Ui, title: &str) {
    let theme = Theme::get(ui);
    if ui.min_rect().height() > 1.0 {
        ui.add_space(8.0);
        widgets::separator(ui);
        ui.add_space(14.0);
    }
    widgets::label_color(ui, Type::Title, theme.text, title);
    ui.add_space(8.0);
}

/// A label on the left, a control on the right, an explanation below it.
fn row(ui: &mut Ui, label: &str, note: Option<&str>, control: impl FnOnce(&mut Ui)) {
    ui.horizontal_top(|ui| {
        ui.allocate_ui_with_layout(vec2(LABELS, 34.0), Layout::top_down(Align::Min), |ui| {
            ui.set_width(LABELS);
            ui.add_space(8.0);
            widgets::label(ui, Type::Body, label);
        });
        ui.vertical(|ui| {
            ui.set_width(ui.available_width());
            ui.horizontal(|ui| {
                ui.set_min_height(34.0);
                ui.spacing_mut().item_spacing.x = 8.0;
                control(ui);
            });
            if let Some(note) = note {
                let color = Theme::get(ui).text3;
                ui.add_space(4.0);
                widgets::label_color(ui, Type::Small, color, note);
            }
        });
    });
    ui.add_space(4.0);
}

fn look_ui(ui: &mut Ui, settings: &mut Settings) {
    row(ui, "Theme", None, |ui| {
        let themes = [
            (ThemeChoice::System, "System"),
            (ThemeChoice::Dark, "Dark"),
            (ThemeChoice::Light, "Light"),
        ];
        let chosen = widgets::segmented(ui, "Theme", &mut settings.theme, &themes, CONTROLS);
        dialog::focus_first(ui, &chosen);
    });
    row(ui, "Size of everything", None, |ui| scale_ui(ui, settings));
    row(ui, "Motion", None, |ui| {
        widgets::checkbox(
            ui,
            &mut settings.reduce_motion,
            "Reduce motion, except playhead and meters",
        );
    });
}

/// The size takes effect when the knob is let go: it would run away under the pointer otherwise.
fn scale_ui(ui: &mut Ui, settings: &mut Settings) {
    let dragged_id = Id::unique("scale being dragged");
    let dragged: Option<f32> = ui.data(|data| data.get_temp(dragged_id));
    let mut scale = dragged.unwrap_or(settings.ui_scale) * 100.0;
    let percent = |scale: f32| format!("{scale:.0} percent");
    let slider = ui
        .scope(|ui| {
            ui.set_max_width(240.0);
            widgets::slider(ui, &mut scale, 80.0..=200.0, 10.0, 100.0, "Size", &percent)
        })
        .inner;
    if slider.dragged() {
        ui.data_mut(|data| data.insert_temp(dragged_id, scale / 100.0));
    } else {
        ui.data_mut(|data| data.remove::<f32>(dragged_id));
        if slider.changed() || slider.drag_stopped() {
            settings.ui_scale = scale / 100.0;
        }
    }
    let color = Theme::get(ui).text;
    widgets::tabular(ui, Type::Body, color, &format!("{scale:.0} %"));
    if settings.ui_scale != 1.0 && ui.add(Button::text("Usual size").small()).clicked() {
        settings.ui_scale = 1.0;
    }
}

fn separating_ui(ui: &mut Ui, state: &State, settings: &mut Settings) {
    row(ui, "Model", None, |ui| {
        let models: Vec<_> = state
            .models
            .iter()
            .filter(|card| card.is_here())
            .map(|card| {
                let stems = units::count(card.info.stems.len(), "stem");
                (card.info.name.clone(), format!("{} · {stems}", card.info.title))
            })
            .collect();
        widgets::combo(ui, "Model", &mut settings.model, &models, CONTROLS);
    });
    row(ui, "New songs", None, |ui| {
        widgets::checkbox(
            ui,
            &mut settings.separate_on_open,
            "Start separating as soon as a song is open",
        );
    });
    let note = "More threads separate faster; one core is best left to window and sound. \
                The result is the same. A change holds from the next start on.";
    row(ui, "Threads", Some(note), |ui| {
        let automatic = threads(&Settings { threads: 0, ..settings.clone() });
        let mut options = vec![(0, format!("Automatic, {automatic} of {}", cores()))];
        options.extend((1..=cores()).map(|count| (count, units::count(count, "thread"))));
        let own = settings.threads;
        if !options.iter().any(|(count, _)| *count == own) {
            options.push((own, units::count(own, "thread")));
        }
        widgets::combo(ui, "Threads", &mut settings.threads, &options, CONTROLS);
    });
}

fn computers_ui(ui: &mut Ui, state: &State, settings: &mut Settings) {
    let note = "Workers see this name. A change holds as soon as the settings are closed.";
    row(ui, "This PC's name", Some(note), |ui| {
        let hint = match state.computers.name.as_str() {
            "" => "As the system",
            name => name,
        };
        let name = &mut settings.computer_name;
        ui.scope(|ui| {
            ui.set_max_width(CONTROLS);
            widgets::text_field(ui, "name", "Name of this PC", name, hint, Type::Body, None);
        });
    });
    let note = "Allow it in this PC's firewall for UDP. Nobody is listened to until a computer is \
                paired. A change holds as soon as the settings are closed; computers that are not \
                connected then may have to be paired again.";
    row(ui, "Port", Some(note), |ui| port_ui(ui, settings));
    row(ui, "Search", None, |ui| {
        widgets::checkbox(
            ui,
            &mut settings.announce,
            "Let workers find this PC by looking through the network",
        );
    });
}

/// What is no port is kept as text until it is one, and forgotten when the field is left.
fn port_ui(ui: &mut Ui, settings: &mut Settings) {
    let id = Id::unique("port being typed");
    let typed: Option<String> = ui.data(|data| data.get_temp(id));
    let mut text = typed.unwrap_or_else(|| settings.worker_port.to_string());
    let field = ui.scope(|ui| {
        ui.set_max_width(120.0);
        widgets::text_field(ui, "port", "UDP port", &mut text, "", Type::Body, None)
    });
    let field = field.inner;
    if field.changed() {
        if let Some(port) = text.trim().parse().ok().filter(|port| *port >= 1024) {
            settings.worker_port = port;
        }
        ui.data_mut(|data| data.insert_temp(id, text));
    } else if field.lost_focus() {
        ui.data_mut(|data| data.remove::<String>(id));
    }
}

fn sound_ui(ui: &mut Ui, state: &State, settings: &mut Settings, commands: &mut Vec<Command>) {
    row(ui, "Device", None, |ui| {
        let mut options = vec![(None, "As the system".to_owned())];
        let names = state.transport.devices.iter().chain(&settings.device);
        for name in names {
            if !options.iter().any(|(_, known)| known == name) {
                options.push((Some(name.clone()), name.clone()));
            }
        }
        widgets::combo(ui, "Sound device", &mut settings.device, &options, CONTROLS);
        let again = Button::secondary("Look again").icon(Icon::Refresh);
        if ui.add(again.name("Look for sound devices again")).clicked() {
            commands.push(Command::LookForDevice);
        }
    });
    row(ui, "", None, |ui| {
        let theme = Theme::get(ui);
        let (icon, color, text) = match &state.transport.device {
            Device::Unknown => (Icon::Clock, theme.text3, "Not opened yet".to_owned()),
            Device::Open { name } => (Icon::Check, theme.ok, format!("Playing on {name}")),
            Device::Missing { reason } => {
                (Icon::SpeakerOff, theme.honey_text, format!("No sound device: {reason}"))
            }
        };
        let (rect, _) = ui.allocate_exact_size(vec2(18.0, 18.0), egui::Sense::hover());
        icon.paint(ui.painter(), rect.center(), 16.0, color);
        ui.scope(|ui| {
            ui.set_max_width(ui.available_width() - 150.0);
            widgets::label_color(ui, Type::Small, color, text);
        });
        let open = matches!(state.transport.device, Device::Open { .. });
        let tone = Button::secondary("Play a test tone").icon(Icon::Speaker);
        if ui.add_enabled(open, tone).clicked() {
            commands.push(Command::PlayTestTone);
        }
    });
}

fn cache_ui(ui: &mut Ui, state: &State, settings: &mut Settings, commands: &mut Vec<Command>) {
    let theme = Theme::get(ui);
    let cap_bytes = (f64::from(settings.cache_cap_gib) * f64::from(1u32 << 30)) as u64;
    let note = "Stems of earlier songs, so that they open at once. The ones used longest ago \
                make room first.";
    row(ui, "Holds", Some(note), |ui| {
        ui.scope(|ui| {
            ui.set_max_width(CONTROLS);
            ui.vertical(|ui| {
                let text = match state.cache_use {
                    Some(used) => format!(
                        "{} of {}, {}",
                        units::gib(used.bytes),
                        units::gib(cap_bytes),
                        units::count(used.songs, "song"),
                    ),
                    None => "Counting".into(),
                };
                widgets::label_color(ui, Type::Body, theme.text, text);
                ui.add_space(6.0);
                let used = state.cache_use.map_or(0, |used| used.bytes) as f32;
                let share = used / cap_bytes.max(1) as f32;
                widgets::progress_bar(ui, share, theme.text2, "Cache used");
            });
        });
        clear_button(ui, state, commands);
    });
    row(ui, "At most", None, |ui| {
        let gib = f64::from(1u32 << 30);
        let sizes = [2.0f32, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0];
        let mut options: Vec<(f32, String)> = sizes
            .into_iter()
            .map(|size| (size, units::gib((f64::from(size) * gib) as u64)))
            .collect();
        let own = settings.cache_cap_gib;
        if !sizes.contains(&own) {
            options.push((own, units::gib(cap_bytes)));
        }
        widgets::combo(ui, "Cache size at most", &mut settings.cache_cap_gib, &options, 160.0);
    });
    let note = "A change holds from the next start on.";
    row(ui, "Folder", Some(note), |ui| {
        let folder = settings.cache_dir.as_ref().map(|dir| dir.display().to_string());
        let text = folder.unwrap_or_else(|| "The system's place for caches".into());
        ui.scope(|ui| {
            ui.set_max_width(ui.available_width() - 190.0);
            ui.add(
                egui::Label::new(widgets::rich(text.as_str(), Type::Body, theme.text2)).truncate(),
            )
            .on_hover_text(text);
        });
        let change = Button::secondary("Change…").name("Change the cache folder…");
        if ui.add(change).clicked() {
            commands.push(Command::PickCacheFolder);
        }
        if settings.cache_dir.is_some() && ui.add(Button::text("Usual place")).clicked() {
            settings.cache_dir = None;
        }
    });
}

/// Clearing asks once more, in the same place.
fn clear_button(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let id = Id::unique("about to clear the cache");
    let asking = ui.data(|data| data.get_temp(id)).unwrap_or(false);
    if asking {
        if ui.add(Button::secondary("Delete all stems")).clicked() {
            commands.push(Command::ClearCache);
            ui.data_mut(|data| data.remove::<bool>(id));
        }
        if ui.add(Button::text("Keep").name("Keep the stems")).clicked() {
            ui.data_mut(|data| data.remove::<bool>(id));
        }
        return;
    }
    let empty = state.cache_use.is_some_and(|used| used.bytes == 0);
    let clear = Button::secondary("Clear…").name("Clear the cache…");
    if ui.add_enabled(!empty, clear).clicked() {
        ui.data_mut(|data| data.insert_temp(id, true));
    }
}
