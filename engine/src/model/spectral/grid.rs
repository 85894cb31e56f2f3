//! The frequency grid on which masks are made: as fine as the transform up to 4 kHz, coarser
//! above, where it costs nothing to hear and 0.02 dB of what ideal masks can reach.

use crate::dsp::stft::Bin;

/// Samples per frame of the transform.
pub(super) const SIZE: usize = 4096;
/// Samples from frame to frame.
pub(super) const HOP: usize = 1024;
/// Bins of a spectrum.
pub(super) const BINS: usize = SIZE / 2 + 1;

/// Bins 0-383 one to one, 384-767 in pairs, the rest in fours; the last band has five.
pub(super) const BANDS: usize = 384 + 192 + 320;
const SINGLES: usize = 384;
const PAIRS_END: usize = 768;

/// One value per band.
pub(super) type Row = [f32; BANDS];

const HZ_PER_BIN: f32 = crate::audio::WORK_RATE_HZ as f32 / SIZE as f32;

/// Hertz of bin `bin`.
pub(super) fn bin_hz(bin: f32) -> f32 {
    bin * HZ_PER_BIN
}

/// First bin of `band`; `BINS` for the end.
fn edge(band: usize) -> usize {
    match band {
        0..SINGLES => band,
        SINGLES..576 => SINGLES + 2 * (band - SINGLES),
        576..BANDS => PAIRS_END + 4 * (band - 576),
        _ => BINS,
    }
}

/// Centre frequencies in hertz.
pub(super) fn centres_hz() -> Row {
    std::array::from_fn(|band| bin_hz((edge(band) + edge(band + 1) - 1) as f32 / 2.0))
}

/// Mean power of the bins of every band.
pub(super) fn pool(spectrum: &[Bin], out: &mut Row) {
    let power = |bin: &Bin| bin.re * bin.re + bin.im * bin.im;
    let (singles, rest) = spectrum.split_at(SINGLES);
    let (pairs, fours) = rest.split_at(PAIRS_END - SINGLES);
    for (out, bin) in out.iter_mut().zip(singles) {
        *out = power(bin);
    }
    for (out, pair) in out[SINGLES..].iter_mut().zip(pairs.chunks_exact(2)) {
        *out = (power(&pair[0]) + power(&pair[1])) / 2.0;
    }
    let coarse = &mut out[576..];
    for (out, four) in coarse.iter_mut().zip(fours.chunks_exact(4)) {
        *out = four.iter().map(power).sum::<f32>() / 4.0;
    }
    coarse[319] = (coarse[319] * 4.0 + power(&spectrum[BINS - 1])) / 5.0;
}

/// Gives every bin its band's value.
pub(super) fn spread(row: &Row, bins: &mut [f32]) {
    let (singles, rest) = bins.split_at_mut(SINGLES);
    let (pairs, fours) = rest.split_at_mut(PAIRS_END - SINGLES);
    singles.copy_from_slice(&row[..SINGLES]);
    for (pair, value) in pairs.chunks_exact_mut(2).zip(&row[SINGLES..]) {
        pair.fill(*value);
    }
    for (four, value) in fours.chunks_exact_mut(4).zip(&row[576..]) {
        four.fill(*value);
    }
    bins[BINS - 1] = row[BANDS - 1];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooling_what_was_spread_gives_it_back() {
        let row: Row = std::array::from_fn(|band| (band % 7) as f32);
        let mut bins = vec![0.0; BINS];
        spread(&row, &mut bins);
        let spectrum: Vec<Bin> = bins.iter().map(|b| Bin::new(b.sqrt(), 0.0)).collect();
        let mut pooled = [0.0; BANDS];
        pool(&spectrum, &mut pooled);
        assert!(row.iter().zip(&pooled).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn bands_are_where_their_frequencies_say() {
        let hz = centres_hz();
        assert_eq!(hz[0], 0.0);
        assert!((hz[100] - 1076.66).abs() < 0.01);
        assert!(hz.windows(2).all(|pair| pair[0] < pair[1]));
        assert!((21_900.0..22_050.0).contains(&hz[BANDS - 1]));
    }
}
