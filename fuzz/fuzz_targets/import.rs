//! No bytes make the importer panic, hang, or take more than 1 GB (libFuzzer's own limits).
//!
//! From the project's folder, with `cargo install cargo-fuzz`:
//!
//! ```sh
//! mkdir -p target/corpus && cp demo/*.onnx tests/vectors/*.onnx target/corpus
//! cargo +nightly fuzz run import target/corpus -- -timeout=10 -rss_limit_mb=1024 -max_len=100000
//! ```
//!
//! A stable toolchain does as well, with `RUSTC_BOOTSTRAP=1` in front of `cargo fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // What is wrong with the bytes is of no interest here, only that it is said.
    let _ = offshoot::import::import_bytes("fuzz", data);
});
