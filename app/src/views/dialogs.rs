//! Which dialog is on top, and the two small ones: quitting while exports run, error details.

use egui::{Align, Context, Frame, Layout, Margin, ScrollArea, Ui, Vec2, vec2};

use super::{computer_dialogs, errors::details_box, export, pairing, palette, settings, shortcuts};
use crate::{
    command::Command,
    state::{Dialog, State},
    theme::Type,
    units,
    widgets::{self, Button, dialog},
};

/// Shows the dialog of `state`, if any. Call once a frame, after everything below it.
pub fn dialogs_ui(ctx: &Context, state: &State, commands: &mut Vec<Command>) {
    let closed = match &state.dialog {
        None => {
            dialog::leave(ctx);
            false
        }
        Some(Dialog::Export) => export::export_ui(ctx, state, commands),
        Some(Dialog::Settings) => settings::settings_ui(ctx, state, commands),
        Some(Dialog::Shortcuts) => shortcuts::shortcuts_ui(ctx),
        Some(Dialog::Palette) => palette::palette_ui(ctx, state, commands),
        Some(Dialog::AddComputer) => pairing::add_ui(ctx, state, commands),
        Some(Dialog::Paired(device)) => pairing::paired_ui(ctx, state, *device, commands),
        Some(Dialog::Computer(device)) => {
            computer_dialogs::computer_ui(ctx, state, *device, commands)
        }
        Some(Dialog::Quit) => quit_ui(ctx, state, commands),
        Some(Dialog::Details { title, lines }) => details_ui(ctx, title, lines, commands),
    };
    if closed {
        commands.push(Command::CloseDialog);
    }
}

/// The lower edge of a dialog: a line, then buttons from the right.
pub(super) fn footer(ui: &mut Ui, contents: impl FnOnce(&mut Ui)) {
    widgets::separator(ui);
    Frame::new().inner_margin(Margin::symmetric(24, 14)).show(ui, |ui| {
        let size = vec2(ui.available_width(), 36.0);
        ui.allocate_ui_with_layout(size, Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing = vec2(12.0, 0.0);
            contents(ui);
        });
    });
}

/// The middle of a dialog; scrolls when the window is low. `around` is the height of the rest.
pub(super) fn body(ui: &mut Ui, around: f32, contents: impl FnOnce(&mut Ui)) {
    let height = (ui.ctx().content_rect().height() - 32.0 - around).max(80.0);
    ScrollArea::vertical().max_height(height).auto_shrink([false, true]).show(ui, |ui| {
        Frame::new().inner_margin(Margin::symmetric(24, 18)).show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing = Vec2::ZERO;
            contents(ui);
        });
    });
}

fn quit_ui(ctx: &Context, state: &State, commands: &mut Vec<Command>) -> bool {
    let running = units::count(state.exports.len(), "export");
    let title = format!("{running} still running");
    dialog::dialog(ctx, &title, None, 460.0, |ui| {
        body(ui, 150.0, |ui| {
            let text = "Quitting now cancels it. Files already finished stay; unfinished ones are \
                        removed. The song's stems are saved either way.";
            widgets::label(ui, Type::Body, text);
        });
        footer(ui, |ui| {
            let keep = ui.add(Button::primary("Keep exporting"));
            dialog::focus_first(ui, &keep);
            if keep.clicked() {
                commands.push(Command::CloseDialog);
            }
            if ui.add(Button::text("Quit anyway")).clicked() {
                commands.push(Command::QuitNow);
            }
        });
    })
}

fn details_ui(ctx: &Context, title: &str, lines: &[String], commands: &mut Vec<Command>) -> bool {
    let mut close = false;
    let asked = dialog::dialog(ctx, title, None, 620.0, |ui| {
        body(ui, 150.0, |ui| details_box(ui, lines, commands));
        footer(ui, |ui| {
            let button = ui.add(Button::secondary("Close").keys("Esc"));
            dialog::focus_first(ui, &button);
            close = button.clicked();
        });
    });
    asked || close
}
