//! Small marks: a computer's hexagon, a key.

use egui::{
    Align2, Color32, CornerRadius, FontId, Painter, Pos2, Rect, Response, Sense, Shape, Stroke,
    StrokeKind, Ui, Vec2, WidgetInfo, accesskit::Role, vec2,
};

use super::text_width;
use crate::{
    fonts::{self, Weight},
    theme::{ON_COMPUTER, Theme, Type},
};

/// A computer's letter in its hexagon, `size` high: solid when it can be used, dashed when not.
pub fn computer_badge(ui: &mut Ui, letter: usize, usable: bool, size: f32) -> Response {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(size), Sense::hover());
    let theme = Theme::get(ui);
    let center = rect.center();
    let mut outline = hexagon(rect);
    let color = if usable {
        let edge = if theme.dark { Stroke::NONE } else { Stroke::new(1.0, theme.edge) };
        ui.painter().add(Shape::convex_polygon(outline, Theme::computer(letter), edge));
        ON_COMPUTER
    } else {
        outline.push(outline[0]);
        let edge = Stroke::new(1.5, theme.edge);
        ui.painter().extend(Shape::dashed_line(&outline, edge, size / 6.0, size / 10.0));
        theme.text2
    };
    let font = fonts::font(Weight::SemiBold, (size * 0.46).max(9.0));
    ui.painter().text(center, Align2::CENTER_CENTER, letter_of(letter), font, color);
    response.widget_info(|| {
        WidgetInfo::labeled(Role::Label, true, format!("Computer {}", letter_of(letter)))
    });
    response
}

/// The number of a step in an outlined hexagon, `size` high.
pub fn step_badge(ui: &mut Ui, number: usize, size: f32) {
    let (rect, _) = ui.allocate_exact_size(Vec2::splat(size), Sense::hover());
    let color = Theme::get(ui).honey_text;
    let edge = Stroke::new(1.5, color);
    ui.painter().add(Shape::closed_line(hexagon(rect), edge));
    let font = fonts::font(Weight::SemiBold, size * 0.46);
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, number.to_string(), font, color);
}

/// Corners, a point on top, as the cells of a comb stand.
fn hexagon(rect: Rect) -> Vec<Pos2> {
    let corner = |i: usize| {
        let angle = std::f32::consts::PI * (i as f32 / 3.0 - 0.5);
        rect.center() + Vec2::angled(angle) * (rect.height() / 2.0 - 0.5)
    };
    (0..6).map(corner).collect()
}

/// A to Z, then A2, B2…
pub fn letter_of(index: usize) -> String {
    let letter = char::from(b'A' + (index % 26) as u8);
    if index < 26 { letter.into() } else { format!("{letter}{}", index / 26 + 1) }
}

/// A key on a chip; the button or lane it belongs to says it to screen readers.
pub fn key_chip(ui: &mut Ui, keys: &str) -> Response {
    let width = key_chip_width(ui.painter(), keys);
    let (rect, response) = ui.allocate_exact_size(vec2(width, CHIP_HEIGHT), Sense::hover());
    let color = Theme::get(ui).text2;
    paint_key_chip(ui.painter(), rect.left_center(), Align2::LEFT_CENTER, keys, color);
    response
}

const CHIP_HEIGHT: f32 = 18.0;

fn chip_text(keys: &str) -> String {
    // "Ctrl+Shift++" reads "Ctrl Shift +".
    match keys.strip_suffix('+') {
        Some("") => "+".into(),
        Some(rest) => format!("{} +", rest.trim_end_matches('+').replace('+', " ")),
        None => keys.replace('+', " "),
    }
}

/// Width of the chip; 0 without keys.
pub(super) fn key_chip_width(painter: &Painter, keys: &str) -> f32 {
    if keys.is_empty() {
        return 0.0;
    }
    (text_width(painter, &chip_text(keys), Type::Tick) + 10.0).max(CHIP_HEIGHT)
}

/// Paints the chip in `color`, its border fainter.
pub fn paint_key_chip(
    painter: &Painter,
    pos: Pos2,
    anchor: Align2,
    keys: &str,
    color: Color32,
) -> Rect {
    let size = vec2(key_chip_width(painter, keys), CHIP_HEIGHT);
    let rect = anchor.anchor_size(pos, size);
    let edge = Stroke::new(1.0, color.gamma_multiply(0.6));
    painter.rect_stroke(rect, CornerRadius::same(4), edge, StrokeKind::Inside);
    let font: FontId = fonts::font(Weight::Medium, 11.0);
    painter.text(rect.center(), Align2::CENTER_CENTER, chip_text(keys), font, color);
    rect
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_keys_read_well() {
        assert_eq!(letter_of(0), "A");
        assert_eq!(letter_of(27), "B2");
        assert_eq!(chip_text("Ctrl+Shift+E"), "Ctrl Shift E");
        assert_eq!(chip_text("Ctrl+Shift++"), "Ctrl Shift +");
        assert_eq!(chip_text("+"), "+");
        assert_eq!(chip_text("?"), "?");
    }
}
