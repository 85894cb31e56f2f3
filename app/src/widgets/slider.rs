//! Sliders: volume, pan, and plain ones. Arrows move, with Shift finely; Home and End go to the
//! ends; a double-click or Backspace resets; dragging with Shift is ten times finer.

use egui::{
    Align2, Color32, CornerRadius, EventFilter, Key, Pos2, Rect, Response, Sense, Stroke, Ui,
    WidgetInfo,
    accesskit::{Action, ActionData, Role},
    pos2, vec2,
};
use engine::mix::{MAX_GAIN_DB, MIN_GAIN_DB};

use super::{focus_ring, paint_tabular};
use crate::{
    keymap::claim_arrows,
    theme::{Theme, Type},
};

/// How a slider maps its value and what its keys do.
struct Scale {
    min: f32,
    max: f32,
    reset: f32,
    step: f32,
    fine: f32,
    /// Value at a position 0.0..=1.0.
    value_at: fn(f32, &Scale) -> f32,
    /// Position of a value.
    pos_of: fn(f32, &Scale) -> f32,
    /// Part of the rail before the knob is brighter.
    filled: bool,
    /// A tick marks the reset value.
    tick: bool,
}

impl Scale {
    /// Rounds to the finest step and keeps within the ends.
    fn snap(&self, value: f32) -> f32 {
        ((value / self.fine).round() * self.fine).clamp(self.min, self.max)
    }
}

fn linear_value(pos: f32, scale: &Scale) -> f32 {
    scale.min + pos * (scale.max - scale.min)
}

fn linear_pos(value: f32, scale: &Scale) -> f32 {
    (value - scale.min) / (scale.max - scale.min)
}

/// 0 dB lies at three quarters; below it the curve opens, as on a fader.
const UNITY: f32 = 0.75;
const CURVE: f32 = 1.6;

fn fader_value(pos: f32, scale: &Scale) -> f32 {
    if pos >= UNITY {
        scale.max * (pos - UNITY) / (1.0 - UNITY)
    } else {
        scale.min * (1.0 - pos / UNITY).powf(CURVE)
    }
}

fn fader_pos(value: f32, scale: &Scale) -> f32 {
    if value >= 0.0 {
        UNITY + (1.0 - UNITY) * value / scale.max
    } else {
        UNITY * (1.0 - (value / scale.min).powf(1.0 / CURVE))
    }
}

/// "+1.5", "0.0", "−4.0", "−∞".
pub fn volume_text(gain_db: f32) -> String {
    match gain_db {
        db if db <= MIN_GAIN_DB => "−∞".into(),
        db if db.abs() < 0.05 => "0.0".into(),
        db if db > 0.0 => format!("+{db:.1}"),
        db => format!("−{:.1}", -db),
    }
}

/// "C", "L 32", "R 100".
pub fn pan_text(pan: f32) -> String {
    match (pan * 100.0).round() as i32 {
        0 => "C".into(),
        left if left < 0 => format!("L {}", -left),
        right => format!("R {right}"),
    }
}

/// A fader in decibels with its readout, over the available width. `name` is said before
/// "volume": "Vocals" or "Master".
pub fn volume_slider(ui: &mut Ui, gain_db: &mut f32, name: &str) -> Response {
    let scale = Scale {
        min: MIN_GAIN_DB,
        max: MAX_GAIN_DB,
        reset: 0.0,
        step: 0.5,
        fine: 0.1,
        value_at: fader_value,
        pos_of: fader_pos,
        filled: true,
        tick: false,
    };
    let readout = |db: f32| volume_text(db);
    let spoken = |db: f32| {
        if db <= MIN_GAIN_DB { "silent".into() } else { format!("{} decibels", volume_text(db)) }
    };
    show(ui, gain_db, &format!("{name} volume"), &scale, Some(&readout), &spoken)
}

