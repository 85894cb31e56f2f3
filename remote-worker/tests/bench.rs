//! The worker's shop with its real computing process: the same samples as here, and a process that
//! dies, hangs or is told nonsense.
#![cfg(target_os = "linux")]

mod rig;

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use engine::{
    crew::PauseReason,
    model::{Separator, spectral::Spectral},
    protocol::{MAX_INPUT_FRAMES, Running, encode},
    remote::{ChunkNews, Prepared, Workshop},
    scheduler::Cause,
};
use proptest::prelude::*;
use rig::{
    Ordered, PATIENCE, PROGRAM, chunk_order, computed_here, input, model_order, runs, send_signal,
    shop, until,
};
use stemhive_worker::bench::{Answer, Order, read_frame, read_payload};

#[test]
fn a_chunk_comes_out_as_it_would_here() {
    let dir = tempfile::tempdir().unwrap();
    let shop = shop(dir.path());
    let spectral: Arc<dyn Separator> = Arc::new(Spectral::new());
    let model = model_order(spectral.as_ref(), Vec::new());
    assert_eq!(shop.prepare(&model), Prepared::Ready { slots: 1 });
    let input = input(spectral.as_ref());
    let (order, pcm) = chunk_order(&model, &input);

    let ordered = Ordered::of(&shop, order.clone(), pcm.clone());
    assert_eq!(ordered.next(), ChunkNews::Started);
    let here = computed_here(spectral.as_ref(), &input);
    assert!(ordered.result() == here);

    // One stem of them.
    let mut one = order.clone();
    one.keep = vec![1];
    let stem = here.len() / model.stems.len();
    assert!(Ordered::of(&shop, one, pcm.clone()).result() == here[stem..2 * stem]);

    // More than there are threads.
    let many: Vec<_> = (0..6).map(|_| Ordered::of(&shop, order.clone(), pcm.clone())).collect();
    assert!(many.iter().all(|ordered| ordered.result() == here));

    let status = shop.status();
    assert_eq!((status.chunks_done, status.chunks_running), (8, 0));
    assert!(status.speed_x_real_time.unwrap() > 0.0);
    let hello = shop.hello();
    assert_eq!((hello.threads, hello.running), (1, Running::Ready));
    assert!(hello.cores > 0.0 && hello.models.contains(&model.hash));
}

#[test]
fn a_killed_process_is_reported_at_once_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let shop = shop(dir.path());
    let spectral: Arc<dyn Separator> = Arc::new(Spectral::new());
    let model = model_order(spectral.as_ref(), Vec::new());
    shop.prepare(&model);
    let input = input(spectral.as_ref());
    let (order, pcm) = chunk_order(&model, &input);

    let first = shop.status().bench_pid.unwrap();
    // One that stands still cannot finish before it is killed.
    send_signal("-STOP", first);
    let lost: Vec<_> = (0..3).map(|_| Ordered::of(&shop, order.clone(), pcm.clone())).collect();
    assert_eq!(shop.status().chunks_running, 3);
    let killed = Instant::now();
    send_signal("-KILL", first);
    for ordered in &lost {
        let ChunkNews::Failed { cause, what } = ordered.end() else { panic!("not failed") };
        assert_eq!(cause, Cause::Panic);
        assert!(what.contains("broke down") && what.contains("signal"), "{what}");
    }
    eprintln!("reported after {:?}", killed.elapsed());

    let here = computed_here(spectral.as_ref(), &input);
    assert!(Ordered::of(&shop, order, pcm).result() == here);
    let second = shop.status().bench_pid.unwrap();
    assert_ne!(first, second);
    assert!(!runs(first));
    assert_eq!(shop.status().trouble_left, None);
    drop(shop);
    until("the process ended with its shop", || !runs(second));
}

