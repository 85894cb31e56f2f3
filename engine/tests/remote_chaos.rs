//! Chunks over networks that lose, delay, reorder, duplicate and corrupt packets.

mod chaos_relay;
mod common;
mod remote_rig;

use std::sync::Arc;

use chaos_relay::{Chaos, Relay};
use common::{Gate, TestSeparator, spec};
use engine::{
    crew::{Ending, Standing},
    model::Separator,
    protocol::Encoding,
    scheduler::Cause,
};
use remote_rig::{Desk, Main, Shop, Worker, stored, wait_for, wait_until, work};

/// A main PC and a worker with a relay in between.
fn apart(
    here: &Arc<dyn Separator>,
    there: Arc<dyn Separator>,
    chaos: Chaos,
) -> (Main, Worker, Relay) {
    let mut worker = Worker::new("Spare", Shop::new(vec![there]));
    let mut main = Main::with(vec![Arc::clone(here)], &[]);
    main.close();
    main.pair(&worker);
    main.open();
    let relay = Relay::start(main.address(), 1, chaos);
    worker.pair_at(&main, relay.address);
    worker.start();
    (main, worker, relay)
}

fn separator(segment: u64, stride: u64) -> Arc<dyn Separator> {
    Arc::new(TestSeparator::new(spec(segment, stride)))
}

#[test]
fn chunks_come_out_the_same_whatever_the_network_does() {
    let separator = separator(4_000, 3_000);
    for lost in [0.0, 0.05, 0.2] {
        let chaos =
            Chaos { lost, duplicated: 0.05, corrupted: 0.02, delay_ms: (0, 3), black_hole: false };
        let (main, worker, _relay) = apart(&separator, Arc::clone(&separator), chaos);
        let member = main.member(&worker, &work(separator.as_ref()));
        let desk = Desk::new(Arc::clone(&separator), 2, 12_000);
        let sent: Vec<_> =
            (0..desk.chunks()).map(|chunk| desk.begin(&*member, chunk, &[0, 1])).collect();
        for (chunk, sent) in sent.iter().enumerate() {
            match sent.wait() {
                // A network this bad may tear the connection; then it is said, and no sample wrong.
                Ending::Failed(Cause::Lost, _) if lost > 0.1 => {}
                ending => assert_eq!(stored(ending), desk.local(chunk, &[0, 1]), "{lost}"),
            }
        }
    }
}

#[test]
fn a_slow_link_is_packed_and_gives_the_same() {
    let separator = separator(100_000, 90_000);
    let chaos = Chaos { delay_ms: (10, 10), ..Chaos::default() };
    let (main, worker, _relay) = apart(&separator, Arc::clone(&separator), chaos);
    let member = main.member(&worker, &work(separator.as_ref()));
    let desk = Desk::new(Arc::clone(&separator), 2, 190_000);
    for chunk in 0..2 {
        assert_eq!(stored(desk.compute(&*member, chunk, &[0, 1])), desk.local(chunk, &[0, 1]));
    }
    let speed = wait_for("its speed", || main.computer(&worker)?.link?.bytes_per_sec);
    assert!(speed < 40e6, "{speed}");
    let seen = worker.shop.chunk_orders.lock().unwrap();
    let sent: Vec<_> = seen.iter().map(|order| (order.encoding, order.pack_result)).collect();
    assert_eq!(sent.first(), Some(&(Encoding::Raw, false)), "the test piece is sent raw");
    assert_eq!(sent.last(), Some(&(Encoding::Packed, true)));
}

#[test]
fn a_result_that_takes_its_time_is_seen_coming_back() {
    let separator = separator(120_000, 100_000);
    // Slow on every machine: what is lost must be sent again, a round trip later.
    let chaos = Chaos { lost: 0.02, delay_ms: (10, 10), ..Chaos::default() };
    let (main, worker, _relay) = apart(&separator, Arc::clone(&separator), chaos);
    let member = main.member(&worker, &work(separator.as_ref()));
    let desk = Desk::new(Arc::clone(&separator), 2, 120_000);
    let sent = desk.begin(&*member, 0, &[0, 1]);
    let share = wait_for("it to come back", || sent.signal.sent_back());
    assert!((0.0..=1.0).contains(&share), "{share}");
    assert_eq!(sent.signal.done(), 1.0, "it is computed by then");
    assert_eq!(stored(sent.wait()), desk.local(0, &[0, 1]));
}

#[test]
fn a_cut_wire_is_noticed_and_mended() {
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let hook: common::Hook = Box::new(move |_, progress| held.pass(progress));
    let there: Arc<dyn Separator> = Arc::new(TestSeparator::with(spec(4_000, 3_000), hook));
    let here = separator(4_000, 3_000);
    let (main, worker, relay) = apart(&here, there, Chaos::default());
    gate.open(1);
    let work = work(here.as_ref());
    let member = main.member(&worker, &work);
    let desk = Desk::new(here, 2, 12_000);
    let sent = desk.begin(&*member, 0, &[0, 1]);
    wait_until("it to start", || sent.has_started());
    relay.set(Chaos { black_hole: true, ..Chaos::default() });
    assert!(matches!(sent.wait(), Ending::Failed(Cause::Lost, _)));
    main.wait_standing(&worker, &work, |standing| *standing == Standing::Away);
    relay.set(Chaos::default());
    gate.open(usize::MAX);
    let member = main.member(&worker, &work);
    assert_eq!(stored(desk.compute(&*member, 1, &[0, 1])), desk.local(1, &[0, 1]));
}