/// A balance slider with its readout, over the available width.
pub fn pan_slider(ui: &mut Ui, pan: &mut f32, name: &str) -> Response {
    let scale = Scale {
        min: -1.0,
        max: 1.0,
        reset: 0.0,
        step: 0.05,
        fine: 0.01,
        value_at: linear_value,
        pos_of: linear_pos,
        filled: false,
        tick: true,
    };
    let spoken = |pan: f32| match (pan * 100.0).round() as i32 {
        0 => "centre".to_owned(),
        left if left < 0 => format!("{} left", -left),
        right => format!("{right} right"),
    };
    show(ui, pan, &format!("{name} pan"), &scale, Some(&pan_text), &spoken)
}

/// A plain slider from `min` to `max` in steps of `step`, over the available width; `spoken` says
/// a value with its unit. Backspace goes to `reset`.
pub fn slider(
    ui: &mut Ui,
    value: &mut f32,
    range: std::ops::RangeInclusive<f32>,
    step: f32,
    reset: f32,
    name: &str,
    spoken: &dyn Fn(f32) -> String,
) -> Response {
    let scale = Scale {
        min: *range.start(),
        max: *range.end(),
        reset,
        step,
        fine: step,
        value_at: linear_value,
        pos_of: linear_pos,
        filled: true,
        tick: false,
    };
    show(ui, value, name, &scale, None, spoken)
}

const KNOB_RADIUS: f32 = 6.0;
const READOUT_WIDTH: f32 = 38.0;

fn show(
    ui: &mut Ui,
    value: &mut f32,
    name: &str,
    scale: &Scale,
    readout: Option<&dyn Fn(f32) -> String>,
    spoken: &dyn Fn(f32) -> String,
) -> Response {
    let height = ui.available_height().clamp(20.0, 26.0);
    let (rect, mut response) = ui
        .allocate_exact_size(vec2(ui.available_width().max(60.0), height), Sense::click_and_drag());
    let readout_width = if readout.is_some() { READOUT_WIDTH } else { 0.0 };
    let rail = Rect::from_min_max(
        pos2(rect.left() + KNOB_RADIUS, rect.top()),
        pos2(rect.right() - readout_width - KNOB_RADIUS, rect.bottom()),
    );

    let before = *value;
    if let Some(new) = input(ui, &response, rail, *value, scale) {
        *value = new;
    }
    if *value != before {
        response.mark_changed();
    }

    response.widget_info(|| WidgetInfo::slider(ui.is_enabled(), f64::from(*value), name));
    ui.ctx().accesskit_node_builder(response.id, |node| {
        node.set_role(Role::Slider);
        node.set_value(spoken(*value));
        node.set_min_numeric_value(scale.min.into());
        node.set_max_numeric_value(scale.max.into());
        node.set_numeric_value_step(scale.step.into());
        node.add_action(Action::SetValue);
        node.add_action(Action::Increment);
        node.add_action(Action::Decrement);
    });
    if ui.is_rect_visible(rect) {
        paint(ui, &response, rail, *value, scale);
        if let Some(readout) = readout {
            let pos = rect.right_center();
            let color = Theme::get(ui).text2;
            let text = readout(*value);
            paint_tabular(ui.painter(), pos, Align2::RIGHT_CENTER, &text, Type::Small, color);
        }
    }
    response
}

