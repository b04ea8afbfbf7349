//! Runs every file under `tests/ir`. `OFFSHOOT_BLESS=1` rewrites what they expect.

use std::path::Path;

use offshoot_tests::blesses;
use offshoot_tests::ir_file::{files, run};
use offshoot_tests::passes::PASSES;

#[test]
fn every_file_gives_what_it_expects() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ir");
    let bless = blesses();
    let files = files(&folder);
    assert!(!files.is_empty(), "there are no file tests under {}", folder.display());
    let failures: Vec<String> = files
        .iter()
        .filter_map(|path| {
            let name = path.strip_prefix(&folder).unwrap_or(path).display();
            run(path, bless).err().map(|why| format!("{name}: {why}"))
        })
        .collect();
    println!("{} files, {} failures", files.len(), failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_pass_has_a_folder_with_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ir");
    for (pass, _) in PASSES {
        assert!(!files(&folder.join(pass)).is_empty(), "no file tests pass `{pass}`");
    }
}
