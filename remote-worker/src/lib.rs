//! A spare computer's side of Stemhive: the program `stemhive-worker`.
//!
//! [`run`] keeps the connections to the main PCs and asks [`polite`] whether to work now. [`shop`]
//! takes their orders and hands them to a process of its own, [`bench`], so that whatever a model
//! does there, the connections live on.

pub mod bench;
pub mod cli;
pub mod folder;
pub mod log;
pub mod polite;
pub mod run;
pub mod settings;
pub mod shop;
