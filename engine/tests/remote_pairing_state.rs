//! Who may connect, and what becomes of connections when that changes.

mod common;
mod remote_rig;

use std::{sync::Arc, time::Duration};

use common::{TestSeparator, spec};
use engine::{
    crew::Standing,
    model::Separator,
    protocol::VERSION,
    remote::{Chosen, Identity, MainState},
};
use remote_rig::{Desk, Main, Shop, Worker, stored, wait_until, work};

fn separator() -> Arc<dyn Separator> {
    Arc::new(TestSeparator::new(spec(2_000, 1_500)))
}

fn worker(name: &str, separator: &Arc<dyn Separator>) -> Worker {
    Worker::new(name, Shop::new(vec![Arc::clone(separator)]))
}

#[test]
fn nothing_is_listened_at_without_a_paired_computer() {
    let separator = separator();
    let main = Main::with(vec![Arc::clone(&separator)], &[]);
    assert!(main.hub().status().addresses.is_empty());
    // Another process pairs one.
    let mut spare = worker("Spare", &separator);
    main.pair(&spare);
    wait_until("it to listen", || !main.hub().status().addresses.is_empty());
    spare.pair(&main);
    spare.start();
    main.member(&spare, &work(separator.as_ref()));
    // And forgets it again.
    main.peers().forget(spare.identity.device()).unwrap();
    wait_until("it to listen no more", || main.hub().status().addresses.is_empty());
    wait_until("the worker to hear", || spare.state().is_some() && !is_connected(&spare));
}

fn is_connected(worker: &Worker) -> bool {
    matches!(worker.state(), Some(MainState::Connected { .. }))
}

#[test]
fn who_is_not_paired_gets_nothing() {
    let separator = separator();
    let (mut known, mut stranger) = (worker("Known", &separator), worker("Stranger", &separator));
    let main = Main::with(vec![Arc::clone(&separator)], &[&known]);
    // It knows the main PC, but not the other way round.
    stranger.pair(&main);
    stranger.start();
    wait_until("it to be refused", || stranger.state() == Some(MainState::Forgotten));
    assert!(stranger.shop.orders.lock().unwrap().is_empty());
    known.start();
    main.member(&known, &work(separator.as_ref()));
    assert_eq!(main.hub().status().computers.len(), 1);
    // Once it is paired it need not be started anew, as soon as its own list is touched.
    main.pair(&stranger);
    stranger.pair(&main);
    main.member(&stranger, &work(separator.as_ref()));
}

#[test]
fn a_main_pc_with_another_key_is_not_trusted() {
    let separator = separator();
    let mut spare = worker("Spare", &separator);
    let main = Main::with(vec![Arc::clone(&separator)], &[&spare]);
    let peers = spare.peers();
    peers.forget(main.identity().device()).unwrap();
    let other = Identity::ephemeral().unwrap();
    peers.add(other.device(), "Studio", vec![main.address()]).unwrap();
    spare.start();
    wait_until("a second try", || {
        matches!(spare.state(), Some(MainState::Connecting { attempt: 2.. }))
    });
    assert!(!main.is_connected(&spare));
}

#[test]
fn forgetting_ends_the_connection_at_once_on_either_side() {
    let separator = separator();
    let (mut one, mut two) = (worker("One", &separator), worker("Two", &separator));
    let main = Main::with(vec![Arc::clone(&separator)], &[&one, &two]);
    one.start();
    two.start();
    wait_until("both", || main.is_connected(&one) && main.is_connected(&two));
    let work = work(separator.as_ref());
    let member = main.member(&one, &work);
    main.hub().forget(one.identity.device()).unwrap();
    wait_until("it to hear", || one.state() == Some(MainState::Forgotten));
    wait_until("it to be off the list", || main.computer(&one).is_none());
    assert!(main.present(&one, &work).is_none());
    let desk = Desk::new(Arc::clone(&separator), 2, 5_000);
    assert!(matches!(
        desk.compute(&*member, 0, &[0, 1]),
        engine::crew::Ending::Failed(engine::scheduler::Cause::Lost, _)
    ));
    // The other one forgets the main PC, in another process.
    two.peers().forget(main.identity().device()).unwrap();
    wait_until("it to be gone", || !main.is_connected(&two));
    wait_until("its list to be empty", || two.client().status().mains.is_empty());
}

