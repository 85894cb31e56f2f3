//! The parts every screen is made of: drawn by us, named for screen readers, worked by keyboard.

mod badge;
mod button;
mod choice;
mod combo;
pub mod dialog;
mod field;
mod frames;
mod meter;
mod slider;
mod text;
mod toggle;

pub use badge::{computer_badge, key_chip, letter_of, paint_key_chip, step_badge};
pub use button::{Button, IconButton};
pub(crate) use choice::paint_radio;
pub use choice::{MARK_INDENT, check_mark, check_row, checkbox, radio, segmented};
pub use combo::combo;
pub use field::{Colouring, path_field, progress_bar, search_field, text_field};
pub use frames::{card, separator, toast_frame};
pub use meter::LevelMeter;
pub use slider::{pan_slider, pan_text, slider, volume_slider, volume_text};
pub use text::{galley, label, label_color, paint_tabular, rich, tabular, text_width};
pub use toggle::{mute_button, solo_button};

use egui::{
    Color32, Context, CornerRadius, Id, Key, Modifiers, Rect, Response, Stroke, StrokeKind, Ui,
};

use crate::theme::Theme;

/// Paints the focus ring, 2 px with a gap of 2 px, around `rect` if `response` has the focus.
pub fn focus_ring(ui: &Ui, response: &Response, rect: Rect, radius: u8) {
    if response.has_focus() {
        let ring = Stroke::new(2.0, Theme::get(ui).focus);
        let radius = CornerRadius::same(radius + 2);
        ui.painter().rect_stroke(rect.expand(2.0), radius, ring, StrokeKind::Outside);
    }
}

/// Fill of a control: `rest`, `hover` faded in, `pressed` at once.
fn control_fill(
    ui: &Ui,
    response: &Response,
    rest: Color32,
    hover: Color32,
    pressed: Color32,
) -> Color32 {
    let secs = ui.style().animation_time;
    let hovered = response.hovered() || response.is_pointer_button_down_on();
    let t = ui.ctx().animate_bool_with_time(response.id.with("hover"), hovered, secs);
    if response.is_pointer_button_down_on() { pressed } else { rest.lerp_to_gamma(hover, t) }
}

/// A button that has the focus keeps Enter for itself.
fn claim_enter(response: &Response) {
    if response.has_focus() {
        response.ctx.data_mut(|data| data.insert_temp(enter_id(), response.id));
    }
}

fn enter_id() -> Id {
    Id::unique("enter key of")
}

/// Takes Enter for a dialog's default button, unless the focus is on a button, which it presses.
pub fn take_enter(ctx: &Context) -> bool {
    let focused = ctx.memory(|memory| memory.focused());
    let claimed: Option<Id> = ctx.data(|data| data.get_temp(enter_id()));
    let taken = focused.is_some() && focused == claimed;
    !taken && ctx.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Enter))
}
