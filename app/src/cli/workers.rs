//! `stemhive workers`: the other computers that help to separate. All but pairing works on the list
//! of paired computers alone, also while the window is open, which looks at the list again.

use std::{
    io::{IsTerminal, Write},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use engine::{
    Error, ErrorKind,
    crew::DeviceId,
    engine::Engine,
    remote::{Chosen, Computer, Hub, HubStatus, PairingStage, Peer, Peers},
};
use serde_json::{Value, json};
use stemhive::{time, units, widgets::letter_of};

use super::{
    Outcome,
    args::{StoreArgs, usage},
    context::{Context, Failure},
    report::{clock, print_line},
};

/// List, pair, rename, pause and forget the computers that help to separate.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the paired computers.
    List {
        /// Tell it as JSON, one object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show a code to type on another computer, and wait for it.
    Pair {
        /// Let it work without asking whether the fingerprints match.
        #[arg(long)]
        yes: bool,
    },
    /// Print a line with which one computer pairs itself, and wait for it.
    Ticket {
        /// Let it work without asking whether the fingerprints match.
        #[arg(long)]
        yes: bool,
    },
    /// Forget a computer.
    Forget {
        /// Its name or letter, as the list has it.
        name: String,
    },
    /// Let a computer work whose fingerprint you compared.
    Confirm {
        /// Its name or letter, as the list has it.
        name: String,
    },
    /// Show a computer under another name.
    Rename {
        /// Its name or letter, as the list has it.
        name: String,
        /// The name to show.
        new: String,
    },
    /// Do not use a computer until it is resumed.
    Pause {
        /// Its name or letter, as the list has it.
        name: String,
    },
    /// Use a computer again that was paused or set aside.
    Resume {
        /// Its name or letter, as the list has it.
        name: String,
    },
}

/// How often to look while somebody is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long a ticket holds.
const TICKET_LIFE: Duration = Duration::from_secs(15 * 60);

pub(super) fn run(args: &Args, store: &StoreArgs) -> Outcome {
    let done = match &args.action {
        Action::List { json } => list(*json, store),
        Action::Pair { yes } => {
            return waiting(store, |context, engine| pair(context, engine, *yes));
        }
        Action::Ticket { yes } => {
            return waiting(store, |context, engine| ticket(context, engine, *yes));
        }
        Action::Forget { name } => edit(store, name, |peers, peer| {
            peers.forget(peer.device)?;
            Ok(format!("{} is forgotten", peer.name))
        }),
        Action::Confirm { name } => edit(store, name, |peers, peer| {
            peers.change(peer.device, |peer| peer.confirmed = true)?;
            Ok(format!("{} may work", peer.name))
        }),
        Action::Rename { name, new } => {
            if new.trim().is_empty() {
                usage("the new name is empty");
            }
            edit(store, name, |peers, peer| {
                peers.change(peer.device, |peer| peer.name.clone_from(new))?;
                // Made unlike the others', and shortened.
                let now = peers.find(peer.device).map_or_else(|| new.clone(), |peer| peer.name);
                Ok(format!("{} is shown as {now}", peer.name))
            })
        }
        Action::Pause { name } => edit(store, name, |peers, peer| {
            peers.change(peer.device, |peer| peer.paused = true)?;
            Ok(format!("{} is paused", peer.name))
        }),
        Action::Resume { name } => edit(store, name, |peers, peer| {
            peers.change(peer.device, |peer| (peer.paused, peer.accused) = (false, None))?;
            Ok(format!("{} is used again", peer.name))
        }),
    };
    match done {
        Ok(()) => Outcome::Done,
        Err(error) => {
            eprintln!("{}", super::three_parts(&error));
            Outcome::SomeFailed
        }
    }
}

/// Which computers `--workers` means: all, none, or names with commas between. Ends the process
/// with a usage error on a name that no paired computer has.
pub(super) fn chosen(text: &str, engine: &Engine) -> engine::Result<Chosen> {
    match text.trim() {
        "all" => return Ok(Chosen::All),
        "none" => return Ok(Chosen::None),
        _ => {}
    }
    let peers = engine.computers()?.list();
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let devices: Result<Vec<_>, _> =
        names.map(|name| find(&peers, name).map(|peer| peer.device)).collect();
    match devices {
        Ok(devices) if devices.is_empty() => Ok(Chosen::None),
        Ok(devices) => Ok(Chosen::Only(devices)),
        Err(message) => usage(&message),
    }
}

/// The computer called `name`, or with this letter.
fn find<'a>(peers: &'a [Peer], name: &str) -> Result<&'a Peer, String> {
    let same = |other: &str| other.to_lowercase() == name.trim().to_lowercase();
    let by_name = peers.iter().find(|peer| same(&peer.name));
    by_name.or_else(|| peers.iter().find(|peer| same(&letter_of(peer.letter)))).ok_or_else(|| {
        if peers.is_empty() {
            return format!(
                "there is no computer “{name}”: none is paired; pair one with: stemhive workers pair"
            );
        }
        let names: Vec<_> = peers.iter().map(|peer| peer.name.as_str()).collect();
        format!("there is no computer “{name}”; there is: {}", names.join(", "))
    })
}

