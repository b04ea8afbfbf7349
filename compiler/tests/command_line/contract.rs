//! `--json`: one object on standard output, with the keys and types that the README lists.

use std::path::Path;

use serde_json::Value;

use super::support::{files, folder, good, model, samples, succeeds, text};

/// The one object that a command prints.
fn object(args: &[&str]) -> Value {
    let printed = succeeds(&[args, &["--json"]].concat());
    assert_eq!(printed.lines().count(), 1, "{printed}");
    let value: Value = serde_json::from_str(&printed).unwrap();
    assert!(value.is_object(), "{printed}");
    value
}

/// A count at a path such as `/sram/total`.
fn count(value: &Value, path: &str) -> u64 {
    let found = value.pointer(path).unwrap_or_else(|| panic!("no {path} in {value}"));
    found.as_u64().unwrap_or_else(|| panic!("{path} is {found}"))
}

/// A number from 0 to 1.
fn share(value: &Value, path: &str) -> f64 {
    let found = value.pointer(path).unwrap_or_else(|| panic!("no {path} in {value}"));
    let share = found.as_f64().unwrap_or_else(|| panic!("{path} is {found}"));
    assert!((0.0..=1.0).contains(&share), "{path} is {share}");
    share
}

fn list<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    value.pointer(path).and_then(Value::as_array).unwrap_or_else(|| panic!("no {path} in {value}"))
}

fn sram(value: &Value) -> u64 {
    let parts = ["arena", "trainable", "scratch"].map(|p| count(value, &format!("/sram/{p}")));
    assert!(parts.iter().all(|&part| part > 0), "{value}");
    assert_eq!(count(value, "/sram/total"), parts.iter().sum::<u64>());
    count(value, "/sram/total")
}

