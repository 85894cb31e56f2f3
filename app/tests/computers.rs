//! Other computers in the window: how they look, what pressing things asks for, and what a screen
//! reader is told.

mod common;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use common::{harness, snapshot, spoken, start_state};
use egui::{Key, Ui, Vec2, vec2};
use egui_kittest::{Harness, SnapshotResults, kittest::NodeT as _, kittest::Queryable as _};
use engine::{
    Error, ErrorKind,
    crew::Standing,
    job::{ChunkState, JobStatus, WorkerActivity, WorkerStatus},
    remote::{Chosen, HubStatus, PairingStage},
};
use stemhive::{
    command::Command,
    state::{Dialog, PairingView, State},
    views::{self, dialogs, song, start, testing},
};

const LARGE: Vec2 = vec2(1440.0, 900.0);

type Asked = (State, Vec<Command>);

fn draw(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    match state.song() {
        Some(_) => song::song_ui(ui, state, commands),
        None => start::start_ui(ui, state, commands),
    }
    dialogs::dialogs_ui(ui.ctx(), state, commands);
}

/// The window; only marking, choosing and dialogs take effect, all is noted.
fn window(size: Vec2, dark: bool, state: State) -> Harness<'static, Asked> {
    let mut harness = harness(size, dark, (state, Vec::new()), |ui, (state, asked): &mut Asked| {
        let mut commands = Vec::new();
        draw(ui, state, &mut commands);
        for command in &commands {
            match command {
                Command::MarkComputer(letter) => state.marked_computer = *letter,
                Command::ChooseComputers(chosen) => state.chosen = chosen.clone(),
                Command::OpenDialog(dialog) => state.dialog = Some(dialog.clone()),
                Command::CloseDialog => state.dialog = None,
                Command::EditSettings(settings) => state.settings = (**settings).clone(),
                _ => {}
            }
        }
        asked.extend(commands);
    });
    harness.run();
    harness
}

fn press(harness: &mut Harness<'_, Asked>, label: &str) -> Vec<Command> {
    harness.state_mut().1.clear();
    harness.get_by_label(label).click();
    harness.run();
    harness.state().1.clone()
}

fn looks_like(results: &mut SnapshotResults, name: &str, size: Vec2, dark: bool, state: State) {
    let mut harness = window(size, dark, state);
    snapshot(&mut harness, name);
    results.extend_harness(&mut harness);
}

/// The start screen with the computers of [`testing::hub`].
fn start_with_computers() -> State {
    State { computers: Arc::new(testing::hub()), ..start_state() }
}

fn adding(stage: PairingStage, pairing: PairingView) -> State {
    let mut state = start_with_computers();
    let hub = Arc::make_mut(&mut state.computers);
    hub.computers.truncate(1);
    hub.pairing = Some(testing::pairing(stage));
    state.dialog = Some(Dialog::AddComputer);
    State { pairing, ..state }
}

/// A song that is being separated by three: one sends back a result, one has a piece that was lost
/// twice.
fn at_work() -> State {
    let mut state = testing::with_computers(Some(15));
    let job = Arc::make_mut(state.songs[0].job.as_mut().expect("a job"));
    let place = |name| job.workers.iter().position(|worker| worker.name == name).expect(name);
    let (b, c) = (place("Studio-PC"), place("Laptop-3"));
    let (progress, sent_back) = (1.0, Some(0.64));
    job.chunks[16] = ChunkState::Running { worker: b, progress, sent_back, tries: 1 };
    job.chunks[19] = ChunkState::Running { worker: c, progress: 0.3, sent_back: None, tries: 3 };
    state
}

/// A song that is being separated by a computer for every way there is to stand.
fn everyone() -> State {
    let mut state = testing::with_computers(Some(15));
    let computers = testing::standings().into_iter().enumerate();
    let computers: Vec<_> = computers
        .map(|(n, standing)| testing::computer(n + 1, &format!("PC-{}", n + 2), standing))
        .collect();
    let job = state.songs[0].job.as_ref().expect("a job");
    let mut job = JobStatus::clone(job);
    job.workers.truncate(1);
    job.workers.extend(computers.iter().map(|computer| WorkerStatus {
        letter: computer.letter,
        name: computer.name.clone(),
        threads: 8,
        activity: match computer.letter {
            1 => WorkerActivity::Idle,
            2 => WorkerActivity::Paused,
            _ => WorkerActivity::Absent(computer.standing.clone()),
        },
        chunks_done: 2,
        speed_x_real_time: Some(0.8),
    }));
    state.songs[0].job = Some(Arc::new(job));
    state.computers = Arc::new(HubStatus { computers, ..testing::hub() });
    state
}