#[test]
fn a_process_that_dies_again_and_again_earns_a_break() {
    let dir = tempfile::tempdir().unwrap();
    let shop = shop(dir.path());
    let spectral: Arc<dyn Separator> = Arc::new(Spectral::new());
    let model = model_order(spectral.as_ref(), Vec::new());
    shop.prepare(&model);
    let (order, pcm) = chunk_order(&model, &input(spectral.as_ref()));
    let began = Instant::now();
    let mut last = None;
    for _ in 0..3 {
        until("another process", || shop.status().bench_pid.is_some_and(|pid| Some(pid) != last));
        last = shop.status().bench_pid;
        send_signal("-KILL", last.unwrap());
        until("the crash is known", || shop.status().bench_pid != last);
    }
    if began.elapsed().as_secs() < 50 {
        let left = shop.status().trouble_left.unwrap().as_secs();
        assert!((1..=60).contains(&left), "{left}");
        assert_eq!(shop.status().bench_pid, None);
        // What comes meanwhile is handed back, which is nobody's fault.
        assert_eq!(Ordered::of(&shop, order, pcm).end(), ChunkNews::Stopped);
    }
}

#[test]
fn chunks_are_cancelled_and_a_break_hands_them_back() {
    let dir = tempfile::tempdir().unwrap();
    let shop = shop(dir.path());
    let spectral: Arc<dyn Separator> = Arc::new(Spectral::new());
    let model = model_order(spectral.as_ref(), Vec::new());
    shop.prepare(&model);
    let (order, pcm) = chunk_order(&model, &input(spectral.as_ref()));
    let order_many = || {
        let many = (0..12).map(|_| Ordered::of(&shop, order.clone(), pcm.clone()));
        many.collect::<Vec<_>>()
    };

    let many = order_many();
    assert_eq!(many[0].next(), ChunkNews::Started);
    many.iter().for_each(|ordered| ordered.signal.cancel());
    let ends: Vec<_> = many.iter().map(Ordered::end).collect();
    assert_eq!(ends[11], ChunkNews::Stopped);
    let is_fair = |end: &ChunkNews| matches!(end, ChunkNews::Stopped | ChunkNews::Done { .. });
    assert!(ends.iter().all(is_fair));

    // More than it takes at once are handed back too.
    let many: Vec<_> = (0..3).flat_map(|_| order_many()).collect();
    assert_eq!(many[35].end(), ChunkNews::Stopped);
    let paused = Running::Paused(PauseReason::UserActive);
    shop.set_running(paused);
    assert!(many[..35].iter().map(Ordered::end).all(|end| is_fair(&end)));
    assert_eq!(Ordered::of(&shop, order.clone(), pcm.clone()).end(), ChunkNews::Stopped);
    assert_eq!(shop.hello().running, paused);
    shop.set_running(Running::Ready);
    Ordered::of(&shop, order, pcm).result();
}

#[test]
fn what_cannot_be_computed_rightly_is_refused_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let shop = shop(dir.path());
    let spectral: Arc<dyn Separator> = Arc::new(Spectral::new());
    let model = model_order(spectral.as_ref(), Vec::new());

    let mut wrong = model.clone();
    wrong.hash[0] ^= 1;
    let Prepared::Refused { why } = shop.prepare(&wrong) else { panic!("not refused") };
    assert!(why.contains("spectral") && why.contains("other samples"), "{why}");
    let mut harder = model.clone();
    (harder.shifts, harder.overlap) = (u32::MAX, f64::NAN);
    assert!(matches!(shop.prepare(&harder), Prepared::Refused { .. }));

    let input = input(spectral.as_ref());
    let (order, pcm) = chunk_order(&model, &input);
    let fails = |order: &engine::protocol::ChunkOrder, pcm: &[u8], hint: &str| match Ordered::of(
        &shop,
        order.clone(),
        pcm.to_vec(),
    )
    .end()
    {
        ChunkNews::Failed { cause: Cause::Error, what } => assert!(what.contains(hint), "{what}"),
        other => panic!("{hint}: {other:?}"),
    };
    fails(&order, &pcm, "not prepared");
    assert_eq!(shop.prepare(&model), Prepared::Ready { slots: 1 });
    fails(&order, &pcm[8..], "not as long");
    let with = |change: &dyn Fn(&mut engine::protocol::ChunkOrder)| {
        let mut order = order.clone();
        change(&mut order);
        order
    };
    fails(&with(&|o| o.input_frames = MAX_INPUT_FRAMES + 1), &pcm, "not as long");
    fails(&with(&|o| o.segment_frames = 0), &pcm, "0 frames");
    fails(&with(&|o| o.segment_frames = u32::MAX), &pcm, "at most");
    fails(&with(&|o| o.context_before_frames = u32::MAX), &pcm, "was ordered");
    fails(&with(&|o| o.keep = vec![]), &pcm, "stems");
    fails(&with(&|o| o.keep = vec![0, 0]), &pcm, "stems");
    fails(&with(&|o| o.keep = vec![200]), &pcm, "stems");
    let refused = shop.status().refused;
    assert_eq!(refused.values().sum::<u64>(), 11, "{refused:?}");
    assert!(Ordered::of(&shop, order, pcm).result() == computed_here(spectral.as_ref(), &input));
}

