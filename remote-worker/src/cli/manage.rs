//! Small wishes of the owner: forget a main PC, allow a model, take a break.

use engine::{Error, ErrorKind, Result, catalogue::Sha256, remote::Peers};

use crate::{folder::Folder, log::print_line, shop::Allowed};

/// Forget a main PC: it gets nothing from this computer any more.
#[derive(Debug, clap::Args)]
pub(super) struct Forget {
    /// Its name or fingerprint, as `status` tells them.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    name: Option<String>,

    /// Forget every one.
    #[arg(long)]
    all: bool,
}

pub(super) fn forget(args: &Forget, folder: &Folder) -> Result<()> {
    let peers = Peers::open(folder.dir())?;
    let known = peers.list();
    let digits = |text: &str| text.replace([' ', '-', ':'], "").to_ascii_uppercase();
    let chosen: Vec<_> = known
        .iter()
        .filter(|peer| match &args.name {
            None => true,
            Some(name) => peer.name == *name || digits(&peer.device.fingerprint()) == digits(name),
        })
        .collect();
    if chosen.is_empty()
        && let Some(name) = &args.name
    {
        let names: Vec<_> = known.iter().map(|peer| peer.name.as_str()).collect();
        let advice = match names.as_slice() {
            [] => "This computer is paired with none".to_owned(),
            names => format!("There is {}", names.join(", ")),
        };
        let what = format!("There is no main PC “{name}”");
        return Err(Error::new(ErrorKind::NotFound, what).advice(advice));
    }
    for peer in chosen {
        peers.forget(peer.device)?;
        print_line(&format!("Forgot {} ({})", peer.name, peer.device.fingerprint()));
    }
    Ok(())
}

/// Let in models that are not in this program's own list.
#[derive(Debug, clap::Args)]
pub(super) struct Allow {
    /// SHA-256 of a model's file, or the hash that the refusal names.
    #[arg(
        value_name = "MODEL-HASH",
        required_unless_present_any = ["any_model", "none"],
        conflicts_with_all = ["any_model", "none"]
    )]
    hash: Option<Sha256>,

    /// Let in whatever a paired main PC sends.
    #[arg(long)]
    any_model: bool,

    /// Let in no more than this program's own list names.
    #[arg(long, conflicts_with = "any_model")]
    none: bool,
}

pub(super) fn allow(args: &Allow, folder: &Folder) -> Result<()> {
    let allowed = Allowed::new(folder.dir());
    match &args.hash {
        Some(hash) => {
            allowed.allow(hash)?;
            print_line("Allowed; the main PC tries again with its next song");
        }
        None if args.any_model => {
            allowed.allow_any()?;
            print_line("Every model of a paired main PC is allowed");
        }
        None => {
            allowed.clear()?;
            print_line("Only models of this program's own list are allowed");
        }
    }
    Ok(())
}

pub(super) fn pause(folder: &Folder, pause: bool) -> Result<()> {
    folder.set_paused(pause)?;
    let runs = !matches!(folder.status(), Ok(None));
    print_line(match (pause, runs) {
        (true, true) => "Paused; go on with: stemhive-worker resume",
        (true, false) => "No worker runs; the next one will pause until: stemhive-worker resume",
        (false, true) => "The break is over",
        (false, false) => {
            "The break is over, but no worker runs; start one with: stemhive-worker run"
        }
    });
    Ok(())
}
