//! When something goes wrong: what happened, what was kept, what to do; never only a colour,
//! never a dead end.

use std::{fmt::Write as _, sync::Arc};

use egui::{Color32, CornerRadius, Frame, Id, Margin, Sense, Stroke, Ui, Vec2, vec2};
use engine::Error;

use crate::{
    command::Command,
    icons::Icon,
    state::{State, Tone},
    theme::{RADIUS, RADIUS_CARD, Theme, Type},
    time::frames_range,
    units,
    widgets::{self, Button, IconButton},
};

/// The three lines of a problem.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// Its sign.
    pub icon: Icon,
    /// Colour of the sign.
    pub color: Color32,
    /// What happened.
    pub title: &'a str,
    /// More about it.
    pub text: Option<&'a str>,
    /// What was kept.
    pub kept: Option<&'a str>,
}

/// Colour of a tone.
pub fn tone_color(theme: &Theme, tone: Tone) -> Color32 {
    match tone {
        Tone::Good => theme.ok,
        Tone::Warning => theme.honey_text,
        Tone::Error => theme.error,
    }
}

/// Icon of a tone.
pub fn tone_icon(tone: Tone) -> Icon {
    match tone {
        Tone::Good => Icon::Check,
        Tone::Warning => Icon::Warning,
        Tone::Error => Icon::Error,
    }
}

/// Icon, title, text and what was kept, then whatever `actions` adds, best step first.
pub fn problem_lines(ui: &mut Ui, problem: Problem<'_>, actions: impl FnOnce(&mut Ui)) {
    let theme = Theme::get(ui);
    ui.spacing_mut().item_spacing = Vec2::ZERO;
    ui.horizontal_top(|ui| {
        let (rect, _) = ui.allocate_exact_size(vec2(20.0, 20.0), Sense::hover());
        problem.icon.paint(ui.painter(), rect.center(), 20.0, problem.color);
        ui.add_space(12.0);
        ui.vertical(|ui| {
            widgets::label_color(ui, Type::Title, theme.text, problem.title);
            if let Some(text) = problem.text {
                ui.add_space(3.0);
                widgets::label(ui, Type::Body, text);
            }
            if let Some(kept) = problem.kept {
                ui.add_space(4.0);
                kept_line(ui, kept);
            }
            actions(ui);
        });
    });
}

fn kept_line(ui: &mut Ui, kept: &str) {
    let color = Theme::get(ui).ok;
    ui.horizontal_top(|ui| {
        let (rect, _) = ui.allocate_exact_size(vec2(20.0, 16.0), Sense::hover());
        Icon::Check.paint(ui.painter(), rect.left_center() + vec2(7.0, 0.0), 14.0, color);
        widgets::label_color(ui, Type::Small, color, sentence(kept));
    });
}

/// The engine's sentences come without a final full stop.
fn sentence(text: &str) -> String {
    let open = !text.is_empty() && !text.ends_with(['.', '!', '?', '…']);
    if open { format!("{text}.") } else { text.into() }
}

/// A card of a problem.
pub fn problem_card(ui: &mut Ui, problem: Problem<'_>, actions: impl FnOnce(&mut Ui)) {
    let theme = Theme::get(ui);
    Frame::new()
        .fill(theme.raised)
        .stroke(Stroke::new(1.0, theme.line))
        .corner_radius(CornerRadius::same(RADIUS_CARD))
        .inner_margin(Margin::symmetric(20, 18))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            problem_lines(ui, problem, actions);
        });
}

/// "Show details", and below it, once pressed, the causes with a copy button. Last in a row of
/// buttons; call [`details_ui`] below that row.
pub fn details_button(ui: &mut Ui, id: Id) {
    let open = details_open(ui, id);
    let text = if open { "Hide details" } else { "Show details" };
    if ui.add(Button::text(text).small()).clicked() {
        ui.data_mut(|data| data.insert_temp(id, !open));
    }
}

fn details_open(ui: &Ui, id: Id) -> bool {
    ui.data(|data| data.get_temp(id)).unwrap_or(false)
}

