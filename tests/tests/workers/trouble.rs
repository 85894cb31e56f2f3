//! The main PC is killed or hangs while workers compute for it.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use crate::computers::{MainPc, Worker, separates_as_alone};

/// Longer than either side waits for a word of the other one.
const TOO_LONG: Duration = Duration::from_secs(9);

#[test]
fn a_main_pc_that_is_killed_goes_on_where_it_was_and_its_worker_comes_back() {
    let main = MainPc::new();
    let mut worker = Worker::paired_by_ticket(&main, "Studio-PC");
    let done = separates_as_alone(&main, [&mut worker], |job, _| job.kill_and_begin_again());
    assert!(done["resumed_pieces"].as_u64() > Some(0), "{done}");
    main.wait_for(&worker);
}

#[test]
fn a_main_pc_that_hangs_for_a_while_loses_nothing() {
    let main = MainPc::new();
    let mut worker = Worker::paired_by_ticket(&main, "Studio-PC");
    separates_as_alone(&main, [&mut worker], |job, _| job.freeze_for(TOO_LONG));
    main.wait_for(&worker);
}

/// Minutes; `cargo test --workspace --test workers -- --ignored random`.
#[test]
#[ignore = "takes minutes"]
fn a_main_pc_may_be_killed_or_hang_at_random_moments() {
    let main = MainPc::new();
    let mut worker = Worker::paired_by_ticket(&main, "Studio-PC");
    for round in 0..10 {
        separates_as_alone(&main, [&mut worker], |job, _| {
            for n in 0..3 {
                let random = RandomState::new().hash_one(n);
                let moment = Duration::from_millis(random % 1_500);
                println!("round {round}: {moment:?}, then {}", random & 1);
                std::thread::sleep(moment);
                match random & 1 {
                    0 => job.kill_and_begin_again(),
                    _ => job.freeze_for(TOO_LONG),
                }
            }
        });
    }
}
