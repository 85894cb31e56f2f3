//! Everything about one paired computer; and the rows that other dialogs share with it.

use std::time::SystemTime;

use egui::{
    Align, Context, CornerRadius, Frame, Id, Layout, Margin, Sense, Stroke, Ui, WidgetInfo,
    accesskit::Role, vec2,
};
use engine::{
    crew::{DeviceId, Standing},
    remote::Computer,
};

use super::{
    computers::{link_text, standing_words, steps_ui, words_ui},
    dialogs::{body, footer},
    progress_band::times,
};
use crate::{
    command::Command,
    state::{State, computers::is_usable},
    theme::{RADIUS, Theme, Type},
    time, units,
    widgets::{self, Button, dialog},
};

/// Width of the labels before the facts.
const LABELS: f32 = 116.0;

/// Shows the dialog; whether it asks to be closed.
pub(super) fn computer_ui(
    ctx: &Context,
    state: &State,
    device: DeviceId,
    commands: &mut Vec<Command>,
) -> bool {
    // Forgotten, here or from the command line.
    let Some(computer) = state.computer(device) else { return true };
    let mut close = false;
    let asked = dialog::dialog(ctx, &computer.name, None, 540.0, |ui| {
        body(ui, 150.0, |ui| {
            let words = standing_words(&computer.standing);
            words_ui(ui, &words);
            if !words.steps.is_empty() {
                ui.add_space(8.0);
                ui.horizontal_wrapped(|ui| {
                    ui.spacing_mut().item_spacing = vec2(8.0, 6.0);
                    steps_ui(ui, computer, &words.steps, commands);
                });
            }
            ui.add_space(12.0);
            fingerprint_ui(ui, computer);
            ui.add_space(10.0);
            facts_ui(ui, state, computer);
            let address = computer.link.as_ref().map(|link| link.address.to_string());
            fact_ui(ui, "Address", &address.unwrap_or_else(|| "Not connected".into()));
            let about = computer.about.as_ref();
            fact_ui(ui, "Program", about.map_or("Unknown", |about| &about.program));
            let seen = match (&computer.link, computer.last_seen) {
                (Some(_), _) => "Now".into(),
                (None, Some(then)) => time::ago(then, SystemTime::now()),
                (None, None) => "Never since it was paired".into(),
            };
            fact_ui(ui, "Last seen", &seen);
            name_ui(ui, computer, commands);
        });
        footer(ui, |ui| {
            let done = ui.add(Button::secondary("Done").keys("Esc"));
            dialog::focus_first(ui, &done);
            close = done.clicked();
            pause_button(ui, computer, commands);
            forget_button(ui, computer, commands);
        });
    });
    asked || close
}

fn pause_button(ui: &mut Ui, computer: &Computer, commands: &mut Vec<Command>) {
    let (device, name) = (computer.device, &computer.name);
    let pause = match &computer.standing {
        // Its state offers what to do.
        Standing::PausedHere | Standing::Unconfirmed => return,
        _ => Button::secondary("Pause").name(format!("Pause: {name}")),
    };
    if ui.add(pause).clicked() {
        commands.push(Command::PauseComputer { device, paused: true });
    }
}

/// Forgetting asks once more, in the same place.
fn forget_button(ui: &mut Ui, computer: &Computer, commands: &mut Vec<Command>) {
    let id = Id::unique("computer about to be forgotten");
    let name = &computer.name;
    if ui.data(|data| data.get_temp(id)) != Some(computer.device.0) {
        if ui.add(Button::text("Forget…").name(format!("Forget {name}…"))).clicked() {
            ui.data_mut(|data| data.insert_temp(id, computer.device.0));
        }
        return;
    }
    if ui.add(Button::secondary("Forget it").name(format!("Forget {name}"))).clicked() {
        commands.push(Command::ForgetComputer(computer.device));
        commands.push(Command::CloseDialog);
        ui.data_mut(|data| data.remove::<[u8; 32]>(id));
    }
    if ui.add(Button::text("Keep it").name(format!("Keep {name}"))).clicked() {
        ui.data_mut(|data| data.remove::<[u8; 32]>(id));
    }
}

