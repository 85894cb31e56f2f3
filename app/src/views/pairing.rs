//! Adding a computer: what to do there, the code, other ways in; and comparing fingerprints once
//! somebody came.

use egui::{
    Align, Align2, Context, CornerRadius, Frame, Id, Label, Layout, Margin, Sense, Stroke,
    StrokeKind, Ui, Vec2, WidgetInfo, accesskit::Role, pos2, vec2,
};
use engine::{
    crew::{DeviceId, Standing},
    remote::{Pairing, PairingStage},
};

use super::{
    computer_dialogs::{facts_ui, fingerprint_ui, name_ui},
    computers::{VERSION, trouble_ui},
    dialogs::body,
};
use crate::{
    command::Command,
    icons::Icon,
    state::{Dialog, State},
    theme::{RADIUS, RADIUS_CARD, Theme, Type},
    time, units,
    widgets::{self, Button, IconButton, dialog},
};

/// Seconds a code lives.
const CODE_SECS: f32 = 120.0;

/// Seconds without anybody after which the other ways in move up.
const PATIENCE_SECS: f32 = 5.0;

/// Shows the dialog that adds a computer; whether it asks to be closed.
pub(super) fn add_ui(ctx: &Context, state: &State, commands: &mut Vec<Command>) -> bool {
    let subtitle = "A spare PC in your network can share the work. It only gets pieces of sound to \
                    work on, never your files.";
    dialog::dialog(ctx, "Add a computer", Some(subtitle), 620.0, |ui| {
        body(ui, 110.0, |ui| {
            if state.computers.trouble.is_some() {
                trouble_ui(ui, state);
                ui.add_space(16.0);
            }
            step_ui(ui, 1, "Start Stemhive Worker on the other computer", |ui| {
                let text = format!("Version {VERSION}, the same as here.");
                widgets::label(ui, Type::Body, text);
            });
            step_ui(ui, 2, "Pick this PC in its list", |ui| address_ui(ui, state, commands));
            let waits = state.pairing.waited_secs >= PATIENCE_SECS;
            if waits {
                help_ui(ui, state, commands);
                ui.add_space(20.0);
            }
            step_ui(ui, 3, "Type this code there", |ui| code_ui(ui, state, commands));
            if !waits {
                help_ui(ui, state, commands);
            }
        });
    })
}

fn step_ui(ui: &mut Ui, number: usize, title: &str, contents: impl FnOnce(&mut Ui)) {
    let theme = Theme::get(ui);
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing = vec2(16.0, 0.0);
        widgets::step_badge(ui, number, 26.0);
        ui.vertical(|ui| {
            ui.set_width(ui.available_width());
            ui.add_space(3.0);
            widgets::label_color(ui, Type::Title, theme.text, title);
            ui.add_space(6.0);
            contents(ui);
        });
    });
    ui.add_space(20.0);
}

/// Name and address of this computer, with a copy button.
fn address_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let theme = Theme::get(ui);
    let status = &state.computers;
    let address = status.addresses.first().map(ToString::to_string);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 12.0;
        let size = vec2(ui.available_width() - 50.0, 38.0);
        let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
        let (fill, edge) = (theme.field(), Stroke::new(1.0, theme.edge));
        let radius = CornerRadius::same(RADIUS);
        ui.painter().rect(rect, radius, fill, edge, StrokeKind::Inside);
        let icon = pos2(rect.left() + 19.0, rect.center().y);
        Icon::Monitor.paint(ui.painter(), icon, 16.0, theme.text2);
        let shown = address.as_deref().unwrap_or("getting ready");
        let end = widgets::paint_tabular(
            ui.painter(),
            pos2(rect.right() - 12.0, rect.center().y),
            Align2::RIGHT_CENTER,
            shown,
            Type::Body,
            theme.text2,
        );
        let name = if status.name.is_empty() { "This PC" } else { &status.name };
        let room = end.left() - rect.left() - 48.0;
        let galley = widgets::galley(ui.painter(), name, Type::BodyStrong, theme.text, room);
        let top = rect.center().y - galley.size().y / 2.0;
        ui.painter().galley(pos2(rect.left() + 36.0, top), galley, theme.text);
        response.widget_info(|| {
            WidgetInfo::labeled(Role::Label, true, format!("{name}, address {shown}"))
        });
        let copy = IconButton::new(Icon::Copy, "Copy the address").size(38.0, 17.0).filled();
        let copy = ui.add_enabled(address.is_some(), copy);
        dialog::focus_first(ui, &copy);
        if copy.clicked()
            && let Some(address) = address
        {
            commands.push(Command::Copy(address));
        }
    });
}