#[test]
fn unconfirmed_and_paused_computers_get_no_chunks() {
    let separator = separator();
    let mut spare = worker("Spare", &separator);
    let main = Main::with(vec![Arc::clone(&separator)], &[&spare]);
    let device = spare.identity.device();
    main.peers().change(device, |peer| peer.confirmed = false).unwrap();
    let work = work(separator.as_ref());
    main.wait_standing(&spare, &work, |standing| *standing == Standing::Unconfirmed);
    spare.start();
    wait_until("it to be connected", || main.is_connected(&spare));
    let present = main.present(&spare, &work).unwrap();
    assert_eq!(present.standing, Standing::Unconfirmed);
    assert!(present.member.is_none() && spare.shop.orders.lock().unwrap().is_empty());
    main.hub().confirm(device).unwrap();
    main.member(&spare, &work);
    main.hub().set_paused(device, true).unwrap();
    let present = main.present(&spare, &work).unwrap();
    assert!(present.standing == Standing::PausedHere && present.member.is_none());
    main.hub().set_paused(device, false).unwrap();
    main.member(&spare, &work);
    main.crew().accuse(device, &work);
    let present = main.present(&spare, &work).unwrap();
    assert!(matches!(present.standing, Standing::SetAside { left: None, .. }));
    assert!(present.member.is_none() && main.is_connected(&spare));
    main.hub().try_again(device).unwrap();
    main.member(&spare, &work);
    main.hub().rename(device, "Attic").unwrap();
    wait_until("its new name", || main.computer(&spare).unwrap().name == "Attic");
    let seen = main.computer(&spare).unwrap();
    assert_eq!(seen.standing, Standing::Ready);
    assert_eq!(seen.about.unwrap().threads, 4);
    wait_until("it to be remembered", || {
        let peer = main.peers().find(device).unwrap();
        peer.last_seen.is_some() && peer.about.is_some()
    });
}

#[test]
fn only_those_chosen_are_on_the_roll() {
    let separator = separator();
    let (one, two) = (worker("One", &separator), worker("Two", &separator));
    let main = Main::with(vec![Arc::clone(&separator)], &[&one, &two]);
    let work = work(separator.as_ref());
    let names = |chosen| {
        let roll = main.hub().crew(chosen).roll(&work);
        roll.into_iter().map(|present| present.name).collect::<Vec<_>>()
    };
    assert_eq!(names(Chosen::All), ["One", "Two"]);
    assert!(names(Chosen::None).is_empty());
    assert_eq!(names(Chosen::Only(vec![two.identity.device()])), ["Two"]);
}

#[test]
fn another_version_is_shown_on_both_sides_and_never_used() {
    let separator = separator();
    let mut spare = worker("Spare", &separator);
    {
        let mut hello = spare.shop.hello.lock().unwrap();
        hello.version = VERSION + 1;
        hello.program = "7.0.0".into();
    }
    let main = Main::with(vec![Arc::clone(&separator)], &[&spare]);
    spare.start();
    let theirs = "7.0.0".to_owned();
    let work = work(separator.as_ref());
    main.wait_standing(&spare, &work, |standing| {
        *standing == Standing::UpdateNeeded { theirs: theirs.clone() }
    });
    wait_until(
        "it to be shown there",
        || matches!(spare.state(), Some(MainState::UpdateNeeded { theirs }) if !theirs.is_empty()),
    );
    assert!(main.present(&spare, &work).unwrap().member.is_none());
}

#[test]
fn a_second_connection_of_a_computer_takes_the_place_of_the_first() {
    let separator = separator();
    let mut first = worker("Spare", &separator);
    let main = Main::with(vec![Arc::clone(&separator)], &[&first]);
    first.start();
    let work = work(separator.as_ref());
    let before = main.member(&first, &work);
    let mut second = worker("Spare", &separator);
    second.identity = first.identity.clone();
    second.pair(&main);
    second.start();
    wait_until("the first one to be replaced", || !is_connected(&first) && is_connected(&second));
    let after = main.member(&second, &work);
    assert!(!Arc::ptr_eq(&before, &after));
    let desk = Desk::new(Arc::clone(&separator), 2, 5_000);
    assert_eq!(stored(desk.compute(&*after, 0, &[0, 1])), desk.local(0, &[0, 1]));
}

#[test]
fn a_port_that_is_taken_is_told_and_tried_again() {
    let taken = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let separator = separator();
    let spare = worker("Spare", &separator);
    let mut main = Main::with(vec![Arc::clone(&separator)], &[]);
    main.close();
    main.pair(&spare);
    main.port = taken.local_addr().unwrap().port();
    main.open();
    let trouble = main.hub().status().trouble.clone().expect("it cannot listen");
    assert_eq!(trouble.kind, engine::ErrorKind::Busy);
    drop(taken);
    wait_until("it to listen", || {
        main.hub().status().trouble.is_none() && !main.hub().status().addresses.is_empty()
    });
}

#[test]
fn those_who_watch_are_told() {
    let separator = separator();
    let mut spare = worker("Spare", &separator);
    let main = Main::with(vec![Arc::clone(&separator)], &[&spare]);
    let (poke, poked) = std::sync::mpsc::sync_channel(1);
    let watch = main.crew().watch(Arc::new(move || {
        // One poke that waits is enough.
        let _ = poke.try_send(());
    }));
    let work = work(separator.as_ref());
    assert!(main.present(&spare, &work).unwrap().member.is_none());
    spare.start();
    // Looks at the roll only when poked.
    while main.present(&spare, &work).unwrap().member.is_none() {
        poked.recv_timeout(Duration::from_secs(60)).expect("to be poked");
    }
    drop(watch);
    while poked.recv().is_ok() {}
}
