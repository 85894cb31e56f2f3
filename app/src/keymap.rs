//! From keys to commands: takes the keys of the command table out of the input before any widget
//! sees them.

use egui::{Event, Id, Key, Modifiers};

use crate::{
    command::{Command, Entry, Scope, TABLE},
    state::State,
};

/// What has the keyboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Focus {
    /// A text field is being typed in.
    pub text: bool,
    /// A slider or list that wants the arrows (and Home and End) has the focus.
    pub arrows: bool,
}

/// A widget that changes by the arrow keys calls this while it has the focus, so that they reach
/// it instead of moving the playhead.
pub fn claim_arrows(ctx: &egui::Context, id: Id) {
    ctx.data_mut(|data| data.insert_temp(Id::unique("arrow keys of"), id));
}

/// Takes this frame's keys and turns them into commands. Call first thing in a frame.
pub fn take_keys(ctx: &egui::Context, state: &State, commands: &mut Vec<Command>) {
    let focused = ctx.memory(|memory| memory.focused());
    let claimed: Option<Id> = ctx.data(|data| data.get_temp(Id::unique("arrow keys of")));
    let focus =
        Focus { text: ctx.text_edit_focused(), arrows: focused.is_some() && focused == claimed };
    let before = commands.len();
    ctx.input_mut(|input| take(&mut input.events, state, focus, commands));
    let arrows_taken = commands[before..].iter().any(|c| matches!(c, Command::SeekBy(_)));
    if arrows_taken {
        // egui has already planned to move the focus by this key; the playhead moves instead.
        ctx.memory_mut(|memory| memory.move_focus(egui::FocusDirection::None));
    }
}

/// Takes from `events` the key presses of the command table that apply, oldest first. Keys of
/// commands that are off right now are left to whoever has the focus, except Space, which always
/// plays on the song screen. Dialogs work their own keys, Space and Esc among them.
pub fn take(events: &mut Vec<Event>, state: &State, focus: Focus, commands: &mut Vec<Command>) {
    events.retain(|event| {
        let Event::Key { key, physical_key, pressed: true, repeat, modifiers } = event else {
            return true;
        };
        let (key, modifiers) = table_key(*key, *physical_key, *modifiers);
        let Some(entry) = find(key, modifiers, focus, state.dialog.is_some()) else { return true };
        let enabled = (entry.enabled)(state);
        if enabled && (entry.repeats || !repeat) {
            commands.push(entry.command.clone());
        }
        !(enabled || key == Key::Space && state.song().is_some())
    });
}

fn find(key: Key, modifiers: Modifiers, focus: Focus, dialog: bool) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| {
        let allowed = match entry.scope {
            Scope::Always => true,
            Scope::Everywhere => !dialog,
            Scope::Window => !dialog && !focus.text,
            Scope::Arrows => !dialog && !focus.text && !focus.arrows,
        };
        allowed && entry.keys.iter().any(|s| s.key == key && modifiers.matches_exact(s.modifiers))
    })
}

