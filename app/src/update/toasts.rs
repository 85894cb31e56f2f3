//! Messages at the bottom right: made, aged, dropped.

use engine::{Error, ErrorKind};

use crate::{
    command::Command,
    state::{Dialog, State, Toast, Tone},
};

/// How long a message without a button stays.
const STAY_SECS: f32 = 8.0;

/// Most messages kept; older ones leave first.
const MOST: usize = 12;

/// A message to show.
#[derive(Debug)]
pub struct Message {
    toast: Toast,
}

impl Message {
    /// Something is done.
    pub fn good(title: impl Into<String>) -> Self {
        Self::new(Tone::Good, title)
    }

    /// Something to know.
    pub fn warning(title: impl Into<String>) -> Self {
        Self::new(Tone::Warning, title)
    }

    /// Something failed: what, what was kept, what to do, details on demand.
    pub fn error(error: &Error) -> Self {
        let mut message = Self::new(Tone::Error, error.what.clone());
        message.toast.text = error.advice.clone();
        message.toast.kept = error.kept.clone();
        let lines = error.details();
        if !lines.is_empty() {
            let details = Dialog::Details { title: error.what.clone(), lines };
            message = message.button("Show details", Command::OpenDialog(details));
        }
        message
    }

    fn new(tone: Tone, title: impl Into<String>) -> Self {
        Self {
            toast: Toast {
                key: 0,
                tone,
                title: title.into(),
                text: None,
                kept: None,
                buttons: Vec::new(),
                left_secs: None,
            },
        }
    }

    /// More about it.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.toast.text = Some(text.into());
        self
    }

    /// What was kept.
    #[must_use]
    pub fn kept(mut self, kept: impl Into<String>) -> Self {
        self.toast.kept = Some(kept.into());
        self
    }

    /// A button.
    #[must_use]
    pub fn button(mut self, label: impl Into<String>, command: Command) -> Self {
        self.toast.buttons.push((label.into(), command));
        self
    }

    /// Shows it under the number `key`. One with the same words takes the place of an older one.
    pub fn show(mut self, state: &mut State, key: u64) {
        let toast = &mut self.toast;
        toast.key = key;
        let stays = toast.tone == Tone::Error || !toast.buttons.is_empty();
        toast.left_secs = (!stays).then_some(STAY_SECS);
        state.toasts.retain(|old| old.title != toast.title || old.text != toast.text);
        if state.toasts.len() >= MOST {
            state.toasts.remove(0);
        }
        state.toasts.push(self.toast);
    }
}

/// Shows an error, unless it is only that the user cancelled.
pub fn show_error(state: &mut State, key: u64, error: &Error) {
    if error.kind != ErrorKind::Cancelled {
        Message::error(error).show(state, key);
    }
}

/// Lets `dt_secs` pass; returns the seconds until the next message leaves.
pub fn age(state: &mut State, dt_secs: f32) -> Option<f32> {
    state.toasts.retain_mut(|toast| match &mut toast.left_secs {
        Some(left) => {
            *left -= dt_secs;
            *left > 0.0
        }
        None => true,
    });
    state.toasts.iter().filter_map(|toast| toast.left_secs).min_by(f32::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_news_leave_and_errors_stay() {
        let mut state = State::default();
        Message::good("Done").show(&mut state, 1);
        show_error(&mut state, 2, &Error::new(ErrorKind::DiskFull, "The disk is full"));
        show_error(&mut state, 3, &Error::cancelled());
        assert_eq!(state.toasts.len(), 2);
        assert_eq!(age(&mut state, 7.0), Some(1.0));
        assert_eq!(age(&mut state, 1.5), None);
        assert_eq!(state.toasts[0].key, 2);
        Message::warning("Again").show(&mut state, 4);
        Message::warning("Again").show(&mut state, 5);
        assert_eq!(state.toasts.iter().map(|t| t.key).collect::<Vec<_>>(), [2, 5]);
    }
}
