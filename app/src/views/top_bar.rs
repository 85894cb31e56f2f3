//! The top bar: which song, which model, export, side panel.

use std::sync::Arc;

use egui::{
    Align2, Color32, ColorImage, Id, Mesh, Popup, Rect, Sense, Shape, TextureHandle,
    TextureOptions, Ui, Vec2, pos2, vec2,
};

use super::{
    at, at_right,
    computers::summary,
    layout::Measures,
    models::{described, supply_ui},
};
use crate::{
    command::{Command, entry_of},
    icons::Icon,
    state::{Dialog, ModelCard, SongView, State, frame_secs},
    theme::{Theme, Type},
    time,
    widgets::{
        Button, IconButton, MARK_INDENT, focus_ring, galley, label_color, radio, text_width,
    },
};

/// Draws the top bar over all of `ui`.
pub fn top_bar_ui(
    ui: &mut Ui,
    state: &State,
    song: &SongView,
    measures: &Measures,
    commands: &mut Vec<Command>,
) {
    let theme = Theme::get(ui);
    let place = ui.max_rect();
    ui.painter().rect_filled(place, 0.0, theme.surf);

    let logo =
        Rect::from_center_size(pos2(place.left() + 28.0, place.center().y), Vec2::splat(36.0));
    at(ui, "logo", logo, |ui| home_button(ui, commands));
    let tile =
        Rect::from_center_size(pos2(place.left() + 73.0, place.center().y), Vec2::splat(34.0));
    match &song.cover {
        Some(cover) => paint_cover(ui, tile, cover),
        None => paint_letters(ui, tile, &song.title()),
    }

    let left = tile.right() + 12.0;
    let row = place.shrink2(vec2(16.0, 0.0));
    let buttons_left = at_right(ui, "buttons", row, |ui| {
        ui.spacing_mut().item_spacing.x = if measures.small { 8.0 } else { 16.0 };
        right_side(ui, state, song, measures, commands);
        ui.min_rect().left()
    });
    title(ui, song, Rect::from_x_y_ranges(left..=buttons_left - 16.0, place.y_range()));
}

/// The logo leads back to the start screen.
fn home_button(ui: &mut Ui, commands: &mut Vec<Command>) {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(36.0), Sense::click());
    Icon::Logo.paint(ui.painter(), rect.center(), 24.0, Color32::WHITE);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "All songs"));
    focus_ring(ui, &response, rect.shrink(4.0), 6);
    if response.on_hover_text("All songs").clicked() {
        commands.push(Command::ShowStart);
    }
}

/// A tile with the song's cover. Its texture is kept while it is on screen.
fn paint_cover(ui: &Ui, rect: Rect, cover: &Arc<ColorImage>) {
    let id = Id::unique("cover on screen");
    let kept: Option<(Arc<ColorImage>, TextureHandle)> = ui.data(|data| data.get_temp(id));
    let texture = match kept {
        Some((kept, texture)) if Arc::ptr_eq(&kept, cover) => texture,
        _ => {
            let texture = ui.ctx().load_texture("cover", cover.clone(), TextureOptions::LINEAR);
            ui.data_mut(|data| data.insert_temp(id, (cover.clone(), texture.clone())));
            texture
        }
    };
    egui::Image::from_texture(&texture).corner_radius(7).paint_at(ui, rect);
}

/// A tile with the song's first letters, its colours taken from the title.
fn paint_letters(ui: &Ui, rect: Rect, title: &str) {
    let hash = title.bytes().fold(7u32, |acc, byte| acc.wrapping_mul(31).wrapping_add(byte.into()));
    let hue = (hash % 360) as f32 / 360.0;
    let shade = |value: f32, shift: f32| -> Color32 {
        egui::epaint::Hsva::new((hue + shift).fract(), 0.25, value, 1.0).into()
    };
    let (dark, light) = (shade(0.28, 0.0), shade(0.48, 0.12));
    let mut mesh = Mesh::default();
    for (corner, color) in [
        (rect.left_top(), dark),
        (rect.right_top(), dark.lerp_to_gamma(light, 0.5)),
        (rect.right_bottom(), light),
        (rect.left_bottom(), dark.lerp_to_gamma(light, 0.5)),
    ] {
        mesh.colored_vertex(corner, color);
    }
    mesh.add_triangle(0, 1, 2);
    mesh.add_triangle(0, 2, 3);
    ui.painter().add(Shape::mesh(mesh));
    // Rounds the corners by painting the surface's colour over them.
    let surface = egui::Stroke::new(3.0, Theme::get(ui).surf);
    ui.painter().rect_stroke(rect.expand(1.5), 8.0, surface, egui::StrokeKind::Middle);
    let letters: String = title.chars().filter(|c| c.is_alphanumeric()).take(2).collect();
    ui.painter().text(
        rect.center(),
        Align2::CENTER_CENTER,
        letters,
        Type::BodyMedium.font(),
        Color32::WHITE,
    );
}

fn title(ui: &mut Ui, song: &SongView, place: Rect) {
    let theme = Theme::get(ui);
    let name = galley(ui.painter(), song.title(), Type::Title, theme.text, place.width());
    let facts = facts(song, place.width(), &|text| text_width(ui.painter(), text, Type::Small));
    let facts = galley(ui.painter(), facts, Type::Small, theme.text3, place.width());
    let middle = place.center().y;
    let response = ui.interact(place, ui.scope_id().with("title"), Sense::hover());
    let said = format!("{}, {}", name.text(), facts.text());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, &said));
    ui.painter().galley(pos2(place.left(), middle - 19.0), name, theme.text);
    ui.painter().galley(pos2(place.left(), middle + 1.0), facts, theme.text3);
}

