//! Seconds per segment of a network, and how far its result is from the reference's.
//!
//! `cargo run --release -p engine --example htdemucs_speed -- DIR [THREADS] [RUNS]`, where DIR holds
//! a checkpoint (`*.th`), `segment_in.f32` and `segment_out.f32`.
use std::{path::Path, time::Instant};

use engine::model::{Progress, checkpoint::Checkpoint, htdemucs::Network, nn::Kernels};

struct Watch(std::sync::Mutex<Vec<(f32, Instant)>>);
impl Progress for Watch {
    fn report(&self, done: f32) {
        self.0.lock().unwrap().push((done, Instant::now()));
    }
    fn is_cancelled(&self) -> bool {
        false
    }
}

fn floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).expect("readable");
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = Path::new(&args[0]);
    let threads: usize = args.get(1).map_or(1, |n| n.parse().expect("threads"));
    let runs: usize = args.get(2).map_or(3, |n| n.parse().expect("runs"));
    let file = std::fs::read_dir(dir)
        .expect("folder")
        .filter_map(|e| e.ok().map(|e| e.path()))
        .find(|p| p.extension().is_some_and(|e| e == "th"))
        .expect("checkpoint");
    let input = floats(&dir.join("segment_in.f32"));
    let expected = floats(&dir.join("segment_out.f32"));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    for kernels in Kernels::available() {
        let began = Instant::now();
        let network =
            Network::load(Checkpoint::read(&file).expect("checkpoint"), kernels).expect("network");
        println!("{}: loaded in {:.2} s", kernels.name(), began.elapsed().as_secs_f64());
        let (left, right) = input.split_at(input.len() / 2);
        let wanted: Vec<usize> = (0..network.config().sources.len()).collect();
        let mut times = Vec::new();
        let mut stems = Vec::new();
        for _ in 0..runs {
            let began = Instant::now();
            let watch = Watch(Default::default());
            stems = pool.install(|| network.forward([left, right], &wanted, &watch)).expect("run");
            times.push(began.elapsed().as_secs_f64());
            let mut last = began;
            if std::env::var_os("STEPS").is_some() {
                for (_, at) in watch.0.lock().unwrap().iter() {
                    print!(" {:.3}", (*at - last).as_secs_f64());
                    last = *at;
                }
                println!(" {:.3}", last.elapsed().as_secs_f64());
            }
        }
        times.sort_by(f64::total_cmp);
        println!("  {:.3} s a segment (median), {:.3} best", times[runs / 2], times[0]);
        for (stem, expected) in stems.iter().zip(expected.chunks_exact(input.len())) {
            let flat = stem[0].iter().chain(&stem[1]);
            let (mut signal, mut noise) = (0.0, 0.0);
            for (x, y) in flat.zip(expected) {
                signal += f64::from(*y).powi(2);
                noise += f64::from(x - y).powi(2);
            }
            print!("  SNR {:.1} dB", 10.0 * (signal / noise).log10());
        }
        println!();
        if kernels.name() == "AVX2+FMA" {
            break;
        }
    }
}