/// The value that this frame's pointer, keys and screen reader ask for.
fn input(ui: &Ui, response: &Response, rail: Rect, value: f32, scale: &Scale) -> Option<f32> {
    let mut asked = None;
    if response.double_clicked() {
        return Some(scale.reset);
    }
    if let Some(pointer) = response.interact_pointer_pos() {
        let fine = ui.input(|input| input.modifiers.shift);
        if fine && response.dragged() {
            let moved = response.drag_delta().x / rail.width() / 10.0;
            let pos = ((scale.pos_of)(value, scale) + moved).clamp(0.0, 1.0);
            // Not snapped: small moves add up.
            asked = Some((scale.value_at)(pos, scale).clamp(scale.min, scale.max));
        } else if response.clicked() || response.dragged() {
            let pos = ((pointer.x - rail.left()) / rail.width()).clamp(0.0, 1.0);
            let near_reset = ((scale.pos_of)(scale.reset, scale) - pos).abs() * rail.width() < 1.5;
            let value = (scale.value_at)(pos, scale);
            asked = Some(if near_reset { scale.reset } else { scale.snap(value) });
        }
    }
    if response.has_focus() {
        let id = response.id;
        claim_arrows(ui.ctx(), id);
        let filter = EventFilter { horizontal_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(id, filter));
        let keyed = ui.input(|input| {
            let step = if input.modifiers.shift { scale.fine } else { scale.step };
            let presses = |key| input.num_presses(key) as f32;
            let steps = presses(Key::ArrowRight) - presses(Key::ArrowLeft);
            if input.key_pressed(Key::Backspace) {
                Some(scale.reset)
            } else if input.key_pressed(Key::Home) {
                Some(scale.min)
            } else if input.key_pressed(Key::End) {
                Some(scale.max)
            } else {
                (steps != 0.0).then(|| scale.snap(value + steps * step))
            }
        });
        asked = keyed.or(asked);
    }
    let id = response.id;
    ui.input(|input| {
        let requests = |action| input.num_accesskit_action_requests(id, action) as f32;
        let steps = requests(Action::Increment) - requests(Action::Decrement);
        let set =
            input.accesskit_action_requests(id, Action::SetValue).find_map(|request| match request
                .data
            {
                Some(ActionData::NumericValue(number)) if number.is_finite() => {
                    Some(scale.snap(number as f32))
                }
                _ => None,
            });
        let stepped = (steps != 0.0).then(|| scale.snap(value + steps * scale.step));
        set.or(stepped).or(asked)
    })
}

fn paint(ui: &Ui, response: &Response, rail: Rect, value: f32, scale: &Scale) {
    let theme = Theme::get(ui);
    let painter = ui.painter();
    let y = rail.center().y;
    let bar = |from: f32, to: f32, color: Color32| {
        let rect = Rect::from_min_max(Pos2::new(from, y - 1.5), pos2(to, y + 1.5));
        painter.rect_filled(rect, CornerRadius::same(2), color);
    };
    let knob_x = rail.left() + rail.width() * (scale.pos_of)(value, scale).clamp(0.0, 1.0);
    bar(rail.left() - KNOB_RADIUS, rail.right() + KNOB_RADIUS, theme.ctl_pressed);
    if scale.filled {
        bar(rail.left() - KNOB_RADIUS, knob_x, theme.text2);
    }
    if scale.tick {
        let x = rail.left() + rail.width() * (scale.pos_of)(scale.reset, scale);
        painter.vline(x, y - 5.0..=y + 5.0, Stroke::new(1.0, theme.edge));
    }
    let center = pos2(knob_x, y);
    let grown = response.hovered() || response.dragged();
    painter.circle_filled(center, if grown { KNOB_RADIUS + 1.0 } else { KNOB_RADIUS }, theme.head);
    let knob = Rect::from_center_size(center, vec2(2.0, 2.0) * KNOB_RADIUS);
    focus_ring(ui, response, knob, KNOB_RADIUS as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_in_the_design() {
        assert_eq!(volume_text(1.5), "+1.5");
        assert_eq!(volume_text(-0.04), "0.0");
        assert_eq!(volume_text(-4.0), "−4.0");
        assert_eq!(volume_text(MIN_GAIN_DB), "−∞");
        assert_eq!(pan_text(-0.32), "L 32");
        assert_eq!(pan_text(0.0), "C");
        assert_eq!(pan_text(1.0), "R 100");
    }

    #[test]
    fn fader_position_and_value_are_each_others_inverse() {
        let scale = Scale {
            min: MIN_GAIN_DB,
            max: MAX_GAIN_DB,
            reset: 0.0,
            step: 0.5,
            fine: 0.1,
            value_at: fader_value,
            pos_of: fader_pos,
            filled: true,
            tick: false,
        };
        let mut last = f32::NEG_INFINITY;
        for i in 0..=100 {
            let pos = i as f32 / 100.0;
            let value = fader_value(pos, &scale);
            assert!(value > last, "rises with the position");
            assert!((fader_pos(value, &scale) - pos).abs() < 1e-4, "{pos}");
            last = value;
        }
        assert_eq!(fader_value(0.0, &scale), MIN_GAIN_DB);
        assert_eq!(fader_value(UNITY, &scale), 0.0);
        assert_eq!(fader_value(1.0, &scale), MAX_GAIN_DB);
    }
}
