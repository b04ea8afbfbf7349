//! Programs and training graphs that are torn, changed or not there.

use std::fs;
use std::path::Path;

use offshoot_simulator::ProgramFile;

use super::support::{
    changed, fails, files, folder, good, good_copy, model, samples, succeeds, text, FAILED,
};

const AGAIN: &str = "offshoot compile";

fn simulate(out: &Path, test: &str, more: &[&str], says: &[&str]) {
    let data = samples().write(&format!("{test}-data"));
    let before = files(out);
    let args = [&["simulate", text(out), "--data", text(&data)], more].concat();
    fails(FAILED, &args, says);
    assert_eq!(changed(&before, &files(out)), Vec::<&std::path::PathBuf>::new());
}

/// `program.bin` with another content is refused; the message names it and the way out.
fn program_refused(test: &str, content: &[u8], says: &[&str]) {
    let out = good_copy(&format!("program-{test}/out"));
    fs::write(out.join("program.bin"), content).unwrap();
    simulate(&out, &format!("program-{test}"), &[], &[&["program.bin", "compile"], says].concat());
}

fn program() -> Vec<u8> {
    fs::read(good().join("program.bin")).unwrap()
}

#[test]
fn a_folder_that_was_never_compiled() {
    let says = ["never/program.bin", "cannot read", AGAIN];
    simulate(&folder("program-never"), "program-never-run", &[], &says);
    let nowhere = folder("program-nowhere").join("deeper");
    let data = samples().write("program-nowhere-data");
    let says = ["deeper/program.bin", "cannot read", AGAIN];
    for command in ["simulate", "run"] {
        fails(FAILED, &[command, text(&nowhere), "--data", text(&data)], &says);
    }
    assert!(!nowhere.exists());
}

/// What is computed again needs less SRAM, and learns the same.
#[test]
fn activations_computed_again_are_told_and_change_nothing_else() {
    let (model, data) = (model(), samples().write("again-data"));
    let runs = ["0", "100"].map(|percent| {
        let out = folder(&format!("again-{percent}"));
        let update = "biases=all,block2_expand:1,block2_project:1,last:1";
        let args = ["compile", text(model), "--update", update, "--recompute", percent];
        let printed = succeeds(&[&args[..], &["-o", text(&out), "--json"]].concat());
        let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
        let again = report["again"].as_array().unwrap().len();
        let said = succeeds(&["report", text(&out)]);
        assert_eq!(said.contains("of the forward pass"), again > 0, "{said}");
        let args = ["simulate", text(&out), "--data", text(&data), "--steps", "5", "--json"];
        let learnt: serde_json::Value = serde_json::from_str(&succeeds(&args)).unwrap();
        (again, report["sram"]["arena"].as_u64().unwrap(), learnt["state_hash"].clone())
    });
    let [(none, kept, before), (some, less, after)] = runs;
    assert!(none == 0 && some > 0 && less < kept, "{some} again: {less} of {kept} B");
    assert!(!before.is_null());
    assert_eq!(before, after);
}

#[test]
fn a_torn_program() {
    let whole = program();
    let lengths = [0, 1, 7, 8, 11, 16, 19, 20, 21, 100, whole.len() / 2, whole.len() - 1];
    for length in lengths {
        program_refused(&format!("torn-{length}"), &whole[..length], &[]);
    }
    for length in (0..whole.len()).step_by(7) {
        assert!(ProgramFile::decode(&whole[..length]).is_err(), "{length} bytes are accepted");
    }
    assert!(ProgramFile::decode(&whole).is_ok());
    program_refused("longer", &[whole.as_slice(), &[0]].concat(), &["damaged"]);
}

