//! The start screen: open a song, go on with an earlier one, choose a model.

use egui::{
    Align, Align2, CornerRadius, Frame, Id, Layout, Margin, Popup, Rect, Response, ScrollArea,
    Sense, Shape, Stroke, StrokeKind, Ui, UiBuilder, Vec2, WidgetInfo, accesskit::Role, pos2, vec2,
};

use super::{
    computers::summary, errors, models, recent::recent_ui, start_picture::start_picture,
    work_card::work_ui,
};
use crate::{
    command::{Command, entry_of},
    icons::Icon,
    state::{Dialog, State},
    theme::{RADIUS_CARD, Theme, Type},
    widgets::{self, Button, IconButton},
};

const SIDE_WIDTH: f32 = 384.0;

/// The whole screen while no song is open.
pub fn start_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let theme = Theme::get(ui);
    ui.painter().rect_filled(ui.max_rect(), 0.0, theme.bg);
    ui.spacing_mut().item_spacing = Vec2::ZERO;
    top_bar(ui, state, commands);
    let wide = ui.available_width() >= 1000.0;
    let viewport_height = ui.available_height();
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        let side = if wide { 40 } else { 24 };
        let margin = Margin { left: side, right: side, top: 32, bottom: 32 };
        Frame::new().inner_margin(margin).show(ui, |ui| {
            let width = ui.available_width();
            let drop_height = (viewport_height * 0.52).clamp(372.0, 476.0);
            if wide {
                ui.horizontal_top(|ui| {
                    column(ui, width - SIDE_WIDTH - 32.0, |ui| {
                        open_area(ui, state, commands, drop_height);
                        ui.add_space(28.0);
                        recent_ui(ui, state, commands);
                    });
                    ui.add_space(32.0);
                    column(ui, SIDE_WIDTH, |ui| {
                        models::models_ui(ui, state, commands);
                        ui.add_space(12.0);
                        work_ui(ui, state, commands);
                    });
                });
            } else {
                open_area(ui, state, commands, drop_height);
                ui.add_space(28.0);
                recent_ui(ui, state, commands);
                ui.add_space(28.0);
                models::models_ui(ui, state, commands);
                ui.add_space(12.0);
                work_ui(ui, state, commands);
            }
        });
    });
}

fn column(ui: &mut Ui, width: f32, contents: impl FnOnce(&mut Ui)) {
    ui.allocate_ui_with_layout(vec2(width, 0.0), Layout::top_down(Align::Min), |ui| {
        ui.set_width(width);
        contents(ui);
    });
}

fn top_bar(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let theme = Theme::get(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 52.0), Sense::hover());
    ui.painter().rect_filled(rect, 0.0, theme.surf);
    ui.painter().hline(rect.x_range(), rect.bottom() - 0.5, Stroke::new(1.0, theme.line));
    let inner = rect.shrink2(vec2(16.0, 0.0));
    let layout = Layout::left_to_right(Align::Center);
    let mut left = ui.new_child(UiBuilder::new().max_rect(inner).layout(layout));
    let (logo, _) = left.allocate_exact_size(Vec2::splat(24.0), Sense::hover());
    Icon::Logo.paint(left.painter(), logo.center(), 24.0, theme.text);
    left.add_space(16.0);
    widgets::label_color(&mut left, Type::Title, theme.text, "Stemhive");

    let layout = Layout::right_to_left(Align::Center);
    let mut right = ui.new_child(UiBuilder::new().max_rect(inner).layout(layout));
    if right.add(IconButton::new(Icon::Help, "All keys").color(theme.text2)).clicked() {
        commands.push(Command::OpenDialog(Dialog::Shortcuts));
    }
    right.add_space(8.0);
    let settings = Button::text("Settings").icon(Icon::Gear).name("Settings…");
    if right.add(settings).clicked() {
        commands.push(Command::OpenDialog(Dialog::Settings));
    }
    right.add_space(8.0);
    computers_menu(&mut right, state, commands);
}

/// How many computers there are; opens a list of them.
fn computers_menu(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let text = summary(state);
    let button = Button::text(&text).icon(Icon::Monitor).name(format!("Computers: {text}"));
    let response = ui.add(button);
    Popup::menu(&response).width(240.0).gap(4.0).accessible_name("Computers").show(|ui| {
        for computer in &state.computers.computers {
            let button = Button::text(format!("{}…", computer.name)).width(228.0);
            if ui.add(button).clicked() {
                commands.push(Command::OpenDialog(Dialog::Computer(computer.device)));
                ui.close();
            }
        }
        let add = Button::text("Add a computer…").icon(Icon::Plus).width(228.0);
        if ui.add(add).clicked() {
            commands.push(Command::OpenDialog(Dialog::AddComputer));
            ui.close();
        }
    });
}

