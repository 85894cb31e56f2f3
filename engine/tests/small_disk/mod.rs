//! Disks so small that they fill up, for tests of what happens then.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

const DISK: &str = "STEMHIVE_TEST_SMALL_DISK";

/// The small disk, inside the process that [`run_on_small_disk`] started; `None` elsewhere.
pub(crate) fn small_disk() -> Option<PathBuf> {
    std::env::var_os(DISK).map(Into::into)
}

/// Runs `test` of this test program again in a process of its own that has a disk of `size` (as
/// `mount -o size=` takes it), and fails if it fails. Where the system lends no such disk, says so.
pub(crate) fn run_on_small_disk(test: &str, size: &str) {
    let dir = tempfile::tempdir().unwrap();
    // A user namespace, where anybody may mount; root may also do without, if that is not allowed.
    for namespaces in [&["--user", "--map-root-user", "--mount"][..], &["--mount"]] {
        let run = Command::new("unshare")
            .args(namespaces)
            .args(["sh", "-c"])
            .arg("mount -t tmpfs -o \"size=$1\" tmpfs \"$0\" || exit 77; shift; exec \"$@\"")
            .arg(dir.path())
            .arg(size)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(DISK, dir.path())
            .output();
        let Ok(run) = run else { break };
        let said = String::from_utf8_lossy(&run.stdout);
        match run.status.code() {
            Some(0) => return assert!(said.contains("1 passed"), "{said}"),
            // Not allowed to unshare, or to mount.
            Some(1 | 77) => {}
            _ => panic!("{}: {said}{}", run.status, String::from_utf8_lossy(&run.stderr)),
        }
    }
    println!("skipped: no small disk can be mounted here (no unshare, or not allowed)");
}

/// Fills the disk that `path` is on, but for `free_bytes`, with a file there.
#[allow(dead_code, reason = "some tests fill it by what they test")]
pub(crate) fn fill_disk(path: &Path, free_bytes: u64) {
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[1; 64 << 10]).is_ok() {}
    let full_bytes = file.metadata().unwrap().len();
    file.set_len(full_bytes - free_bytes).unwrap();
}