#[test]
fn computing_steps_back_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let shop = shop(dir.path());
    let spectral: Arc<dyn Separator> = Arc::new(Spectral::new());
    let model = model_order(spectral.as_ref(), Vec::new());
    shop.prepare(&model);
    let (order, pcm) = chunk_order(&model, &input(spectral.as_ref()));
    // All of its threads are there once it has computed something.
    Ordered::of(&shop, order, pcm).result();
    let pid = shop.status().bench_pid.unwrap();
    let mut nice = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap();
        // Behind the name in parentheses: field 3 and on; nice is field 19.
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        nice.push(fields.clone().nth(16).unwrap().parse::<i32>().unwrap());
    }
    let own = std::fs::read_to_string("/proc/self/stat").unwrap();
    let own: i32 =
        own.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap();
    assert!(nice.len() >= 2 && nice.iter().all(|nice| *nice >= own.max(10)), "{nice:?}");
}

/// Runs the computing process on `input`, which stays open; whether it ended well.
fn fed_with(input: &[u8]) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(PROGRAM)
        .arg("--data-dir")
        .arg(dir.path())
        .args(["compute", "--memory-bytes", "1000000", "--threads", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // It may end before it has read all.
    let _ = pipe.write_all(input);
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < PATIENCE, "it hangs");
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    let mut stderr = String::new();
    child.stderr.unwrap().read_to_string(&mut stderr).unwrap();
    (status.success(), stderr)
}

#[test]
fn a_process_that_is_told_nonsense_ends_with_an_error() {
    let spectral: Arc<dyn Separator> = Arc::new(Spectral::new());
    let model = model_order(spectral.as_ref(), Vec::new());
    let (mut chunk, _) = chunk_order(&model, &input(spectral.as_ref()));
    chunk.input_frames = u32::MAX;
    let too_long = encode(&Order::Compute { id: 1, model, chunk }).unwrap();
    for (name, input) in [
        ("a long frame", vec![0xff; 8]),
        ("an unknown order", [&2u32.to_le_bytes()[..], &[99, 0]].concat()),
        ("too much in a frame", [&2u32.to_le_bytes()[..], &[3, 0]].concat()),
        ("an empty frame", vec![0; 4]),
        ("a long piece", too_long),
    ] {
        let (ended_well, stderr) = fed_with(&input);
        assert!(!ended_well && stderr.contains("Error: "), "{name}: {stderr}");
    }
}

proptest! {
    #[test]
    fn no_bytes_break_the_reading_of_messages(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        // Ends, by itself.
        let mut from = bytes.as_slice();
        while let Ok(Some(order)) = read_frame::<Order>(&mut from) {
            let _ = format!("{order:?}");
        }
        let mut from = bytes.as_slice();
        while let Ok(Some(answer)) = read_frame::<Answer>(&mut from) {
            if let Answer::Done { payload_bytes, .. } = answer {
                let _ = read_payload(&mut from, payload_bytes);
            }
        }
    }
}
