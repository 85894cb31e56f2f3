//! The export dialog: what, how, and exactly which files come out.

use std::path::PathBuf;

use egui::{
    Align, Align2, Context, CornerRadius, Frame, Layout, Margin, ScrollArea, Sense, Stroke, Ui,
    Vec2, pos2,
    text::{LayoutJob, TextFormat},
    vec2,
};
use engine::{
    mix::{Audibility, MIN_GAIN_DB},
    model::Stem,
};

use super::dialogs::footer;
use crate::{
    command::Command,
    icons::Icon,
    state::{
        ClipChoice, ExportBits, ExportForm, ExportFormat, ExportPart, ExportPlan, PlannedFile,
        SongView, State, stem_title,
    },
    theme::{RADIUS, Theme, Type},
    time::clock,
    units,
    widgets::{self, Button, IconButton, dialog},
};

const WIDTH: f32 = 960.0;

/// Shows the dialog; whether it asks to be closed.
pub fn export_ui(ctx: &Context, state: &State, commands: &mut Vec<Command>) -> bool {
    let Some(song) = state.song() else { return true };
    let mut form = state.export.clone();
    let can_export = can_export(&form);
    let enter = widgets::take_enter(ctx);
    let mut close = false;
    let asked = dialog::dialog(ctx, "Export", Some(&subtitle(state, song)), WIDTH, |ui| {
        let screen = ui.ctx().content_rect();
        let height = (screen.height() - 32.0 - 150.0).max(160.0);
        let wide = ui.available_width() >= 820.0;
        ScrollArea::vertical().max_height(height).auto_shrink([false, true]).show(ui, |ui| {
            if wide {
                let left = 332.0;
                let top = ui.cursor().top();
                let whole = ui.available_width();
                let response = ui.horizontal_top(|ui| {
                    pane(ui, left, |ui| what_ui(ui, song, &mut form));
                    pane(ui, whole - left, |ui| how_ui(ui, state, song, &mut form, commands));
                });
                let x = response.response.rect.left() + left + 0.5;
                let line = Stroke::new(1.0, Theme::get(ui).line);
                ui.painter().vline(x, top..=response.response.rect.bottom(), line);
            } else {
                let whole = ui.available_width();
                pane(ui, whole, |ui| what_ui(ui, song, &mut form));
                widgets::separator(ui);
                pane(ui, whole, |ui| how_ui(ui, state, song, &mut form, commands));
            }
        });
        footer(ui, |ui| {
            let plan = form.plan.as_ref().and_then(|plan| plan.as_ref().ok());
            let files = plan.map_or(0, |plan| plan.files.len());
            let text = format!("Export {}", units::count(files, "file"));
            let button = Button::primary(text).icon(Icon::Export).keys("Enter");
            if ui.add_enabled(can_export, button).clicked() || enter && can_export {
                commands.push(Command::StartExport);
            }
            close = ui.add(Button::text("Cancel").keys("Esc")).clicked();
            summary(ui, &form);
        });
    });
    if form != state.export {
        commands.push(Command::EditExport(Box::new(form)));
    }
    asked || close
}

fn pane(ui: &mut Ui, width: f32, contents: impl FnOnce(&mut Ui)) {
    ui.allocate_ui_with_layout(vec2(width, 0.0), Layout::top_down(Align::Min), |ui| {
        ui.set_width(width);
        Frame::new().inner_margin(Margin::symmetric(24, 18)).show(ui, |ui| {
            ui.set_width(width - 48.0);
            ui.spacing_mut().item_spacing = Vec2::ZERO;
            contents(ui);
        });
    });
}

fn subtitle(state: &State, song: &SongView) -> String {
    let mut parts = vec![song.title(), clock(crate::state::frame_secs(song.frames))];
    let model = song.job_model.as_ref().and_then(|name| {
        state.models.iter().find(|card| card.info.name == *name).map(|card| &card.info.title)
    });
    let stems = units::count(song.lanes.len(), "stem");
    parts.push(model.map_or_else(|| stems.clone(), |model| format!("{stems}, {model}")));
    parts.join(" · ")
}

fn can_export(form: &ExportForm) -> bool {
    match &form.plan {
        Some(Ok(plan)) => {
            let total: u64 = plan.files.iter().map(|file| file.bytes).sum();
            !plan.files.is_empty() && plan.free_bytes.is_none_or(|free| free > total)
        }
        _ => false,
    }
}

