//! Adapters merged into their layers: what is written and said, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::{Array1, Array4};
use offshoot_runtime::Trainer;
use offshoot_simulator::{Memories, ProgramFile, Simulation, StateFile};
use serde_json::Value;

use super::support::*;

/// The demo's network with an adapter on some layers, trained for some steps: its folder, its state and
/// the samples.
fn adapted(test: &str, layers: &str) -> (PathBuf, PathBuf, PathBuf) {
    adapted_as(test, layers, &[])
}

/// The same, compiled with some arguments more.
fn adapted_as(test: &str, layers: &str, more: &[&str]) -> (PathBuf, PathBuf, PathBuf) {
    let (out, adapter) = (folder(&format!("{test}/out")), folder(&format!("{test}/adapter")));
    let (data, adapter) = (samples().write(&format!("{test}/data")), adapter.join("lora.toml"));
    fs::write(&adapter, format!("recipe = \"lora\"\nlayers = {layers}\n")).unwrap();
    let given = ["--adapter", text(&adapter), "--calibrate", text(&data)];
    succeeds(&[&["compile", text(model()), "-o", text(&out)], &given[..], more].concat());
    let state = folder(&format!("{test}/state")).join("learnt.state");
    let round = ["--data", text(&data), "--steps", "40", "--save", text(&state)];
    succeeds(&[&["simulate", text(&out)], &round[..]].concat());
    (out, state, data)
}

fn args<'a>(out: &'a Path, state: &'a Path, data: &'a Path, to: &'a Path) -> [&'a str; 8] {
    ["merge", text(out), "--state", text(state), "--data", text(data), "-o", text(to)]
}

#[test]
fn a_merged_network_is_a_program_again() {
    let (out, state, data) = adapted("merge", "[\"block2_expand\", \"block2_project\"]");
    let before = files(&out);
    let to = folder("merge/to");
    let said = succeeds(&args(&out, &state, &data, &to));
    for words in ["merged into block2_project", "stays beside", "block2_expand", "activation"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(said.contains("24 held-out samples") && said.contains("fewer"), "{said}");
    assert_eq!(changed(&before, &files(&out)), Vec::<&PathBuf>::new());
    let once = files(&to);
    let line: Value = serde_json::from_str(&succeeds(
        &[&args(&out, &state, &data, &to)[..], &["--json"]].concat(),
    ))
    .unwrap();
    let merge = &line["merge"];
    assert_eq!(merge["merged"], serde_json::json!(["block2_project"]));
    assert_eq!(merge["stays"][0]["layer"], "block2_expand");
    assert!(merge["before"]["macs"]["forward"].as_u64() > line["macs"]["forward"].as_u64());
    let accuracy = &merge["compared"]["accuracy"];
    // It starts where the adapted one came to.
    let round = ["simulate", text(&to), "--data", text(&data), "--steps", "40", "--json"];
    let learns: Value = serde_json::from_str(&succeeds(&round)).unwrap();
    assert_eq!(learns["accuracy"]["before"], accuracy["after"]);
    assert_eq!(changed(&once, &files(&to)), Vec::<&PathBuf>::new());
    succeeds(&["report", text(&to)]);
    // What belongs to the adapted one is not the merged one's.
    let again = folder("merge/again");
    fails(FAILED, &args(&to, &state, &data, &again), &["learnt.state", "another model"]);
    assert!(files(&again).is_empty());
}

#[test]
fn what_may_be_computed_again_stays_as_it_was() {
    let arena = |percent: &str| {
        let test = format!("merge-{percent}");
        // The one that stays goes on learning, from what is kept or computed again.
        let layers = "[\"block2_expand\", \"block2_project\"]";
        let (out, state, data) = adapted_as(&test, layers, &["--recompute", percent]);
        let to = folder(&format!("{test}/to"));
        let merge = [&args(&out, &state, &data, &to)[..], &["--json"]].concat();
        let report: Value = serde_json::from_str(&succeeds(&merge)).unwrap();
        assert_eq!(report["recompute"].to_string(), percent);
        (report["again"].as_array().unwrap().len(), report["sram"]["arena"].as_u64())
    };
    let (kept, again) = (arena("0"), arena("100"));
    assert!(kept.0 == 0 && again.0 > 0 && again.1 < kept.1, "{kept:?}, {again:?}");
}

/// Samples without content, of the classes that the adapted network puts them into: where the merged one
/// decides otherwise, it falls.
fn by_its_own_word(test: &str, out: &Path, state: &Path) -> PathBuf {
    let program = ProgramFile::decode(&fs::read(out.join("program.bin")).unwrap()).unwrap();
    let state = StateFile::decode(&fs::read(state).unwrap(), &program.header).unwrap();
    let program = program.program();
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories).unwrap();
    simulation.interpreter().state_mut().copy_from_slice(&state.state);
    let mut seed = 1u32;
    let mut pixel = |_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    let noise = Array4::from_shape_fn((4000, 8, 8, 1), &mut pixel);
    let classes: Vec<i64> = noise
        .outer_iter()
        .enumerate()
        .map(|(at, image)| {
            let input: Vec<i8> = image.iter().map(|&p| (i32::from(p) - 128) as i8).collect();
            match simulation.infer(at, &input).unwrap() {
                offshoot_runtime::Prediction::Class(class) => class.into(),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    let Samples { x_train, y_train, .. } = samples();
    Samples { x_train, y_train, x_test: noise, y_test: Array1::from(classes) }.write(test)
}

#[test]
fn what_merging_may_not_do_is_refused() {
    let (out, state, data) = adapted("unmerged", "[\"block2_project\"]");
    let to = folder("unmerged/to");
    fs::write(to.join("kept"), "as it was").unwrap();
    let before = files(&to);
    let doubtful = by_its_own_word("unmerged/noise", &out, &state);
    let strict = [&args(&out, &state, &doubtful, &to)[..], &["--tolerance", "0"]].concat();
    fails(
        FAILED,
        &strict,
        &["4000 held-out samples", "100.0 %", "--tolerance 0", "nothing is written"],
    );
    for wrong in ["-1", "101", "much"] {
        let given = [&args(&out, &state, &data, &to)[..], &["--tolerance", wrong]].concat();
        fails(USAGE, &given, &["--tolerance", "from 0 to 100"]);
    }
    let (activated, learnt, _) = adapted("unmerged/activated", "[\"last\"]");
    let says = ["no adapter can be merged", "layer \"last\"", "activation"];
    fails(FAILED, &args(&activated, &learnt, &data, &to), &says);
    fails(FAILED, &args(&activated, &state, &data, &to), &["another model"]);
    let plain = folder("unmerged/plain");
    succeeds(&["compile", text(model()), "-o", text(&plain)]);
    let round = ["simulate", text(&plain), "--data", text(&data), "--steps", "5", "--save"];
    let head = folder("unmerged/head").join("head.state");
    succeeds(&[&round[..], &[text(&head)]].concat());
    fails(FAILED, &args(&plain, &head, &data, &to), &["no adapter to merge", "--adapter"]);
    fs::write(&learnt, b"nothing").unwrap();
    fails(FAILED, &args(&activated, &learnt, &data, &to), &["not trainable state"]);
    assert_eq!(changed(&before, &files(&to)), Vec::<&PathBuf>::new());
}