/// The code's digits, how long it holds, and what came of it.
fn code_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let theme = Theme::get(ui);
    let Some(open) = &state.computers.pairing else {
        note_ui(ui, Icon::Clock, theme.text2, "Getting ready");
        return;
    };
    if open.stage == PairingStage::Closed {
        let text = "Three wrong codes, so nobody can guess on. Nothing was paired.";
        note_ui(ui, Icon::Error, theme.error, text);
        ui.add_space(10.0);
        if ui.add(Button::primary("Make a new code")).clicked() {
            commands.push(Command::StartPairing);
        }
        return;
    }
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 16.0;
        digits_ui(ui, open);
        countdown_ui(ui, state.pairing.code_left_secs);
    });
    ui.add_space(10.0);
    match open.stage {
        PairingStage::WrongCode { tries_left } => {
            let left = units::tries(tries_left);
            let text = format!("Someone typed a wrong code. {left} left.");
            note_ui(ui, Icon::Warning, theme.honey_text, &text);
        }
        PairingStage::Paired(_) => note_ui(ui, Icon::Check, theme.ok, "It is paired"),
        PairingStage::Waiting | PairingStage::Closed => {
            let text = "Waiting for a computer. A code works once; three wrong tries close this \
                        window.";
            note_ui(ui, Icon::Clock, theme.text2, text);
        }
    }
}

fn note_ui(ui: &mut Ui, icon: Icon, color: egui::Color32, text: &str) {
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = 8.0;
        let (rect, _) = ui.allocate_exact_size(vec2(14.0, 16.0), Sense::hover());
        icon.paint(ui.painter(), rect.center(), 14.0, color);
        widgets::label_color(ui, Type::Small, color, text);
    });
}

/// One box a digit, in two groups; read digit by digit.
fn digits_ui(ui: &mut Ui, open: &Pairing) {
    let theme = Theme::get(ui);
    const BOX: Vec2 = vec2(46.0, 58.0);
    let (gap, group_gap) = (6.0, 22.0);
    let digits: Vec<char> = open.code.chars().take(12).collect();
    let half = digits.len().div_ceil(2);
    let left = |index: usize| {
        let extra = if index >= half { group_gap - gap } else { 0.0 };
        index as f32 * (BOX.x + gap) + extra
    };
    let width = digits.len().checked_sub(1).map_or(0.0, |last| left(last) + BOX.x);
    let (rect, response) = ui.allocate_exact_size(vec2(width, BOX.y), Sense::hover());
    for (index, digit) in digits.iter().enumerate() {
        let cell = egui::Rect::from_min_size(rect.min + vec2(left(index), 0.0), BOX);
        let edge = Stroke::new(1.0, theme.edge);
        let radius = CornerRadius::same(RADIUS);
        ui.painter().rect(cell, radius, theme.field(), edge, StrokeKind::Inside);
        let font = Type::Code.font();
        ui.painter().text(cell.center(), Align2::CENTER_CENTER, digit, font, theme.text);
    }
    let spelled: Vec<String> = digits.iter().map(char::to_string).collect();
    let said = format!("Code {}", spelled.join(" "));
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &said));
}