/// The fingerprint in fours.
pub(super) fn fingerprint_ui(ui: &mut Ui, computer: &Computer) {
    let theme = Theme::get(ui);
    let fingerprint = computer.device.fingerprint();
    let title = format!("Fingerprint of {}", computer.name);
    let said = format!("{title}: {}", fingerprint.replace(' ', ", "));
    let frame = Frame::new()
        .fill(theme.bg)
        .stroke(Stroke::new(1.0, theme.line))
        .corner_radius(CornerRadius::same(RADIUS))
        .inner_margin(Margin::symmetric(20, 16));
    let shown = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        let width = ui.available_width();
        let line = widgets::galley(ui.painter(), title, Type::Small, theme.text3, width);
        let (rect, _) = ui.allocate_exact_size(vec2(width, 20.0), Sense::hover());
        ui.painter().galley(rect.min, line, theme.text3);
        let (rect, _) = ui.allocate_exact_size(vec2(width, 32.0), Sense::hover());
        let groups: Vec<&str> = fingerprint.split(' ').collect();
        let font = egui::FontId::monospace(23.0);
        let gaps = groups.len().saturating_sub(1).max(1) as f32;
        let cell = ui.painter().layout_no_wrap("0000".into(), font.clone(), theme.text).size().x;
        for (index, group) in groups.iter().enumerate() {
            let x = rect.left() + (width - cell) / gaps * index as f32;
            let at = egui::pos2(x, rect.center().y);
            ui.painter().text(at, egui::Align2::LEFT_CENTER, group, font.clone(), theme.text);
        }
    });
    let id = ui.scope_id().with("fingerprint");
    let response = ui.interact(shown.response.rect, id, Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &said));
}

/// Processor, link, test piece, models.
pub(super) fn facts_ui(ui: &mut Ui, state: &State, computer: &Computer) {
    let about = computer.about.as_ref();
    let processor = about.map(|about| {
        let threads = units::count(about.threads, "thread");
        format!("{threads}, {} memory", units::bytes(about.memory_bytes))
    });
    fact_ui(ui, "Processor", &processor.unwrap_or_else(|| "It did not say yet".into()));
    let link = computer.link.as_ref().map(link_text);
    fact_ui(ui, "Link", &link.unwrap_or_else(|| "Not connected".into()));
    fact_ui(ui, "Test piece", &test_piece(computer));
    fact_ui(ui, "Models", &models(state, computer));
}

fn test_piece(computer: &Computer) -> String {
    match (&computer.standing, computer.tested_x_real_time) {
        (Standing::Differs, _) => "Came out otherwise than on this PC".into(),
        (_, Some(speed)) => {
            format!("{} real time, same result as this PC, bit for bit", times(speed))
        }
        (Standing::Testing, None) => "Being computed".into(),
        (_, None) => "Computed before its first song".into(),
    }
}

/// "Balanced is there, Best will be sent when needed".
fn models(state: &State, computer: &Computer) -> String {
    let Some(about) = &computer.about else { return "It did not say yet".into() };
    let (there, missing): (Vec<_>, Vec<_>) = state
        .models
        .iter()
        .filter(|card| card.is_here())
        .partition(|card| about.models.contains(&card.info.hash));
    let titles = |cards: Vec<&crate::state::ModelCard>| {
        let titles: Vec<&str> = cards.iter().map(|card| card.info.title.as_str()).collect();
        units::list(&titles)
    };
    let verb = |count: usize| if count == 1 { "is" } else { "are" };
    let mut parts = Vec::new();
    if !there.is_empty() {
        parts.push(format!("{1} {0} there", verb(there.len()), titles(there.clone())));
    }
    if !missing.is_empty() {
        parts.push(format!("{} will be sent when needed", titles(missing)));
    }
    parts.join(", ")
}

/// A fact with its label, over a thin line.
pub(super) fn fact_ui(ui: &mut Ui, label: &str, value: &str) {
    let theme = Theme::get(ui);
    fact_row(ui, label, |ui| {
        widgets::label_color(ui, Type::Body, theme.text, value);
    });
    widgets::separator(ui);
}

fn fact_row(ui: &mut Ui, label: &str, value: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.set_min_height(33.0);
        let size = vec2(LABELS, 33.0);
        ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
            ui.set_width(LABELS);
            let color = Theme::get(ui).text3;
            widgets::label_color(ui, Type::Body, color, label);
        });
        value(ui);
    });
}

/// The name under which it is shown, to change.
pub(super) fn name_ui(ui: &mut Ui, computer: &Computer, commands: &mut Vec<Command>) {
    ui.add_space(7.0);
    fact_row(ui, "Shown as", |ui| {
        ui.spacing_mut().item_spacing.x = 12.0;
        widgets::computer_badge(ui, computer.letter, is_shown_solid(computer), 24.0);
        let id = Id::unique(("name of", computer.device.0));
        let typed: Option<String> = ui.data(|data| data.get_temp(id));
        let mut name = typed.unwrap_or_else(|| computer.name.clone());
        let label = "Name of this computer";
        let field = ui.scope(|ui| {
            ui.set_max_width(246.0);
            widgets::text_field(ui, id, label, &mut name, "", Type::Body, None)
        });
        let field = field.inner;
        if field.changed() {
            ui.data_mut(|data| data.insert_temp(id, name.clone()));
        }
        if field.lost_focus() {
            let name = name.trim();
            if !name.is_empty() && name != computer.name {
                commands.push(Command::RenameComputer(computer.device, name.to_owned()));
            }
            ui.data_mut(|data| data.remove::<String>(id));
        }
    });
}

fn is_shown_solid(computer: &Computer) -> bool {
    is_usable(&computer.standing) || computer.standing == Standing::Unconfirmed
}
