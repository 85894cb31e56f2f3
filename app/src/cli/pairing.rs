//! `stemhive workers pair` and `ticket`: waiting for another computer, and comparing fingerprints
//! with it.

use std::{
    io::{IsTerminal, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use engine::{
    Error, ErrorKind,
    crew::DeviceId,
    engine::Engine,
    remote::{Computer, Hub, HubStatus, PairingStage, TICKET_LIFE},
};
use stemhive::units;

use super::{
    Outcome,
    args::StoreArgs,
    context::{Context, Failure},
    report::{clock, print_line},
};

/// How often to look while somebody is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Shows a code and waits for whoever types it. `yes`: lets it work unasked.
pub(super) fn pair(store: &StoreArgs, yes: bool) -> Outcome {
    waiting(store, |context, engine| wait_for_code(context, engine, yes))
}

/// Prints a ticket and waits for whoever has it. `yes`: lets it work unasked.
pub(super) fn ticket(store: &StoreArgs, yes: bool) -> Outcome {
    waiting(store, |context, engine| wait_for_ticket(context, engine, yes))
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

fn wait_for_code(context: &Context, engine: &Engine, yes: bool) -> Result<(), Failure> {
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

fn wait_for_ticket(context: &Context, engine: &Engine, yes: bool) -> Result<(), Failure> {
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