fn heading(ui: &mut Ui, text: &str, beside: impl FnOnce(&mut Ui)) {
    let color = Theme::get(ui).text;
    ui.horizontal(|ui| {
        ui.set_min_height(28.0);
        widgets::label_color(ui, Type::Title, color, text);
        beside(ui);
    });
}

fn field_label(ui: &mut Ui, text: &str) {
    widgets::label(ui, Type::SmallMedium, text);
    ui.add_space(6.0);
}

fn what_ui(ui: &mut Ui, song: &SongView, form: &mut ExportForm) {
    let theme = Theme::get(ui);
    heading(ui, "What", |ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let none = Button::text("None").small().name("No stems");
            if ui.add(none).clicked() {
                form.stems.clear();
            }
            let all = Button::text("All").small().name("All stems");
            if ui.add(all).clicked() {
                form.stems = song.lanes.iter().map(|lane| lane.stem).collect();
            }
        });
    });
    ui.add_space(6.0);
    for (lane, audible) in song.lanes.iter().zip(song.audibility()) {
        let detail = match audible {
            Audibility::Audible => None,
            Audibility::Muted => Some("Muted now, still exported"),
            Audibility::SilencedBySolo => Some("Silenced by solo now, still exported"),
        };
        let icon = Some((Icon::stem(lane.stem), theme.stem(lane.stem)));
        let mut on = form.stems.contains(&lane.stem);
        if widgets::check_row(ui, &mut on, icon, stem_title(lane.stem), detail).changed() {
            toggle_stem(form, lane.stem, on);
        }
        ui.add_space(6.0);
    }
    ui.add_space(6.0);
    widgets::separator(ui);
    ui.add_space(8.0);
    let heard = heard(song);
    widgets::check_row(ui, &mut form.mix, None, "Mix of what you hear", Some(&heard));
    ui.add_space(6.0);
    let left_over = left_over(song);
    widgets::check_row(ui, &mut form.residual, None, "What the stems leave over", Some(&left_over));
    ui.add_space(14.0);
    part_ui(ui, song, form);
}

fn toggle_stem(form: &mut ExportForm, stem: Stem, on: bool) {
    form.stems.retain(|known| *known != stem);
    if on {
        form.stems.push(stem);
        form.stems.sort_unstable();
    }
}

/// "Drums, Other and Vocals, with your volume and pan".
fn heard(song: &SongView) -> String {
    let audible: Vec<_> = song
        .lanes
        .iter()
        .zip(song.audibility())
        .filter(|(lane, audible)| {
            *audible == Audibility::Audible && lane.control.gain_db > MIN_GAIN_DB
        })
        .map(|(lane, _)| lane)
        .collect();
    if audible.is_empty() {
        return "Nothing is audible now".into();
    }
    let names: Vec<&str> = audible.iter().map(|lane| stem_title(lane.stem)).collect();
    let shaped = audible.iter().any(|lane| lane.control.gain_db != 0.0 || lane.control.pan != 0.0);
    let suffix = if shaped { ", with your volume and pan" } else { "" };
    format!("{}{suffix}", units::list(&names))
}

fn left_over(song: &SongView) -> String {
    match song.job.as_ref().and_then(|job| job.null_test) {
        Some(null) if null.residual_db == f32::NEG_INFINITY => {
            "The null-test remainder: silence, the stems are exact".into()
        }
        Some(null) => {
            format!(
                "The null-test remainder, {}{:.1} dB",
                sign(null.residual_db),
                null.residual_db.abs()
            )
        }
        None => "The null-test remainder".into(),
    }
}

fn sign(db: f32) -> &'static str {
    if db < 0.0 { "−" } else { "+" }
}

fn part_ui(ui: &mut Ui, song: &SongView, form: &mut ExportForm) {
    field_label(ui, "Part of the song");
    let mut parts = vec![(ExportPart::Whole, "Whole song")];
    if song.loop_range.is_some() {
        parts.push((ExportPart::Loop, "Loop"));
    }
    if song.selection.is_some() {
        parts.push((ExportPart::Selection, "Selection"));
    }
    if !parts.iter().any(|(part, _)| *part == form.part) {
        form.part = ExportPart::Whole;
    }
    let width = 95.0 * parts.len() as f32;
    widgets::segmented(ui, "Part of the song", &mut form.part, &parts, width);
    if parts.len() == 1 {
        ui.add_space(6.0);
        let text = "Set a loop or select a stretch to export only that.";
        let color = Theme::get(ui).text3;
        widgets::label_color(ui, Type::Small, color, text);
    }
}