/// "Artist · 5:27 · MP3 320 kb/s · 44.1 kHz stereo", as much of it as fits.
fn facts(song: &SongView, width: f32, measure: &dyn Fn(&str) -> f32) -> String {
    let mut parts = Vec::new();
    if let Some(info) = &song.info {
        parts.extend(info.artist.clone());
    }
    if song.frames > 0 {
        parts.push(time::clock(frame_secs(song.frames)));
    }
    if let Some(info) = &song.info {
        parts.push(match (info.bitrate_bps, info.bits_per_sample) {
            (_, Some(bits)) => format!("{} {bits} bit", info.codec),
            (Some(bps), None) => format!("{} {} kb/s", info.codec, (bps + 500) / 1000),
            (None, None) => info.codec.clone(),
        });
        let khz = f64::from(info.source.sample_rate_hz) / 1000.0;
        let channels = match info.source.channels {
            1 => "mono".to_owned(),
            2 => "stereo".to_owned(),
            n => format!("{n} channels, mixed to stereo"),
        };
        parts.push(format!("{khz} kHz {channels}"));
    }
    while parts.len() > 2 && measure(&parts.join(" · ")) > width {
        parts.pop();
    }
    parts.join(" · ")
}

fn right_side(
    ui: &mut Ui,
    state: &State,
    song: &SongView,
    measures: &Measures,
    commands: &mut Vec<Command>,
) {
    let shown = state.side_panel_shown();
    // While other computers help, the panel is about them.
    let panel = if song.is_separating() && !state.computers.computers.is_empty() {
        let text = summary(state);
        let short = if measures.small { text.replace(" working", "") } else { text.clone() };
        let button = Button::secondary(short).icon(Icon::Monitor).selected(shown);
        ui.add(button.name(format!("Computers: {text}")))
    } else {
        ui.add(IconButton::new(Icon::Panel, "Side panel").filled().selected(shown))
    };
    if panel.on_hover_text(keys_of(&Command::ToggleSidePanel)).clicked() {
        commands.push(Command::ToggleSidePanel);
    }
    let gear = IconButton::new(Icon::Gear, "Settings…");
    if ui.add(gear).clicked() {
        commands.push(Command::OpenDialog(Dialog::Settings));
    }
    let export = if song.is_separated() {
        let keys = if measures.small { String::new() } else { keys_of(&Command::OpenExport) };
        Button::primary("Export…").keys(keys)
    } else if song.job.is_some() && !measures.small {
        Button::outlined("Export ready part…")
    } else {
        Button::outlined("Export…")
    };
    let response = ui.add_enabled(song.frames > 0, export.icon(Icon::Export));
    if response.clicked() {
        commands.push(Command::OpenExport);
    }
    model_chooser(ui, state, song, measures, commands);
}

fn keys_of(command: &Command) -> String {
    entry_of(command).map(|entry| entry.keys_label()).unwrap_or_default()
}

fn model_chooser(
    ui: &mut Ui,
    state: &State,
    song: &SongView,
    measures: &Measures,
    commands: &mut Vec<Command>,
) {
    let name = song.job_model.as_ref();
    let used = name.and_then(|name| state.models.iter().find(|card| card.info.name == *name));
    let Some(card) = used.or_else(|| state.model()) else { return };
    let text = if measures.small {
        card.info.title.clone()
    } else {
        format!("{} · {} stems", card.info.title, card.info.stems.len())
    };
    let button = Button::text(&text)
        .icon(Icon::Wand)
        .trailing(Icon::ChevronDown)
        .name(format!("Model: {text}"));
    let response = ui.add(button);
    Popup::menu(&response).width(320.0).gap(4.0).accessible_name("Model").show(|ui| {
        ui.set_min_width(308.0);
        for other in &state.models {
            let chosen = other.info.name == card.info.name;
            // The menu itself would spread lines over its whole width.
            if ui.vertical(|ui| model_row(ui, state, song, other, chosen, commands)).inner {
                commands.push(Command::ChooseModel(other.info.name.clone()));
                ui.close();
            }
        }
    });
}

/// A model with its cost; whether it was chosen.
fn model_row(
    ui: &mut Ui,
    state: &State,
    song: &SongView,
    card: &ModelCard,
    chosen: bool,
    commands: &mut Vec<Command>,
) -> bool {
    let theme = Theme::get(ui);
    let choice = ui.add_enabled_ui(card.is_here(), |ui| radio(ui, chosen, &card.info.title));
    let clicked = choice.inner.clicked();
    // Under the name, without the line that egui draws beside what is indented.
    ui.spacing_mut().indent = MARK_INDENT;
    ui.visuals_mut().indent_has_left_vline = false;
    ui.indent(&card.info.name, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        label_color(ui, Type::Small, theme.text2, described(card));
        let short = state.free_memory_bytes.is_some_and(|free| free < card.memory_bytes);
        let cost = format!(
            "{} for this song · {} memory{}",
            time::clock(state.secs_for(card, frame_secs(song.frames)).max(1.0)),
            bytes(card.memory_bytes),
            if short { ", not enough free" } else { "" },
        );
        label_color(ui, Type::Small, if short { theme.error } else { theme.text3 }, cost);
        if !card.is_here() {
            ui.add_space(2.0);
            ui.horizontal(|ui| supply_ui(ui, card, commands));
        }
    });
    clicked
}

/// "1.6 GB", "86 MB".
pub fn bytes(bytes: u64) -> String {
    let mb = bytes as f64 / 1e6;
    match mb {
        mb if mb >= 1000.0 => format!("{:.1} GB", mb / 1000.0),
        mb if mb >= 10.0 => format!("{mb:.0} MB"),
        mb => format!("{mb:.1} MB"),
    }
}
