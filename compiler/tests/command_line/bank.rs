//! A bank of adapters, at the command.

use std::fs;

use serde_json::Value;

use super::support::*;

#[test]
fn banks_that_cannot_be_are_refused() {
    let refused = |test: &str, code: i32, args: &[&str], says: &[&str]| {
        compile_fails(&format!("bank-{test}"), code, model(), args, says);
    };
    refused("word", USAGE, &["--bank", "many"], &["--bank"]);
    refused("large", USAGE, &["--bank", "70000"], &["--bank", "70000"]);
    let board = ["--bank", "9", "--board", "raspberry-pi-pico"];
    refused("board", FAILED, &board, &["raspberry-pi-pico has no flash", "qemu-mps2-an386"]);
    let says = ["8388608 bytes of flash", "write --bank 2047 or less"];
    refused("room", FAILED, &["--bank", "2048"], &says);
    let sram = ["--bank", "2000", "--sram", "9000"];
    refused("sram", UNFIT, &sram, &["8,260 B that --bank asks for"]);
    let both = ["--bank", "2000", "--sram", "9000", "--guard", "held-out=10"];
    refused("both", UNFIT, &both, &["that --guard and --bank ask for"]);
}

#[test]
fn a_bank_is_part_of_the_memory_report() {
    let compile = |test: &str, more: &[&str]| -> Value {
        let out = folder(test);
        let common = ["compile", text(model()), "-o", text(&out), "--json"];
        serde_json::from_str(&succeeds(&[&common, more].concat())).unwrap()
    };
    let (bare, banked) = (compile("unbanked", &[]), compile("banked", &["--bank", "100"]));
    assert_eq!((&bare["sram"]["bank"], &bare["banked"]["adapters"]), (&0.into(), &0.into()));
    assert_eq!(banked["sram"]["bank"], 4 * 101 + 256);
    assert_eq!(banked["banked"]["adapters"], 100);
    assert_eq!(banked["banked"]["adapter_bytes"], banked["trainable_bytes"]);
    let total = |report: &Value| report["sram"]["total"].as_u64().unwrap();
    assert_eq!(total(&banked), total(&bare) + 660);
    let out = folder("banked-text");
    let printed = succeeds(&["compile", text(model()), "-o", text(&out), "--bank", "100"]);
    assert!(printed.contains("100 adapters of"), "{printed}");
}

/// A rank is cut on the board, kept with the adapter, and comes back.
#[test]
fn a_board_cuts_the_rank_of_an_adapter() {
    let (out, data) = (folder("cut/out"), demo("digits_rotated.npz"));
    let state = folder("cut/files").join("learnt.state");
    let args = ["compile", text(model()), "--adapter", "dylora,layers=2,rank=4", "--bank", "4"];
    succeeds(&[&args[..], &["--calibrate", text(&data), "-o", text(&out)]].concat());
    let round = ["simulate", text(&out), "--data", text(&data), "--steps", "40"];
    succeeds(&[&round[..], &["--save", text(&state)]].concat());
    let board = |action: &[&str]| -> Value {
        let [action, more @ ..] = action else { panic!("no action") };
        let args = [&["--json", "adapter", action, text(&out)], more, &["--board", "host"]];
        serde_json::from_str(&succeeds(&args.concat())).unwrap()
    };
    board(&["keep", "anna", "--state", text(&state)]);
    let whole = board(&["activate", "anna"])["state_hash"].clone();
    let cut = board(&["cut", "--rank", "1"])["state_hash"].clone();
    assert_ne!(cut, whole);
    // The checkpoint has it, and the adapter that is kept from there.
    board(&["keep", "narrow"]);
    assert_eq!(board(&["activate", "anna"])["state_hash"], whole);
    assert_eq!(board(&["activate", "narrow"])["state_hash"], cut);
    assert_eq!(board(&["cut", "--rank", "4"])["state_hash"], whole);
    let none = ["adapter", "cut", text(&out), "--rank", "0", "--board", "host"];
    fails(USAGE, &none, &["--rank"]);
    // What has no such rank.
    let out = folder("cut/none");
    succeeds(&["compile", text(model()), "-o", text(&out), "--bank", "4"]);
    let none = ["adapter", "cut", text(&out), "--rank", "2", "--board", "host"];
    fails(FAILED, &none, &["no adapter whose rank can be cut", "dylora"]);
}

