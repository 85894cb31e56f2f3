//! Choosing: segments, checkboxes, radio buttons. Segments are one stop of the Tab key, on the
//! chosen one; the arrows choose its neighbours.

use egui::{
    Align2, CornerRadius, EventFilter, Id, Key, Rect, Response, Sense, Stroke, StrokeKind, Ui,
    Vec2, WidgetInfo, accesskit::Role, pos2, vec2,
};

use super::{focus_ring, galley, rich};
use crate::{
    icons::Icon,
    keymap::claim_arrows,
    theme::{RADIUS, RADIUS_TOGGLE, Theme, Type},
};

/// One of a few values, side by side over the available width (at most `max_width`). The response
/// is that of the chosen segment; it says `changed` when another one was chosen.
pub fn segmented<T: Copy + PartialEq>(
    ui: &mut Ui,
    name: &str,
    value: &mut T,
    options: &[(T, &str)],
    max_width: f32,
) -> Response {
    let theme = Theme::get(ui);
    let size = vec2(ui.available_width().min(max_width), 32.0);
    let (rect, group) = ui.allocate_exact_size(size, Sense::hover());
    group.widget_info(|| WidgetInfo::labeled(Role::RadioGroup, ui.is_enabled(), name));
    ui.painter().rect_filled(rect, CornerRadius::same(RADIUS), theme.ctl);

    let chosen = options.iter().position(|(option, _)| option == value);
    let count = options.len().max(1) as f32;
    let segment = |index: usize| {
        let width = rect.width() / count;
        let min = pos2(rect.left() + width * index as f32, rect.top());
        Rect::from_min_size(min, vec2(width, rect.height()))
    };
    let id = |index: usize| group.id.with(index);
    let mut wanted = chosen;
    let mut shown = group.clone();
    for (index, (_, text)) in options.iter().enumerate() {
        let on = chosen == Some(index);
        // Only one of them is a stop of the Tab key.
        let stop = on || chosen.is_none() && index == 0;
        let sense = if stop { Sense::click() } else { Sense::CLICK };
        let mut response = ui.interact(segment(index), id(index), sense);
        if response.clicked() {
            wanted = Some(index);
        }
        if response.has_focus() {
            wanted = arrows(ui, response.id, index, options.len()).or(wanted);
        }
        response.widget_info(|| {
            WidgetInfo::selected(Role::RadioButton, ui.is_enabled(), on, format!("{name}, {text}"))
        });
        paint_segment(ui, &response, segment(index), text, on);
        if stop {
            focus_ring(ui, &response, rect, RADIUS);
            if wanted != chosen {
                response.mark_changed();
            }
            shown = response;
        }
    }
    if let Some(index) = wanted
        && wanted != chosen
    {
        if shown.has_focus() {
            ui.memory_mut(|memory| memory.request_focus(id(index)));
        }
        *value = options[index].0;
        shown.mark_changed();
    }
    shown
}

fn arrows(ui: &Ui, id: Id, index: usize, count: usize) -> Option<usize> {
    claim_arrows(ui.ctx(), id);
    let filter = EventFilter { horizontal_arrows: true, ..EventFilter::default() };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(id, filter));
    ui.input(|input| {
        let (left, right) = (input.num_presses(Key::ArrowLeft), input.num_presses(Key::ArrowRight));
        let moved = (index + right).saturating_sub(left).min(count - 1);
        (left + right > 0).then_some(moved)
    })
}

fn paint_segment(ui: &Ui, response: &Response, rect: Rect, text: &str, on: bool) {
    let theme = Theme::get(ui);
    let painter = ui.painter();
    if on {
        let rect = rect.shrink(2.0);
        let radius = CornerRadius::same(RADIUS_TOGGLE);
        if theme.dark {
            painter.rect_filled(rect, radius, theme.ctl_pressed);
        } else {
            let edge = Stroke::new(1.0, theme.edge);
            painter.rect(rect, radius, theme.raised, edge, StrokeKind::Inside);
        }
    }
    let color = if on || response.hovered() { theme.text } else { theme.text2 };
    let text = galley(painter, text, Type::BodyMedium, color, rect.width() - 8.0);
    let pos = Align2::CENTER_CENTER.anchor_size(rect.center(), text.size()).min;
    painter.galley(pos, text, color);
}

const BOX: f32 = 18.0;

/// From the left edge of a checkbox or radio button to its word.
pub const MARK_INDENT: f32 = BOX + 12.0;

/// A checkbox with its word.
pub fn checkbox(ui: &mut Ui, checked: &mut bool, text: &str) -> Response {
    check_row(ui, checked, None, text, None)
}

