//! Import of ONNX: what is read, what is refused, and that nothing makes it panic.

mod attention;
mod broken;
mod builder;
mod elementwise;
mod layouts;
mod models;
mod moves;
mod operators;
mod patterns;
mod qlinear;
mod recurrent;
mod windows;