#[test]
fn separating_together() {
    let mut results = SnapshotResults::new();
    let mut state = at_work();
    looks_like(&mut results, "computers-separating", LARGE, true, state.clone());
    state.marked_computer = Some(1);
    state.narrow = true;
    state.side_panel_over = true;
    looks_like(&mut results, "computers-small", vec2(800.0, 560.0), false, state);
}

#[test]
fn who_went_is_told_by_since_when_and_who_was_forgotten_is_not_waited_for() {
    let mut state = testing::with_computers(Some(15));
    let computers = &mut Arc::make_mut(&mut state.computers).computers;
    computers[2].last_seen = Some(SystemTime::now() - Duration::from_secs(72));
    let row = |state: State, name: &str| {
        let harness = window(vec2(1440.0, 1240.0), true, state);
        let said = spoken(&harness);
        said.into_iter().find(|line| line.contains(&format!("{name}, computer"))).expect("its row")
    };
    let gone = row(state.clone(), "Old ThinkPad");
    // However long drawing takes.
    assert!(gone.contains("Gone for 1:") && gone.contains("when it is back"), "{gone}");
    Arc::make_mut(&mut state.computers).computers.remove(2);
    let forgotten = row(state, "Old ThinkPad");
    assert!(forgotten.contains("Not paired any more"), "{forgotten}");
}

#[test]
fn every_way_to_stand() {
    let size = vec2(304.0, 2040.0);
    let mut harness = harness(size, true, everyone(), |ui, state| {
        let song = state.song().expect("a song");
        views::side_panel::side_panel_ui(ui, state, song, &mut Vec::new());
    });
    harness.run();
    snapshot(&mut harness, "computers-standings");
}

#[test]
fn start_with_others() {
    let mut results = SnapshotResults::new();
    let state = start_with_computers();
    looks_like(&mut results, "computers-start", vec2(1440.0, 1240.0), true, state);
}

#[test]
fn adding_a_computer() {
    let mut results = SnapshotResults::new();
    let pairing = PairingView { code_left_secs: 94.2, ..PairingView::default() };
    let state = adding(PairingStage::Waiting, pairing.clone());
    looks_like(&mut results, "computers-add", LARGE, true, state);

    let ticket =
        Some("stemhive-1-qzry9x8gf2tvdw0s3jn54khce6mua7lqpzry9x8gf2tvdw0s3jn54khce6".into());
    let pairing = PairingView { waited_secs: 6.0, ticket, ..pairing };
    let state = adding(PairingStage::WrongCode { tries_left: 2 }, pairing);
    looks_like(&mut results, "computers-add-light", LARGE, false, state);
}

#[test]
fn comparing_fingerprints() {
    let mut results = SnapshotResults::new();
    let mut state = start_with_computers();
    let device = state.computers.computers[1].device;
    state.dialog = Some(Dialog::Paired(device));
    looks_like(&mut results, "computers-paired-ticket", LARGE, false, state.clone());
    Arc::make_mut(&mut state.computers).computers[1].standing = Standing::Unconfirmed;
    looks_like(&mut results, "computers-paired", LARGE, true, state.clone());
    let trouble = state.computers.computers[3].device;
    state.dialog = Some(Dialog::Computer(trouble));
    looks_like(&mut results, "computers-details", LARGE, false, state);
}

#[test]
fn the_panel_offers_the_next_step_for_every_computer() {
    let mut harness = window(vec2(1440.0, 2200.0), true, everyone());
    let computers = harness.state().0.computers.computers.clone();
    let device = |n: usize| computers[n - 2].device;
    let again = press(&mut harness, "Try again: PC-5");
    assert_eq!(again, [Command::TryComputerAgain(device(5))]);
    let resume = press(&mut harness, "Resume: PC-8");
    assert_eq!(resume, [Command::PauseComputer { device: device(8), paused: false }]);
    let add = Command::OpenDialog(Dialog::AddComputer);
    for (label, title) in [
        ("Show why: PC-5", "PC-5: why it is not used"),
        ("Show why: PC-17", "PC-17: why it is not used"),
        ("How to update: PC-6", "PC-6: how to update"),
    ] {
        let asked = press(&mut harness, label);
        let [Command::OpenDialog(Dialog::Details { title: shown, lines })] = &asked[..] else {
            panic!("{label}: {asked:?}");
        };
        assert_eq!(shown, title);
        assert!(!lines.is_empty());
        harness.state_mut().0.dialog = None;
        harness.run();
    }
    let compare = press(&mut harness, "Compare…: PC-7");
    assert_eq!(compare, [Command::OpenDialog(Dialog::Paired(device(7)))]);
    harness.state_mut().0.dialog = None;
    harness.run();
    assert_eq!(press(&mut harness, "Add a computer…"), [add]);
}

