//! What the tests that cross crates share: where data lie, the IR file format, networks built
//! in code, the gradient check, and the inputs of the recorded vectors.
//!
//! A test that needs data which are not there prints why and passes: see [`skip!`].

pub mod adapters;
pub mod boards;
pub mod calibrate;
pub mod cases;
pub mod check;
pub mod chip;
pub mod clips;
pub mod frames;
pub mod gradients;
pub mod guarded;
pub mod importance;
pub mod ir_file;
pub mod nets;
pub mod passes;
pub mod random;
pub mod sizes;
pub mod trace;
pub mod vectors;

use std::path::PathBuf;

/// The folder of models and data sets: `OFFSHOOT_DATA`, or `shared/data` beside the repository.
pub fn data_dir() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("OFFSHOOT_DATA").map_or(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// Whether files that say what is expected are to be rewritten: `OFFSHOOT_BLESS` is 1.
pub fn blesses() -> bool {
    std::env::var_os("OFFSHOOT_BLESS").is_some_and(|v| v == "1")
}

/// Leaves a test that cannot run here, and says why.
///
/// ```
/// use offshoot_tests::{data_dir, skip};
///
/// fn needs_data() {
///     let Some(data) = data_dir() else { skip!("there is no folder of data") };
///     println!("{}", data.display());
/// }
/// needs_data();
/// ```
#[macro_export]
macro_rules! skip {
    ($($why:tt)*) => {{
        println!("skipped: {}", format!($($why)*));
        return;
    }};
}