/// Changes what is known of the computer called `name`, and tells it.
fn edit(
    store: &StoreArgs,
    name: &str,
    how: impl FnOnce(&Peers, &Peer) -> engine::Result<String>,
) -> engine::Result<()> {
    let peers = Peers::open(&store.config(None).data_dir)?;
    let list = peers.list();
    let peer = find(&list, name).unwrap_or_else(|message| usage(&message));
    print_line(&how(&peers, peer)?);
    Ok(())
}

fn list(json: bool, store: &StoreArgs) -> engine::Result<()> {
    let peers = Peers::open(&store.config(None).data_dir)?.list();
    if peers.is_empty() && !json {
        eprintln!("No computer is paired; pair one with: stemhive workers pair");
    }
    for peer in &peers {
        if json {
            print_line(&as_json(peer).to_string());
        } else {
            as_text(peer, SystemTime::now()).iter().for_each(|line| print_line(line));
        }
    }
    Ok(())
}

/// Whether it may work, as a word for programs.
fn state(peer: &Peer) -> &'static str {
    match peer {
        Peer { confirmed: false, .. } => "unconfirmed",
        Peer { accused: Some(_), .. } => "set aside",
        Peer { paused: true, .. } => "paused",
        _ => "may work",
    }
}

fn as_json(peer: &Peer) -> Value {
    let seen = peer.last_seen.and_then(|seen| seen.duration_since(SystemTime::UNIX_EPOCH).ok());
    json!({
        "name": peer.name,
        "letter": letter_of(peer.letter),
        "fingerprint": peer.device.fingerprint(),
        "state": state(peer),
        "why": peer.accused,
        "addresses": peer.addresses,
        "last_seen_unix_secs": seen.map(|seen| seen.as_secs()),
        "about": peer.about,
    })
}

fn as_text(peer: &Peer, now: SystemTime) -> Vec<String> {
    let name = &peer.name;
    let state = match (state(peer), &peer.accused) {
        ("unconfirmed", _) => format!(
            "waits until you compared its fingerprint; then: stemhive workers confirm “{name}”"
        ),
        ("set aside", Some(why)) => {
            format!("set aside: {why}; try again with: stemhive workers resume “{name}”")
        }
        ("paused", _) => format!("paused; use it again with: stemhive workers resume “{name}”"),
        (state, _) => state.to_owned(),
    };
    let mut lines = vec![
        format!("{}  {name}", letter_of(peer.letter)),
        format!("  State        {state}"),
        format!("  Fingerprint  {}", peer.device.fingerprint()),
    ];
    if let Some(about) = &peer.about {
        lines.push(format!(
            "  Computer     {}, {} of memory, {} instructions, Stemhive {}",
            units::count(about.threads, "thread"),
            units::bytes(about.memory_bytes),
            about.kernels,
            about.program,
        ));
    }
    let seen = peer.last_seen.map_or_else(|| "never".to_owned(), |seen| time::ago(seen, now));
    let place = peer.addresses.first().map(|address| format!(", at {address}"));
    lines.push(format!("  Connected    {seen}{}", place.unwrap_or_default()));
    lines
}

