//! Painting waveforms: one cached [`Mesh`] per picture, two quads per physical pixel column.

use std::{ops::Range, sync::Arc};

use egui::{Color32, Id, Mesh, Pos2, Rect, Ui, epaint::Vertex, epaint::WHITE_UV};
use engine::waveform::{Column, Waveform};

/// How a run of columns looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ink {
    /// From smallest to largest sample.
    pub peak: Color32,
    /// The RMS body.
    pub body: Color32,
    /// Behind the wave, over the picture's full height.
    pub tint: Color32,
}

impl Ink {
    /// The usual look of `color`: peaks at 48 %, solid body, 7 % tint.
    pub fn solid(color: Color32) -> Self {
        Self { peak: color.gamma_multiply(0.48), body: color, tint: color.gamma_multiply(0.07) }
    }

    /// Both at `peak` and `body` shares of `color`, without tint.
    pub fn faint(color: Color32, peak: f32, body: f32) -> Self {
        Self {
            peak: color.gamma_multiply(peak),
            body: color.gamma_multiply(body),
            tint: Color32::TRANSPARENT,
        }
    }

    /// Between `self` (0) and `other` (1).
    pub fn towards(self, other: Self, share: f32) -> Self {
        Self {
            peak: self.peak.lerp_to_gamma(other.peak, share),
            body: self.body.lerp_to_gamma(other.body, share),
            tint: self.tint.lerp_to_gamma(other.tint, share),
        }
    }
}

/// The pixel columns of a picture: where each begins and how many frames it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// The picture on screen, its edges on physical pixels.
    pub rect: Rect,
    /// Frames from its left to its right edge.
    pub frames: Range<f64>,
    /// Physical pixel columns.
    pub columns: usize,
    /// Factor on all amplitudes; see [`display_gain`].
    pub gain: f32,
}

impl Grid {
    /// `frames` over `rect`, with its edges moved to whole physical pixels.
    pub fn new(ui: &Ui, rect: Rect, frames: Range<f64>) -> Self {
        let scale = ui.pixels_per_point();
        let snap = |points: f32| (points * scale).round() / scale;
        let rect = Rect::from_min_max(
            Pos2::new(snap(rect.left()), snap(rect.top())),
            Pos2::new(snap(rect.right()), snap(rect.bottom())),
        );
        let columns = (rect.width() * scale).round().max(0.0) as usize;
        Self { rect, frames, columns, gain: 1.0 }
    }

    /// The same with amplitudes multiplied.
    #[must_use]
    pub fn with_gain(self, gain: f32) -> Self {
        Self { gain, ..self }
    }

    /// Frames in one column.
    pub fn frames_per_column(&self) -> f64 {
        (self.frames.end - self.frames.start) / self.columns.max(1) as f64
    }

    /// The horizontal place of a frame.
    pub fn x_of(&self, frame: f64) -> f32 {
        x_of(self.rect, &self.frames, frame)
    }

    fn x_of_column(&self, column: usize) -> f32 {
        self.rect.left() + self.rect.width() * column as f32 / self.columns.max(1) as f32
    }

    /// The columns whose middle lies in `frames`.
    pub fn columns_of(&self, frames: &Range<u64>) -> Range<usize> {
        let column = |frame: u64| {
            let column = (frame as f64 - self.frames.start) / self.frames_per_column() - 0.5;
            column.ceil().clamp(0.0, self.columns as f64) as usize
        };
        column(frames.start)..column(frames.end)
    }
}

/// What a quiet song's pictures are magnified by, at most four times, so that its loudest place
/// fills them; the same for the mixture and all stems, which stay comparable.
pub fn display_gain(mixture: Option<&Waveform>) -> f32 {
    let mut whole = Vec::new();
    if let Some(wave) = mixture {
        wave.columns(0.0..(wave.frames() as f64).max(1.0), 1, &mut whole);
    }
    let peak = whole.first().map_or(0.0, |column: &Column| column.max.max(-column.min));
    if peak > 0.0 { (0.96 / peak).clamp(1.0, 4.0) } else { 1.0 }
}

/// The horizontal place of a frame when `frames` fill `rect`.
pub fn x_of(rect: Rect, frames: &Range<f64>, frame: f64) -> f32 {
    let share = (frame - frames.start) / (frames.end - frames.start).max(1.0);
    rect.left() + (share * f64::from(rect.width())) as f32
}

/// The frame at a horizontal place when `frames` fill `rect`; may lie outside of the song.
pub fn frame_at(rect: Rect, frames: &Range<f64>, x: f32) -> f64 {
    let share = f64::from((x - rect.left()) / rect.width().max(1.0));
    frames.start + share * (frames.end - frames.start)
}

/// Adds `columns[range]` to `mesh` in one ink. Every column is at least one physical pixel high,
/// so silence is a line.
pub fn add_run(mesh: &mut Mesh, grid: &Grid, columns: &[Column], range: Range<usize>, ink: Ink) {
    let range = range.start.min(columns.len())..range.end.min(columns.len());
    if range.is_empty() {
        return;
    }
    if ink.tint.a() > 0 {
        let left = grid.x_of_column(range.start);
        let right = grid.x_of_column(range.end);
        add_quad(mesh, left, right, grid.rect.top(), grid.rect.bottom(), ink.tint);
    }
    let middle = grid.rect.center().y;
    let half = grid.rect.height() / 2.0;
    let pixel = grid.rect.width() / grid.columns.max(1) as f32;
    mesh.reserve_vertices(range.len() * 8);
    mesh.reserve_triangles(range.len() * 4);
    for index in range {
        let column = columns[index];
        let left = grid.x_of_column(index);
        let right = left + pixel;
        let place = |value: f32| middle - (value * grid.gain).clamp(-1.0, 1.0) * half;
        let (top, bottom) = (place(column.max), place(column.min));
        let (top, bottom) = at_least(top, bottom, pixel);
        if ink.peak.a() > 0 {
            add_quad(mesh, left, right, top, bottom, ink.peak);
        }
        if ink.body.a() > 0 {
            let body = (column.rms * grid.gain).min(1.0) * half;
            let body_top = (middle - body).max(top);
            let body_bottom = (middle + body).min(bottom);
            let (body_top, body_bottom) = at_least(body_top, body_bottom, pixel);
            add_quad(mesh, left, right, body_top, body_bottom, ink.body);
        }
    }
}