#[test]
fn a_chosen_computer_stands_out_and_can_be_paused() {
    let mut harness = window(LARGE, true, testing::with_computers(Some(15)));
    let device = harness.state().0.computers.computers[0].device;
    let row = "Studio-PC, computer B, Working on 1 piece, Cable 940 Mb/s, 3 ms, 6 pieces done, \
               0.8× real time";
    assert_eq!(press(&mut harness, row), [Command::MarkComputer(Some(1))]);
    let pause = press(&mut harness, "Pause: Studio-PC");
    assert_eq!(pause, [Command::PauseComputer { device, paused: true }]);
    let details = press(&mut harness, "Details…: Studio-PC");
    assert_eq!(details, [Command::OpenDialog(Dialog::Computer(device))]);
    harness.state_mut().0.dialog = None;
    harness.run();
    assert_eq!(press(&mut harness, row), [Command::MarkComputer(None)]);
    assert!(harness.query_by_label("Pause: Studio-PC").is_none());
    let panel = press(&mut harness, "Computers: 3 of 6 working");
    assert_eq!(panel, [Command::ToggleSidePanel]);
}

#[test]
fn a_lonely_computer_says_so() {
    let mut harness = window(LARGE, true, testing::state(Some(15)));
    assert!(harness.query_by_label_contains("computer A, Working").is_none(), "nothing to choose");
    let add = press(&mut harness, "Add a computer…");
    assert_eq!(add, [Command::OpenDialog(Dialog::AddComputer)]);
    let mut harness = window(LARGE, true, start_state());
    press(&mut harness, "Computers: This PC");
}

#[test]
fn computers_are_unticked_for_the_next_song_and_minutes_follow() {
    let mut harness = window(vec2(1440.0, 1240.0), true, start_with_computers());
    let devices: Vec<_> =
        harness.state().0.computers.computers.iter().map(|computer| computer.device).collect();
    let minutes = |harness: &Harness<'_, Asked>| {
        let best = harness.get_by_label("Best").accesskit_node().description().unwrap_or_default();
        best.split_once(" for a 4-minute song")
            .map(|(before, _)| before.rsplit(' ').next().unwrap_or_default().to_owned())
    };
    // 6 cores here, 6 in B, 3 in C: 7:38 becomes 3:03, and 5:05 without B.
    assert_eq!(minutes(&harness).as_deref(), Some("3:03"));
    let asked = press(&mut harness, "Use Studio-PC for the next song");
    assert_eq!(asked, [Command::ChooseComputers(Chosen::Only(devices[1..].to_vec()))]);
    assert_eq!(minutes(&harness).as_deref(), Some("5:05"));
    let said = spoken(&harness);
    let row =
        |name: &str, with: &str| said.iter().any(|line| line.contains(name) && line.contains(with));
    assert!(row("Studio-PC…, Ready", "0:03 with it"), "{said:#?}");
    assert!(row("Laptop-3…, Ready", "without it"), "{said:#?}");
    press(&mut harness, "Use Studio-PC for the next song");
    assert_eq!(harness.state().0.chosen, Chosen::All);
}

#[test]
fn adding_a_computer_tells_all_one_needs() {
    let pairing = PairingView { code_left_secs: 94.2, ..PairingView::default() };
    let state = adding(PairingStage::Waiting, pairing);
    let mut harness = window(LARGE, true, state);
    assert!(harness.get_by_label("Copy the address").is_focused(), "the first choice");
    harness.get_by_label("Code 4 8 3 2 1 7");
    harness.get_by_label("1 minute 34 seconds left, then a new code");
    harness.get_by_label("Anna-Desktop, address 192.168.1.24:47110");
    let copied = press(&mut harness, "Copy the address");
    assert_eq!(copied, [Command::Copy("192.168.1.24:47110".into())]);
    assert_eq!(press(&mut harness, "Other addresses (2)"), []);
    let copied = press(&mut harness, "Copy 172.17.0.1:47110");
    assert_eq!(copied, [Command::Copy("172.17.0.1:47110".into())]);
    let ticket = press(&mut harness, "Pair by ticket, no keyboard needed");
    assert_eq!(ticket, [Command::MakeTicket]);
    harness.state_mut().0.pairing.ticket = Some("one line".into());
    harness.run();
    let copied = press(&mut harness, "Copy the ticket");
    assert_eq!(copied, [Command::Copy("one line".into())]);
    harness.state_mut().1.clear();
    harness.key_press(Key::Escape);
    harness.run();
    assert_eq!(harness.state().1, [Command::CloseDialog]);
}

