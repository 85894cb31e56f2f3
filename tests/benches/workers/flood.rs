//! A flood of unpaired connections at a hub with a paired worker at work, by the example `flood` of
//! the engine, a process of its own. Three computers have to share one here: the worker gets the last
//! core for itself, as it has a computer of its own, and hub and flooder share the others, of which
//! they take less than half. So the flooder takes nothing from the worker, and what the worker's
//! throughput loses is what the flood costs it through the hub. The same flood is also sent to a port
//! where nobody reads, which is what the packets cost as such.

use std::{
    collections::VecDeque,
    net::{SocketAddr, UdpSocket},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use engine::{
    crew::{Ending, Member},
    model::{Separator, spectral::Spectral},
};
use integration_tests::stemhive_path;
use serde_json::Value;

use crate::{
    remote_rig::{Desk, Main, Sent, work},
    spare::{engine_pid, member, spare},
    table::Table,
};

const PER_SEC: u64 = 1_000;

/// Most that the main PC's memory may grow, in bytes.
const MOST_BYTES: u64 = 32 << 20;

/// Pieces at the worker: one is computed, the others are on their way.
const IN_FLIGHT: usize = 3;

pub(crate) fn rows(table: &mut Table, is_quick: bool) {
    let secs = if is_quick { 10 } else { 60 };
    let separator: Arc<dyn Separator> = Arc::new(Spectral::new());
    let main = Main::with(vec![Arc::clone(&separator)], &[]);
    let worker = spare(&main, "Studio-PC");
    let last = std::thread::available_parallelism().map_or(1, usize::from) - 1;
    run_on(&last.to_string(), worker.pid());
    run_on(&last.to_string(), engine_pid(&worker));
    // The flooder is started from here, and so is where this process is.
    run_on(&format!("0-{}", last.saturating_sub(1)), std::process::id());
    let (_, held) = member(&main, &work(separator.as_ref()));
    let mut shift = Shift { desk: Desk::new(separator, 2, 4 << 20), member: held, next: 0 };
    // Buffers grow to what they need, and the worker's speed settles.
    shift.work_for(Duration::from_secs(10));

    let nobody = UdpSocket::bind(("127.0.0.1", 0)).expect("a port");
    let nobody = nobody.local_addr().map(|address| (nobody, address)).expect("an address");
    for (hosts, whence) in [(1, "from one address"), (200, "from 200 addresses")] {
        let before = shift.work_for(Duration::from_secs(secs / 2));
        let aside = shift.work_amid(Flood::start(nobody.1, secs, hosts));
        let flood = shift.work_amid(Flood::start(main.address(), secs, hosts));
        let after = shift.work_for(Duration::from_secs(secs / 2));
        let calm = (before.pieces_per_sec + after.pieces_per_sec) / 2.0;
        let (told, told_aside) = (flood.told.unwrap_or_default(), aside.told.unwrap_or_default());

        // Against as long a time without it: results of some 13 MB come and go, and the longer one looks
        // the more of them are seen together.
        let grown = flood.most_bytes.saturating_sub(before.most_bytes.max(aside.most_bytes));
        let let_in = told["fates"]["let in"].as_u64().unwrap_or(0);
        table.row(
            "KDE advisory",
            &format!("{PER_SEC} unpaired connections a second for {secs} s {whence}: memory grows < 32 MB, nobody is let in"),
            &format!("{:.1} MB; {}", grown as f64 / 1e6, fates(&told)),
            grown < MOST_BYTES && let_in == 0,
        );
        let loss = 1.0 - flood.pieces_per_sec / calm;
        let loss_aside = 1.0 - aside.pieces_per_sec / calm;
        let per_cent = |share: f64| format!("{:.1} %", share * 100.0);
        table.row(
            "the same",
            "the paired worker's throughput falls < 10 %, the worker on a core of its own",
            &format!(
                "{} ({:.2} pieces/s of {calm:.2}); by the same flood to a port where nobody reads {}",
                per_cent(loss),
                flood.pieces_per_sec,
                per_cent(loss_aside),
            ),
            loss < 0.1,
        );
        table.fact(
            "processor, in cores: flooder (at the other port); main PC with the flood (without)",
            &format!(
                "{:.2} ({:.2}); {:.2} ({:.2})",
                cores(&told, secs),
                cores(&told_aside, secs),
                flood.cores,
                (before.cores + after.cores) / 2.0,
            ),
        );
    }
    run_on(&format!("0-{last}"), std::process::id());
}

/// Keeps all threads of a process on some cores; says so where that cannot be done.
fn run_on(cores: &str, pid: impl std::fmt::Display) {
    let mut taskset = Command::new("taskset");
    taskset.args(["--all-tasks", "--pid", "--cpu-list", cores, &pid.to_string()]);
    let done = taskset.stdout(Stdio::null()).status();
    if !done.is_ok_and(|status| status.success()) {
        eprintln!("process {pid} is not kept on cores {cores}: is taskset there?");
    }
}

fn cores(told: &Value, secs: u64) -> f64 {
    told["cpu_secs"].as_f64().unwrap_or(0.0) / secs as f64
}

fn fates(told: &Value) -> String {
    let all = told["fates"].as_object().into_iter().flatten();
    all.map(|(fate, count)| format!("{count} {fate}")).collect::<Vec<_>>().join(", ")
}

/// The flooder.
struct Flood(Child);

impl Flood {
    fn start(at: SocketAddr, secs: u64, hosts: u16) -> Self {
        let program = stemhive_path().with_file_name("examples").join("flood");
        let child = Command::new(program)
            .arg(at.to_string())
            .args([secs, PER_SEC, hosts.into()].map(|number| number.to_string()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example flood, which script/bench_workers builds");
        Self(child)
    }

    fn is_over(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(Some(_)))
    }

    fn told(mut self) -> Value {
        let output = self.0.stdout.take().expect("a pipe");
        serde_json::from_reader(output).expect("a line of JSON")
    }
}

/// What a while of work came to.
struct While {
    pieces_per_sec: f64,
    /// Most memory of this process that was resident.
    most_bytes: u64,
    /// Processor time of this process over time.
    cores: f64,
    told: Option<Value>,
}

/// A worker that is given one piece after the other.
struct Shift {
    desk: Desk,
    member: Arc<dyn Member>,
    next: usize,
}

impl Shift {
    fn work_for(&mut self, span: Duration) -> While {
        let end = Instant::now() + span;
        self.work_until(|| Instant::now() >= end)
    }

    fn work_amid(&mut self, mut flood: Flood) -> While {
        let mut spell = self.work_until(|| flood.is_over());
        spell.told = Some(flood.told());
        spell
    }

    fn work_until(&mut self, mut is_over: impl FnMut() -> bool) -> While {
        let mut sent: VecDeque<Sent> = (0..IN_FLIGHT).map(|_| self.send()).collect();
        // Timed from piece to piece.
        self.take(&mut sent);
        let (began, cpu_before) = (Instant::now(), cpu_secs());
        let (mut pieces, mut most_bytes) = (0, 0);
        while !is_over() {
            self.take(&mut sent);
            pieces += 1;
            most_bytes = most_bytes.max(resident_bytes());
        }
        let secs = began.elapsed().as_secs_f64();
        let cores = (cpu_secs() - cpu_before) / secs;
        sent.into_iter().for_each(|sent| drop_result(sent.wait()));
        While { pieces_per_sec: f64::from(pieces) / secs, most_bytes, cores, told: None }
    }

    fn send(&mut self) -> Sent {
        self.next += 1;
        self.desk.begin(&*self.member, self.next % self.desk.chunks(), &[0, 1, 2, 3])
    }

    /// Waits for the oldest piece and sends another.
    fn take(&mut self, sent: &mut VecDeque<Sent>) {
        if let Some(oldest) = sent.pop_front() {
            drop_result(oldest.wait());
        }
        sent.push_back(self.send());
    }
}

fn drop_result(ending: Ending) {
    let Ending::Stored { target, .. } = ending else { panic!("a piece ended as {ending:?}") };
    std::fs::remove_file(target).expect("our own file");
}

/// A figure of /proc/self/status, which is in kB; 0 where there is none.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kb.unwrap_or(0) * 1024
}

/// Processor time of all threads of this process, in seconds: ticks of 10 ms on Linux.
fn cpu_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split(' ').skip(12).take(2).filter_map(|n| n.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
