//! Import of ONNX: what is read, what is refused, and that nothing makes it panic.

mod broken;
mod builder;
mod layouts;
mod models;
mod operators;
mod qlinear;
