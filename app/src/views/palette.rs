//! All commands, searchable (Ctrl+K): type some letters, choose by arrows, Enter does it.

use egui::{
    Align2, Context, CornerRadius, Frame, Id, Key, Margin, Modifiers, ScrollArea, Sense, Ui, Vec2,
    WidgetInfo, accesskit::Role, pos2, vec2,
};

use crate::{
    command::{Command, Entry, TABLE},
    state::State,
    theme::{RADIUS, Theme, Type},
    widgets::{self, dialog},
};

const ROW: f32 = 36.0;

/// Shows the palette; whether it asks to be closed.
pub fn palette_ui(ctx: &Context, state: &State, commands: &mut Vec<Command>) -> bool {
    let chosen_id = Id::unique("chosen in the palette");
    let mut query = state.palette_query.clone();
    let found = search(&query);
    let mut chosen = ctx.data(|data| data.get_temp(chosen_id)).unwrap_or(0usize);
    ctx.input_mut(|input| {
        chosen += input.count_and_consume_key(Modifiers::NONE, Key::ArrowDown);
        let up = input.count_and_consume_key(Modifiers::NONE, Key::ArrowUp);
        chosen = chosen.saturating_sub(up).min(found.len().saturating_sub(1));
    });
    let enter = ctx.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Enter));
    let mut picked = found.get(chosen).filter(|_| enter).copied();

    let closed = dialog::sheet(ctx, "All commands", 560.0, |ui| {
        if dialog::is_opening(ui) {
            chosen = 0;
        }
        Frame::new().inner_margin(Margin::same(12)).show(ui, |ui| {
            ui.spacing_mut().item_spacing = vec2(0.0, 8.0);
            let id = Id::unique("palette query");
            let field =
                widgets::search_field(ui, id, "Find a command", &mut query, "Find a command");
            // Whoever types here keeps typing here, also after a click on the list.
            field.request_focus();
            if field.changed() {
                chosen = 0;
                commands.push(Command::EditPaletteQuery(query.clone()));
            }
            if found.is_empty() {
                let color = Theme::get(ui).text3;
                widgets::label_color(ui, Type::Body, color, "No command has these letters.");
            }
            ScrollArea::vertical().max_height(ROW * 10.0).auto_shrink([false, true]).show(
                ui,
                |ui| {
                    ui.spacing_mut().item_spacing = Vec2::ZERO;
                    for (index, entry) in found.iter().enumerate() {
                        let row = row_ui(ui, state, entry, index == chosen);
                        if row.clicked() {
                            picked = Some(entry);
                        }
                    }
                },
            );
        });
    });
    ctx.data_mut(|data| data.insert_temp(chosen_id, chosen));
    match picked {
        Some(entry) if (entry.enabled)(state) => {
            // Closed first, so that a command that opens a dialog has the last word.
            commands.push(Command::CloseDialog);
            commands.push(entry.command.clone());
            false
        }
        _ => closed,
    }
}

fn row_ui(ui: &mut Ui, state: &State, entry: &Entry, chosen: bool) -> egui::Response {
    let theme = Theme::get(ui);
    let enabled = (entry.enabled)(state);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::CLICK);
    response.widget_info(|| {
        let keys = entry.keys_label();
        let name =
            if keys.is_empty() { entry.label.into() } else { format!("{}, {keys}", entry.label) };
        WidgetInfo::selected(Role::ListBoxOption, enabled, chosen, name)
    });
    if chosen {
        response.scroll_to_me(None);
    }
    if chosen || response.hovered() {
        let fill = if chosen { theme.ctl_hover } else { theme.ctl };
        ui.painter().rect_filled(rect, CornerRadius::same(RADIUS), fill);
    }
    let color = if enabled { theme.text } else { theme.text3.gamma_multiply(0.7) };
    let painter = ui.painter();
    let group = widgets::galley(painter, entry.group.title(), Type::Small, theme.text3, 100.0);
    let middle = rect.center().y;
    painter.galley(pos2(rect.left() + 12.0, middle - 8.0), group, theme.text3);
    let label = widgets::galley(painter, entry.label, Type::Body, color, rect.width() - 230.0);
    painter.galley(pos2(rect.left() + 104.0, middle - label.size().y / 2.0), label, color);
    let keys = entry.keys_label();
    if !keys.is_empty() {
        let pos = pos2(rect.right() - 12.0, middle);
        widgets::paint_key_chip(painter, pos, Align2::RIGHT_CENTER, &keys, theme.text2);
    }
    response
}

/// Entries that have the letters of `query` in their order, those with whole words first.
fn search(query: &str) -> Vec<&'static Entry> {
    let mut found: Vec<(usize, &Entry)> =
        TABLE.iter().filter_map(|entry| Some((rank(query, entry.label)?, entry))).collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, entry)| entry).collect()
}

/// 0 = starts with it, 1 = a word starts with it, 2 = has it, 3 = has its letters in order.
fn rank(query: &str, label: &str) -> Option<usize> {
    let query = query.trim().to_lowercase();
    let label = label.to_lowercase();
    if label.starts_with(&query) {
        return Some(0);
    }
    if label.split(' ').any(|word| word.starts_with(&query)) || label.contains(&format!(" {query}"))
    {
        return Some(1);
    }
    if label.contains(&query) {
        return Some(2);
    }
    let mut letters = label.chars();
    query.chars().filter(|c| *c != ' ').all(|c| letters.any(|l| l == c)).then_some(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_comes_first() {
        assert_eq!(search("").len(), TABLE.len());
        assert_eq!(search("expo")[0].label, "Export…");
        assert_eq!(search("ZOOM IN")[0].label, "Zoom in");
        assert!(search("mtl3").iter().any(|entry| entry.label == "Mute lane 3"));
        assert!(search("qqq").is_empty());
        assert_eq!(rank("sound", "Look for a sound device again"), Some(1));
    }
}
