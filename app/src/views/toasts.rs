//! Messages at the bottom right, three at most, newest below; running exports among them.

use egui::{Align, Align2, Area, Context, Id, Layout, Order, Ui, Vec2, accesskit::Live, vec2};

use super::errors::{Problem, actions_row, problem_lines, tone_color, tone_icon};
use crate::{
    command::Command,
    icons::Icon,
    state::{ExportRun, State, Toast, Tone},
    theme::Theme,
    units,
    widgets::{self, Button},
};

const WIDTH: f32 = 360.0;
const AT_MOST: usize = 3;

/// Shows the messages `bottom` points above the window's lower edge.
pub fn toasts_ui(ctx: &Context, state: &State, bottom: f32, commands: &mut Vec<Command>) {
    if state.toasts.is_empty() && state.exports.is_empty() {
        return;
    }
    let id = Id::unique("toasts");
    let before = ctx.memory(|memory| memory.area_rect(id));
    let area = Area::new(id)
        .order(Order::Foreground)
        .anchor(Align2::RIGHT_BOTTOM, vec2(-16.0, -bottom - 16.0))
        .show(ctx, |ui| {
            ui.set_width(WIDTH);
            ui.spacing_mut().item_spacing = vec2(0.0, 8.0);
            ui.with_layout(Layout::top_down(Align::Min), |ui| {
                let running = state.exports.len().min(AT_MOST);
                let shown = state.toasts.len().min(AT_MOST - running);
                for toast in &state.toasts[state.toasts.len() - shown..] {
                    toast_ui(ui, toast, commands);
                }
                for run in &state.exports[state.exports.len() - running..] {
                    export_ui(ui, run, commands);
                }
            });
        });
    // It is placed by the size it had; one more frame when that has changed.
    if before.map(|rect| rect.size()) != Some(area.response.rect.size()) {
        ctx.request_repaint();
    }
}

fn frame(ui: &mut Ui, contents: impl FnOnce(&mut Ui)) -> egui::Response {
    let theme = Theme::get(ui);
    widgets::toast_frame(theme)
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing = Vec2::ZERO;
            contents(ui);
        })
        .response
}

fn toast_ui(ui: &mut Ui, toast: &Toast, commands: &mut Vec<Command>) {
    let response = frame(ui, |ui| {
        ui.push_id(toast.key, |ui| {
            let problem = Problem {
                icon: tone_icon(toast.tone),
                color: tone_color(Theme::get(ui), toast.tone),
                title: &toast.title,
                text: toast.text.as_deref(),
                kept: toast.kept.as_deref(),
            };
            problem_lines(ui, problem, |ui| {
                if toast.buttons.is_empty() && toast.left_secs.is_some() {
                    return;
                }
                actions_row(ui, |ui| {
                    for (label, command) in &toast.buttons {
                        if ui.add(Button::secondary(label).small()).clicked() {
                            commands.push(command.clone());
                        }
                    }
                    let hide = Button::text("Hide").small();
                    if ui.add(hide.name(format!("Hide: {}", toast.title))).clicked() {
                        commands.push(Command::DismissToast(toast.key));
                    }
                });
            });
        });
    });
    // Read out when it appears: errors at once, the rest when the reader pauses.
    let live = if toast.tone == Tone::Error { Live::Assertive } else { Live::Polite };
    ui.ctx().accesskit_node_builder(response.id, |node| node.set_live(live));
}

fn export_ui(ui: &mut Ui, run: &ExportRun, commands: &mut Vec<Command>) {
    frame(ui, |ui| {
        ui.push_id(("export", run.key), |ui| {
            let files = units::count(run.files, "file");
            let title = format!("Exporting {files}, {:.0} %", run.fraction * 100.0);
            let problem = Problem {
                icon: Icon::Export,
                color: Theme::get(ui).text2,
                title: &title,
                text: Some(&run.title),
                kept: None,
            };
            problem_lines(ui, problem, |ui| {
                ui.add_space(10.0);
                let color = Theme::get(ui).honey;
                widgets::progress_bar(ui, run.fraction, color, "Export");
                actions_row(ui, |ui| {
                    let cancel = Button::text("Cancel").small();
                    if ui.add(cancel.name("Cancel this export")).clicked() {
                        commands.push(Command::CancelExport(run.key));
                    }
                });
            });
        });
    });
}
