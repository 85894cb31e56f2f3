//! The Stemhive window: plain [`state`], one [`command`] enum, views that draw the one and push
//! the other, and [`update`], which grants commands. The binary in `main.rs` only reads its
//! arguments and starts this.

pub mod app;
pub mod audio;
pub mod command;
pub mod fonts;
pub mod icons;
pub mod keymap;
pub mod state;
pub mod theme;
pub mod time;
pub mod units;
pub mod update;
pub mod views;
pub mod widgets;
pub mod window;
