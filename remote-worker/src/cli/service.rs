//! Starting the worker with the session, by a unit of systemd's user manager.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use engine::{Error, ErrorKind, Result};

use crate::{folder::Folder, log::print_line};

const UNIT: &str = "stemhive-worker.service";

pub(super) fn install(folder: &Folder) -> Result<()> {
    let program =
        std::env::current_exe().map_err(|e| Error::io("find", Path::new("stemhive-worker"), e))?;
    let data_dir =
        std::path::absolute(folder.dir()).map_err(|e| Error::io("find", folder.dir(), e))?;
    let path = unit_path()?;
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
    std::fs::write(&path, unit(&program, &data_dir)).map_err(|e| Error::io("write", &path, e))?;
    print_line(&format!("Wrote {}", path.display()));
    if systemctl(&["daemon-reload"]) && systemctl(&["enable", "--now", UNIT]) {
        print_line("The worker runs now, and whenever you are logged in");
        print_line("To have it run while nobody is logged in: loginctl enable-linger");
    } else {
        print_line(&format!(
            "Start it where systemd runs with: systemctl --user enable --now {UNIT}"
        ));
    }
    Ok(())
}

pub(super) fn uninstall() -> Result<()> {
    let path = unit_path()?;
    let stopped = systemctl(&["disable", "--now", UNIT]);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            print_line("No service was installed");
            return Ok(());
        }
        done => done.map_err(|e| Error::io("remove", &path, e))?,
    }
    print_line(&format!("Removed {}", path.display()));
    if !(stopped && systemctl(&["daemon-reload"])) {
        print_line(&format!("If it still runs, end it with: systemctl --user stop {UNIT}"));
    }
    Ok(())
}

fn unit_path() -> Result<PathBuf> {
    if !cfg!(target_os = "linux") {
        let what = "Services can be installed on Linux only";
        return Err(Error::new(ErrorKind::Unsupported, what)
            .advice("Have your system start “stemhive-worker run” when you log in"));
    }
    let dirs = directories::BaseDirs::new()
        .ok_or_else(|| Error::new(ErrorKind::NotFound, "You have no home folder"))?;
    Ok(dirs.config_dir().join("systemd/user").join(UNIT))
}

/// Only the worker itself is told to stop, so that its computing process ends what it has.
fn unit(program: &Path, data_dir: &Path) -> String {
    let (program, data_dir) = (quoted(program), quoted(data_dir));
    format!(
        "[Unit]\n\
         Description=Stemhive worker\n\
         \n\
         [Service]\n\
         ExecStart={program} run --data-dir {data_dir}\n\
         KillMode=mixed\n\
         TimeoutStopSec=30\n\
         Restart=on-failure\n\
         RestartSec=10\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n"
    )
}

/// A path as systemd reads it in a command line.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('%', "%%").replace('$', "$$"))
}

/// Whether systemd's user manager did it.
fn systemctl(args: &[&str]) -> bool {
    let mut command = Command::new("systemctl");
    command.arg("--user").args(args).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