/// The causes, when "Show details" was pressed.
pub fn details_ui(ui: &mut Ui, id: Id, lines: &[String], commands: &mut Vec<Command>) {
    if !details_open(ui, id) {
        return;
    }
    ui.add_space(10.0);
    details_box(ui, lines, commands);
}

/// Lines in monospace with a copy button.
pub(super) fn details_box(ui: &mut Ui, lines: &[String], commands: &mut Vec<Command>) {
    let theme = Theme::get(ui);
    Frame::new()
        .fill(theme.bg)
        .corner_radius(CornerRadius::same(RADIUS))
        .inner_margin(Margin::symmetric(12, 10))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal_top(|ui| {
                let width = ui.available_width() - 40.0;
                ui.vertical(|ui| {
                    ui.set_width(width);
                    for line in lines {
                        let text = widgets::rich(line.as_str(), Type::Mono, theme.text2);
                        ui.add(egui::Label::new(text).wrap().selectable(true));
                    }
                });
                if ui.add(IconButton::new(Icon::Copy, "Copy the details")).clicked() {
                    commands.push(Command::Copy(lines.join("\n")));
                }
            });
        });
}

/// What happened and every cause below it.
pub fn details_of(error: &Error) -> Vec<String> {
    std::iter::once(format!("{:?}: {}", error.kind, error.what)).chain(error.details()).collect()
}

/// A file that cannot be read, in place of the song.
pub fn open_error_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let Some(open_error) = &state.open_error else { return };
    let error = &open_error.error;
    let mut text = sentence(&error.what);
    if let Some(advice) = &error.advice {
        let _ = write!(text, " {}", sentence(advice));
    }
    let kept = error.kept.as_deref().unwrap_or(if state.songs.is_empty() {
        "Nothing was changed"
    } else {
        "Nothing was changed; your open song is still here"
    });
    let title = format!("“{}” cannot be opened", open_error.name);
    let problem = Problem {
        icon: Icon::Error,
        color: Theme::get(ui).error,
        title: &title,
        text: Some(&text),
        kept: Some(kept),
    };
    let id = Id::unique("open error details");
    problem_card(ui, problem, |ui| {
        actions_row(ui, |ui| {
            if ui.add(Button::secondary("Open another song…").small()).clicked() {
                commands.push(Command::OpenFiles);
            }
            if ui.add(Button::text("Close").small().name("Close this message")).clicked() {
                commands.push(Command::CloseOpenError);
            }
            details_button(ui, id);
        });
        details_ui(ui, id, &details_of(error), commands);
    });
}

/// Stretches that could not be separated, above the lanes.
pub fn failed_pieces_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let Some(song) = state.song() else { return };
    let failed: Vec<_> = song.failed_pieces().collect();
    let (Some((first, error)), Some(job)) = (failed.first(), &song.job) else { return };
    let title = match failed.len() {
        1 => format!("{} could not be separated", frames_range(first)),
        many => {
            format!("{many} pieces could not be separated, the first at {}", frames_range(first))
        }
    };
    let text = format!("{} Until it works, the original plays there.", sentence(&error.what));
    let kept = match job.committed() {
        0 => "The song itself is untouched".into(),
        done => format!("The other {} are done and saved", units::count(done, "piece")),
    };
    let problem = Problem {
        icon: Icon::Warning,
        color: Theme::get(ui).honey_text,
        title: &title,
        text: Some(&text),
        kept: Some(&kept),
    };
    let id = Id::unique("failed pieces details");
    problem_card(ui, problem, |ui| {
        actions_row(ui, |ui| {
            if ui.add(Button::secondary("Try again").small()).clicked() {
                commands.push(Command::RetryFailed);
            }
            details_button(ui, id);
        });
        let lines: Vec<String> = failed
            .iter()
            .flat_map(|(range, error): &(_, &Arc<Error>)| {
                let mut lines = details_of(error);
                lines[0] = format!("{} {}", frames_range(range), lines[0]);
                lines
            })
            .take(64)
            .collect();
        details_ui(ui, id, &lines, commands);
    });
}

/// A row of buttons under a problem.
pub(super) fn actions_row(ui: &mut Ui, buttons: impl FnOnce(&mut Ui)) {
    ui.add_space(12.0);
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(8.0, 6.0);
        buttons(ui);
    });
}
