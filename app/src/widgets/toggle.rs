//! Solo and mute.

use egui::{Align2, Color32, CornerRadius, Response, Sense, Ui, WidgetInfo, accesskit::Role, vec2};

use super::{control_fill, focus_ring};
use crate::theme::{RADIUS_TOGGLE, Theme, Type};

/// The S of a lane, "Vocals, solo". Ctrl+click is the caller's to tell apart.
pub fn solo_button(ui: &mut Ui, on: bool, lane: &str) -> Response {
    let theme = Theme::get(ui);
    letter(ui, "S", on, theme.honey, theme.on_honey, &format!("{lane}, solo"))
}

/// The M of a lane, "Vocals, mute".
pub fn mute_button(ui: &mut Ui, on: bool, lane: &str) -> Response {
    let theme = Theme::get(ui);
    letter(ui, "M", on, theme.head, theme.bg, &format!("{lane}, mute"))
}

fn letter(
    ui: &mut Ui,
    letter: &str,
    on: bool,
    fill_on: Color32,
    text_on: Color32,
    name: &str,
) -> Response {
    let theme = Theme::get(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(30.0, 26.0), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::Button, ui.is_enabled(), on, name));
    if ui.is_rect_visible(rect) {
        let (fill, color) = if on {
            let hover = fill_on.lerp_to_gamma(theme.edge, 0.25);
            let pressed = fill_on.lerp_to_gamma(theme.edge, 0.5);
            (control_fill(ui, &response, fill_on, hover, pressed), text_on)
        } else {
            let fill = control_fill(ui, &response, theme.ctl, theme.ctl_hover, theme.ctl_pressed);
            (fill, if response.hovered() { theme.text } else { theme.text2 })
        };
        ui.painter().rect_filled(rect, CornerRadius::same(RADIUS_TOGGLE), fill);
        let font = Type::BodyStrong.font();
        ui.painter().text(rect.center(), Align2::CENTER_CENTER, letter, font, color);
        focus_ring(ui, &response, rect, RADIUS_TOGGLE);
    }
    response
}