fn countdown_ui(ui: &mut Ui, left_secs: f32) {
    let theme = Theme::get(ui);
    let size = vec2(ui.available_width(), 58.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let clock = time::clock(f64::from(left_secs));
    response.widget_info(|| {
        let left = time::spoken(f64::from(left_secs));
        WidgetInfo::labeled(Role::Timer, true, format!("{left} left, then a new code"))
    });
    let painter = ui.painter();
    let at = pos2(rect.left(), rect.center().y - 6.0);
    let start = Align2::LEFT_CENTER;
    widgets::paint_tabular(painter, at, start, &clock, Type::Figure, theme.text);
    let at = pos2(rect.right(), rect.center().y - 4.0);
    let font = Type::Small.font();
    painter.text(at, Align2::RIGHT_CENTER, "then a new code", font, theme.text3);
    let bar = egui::Rect::from_min_size(
        pos2(rect.left(), rect.center().y + 13.0),
        vec2(rect.width(), 4.0),
    );
    let radius = CornerRadius::same(2);
    painter.rect_filled(bar, radius, theme.ctl);
    let share = (left_secs / CODE_SECS).clamp(0.0, 1.0);
    painter.rect_filled(bar.with_max_x(bar.left() + bar.width() * share), radius, theme.honey);
}

/// Other ways in, for networks that block the search and computers without a keyboard.
fn help_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let theme = Theme::get(ui);
    let frame = Frame::new()
        .fill(theme.surf)
        .stroke(Stroke::new(1.0, theme.line))
        .corner_radius(CornerRadius::same(RADIUS_CARD))
        .inner_margin(Margin::symmetric(16, 14));
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing = vec2(12.0, 0.0);
            let (rect, _) = ui.allocate_exact_size(vec2(18.0, 20.0), Sense::hover());
            Icon::Help.paint(ui.painter(), rect.center(), 18.0, theme.honey_text);
            ui.vertical(|ui| {
                ui.set_width(ui.available_width());
                help_words_ui(ui, state, commands);
            });
        });
    });
}

fn help_words_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let theme = Theme::get(ui);
    widgets::label_color(ui, Type::BodyStrong, theme.text, "Nothing in its list?");
    ui.add_space(4.0);
    let addresses = &state.computers.addresses;
    let port = addresses.first().map_or(state.settings.worker_port, |address| address.port());
    let text = format!(
        "Some networks block the search. Type the address from step 2 into the worker instead, and \
         allow UDP port {port} on this PC."
    );
    widgets::label(ui, Type::Body, text);
    ui.add_space(10.0);
    let shown_id = Id::unique("other addresses are shown");
    let shown = ui.data(|data| data.get_temp(shown_id)).unwrap_or(false);
    let others = addresses.len().saturating_sub(1);
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(8.0, 6.0);
        if others > 0 {
            let button = Button::secondary(format!("Other addresses ({others})")).small();
            if ui.add(button.selected(shown)).clicked() {
                ui.data_mut(|data| data.insert_temp(shown_id, !shown));
            }
        }
        let ticket = Button::secondary("Pair by ticket, no keyboard needed").small();
        if ui.add(ticket.selected(state.pairing.ticket.is_some())).clicked() {
            commands.push(Command::MakeTicket);
        }
    });
    if shown {
        for address in addresses.iter().skip(1) {
            ui.add_space(6.0);
            copyable(ui, &address.to_string(), &format!("Copy {address}"), commands);
        }
    }
    if let Some(ticket) = &state.pairing.ticket {
        ui.add_space(10.0);
        let line = copyable(ui, ticket, "Copy the ticket", commands);
        // It may come out below what a low window shows.
        let seen_id = Id::unique("ticket that was scrolled to");
        if ui.data(|data| data.get_temp::<String>(seen_id)).as_ref() != Some(ticket) {
            line.scroll_to_me(None);
            ui.data_mut(|data| data.insert_temp(seen_id, ticket.clone()));
        }
        ui.add_space(6.0);
        let text = "Run “stemhive-worker join --ticket” there and paste this line, or put it into a \
                    file and redirect it. It works once, within a quarter of an hour, for whoever \
                    has it: send it only where you trust.";
        widgets::label_color(ui, Type::Small, theme.text2, text);
    }
}

