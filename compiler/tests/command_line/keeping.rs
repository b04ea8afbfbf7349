//! What was learnt, kept: files of state, rounds that go on, and what is refused.

use std::fs;

use serde_json::Value;

use super::support::*;

/// The object that a command prints.
fn json(args: &[&str]) -> Value {
    serde_json::from_str(&succeeds(&[&["--json"], args].concat())).unwrap()
}

#[test]
fn a_round_that_was_broken_off_goes_on_in_the_simulator() {
    let (out, data) = (good_copy("goes-on/out"), samples().write("goes-on/data"));
    let round = ["simulate", text(&out), "--data", text(&data), "--steps", "70"];
    let whole = json(&round);
    // The last checkpoint is that of step 50.
    let broken = json(&[&round[..], &["--checkpoint-every", "25"]].concat());
    assert_eq!(broken["state_hash"], whole["state_hash"]);
    let goes_on = [&round[..], &["--resume"]].concat();
    let rest = json(&goes_on);
    assert_eq!((&rest["first_step"], &rest["steps"]), (&50.into(), &70.into()));
    assert_eq!(rest["state_hash"], whole["state_hash"]);
    assert!(rest["losses"].as_array().unwrap().len() < whole["losses"].as_array().unwrap().len());
    assert!(succeeds(&goes_on).contains("goes on after step 50"));
    // Another round.
    let shorter = ["simulate", text(&out), "--data", text(&data), "--steps", "49", "--resume"];
    fails(FAILED, &shorter, &["has 50 steps behind it", "the round has 49"]);
    // Where nothing was kept, it begins.
    fs::remove_file(out.join("checkpoint.state")).unwrap();
    assert_eq!(json(&goes_on)["first_step"], 0);
}

#[test]
fn learnt_state_is_a_file() {
    let (out, data) = (good_copy("state/out"), samples().write("state/data"));
    let file = folder("state/file").join("learnt.state");
    let round = ["simulate", text(&out), "--data", text(&data), "--steps", "30"];
    let first = json(&[&round[..], &["--save", text(&file)]].concat());
    let second = json(&[&round[..], &["--state", text(&file)]].concat());
    assert_eq!(second["accuracy"]["before"], first["accuracy"]["after"]);
    assert_ne!(second["state_hash"], first["state_hash"]);
    let both = [&round[..], &["--state", text(&file), "--resume"]].concat();
    fails(USAGE, &both, &["--state", "--resume"]);

    let sound = fs::read(&file).unwrap();
    let mut flipped = sound.clone();
    flipped[100] ^= 1;
    fs::write(&file, &flipped).unwrap();
    let with_state = ["--state", text(&file)];
    simulate_fails("state", FAILED, &data, &with_state, &["learnt.state", "damaged"]);
    fs::write(&file, &sound[..200]).unwrap();
    simulate_fails("state", FAILED, &data, &with_state, &["damaged", "export it again"]);
    fs::write(&file, b"something else").unwrap();
    simulate_fails("state", FAILED, &data, &with_state, &["not trainable state"]);
    fs::remove_file(&file).unwrap();
    simulate_fails("state", FAILED, &data, &with_state, &["cannot read", "learnt.state"]);

    // That of another update scheme.
    let other = folder("state/other");
    succeeds(&["compile", text(model()), "--update", "last:1", "-o", text(&other)]);
    let args = ["simulate", text(&other), "--data", text(&data), "--steps", "3"];
    succeeds(&[&args[..], &["--save", text(&file)]].concat());
    simulate_fails("state", FAILED, &data, &with_state, &["another model or update scheme"]);
    // `run` says so before it builds anything.
    let run = ["run", text(&out), "--board", "host", "--data", text(&data), "--state", text(&file)];
    fails(FAILED, &run, &["another model or update scheme"]);
}

#[test]
fn a_board_keeps_what_it_has_learnt() {
    let (out, data) = (good_copy("board/out"), samples().write("board/data"));
    let file = folder("board/file").join("learnt.state");
    let host =
        |command: &str| [command.to_string(), text(&out).into(), "--board".into(), "host".into()];
    let host = |command: &str| host(command).to_vec();
    let run = |more: &[&str]| {
        let mut args = host("run");
        args.extend(["--data", text(&data), "--steps", "70"].map(String::from));
        args.extend(more.iter().map(|arg| arg.to_string()));
        args
    };
    let json = |args: &[String]| json(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let fails = |args: &[String], says: &[&str]| {
        fails(FAILED, &args.iter().map(String::as_str).collect::<Vec<_>>(), says)
    };
    let mut export = host("export");
    export.extend(["-o".to_string(), text(&file).to_string()]);
    fails(&export, &["it holds no checkpoint"]);
    assert!(!file.exists());

    let round = ["simulate", text(&out), "--data", text(&data), "--steps", "70"];
    let whole: Value =
        serde_json::from_str(&succeeds(&[&["--json"], &round[..]].concat())).unwrap();
    let broken = json(&run(&["--checkpoint-every", "25"]));
    assert_eq!(broken["state_hash"], whole["state_hash"]);
    assert_eq!((&broken["checkpoints"]["newest"], &broken["first_step"]), (&2.into(), &0.into()));
    let rest = json(&run(&["--resume"]));
    assert_eq!((&rest["first_step"], &rest["state_hash"]), (&50.into(), &whole["state_hash"]));

    // What the board learnt is the simulator's to go on with.
    let exported = json(&export);
    assert_eq!((&exported["checkpoint"], &exported["steps"]), (&2.into(), &50.into()));
    fs::copy(&file, out.join("checkpoint.state")).unwrap();
    let args = [&["--json"], &round[..], &["--resume"]].concat();
    let rest: Value = serde_json::from_str(&succeeds(&args)).unwrap();
    assert_eq!(rest["state_hash"], whole["state_hash"]);
    // And what a file holds is the board's.
    let own = folder("board/own").join("own.state");
    let begun = json(&run(&["--state", text(&file), "--save", text(&own)]));
    let args = [&["--json"], &round[..], &["--state", text(&file)]].concat();
    let expected: Value = serde_json::from_str(&succeeds(&args)).unwrap();
    assert_eq!(begun["state_hash"], expected["state_hash"]);
    assert!(own.exists());

    // Another update scheme on the same board.
    let other = ["compile", text(model()), "--update", "last:1", "-o", text(&out)];
    succeeds(&other);
    let says = ["another model or update scheme", "--overwrite-checkpoint"];
    fails(&run(&["--checkpoint-every", "25"]), &says);
    fails(&export, &["another model or update scheme", "compile that one"]);
    let over = json(&run(&["--checkpoint-every", "25", "--overwrite-checkpoint"]));
    assert_eq!(over["checkpoints"]["newest"], 4);
}