/// The keys that a round of learning has, `epochs` long; gives its state hash.
fn round(value: &Value, steps: u64, epochs: usize) -> String {
    share(value, "/accuracy/before");
    share(value, "/accuracy/after");
    assert_eq!(count(value, "/steps"), steps);
    let losses = list(value, "/losses");
    assert_eq!(losses.len(), epochs);
    assert!(losses.iter().all(|loss| loss.as_f64().unwrap() >= 0.0), "{value}");
    assert_eq!(value["loss"], losses[epochs - 1]);
    let hash = value["state_hash"].as_str().unwrap();
    assert!(hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{hash}");
    hash.to_string()
}

#[test]
fn compile_reports_what_the_program_needs() {
    let out = folder("contract-compile");
    let args = ["compile", text(model()), "--update", "biases=2,last:1/2", "-o", text(&out)];
    let report = object(&[&args[..], &["--board", "qemu-mps2-an500"]].concat());
    let total = sram(&report);
    assert_eq!(report["board"], "qemu-mps2-an500");
    assert_eq!(count(&report, "/budget"), (320 - 8) * 1024);
    assert!(total <= count(&report, "/budget"));
    assert_eq!(report["model"], "digits_int8qdq");
    assert_eq!(count(&report, "/classes"), 10);
    let lower = count(&report, "/plan/lower_bound");
    assert!(0 < lower && lower <= count(&report, "/plan/peak"));
    assert!(count(&report, "/plan/peak") <= count(&report, "/sram/arena"));
    assert!(count(&report, "/flash/constants") < count(&report, "/flash/total"));
    assert!(count(&report, "/macs/forward") > 0 && count(&report, "/macs/backward") > 0);
    assert!(count(&report, "/trainable_bytes") <= count(&report, "/sram/trainable"));
    let trained = list(&report, "/trained");
    assert!(trained.iter().all(|t| t["name"].is_string()));
    let elements = |name: &str| {
        let entry = trained.iter().find(|t| t["name"] == name).unwrap();
        (count(entry, "/elements"), count(entry, "/of"))
    };
    assert_eq!(elements("last_weight_q"), (1024, 2048));
    assert_eq!(elements("last.bias"), (64, 64));
    assert_eq!(elements("head.weights"), (640, 640));
    assert!(list(&report, "/ops").iter().all(Value::is_string));
    assert!(!list(&report, "/ops").is_empty());
    let written = std::fs::read_to_string(out.join("report.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), report);
    assert_eq!(count(&report, "/flash/total"), files(&out)[Path::new("program.bin")].len() as u64);
}

#[test]
fn what_an_optimizer_keeps_is_reported() {
    let out = folder("contract-optimizer");
    let compile = |more: &str| {
        let scheme = format!("biases=1,last:1/2{more}");
        vec!["compile".into(), text(model()).into(), "--update".into(), scheme]
            .into_iter()
            .chain(["-o".to_string(), text(&out).to_string()])
            .collect::<Vec<String>>()
    };
    let report = |more: &str| {
        let args = compile(more);
        object(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let plain = report("");
    assert_eq!((count(&plain, "/momentum_bytes"), count(&plain, "/accumulation_bytes")), (0, 0));
    // Weights of a layer and of the head, their biases; what four ops count; the random state.
    let (weights, biases) = (1024 + 640, 64 + 10);
    for (more, momentum, accumulation) in [
        (",momentum=0.9", 2 * weights + 4 * biases, 0),
        (",momentum=0.9,momentum-bits=8", weights + 4 * biases, 0),
        (",batch=8", 0, 2 * weights + 4 * biases + 4 * 4),
        (",momentum=1/2,batch=2", 2 * weights + 4 * biases, 2 * weights + 4 * biases + 4 * 4),
    ] {
        let kept = report(more);
        assert_eq!(count(&kept, "/momentum_bytes"), momentum, "{more}");
        assert_eq!(count(&kept, "/accumulation_bytes"), accumulation, "{more}");
        assert_eq!(kept["trainable_bytes"], plain["trainable_bytes"], "{more}");
        let state = |report| count(report, "/sram/trainable");
        assert_eq!(state(&kept) - state(&plain), momentum + accumulation + 4, "{more}");
        sram(&kept);
    }
    let args = compile(",momentum=0.9,batch=8");
    let printed = succeeds(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(printed.contains("of it momentum 3,624 B"), "{printed}");
    assert!(printed.contains("of it sums over a batch 3,640 B"), "{printed}");
}

#[test]
fn simulate_reports_a_round() {
    let data = samples().write("contract-simulate");
    let args = ["simulate", text(good()), "--data", text(&data)];
    let plain = object(&[&args[..], &["--epochs", "2"]].concat());
    let hash = round(&plain, 80, 2);
    assert!(plain.get("float").is_none() && plain.get("curve").is_none());

    let more = ["--epochs", "2", "--float", "--curve"];
    let full = object(&[&args[..], &more].concat());
    assert_eq!(round(&full, 80, 2), hash);
    share(&full, "/float/before");
    share(&full, "/float/after");
    let curve = list(&full, "/curve");
    assert_eq!(curve.len(), 2);
    assert_eq!(curve[1], full["accuracy"]["after"]);
    assert_eq!(full["losses"], plain["losses"]);
}

#[test]
fn equal_seeds_give_equal_bits_and_others_do_not() {
    let data = samples().write("contract-seeds");
    let run = |more: &[&str]| {
        let args = ["simulate", text(good()), "--data", text(&data), "--steps", "25"];
        round(&object(&[&args[..], more].concat()), 25, 1)
    };
    assert_eq!(run(&["--seed", "7"]), run(&["--seed", "7"]));
    assert_ne!(run(&["--seed", "7"]), run(&["--seed", "8"]));
    // The same order at other rates.
    let schedules = [&["--warm-up", "0"], &["--schedule", "cooldown"], &["--warm-up", "9"]];
    let [plain, cooldown, warm] = schedules.map(|more| run(more));
    assert_eq!(plain, run(&["--schedule", "cosine"]));
    assert!(plain != cooldown && cooldown != warm && warm != plain);
}

#[test]
fn samples_of_each_type_are_read() {
    let plain = samples();
    let data = plain.write("contract-types");
    let round_of = |data: &Path, more: &[&str]| {
        let args = ["simulate", text(good()), "--data", text(data), "--steps", "5"];
        round(&object(&[&args[..], more].concat()), 5, 1)
    };
    let pixels = round_of(&data, &[]);
    // The same values as int8 are the same samples.
    let (mut file, path) = super::support::archive("contract-int8");
    let int8 = |v: u8| (i16::from(v) - 128) as i8;
    file.add_array("x_train", &plain.x_train.mapv(int8)).unwrap();
    file.add_array("y_train", &plain.y_train.mapv(|v| v as u8)).unwrap();
    file.add_array("x_test", &plain.x_test.mapv(int8)).unwrap();
    file.add_array("y_test", &plain.y_test.mapv(|v| v as i32)).unwrap();
    file.finish().unwrap();
    assert_eq!(round_of(&path, &[]), pixels);
    // A mean below zero is an argument like any other.
    assert_ne!(round_of(&data, &["--normalize", "-20,300"]), pixels);
}

#[test]
fn demo_reports_a_round_and_its_memory() {
    let out = folder("contract-demo").join("out");
    let demo = object(&["demo", "-o", text(&out)]);
    round(&demo, 5600, 8);
    sram(&demo);
    assert_eq!(list(&demo, "/curve").len(), 8);
    assert!(share(&demo, "/accuracy/after") > share(&demo, "/accuracy/before"), "{demo}");
    assert!(files(&out).contains_key(Path::new("program.bin")));
}
