//! `report`: what `compile` wrote, as text, as a picture and as JSON.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::{
    changed, fails, files, folder, good, good_copy, model, succeeds, text, FAILED,
};

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&succeeds(&[args, &["--json"]].concat())).unwrap()
}

#[test]
fn figures_and_picture_are_printed() {
    let printed = succeeds(&["report", text(good())]);
    let compiled = folder("report-same");
    let scheme = "biases=2,block2_project:1/2,last:1";
    let of_compile =
        succeeds(&["compile", text(model()), "--update", scheme, "-o", text(&compiled)]);
    let figures = of_compile.split("\n\n  written to").next().unwrap();
    assert!(printed.starts_with(figures), "{printed}");
    for part in [" forward -", " backward -", "the lower bound", "where most live", "s saved"] {
        assert!(printed.contains(part), "no {part:?} in {printed}");
    }
    let picture = printed.split("against time:").nth(1).unwrap();
    assert!(picture.lines().all(|line| line.chars().count() <= 80), "{picture}");
}

#[test]
fn json_is_what_compile_printed() {
    let out = folder("report-json");
    let compiled = json(&["compile", text(model()), "-o", text(&out)]);
    let report = json(&["report", text(&out)]);
    assert_eq!(report, compiled);
    let ops = report["ops"].as_array().unwrap().len() as u64;
    assert!(report["forward_ops"].as_u64().unwrap() < ops);
    let tensors = report["tensors"].as_array().unwrap();
    let count = |tensor: &Value, key: &str| tensor[key].as_u64().unwrap();
    for tensor in tensors {
        assert!(count(tensor, "offset") + count(tensor, "bytes") <= count(&report["plan"], "peak"));
        assert!(count(tensor, "first") <= count(tensor, "last") && count(tensor, "last") < ops);
        assert!(tensor["name"].is_string() && tensor["layer"].is_string());
        assert!(tensor["reused_by"].is_array());
    }
    let kind = |kind: &str| tensors.iter().filter(|t| t["kind"] == kind).count();
    assert_eq!(kind("input"), 1);
    assert!(kind("activation") > 0 && kind("saved") > 0, "{report}");
}

#[test]
fn the_picture_is_written_whole_or_not_at_all() {
    let out = folder("report-svg");
    let path = out.join("deep/arena.svg");
    let printed = succeeds(&["report", text(good()), "--svg", text(&path)]);
    assert!(printed.contains("arena.svg"), "{printed}");
    let svg = fs::read_to_string(&path).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    let report = json(&["report", text(good())]);
    let tensors = report["tensors"].as_array().unwrap().len();
    assert_eq!(svg.matches("data-tensor=").count(), tensors);
    // A folder is no place for a file, and stays as it was.
    let before = files(&out);
    fails(FAILED, &["report", text(good()), "--svg", text(&out)], &["report-svg"]);
    assert_eq!(changed(&before, &files(&out)), Vec::<&std::path::PathBuf>::new());
}

/// A folder whose report has another content.
fn refused(test: &str, content: &str, says: &[&str]) {
    let out = good_copy(&format!("report-{test}"));
    fs::write(out.join("report.json"), content).unwrap();
    let says = [&["report.json", "offshoot compile"], says].concat();
    fails(FAILED, &["report", text(&out)], &says);
}

#[test]
fn reports_that_are_torn_changed_or_not_there() {
    let nowhere = folder("report-nowhere").join("deeper");
    let says = ["deeper/report.json", "cannot read", "offshoot compile"];
    fails(FAILED, &["report", text(&nowhere)], &says);
    let whole = fs::read_to_string(good().join("report.json")).unwrap();
    refused("empty", "", &["no report of this version"]);
    refused("torn", &whole[..whole.len() / 2], &["line"]);
    let mut report: Value = serde_json::from_str(&whole).unwrap();
    report["tensors"][0]["offset"] = u32::MAX.into();
    refused("outside", &report.to_string(), &["damaged", "outside the arena"]);
    report["tensors"][0]["offset"] = 0.into();
    report["tensors"][0]["last"] = 10_000.into();
    refused("late", &report.to_string(), &["damaged", "ops that the program does not have"]);
    report.as_object_mut().unwrap().remove("tensors");
    refused("old", &report.to_string(), &["no report of this version", "`tensors`"]);
    assert!(Path::new(good()).join("report.json").is_file());
}