/// Digits by their place on the keyboard, since Shift or a French layout turns them into signs;
/// signs without the Shift that typing them needs.
fn table_key(key: Key, physical: Option<Key>, modifiers: Modifiers) -> (Key, Modifiers) {
    const DIGITS: [Key; 7] =
        [Key::Num0, Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6];
    let typed_sign = matches!(key, Key::Plus | Key::Minus | Key::Equals | Key::Questionmark);
    match physical {
        Some(digit) if DIGITS.contains(&digit) && !typed_sign => (digit, modifiers),
        _ if matches!(key, Key::Plus | Key::Questionmark) && !modifiers.command => {
            (key, Modifiers { shift: false, ..modifiers })
        }
        // Ctrl+Shift+plus where plus has its own key, and Ctrl+Shift+= where it has not.
        _ if key == Key::Equals && modifiers.command && modifiers.shift => (Key::Plus, modifiers),
        _ => (key, modifiers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        command::Shortcut,
        state::{Dialog, Lane},
        views::testing,
    };

    const NOT_TYPING: Focus = Focus { text: false, arrows: false };

    fn press(key: Key, physical: Option<Key>, modifiers: Modifiers) -> Event {
        // As winit reports them: Ctrl sets both.
        let modifiers = Modifiers { ctrl: modifiers.command, ..modifiers };
        Event::Key { key, physical_key: physical, pressed: true, repeat: false, modifiers }
    }

    fn commands_of(state: &State, focus: Focus, event: Event) -> (Vec<Command>, bool) {
        let mut events = vec![event];
        let mut commands = Vec::new();
        take(&mut events, state, focus, &mut commands);
        (commands, events.is_empty())
    }

    /// A song of six lanes with everything on, so that every command can be done.
    fn busy_state() -> State {
        let mut state = testing::state(Some(3));
        let song = &mut state.songs[0];
        song.lanes = engine::model::Stem::ALL.map(Lane::new).to_vec();
        song.selection = Some(0..44_100);
        state.can_undo = true;
        state
    }

    #[test]
    fn every_key_of_the_table_gives_its_command_and_no_two_share_one() {
        let state = busy_state();
        let mut seen: Vec<Shortcut> = Vec::new();
        for entry in TABLE {
            for shortcut in entry.keys {
                assert!(!seen.contains(shortcut), "{} twice", shortcut.label());
                seen.push(*shortcut);
                let event = press(shortcut.key, None, shortcut.modifiers);
                let (commands, taken) = commands_of(&state, NOT_TYPING, event);
                assert_eq!(commands, vec![entry.command.clone()], "{}", shortcut.label());
                assert!(taken);
            }
        }
    }

    #[test]
    fn the_design_tables_keys_do_what_they_say() {
        let (none, shift, ctrl) = (Modifiers::NONE, Modifiers::SHIFT, Modifiers::COMMAND);
        let table = [
            (none, Key::Space, Command::PlayOrStop),
            (none, Key::Home, Command::SeekStart),
            (none, Key::End, Command::SeekEnd),
            (none, Key::ArrowLeft, Command::SeekBy(-1.0)),
            (none, Key::ArrowRight, Command::SeekBy(1.0)),
            (shift, Key::ArrowLeft, Command::SeekBy(-15.0)),
            (shift, Key::ArrowRight, Command::SeekBy(15.0)),
            (none, Key::Num1, Command::ToggleMute(0)),
            (none, Key::Num6, Command::ToggleMute(5)),
            (shift, Key::Num1, Command::ToggleSolo(0)),
            (shift, Key::Num6, Command::ToggleSolo(5)),
            (none, Key::Num0, Command::AllOn),
            (none, Key::A, Command::ToggleListen),
            (none, Key::L, Command::ToggleLoop),
            (none, Key::I, Command::LoopIn),
            (none, Key::O, Command::LoopOut),
            (none, Key::F6, Command::NextRegion),
            (ctrl, Key::O, Command::OpenFiles),
            (ctrl | shift, Key::E, Command::OpenExport),
            (ctrl, Key::K, Command::OpenDialog(Dialog::Palette)),
            (none, Key::Plus, Command::ZoomIn),
            (none, Key::Minus, Command::ZoomOut),
            (ctrl, Key::E, Command::ZoomSelection),
            (ctrl, Key::F, Command::ZoomFit),
            (none, Key::P, Command::PauseOrContinue),
            (ctrl, Key::Z, Command::Undo),
            (shift, Key::Questionmark, Command::OpenDialog(Dialog::Shortcuts)),
            (ctrl, Key::Backslash, Command::ToggleSidePanel),
            (ctrl | shift, Key::Plus, Command::ScaleUp),
            (ctrl | shift, Key::Equals, Command::ScaleUp),
            (ctrl | shift, Key::Minus, Command::ScaleDown),
        ];
        let state = busy_state();
        for (modifiers, key, command) in table {
            let (commands, _) = commands_of(&state, NOT_TYPING, press(key, None, modifiers));
            assert_eq!(commands, vec![command], "{modifiers:?} {key:?}");
        }
    }

    #[test]
    fn digits_work_by_place_on_any_layout() {
        let state = busy_state();
        // US: Shift+1 types "!"; French: 1 without Shift types "&", for which egui has no key.
        let us = press(Key::Exclamationmark, Some(Key::Num1), Modifiers::SHIFT);
        assert_eq!(commands_of(&state, NOT_TYPING, us).0, vec![Command::ToggleSolo(0)]);
        let french = press(Key::Num2, Some(Key::Num2), Modifiers::NONE);
        assert_eq!(commands_of(&state, NOT_TYPING, french).0, vec![Command::ToggleMute(1)]);
    }

    #[test]
    fn letters_rest_in_text_fields_and_arrows_on_sliders() {
        let state = busy_state();
        let typing = Focus { text: true, arrows: false };
        for key in [Key::A, Key::Num1, Key::Space, Key::ArrowLeft, Key::Home, Key::Questionmark] {
            let (commands, taken) = commands_of(&state, typing, press(key, None, Modifiers::NONE));
            assert!(commands.is_empty() && !taken, "{key:?}");
        }
        let (commands, _) = commands_of(&state, typing, press(Key::F6, None, Modifiers::NONE));
        assert_eq!(commands, vec![Command::NextRegion]);

        let slider = Focus { text: false, arrows: true };
        for key in [Key::ArrowLeft, Key::ArrowRight, Key::Home, Key::End] {
            let (commands, taken) = commands_of(&state, slider, press(key, None, Modifiers::NONE));
            assert!(commands.is_empty() && !taken, "{key:?}");
        }
        let (commands, _) = commands_of(&state, slider, press(Key::Space, None, Modifiers::NONE));
        assert_eq!(commands, vec![Command::PlayOrStop], "Space always plays");
    }

    #[test]
    fn dialogs_keep_their_keys_and_the_start_screen_its_space() {
        let mut state = busy_state();
        state.dialog = Some(Dialog::Settings);
        for key in [Key::Space, Key::Escape, Key::A, Key::ArrowLeft, Key::F6] {
            let (commands, taken) =
                commands_of(&state, NOT_TYPING, press(key, None, Modifiers::NONE));
            assert!(commands.is_empty() && !taken, "{key:?}");
        }
        state.dialog = None;
        state.current = None;
        let space = press(Key::Space, None, Modifiers::NONE);
        assert_eq!(commands_of(&state, NOT_TYPING, space), (vec![], false));
    }

    #[test]
    fn holding_a_key_repeats_only_what_may() {
        let state = busy_state();
        let held = |key| Event::Key {
            key,
            physical_key: None,
            pressed: true,
            repeat: true,
            modifiers: Modifiers::NONE,
        };
        assert_eq!(commands_of(&state, NOT_TYPING, held(Key::Space)), (vec![], true));
        let (commands, _) = commands_of(&state, NOT_TYPING, held(Key::ArrowRight));
        assert_eq!(commands, vec![Command::SeekBy(1.0)]);
    }
}
