//! What is proven by tests: they are run, and what came of them is told.

use std::{process::Command, time::Instant};

use crate::table::Table;

struct Proof {
    elsewhere: &'static str,
    wanted: &'static str,
    /// What `cargo test` is told to build.
    target: &'static [&'static str],
    /// Part of the names of the tests; all of them if empty.
    tests: &'static str,
    least: usize,
}

const PROOFS: &[Proof] = &[
    Proof {
        elsewhere: "Petals: same result after failures",
        wanted: "1 000 seeded fault runs, virtual time: 0 lost, 0 twice",
        target: &["--test", "scheduler_faults"],
        tests: "a_thousand_runs",
        least: 1,
    },
    Proof {
        elsewhere: "the same",
        wanted: "the real driver amid lost, failing, lying computers: the stems of one",
        target: &["--test", "job_crew"],
        tests: "",
        least: 1,
    },
    Proof {
        elsewhere: "HyperQueue: last seconds may be lost",
        wanted: "200 x kill -9 of the app: 0 committed pieces computed again",
        target: &["--test", "crash"],
        tests: "killed_again_and_again",
        least: 1,
    },
    Proof {
        elsewhere: "HyperQueue: tests one partial log",
        wanted: "journal cut at every byte, one bit flipped per record: never a wrong stem",
        target: &["--test", "job_journal"],
        tests: "",
        least: 1,
    },
    Proof {
        elsewhere: "llama.cpp RPC: malformed input crashes",
        wanted: "fuzzed frames, heads, journal, ticket: 0 panics, bounded memory",
        target: &["--test", "fuzz_entry"],
        tests: "",
        least: 1,
    },
    Proof {
        elsewhere: "pairing",
        wanted: "10 000 wrong codes: 0 accepted",
        target: &["--lib"],
        tests: "ten_thousand_wrong_codes",
        least: 1,
    },
    Proof {
        elsewhere: "the same",
        wanted: "a relay in the middle fails",
        target: &["--lib"],
        tests: "a_relay_in_the_middle",
        least: 1,
    },
    Proof {
        elsewhere: "lossy network",
        wanted: "real programs: a slow link, a cable pulled out, a hiding router, a killed worker: identical",
        target: &["--test", "workers"],
        tests: "",
        least: 4,
    },
];

pub(crate) fn rows(table: &mut Table) {
    for proof in PROOFS {
        let found = run(proof);
        let is_met = found.failed == 0 && found.passed >= proof.least;
        let name = match proof.tests {
            "" => proof.target.last().copied().unwrap_or_default(),
            name => name,
        };
        let text = format!(
            "{} passed, {} failed in {:.0} s (`{name}`)",
            found.passed, found.failed, found.secs
        );
        table.row(proof.elsewhere, proof.wanted, &text, is_met);
    }
}

struct Found {
    passed: usize,
    failed: usize,
    secs: f64,
}

/// Runs tests as `script/test` does, with the same random cases.
fn run(proof: &Proof) -> Found {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let test = |more: &[&str]| {
        Command::new(&cargo)
            .args(["test", "--workspace", "--locked"])
            .args(proof.target)
            .args(more)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .env("PROPTEST_RNG_SEED", "20260101")
            .output()
            .expect("cargo runs")
    };
    // Built beforehand, so that only running is timed.
    let built = test(&["--no-run"]);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let began = Instant::now();
    let output = test(&[proof.tests]);
    let secs = began.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stdout);
    let count = |what: &str| -> usize {
        let results = said.lines().filter_map(|line| line.strip_prefix("test result: "));
        let counts = results.filter_map(|line| {
            line.split([';', '.'])
                .find_map(|part| part.trim().strip_suffix(what)?.trim().parse::<usize>().ok())
        });
        counts.sum()
    };
    let failed = count(" failed");
    // One that could not even start counts as well.
    let failed = failed.max(usize::from(!output.status.success()));
    Found { passed: count(" passed"), failed, secs }
}