fn how_ui(
    ui: &mut Ui,
    state: &State,
    song: &SongView,
    form: &mut ExportForm,
    commands: &mut Vec<Command>,
) {
    heading(ui, "How", |_| {});
    ui.add_space(6.0);
    two_columns(ui, |left, right| {
        field_label(left, "Format");
        let formats = [
            (ExportFormat::Wav, "WAV"),
            (ExportFormat::Flac, "FLAC"),
            (ExportFormat::Mp3, "MP3"),
            (ExportFormat::Ogg, "Ogg"),
        ];
        let format = &mut form.format;
        let chosen = widgets::segmented(left, "Format", format, &formats, f32::INFINITY);
        dialog::focus_first(left, &chosen);
        bits_ui(right, form);
    });
    ui.add_space(14.0);
    two_columns(ui, |left, right| {
        field_label(left, "Sample rate");
        let rates = rates(song);
        let rate = &mut form.sample_rate_hz;
        widgets::combo(left, "Sample rate", rate, &rates, f32::INFINITY);
        field_label(right, "Tags");
        right.add_space(4.0);
        widgets::checkbox(right, &mut form.tags, "Copy tags and cover");
    });
    ui.add_space(14.0);
    clipping_ui(ui, form);
    ui.add_space(14.0);
    two_columns(ui, |left, right| {
        field_label(left, "File names");
        template_ui(left, form);
        field_label(right, "Folder");
        folder_ui(right, form, commands);
    });
    ui.add_space(12.0);
    files_ui(ui, state, form);
}

/// Two columns of the same width, 16 apart.
fn two_columns(ui: &mut Ui, contents: impl FnOnce(&mut Ui, &mut Ui)) {
    ui.scope(|ui| {
        ui.spacing_mut().item_spacing.x = 16.0;
        ui.columns_const(|[left, right]| {
            left.spacing_mut().item_spacing.x = 0.0;
            right.spacing_mut().item_spacing.x = 0.0;
            contents(left, right);
        });
    });
}

fn bits_ui(ui: &mut Ui, form: &mut ExportForm) {
    let ints = [(ExportBits::Int16, "16"), (ExportBits::Int24, "24")];
    let with_float = [ints[0], ints[1], (ExportBits::Float32, "32 float")];
    match form.format {
        ExportFormat::Wav => {
            field_label(ui, "Bits");
            widgets::segmented(ui, "Bits", &mut form.bits, &with_float, f32::INFINITY);
        }
        ExportFormat::Flac => {
            field_label(ui, "Bits");
            // FLAC has no floats; what was chosen for WAV is kept for WAV.
            let mut bits = form.bits.min_int();
            if widgets::segmented(ui, "Bits", &mut bits, &ints, f32::INFINITY).changed() {
                form.bits = bits;
            }
        }
        ExportFormat::Mp3 | ExportFormat::Ogg => {
            field_label(ui, "Quality");
            ui.add_space(7.0);
            let text = "High, variable bit rate; sizes are estimates";
            widgets::label(ui, Type::Body, text);
        }
    }
}

impl ExportBits {
    /// The nearest that is not float.
    fn min_int(self) -> Self {
        if self == Self::Float32 { Self::Int24 } else { self }
    }
}

fn rates(song: &SongView) -> Vec<(Option<u32>, String)> {
    let khz = |hz: u32| format!("{} kHz", f64::from(hz) / 1000.0);
    let source = song.info.as_ref().map(|info| info.source.sample_rate_hz);
    let as_source = match source {
        Some(hz) => format!("As the source, {}", khz(hz)),
        None => "As the source".into(),
    };
    let others = [44_100, 48_000, 88_200, 96_000].into_iter().filter(|hz| Some(*hz) != source);
    std::iter::once((None, as_source)).chain(others.map(|hz| (Some(hz), khz(hz)))).collect()
}

