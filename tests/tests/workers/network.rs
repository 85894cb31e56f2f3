//! Main PC and worker in network namespaces of their own, with a cable between them that is slow, is
//! pulled out, or leads through a router that hides the worker. Skipped aloud where the system
//! does not let us make namespaces.

use std::{path::Path, process::Command};

use crate::computers::{MainPc, Worker, separates_as_alone};

/// Two or three namespaces joined by virtual cables; gone with the test.
struct Lab {
    names: Vec<String>,
}

impl Lab {
    /// `main` (10.77.n.1) and `worker` (10.77.n.2); none, with a line that says so, where it cannot
    /// be had.
    fn new(tag: &str) -> Option<Self> {
        let id = std::process::id();
        let names: Vec<_> = ["m", "w", "r"].map(|n| format!("stemhive-{tag}{n}-{id}")).into();
        let lab = Self { names };
        for name in &lab.names {
            let made = Command::new("ip").args(["netns", "add", name]).output();
            if !made.is_ok_and(|output| output.status.success()) {
                eprintln!("skipped: network namespaces cannot be made here");
                return None;
            }
            lab.must(&["-n", name, "link", "set", "lo", "up"]);
        }
        Some(lab)
    }

    /// A cable between two namespaces, with an address at either end.
    fn cable(&self, (a, a_link, a_address): (usize, &str, &str), b: (usize, &str, &str)) {
        let (a, (b, b_link, b_address)) = (&self.names[a], (&self.names[b.0], b.1, b.2));
        self.must(&[
            "link", "add", a_link, "netns", a, "type", "veth", "peer", "name", b_link, "netns", b,
        ]);
        for (name, link, address) in [(a, a_link, a_address), (b, b_link, b_address)] {
            self.must(&["-n", name, "address", "add", address, "dev", link]);
            self.must(&["-n", name, "link", "set", link, "up"]);
        }
    }

    /// Runs `ip`.
    #[track_caller]
    fn must(&self, args: &[&str]) {
        run("ip", args);
    }

    /// Runs a program in a namespace.
    #[track_caller]
    fn run_in(&self, namespace: usize, args: &[&str]) {
        run("ip", &[&["netns", "exec", &self.names[namespace]], args].concat());
    }

    fn slow_down(&self, namespace: usize, link: &str, rate: &str) {
        let args = ["root", "tbf", "rate", rate, "burst", "64kb", "latency", "100ms"];
        self.run_in(namespace, &[&["tc", "qdisc", "add", "dev", link], args.as_slice()].concat());
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

#[track_caller]
fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
}

/// Main PC and worker joined by one cable.
fn joined(tag: &str) -> Option<(Lab, MainPc, Worker)> {
    let lab = Lab::new(tag)?;
    lab.cable((0, "cable", "10.77.0.1/24"), (1, "cable", "10.77.0.2/24"));
    let main = MainPc::new_in(Some(&lab.names[0]));
    let worker = Worker::paired_in(&main, "Studio-PC", Some(&lab.names[1]));
    Some((lab, main, worker))
}

#[test]
fn a_slow_link_carries_the_same_samples() {
    let Some((lab, main, mut worker)) = joined("s") else { return };
    lab.slow_down(0, "cable", "100mbit");
    lab.slow_down(1, "cable", "100mbit");
    separates_as_alone(&main, [&mut worker], |_, _| {});
}

#[test]
fn a_cable_that_is_pulled_out_and_put_back_loses_nothing() {
    let Some((lab, main, mut worker)) = joined("c") else { return };
    let link = ["-n", lab.names[1].as_str(), "link", "set", "cable"];
    separates_as_alone(&main, [&mut worker], |_, _| {
        lab.must(&[link.as_slice(), &["down"]].concat());
    });
    lab.must(&[link.as_slice(), &["up"]].concat());
    // And helps again.
    separates_as_alone(&main, [&mut worker], |_, _| {});
}

#[test]
fn a_worker_behind_a_router_that_hides_it_helps() {
    if !Path::new("/usr/sbin/nft").exists() {
        eprintln!("skipped: nft is not there; script/test installs it");
        return;
    }
    let Some(lab) = Lab::new("n") else { return };
    lab.cable((0, "lan", "10.77.1.1/24"), (2, "outside", "10.77.1.2/24"));
    lab.cable((1, "cable", "10.77.2.1/24"), (2, "inside", "10.77.2.2/24"));
    lab.must(&["-n", &lab.names[1], "route", "add", "default", "via", "10.77.2.2"]);
    lab.run_in(2, &["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
    lab.run_in(2, &["nft", "add", "table", "ip", "nat"]);
    let chain = "{ type nat hook postrouting priority 100 ; }";
    lab.run_in(2, &["nft", "add", "chain", "ip", "nat", "out", chain]);
    lab.run_in(2, &["nft", "add", "rule", "ip", "nat", "out", "oifname", "outside", "masquerade"]);
    let main = MainPc::new_in(Some(&lab.names[0]));
    let mut worker = Worker::paired_in(&main, "Studio-PC", Some(&lab.names[1]));
    separates_as_alone(&main, [&mut worker], |_, _| {});
}
