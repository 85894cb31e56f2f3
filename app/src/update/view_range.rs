//! The stretch of a song on screen: zooming, moving, following the playhead.

use std::ops::Range;

use engine::audio::WORK_RATE_HZ;

/// The least that is ever shown, in frames: a twentieth of a second.
pub const MIN_VIEW_FRAMES: f64 = WORK_RATE_HZ as f64 / 20.0;

/// The whole song.
pub fn fit(song_frames: u64) -> Range<f64> {
    0.0..(song_frames as f64).max(1.0)
}

/// `view` moved and, if it must be, shortened so that it lies inside of the song and shows at
/// least [`MIN_VIEW_FRAMES`] (the whole song if that is shorter).
pub fn clamp(view: Range<f64>, song_frames: u64) -> Range<f64> {
    let song = (song_frames as f64).max(1.0);
    if !(view.start.is_finite() && view.end.is_finite()) {
        return fit(song_frames);
    }
    let length = (view.end - view.start).max(MIN_VIEW_FRAMES).min(song);
    let start = view.start.clamp(0.0, song - length);
    start..start + length
}

/// Zooms by `factor` (above 1 = closer) so that `at_frame` keeps its place on screen.
pub fn zoom(view: &Range<f64>, factor: f64, at_frame: f64, song_frames: u64) -> Range<f64> {
    let length = view.end - view.start;
    let longest = (song_frames as f64).max(1.0);
    let zoomed = (length / factor.max(1e-6)).clamp(MIN_VIEW_FRAMES.min(longest), longest);
    let share = ((at_frame - view.start) / length.max(1.0)).clamp(0.0, 1.0);
    let start = at_frame - share * zoomed;
    clamp(start..start + zoomed, song_frames)
}

/// Shows `range` with a twentieth of its length around it.
pub fn zoom_to(range: &Range<u64>, song_frames: u64) -> Range<f64> {
    let margin = (range.end - range.start) as f64 / 20.0;
    clamp(range.start as f64 - margin..range.end as f64 + margin, song_frames)
}

/// Where zooming by keys is centred: the playhead if it is on screen, else the middle.
pub fn anchor(view: &Range<f64>, playhead: u64) -> f64 {
    let playhead = playhead as f64;
    if view.contains(&playhead) { playhead } else { f64::midpoint(view.start, view.end) }
}

/// The view one page on if the playhead has left it, so that playback stays on screen.
pub fn follow(view: &Range<f64>, playhead: u64, song_frames: u64) -> Range<f64> {
    let (playhead, length) = (playhead as f64, view.end - view.start);
    if view.contains(&playhead) {
        return view.clone();
    }
    let start = playhead - length / 20.0;
    clamp(start..start + length, song_frames)
}

/// A view that showed all of a growing song still does; any other stays.
pub fn grow(view: &Range<f64>, old_frames: u64, new_frames: u64) -> Range<f64> {
    if view.start <= 0.0 && view.end >= old_frames as f64 {
        fit(new_frames)
    } else {
        clamp(view.clone(), new_frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SONG: u64 = 44_100 * 300;

    #[test]
    fn zooming_keeps_the_anchor_in_place() {
        let view = 1e6..3e6;
        let closer = zoom(&view, 2.0, 1.5e6, SONG);
        assert_eq!(closer, 1.25e6..2.25e6);
        assert_eq!(zoom(&closer, 0.5, 1.5e6, SONG), view);
    }

    #[test]
    fn no_zoom_leaves_the_song() {
        let mut view = fit(SONG);
        for (factor, at) in [(7.0, 0.0), (0.1, 1e6), (1e9, SONG as f64), (1e-9, 5.0), (3.0, -5.0)] {
            view = zoom(&view, factor, at, SONG);
            assert!(view.start >= 0.0 && view.end <= SONG as f64, "{view:?}");
            assert!(view.end - view.start >= MIN_VIEW_FRAMES);
        }
        assert_eq!(clamp(f64::NAN..5.0, SONG), fit(SONG));
        assert_eq!(clamp(0.0..1.0, 100), 0.0..100.0, "a song shorter than the least view");
    }

    #[test]
    fn the_view_follows_and_grows() {
        let view = 1e6..2e6;
        assert_eq!(follow(&view, 1_500_000, SONG), view);
        let paged = follow(&view, 2_000_001, SONG);
        assert!(paged.contains(&2_000_001.0) && paged.start > 1.9e6);
        assert_eq!(grow(&fit(1000), 1000, 5_000_000), fit(5_000_000));
        assert_eq!(grow(&view, 4_000_000, SONG), view);
    }
}
