//! Text in the sizes of the design, and figures that do not jump when they change.

use std::sync::Arc;

use egui::{
    Align, Align2, Color32, Galley, Painter, Pos2, Rect, Response, RichText, Sense, Ui, WidgetInfo,
    accesskit::Role,
    pos2,
    text::{LayoutJob, TextFormat, TextWrapping},
    vec2,
};

use crate::theme::{Theme, Type};

/// `text` in a size and colour, for egui's own widgets.
pub fn rich(text: impl Into<String>, size: Type, color: Color32) -> RichText {
    RichText::new(text).font(size.font()).line_height(Some(size.line_height())).color(color)
}

/// A label in the usual text colour; wraps.
pub fn label(ui: &mut Ui, size: Type, text: impl Into<String>) -> Response {
    let color = Theme::get(ui).text2;
    label_color(ui, size, color, text)
}

/// A label in a colour of the theme; wraps.
pub fn label_color(ui: &mut Ui, size: Type, color: Color32, text: impl Into<String>) -> Response {
    ui.add(egui::Label::new(rich(text, size, color)).wrap())
}

/// `text` laid out on one line, cut with "…" at `max_width`.
pub fn galley(
    painter: &Painter,
    text: impl Into<String>,
    size: Type,
    color: Color32,
    max_width: f32,
) -> Arc<Galley> {
    let format = TextFormat {
        line_height: Some(size.line_height()),
        valign: Align::Center,
        ..TextFormat::simple(size.font(), color)
    };
    let mut job = LayoutJob::single_section(text.into(), format);
    job.wrap = TextWrapping::truncate_at_width(max_width);
    painter.layout_job(job)
}

/// Width of `text` on one line.
pub fn text_width(painter: &Painter, text: &str, size: Type) -> f32 {
    galley(painter, text, size, Color32::WHITE, f32::INFINITY).size().x
}

/// Width of `text` when its digits all take the cell of "0".
fn tabular_width(painter: &Painter, text: &str, size: Type) -> f32 {
    cells(painter, text, size).map(|(_, width)| width).sum()
}

fn cells(painter: &Painter, text: &str, size: Type) -> impl Iterator<Item = (char, f32)> {
    let font = size.font();
    painter.fonts_mut(|fonts| {
        let cell = fonts.glyph_width(&font, '0');
        let width = |c: char| {
            if c.is_ascii_digit() { cell } else { fonts.glyph_width(&font, c) }
        };
        let mut width = width;
        text.chars().map(|c| (c, width(c))).collect::<Vec<_>>().into_iter()
    })
}

/// Paints figures with every digit in a cell of the same width, so that what changes stays put.
/// Returns the rectangle it took.
pub fn paint_tabular(
    painter: &Painter,
    pos: Pos2,
    anchor: Align2,
    text: &str,
    size: Type,
    color: Color32,
) -> Rect {
    let width = tabular_width(painter, text, size);
    let rect = anchor.anchor_size(pos, vec2(width, size.line_height()));
    let mut x = rect.left();
    for (c, cell) in cells(painter, text, size) {
        let glyph = galley(painter, c, size, color, f32::INFINITY);
        painter.galley(pos2(x + (cell - glyph.size().x) / 2.0, rect.top()), glyph, color);
        x += cell;
    }
    rect
}

/// A label of figures that change; see [`paint_tabular`].
pub fn tabular(ui: &mut Ui, size: Type, color: Color32, text: &str) -> Response {
    let width = tabular_width(ui.painter(), text, size);
    let (rect, response) = ui.allocate_exact_size(vec2(width, size.line_height()), Sense::hover());
    paint_tabular(ui.painter(), rect.min, Align2::LEFT_TOP, text, size, color);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, ui.is_enabled(), text));
    response
}