/// A line in monospace with a copy button.
fn copyable(ui: &mut Ui, text: &str, name: &str, commands: &mut Vec<Command>) -> egui::Response {
    let theme = Theme::get(ui);
    let row = ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = 8.0;
        let width = ui.available_width() - 40.0;
        let frame = Frame::new()
            .fill(theme.bg)
            .corner_radius(CornerRadius::same(RADIUS))
            .inner_margin(Margin::symmetric(10, 7));
        frame.show(ui, |ui| {
            ui.set_width(width - 20.0);
            let line = widgets::rich(text, Type::Mono, theme.text);
            ui.add(Label::new(line).wrap_mode(egui::TextWrapMode::Wrap).selectable(true));
        });
        if ui.add(IconButton::new(Icon::Copy, name).size(30.0, 16.0)).clicked() {
            commands.push(Command::Copy(text.to_owned()));
        }
    });
    row.response
}

/// Shows the dialog in which fingerprints are compared; whether it asks to be closed.
pub(super) fn paired_ui(
    ctx: &Context,
    state: &State,
    device: DeviceId,
    commands: &mut Vec<Command>,
) -> bool {
    let Some(computer) = state.computer(device) else { return true };
    // The ticket named one end and its secret the other: there is nothing to compare.
    let is_confirmed = computer.standing != Standing::Unconfirmed;
    dialog::bare(ctx, &format!("{} is paired", computer.name), 556.0, |ui| {
        let theme = Theme::get(ui);
        body(ui, 16.0, |ui| {
            ui.add_space(10.0);
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 12.0;
                let (rect, _) = ui.allocate_exact_size(Vec2::splat(36.0), Sense::hover());
                let ring = Stroke::new(1.5, theme.ok);
                ui.painter().circle_stroke(rect.center(), 17.0, ring);
                Icon::Check.paint(ui.painter(), rect.center(), 18.0, theme.ok);
                let title = format!("{} is paired", computer.name);
                widgets::label_color(ui, Type::Figure, theme.text, title);
            });
            ui.add_space(12.0);
            let text = if is_confirmed {
                "It came with your ticket, so it may work at once. This is its fingerprint."
            } else {
                "Compare this fingerprint with the one on its screen before you let it work."
            };
            widgets::label(ui, Type::Body, text);
            ui.add_space(18.0);
            fingerprint_ui(ui, computer);
            ui.add_space(14.0);
            facts_ui(ui, state, computer);
            name_ui(ui, computer, commands);
            ui.add_space(18.0);
            let size = vec2(ui.available_width(), 36.0);
            ui.allocate_ui_with_layout(size, Layout::right_to_left(Align::Center), |ui| {
                ui.spacing_mut().item_spacing.x = 12.0;
                let (yes, no) = match is_confirmed {
                    true => ("Done", "Forget it"),
                    false => ("They match, start working", "They differ, forget it"),
                };
                let good = ui.add(Button::primary(yes));
                dialog::focus_first(ui, &good);
                if good.clicked() {
                    if !is_confirmed {
                        commands.push(Command::ConfirmComputer(device));
                    }
                    commands.push(Command::CloseDialog);
                }
                if ui.add(Button::secondary("Add another")).clicked() {
                    commands.push(Command::OpenDialog(Dialog::AddComputer));
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    if ui.add(Button::text(no)).clicked() {
                        commands.push(Command::ForgetComputer(device));
                        commands.push(Command::CloseDialog);
                    }
                });
            });
            ui.add_space(10.0);
        });
    })
}
