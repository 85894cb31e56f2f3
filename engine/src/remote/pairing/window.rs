//! The pairing window of a main PC: which code is good now, and how many wrong ones were tried.

use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};

use crate::{
    crew::DeviceId,
    error::{Error, ErrorKind, Result},
    remote::{Pairing, PairingStage},
};

/// How long a code is good.
const CODE_LIFE: Duration = Duration::from_secs(120);

/// Wrong codes after which the window closes.
pub(super) const TRIES: u32 = 3;

/// A window that the user opened, and maybe is over.
#[derive(Debug)]
pub(super) struct Window {
    code: String,
    until: Instant,
    tries_left: u32,
    stage: PairingStage,
}

impl Window {
    /// A new one, open.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(super) fn open(now: Instant) -> Result<Self> {
        Ok(Self {
            code: random_code()?,
            until: now + CODE_LIFE,
            tries_left: TRIES,
            stage: PairingStage::Waiting,
        })
    }

    /// Whether a code would be taken.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, PairingStage::Waiting | PairingStage::WrongCode { .. })
    }

    /// What to show now.
    pub(super) fn show(&mut self, now: Instant) -> Pairing {
        if self.is_open() && now >= self.until {
            self.renew(now);
        }
        Pairing { code: self.code.clone(), until: self.until, stage: self.stage.clone() }
    }

    /// The code, for one try; from now on another one is good. None if the window is over.
    pub(super) fn take_code(&mut self, now: Instant) -> Option<String> {
        let code = self.show(now).code;
        self.renew(now);
        self.is_open().then_some(code)
    }

    /// The try was wrong, or broken off; tries left.
    pub(super) fn was_wrong(&mut self) -> u32 {
        self.tries_left = self.tries_left.saturating_sub(1);
        match self.tries_left {
            0 => self.end(PairingStage::Closed),
            tries_left => self.stage = PairingStage::WrongCode { tries_left },
        }
        self.tries_left
    }

    /// A computer proved itself; the window has done its work.
    pub(super) fn was_paired(&mut self, device: DeviceId) {
        self.end(PairingStage::Paired(device));
    }

    fn renew(&mut self, now: Instant) {
        match random_code() {
            Ok(code) if self.is_open() => (self.code, self.until) = (code, now + CODE_LIFE),
            Ok(_) => {}
            // Better no code than one that was seen.
            Err(_) => self.end(PairingStage::Closed),
        }
    }

    fn end(&mut self, stage: PairingStage) {
        self.code.clear();
        self.stage = stage;
    }
}

/// Six digits, each code as likely as any other.
fn random_code() -> Result<String> {
    const CODES: u32 = 1_000_000;
    /// Numbers from here on would make some codes likelier.
    const END: u32 = u32::MAX - u32::MAX % CODES;
    let random = SystemRandom::new();
    loop {
        let mut bytes = [0; 4];
        random.fill(&mut bytes).map_err(|_| {
            Error::new(ErrorKind::Internal, "The system gives no random numbers for a code")
        })?;
        let number = u32::from_le_bytes(bytes);
        if number < END {
            return Ok(format!("{:06}", number % CODES));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_code_is_good_for_two_minutes_and_one_try() {
        let now = Instant::now();
        let mut window = Window::open(now).unwrap();
        let first = window.show(now);
        assert_eq!(first.until - now, CODE_LIFE);
        assert!(first.code.len() == 6 && first.code.bytes().all(|b| b.is_ascii_digit()));
        let late = now + CODE_LIFE - Duration::from_millis(1);
        assert_eq!(window.show(late).code, first.code);
        let later = window.show(now + CODE_LIFE);
        assert_eq!(later.until, now + CODE_LIFE * 2, "the window stays open");
        assert_eq!(window.take_code(late).unwrap(), later.code);
        // Three in a row that happen to be alike come once in 10^12 runs.
        let next: HashSet<_> = (0..3).map(|_| window.take_code(late).unwrap()).collect();
        assert!(next.len() > 1, "a code that was tried is not shown again");
    }

    #[test]
    fn three_wrong_codes_close_the_window_and_pairing_does_too() {
        let now = Instant::now();
        let mut window = Window::open(now).unwrap();
        for left in [2, 1, 0] {
            assert!(window.take_code(now).is_some());
            assert_eq!(window.was_wrong(), left);
        }
        assert_eq!(window.take_code(now), None);
        let shown = window.show(now + CODE_LIFE);
        assert_eq!((shown.code.as_str(), shown.stage), ("", PairingStage::Closed));

        let mut window = Window::open(now).unwrap();
        assert!(window.take_code(now).is_some());
        window.was_paired(DeviceId([7; 32]));
        assert_eq!(window.take_code(now), None);
        assert_eq!(window.show(now).stage, PairingStage::Paired(DeviceId([7; 32])));
    }

    #[test]
    fn codes_use_the_whole_range_evenly() {
        let mut first_digits = [0_u32; 10];
        for _ in 0..20_000 {
            let code = random_code().unwrap();
            first_digits[usize::from(code.as_bytes()[0] - b'0')] += 1;
        }
        // 2000 each, give or take ten standard deviations of 42.
        assert!(first_digits.iter().all(|n| (1580..2420).contains(n)), "{first_digits:?}");
    }
}
