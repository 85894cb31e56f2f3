//! Text fields and progress bars.

use egui::{
    Color32, CornerRadius, Frame, Id, Margin, Rect, Response, Sense, Stroke, StrokeKind, TextEdit,
    Ui, WidgetInfo, accesskit::Role, pos2, vec2,
};

use super::{focus_ring, rich, text_width};
use crate::{
    icons::Icon,
    theme::{RADIUS, Theme, Type},
};

/// Lays a field's text out in several colours.
pub type Colouring<'a> = dyn FnMut(&Ui, &str) -> egui::text::LayoutJob + 'a;

/// A field of one line, 34 high, over the available width. `mono` is for templates and paths that
/// are typed character by character; `layouter` can colour parts of the text.
pub fn text_field(
    ui: &mut Ui,
    id: impl egui::AsIdSalt,
    name: &str,
    text: &mut String,
    hint: &str,
    size: Type,
    mut layouter: Option<&mut Colouring<'_>>,
) -> Response {
    let id = ui.make_persistent_id(id);
    let theme = Theme::get(ui);
    let mut layout = |ui: &Ui, text: &dyn egui::TextBuffer, _wrap: f32| {
        let job = match &mut layouter {
            Some(layouter) => layouter(ui, text.as_str()),
            None => egui::text::LayoutJob::simple_singleline(
                text.as_str().into(),
                size.font(),
                theme.text,
            ),
        };
        ui.painter().layout_job(job)
    };
    framed(ui, id, name, text, hint, size, 12, &mut layout)
}

/// A field for a path. While nobody types in it, a path too long for it loses its beginning
/// rather than its end.
pub fn path_field(
    ui: &mut Ui,
    id: impl egui::AsIdSalt + Copy,
    name: &str,
    path: &mut String,
    hint: &str,
) -> Response {
    let typing = ui.memory(|memory| memory.has_focus(ui.make_persistent_id(id)));
    if typing {
        return text_field(ui, id, name, path, hint, Type::Body, None);
    }
    let room = ui.available_width() - 28.0;
    let fits = |text: &str| text_width(ui.painter(), text, Type::Body) <= room;
    let mut shown = path.clone();
    if !fits(&shown) {
        let starts: Vec<usize> = path.char_indices().map(|(start, _)| start).collect();
        let first = starts.partition_point(|start| !fits(&format!("…{}", &path[*start..])));
        shown = format!("…{}", starts.get(first).map_or("", |start| &path[*start..]));
    }
    let whole = shown == *path;
    let mut response = text_field(ui, id, name, &mut shown, hint, Type::Body, None);
    if whole {
        *path = shown;
    } else {
        // What is shown is not the path; nothing typed into it can be meant.
        response.flags.remove(egui::response::Flags::CHANGED);
        ui.ctx().accesskit_node_builder(response.id, |node| node.set_value(path.as_str()));
    }
    response
}

/// A search field with a magnifying glass.
pub fn search_field(ui: &mut Ui, id: Id, name: &str, text: &mut String, hint: &str) -> Response {
    let theme = Theme::get(ui);
    let mut layout = |ui: &Ui, text: &dyn egui::TextBuffer, _wrap: f32| {
        let job = egui::text::LayoutJob::simple_singleline(
            text.as_str().into(),
            Type::Body.font(),
            theme.text,
        );
        ui.painter().layout_job(job)
    };
    let response = framed(ui, id, name, text, hint, Type::Body, 36, &mut layout);
    let center = pos2(response.rect.left() + 19.0, response.rect.center().y);
    Icon::Search.paint(ui.painter(), center, 16.0, theme.text3);
    response
}

type Layouter<'a> = dyn FnMut(&Ui, &dyn egui::TextBuffer, f32) -> std::sync::Arc<egui::Galley> + 'a;

#[expect(clippy::too_many_arguments, reason = "private; the two callers above fill them in")]
fn framed(
    ui: &mut Ui,
    id: Id,
    name: &str,
    text: &mut String,
    hint: &str,
    size: Type,
    left: i8,
    layout: &mut Layouter<'_>,
) -> Response {
    let theme = Theme::get(ui);
    let height = 34.0;
    let frame = Frame::new()
        .fill(theme.field())
        .stroke(Stroke::new(1.0, theme.edge))
        .corner_radius(CornerRadius::same(RADIUS))
        .inner_margin(Margin { left, right: 12, top: 0, bottom: 0 });
    let edit = TextEdit::singleline(text)
        .id(id)
        .font(size.font())
        .hint_text(rich(hint, size, theme.text3))
        .frame(frame)
        .align(egui::Align2::LEFT_CENTER)
        .min_size(vec2(0.0, height))
        .desired_width(f32::INFINITY)
        .layouter(layout);
    let response = edit.show(ui).response.response;
    ui.ctx().accesskit_node_builder(response.id, |node| node.set_label(name));
    focus_ring(ui, &response, response.rect, RADIUS);
    response
}

/// A bar 4 high over the available width; `fraction` 0.0..=1.0.
pub fn progress_bar(ui: &mut Ui, fraction: f32, color: Color32, name: &str) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 4.0), Sense::hover());
    let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
    response.widget_info(|| WidgetInfo {
        value: Some(f64::from((fraction * 100.0).round())),
        ..WidgetInfo::labeled(Role::ProgressIndicator, true, name)
    });
    ui.ctx().accesskit_node_builder(response.id, |node| {
        node.set_min_numeric_value(0.0);
        node.set_max_numeric_value(100.0);
        node.set_value(format!("{:.0} percent", fraction * 100.0));
    });
    let radius = CornerRadius::same(2);
    ui.painter().rect_filled(rect, radius, Theme::get(ui).ctl);
    let done = Rect::from_min_size(rect.min, vec2(rect.width() * fraction, rect.height()));
    if done.width() >= 1.0 {
        ui.painter().rect(done, radius, color, Stroke::NONE, StrokeKind::Inside);
    }
    response
}
