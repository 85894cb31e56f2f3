//! A worker whose disk has no room for the model it is sent.

#[path = "../../../engine/tests/small_disk/mod.rs"]
mod small_disk;
#[path = "../../../engine/tests/small_model/mod.rs"]
mod small_model;

use small_disk::{run_on_small_disk, small_disk};

use crate::computers::{MainPc, Worker, song, stems};

#[test]
fn on_a_small_disk() {
    let Some(disk) = small_disk() else { return };
    let main = MainPc::new();
    small_model::install(&main.path("list.toml"), &main.path("data"));
    let mut worker = Worker::paired_on_disk(&main, "Studio-PC", &disk);
    assert!(worker.command().args(["allow", "--any-model"]).status().expect("it runs").success());
    for secs in [20, 80, 320] {
        let song = song(main.dir(), secs);
        let separate = |name: &str, workers: &str| {
            let list = main.path("list.toml");
            let list = list.to_str().expect("a plain path");
            let args = ["--model-list", list, "--model", "small", "--workers", workers];
            main.separate(&song, &main.path(name), &args)
        };
        let mut job = separate("together", "all");
        worker.run();
        let told = job.wait_for_note("are needed and the disk has");
        let done = job.finish();
        let together = stems(&main.path("together").join(format!("song-{secs}")));
        main.forget_songs();
        separate("alone", "none").finish();
        assert_eq!(together, stems(&main.path("alone").join(format!("song-{secs}"))), "{done}");
        if told {
            let models = worker.dir().join("data/models/incoming");
            let left = std::fs::read_dir(models).expect("it was looked at");
            let left: Vec<_> = left.map(|file| file.expect("readable").file_name()).collect();
            assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".lock")), "{left:?}");
            return;
        }
    }
    panic!("the worker never said why");
}

#[test]
fn a_worker_without_room_for_a_model_says_so_and_the_song_is_done_without_it() {
    // Some is always left free, more than this disk has.
    run_on_small_disk("disk::on_a_small_disk", "32m");
}
