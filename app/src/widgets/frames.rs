//! Surfaces: cards, toasts, separators.

use egui::{CornerRadius, Frame, Margin, Sense, Stroke, Ui, vec2};

use crate::theme::{RADIUS_CARD, Theme};

/// A card on the window's background.
pub fn card(theme: &Theme) -> Frame {
    Frame::new()
        .fill(theme.surf)
        .stroke(Stroke::new(1.0, theme.line))
        .corner_radius(CornerRadius::same(RADIUS_CARD))
        .inner_margin(Margin::same(16))
}

/// A toast, floating.
pub fn toast_frame(theme: &Theme) -> Frame {
    Frame::new()
        .fill(theme.raised)
        .stroke(Stroke::new(1.0, theme.ctl_pressed))
        .corner_radius(CornerRadius::same(RADIUS_CARD))
        .inner_margin(Margin::same(16))
        .shadow(theme.shadow())
}

/// A thin line over the available width.
pub fn separator(ui: &mut Ui) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 1.0), Sense::hover());
    ui.painter().rect_filled(rect, 0.0, Theme::get(ui).line);
}
