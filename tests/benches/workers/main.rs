//! What several computers gain, cost and survive, as one table: `script/bench_workers [--quick]`.
//!
//! Beside each figure stands what others report of themselves and what was wanted here. Rows are of
//! three kinds, and say which: *virtual time* is the scheduler amid simulated computers; *sleeping
//! engine* is the whole program with real QUIC on this computer, where computing a piece is sleeping
//! for a set time, so that two cores can show what many computers do; the others are the real
//! programs `stemhive` and `stemhive-worker` with the real engine. `--quick` leaves out what takes
//! minutes: the flood is shorter, the bad networks fewer, and tests are not run.

#[path = "../../../engine/tests/chaos_relay/mod.rs"]
mod chaos_relay;
#[path = "../../tests/workers/clock.rs"]
#[allow(dead_code, unused_imports, reason = "only the tests let clocks jump")]
mod clock;
#[path = "../../../engine/tests/common/mod.rs"]
mod common;
#[path = "../../tests/workers/computers.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod computers;
#[path = "../../../engine/tests/fake_crew/mod.rs"]
mod fake_crew;
#[path = "../../../engine/tests/remote_rig/mod.rs"]
mod remote_rig;
#[path = "../../../engine/tests/simulation/mod.rs"]
mod simulation;

mod flood;
mod networks;
mod noticing;
mod proofs;
mod real;
mod simulated;
mod sleeping;
mod spare;
mod table;

use std::process::ExitCode;

use table::Table;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let is_quick = args.iter().any(|arg| arg == "--quick");
    // Parts by name, for whoever works on one; all of them otherwise.
    let named: Vec<&str> =
        args.iter().map(String::as_str).filter(|arg| !arg.starts_with("--")).collect();
    let is_asked = |part: &str| named.is_empty() || named.contains(&part);
    let mut table = Table::begin();
    // First, while this process has not grown by anything else.
    if is_asked("flood") {
        flood::rows(&mut table, is_quick);
    }
    if is_asked("simulated") {
        simulated::rows(&mut table);
    }
    if is_asked("sleeping") {
        sleeping::rows(&mut table);
    }
    if is_asked("real") {
        real::rows(&mut table);
    }
    if is_asked("noticing") {
        noticing::rows(&mut table);
    }
    if is_asked("networks") {
        networks::rows(&mut table, is_quick);
    }
    if is_asked("proofs") && !is_quick {
        proofs::rows(&mut table);
    }
    table.end()
}