fn clipping_ui(ui: &mut Ui, form: &mut ExportForm) {
    let over_db = plan(form).and_then(|plan| plan.over_db);
    let float = form.format == ExportFormat::Wav && form.bits == ExportBits::Float32;
    let label = match over_db {
        _ if float => "32-bit float files never clip".into(),
        Some(db) => format!("If a file would clip (the loudest peaks at +{db:.1} dB)"),
        None => "If a file would clip".to_owned(),
    };
    field_label(ui, &label);
    let down = match over_db {
        Some(db) if !float => format!("Turn every file down {db:.1} dB"),
        _ => "Turn every file down".into(),
    };
    ui.add_enabled_ui(!float, |ui| {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(20.0, 0.0);
            for (choice, text) in [
                (ClipChoice::TurnDown, down.as_str()),
                (ClipChoice::Cut, "Limit the peaks"),
                (ClipChoice::Float, "Switch to 32-bit float WAV"),
            ] {
                if widgets::radio(ui, form.clipping == choice, text).clicked() {
                    form.clipping = choice;
                }
            }
        });
    });
}

fn template_ui(ui: &mut Ui, form: &mut ExportForm) {
    let theme = Theme::get(ui);
    let mut layouter = |_: &Ui, text: &str| {
        let mut job = LayoutJob::default();
        for (part, is_stem) in split_stem(text) {
            let color = if is_stem { theme.honey_text } else { theme.text };
            job.append(part, 0.0, TextFormat::simple(Type::Mono.font(), color));
        }
        job
    };
    let hint = "{artist} - {title} ({stem})";
    let template = &mut form.template;
    let field = widgets::text_field(
        ui,
        "file names",
        "File names",
        template,
        hint,
        Type::Mono,
        Some(&mut layouter),
    );
    field.on_hover_text("{artist}, {title}, {album} and {stem} are filled in for each file.");
}

/// `text` in pieces; "{stem}" is what makes names differ.
fn split_stem(text: &str) -> impl Iterator<Item = (&str, bool)> {
    const STEM: &str = "{stem}";
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = rest.find(STEM).unwrap_or(rest.len());
        let end = if at == 0 { STEM.len() } else { at };
        let (part, after) = rest.split_at(end);
        rest = after;
        Some((part, at == 0))
    })
}

fn folder_ui(ui: &mut Ui, form: &mut ExportForm, commands: &mut Vec<Command>) {
    let width = ui.available_width();
    ui.horizontal(|ui| {
        let mut folder =
            form.folder.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let field = ui
            .scope(|ui| {
                ui.set_max_width(width - 42.0);
                widgets::path_field(ui, "folder", "Folder", &mut folder, "Folder")
            })
            .inner;
        if field.changed() {
            form.folder = (!folder.trim().is_empty()).then(|| PathBuf::from(folder.trim()));
        }
        ui.add_space(8.0);
        let change = IconButton::new(Icon::Folder, "Change the folder…").size(34.0, 18.0).filled();
        if ui.add(change).clicked() {
            commands.push(Command::PickExportFolder);
        }
    });
}

fn plan(form: &ExportForm) -> Option<&ExportPlan> {
    form.plan.as_ref()?.as_ref().ok()
}

fn files_ui(ui: &mut Ui, state: &State, form: &ExportForm) {
    let theme = Theme::get(ui);
    Frame::new()
        .fill(theme.bg)
        .stroke(Stroke::new(1.0, theme.line))
        .corner_radius(CornerRadius::same(RADIUS))
        .inner_margin(Margin::symmetric(16, 8))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            let note = |ui: &mut Ui, color, icon: Icon, text: &str| {
                ui.horizontal_top(|ui| {
                    let (rect, _) = ui.allocate_exact_size(vec2(26.0, 26.0), Sense::hover());
                    let center = pos2(rect.left() + 8.0, rect.center().y);
                    icon.paint(ui.painter(), center, 16.0, color);
                    ui.vertical(|ui| {
                        ui.add_space(4.0);
                        widgets::label_color(ui, Type::Body, color, text);
                    });
                });
            };
            match &form.plan {
                None => note(ui, theme.text3, Icon::Clock, "Working out the files"),
                Some(Err(why)) => note(ui, theme.error, Icon::Error, why),
                Some(Ok(plan)) if plan.files.is_empty() => {
                    note(ui, theme.text3, Icon::File, "Choose at least one thing to export.");
                }
                Some(Ok(plan)) => {
                    let unready = state.song().is_some_and(|song| song.ready_fraction() < 1.0);
                    if unready && plan.ready_fraction < 1.0 {
                        let percent = (plan.ready_fraction * 100.0).floor();
                        let text = format!(
                            "Only what is separated is written, {percent:.0} % of the song."
                        );
                        note(ui, theme.honey_text, Icon::Warning, &text);
                    }
                    let height = 26.0 * plan.files.len().clamp(1, 6) as f32;
                    ScrollArea::vertical()
                        .min_scrolled_height(height)
                        .max_height(height)
                        .auto_shrink([false, true])
                        .show(ui, |ui| {
                            for file in &plan.files {
                                file_row(ui, file);
                            }
                        });
                }
            }
        });
}