/// A checkbox whose word stands elsewhere.
pub fn check_mark(ui: &mut Ui, checked: &mut bool, name: &str) -> Response {
    let (rect, mut response) = ui.allocate_exact_size(Vec2::splat(26.0), Sense::click());
    if response.clicked() {
        *checked = !*checked;
        response.mark_changed();
    }
    let on = *checked;
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, ui.is_enabled(), on, name));
    paint_check(ui, &response, rect.shrink((26.0 - BOX) / 2.0), on);
    response
}

/// A checkbox with an icon, a word, and a line of explanation, all of it clickable.
pub fn check_row(
    ui: &mut Ui,
    checked: &mut bool,
    icon: Option<(Icon, egui::Color32)>,
    text: &str,
    detail: Option<&str>,
) -> Response {
    let mut response = mark_row(ui, icon, text, detail);
    if response.clicked() {
        *checked = !*checked;
        response.mark_changed();
    }
    let checked = *checked;
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, ui.is_enabled(), checked, text));
    if let Some(detail) = detail {
        ui.ctx().accesskit_node_builder(response.id, |node| node.set_description(detail));
    }
    paint_check(ui, &response, mark_rect(response.rect), checked);
    response
}

fn paint_check(ui: &Ui, response: &Response, mark: Rect, checked: bool) {
    let theme = Theme::get(ui);
    let radius = CornerRadius::same(4);
    if checked {
        ui.painter().rect_filled(mark, radius, theme.honey);
        Icon::Check.paint(ui.painter(), mark.center(), 14.0, theme.on_honey);
    } else {
        let edge = if response.hovered() { theme.text2 } else { theme.edge };
        let stroke = Stroke::new(1.5, edge);
        ui.painter().rect_stroke(mark, radius, stroke, StrokeKind::Inside);
    }
    focus_ring(ui, response, mark, 4);
}

/// One of several, with its word; `clicked` means "choose me".
pub fn radio(ui: &mut Ui, chosen: bool, text: &str) -> Response {
    let theme = Theme::get(ui);
    let response = mark_row(ui, None, text, None);
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, ui.is_enabled(), chosen, text));
    paint_radio(ui, mark_rect(response.rect), chosen, response.hovered());
    if response.has_focus() {
        let ring = Stroke::new(2.0, theme.focus);
        ui.painter().circle_stroke(mark_rect(response.rect).center(), BOX / 2.0 + 3.0, ring);
    }
    response
}

/// The round mark of a radio button.
pub(crate) fn paint_radio(ui: &Ui, mark: Rect, chosen: bool, hovered: bool) {
    let theme = Theme::get(ui);
    let edge = match (chosen, hovered) {
        (true, _) => theme.honey_text,
        (false, true) => theme.text2,
        (false, false) => theme.edge,
    };
    let radius = mark.width() / 2.0;
    ui.painter().circle_stroke(mark.center(), radius - 0.75, Stroke::new(1.5, edge));
    if chosen {
        ui.painter().circle_filled(mark.center(), radius - 4.5, edge);
    }
}

fn mark_rect(row: Rect) -> Rect {
    Rect::from_min_size(pos2(row.left(), row.top() + 4.0), Vec2::splat(BOX))
}

fn mark_row(
    ui: &mut Ui,
    icon: Option<(Icon, egui::Color32)>,
    text: &str,
    detail: Option<&str>,
) -> Response {
    let theme = Theme::get(ui);
    let icon_width = if icon.is_some() { 30.0 } else { 0.0 };
    let indent = MARK_INDENT + icon_width;
    let room = (ui.available_width() - indent).max(20.0);
    let title = galley(ui.painter(), text, Type::BodyMedium, theme.text, room);
    let detail = detail.map(|detail| {
        let rich: egui::WidgetText = rich(detail, Type::Small, theme.text3).into();
        rich.into_galley(ui, Some(egui::TextWrapMode::Wrap), room, Type::Small.font())
    });
    let detail_size = detail.as_ref().map_or(Vec2::ZERO, |detail| detail.size());
    let width = indent + title.size().x.max(detail_size.x);
    let height = 26.0 + detail_size.y;
    let (rect, response) = ui.allocate_exact_size(vec2(width, height), Sense::click());
    if ui.is_rect_visible(rect) {
        let middle = rect.top() + 13.0;
        if let Some((icon, color)) = icon {
            icon.paint(ui.painter(), pos2(rect.left() + BOX + 22.0, middle), 18.0, color);
        }
        let left = rect.left() + indent;
        let title_top = middle - title.size().y / 2.0;
        ui.painter().galley(pos2(left, title_top), title, theme.text);
        if let Some(detail) = detail {
            ui.painter().galley(pos2(left, rect.top() + 23.0), detail, theme.text3);
        }
    }
    response
}