/// The drop target, or in its place what is wrong with a file that cannot be opened.
fn open_area(ui: &mut Ui, state: &State, commands: &mut Vec<Command>, height: f32) {
    if state.open_error.is_some() {
        errors::open_error_ui(ui, state, commands);
        ui.add_space(16.0);
    }
    let theme = Theme::get(ui);
    let dropping = ui.input(|input| !input.raw.hovered_files.is_empty());
    let (rect, target) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    target.widget_info(|| WidgetInfo::labeled(Role::Group, true, "Open a song"));
    let radius = CornerRadius::same(RADIUS_CARD);
    ui.painter().rect_filled(rect, radius, theme.surf);
    if dropping {
        let edge = Stroke::new(2.0, theme.honey_text);
        ui.painter().rect_stroke(rect, radius, edge, StrokeKind::Inside);
    } else {
        dashed_frame(ui, rect, Stroke::new(1.0, theme.edge));
    }

    let below = 224.0;
    let picture = Rect::from_min_max(
        pos2(rect.left() + 36.0, rect.top() + 20.0),
        pos2(rect.right() - 16.0, rect.bottom() - below),
    );
    start_picture(ui, picture);

    let words = Rect::from_min_max(pos2(rect.left() + 16.0, rect.bottom() - below + 6.0), rect.max);
    let layout = Layout::top_down(Align::Center);
    let ui = &mut ui.new_child(UiBuilder::new().max_rect(words).layout(layout));
    let headline = if dropping { "Let go to open it" } else { "Drop a song to take it apart" };
    widgets::label_color(ui, Type::Headline, theme.text, headline);
    ui.add_space(4.0);
    let first_seconds =
        "You can listen to the first seconds while the rest is still being worked on.";
    widgets::label(ui, Type::Body, first_seconds);
    ui.add_space(18.0);
    let keys = entry_of(&Command::OpenFiles).map(|entry| entry.keys_label()).unwrap_or_default();
    let open = ui.add(Button::primary("Open a song…").icon(Icon::Folder).keys(keys).big());
    focus_once(ui, &open);
    if open.clicked() {
        commands.push(Command::OpenFiles);
    }
    ui.add_space(18.0);
    path_row(ui, state, commands);
    ui.add_space(14.0);
    let waiting = state.picker_open_secs.is_some_and(|secs| secs > 3.0);
    let note = if waiting {
        "Waiting for the system's file dialog. If none shows up, type a path above or drop a file."
    } else if state.computers.computers.is_empty() {
        "MP3, WAV, FLAC, M4A, Ogg, AIFF, or a whole folder. Nothing leaves this computer."
    } else {
        "MP3, WAV, FLAC, M4A, Ogg, AIFF, or a whole folder. Nothing leaves your own computers."
    };
    let color = if waiting { theme.honey_text } else { theme.text3 };
    widgets::label_color(ui, Type::Small, color, note);
}

/// The first thing to do has the focus when the program starts.
fn focus_once(ui: &Ui, first: &Response) {
    let id = Id::unique("start screen had the focus");
    let had = ui.data_mut(|data| std::mem::replace(data.get_temp_mut_or_default(id), true));
    if !had && ui.memory(|memory| memory.focused()).is_none() {
        first.request_focus();
    }
}

/// A path typed or pasted; opens with Enter or the button.
fn path_row(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let width = 440.0f32.min(ui.available_width() - 32.0);
    ui.allocate_ui_with_layout(vec2(width, 34.0), Layout::left_to_right(Align::Center), |ui| {
        let mut path = state.path_field.clone();
        let typed = ui
            .scope(|ui| {
                ui.set_max_width(width - 72.0);
                let hint = "Or type a path, such as ~/Music/song.mp3";
                widgets::text_field(ui, "path", "Path of a song", &mut path, hint, Type::Body, None)
            })
            .inner;
        if typed.changed() {
            commands.push(Command::EditPathField(path.clone()));
        }
        let entered = typed.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        ui.add_space(8.0);
        let button = Button::secondary("Open").width(64.0).name("Open this path");
        let pressed = ui.add_enabled(!path.trim().is_empty(), button).clicked();
        if (entered || pressed) && !path.trim().is_empty() {
            commands.push(Command::OpenPathField);
        }
    });
}

fn dashed_frame(ui: &Ui, rect: Rect, stroke: Stroke) {
    let rect = rect.shrink(0.5);
    let r = f32::from(RADIUS_CARD);
    let mut outline = Vec::new();
    for (corner, start) in [
        (pos2(rect.right() - r, rect.top() + r), -90.0f32),
        (pos2(rect.right() - r, rect.bottom() - r), 0.0),
        (pos2(rect.left() + r, rect.bottom() - r), 90.0),
        (pos2(rect.left() + r, rect.top() + r), 180.0),
    ] {
        for step in 0..=6 {
            let angle = (start + 15.0 * step as f32).to_radians();
            outline.push(corner + Vec2::angled(angle) * r);
        }
    }
    outline.push(outline[0]);
    ui.painter().extend(Shape::dashed_line(&outline, stroke, 4.0, 3.0));
}

/// A heading over a list, with the same height wherever it stands.
pub(super) fn heading(ui: &mut Ui, text: &str) {
    let color = Theme::get(ui).text;
    let height = Type::Title.line_height();
    let (rect, response) =
        ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    let galley = widgets::galley(ui.painter(), text, Type::Title, color, rect.width());
    let pos = Align2::LEFT_CENTER.anchor_size(rect.left_center(), galley.size()).min;
    ui.painter().galley(pos, galley, color);
    response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, text));
    ui.add_space(12.0);
}

/// Where [`recent_ui`] keeps which song is about to be forgotten.
pub(super) fn forget_id() -> Id {
    Id::unique("song about to be forgotten")
}
