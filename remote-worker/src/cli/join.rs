//! `stemhive-worker join`: pairs this computer with a main PC. Secrets come by standard input or
//! from a file, never as arguments, which everybody on a computer can read.

use std::{
    io::{BufRead, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::bounded;
use engine::{
    Error, ErrorKind, Result,
    protocol::DEFAULT_PORT,
    remote::{Found, Identity, Peer, Peers, Search, Ticket, join_by_code, join_by_ticket, resolve},
    store::read_bounded,
};

use crate::{folder::Folder, log::print_line, settings::Settings};

/// How long main PCs are looked for.
const SEARCH: Duration = Duration::from_secs(5);

/// The list may be complete when nothing came for so long.
const QUIET: Duration = Duration::from_secs(1);

/// Most bytes of a line that is typed, or of a ticket.
const MAX_LINE_BYTES: u64 = 4096;

/// Pair this computer with a main PC that shows a code ("Add a computer").
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the main PC is [default: look for it in this network].
    #[arg(value_name = "HOST[:PORT]")]
    address: Option<String>,

    /// Read a ticket from standard input instead of asking for a code.
    #[arg(long, conflicts_with_all = ["address", "ticket_file"])]
    ticket: bool,

    /// Read the ticket from a file.
    #[arg(long, value_name = "FILE", conflicts_with = "address")]
    ticket_file: Option<PathBuf>,

    /// Name of this computer, as the main PC will show it [default: the computer's].
    #[arg(long)]
    name: Option<String>,
}

pub(super) fn run(args: &Args, folder: &Folder) -> Result<()> {
    let mut settings = Settings::read(&folder.settings_path())?;
    settings.name = args.name.clone().or(settings.name);
    if let Err(what) = settings.check() {
        super::usage(&what);
    }
    let name = settings.shown_name();
    let identity = Identity::load_or_create(folder.dir())?;
    let peers = Peers::open(folder.dir())?;
    let main = match (&args.ticket_file, args.ticket) {
        (Some(path), _) => {
            let bytes = read_bounded(path, MAX_LINE_BYTES)?;
            with_ticket(&identity, &peers, &name, &String::from_utf8_lossy(&bytes))?
        }
        (None, true) => with_ticket(&identity, &peers, &name, &ask("")?)?,
        (None, false) => {
            let addresses = match &args.address {
                Some(text) => resolve(text)?,
                None => choose()?,
            };
            let code = ask("Code that the main PC shows: ")?;
            join_by_code(&identity, &peers, &name, &addresses, &code)?
        }
    };
    print_line(&format!("Paired with {}", main.name));
    print_line(&format!("  Its fingerprint            {}", main.device.fingerprint()));
    print_line(&format!("  This computer's, “{name}”  {}", identity.device().fingerprint()));
    print_line("Compare both with what the main PC shows. Then work with: stemhive-worker run");
    Ok(())
}

fn with_ticket(identity: &Identity, peers: &Peers, name: &str, text: &str) -> Result<Peer> {
    let ticket: Ticket = text.trim().parse()?;
    join_by_ticket(identity, peers, name, &ticket)
}

/// Lists main PCs and lets the user choose.
fn choose() -> Result<Vec<SocketAddr>> {
    eprintln!("Looking for main PCs in this network …");
    let found = search()?;
    if found.is_empty() {
        eprintln!("None was found; many networks hide computers from each other.");
        let port = DEFAULT_PORT;
        return resolve(&ask(&format!(
            "Address that the main PC shows, as in 192.168.1.24:{port}: "
        ))?);
    }
    for (n, main) in (1..).zip(&found) {
        print_line(&format!("  {n}  {}  {}", main.name, main.fingerprint));
    }
    loop {
        let answer = ask("Number of yours, or its address: ")?;
        let answer = answer.trim();
        match answer.parse::<usize>() {
            Ok(n) if (1..=found.len()).contains(&n) => {
                let main = &found[n - 1];
                let at = main.addresses.iter();
                return Ok(at.map(|address| SocketAddr::new(*address, main.port)).collect());
            }
            Ok(_) => eprintln!("There are {}.", found.len()),
            Err(_) => return resolve(answer),
        }
    }
}

/// The main PCs that announce themselves; waits until the list seems complete.
fn search() -> Result<Vec<Found>> {
    let (ring, rung) = bounded(1);
    // A bell that rings already rings for this one too.
    let wake = Arc::new(move || {
        let _ = ring.try_send(());
    });
    let search = Search::start(wake)?;
    let until = Instant::now() + SEARCH;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let patience = if search.found().is_empty() { left } else { left.min(QUIET) };
        if left.is_zero() || rung.recv_timeout(patience).is_err() {
            return Ok(search.found());
        }
    }
}

/// A line from standard input.
fn ask(question: &str) -> Result<String> {
    eprint!("{question}");
    let failed = |e| Error::new(ErrorKind::Io, "Standard input cannot be read").caused_by(e);
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    let input = std::io::stdin().lock();
    std::io::Read::take(input, MAX_LINE_BYTES).read_line(&mut line).map_err(failed)?;
    if line.trim().is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "Nothing was typed"));
    }
    Ok(line)
}
