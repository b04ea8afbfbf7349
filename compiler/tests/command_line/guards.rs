//! What a device is to watch its learning with.

use std::fs;

use super::support::{compile_fails, folder, model, succeeds, text, FAILED, UNFIT, USAGE};

#[test]
fn guards_that_make_no_sense_or_do_not_fit() {
    let refused = |test: &str, code: i32, guard: &str, says: &[&str]| {
        compile_fails(&format!("guard-{test}"), code, model(), &["--guard", guard], says);
    };
    refused("word", USAGE, "nonsense", &["--guard", "`nonsense`", "held-out=64"]);
    refused("key", USAGE, "heldout=9", &["unknown field `heldout`"]);
    refused("alone", FAILED, "round=9", &["--guard", "`round` belongs to `held-out`"]);
    refused("replay", FAILED, "replay-bytes=20", &["which takes 76 bytes"]);
    refused("sram", UNFIT, "held-out=60000", &["4,561,396 B that --guard asks for"]);
    refused("file", FAILED, "/no/such/guard.toml", &["/no/such/guard.toml"]);
    let path = folder("guard-toml").join("guard.toml");
    fs::write(&path, "held-out = 1\n").unwrap();
    refused("toml", FAILED, text(&path), &["held-out = 1 is too small", "at least 2"]);
    fs::write(&path, "drift = \"perhaps\"\n").unwrap();
    refused("toml-word", FAILED, text(&path), &["guard.toml", "perhaps", "watch"]);
}

#[test]
fn guards_are_part_of_the_memory_report() {
    let compile = |test: &str, more: &[&str]| -> serde_json::Value {
        let out = folder(test);
        let common = ["compile", text(model()), "-o", text(&out), "--json"];
        serde_json::from_str(&succeeds(&[&common, more].concat())).unwrap()
    };
    let (bare, watched) = (
        compile("unguarded", &[]),
        compile("guarded", &["--guard", "held-out=20,replay-bytes=2000,drift=stop"]),
    );
    assert_eq!(bare["sram"]["guards"], 0);
    let guarded = &watched["guarded"];
    assert_eq!((&guarded["held_out"], &guarded["round"]), (&20.into(), &100.into()));
    assert_eq!((&guarded["replay"], &guarded["drift"]), (&26.into(), &"stop".into()));
    let bytes = |of: &str| guarded["bytes"][of].as_u64().unwrap();
    assert_eq!((bytes("held_out"), bytes("replay"), bytes("incoming")), (1520, 1976, 76));
    assert_eq!(bytes("snapshot"), watched["sram"]["trainable"].as_u64().unwrap());
    let all = ["held_out", "replay", "incoming", "snapshot"].map(bytes).iter().sum::<u64>();
    assert_eq!(watched["sram"]["guards"], all);
    let total = |report: &serde_json::Value| report["sram"]["total"].as_u64().unwrap();
    assert_eq!(total(&watched), total(&bare) + all);
}
