//! Running medians, many at a time: a branch-free selection whose steps are minima and maxima of
//! whole vectors.

/// Medians computed side by side; as many as the narrowest vector registers hold.
const LANES: usize = 4;

/// The median of `K` rows, bin by bin: `out[i]` is the median of `rows[0][i] .. rows[K-1][i]`. All
/// rows are as long as `out`, `K` is odd, and no value may be NaN.
pub fn median_of_rows<const K: usize>(rows: &[&[f32]; K], out: &mut [f32]) {
    const { assert!(K % 2 == 1, "only odd counts have one median") };
    let rows: [&[f32]; K] = rows.map(|row| &row[..out.len()]);
    let whole = out.len() - out.len() % LANES;
    for at in (0..whole).step_by(LANES) {
        let medians = select::<K, LANES>(|k| std::array::from_fn(|lane| rows[k][at + lane]));
        out[at..at + LANES].copy_from_slice(&medians);
    }
    for at in whole..out.len() {
        [out[at]] = select::<K, 1>(|k| [rows[k][at]]);
    }
}

/// The running median of `K` neighbours along `row`, whose ends are continued. `padded` is
/// scratch.
pub fn median_along<const K: usize>(row: &[f32], padded: &mut Vec<f32>, out: &mut [f32]) {
    let (Some(&first), Some(&last)) = (row.first(), row.last()) else { return };
    padded.clear();
    padded.resize(K / 2, first);
    padded.extend_from_slice(row);
    padded.resize(row.len() + K - 1, last);
    let shifted = std::array::from_fn(|k| &padded[k..k + row.len()]);
    median_of_rows::<K>(&shifted, out);
}

/// "Forgetful selection": of just over half of the values, the smallest and the largest cannot be
/// the median; drop them, take in the next value, and repeat until three are left.
#[inline(always)]
fn select<const K: usize, const L: usize>(value: impl Fn(usize) -> [f32; L]) -> [f32; L] {
    if K == 1 {
        return value(0);
    }
    let mut v: [[f32; L]; K] = [[0.0; L]; K];
    let mut held = K / 2 + 2;
    for (k, v) in v.iter_mut().enumerate().take(held) {
        *v = value(k);
    }
    let mut next = held;
    loop {
        // Smaller halves to the front, then the smallest to v[0] and the largest to the end.
        for i in 0..held / 2 {
            order(&mut v, i, held - 1 - i);
        }
        for i in 1..held.div_ceil(2) {
            order(&mut v, 0, i);
        }
        for i in held / 2..held - 1 {
            order(&mut v, i, held - 1);
        }
        if held == 3 {
            return v[1];
        }
        // The smallest gives its place to the newcomer, the largest falls off the end.
        v[0] = value(next);
        next += 1;
        held -= 1;
    }
}

#[inline(always)]
fn order<const K: usize, const L: usize>(v: &mut [[f32; L]; K], low: usize, high: usize) {
    let (a, b) = (v[low], v[high]);
    v[low] = std::array::from_fn(|lane| if a[lane] < b[lane] { a[lane] } else { b[lane] });
    v[high] = std::array::from_fn(|lane| if a[lane] < b[lane] { b[lane] } else { a[lane] });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check<const K: usize>(values: &[f32]) {
        let len = values.len() / K;
        let rows: [&[f32]; K] = std::array::from_fn(|k| &values[k * len..(k + 1) * len]);
        let mut out = vec![0.0; len];
        median_of_rows(&rows, &mut out);
        for (i, &median) in out.iter().enumerate() {
            let mut column: Vec<f32> = rows.iter().map(|row| row[i]).collect();
            column.sort_by(f32::total_cmp);
            assert_eq!(median, column[K / 2]);
        }
    }

    proptest! {
        #[test]
        fn it_is_the_middle_of_the_sorted_values(
            values in prop::collection::vec(-9i8..9, 17 * 11),
        ) {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            check::<1>(&values);
            check::<3>(&values);
            check::<5>(&values);
            check::<11>(&values);
            check::<17>(&values);
        }
    }

    #[test]
    fn the_ends_are_continued() {
        let mut out = [0.0; 5];
        median_along::<5>(&[9.0, 1.0, 2.0, 3.0, 7.0], &mut Vec::new(), &mut out);
        assert_eq!(out, [9.0, 3.0, 3.0, 3.0, 7.0]);
    }
}
