//! The start screen's picture: one song's waveform parts into four stems. Bars 2 px wide, 3 px
//! apart, in one mesh that is built again only when its place or the theme changes.

use std::sync::Arc;

use egui::{Align2, Color32, Id, Mesh, Rect, Shape, Ui, pos2, vec2};
use engine::model::Stem;

use crate::{
    icons::Icon,
    state::stem_title,
    theme::{Theme, Type},
    widgets,
};

const STEMS: [Stem; 4] = [Stem::Drums, Stem::Bass, Stem::Other, Stem::Vocals];
const BAR: f32 = 2.0;
const PITCH: f32 = 3.0;
/// Room on the right for icons and names.
const NAMES: f32 = 124.0;

#[derive(Clone)]
struct Cached {
    rect: Rect,
    dark: bool,
    mesh: Arc<Mesh>,
}

/// Paints the picture over `rect`.
pub(super) fn start_picture(ui: &Ui, rect: Rect) {
    let theme = Theme::get(ui);
    let id = Id::unique("start picture");
    let cached = ui.data(|data| data.get_temp::<Cached>(id));
    let mesh = match cached {
        Some(cached) if cached.rect == rect && cached.dark == theme.dark => cached.mesh,
        _ => {
            let mesh = Arc::new(mesh(theme, rect));
            let cached = Cached { rect, dark: theme.dark, mesh: Arc::clone(&mesh) };
            ui.data_mut(|data| data.insert_temp(id, cached));
            mesh
        }
    };
    ui.painter().add(Shape::Mesh(mesh));
    for (index, stem) in STEMS.into_iter().enumerate() {
        let color = theme.stem(stem);
        let left = pos2(rect.right() - NAMES + 16.0, lane_y(rect, index));
        Icon::stem(stem).paint(ui.painter(), left + vec2(9.0, 0.0), 18.0, color);
        let name = widgets::galley(ui.painter(), stem_title(stem), Type::BodyMedium, color, 80.0);
        let pos = Align2::LEFT_CENTER.anchor_size(left + vec2(26.0, 0.0), name.size()).min;
        ui.painter().galley(pos, name, color);
    }
}

fn lane_y(rect: Rect, index: usize) -> f32 {
    rect.top() + rect.height() * (0.5 + index as f32) / STEMS.len() as f32
}

fn mesh(theme: &Theme, rect: Rect) -> Mesh {
    let mut mesh = Mesh::default();
    let bars = ((rect.width() - NAMES) / PITCH).max(0.0) as usize;
    let half_lane = rect.height() / STEMS.len() as f32 / 2.0;
    let mut bar = |x: f32, y: f32, half: f32, color: Color32| {
        let half = half.max(0.75);
        mesh.add_colored_rect(
            Rect::from_min_max(pos2(x, y - half), pos2(x + BAR, y + half)),
            color,
        );
    };
    for index in 0..bars {
        let x = rect.left() + index as f32 * PITCH;
        let t = index as f32 / bars as f32;
        let end = smooth(1.0 - t, 0.0, 0.06);
        // The song, until it comes apart.
        let fading = 1.0 - smooth(t, 0.46, 0.56);
        if fading > 0.0 {
            let envelope = smooth(t, 0.0, 0.09).max(0.04) * (1.0 - 0.45 * smooth(t, 0.4, 0.52));
            let level = envelope * (0.55 + 0.45 * noise(index));
            let color = theme.original.gamma_multiply(fading);
            bar(x, rect.center().y, half_lane * 2.1 * level, color);
        }
        // The stems, from where it comes apart to their lanes.
        let apart = smooth(t, 0.44, 0.56);
        if apart <= 0.0 {
            continue;
        }
        for (lane, stem) in STEMS.into_iter().enumerate() {
            let y = rect.center().y + (lane_y(rect, lane) - rect.center().y) * apart;
            let color = theme.original.lerp_to_gamma(theme.stem(stem), smooth(t, 0.44, 0.5));
            let level = level(stem, index) * end * (0.35 + 0.65 * apart);
            bar(x, y, half_lane * 0.86 * level, color.gamma_multiply(apart.powf(0.6)));
        }
    }
    mesh
}

/// What a stem of that kind looks like, 0.0..=1.0: hits, notes, swells, phrases.
fn level(stem: Stem, index: usize) -> f32 {
    let (i, noise) = (index as f32, noise(index + 7919));
    match stem {
        Stem::Drums => {
            let hit = [1.0, 0.45, 0.8, 0.3][index / 9 % 4];
            hit * (-0.75 * (index % 9) as f32).exp() * (0.7 + 0.3 * noise)
        }
        Stem::Bass => {
            let note = [0.9, 0.6, 1.0, 0.7, 0.15][index / 13 % 5];
            note * (1.0 - 0.5 * (index % 13) as f32 / 13.0) * (0.75 + 0.25 * noise)
        }
        Stem::Other => {
            let rise = (i % 52.0) / 44.0;
            if rise > 1.0 { 0.03 } else { 0.06 + 0.94 * rise.powi(5) * (0.7 + 0.3 * noise) }
        }
        _ => {
            let phrase = if index / 11 % 6 == 5 { 0.12 } else { 1.0 };
            phrase * (0.45 + 0.55 * noise)
        }
    }
}

fn smooth(x: f32, from: f32, to: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The same number 0.0..1.0 for the same index, always.
fn noise(index: usize) -> f32 {
    let mixed = (index as u32).wrapping_mul(0x9E37_79B9).rotate_left(13).wrapping_mul(0x85EB_CA6B);
    (mixed >> 8) as f32 / (1u32 << 24) as f32
}
