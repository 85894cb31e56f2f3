//! Letting everything else on the computer go first.

/// Makes this thread, and those that it starts from now on, give way: by `nice` (0..=19) for the
/// processors, and with `idle_io` for the disk too. What the system refuses is left as it is, for
/// work done less politely is still wanted; what it cannot do at all is told on standard error.
pub fn step_back(nice: i32, idle_io: bool) {
    #[cfg(target_os = "linux")]
    linux::step_back(nice, idle_io);
    #[cfg(not(target_os = "linux"))]
    if nice > 0 || idle_io {
        eprintln!("This system's priorities are not known here: computing has the usual one");
    }
}

#[cfg(target_os = "linux")]
mod linux {
    /// `IOPRIO_WHO_PROCESS`, and `IOPRIO_CLASS_IDLE` where `linux/ioprio.h` puts the class.
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_IDLE: libc::c_int = 3 << 13;

    pub(super) fn step_back(nice: i32, idle_io: bool) {
        // On Linux both count for the calling thread and are inherited by threads made later.
        // SAFETY: takes numbers only; 0 is the caller.
        let done = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
        if done != 0 {
            eprintln!("Computing keeps the usual priority: {}", std::io::Error::last_os_error());
        }
        if idle_io {
            // SAFETY: takes numbers only; 0 is the caller.
            let done = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE) };
            if done != 0 {
                eprintln!("The disk is used as by others: {}", std::io::Error::last_os_error());
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    /// Class and level of the disk priority of a thread or process (0: the caller), as the system
    /// has it.
    fn disk_priority(id: libc::pid_t) -> libc::c_long {
        const WHO_PROCESS: libc::c_int = 1;
        // SAFETY: takes numbers only.
        unsafe { libc::syscall(libc::SYS_ioprio_get, WHO_PROCESS, id) }
    }

    #[test]
    fn whoever_steps_back_does_so_with_its_children_and_nobody_else() {
        const IDLE_CLASS: libc::c_long = 3;
        let before = disk_priority(0);
        if before < 0 {
            eprintln!("SKIPPED: this system does not tell disk priorities");
            return;
        }
        let (own, child) = std::thread::spawn(|| {
            super::step_back(10, true);
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            let priorities = (disk_priority(0), disk_priority(child.id().cast_signed()));
            drop(child.stdin.take());
            child.wait().unwrap();
            priorities
        })
        .join()
        .unwrap();
        assert_eq!(own >> 13, IDLE_CLASS);
        assert_eq!(child >> 13, IDLE_CLASS);
        assert_eq!(disk_priority(0), before);
    }
}
