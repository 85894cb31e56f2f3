//! The grid of the song screen: every measure in points, for both window sizes.

use egui::{Rect, Vec2, pos2};

/// Height of the top bar.
pub const TOP_BAR: f32 = 52.0;
/// Height of the progress band, unfolded.
pub const PROGRESS: f32 = 56.0;
/// Height of the ruler.
pub const RULER: f32 = 30.0;
/// Height of the piece strip.
pub const STRIP: f32 = 20.0;
/// Height of the line that says there is no sound device.
pub const NO_DEVICE: f32 = 60.0;
/// Height of the card of failed pieces.
pub const FAILED_CARD: f32 = 164.0;
/// Width of the side panel.
pub const SIDE_PANEL: f32 = 304.0;
/// Lanes are never lower; they scroll instead.
pub const MIN_LANE: f32 = 84.0;
/// Lanes lower than this drop the pan row.
pub const PAN_FROM: f32 = 104.0;

/// What depends on the window's size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measures {
    /// Under 1000 wide or 700 high: narrower, lower, no key hints.
    pub small: bool,
    /// Under 1180 wide the side panel lies over the lanes.
    pub side_over: bool,
    /// Width of the lane headers.
    pub header: f32,
    /// Height of the overview.
    pub overview: f32,
    /// Height of the transport.
    pub transport: f32,
    /// Space left of a header's content.
    pub inset: f32,
}

impl Measures {
    /// The measures of a window of this size.
    pub fn of(window: Vec2) -> Self {
        let small = window.x < 1000.0 || window.y < 700.0;
        Self {
            small,
            side_over: window.x < 1180.0,
            header: if small { 216.0 } else { 236.0 },
            overview: if small { 40.0 } else { 54.0 },
            transport: if small { 60.0 } else { 76.0 },
            inset: if small { 12.0 } else { 16.0 },
        }
    }

    /// A row's header column and the rest, where time runs.
    pub fn split(&self, row: Rect) -> (Rect, Rect) {
        let x = row.left() + self.header;
        (row.with_max_x(x), Rect::from_min_max(pos2(x, row.top()), row.max))
    }
}

/// Cuts `height` off the top of `rest`.
pub fn take_top(rest: &mut Rect, height: f32) -> Rect {
    let y = (rest.top() + height).min(rest.bottom());
    let taken = rest.with_max_y(y);
    rest.set_top(y);
    taken
}

/// Cuts `height` off the bottom of `rest`.
pub fn take_bottom(rest: &mut Rect, height: f32) -> Rect {
    let y = (rest.bottom() - height).max(rest.top());
    let taken = rest.with_min_y(y);
    rest.set_bottom(y);
    taken
}
