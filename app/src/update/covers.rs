//! Cover pictures, made small for the tile beside the song's title.

use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
};

use egui::{Color32, ColorImage};
use image::{ImageReader, Limits, imageops::FilterType};

/// Pixels along each side; the tile has 34 points, doubled on dense screens.
const SIDE: u32 = 96;

/// Most pixels along a side of the picture in the file, and most bytes to decode it with.
const MOST_PIXELS: u32 = 8192;
const MOST_BYTES: u64 = 256 << 20;

/// The middle square of a JPEG or PNG picture, small. `None` for what cannot be shown, which is no
/// reason to bother anybody. Takes a while: not for the window's thread.
pub fn thumbnail(picture: &[u8]) -> Option<ColorImage> {
    // Decoders meet hostile files; without a cover a song still plays.
    catch_unwind(AssertUnwindSafe(|| decode(picture))).ok().flatten()
}

fn decode(picture: &[u8]) -> Option<ColorImage> {
    let mut reader = ImageReader::new(Cursor::new(picture)).with_guessed_format().ok()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_PIXELS);
    limits.max_image_height = Some(MOST_PIXELS);
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let small = reader.decode().ok()?.resize_to_fill(SIDE, SIDE, FilterType::Triangle).to_rgba8();
    let pixels = small.pixels().map(|p| Color32::from_rgba_unmultiplied(p[0], p[1], p[2], p[3]));
    Some(ColorImage::new([SIDE as usize; 2], pixels.collect()))
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgb, RgbImage};

    use super::*;

    /// Red, green and blue upright thirds.
    fn flag(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let picture = RgbImage::from_fn(width, height, |x, _| {
            let mut pixel = [0; 3];
            pixel[(x * 3 / width) as usize] = 255;
            Rgb(pixel)
        });
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).expect("encodable");
        bytes.into_inner()
    }

    #[test]
    fn the_middle_of_a_wide_picture_is_kept() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let small = thumbnail(&flag(600, 200, format)).expect("a picture");
            assert_eq!(small.size, [96, 96]);
            for (x, y) in [(3, 3), (48, 48), (92, 92)] {
                let [r, g, b, a] = small[(x, y)].to_array();
                assert!(r < 40 && g > 215 && b < 40 && a == 255, "{format:?} at {x}: {r} {g} {b}");
            }
        }
    }

    #[test]
    fn what_is_no_picture_or_far_too_large_gives_none() {
        assert!(thumbnail(b"").is_none());
        assert!(thumbnail(b"\x89PNG\r\n\x1a\n and nothing").is_none());
        let mut huge = flag(60, 20, ImageFormat::Png);
        // The header claims 100 000 by 100 000 pixels.
        huge[16..24].copy_from_slice(&[0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0]);
        assert!(thumbnail(&huge).is_none());
        let whole = flag(600, 200, ImageFormat::Jpeg);
        for at in (0..whole.len()).step_by(97) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            // Any answer will do, but one.
            thumbnail(&damaged);
        }
    }
}
