//! Real programs on one computer: `stemhive` as the main PC and `stemhive-worker` twice, each with a
//! home of its own, paired by a ticket and by the code, separating a song together while workers are
//! killed, frozen and told to leave, or the main PC is killed or frozen, clocks jump, or a disk is
//! full. Whatever happens, the stems are those of a single PC.

mod clock;
mod computers;
mod disk;
mod network;
mod trouble;

use computers::{MainPc, Worker, separates_as_alone, song};

#[test]
fn three_computers_give_the_samples_of_one_even_if_one_is_killed() {
    let main = MainPc::new();
    let mut first = Worker::paired_by_ticket(&main, "Studio-PC");
    let mut second = Worker::paired_by_code(&main, "Laptop-3");
    separates_as_alone(&main, [&mut first, &mut second], |_, workers| workers[0].kill());
    second.stop_politely();
}

#[test]
fn a_frozen_worker_loses_nothing() {
    let main = MainPc::new();
    let mut worker = Worker::paired_by_ticket(&main, "Studio-PC");
    separates_as_alone(&main, [&mut worker], |_, workers| workers[0].freeze());
}

#[test]
fn a_worker_that_is_told_to_leave_hands_back_what_it_has() {
    let main = MainPc::new();
    let mut worker = Worker::paired_by_ticket(&main, "Studio-PC");
    separates_as_alone(&main, [&mut worker], |_, workers| workers[0].stop_politely());
}

#[test]
fn who_was_forgotten_gets_nothing() {
    let main = MainPc::new();
    let mut worker = Worker::paired_by_ticket(&main, "Studio-PC");
    main.run(&["workers", "forget", "Studio-PC"]);
    let song = song(main.dir(), 60);
    let job = main.separate(&song, &main.path("out"), &["--workers", "all"]);
    worker.run();
    let done = job.finish();
    assert_eq!(done["workers"].as_array().map(Vec::len), Some(1), "{done}");
}
