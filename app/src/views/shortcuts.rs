//! The list of keys, as the command table has them.

use egui::{Align, Context, Layout, Ui, vec2};

use super::dialogs::body;
use crate::{
    command::{Entry, Group, TABLE},
    theme::{Theme, Type},
    widgets::{self, dialog},
};

/// Shows the dialog; whether it asks to be closed.
pub fn shortcuts_ui(ctx: &Context) -> bool {
    dialog::dialog(ctx, "All keys", Some("Ctrl+K finds every command by name"), 820.0, |ui| {
        body(ui, 84.0, |ui| {
            let wide = ui.available_width() >= 640.0;
            if !wide {
                Group::ALL.into_iter().for_each(|group| group_ui(ui, group));
                return;
            }
            let width = (ui.available_width() - 40.0) / 2.0;
            let (left, right) = balanced();
            ui.horizontal_top(|ui| {
                for (index, groups) in [left, right].into_iter().enumerate() {
                    if index > 0 {
                        ui.add_space(40.0);
                    }
                    let layout = Layout::top_down(Align::Min);
                    ui.allocate_ui_with_layout(vec2(width, 0.0), layout, |ui| {
                        ui.set_width(width);
                        groups.into_iter().for_each(|group| group_ui(ui, group));
                    });
                }
            });
        });
    })
}

/// Lines of a group: entries with keys, the numbered lanes as one.
fn lines(group: Group) -> impl Iterator<Item = (&'static str, Vec<String>)> {
    TABLE.iter().filter(move |entry| entry.group == group && !entry.keys.is_empty()).filter_map(
        |entry| {
            let keys = || entry.keys.iter().map(|key| key.label()).collect::<Vec<_>>();
            match entry.label.strip_suffix(" lane 1") {
                Some("Mute") => Some(("Mute lane", vec!["1".into(), "6".into()])),
                Some("Solo") => Some(("Solo lane", vec!["Shift+1".into(), "Shift+6".into()])),
                _ if numbered(entry) => None,
                _ => Some((entry.label, keys())),
            }
        },
    )
}

fn numbered(entry: &Entry) -> bool {
    entry.label.contains(" lane ") && entry.label.ends_with(|c: char| c.is_ascii_digit())
}

/// The groups in two columns of about the same length.
fn balanced() -> (Vec<Group>, Vec<Group>) {
    let height = |group: &Group| lines(*group).count() + 2;
    let total: usize = Group::ALL.iter().map(height).sum();
    let mut filled = 0;
    Group::ALL.into_iter().partition(|group| {
        let goes_left = filled + height(group) / 2 <= total / 2;
        filled += height(group);
        goes_left
    })
}

fn group_ui(ui: &mut Ui, group: Group) {
    let theme = Theme::get(ui);
    widgets::label_color(ui, Type::Title, theme.text, group.title());
    ui.add_space(6.0);
    for (label, keys) in lines(group) {
        ui.allocate_ui_with_layout(
            vec2(ui.available_width(), 26.0),
            Layout::right_to_left(Align::Center),
            |ui| {
                ui.spacing_mut().item_spacing.x = 6.0;
                let lanes = label.ends_with(" lane");
                for (index, key) in keys.iter().enumerate().rev() {
                    widgets::key_chip(ui, key);
                    if index > 0 {
                        let between = if lanes { "to" } else { "or" };
                        widgets::label_color(ui, Type::Small, theme.text3, between);
                    }
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    widgets::label(ui, Type::Body, label);
                });
            },
        );
    }
    ui.add_space(14.0);
}