/// Does `work`, which waits for another computer.
fn waiting(
    store: &StoreArgs,
    work: impl FnOnce(&Context, &Engine) -> Result<(), Failure>,
) -> Outcome {
    let context = Context::new(false);
    let Some(engine) = context.engine(store, None) else {
        return Outcome::SomeFailed;
    };
    match work(&context, &engine) {
        Ok(()) => Outcome::Done,
        Err(_) if context.bell.is_interrupted() => Outcome::Interrupted,
        Err(error) => {
            context.reporter.failed(&error);
            Outcome::SomeFailed
        }
    }
}

fn pair(context: &Context, engine: &Engine, yes: bool) -> Result<(), Failure> {
    let hub = engine.hub()?;
    let _watch = hub.watch(context.bell.waker());
    let known = devices(&hub.status());
    hub.start_pairing().map_err(in_use)?;
    let mut talk = Talk::default();
    let found = loop {
        let status = hub.status();
        talk.news(&status).iter().for_each(|line| talk.say(line));
        match next(&status, &known) {
            Next::Wait => talk.tick(&status, Instant::now()),
            Next::Paired(computer) => break Ok(computer),
            Next::Failed(error) => break Err(error),
        }
        if context.bell.is_interrupted() {
            break Err(Arc::new(Error::cancelled()));
        }
        context.bell.wait(LOOK_INTERVAL);
    };
    talk.clear();
    hub.stop_pairing();
    let found = found?;
    welcome(&hub, &found, yes)
}

fn ticket(context: &Context, engine: &Engine, yes: bool) -> Result<(), Failure> {
    let hub = engine.hub()?;
    let _watch = hub.watch(context.bell.waker());
    let known = devices(&hub.status());
    let ticket = hub.ticket().map_err(in_use)?;
    print_line(&ticket.to_string());
    eprintln!(
        "On the other computer run “stemhive-worker join --ticket” and give it this line on its \
         standard input. It works once, within {}, for whoever has it.",
        units::count((TICKET_LIFE.as_secs() / 60) as usize, "minute")
    );
    let began = Instant::now();
    let found = loop {
        match next(&hub.status(), &known) {
            Next::Wait => {}
            Next::Paired(computer) => break computer,
            Next::Failed(error) => return Err(error),
        }
        if context.bell.is_interrupted() {
            return Err(Arc::new(Error::cancelled()));
        }
        if began.elapsed() >= TICKET_LIFE {
            return Err(Arc::new(
                Error::new(ErrorKind::Network, "Nobody came with the ticket")
                    .advice("Run the same command again for a new one"),
            ));
        }
        context.bell.wait(LOOK_INTERVAL);
    };
    welcome(&hub, &found, yes)
}

fn devices(status: &HubStatus) -> Vec<DeviceId> {
    status.computers.iter().map(|computer| computer.device).collect()
}

/// What a look at the hub means to somebody who waits.
#[derive(Debug)]
enum Next {
    Wait,
    Paired(Box<Computer>),
    Failed(Failure),
}

fn next(status: &HubStatus, known: &[DeviceId]) -> Next {
    let stage = status.pairing.as_ref().map(|pairing| &pairing.stage);
    let device = match stage {
        Some(PairingStage::Paired(device)) => Some(*device),
        _ => devices(status).into_iter().find(|device| !known.contains(device)),
    };
    let found = |computer: &&Computer| Some(computer.device) == device;
    if let Some(computer) = status.computers.iter().find(found) {
        return Next::Paired(Box::new(computer.clone()));
    }
    if stage == Some(&PairingStage::Closed) {
        let error = Error::new(ErrorKind::Denied, "Three wrong codes were typed")
            .kept("Nothing was paired")
            .advice("Run the same command again for a new code");
        return Next::Failed(Arc::new(error));
    }
    match &status.trouble {
        Some(error) => Next::Failed(Arc::new(in_use_of(error))),
        None => Next::Wait,
    }
}

fn in_use(error: Error) -> Failure {
    Arc::new(in_use_of(&error))
}

/// The same error, with what to do about another Stemhive that has the port.
fn in_use_of(error: &Error) -> Error {
    let told = Error { kept: error.kept.clone(), ..Error::new(error.kind, error.what.as_str()) };
    let told = match (error.kind, &error.advice) {
        (ErrorKind::Busy, _) => {
            told.advice("Pair in the Stemhive that is open, or close it and run this again")
        }
        (_, Some(advice)) => told.advice(advice.as_str()),
        (_, None) => told,
    };
    let details = error.details();
    if details.is_empty() { told } else { told.caused_by(details.join(": ")) }
}

