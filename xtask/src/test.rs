//! Every check there is; the last line counts tests.

use crate::setup;
use crate::shell::{cargo, describe, run, Result};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// What became of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// Skipped by their own word, and so among those that a runner counts as passed.
    said: u64,
}

/// Sets up, checks and tests, going on after failures so that the count is whole.
pub fn all() -> Result<()> {
    let mut problems = Vec::new();
    let ready = setup::everything().map_err(|e| problems.push(e)).is_ok();
    let checks = [
        cargo(&["fmt", "--all", "--check"]),
        cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            // What build scripts and macros need is built once, for the tests too.
            "--release",
            "--",
            "-D",
            "warnings",
        ]),
    ];
    for mut check in checks {
        problems.extend(run(&mut check).err());
    }
    let mut count = Count::default();
    let mut tests = cargo(&["test", "--workspace", "--release", "--no-fail-fast"]);
    // What tests print is shown: figures, and why a test skips.
    tests.args(["--", "--show-output"]);
    if ready {
        // Emulator tests are marked as ignored, since not every desktop can run them.
        tests.arg("--include-ignored");
    }
    problems.extend(counted(&mut tests, &mut count).err());
    for problem in &problems {
        println!("FAILED: {problem}");
    }
    let passed = count.passed.saturating_sub(count.said);
    println!("{passed} passed, {} failed, {} skipped", count.failed, count.skipped);
    // All is said; the count stays the last line.
    problems.is_empty().then_some(()).ok_or_else(String::new)
}

/// Runs `cargo test`, shows its output and adds up its results.
fn counted(command: &mut Command, count: &mut Count) -> Result<()> {
    let words = describe(command);
    println!("$ {words}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|e| format!("{words}: {e}"))?;
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()) {
        let line = line.map_err(|e| format!("{words}: {e}"))?;
        println!("{line}");
        add(&line, count);
    }
    let status = child.wait().map_err(|e| format!("{words}: {e}"))?;
    status.success().then_some(()).ok_or_else(|| format!("{words}: {status}"))
}

/// Adds a line such as `test result: ok. 5 passed; 0 failed; 1 ignored; …`, or takes a test that
/// says `skipped: why` from those that passed to those that were skipped.
fn add(line: &str, count: &mut Count) {
    if line.starts_with("skipped: ") {
        count.skipped += 1;
        count.said += 1;
    }
    let Some(result) = line.strip_prefix("test result: ") else { return };
    let words: Vec<&str> = result.split([' ', ';', '.']).filter(|w| !w.is_empty()).collect();
    for pair in words.windows(2) {
        let n = pair[0].parse().unwrap_or(0);
        match pair[1] {
            "passed" => count.passed += n,
            "failed" => count.failed += n,
            "ignored" => count.skipped += n,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_add_up() {
        let mut count = Count::default();
        let lines = [
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished",
            "test something ... ok",
            "test result: FAILED. 12 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        ];
        lines.iter().for_each(|line| add(line, &mut count));
        add("skipped: no folder of models", &mut count);
        assert_eq!(count, Count { passed: 17, failed: 2, skipped: 2, said: 1 });
    }
}
