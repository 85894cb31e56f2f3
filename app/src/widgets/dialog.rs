//! A dialog: dims the window, keeps the focus inside, starts on its first choice, closes by Esc
//! and gives the focus back to where it was.

use egui::{
    Align2, Context, CornerRadius, Frame, Id, Key, Margin, Modal, Modifiers, Popup, Rect, Response,
    Stroke, Ui, Vec2, accesskit::Role, vec2,
};

use super::{IconButton, label_color};
use crate::{
    icons::Icon,
    theme::{RADIUS_DIALOG, Theme, Type},
};

#[derive(Clone, Default)]
struct Trap {
    /// The dialog on screen, and whether this is its first frame.
    open: Option<Id>,
    first_frame: bool,
    /// What had the focus before.
    before: Option<Id>,
}

fn trap_id() -> Id {
    Id::unique("dialog focus")
}

/// Shows a dialog of at most `width` points and returns whether it asks to be closed.
pub fn dialog(
    ctx: &Context,
    title: &str,
    subtitle: Option<&str>,
    width: f32,
    contents: impl FnOnce(&mut Ui),
) -> bool {
    let place = (Align2::CENTER_CENTER, Vec2::ZERO);
    show(ctx, title, place, width, |ui| {
        let close = header(ui, title, subtitle);
        let before = ui.memory(|memory| memory.focused());
        contents(ui);
        if is_opening(ui) && ui.memory(|memory| memory.focused()) == before {
            close.request_focus();
        }
        close.clicked()
    })
}

/// A dialog that brings its own heading.
pub fn bare(ctx: &Context, name: &str, width: f32, contents: impl FnOnce(&mut Ui)) -> bool {
    show(ctx, name, (Align2::CENTER_CENTER, Vec2::ZERO), width, |ui| {
        contents(ui);
        false
    })
}

/// A dialog without a heading, near the top of the window, for lists one searches.
pub fn sheet(ctx: &Context, name: &str, width: f32, contents: impl FnOnce(&mut Ui)) -> bool {
    let top = (ctx.content_rect().height() * 0.14).min(120.0);
    show(ctx, name, (Align2::CENTER_TOP, vec2(0.0, top)), width, |ui| {
        contents(ui);
        false
    })
}

fn show(
    ctx: &Context,
    name: &str,
    (anchor, offset): (Align2, Vec2),
    width: f32,
    contents: impl FnOnce(&mut Ui) -> bool,
) -> bool {
    let id = Id::unique(("dialog", name));
    enter(ctx, id);
    let theme = Theme::of(ctx.global_style().visuals.dark_mode);
    let screen = ctx.content_rect();
    let frame = Frame::new()
        .fill(theme.raised)
        .stroke(Stroke::new(1.0, theme.ctl_pressed))
        .corner_radius(CornerRadius::same(RADIUS_DIALOG))
        .shadow(theme.shadow());
    // Read before the contents are shown: Esc closes an open list first.
    let popup_open = Popup::is_any_open(ctx);
    let area = Modal::default_area(id)
        .anchor(anchor, offset)
        .role(Role::Dialog)
        .accessible_name(name)
        .fade_in(false);
    let before = ctx.memory(|memory| memory.area_rect(id));
    let response =
        Modal::new(id).area(area).backdrop_color(theme.dim()).frame(frame).show(ctx, |ui| {
            ui.set_width(width.min(screen.width() - 32.0));
            ui.set_max_height(screen.height() - 32.0);
            ui.spacing_mut().item_spacing = Vec2::ZERO;
            contents(ui)
        });
    // It is placed by the size it had; one more frame when that has changed.
    if before.map(|rect| rect.size()) != Some(response.response.rect.size()) {
        ctx.request_repaint();
    }
    let escape = !popup_open
        && response.is_top_modal
        && ctx.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Escape));
    response.inner || escape
}

fn header(ui: &mut Ui, title: &str, subtitle: Option<&str>) -> Response {
    let theme = Theme::get(ui);
    let close = Frame::new()
        .inner_margin(Margin { left: 24, right: 16, top: 18, bottom: 16 })
        .show(ui, |ui| {
            let room = ui.available_rect_before_wrap();
            ui.scope(|ui| {
                ui.set_max_width(room.width() - 44.0);
                label_color(ui, Type::Figure, theme.text, title);
                if let Some(subtitle) = subtitle {
                    label_color(ui, Type::Small, theme.text2, subtitle);
                }
            });
            let height = ui.min_rect().height();
            let button = Rect::from_min_size(
                egui::pos2(room.right() - 32.0, room.top() + (height - 32.0) / 2.0),
                vec2(32.0, 32.0),
            );
            ui.place(button, IconButton::new(Icon::Close, "Close"))
        });
    super::separator(ui);
    close.inner
}

/// Whether the dialog opened this very frame; its first choice then asks for the focus.
pub fn is_opening(ui: &Ui) -> bool {
    ui.data(|data| data.get_temp::<Trap>(trap_id())).is_some_and(|trap| trap.first_frame)
}

/// Gives `response` the focus if the dialog is just opening.
pub fn focus_first(ui: &Ui, response: &Response) {
    if is_opening(ui) {
        response.request_focus();
    }
}

fn enter(ctx: &Context, id: Id) {
    let focused = ctx.memory(|memory| memory.focused());
    ctx.data_mut(|data| {
        let trap = data.get_temp_mut_or_default::<Trap>(trap_id());
        trap.first_frame = trap.open != Some(id);
        if trap.open.is_none() {
            trap.before = focused;
        }
        trap.open = Some(id);
    });
}

/// Call in every frame that shows no dialog: gives the focus back after one was closed.
pub fn leave(ctx: &Context) {
    let trap = ctx.data_mut(|data| std::mem::take(data.get_temp_mut_or_default::<Trap>(trap_id())));
    if trap.open.is_some()
        && let Some(id) = trap.before
    {
        ctx.memory_mut(|memory| memory.request_focus(id));
    }
}