#[test]
fn dialogs_keep_the_focus_and_reach_everything() {
    let device = testing::hub().computers[0].device;
    let other = ["Add another", "They differ, forget it", "Name of this computer"];
    let add = ["Copy the address", "Other addresses (2)", "Pair by ticket, no keyboard needed"];
    let details = ["Done", "Pause: Studio-PC", "Forget Studio-PC…"];
    for (dialog, wanted) in [
        (Dialog::AddComputer, add),
        (Dialog::Paired(device), other),
        (Dialog::Computer(device), details),
    ] {
        let mut state = adding(PairingStage::Waiting, PairingView::default());
        if dialog == Dialog::Paired(device) {
            Arc::make_mut(&mut state.computers).computers[0].standing = Standing::Unconfirmed;
        }
        state.dialog = Some(dialog);
        let mut harness = window(LARGE, true, state);
        let mut stops = Vec::new();
        for _ in 0..12 {
            harness.key_press(Key::Tab);
            harness.run();
            stops.extend(focused(&harness));
        }
        for name in wanted {
            assert!(stops.iter().any(|stop| stop == name), "{name} in {stops:?}");
        }
        assert!(!stops.iter().any(|stop| stop == "Open a song…"), "{stops:?}");
    }
}

fn focused(harness: &Harness<'_, Asked>) -> Option<String> {
    let mut open = vec![harness.root().accesskit_node()];
    while let Some(node) = open.pop() {
        if node.is_focused() {
            return node.label();
        }
        open.extend(node.children());
    }
    None
}

#[test]
fn wrong_codes_are_told_and_close_the_window() {
    let state = adding(PairingStage::WrongCode { tries_left: 1 }, PairingView::default());
    let harness = window(LARGE, true, state);
    let said = text_of(&harness);
    assert!(said.contains("Someone typed a wrong code. One try left."), "{said}");

    let mut harness = window(LARGE, true, adding(PairingStage::Closed, PairingView::default()));
    assert!(harness.query_by_label_contains("Code 4 8").is_none());
    assert_eq!(press(&mut harness, "Make a new code"), [Command::StartPairing]);
}

#[test]
fn after_a_while_with_nobody_the_other_ways_move_up() {
    let top = |waited_secs| {
        let pairing = PairingView { waited_secs, ..PairingView::default() };
        let harness = window(LARGE, true, adding(PairingStage::Waiting, pairing));
        let ticket = harness.get_by_label("Pair by ticket, no keyboard needed").rect();
        let code = harness.get_by_label("Code 4 8 3 2 1 7").rect();
        ticket.top() < code.top()
    };
    assert!(!top(1.0));
    assert!(top(5.5));
}

#[test]
fn what_keeps_others_away_is_said() {
    let mut state = adding(PairingStage::Waiting, PairingView::default());
    let hub = Arc::make_mut(&mut state.computers);
    hub.pairing = None;
    let error = Error::new(ErrorKind::Busy, "Another Stemhive has port 47110")
        .advice("Close it, or choose another port in the settings");
    hub.trouble = Some(Arc::new(error));
    let said = text_of(&window(LARGE, true, state));
    assert!(said.contains("Another Stemhive has port 47110."), "{said}");
    assert!(said.contains("Getting ready"), "{said}");
}

/// All text on screen, the way labels have it as their value.
fn text_of(harness: &Harness<'_, Asked>) -> String {
    let mut lines = Vec::new();
    let mut open = vec![harness.root().accesskit_node()];
    while let Some(node) = open.pop() {
        lines.extend(node.value());
        lines.extend(node.label());
        open.extend(node.children());
    }
    lines.join("\n")
}

