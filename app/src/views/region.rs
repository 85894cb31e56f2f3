//! Regions of the song screen: a place, a name for screen readers, and a stop of F6.

use egui::{FocusDirection, Id, Rect, Ui, UiBuilder, accesskit::Role};

use crate::state::{Region, State};

fn focused_key() -> Id {
    Id::unique("focused region")
}

/// Draws `add` at `rect` as `region`, clipped to it. Hands over the focus when F6 asked for it,
/// and notes when the focus is inside.
pub fn region<R>(
    ui: &mut Ui,
    state: &State,
    region: Region,
    rect: Rect,
    add: impl FnOnce(&mut Ui) -> R,
) -> R {
    if state.focus_request == Some(region) {
        ui.memory_mut(|memory| {
            if let Some(focused) = memory.focused() {
                memory.surrender_focus(focused);
            }
            // With nothing focused, the next widget that can take the focus gets it.
            memory.move_focus(FocusDirection::Next);
        });
    }
    let builder = UiBuilder::new()
        .id_salt(region)
        .max_rect(rect)
        .accessibility_role(Role::Region)
        .accessibility_label(name(region));
    let mut child = ui.new_child(builder);
    child.set_clip_rect(rect.intersect(ui.clip_rect()));
    let result = add(&mut child);
    let focused = ui.memory(|memory| memory.focused());
    let inside = focused
        .and_then(|id| ui.read_response(id))
        .is_some_and(|response| rect.contains(response.rect.center()));
    if inside {
        ui.data_mut(|data| data.insert_temp(focused_key(), (focused, region)));
    }
    result
}

/// The region that has the focus, as of the last frame.
pub fn focused(ctx: &egui::Context) -> Option<Region> {
    let (id, region): (Option<Id>, Region) = ctx.data(|data| data.get_temp(focused_key()))?;
    (id == ctx.memory(|memory| memory.focused())).then_some(region)
}

/// What a region is called.
pub fn name(region: Region) -> &'static str {
    match region {
        Region::TopBar => "Song",
        Region::Progress => "Progress",
        Region::Overview => "Whole song",
        Region::Ruler => "Time",
        Region::Lanes => "Stems",
        Region::SidePanel => "Details",
        Region::Transport => "Player",
    }
}
