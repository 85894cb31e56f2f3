//! The process that computes: a child of the worker that reads orders from its standard input and
//! answers on its standard output. Nothing it does or suffers reaches further than that.

mod desk;
mod models;
mod priority;
mod serve;
mod wire;

pub use self::{
    priority::step_back,
    serve::{BenchConfig, serve},
    wire::{Answer, Order, input_bytes, read_frame, read_payload, write_frame},
};
