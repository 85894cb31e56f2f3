//! How long the engine's innermost loops take, one thread each: `cargo bench -p engine --bench
//! kernels`. Whole jobs are what users feel (`script/bench`); this tells which loop it was. Networks
//! have `script/bench_htdemucs`, which tells the time of every layer. Beside the times stand samples,
//! bands or columns a second.

use divan::{Bencher, black_box, counter::ItemsCount};
use engine::{
    dsp::{
        median::{median_along, median_of_rows},
        stft::{Bin, Stft},
    },
    model::{ChunkSpec, JoinWindow},
    plan::Plan,
    resample::StreamResampler,
    waveform::Waveform,
};

/// Ten seconds at the work rate.
const FRAMES: usize = 441_000;

fn main() {
    divan::main();
}

/// Something with peaks, ties and no zeros.
fn samples(count: usize) -> Vec<f32> {
    (0..count).map(|n| ((n * 7_919 % 1_009) as f32 - 504.0) / 505.0).collect()
}

/// Stereo frames of 4096 samples every 1024, as `spectral` takes them.
#[divan::bench]
fn stft_analyse(bencher: Bencher<'_, '_>) {
    let stft = Stft::new(4096, 1024);
    let sound = [samples(FRAMES), samples(FRAMES + 1)];
    let channels = [&sound[0][..], &sound[1][..FRAMES]];
    let frames = stft.frames_touching(0..FRAMES as i64);
    let mut spectra = [vec![Bin::default(); stft.bins()], vec![Bin::default(); stft.bins()]];
    let mut scratch = stft.scratch();
    bencher.counter(ItemsCount::new(FRAMES)).bench_local(|| {
        for frame in frames.clone() {
            let [a, b] = &mut spectra;
            stft.analyse(channels, stft.start(frame), [a, b], &mut scratch);
        }
        black_box(&spectra);
    });
}

/// Along one spectrum of 896 bands: drums.
#[divan::bench]
fn median_over_frequency(bencher: Bencher<'_, '_>) {
    let row = samples(896);
    let (mut padded, mut out) = (Vec::new(), vec![0.0; row.len()]);
    bencher.counter(ItemsCount::new(row.len())).bench_local(|| {
        median_along::<17>(black_box(&row), &mut padded, &mut out);
        black_box(&out);
    });
}

/// Over 17 spectra of 896 bands: what is not drums.
#[divan::bench]
fn median_over_time(bencher: Bencher<'_, '_>) {
    let spectra: Vec<Vec<f32>> = (0..17).map(|n| samples(896 + n)).collect();
    let rows: [&[f32]; 17] = std::array::from_fn(|n| &spectra[n][..896]);
    let mut out = vec![0.0; 896];
    bencher.counter(ItemsCount::new(out.len())).bench_local(|| {
        median_of_rows(black_box(&rows), &mut out);
        black_box(&out);
    });
}

/// 48 kHz to the work rate, stereo.
#[divan::bench]
fn resample(bencher: Bencher<'_, '_>) {
    let block = [samples(FRAMES), samples(FRAMES)];
    bencher.counter(ItemsCount::new(FRAMES)).bench_local(|| {
        let mut out = [Vec::with_capacity(FRAMES), Vec::with_capacity(FRAMES)];
        let mut resampler = StreamResampler::new(48_000, 44_100, 2).expect("rates");
        resampler.push(&block, &mut out);
        resampler.finish(&mut out);
        out
    });
}

/// The pyramid of ten seconds of stereo.
#[divan::bench]
fn waveform_grow(bencher: Bencher<'_, '_>) {
    let channels = [samples(FRAMES), samples(FRAMES)];
    bencher.counter(ItemsCount::new(FRAMES)).bench_local(|| {
        let waveform = Waveform::new();
        waveform.extend(0, &channels);
        waveform
    });
}

/// One redraw of a lane, all of an hour in view.
#[divan::bench]
fn waveform_columns(bencher: Bencher<'_, '_>) {
    const HOUR: usize = 3_600 * 44_100;
    let (waveform, block) = (Waveform::new(), [samples(FRAMES)]);
    for at in (0..HOUR).step_by(FRAMES) {
        waveform.extend(at as u64, &block);
    }
    let mut columns = Vec::new();
    bencher.counter(ItemsCount::new(1_600usize)).bench_local(|| {
        waveform.columns(0.0..HOUR as f64, 1_600, &mut columns);
        black_box(&columns);
    });
}

/// Weights of a segment of HTDemucs in the overlap-add.
#[divan::bench]
fn overlap_weights(bencher: Bencher<'_, '_>) {
    let spec = ChunkSpec {
        segment_frames: 343_980,
        stride_frames: 257_985,
        context_frames: 0,
        window: JoinWindow::Triangle,
    };
    let plan = Plan::new(1_000_000, spec).expect("a plan");
    let mut weights = vec![0.0; 343_980];
    bencher.counter(ItemsCount::new(weights.len())).bench_local(|| {
        plan.weights(1, plan.segments()[1].clone(), &mut weights);
        black_box(&weights);
    });
}
