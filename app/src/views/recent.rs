//! Songs opened before: picture, title, how far they are, and a way to forget them.

use egui::{
    Align2, Color32, CornerRadius, Frame, Rect, Sense, Stroke, Ui, WidgetInfo, accesskit::Role,
    pos2, vec2,
};

use super::start::{forget_id, heading};
use crate::{
    command::Command,
    icons::Icon,
    state::{RecentSong, Standing, State},
    theme::{RADIUS_CARD, Theme, Type},
    time::clock,
    widgets::{self, Button, IconButton},
};

const ROW: f32 = 69.0;

/// The card of recent songs.
pub(super) fn recent_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    heading(ui, "Recent songs");
    let theme = Theme::get(ui);
    Frame::new()
        .fill(theme.surf)
        .stroke(Stroke::new(1.0, theme.line))
        .corner_radius(CornerRadius::same(RADIUS_CARD))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            if state.recent.is_empty() {
                Frame::new().inner_margin(20).show(ui, |ui| {
                    let text = "Songs you open appear here, with the stems made of them.";
                    widgets::label_color(ui, Type::Body, theme.text3, text);
                });
            }
            for (index, song) in state.recent.iter().enumerate() {
                if index > 0 {
                    widgets::separator(ui);
                }
                row(ui, song, commands);
            }
        });
}

fn row(ui: &mut Ui, song: &RecentSong, commands: &mut Vec<Command>) {
    let theme = Theme::get(ui);
    let (rect, group) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::CLICK);
    let (icon, color, standing) = standing(theme, song.standing);
    let length = clock(song.duration_secs);
    group.widget_info(|| {
        let artist = song.artist.as_deref().unwrap_or("Unknown artist");
        let name = format!("{}, {artist}, {length}, {standing}", song.title);
        WidgetInfo::labeled(Role::ListItem, true, name)
    });
    if group.hovered() {
        let radius = CornerRadius::same(RADIUS_CARD);
        ui.painter().rect_filled(rect.shrink(1.0), radius, theme.raised);
    }
    if group.clicked() {
        commands.push(Command::OpenRecent(song.id));
    }

    let narrow = rect.width() < 560.0;
    let middle = rect.center().y;
    let mut left = rect.left() + 16.0;
    if !narrow {
        let picture = Rect::from_min_size(pos2(left, middle - 15.0), vec2(132.0, 30.0));
        mini_wave(ui, picture, &song.peaks);
        left += 132.0 + 16.0;
    }

    let forgetting = ui.data(|data| data.get_temp(forget_id())) == Some(song.id);
    let right = rect.right() - 16.0;
    let buttons = if forgetting { 250.0 } else { 132.0 };
    let state_left = right - buttons - 136.0;
    let time_right = if forgetting { state_left } else { state_left - 16.0 };

    let texts = (time_right - 66.0 - left).max(40.0);
    let title = widgets::galley(ui.painter(), song.title.as_str(), Type::Title, theme.text, texts);
    ui.painter().galley(pos2(left, middle - 19.0), title, theme.text);
    let artist = song.artist.as_deref().unwrap_or("Unknown artist");
    let artist = widgets::galley(ui.painter(), artist, Type::Small, theme.text3, texts);
    ui.painter().galley(pos2(left, middle + 2.0), artist, theme.text3);

    if forgetting {
        let ask = widgets::galley(
            ui.painter(),
            "Delete its stems too?",
            Type::Small,
            theme.honey_text,
            150.0,
        );
        let pos = Align2::RIGHT_CENTER.anchor_size(pos2(right - buttons, middle), ask.size());
        ui.painter().galley(pos.min, ask, theme.honey_text);
    } else {
        let pos = pos2(time_right, middle);
        let anchor = Align2::RIGHT_CENTER;
        widgets::paint_tabular(ui.painter(), pos, anchor, &length, Type::Body, theme.text2);
        icon.paint(ui.painter(), pos2(state_left + 8.0, middle), 15.0, color);
        let text = widgets::galley(ui.painter(), standing, Type::Small, color, 116.0);
        let pos = pos2(state_left + 22.0, middle - text.size().y / 2.0);
        ui.painter().galley(pos, text, color);
    }
    row_buttons(ui, song, forgetting, pos2(right, middle), commands);
}