fn file_row(ui: &mut Ui, file: &PlannedFile) {
    let theme = Theme::get(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 26.0), Sense::hover());
    let size = units::bytes(file.bytes);
    let taken = file.renamed.then(|| renamed_note(&file.name));
    response.widget_info(|| {
        let note = taken.as_ref().map(|note| format!(", {note}")).unwrap_or_default();
        let text = format!("{}, {size}{note}", file.name);
        egui::WidgetInfo::labeled(egui::accesskit::Role::ListItem, true, text)
    });
    let painter = ui.painter();
    let center = pos2(rect.left() + 7.0, rect.center().y);
    Icon::File.paint(painter, center, 15.0, theme.text3);
    let anchor = Align2::RIGHT_CENTER;
    let pos = rect.right_center();
    let sized = widgets::paint_tabular(painter, pos, anchor, &size, Type::Small, theme.text2);
    let mut right = sized.left().min(rect.right() - 62.0) - 12.0;
    if let Some(taken) = taken {
        let note = widgets::galley(painter, taken, Type::Small, theme.honey_text, 180.0);
        let place = anchor.anchor_size(pos2(right, rect.center().y), note.size());
        painter.galley(place.min, note, theme.honey_text);
        right = place.left() - 12.0;
    }
    let left = rect.left() + 24.0;
    let name = widgets::galley(painter, file.name.as_str(), Type::Small, theme.text, right - left);
    painter.galley(pos2(left, rect.center().y - name.size().y / 2.0), name, theme.text);
}

/// "name taken, 2 added" of "Lithium (Vocals) 2.wav".
fn renamed_note(name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let number = stem.rsplit(' ').next().filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
    format!("name taken, {} added", number.unwrap_or("number"))
}

fn summary(ui: &mut Ui, form: &ExportForm) {
    let theme = Theme::get(ui);
    let Some(plan) = plan(form) else { return };
    let total: u64 = plan.files.iter().map(|file| file.bytes).sum();
    let short = plan.free_bytes.is_some_and(|free| free <= total);
    let free = match plan.free_bytes {
        Some(free) if short => format!("Not enough space: {} free.", units::bytes(free)),
        Some(free) => format!("{} free. Existing files are never replaced.", units::bytes(free)),
        None => "Existing files are never replaced.".into(),
    };
    ui.with_layout(Layout::top_down(Align::Min), |ui| {
        ui.spacing_mut().item_spacing = Vec2::ZERO;
        let files = units::count(plan.files.len(), "file");
        let text = format!("{files}, about {}", units::bytes(total));
        widgets::label_color(ui, Type::BodyMedium, theme.text, text);
        let color = if short { theme.error } else { theme.text3 };
        widgets::label_color(ui, Type::Small, color, free);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stem_field_is_found_wherever_it_stands() {
        let parts = |text| split_stem(text).collect::<Vec<_>>();
        assert_eq!(parts("{stem}"), [("{stem}", true)]);
        assert_eq!(parts("a {stem} b"), [("a ", false), ("{stem}", true), (" b", false)]);
        assert_eq!(parts("{stem}{stem}"), [("{stem}", true), ("{stem}", true)]);
        assert_eq!(parts("é {ste"), [("é {ste", false)]);
        assert_eq!(parts(""), []);
    }

    #[test]
    fn the_added_number_is_named() {
        assert_eq!(renamed_note("Lithium (Vocals) 2.wav"), "name taken, 2 added");
        assert_eq!(renamed_note("odd"), "name taken, number added");
    }
}