#[test]
fn a_board_switches_among_adapters() {
    let (out, data) = (folder("adapter/out"), samples().write("adapter/data"));
    let files = folder("adapter/files");
    let update = ["--update", "last:1,biases=2"];
    let compile = ["compile", text(model()), "-o", text(&out), "--bank", "10"];
    succeeds(&[&compile[..], &update].concat());
    let host = |action: &str, more: &[&str]| -> Vec<String> {
        let all = [&["adapter", action, text(&out)], more, &["--board", "host"]].concat();
        all.iter().map(|arg| arg.to_string()).collect()
    };
    let json = |args: &[String]| -> Value {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        serde_json::from_str(&succeeds(&[&["--json"], &args[..]].concat())).unwrap()
    };
    let fails = |code: i32, args: &[String], says: &[&str]| {
        fails(code, &args.iter().map(String::as_str).collect::<Vec<_>>(), says);
    };
    let [states, adapter] = ["learnt.state", "anna.adapter"].map(|name| files.join(name));
    assert_eq!(json(&host("list", &[]))["adapters"], Value::Array(vec![]));
    let learn = |seed: &str| {
        let round = ["simulate", text(&out), "--data", text(&data), "--steps", "40"];
        let args = [&round[..], &["--seed", seed, "--save", text(&states), "--json"]].concat();
        let learnt: Value = serde_json::from_str(&succeeds(&args)).unwrap();
        learnt["state_hash"].clone()
    };
    for (seed, name) in [("1", "anna"), ("2", "berta")] {
        learn(seed);
        let kept = json(&host("keep", &[name, "--state", text(&states)]));
        assert_eq!((&kept["name"], &kept["steps"]), (&name.into(), &40.into()));
    }
    let anna = json(&host("activate", &["anna", "--save", text(&states)]));
    assert_eq!((&anna["steps"], &anna["checkpoint"]), (&40.into(), &1.into()));
    let one = json(&host("blend", &["anna=1", "berta=0"]));
    assert!(states.exists() && one["state_hash"].is_string());
    let half = json(&host("blend", &["anna=0.5", "berta=0.5"]));
    let base = json(&host("drop", &[]));
    assert!(half["state_hash"] != one["state_hash"] && base["state_hash"] != one["state_hash"]);
    assert_eq!(json(&host("blend", &["anna=0", "berta=0"]))["state_hash"], base["state_hash"]);

    let exported = json(&host("export", &["anna", "--file", text(&adapter)]));
    json(&host("import", &["cilly", "--file", text(&adapter)]));
    let list = json(&host("list", &[]));
    let names: Vec<&str> =
        list["adapters"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["anna", "berta", "cilly"]);
    assert_eq!(list["adapters"][2]["crc"], exported["crc"]);
    json(&host("remove", &["anna"]));
    fails(FAILED, &host("activate", &["anna"]), &["no adapter of that name"]);
    fails(USAGE, &host("activate", &["a name that is much too long"]), &["1 to 24 bytes"]);
    fails(USAGE, &host("blend", &["anna"]), &["anna=0.5"]);
    fails(USAGE, &host("blend", &["anna=9"]), &["not from -8 to 8"]);
    fails(USAGE, &host("remove", &[]), &["NAME"]);
    assert!(succeeds(&["adapter", "list", text(&out), "--board", "host"]).contains("2 of 10"));

    // Files that are none, and that of another model.
    let import = host("import", &["--file", text(&adapter)]);
    let sound = fs::read(&adapter).unwrap();
    let mut flipped = sound.clone();
    flipped[40] ^= 1;
    fs::write(&adapter, &flipped).unwrap();
    fails(FAILED, &import, &["anna.adapter", "damaged"]);
    fs::write(&adapter, b"something else").unwrap();
    fails(FAILED, &import, &["no adapter"]);
    fs::write(&adapter, &sound).unwrap();
    succeeds(&[&compile[..], &["--update", "last:1"]].concat());
    fails(FAILED, &import, &["\"anna\"", "another model or update scheme"]);
    // Those in flash are let be until they are removed on purpose.
    let list = json(&host("list", &[]));
    assert_eq!((list["adapters"].as_array().unwrap().len(), &list["others"]), (0, &2.into()));
    assert_eq!(json(&host("remove", &["--others"]))["removed"], 2);
    assert_eq!(json(&host("list", &[]))["others"], 0);
    // A program without a bank.
    succeeds(&["compile", text(model()), "-o", text(&out)]);
    fails(FAILED, &host("list", &[]), &["no bank of adapters", "--bank"]);
}