#[test]
fn fingerprints_are_compared_before_a_computer_works() {
    let mut state = start_with_computers();
    let device = state.computers.computers[1].device;
    state.dialog = Some(Dialog::Paired(device));
    // Who came with a ticket may work, and shows its fingerprint all the same.
    let mut harness = window(LARGE, true, state.clone());
    assert!(harness.query_by_label("They match, start working").is_none());
    harness.get_by_label_contains("Fingerprint of Laptop-3: ");
    assert_eq!(press(&mut harness, "Done"), [Command::CloseDialog]);

    Arc::make_mut(&mut state.computers).computers[1].standing = Standing::Unconfirmed;
    let mut harness = window(LARGE, true, state.clone());
    assert!(harness.get_by_label("They match, start working").is_focused());
    let fours = device.fingerprint().replace(' ', ", ");
    harness.get_by_label(&format!("Fingerprint of Laptop-3: {fours}"));
    let confirmed = press(&mut harness, "They match, start working");
    assert_eq!(confirmed, [Command::ConfirmComputer(device), Command::CloseDialog]);

    let mut harness = window(LARGE, true, state.clone());
    let forgotten = press(&mut harness, "They differ, forget it");
    assert_eq!(forgotten, [Command::ForgetComputer(device), Command::CloseDialog]);

    let mut harness = window(LARGE, true, state);
    harness.get_by_label("Name of this computer").click();
    harness.run();
    harness.get_by_label("Name of this computer").type_text(" new");
    harness.run();
    harness.state_mut().1.clear();
    harness.key_press(Key::Enter);
    harness.run();
    assert_eq!(harness.state().1, [Command::RenameComputer(device, "Laptop-3 new".into())]);
    let another = press(&mut harness, "Add another");
    assert_eq!(another, [Command::OpenDialog(Dialog::AddComputer)]);
}

#[test]
fn a_computer_is_paused_and_forgotten_from_its_dialog() {
    let mut state = start_with_computers();
    let device = state.computers.computers[0].device;
    state.dialog = Some(Dialog::Computer(device));
    let mut harness = window(LARGE, true, state.clone());
    assert!(harness.get_by_label("Done").is_focused());
    let paused = press(&mut harness, "Pause: Studio-PC");
    assert_eq!(paused, [Command::PauseComputer { device, paused: true }]);
    assert_eq!(press(&mut harness, "Forget Studio-PC…"), [], "asks first");
    assert_eq!(press(&mut harness, "Keep Studio-PC"), []);
    press(&mut harness, "Forget Studio-PC…");
    let forgotten = press(&mut harness, "Forget Studio-PC");
    assert_eq!(forgotten, [Command::ForgetComputer(device), Command::CloseDialog]);

    // Forgotten elsewhere: nothing is left to show.
    Arc::make_mut(&mut state.computers).computers.clear();
    assert_eq!(window(LARGE, true, state).state().0.dialog, None);
}

#[test]
fn settings_name_this_computer_and_its_port() {
    let mut state = start_with_computers();
    state.dialog = Some(Dialog::Settings);
    let mut harness = window(vec2(1440.0, 1300.0), true, state);
    press(&mut harness, "Let workers find this PC by looking through the network");
    harness.get_by_label("Name of this PC").click();
    harness.run();
    harness.get_by_label("Name of this PC").type_text("Studio");
    harness.run();
    harness.get_by_label("UDP port").click();
    harness.run();
    harness.key_press_modifiers(egui::Modifiers::COMMAND, Key::A);
    harness.get_by_label("UDP port").type_text("80");
    harness.run();
    assert_eq!(harness.state().0.settings.worker_port, 47110, "ports below 1024 are not ours");
    harness.get_by_label("UDP port").type_text("00");
    harness.run();
    let settings = &harness.state().0.settings;
    assert_eq!((settings.computer_name.as_str(), settings.worker_port), ("Studio", 8000));
    assert!(!settings.announce);
}

#[test]
fn the_dialogs_survive_any_size() {
    let device = testing::hub().computers[0].device;
    for size in [vec2(800.0, 560.0), vec2(400.0, 300.0), vec2(200.0, 120.0)] {
        for dialog in [Dialog::AddComputer, Dialog::Paired(device), Dialog::Computer(device)] {
            let mut state = adding(PairingStage::Waiting, PairingView::default());
            state.dialog = Some(dialog);
            window(size, true, state).run_ok();
        }
        let mut state = everyone();
        state.narrow = true;
        state.side_panel_over = true;
        window(size, true, state).run_ok();
    }
}