fn row_buttons(
    ui: &mut Ui,
    song: &RecentSong,
    forgetting: bool,
    right: egui::Pos2,
    commands: &mut Vec<Command>,
) {
    let at = |from_right: f32, width: f32, height: f32| {
        let min = pos2(right.x - from_right - width, right.y - height / 2.0);
        Rect::from_min_size(min, vec2(width, height))
    };
    ui.push_id(song.id, |ui| {
        if forgetting {
            let delete = Button::secondary("Delete").name(format!("Delete {}", song.title));
            if ui.place(at(92.0, 84.0, 32.0), delete.width(84.0)).clicked() {
                commands.push(Command::ForgetRecent(song.id));
                ui.data_mut(|data| data.remove::<engine::song::SongId>(forget_id()));
            }
            let keep = Button::text("Keep").name(format!("Keep {}", song.title)).width(84.0);
            if ui.place(at(0.0, 84.0, 32.0), keep).clicked() {
                ui.data_mut(|data| data.remove::<engine::song::SongId>(forget_id()));
            }
            return;
        }
        let verb = match song.standing {
            Standing::HalfDone { .. } => "Continue",
            _ => "Open",
        };
        let theme = Theme::get(ui);
        let open = Button::text(verb).color(theme.text).width(88.0);
        let open = open.name(format!("{verb} {}", song.title));
        if ui.place(at(40.0, 88.0, 32.0), open).clicked() {
            commands.push(Command::OpenRecent(song.id));
        }
        let forget = IconButton::new(Icon::Trash, format!("Forget {}…", song.title))
            .color(theme.text3)
            .size(32.0, 16.0);
        if ui.place(at(0.0, 32.0, 32.0), forget).clicked() {
            ui.data_mut(|data| data.insert_temp(forget_id(), song.id));
        }
    });
}

fn standing(theme: &Theme, standing: Standing) -> (Icon, Color32, String) {
    match standing {
        Standing::NotSeparated => (Icon::File, theme.text3, "Not separated yet".into()),
        Standing::HalfDone { fraction } => {
            let percent = (fraction * 100.0).clamp(0.0, 99.0);
            (Icon::Pause, theme.honey_text, format!("Paused at {percent:.0} %"))
        }
        Standing::Separated { stems } => (Icon::Check, theme.ok, format!("{stems} stems ready")),
    }
}

/// The song as a small grey waveform: peaks behind, a body before them.
fn mini_wave(ui: &Ui, rect: Rect, peaks: &[f32]) {
    let theme = Theme::get(ui);
    let middle = rect.center().y;
    if peaks.is_empty() {
        ui.painter().hline(rect.x_range(), middle, Stroke::new(1.0, theme.line));
        return;
    }
    let columns = rect.width() as usize;
    let mut mesh = egui::Mesh::default();
    for column in 0..columns {
        let from = column * peaks.len() / columns;
        let to = ((column + 1) * peaks.len() / columns).max(from + 1).min(peaks.len());
        let peak = peaks[from..to].iter().fold(0.0f32, |a, b| a.max(*b)).clamp(0.0, 1.0);
        let x = rect.left() + column as f32;
        for (share, alpha) in [(1.0, 0.48), (0.45, 1.0)] {
            let half = (peak * share * rect.height() / 2.0).max(0.5);
            let bar = Rect::from_min_max(pos2(x, middle - half), pos2(x + 1.0, middle + half));
            mesh.add_colored_rect(bar, theme.mix.gamma_multiply(alpha));
        }
    }
    ui.painter().add(mesh);
}
