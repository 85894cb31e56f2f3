//! A `stemhive-worker` of its own process, paired with a hub of this one, so that this process sees
//! on the clock what the hub notices when.

use std::{process::Command, sync::Arc};

use engine::crew::{DeviceId, Member, Work};

use crate::{
    computers::Worker,
    remote_rig::{Main, wait_for, wait_until},
};

/// Paired by a ticket, and at work.
pub(crate) fn spare(main: &Main, name: &str) -> Worker {
    let ticket = main.hub().ticket().expect("a ticket");
    let mut worker = Worker::new(name, None);
    worker.join(&["--ticket"], &ticket.to_string());
    worker.run();
    worker
}

/// The only computer, once it is ready.
pub(crate) fn member(main: &Main, work: &Work) -> (DeviceId, Arc<dyn Member>) {
    wait_for("the worker to be ready", || {
        let present = main.crew().roll(work).into_iter().next()?;
        Some((present.device, present.member?))
    })
}

/// The process in which a worker computes.
pub(crate) fn engine_pid(worker: &Worker) -> String {
    let worker = worker.pid();
    let parent_of = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name, which may hold anything, come the state and the parent.
        Some(stat.rsplit_once(')')?.1.split(' ').nth(2)?.to_owned())
    };
    wait_for("its engine", || {
        let all = std::fs::read_dir("/proc").ok()?;
        let mut pids = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        pids.find(|pid| parent_of(pid).is_some_and(|parent| parent == worker))
    })
}

/// As a crash does.
pub(crate) fn kill_process(pid: &str) {
    let sent = Command::new("kill").args(["-KILL", pid]).status().expect("kill runs");
    assert!(sent.success());
}

/// Waits until nobody is connected.
pub(crate) fn wait_until_gone(main: &Main) {
    wait_until("the connection to end", || {
        main.hub().status().computers.iter().all(|computer| computer.link.is_none())
    });
}
