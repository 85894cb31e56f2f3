//! `stemhive workers`: the other computers that help to separate. All but pairing works on the list
//! of paired computers alone, also while the window is open, which looks at the list again.

use std::time::SystemTime;

use engine::{
    engine::Engine,
    remote::{Chosen, Peer, Peers},
};
use serde_json::{Value, json};
use stemhive::{time, units, widgets::letter_of};

use super::{
    Outcome,
    args::{StoreArgs, usage},
    pairing,
    report::print_line,
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

pub(super) fn run(args: &Args, store: &StoreArgs) -> Outcome {
    let done = match &args.action {
        Action::List { json } => list(*json, store),
        Action::Pair { yes } => return pairing::pair(store, *yes),
        Action::Ticket { yes } => return pairing::ticket(store, *yes),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use engine::crew::DeviceId;

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
            passed: Vec::new(),
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
}