/// What was told of a pairing window so far.
#[derive(Debug, Default)]
struct Talk {
    introduced: bool,
    code: String,
    stage: Option<PairingStage>,
    /// A countdown stands on the last line of the terminal.
    ticking: bool,
}

impl Talk {
    /// Lines about what is new.
    fn news(&mut self, status: &HubStatus) -> Vec<String> {
        let mut lines = Vec::new();
        let Some(open) = &status.pairing else { return lines };
        if !self.introduced && !status.addresses.is_empty() {
            self.introduced = true;
            let addresses: Vec<_> = status.addresses.iter().map(ToString::to_string).collect();
            lines.push(format!("This PC   {}, at {}", status.name, addresses.join(" or ")));
            lines.push(
                "Start Stemhive Worker on the other computer, pick this PC in its list, or type \
                 one of its addresses, and type the code there."
                    .to_owned(),
            );
        }
        if self.introduced && self.code != open.code && open.stage != PairingStage::Closed {
            self.code.clone_from(&open.code);
            let half = open.code.len() / 2;
            let (first, second) = open.code.split_at_checked(half).unwrap_or((&open.code, ""));
            lines.push(format!("Code      {first} {second}"));
        }
        if self.stage.as_ref() != Some(&open.stage) {
            self.stage = Some(open.stage.clone());
            if let PairingStage::WrongCode { tries_left } = open.stage {
                lines.push(format!(
                    "Someone typed a wrong code. {} left.",
                    units::tries(tries_left)
                ));
            }
        }
        lines
    }

    /// A line of its own.
    fn say(&self, line: &str) {
        self.clear();
        print_line(line);
    }

    /// How long the code holds, where that can be written over.
    fn tick(&mut self, status: &HubStatus, now: Instant) {
        let Some(open) = status.pairing.as_ref().filter(|_| std::io::stderr().is_terminal()) else {
            return;
        };
        self.ticking = true;
        let left = open.until.saturating_duration_since(now).as_secs_f64();
        eprint!("\r          {} left, then a new code ", clock(left));
        let _ = std::io::stderr().flush();
    }

    fn clear(&self) {
        if self.ticking {
            eprint!("\r{:60}\r", "");
        }
    }
}

/// Has the user compare fingerprints with a computer that was just paired.
fn welcome(hub: &Hub, computer: &Computer, yes: bool) -> Result<(), Failure> {
    let name = &computer.name;
    print_line(&format!("{name} is paired"));
    print_line(&format!("Fingerprint of {name}   {}", computer.device.fingerprint()));
    let answer = if yes { Answer::Same } else { ask() };
    match answer {
        Answer::Same => {
            hub.confirm(computer.device)?;
            print_line(&format!("{name} may work"));
        }
        Answer::Differs => {
            hub.forget(computer.device)?;
            print_line(&format!("{name} is forgotten"));
        }
        Answer::Later => print_line(&format!(
            "Compare it with the one on its screen, then: stemhive workers confirm “{name}”"
        )),
    }
    Ok(())
}

enum Answer {
    Same,
    Differs,
    Later,
}

/// Asks whether the fingerprint on the other screen is the same, if there is somebody to ask.
fn ask() -> Answer {
    if !std::io::stdin().is_terminal() {
        return Answer::Later;
    }
    eprint!("Is the fingerprint on its screen the same? [yes/no] ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    match std::io::stdin().read_line(&mut line).map(|_| line.trim().to_lowercase()).as_deref() {
        Ok("y" | "yes") => Answer::Same,
        Ok("n" | "no") => Answer::Differs,
        _ => Answer::Later,
    }
}

#[cfg(test)]
mod tests {
    use engine::remote::Pairing;

    use super::*;

    fn peer(letter: usize, name: &str) -> Peer {
        Peer {
            device: DeviceId([letter as u8; 32]),
            name: name.into(),
            letter,
            confirmed: true,
            paused: false,
            accused: None,
            addresses: Vec::new(),
            last_seen: None,
            about: None,
        }
    }

