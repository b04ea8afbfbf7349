//! No panic can be reached on a device: all of the runtime, a program as it is emitted and the application
//! around them are linked for a Cortex-M4, and nothing that is left refers to `core::panicking`.

mod sites;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use offshoot::emit::Beside;
use offshoot_boards::build::objects;
use offshoot_boards::toolchain;
use offshoot_runtime::guard::GuardMemory;
use offshoot_tests::boards::{copy_image, emit_model};
use offshoot_tests::cases::{root, DEMO};
use offshoot_tests::guarded::All;

const TARGET: &str = "thumbv7em-none-eabihf";

/// Both are built in one folder.
static BUILDING: Mutex<()> = Mutex::new(());

/// Builds `tests/images/panics` and gives the program.
fn image(features: &str) -> PathBuf {
    let _guard = BUILDING.lock().unwrap_or_else(|e| e.into_inner());
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = temporary.join(format!("panics{features}"));
    let model = temporary.join("panics-model");
    let beside = Beside { guard: All::GUARD, adapters: 8 };
    emit_model(&DEMO.compile(None), beside, "demo", &model);
    copy_image("panics", &["Cargo.toml", "Cargo.lock", "build.rs", "src/main.rs"], &model, &folder);
    let target_dir = objects(&root().canonicalize().unwrap());
    let route = toolchain::route(TARGET).unwrap_or_else(|e| panic!("{e}"));
    let mut build = route.cargo_build(TARGET);
    build.args(["--features", features, "--target-dir"]).arg(&target_dir).current_dir(&folder);
    let output = build.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let built = target_dir.join(TARGET).join("release/offshoot-panics");
    let program = folder.join("program.elf");
    fs::copy(built, &program).unwrap();
    program
}

#[test]
#[ignore = "needs a cross compiler: cargo xtask test"]
fn no_panic_is_left_on_a_device() {
    let sites = sites::of(&image(""));
    let list: Vec<String> = sites.iter().map(|site| format!("\n  {site}")).collect();
    assert!(list.is_empty(), "these can panic on a device:{}", list.concat());
}

/// A function that indexes a slice is found and named, so that what is not found is not there.
#[test]
#[ignore = "needs a cross compiler: cargo xtask test"]
fn an_index_that_may_be_out_of_bounds_is_found() {
    let sites = sites::of(&image("planted"));
    assert!(!sites.is_empty(), "not found");
    for site in sites {
        assert!(site.place.contains("src/main.rs:") && site.function.contains("planted"), "{site}");
    }
}
