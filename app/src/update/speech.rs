//! What a screen reader is told as it happens: start, every 10 %, first sound, done, errors.

use engine::job::JobPhase;

use crate::{
    state::{Opening, SongView, State},
    views::progress_band::percent,
};

/// Says `text` to the screen reader.
pub fn say(state: &mut State, text: impl Into<String>) {
    state.announcement.0 += 1;
    state.announcement.1 = text.into();
}

/// What was last said about a song.
#[derive(Debug, Clone, Default)]
pub struct Told {
    started: bool,
    tens: u32,
    first_sound: bool,
    ended: bool,
}

impl Told {
    /// What there is to say about `song` now.
    pub fn news(&mut self, song: &SongView) -> Option<String> {
        if let (Opening::Failed(error), false) = (&song.opening, self.ended) {
            self.ended = true;
            return Some(format!("{} cannot be opened. {error}", song.title()));
        }
        let job = song.job.as_ref()?;
        let title = song.title();
        match &job.phase {
            JobPhase::Queued | JobPhase::Paused | JobPhase::Cancelled => None,
            JobPhase::Failed(error) if !self.ended => {
                self.ended = true;
                Some(format!("Separating {title} stopped. {error}"))
            }
            JobPhase::Done if !self.ended => {
                // A song that was separated earlier is not news but is worth a word.
                let said = if self.started {
                    format!("{title} is separated")
                } else {
                    format!("{title}, stems ready")
                };
                (self.ended, self.started) = (true, true);
                Some(said)
            }
            JobPhase::Done | JobPhase::Failed(_) => None,
            JobPhase::Running => {
                self.ended = false;
                let tens = percent(job) / 10;
                if !self.started {
                    self.started = true;
                    self.tens = tens;
                    self.first_sound = !job.ready.is_empty();
                    return Some(format!("Separating {title}"));
                }
                if !self.first_sound && !job.ready.is_empty() {
                    self.first_sound = true;
                    return Some("First part ready to play".into());
                }
                if tens > self.tens {
                    self.tens = tens;
                    return Some(format!("{}0 percent", tens));
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::views::testing;

    #[test]
    fn each_step_is_said_once() {
        let mut song = testing::song(Some(0));
        let mut told = Told::default();
        let mut said = Vec::new();
        for done in 0..=20 {
            let mut job = testing::job(20, done);
            if done == 20 {
                job.phase = JobPhase::Done;
            }
            song.job = Some(Arc::new(job));
            while let Some(news) = told.news(&song) {
                said.push(news);
            }
        }
        assert_eq!(
            said,
            [
                "Separating Lithium",
                "First part ready to play",
                "10 percent",
                "20 percent",
                "30 percent",
                "40 percent",
                "50 percent",
                "60 percent",
                "70 percent",
                "80 percent",
                "90 percent",
                "Lithium is separated",
            ]
        );
    }
}