    #[test]
    fn computers_are_found_by_name_and_letter() {
        let peers = [peer(1, "Studio-PC"), peer(2, "B")];
        let letter = |name| find(&peers, name).map(|peer| peer.letter);
        assert_eq!(letter("studio-pc"), Ok(1));
        assert_eq!(letter("b"), Ok(2), "a name before a letter");
        assert_eq!(letter("C"), Ok(2));
        let message = letter("Attic").unwrap_err();
        assert_eq!(message, "there is no computer “Attic”; there is: Studio-PC, B");
        assert!(find(&[], "Attic").unwrap_err().contains("stemhive workers pair"));
    }

    #[test]
    fn what_to_do_next_is_said_in_the_list() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let lines = |peer: &Peer| as_text(peer, now).join("\n");
        let mut studio = peer(1, "Studio-PC");
        assert!(
            lines(&studio).contains("may work") && lines(&studio).contains("Connected    never")
        );
        studio.last_seen = Some(now - Duration::from_secs(7_300));
        studio.paused = true;
        assert!(lines(&studio).contains("workers resume “Studio-PC”"));
        assert!(lines(&studio).contains("2 hours ago"));
        studio.accused = Some("A result differed".into());
        assert!(lines(&studio).contains("set aside: A result differed; try again"));
        studio.confirmed = false;
        assert!(lines(&studio).contains("workers confirm “Studio-PC”"));
        assert_eq!(as_json(&studio)["state"], "unconfirmed");
    }

    fn open(code: &str, stage: PairingStage) -> HubStatus {
        let until = Instant::now() + Duration::from_secs(94);
        HubStatus {
            name: "Anna-Desktop".into(),
            addresses: vec![([192, 168, 1, 24], 47_110).into(), ([10, 8, 0, 2], 47_110).into()],
            pairing: Some(Pairing { code: code.into(), until, stage }),
            ..HubStatus::default()
        }
    }

    #[test]
    fn the_code_and_wrong_tries_are_told_once() {
        let mut talk = Talk::default();
        let first = talk.news(&open("483217", PairingStage::Waiting)).join("\n");
        assert!(first.contains("Anna-Desktop, at 192.168.1.24:47110 or 10.8.0.2:47110"), "{first}");
        assert!(first.ends_with("Code      483 217"), "{first}");
        assert!(talk.news(&open("483217", PairingStage::Waiting)).is_empty());
        let wrong = talk.news(&open("483217", PairingStage::WrongCode { tries_left: 2 }));
        assert_eq!(wrong, ["Someone typed a wrong code. Two tries left."]);
        let another = talk.news(&open("901222", PairingStage::WrongCode { tries_left: 2 }));
        assert_eq!(another, ["Code      901 222"]);
        let strange = Talk::default().news(&open("é", PairingStage::Waiting));
        assert_eq!(strange.len(), 3, "whatever the code is");
    }

    #[test]
    fn waiting_ends_when_somebody_came_or_nobody_can() {
        let device = DeviceId([5; 32]);
        let computer = Computer {
            device,
            name: "Laptop-3".into(),
            letter: 2,
            standing: engine::crew::Standing::Unconfirmed,
            about: None,
            link: None,
            last_seen: None,
            tested_x_real_time: None,
        };
        let mut status = open("483217", PairingStage::Waiting);
        assert!(matches!(next(&status, &[]), Next::Wait));
        status.computers.push(computer);
        assert!(matches!(next(&status, &[]), Next::Paired(_)), "by ticket");
        assert!(matches!(next(&status, &[device]), Next::Wait), "it was there before");
        status.pairing.as_mut().unwrap().stage = PairingStage::Paired(device);
        assert!(matches!(next(&status, &[device]), Next::Paired(_)), "paired once more");

        let closed = open("483217", PairingStage::Closed);
        assert!(matches!(next(&closed, &[]), Next::Failed(e) if e.kept.is_some()));
        let mut taken = open("483217", PairingStage::Waiting);
        taken.trouble = Some(Arc::new(Error::new(ErrorKind::Busy, "The port is taken")));
        let Next::Failed(error) = next(&taken, &[]) else { panic!("it cannot listen") };
        assert!(error.advice.as_ref().unwrap().contains("the Stemhive that is open"));
    }
}