fn at_least(top: f32, bottom: f32, height: f32) -> (f32, f32) {
    let missing = height - (bottom - top);
    if missing > 0.0 { (top - missing / 2.0, bottom + missing / 2.0) } else { (top, bottom) }
}

fn add_quad(mesh: &mut Mesh, left: f32, right: f32, top: f32, bottom: f32, color: Color32) {
    let first = mesh.vertices.len() as u32;
    mesh.vertices.extend(
        [(left, top), (right, top), (right, bottom), (left, bottom)].map(|(x, y)| Vertex {
            pos: Pos2::new(x, y),
            uv: WHITE_UV,
            color,
        }),
    );
    mesh.indices.extend([0, 1, 2, 0, 2, 3].map(|corner| first + corner));
}

#[derive(Clone)]
struct Cached<K> {
    key: K,
    mesh: Arc<Mesh>,
}

/// Paints the mesh cached under `id` if it was built for the same `key`, else builds it anew.
pub fn paint_cached<K: PartialEq + Clone + Send + Sync + 'static>(
    ui: &Ui,
    id: Id,
    key: K,
    build: impl FnOnce() -> Mesh,
) {
    let cached: Option<Cached<K>> = ui.data(|data| data.get_temp(id));
    let mesh = match cached {
        Some(cached) if cached.key == key => cached.mesh,
        _ => {
            let mesh = Arc::new(build());
            ui.data_mut(|data| data.insert_temp(id, Cached { key, mesh: mesh.clone() }));
            mesh
        }
    };
    ui.painter().add(mesh);
}

/// Paints a hatch of 8-pixel stripes in `color` over `rect`.
pub fn hatch(ui: &Ui, rect: Rect, color: Color32) {
    const STEP: f32 = 8.0;
    let clip = rect.intersect(ui.clip_rect());
    if !clip.is_positive() {
        return;
    }
    let painter = ui.painter().with_clip_rect(clip);
    let height = rect.height();
    // Stripes start on a fixed lattice so that they do not crawl while the view moves.
    let mut x = ((clip.left() - height) / STEP).floor() * STEP;
    while x < clip.right() {
        let from = Pos2::new(x, rect.bottom());
        let to = Pos2::new(x + height, rect.top());
        painter.line_segment([from, to], egui::Stroke::new(1.0, color));
        x += STEP;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(columns: usize) -> Grid {
        let rect = Rect::from_min_size(Pos2::ZERO, egui::vec2(columns as f32, 100.0));
        Grid { rect, frames: 1000.0..2000.0, columns, gain: 1.0 }
    }

    #[test]
    fn every_column_is_two_quads_and_silence_is_a_line() {
        let columns = vec![Column::default(); 10];
        let mut mesh = Mesh::default();
        add_run(&mut mesh, &grid(10), &columns, 0..10, Ink::faint(Color32::WHITE, 0.5, 1.0));
        assert_eq!(mesh.vertices.len(), 10 * 8);
        assert!(mesh.vertices.iter().all(|v| (v.pos.y - 50.0).abs() <= 0.5));
    }

    #[test]
    fn quiet_songs_fill_their_picture() {
        let of_peak = |peak: f32| {
            let wave = Waveform::new();
            wave.extend(0, &[vec![0.0, -peak, peak / 2.0]]);
            display_gain(Some(&wave))
        };
        assert!((of_peak(0.48) - 2.0).abs() < 1e-4);
        assert_eq!(of_peak(1.0), 1.0);
        assert_eq!(of_peak(0.001), 4.0);
        assert_eq!(of_peak(0.0), 1.0);
        assert_eq!(display_gain(None), 1.0);
    }

    #[test]
    fn columns_and_frames_agree() {
        let grid = grid(100);
        assert_eq!(grid.columns_of(&(0..5000)), 0..100);
        assert_eq!(grid.columns_of(&(1000..1500)), 0..50);
        assert_eq!(grid.columns_of(&(1500..1510)), 50..51);
        assert_eq!(grid.columns_of(&(0..10)), 0..0);
        for frame in [1000.0, 1234.5, 2000.0] {
            let back = frame_at(grid.rect, &grid.frames, grid.x_of(frame));
            assert!((back - frame).abs() < 1e-2, "{frame} came back as {back}");
        }
    }

    #[test]
    fn a_split_run_has_no_gap_and_no_overlap() {
        let columns: Vec<Column> =
            (0..64).map(|i| Column { min: -0.5, max: i as f32 / 64.0, rms: 0.1 }).collect();
        let grid = grid(64);
        let ink = Ink::solid(Color32::RED);
        let (mut whole, mut halves) = (Mesh::default(), Mesh::default());
        let plain = Ink { tint: Color32::TRANSPARENT, ..ink };
        add_run(&mut whole, &grid, &columns, 0..64, plain);
        add_run(&mut halves, &grid, &columns, 0..23, plain);
        add_run(&mut halves, &grid, &columns, 23..64, plain);
        assert_eq!(whole.vertices, halves.vertices);
    }
}
