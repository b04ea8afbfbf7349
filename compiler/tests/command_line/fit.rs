//! What would fit, where a program does not: the advice, followed to the letter, compiles and fits.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::{demo, fails, folder, model, offshoot, succeeds, text, UNFIT};

/// What is asked of most tests: the demo's own scheme.
const ASKED: &str = "biases=all,block2_expand:1,block2_project:1,last:1";

/// What `compile` says of a program that does not fit.
fn advice(test: &str, args: &[&str]) -> String {
    let out = folder(&format!("fit-{test}"));
    let ran = offshoot([&["compile", text(model()), "-o", text(&out)], args].concat());
    assert_eq!(ran.code, Some(UNFIT), "{args:?}: {ran:?}");
    let (_, advice) = ran.stderr.split_once("what would fit:").expect("advice");
    advice.to_string()
}

fn number(text: &str) -> u64 {
    let digits: String = text.chars().filter(|c| *c != ',').collect();
    digits.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// Compiles as `args` say, and gives the report.
fn compiled(test: &str, args: &[&str]) -> Value {
    let out = folder(&format!("fit-{test}-followed"));
    let args = [&["compile", text(model()), "--json", "-o", text(&out)], args].concat();
    serde_json::from_str(&succeeds(&args)).unwrap()
}

fn trained(report: &Value) -> u64 {
    let trained = report["trained"].as_array().unwrap();
    trained.iter().map(|t| t["elements"].as_u64().unwrap()).sum()
}

/// Follows the advice of a scheme in short form, under `limits`; gives the scheme.
fn follow(test: &str, asked: &str, limits: &[&str]) -> String {
    let advice = advice(test, &[&["--update", asked], limits].concat());
    let scheme = advice.split('\'').nth(1).unwrap_or_else(|| panic!("no scheme in {advice}"));
    let report = compiled(test, &[&["--update", scheme], limits].concat());
    let total = report["sram"]["total"].as_u64().unwrap();
    let says = format!("({} B of SRAM", offshoot::report::grouped(total));
    assert!(advice.contains(&says), "{total}: {advice}");
    let (_, parameters) = advice.split_once("; trains ").unwrap();
    assert_eq!(number(parameters.split(' ').next().unwrap()), trained(&report), "{advice}");
    scheme.to_string()
}

#[test]
fn a_scheme_that_fits_the_sram_is_advised() {
    let mut trained_before = 0;
    for sram in [5_000, 6_500, 8_000, 12_000, 16_000, 19_600, 27_000] {
        let sram = sram.to_string();
        let scheme = follow(&sram, ASKED, &["--sram", &sram]);
        println!("{sram}: {scheme}");
        let report = compiled(&format!("{sram}-again"), &["--update", &scheme, "--sram", &sram]);
        assert!(report["sram"]["total"].as_u64().unwrap() <= number(&sram));
        // More memory, more training.
        assert!(trained(&report) >= trained_before, "{sram}: {scheme}");
        trained_before = trained(&report);
    }
    // All of it, in fewer bytes for each weight, where that is enough.
    let lean = follow("lean", ASKED, &["--sram", "27000"]);
    assert_eq!(lean, format!("stochastic,{ASKED}"));
    let momentum = format!("{ASKED},momentum=0.9");
    let lean = follow("momentum", &momentum, &["--sram", "46000"]);
    assert_eq!(lean, format!("{ASKED},momentum=0.9,momentum-bits=8"));
    // What has no weights to make smaller keeps its precision.
    assert!(!follow("biases", "biases=all", &["--sram", "5000"]).contains("stochastic"));
}

/// Where an adapter does not fit, one that does is advised: with fewer bytes a weight, of a lower rank, or on fewer layers.
#[test]
fn an_adapter_that_fits_is_advised() {
    let data = demo("digits_rotated.npz");
    let calibrate = ["--calibrate", text(&data)];
    let mut trained_before = 0;
    for sram in ["5500", "6500", "7500", "8500", "10000", "12500"] {
        let limits = [&calibrate[..], &["--sram", sram]].concat();
        let asked = [&["--adapter", "lora,layers=all,rank=4"], &limits[..]].concat();
        let advice = advice(&format!("adapter-{sram}"), &asked);
        assert!(!advice.contains("no update scheme"), "{advice}");
        let (_, adapter) = advice.split_once("--adapter '").unwrap_or_else(|| panic!("{advice}"));
        let adapter = adapter.split('\'').next().unwrap();
        println!("{sram}: {adapter}");
        let given = [&["--adapter", adapter], &limits[..]].concat();
        let report = compiled(&format!("adapter-{sram}"), &given);
        let total = report["sram"]["total"].as_u64().unwrap();
        assert!(advice.contains(&format!("({} B of SRAM", offshoot::report::grouped(total))));
        assert!(total <= number(sram));
        assert!(trained(&report) >= trained_before, "{sram}: {adapter}");
        assert!(
            advice.contains(&format!("trains {} of", offshoot::report::grouped(trained(&report))))
        );
        trained_before = trained(&report);
    }
    // All of it, in fewer bytes for each weight, where that is enough; and nothing where no adapter is.
    let limits = [&calibrate[..], &["--sram", "13500"]].concat();
    let asked = [&["--adapter", "lora"], &limits[..]].concat();
    assert!(advice("adapter-lean", &asked).contains("'lora,layers=all,rank=4,stochastic'"));
    let limits = [&calibrate[..], &["--sram", "3000"]].concat();
    let asked = [&["--adapter", "lora"], &limits[..]].concat();
    assert!(advice("adapter-none", &asked).contains("no update scheme: the least"));
    // A list of layers stays one.
    let file = folder("fit-adapter-file").join("adapter.toml");
    let layers = "layers = [\"block2_expand\", \"block2_project\", \"last\"]";
    fs::write(&file, format!("recipe = \"lora\"\n{layers}\n")).unwrap();
    let limits = [&calibrate[..], &["--sram", "6500"]].concat();
    let advice = advice("adapter-named", &[&["--adapter", text(&file)], &limits[..]].concat());
    let (_, toml) = advice.split_once("with\n\n").unwrap_or_else(|| panic!("{advice}"));
    assert!(toml.contains("\"last\"]"), "{toml}");
    fs::write(&file, toml.split("\n  ").next().unwrap()).unwrap();
    compiled("adapter-named", &[&["--adapter", text(&file)], &limits[..]].concat());
}

#[test]
fn a_scheme_that_fits_the_flash_is_advised() {
    let asked = compiled("flash", &["--update", ASKED]);
    let needed = |report: &Value| {
        ["total", "code"].map(|part| report["flash"][part].as_u64().unwrap()).iter().sum::<u64>()
    };
    let enough = needed(&asked).to_string();
    compiled("flash-enough", &["--update", ASKED, "--flash", &enough]);
    let less = (needed(&asked) - 1500).to_string();
    let advice = advice("flash-says", &["--update", ASKED, "--flash", &less]);
    assert!(advice.contains("B of flash without code"), "{advice}");
    let scheme = follow("flash-less", ASKED, &["--flash", &less]);
    let followed = compiled("flash-sizes", &["--update", &scheme, "--flash", &less]);
    assert!(needed(&followed) <= number(&less));
    assert_eq!(followed["flash_budget"], number(&less));
    let out = folder("fit-flash-none");
    let args = ["compile", text(model()), "-o", text(&out), "--flash", "1000"];
    fails(
        UNFIT,
        &args,
        &["of flash (constants", "1000 are available", "no update scheme: the least"],
    );
    assert!(fs::read_dir(&out).unwrap().next().is_none());
}

/// Biases of a list of layers and class weights have no short form: the advice is a file.
#[test]
fn a_scheme_file_is_advised_where_there_is_no_short_form() {
    let file = folder("fit-file").join("asked.toml");
    let weights = "[1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5]";
    let asked = format!(
        "biases = [1, \"block2_dw\"]\n[[weights]]\nlayer = \"last\"\n[loss]\nweights = {weights}\n"
    );
    fs::write(&file, asked).unwrap();
    let limits = ["--sram", "6000"];
    let advice = advice("file-says", &[&["--update", text(&file)], &limits[..]].concat());
    let (_, toml) = advice.split_once("with\n\n").unwrap_or_else(|| panic!("{advice}"));
    let toml = toml.split("\n  no other").next().unwrap().split("\n  or as").next().unwrap();
    assert!(toml.contains(weights), "{toml}");
    let followed = folder("fit-file").join("followed.toml");
    fs::write(&followed, toml).unwrap();
    let report = compiled("file", &[&["--update", text(&followed)], &limits[..]].concat());
    assert!(report["sram"]["total"].as_u64().unwrap() <= 6000);
}

#[test]
fn a_larger_board_is_advised() {
    // Weights of so many classes fit the one, not the other.
    let classes = ["--classes", "2000"];
    let said = advice("board", &classes);
    let (_, board) = said.split_once("as it is: --board ").unwrap_or_else(|| panic!("{said}"));
    let board = board.split(' ').next().unwrap();
    assert_eq!(board, "esp32-c3");
    let report = compiled("board", &[&classes[..], &["--board", board]].concat());
    assert_eq!(report["board"], board);
    assert!(said.contains("no update scheme"), "the head alone is too much: {said}");
    // A limit that was given holds on every board.
    let said = advice("board-limit", &["--sram", "1000"]);
    assert!(said.contains("no other board"), "{said}");
    assert!(Path::new(model()).is_file());
}
