//! A field that opens a list of values.

use egui::{
    CornerRadius, Popup, Response, Sense, Stroke, StrokeKind, Ui, WidgetInfo, accesskit::Role,
    pos2, vec2,
};

use super::{claim_enter, focus_ring, galley};
use crate::{
    icons::Icon,
    theme::{RADIUS, Theme, Type},
};

/// One of several values; the list opens below over the available width (at most `max_width`).
pub fn combo<T: Clone + PartialEq>(
    ui: &mut Ui,
    name: &str,
    value: &mut T,
    options: &[(T, String)],
    max_width: f32,
) -> Response {
    let theme = Theme::get(ui);
    let shown = options.iter().find(|(option, _)| option == value).map_or("", |(_, text)| text);
    let size = vec2(ui.available_width().min(max_width), 34.0);
    let (rect, mut response) = ui.allocate_exact_size(size, Sense::click());
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ComboBox, ui.is_enabled(), name);
        info.current_text_value = Some(shown.to_owned());
        info
    });
    claim_enter(&response);
    let open = Popup::is_id_open(ui.ctx(), Popup::default_response_id(&response));
    ui.ctx().accesskit_node_builder(response.id, |node| node.set_expanded(open));
    if ui.is_rect_visible(rect) {
        let edge = if response.hovered() { theme.text2 } else { theme.edge };
        let radius = CornerRadius::same(RADIUS);
        let stroke = Stroke::new(1.0, edge);
        ui.painter().rect(rect, radius, theme.field(), stroke, StrokeKind::Inside);
        let text = galley(ui.painter(), shown, Type::Body, theme.text, rect.width() - 12.0 - 34.0);
        let top = rect.center().y - text.size().y / 2.0;
        ui.painter().galley(pos2(rect.left() + 12.0, top), text, theme.text);
        let chevron = pos2(rect.right() - 18.0, rect.center().y);
        Icon::ChevronDown.paint(ui.painter(), chevron, 16.0, theme.text2);
        focus_ring(ui, &response, rect, RADIUS);
    }

    let mut picked = None;
    Popup::menu(&response).width(rect.width()).gap(4.0).accessible_name(name).show(|ui| {
        ui.set_min_width(rect.width() - 12.0);
        ui.spacing_mut().item_spacing.y = 2.0;
        egui::ScrollArea::vertical().max_height(320.0).show(ui, |ui| {
            for (option, text) in options {
                let item = list_item(ui, text, option == value);
                if item.clicked() {
                    picked = Some(option.clone());
                    ui.close();
                }
            }
        });
    });
    if let Some(picked) = picked {
        response.request_focus();
        if picked != *value {
            *value = picked;
            response.mark_changed();
        }
    }
    response
}

fn list_item(ui: &mut Ui, text: &str, chosen: bool) -> Response {
    let theme = Theme::get(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 30.0), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::ListBoxOption, true, chosen, text));
    claim_enter(&response);
    if response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect, CornerRadius::same(RADIUS), theme.ctl_hover);
    }
    let galley = galley(ui.painter(), text, Type::Body, theme.text, rect.width() - 46.0);
    let top = rect.center().y - galley.size().y / 2.0;
    ui.painter().galley(pos2(rect.left() + 34.0, top), galley, theme.text);
    if chosen {
        let center = pos2(rect.left() + 18.0, rect.center().y);
        Icon::Check.paint(ui.painter(), center, 16.0, theme.honey_text);
    }
    response
}
