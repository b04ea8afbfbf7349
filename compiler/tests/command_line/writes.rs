//! What `compile` writes: all of it, or nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use offshoot_simulator::ProgramFile;

use super::support::{
    changed, compile_fails, fails, files, folder, good, good_copy, model, samples, succeeds, text,
    FAILED, UNFIT,
};

const WRITTEN: [&str; 6] = [
    "model/Cargo.toml",
    "model/src/constants.bin",
    "model/src/lib.rs",
    "program.bin",
    "report.json",
    "training.ir",
];

#[test]
fn every_file_is_written_and_no_other() {
    let written: Vec<PathBuf> = files(good()).into_keys().collect();
    assert_eq!(written, WRITTEN.map(PathBuf::from));
    let program = ProgramFile::decode(&fs::read(good().join("program.bin")).unwrap()).unwrap();
    let constants = fs::read(good().join("model/src/constants.bin")).unwrap();
    assert_eq!(program.constants.as_ref(), constants);
}

#[test]
fn the_training_graph_reads_back() {
    let text = fs::read_to_string(good().join("training.ir")).unwrap();
    let graph = offshoot::ir::parse(&text).unwrap();
    offshoot::ir::verify(&graph).unwrap();
    assert_eq!(offshoot::ir::print(&graph, offshoot::ir::Constants::Full), text);
}

#[test]
fn the_same_is_compiled_again() {
    let out = good_copy("writes-again/out");
    let before = files(&out);
    let scheme = "biases=2,block2_project:1/2,last:1";
    succeeds(&["compile", text(model()), "--update", scheme, "-o", text(&out)]);
    assert_eq!(changed(&before, &files(&out)), Vec::<&PathBuf>::new());
}

#[test]
fn another_program_takes_the_place_of_the_old() {
    let out = good_copy("writes-other/out");
    let before = files(&out);
    succeeds(&["compile", text(model()), "--classes", "3", "-o", text(&out)]);
    let after = files(&out);
    assert!(after.keys().eq(before.keys()));
    for name in ["program.bin", "report.json", "training.ir", "model/src/lib.rs"] {
        assert_ne!(before[Path::new(name)], after[Path::new(name)], "{name}");
    }
    assert_eq!(ProgramFile::decode(&after[Path::new("program.bin")]).unwrap().header.classes, 3);
}

#[test]
fn a_failure_leaves_the_old_program() {
    compile_fails("writes-kept", UNFIT, model(), &["--sram", "1000"], &["available"]);
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("command_line/writes-kept/out");
    let kept = fs::read(out.join("program.bin")).unwrap();
    assert_eq!(kept, fs::read(good().join("program.bin")).unwrap());
    assert!(ProgramFile::decode(&kept).is_ok());
}

#[test]
fn a_failure_creates_no_folder() {
    let out = folder("writes-none").join("deep/out");
    fails(UNFIT, &["compile", text(model()), "-o", text(&out), "--sram", "1"], &["available"]);
    assert!(!out.parent().unwrap().exists());
}

/// With `blocked` in the way of one file, all others stay as they were.
fn blocked(test: &str, name: &str, block: impl FnOnce(&Path)) {
    let out = good_copy(&format!("{test}/out"));
    block(&out.join(name));
    let before = files(&out);
    let args = ["compile", text(model()), "--classes", "3", "-o", text(&out)];
    fails(FAILED, &args, &["cannot write", name, "another folder"]);
    assert_eq!(changed(&before, &files(&out)), Vec::<&PathBuf>::new());
}

#[test]
fn a_file_that_cannot_be_written_keeps_all_others() {
    for name in WRITTEN {
        blocked(&format!("writes-blocked-{}", name.replace('/', "-")), name, |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
            fs::write(path.join("something"), "in the way").unwrap();
        });
    }
    blocked("writes-blocked-model", "model", |path| {
        fs::remove_dir_all(path).unwrap();
        fs::write(path, "in the way").unwrap();
    });
}

#[test]
fn a_file_in_place_of_the_folder() {
    let path = folder("writes-file").join("out");
    fs::write(&path, "in the way").unwrap();
    let args = ["compile", text(model()), "-o", text(&path)];
    fails(FAILED, &args, &["cannot write", "writes-file/out", "another folder"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "in the way");
}

/// Standard output that takes nothing is a failure, not a panic; the work is done all the same.
#[test]
fn output_that_is_not_taken() {
    let data = samples().write("writes-full-data");
    let out = folder("writes-full");
    let compile = vec!["compile", text(model()), "-o", text(&out)].into_iter().map(String::from);
    let compile: Vec<String> = compile.collect();
    let simulate = ["simulate", text(&out), "--data", text(&data), "--steps", "1"];
    let simulate: Vec<String> = simulate.map(String::from).to_vec();
    for args in [compile, simulate] {
        for json in [&[][..], &["--json".to_string()]] {
            let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_offshoot"));
            command.args(&args).args(json).stdout(Stdio::from(full)).stderr(Stdio::piped());
            let output = command.output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(FAILED), "{stderr}");
            assert!(stderr.contains("cannot write to standard output"), "{stderr}");
            assert!(!stderr.contains("panicked"), "{stderr}");
        }
    }
    assert!(ProgramFile::decode(&fs::read(out.join("program.bin")).unwrap()).is_ok());
}