#[test]
fn a_program_with_a_flipped_bit() {
    let whole = program();
    let flipped = |bit: usize| {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    for bit in [0, 63, 96, 130, 161, 999, whole.len() * 4, whole.len() * 8 - 1] {
        program_refused(&format!("bit-{bit}"), &flipped(bit), &[]);
    }
    for bit in (0..whole.len() * 8).step_by(97) {
        assert!(ProgramFile::decode(&flipped(bit)).is_err(), "bit {bit} is not missed");
    }
}

/// As [`offshoot_simulator`] writes it: the polynomial of Ethernet and zip.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// With the checksum that its content asks for.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn a_program_that_was_changed_on_purpose() {
    let whole = program();
    assert_eq!(sealed(whole.clone()), whole);
    let described = 20 + u32::from_le_bytes(whole[16..20].try_into().unwrap()) as usize;
    for at in (16..described).step_by(3) {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            // What is read at all is fit to run.
            if let Ok(file) = ProgramFile::decode(&sealed(bytes)) {
                assert!(offshoot_runtime::program::verify(&file.program()).is_ok());
            }
        }
    }
    let mut endless = whole.clone();
    endless[16..20].fill(0xff);
    program_refused("endless", &sealed(endless), &[]);
    let mut hollow = whole[..20].to_vec();
    hollow[16..20].fill(0);
    program_refused("hollow", &sealed(hollow), &["does not decode"]);
}

#[test]
fn a_program_of_another_version() {
    let mut bytes = program();
    bytes[8] = 1;
    program_refused("version", &bytes, &["format 1", "version 2", "compile the model again"]);
}

#[test]
fn a_file_that_is_no_program() {
    program_refused("model", &fs::read(model()).unwrap(), &["not a compiled program"]);
}

/// `training.ir` with another content is refused where it is needed, and only there.
fn graph_refused(test: &str, content: &[u8], says: &[&str]) {
    let test = format!("graph-{test}");
    let out = good_copy(&format!("{test}/out"));
    fs::write(out.join("training.ir"), content).unwrap();
    let says = [&["training.ir", AGAIN], says].concat();
    simulate(&out, &test, &["--float"], &says);
}

fn graph() -> String {
    fs::read_to_string(good().join("training.ir")).unwrap()
}

#[test]
fn a_damaged_training_graph() {
    let whole = graph();
    graph_refused("empty", b"", &["graph"]);
    graph_refused("binary", &[0xff; 100], &["UTF-8"]);
    graph_refused("torn", &whole.as_bytes()[..whole.len() / 2], &[]);
    graph_refused("type", whole.replacen("i8[", "i9[", 1).as_bytes(), &["line 2", "`i9`"]);
    graph_refused("op", whole.replacen(" conv2d ", " conv9d ", 1).as_bytes(), &["line", "conv9d"]);
    graph_refused("data", whole.replacen("data [", "data [1,", 1).as_bytes(), &["elements"]);
    graph_refused("line", &[whole.as_bytes(), b"more\n"].concat(), &["line", "`more`"]);
}

#[test]
fn a_changed_training_graph() {
    // It reads well, but is not what the program was made of.
    let changed = graph().replacen("trained residual", "trained stochastic", 1);
    graph_refused("changed", changed.as_bytes(), &["another program", "program.bin"]);
    let other = folder("graph-other-program");
    succeeds(&["compile", text(model()), "--classes", "5", "-o", text(&other)]);
    let other = fs::read(other.join("training.ir")).unwrap();
    graph_refused("other", &other, &["another program", "program.bin"]);
}

#[test]
fn a_missing_training_graph() {
    let out = good_copy("graph-missing/out");
    fs::remove_file(out.join("training.ir")).unwrap();
    let says = ["training.ir", "No such file", AGAIN];
    simulate(&out, "graph-missing-run", &["--float"], &says);
    let data = samples().write("graph-missing-data");
    succeeds(&["simulate", text(&out), "--data", text(&data), "--steps", "1"]);
}

#[test]
fn no_cut_or_changed_graph_stops_the_reader() {
    let whole = graph();
    for at in (0..whole.len()).step_by(whole.len() / 150) {
        if let Ok(graph) = offshoot::ir::parse(&whole[..at]) {
            let _ = offshoot::ir::verify(&graph);
        }
        let mut bytes = whole.clone().into_bytes();
        bytes[at] = b'9';
        if let Ok(graph) = offshoot::ir::parse(&String::from_utf8(bytes).unwrap()) {
            let _ = offshoot::ir::verify(&graph);
        }
    }
}
