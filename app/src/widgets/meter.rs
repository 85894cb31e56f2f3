//! The level meter: two bars over 60 dB, peak lines, and a cap that stays lit after clipping
//! until it is clicked.

use egui::{
    Color32, CornerRadius, Rect, Response, Sense, Ui, Widget, WidgetInfo, accesskit::Role, pos2,
    vec2,
};

use super::focus_ring;
use crate::{
    state::{METER_FLOOR_DB, Meter},
    theme::{RADIUS_METER, Theme},
};

/// Draws a [`Meter`] over the available room. The response is that of the clip cap: clicked means
/// "forget the clipping".
#[derive(Debug)]
#[must_use = "add it to a Ui"]
pub struct LevelMeter<'a> {
    meter: &'a Meter,
    color: Color32,
    name: &'a str,
    horizontal: bool,
}

const BAR: f32 = 6.0;
const GAP: f32 = 2.0;
const CAP: f32 = 4.0;

impl<'a> LevelMeter<'a> {
    /// Width of an upright meter, and height of a lying one.
    pub const THICKNESS: f32 = 2.0 * BAR + GAP;

    /// An upright meter of the lane called `name`.
    pub fn new(meter: &'a Meter, color: Color32, name: &'a str) -> Self {
        Self { meter, color, name, horizontal: false }
    }

    /// Lying, loud to the right.
    pub fn horizontal(mut self) -> Self {
        self.horizontal = true;
        self
    }
}

impl Widget for LevelMeter<'_> {
    fn ui(self, ui: &mut Ui) -> Response {
        let room = ui.available_size();
        let size = if self.horizontal {
            vec2(room.x, Self::THICKNESS)
        } else {
            vec2(Self::THICKNESS, room.y)
        };
        let (rect, whole) = ui.allocate_exact_size(size, Sense::hover());
        let loudest = self.meter.level_db[0].max(self.meter.level_db[1]);
        whole.widget_info(|| WidgetInfo {
            value: Some(f64::from(loudest.round())),
            ..WidgetInfo::labeled(Role::Meter, true, format!("{} level", self.name))
        });

        // Along: from silent to loud; across: left bar, right bar.
        let length = if self.horizontal { rect.width() } else { rect.height() };
        let place = |along: (f32, f32), across: (f32, f32)| {
            if self.horizontal {
                Rect::from_min_max(
                    pos2(rect.left() + along.0, rect.top() + across.0),
                    pos2(rect.left() + along.1, rect.top() + across.1),
                )
            } else {
                Rect::from_min_max(
                    pos2(rect.left() + across.0, rect.bottom() - along.1),
                    pos2(rect.left() + across.1, rect.bottom() - along.0),
                )
            }
        };
        let cap_rect = place((length - CAP, length), (0.0, Self::THICKNESS));
        // The cap is a control only while there is something to clear.
        let sense = if self.meter.clipped { Sense::click() } else { Sense::hover() };
        let cap = ui.interact(cap_rect.expand(3.0), whole.id.with("cap"), sense);
        if self.meter.clipped {
            cap.widget_info(|| {
                let name = format!("{} clipped, forget it", self.name);
                WidgetInfo::labeled(Role::Button, ui.is_enabled(), name)
            });
        }
        if !ui.is_rect_visible(rect) {
            return cap;
        }

        let theme = Theme::get(ui);
        let painter = ui.painter();
        let radius = CornerRadius::same(RADIUS_METER);
        let cap_color = if self.meter.clipped { theme.error } else { theme.ctl };
        painter.rect_filled(cap_rect, radius, cap_color);
        let bars = length - CAP - 3.0;
        let along = |db: f32| bars * (1.0 - db / METER_FLOOR_DB).clamp(0.0, 1.0);
        let well = if theme.dark { theme.bg } else { theme.ctl };
        for side in 0..2 {
            let offset = side as f32 * (BAR + GAP);
            let across = (offset, offset + BAR);
            painter.rect_filled(place((0.0, bars), across), radius, well);
            let level = along(self.meter.level_db[side]);
            if level > 0.5 {
                painter.rect_filled(place((0.0, level), across), radius, self.color);
            }
            let hold = along(self.meter.hold_db[side]);
            if hold > 2.0 {
                painter.rect_filled(place((hold - 2.0, hold), across), 0.0, theme.head);
            }
        }
        focus_ring(ui, &cap, cap_rect, RADIUS_METER);
        if self.meter.clipped { cap.on_hover_text("Clipped. Click to forget it.") } else { cap }
    }
}
