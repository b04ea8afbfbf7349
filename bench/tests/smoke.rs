//! The smallest tier of the accuracy bench, which prints its table and fails where training has grossly
//! regressed. As a test it is of the build that other tests are of.

use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "takes half a minute in a release build: cargo xtask test"]
fn training_has_not_grossly_regressed() {
    let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join("smoke.jsonl");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_offshoot-bench"));
    // Run afresh: a run is known by its program, which stays the same where only kernels change.
    bench.args(["accuracy", "--tier", "smoke", "--fresh", "--results"]).arg(&results);
    let output = bench.output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        println!("bench: {line}");
    }
    assert!(output.status.success(), "{}", output.status);
}
