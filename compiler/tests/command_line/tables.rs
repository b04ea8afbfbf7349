//! Tables of sensor values.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::support::{archive, files, folder, loaded, simulate_fails, succeeds, text, FAILED};

const FILE: &str = "motion.csv";

/// The value of a column at a time step.
fn value(step: usize, column: usize, label: usize) -> f32 {
    ((step * 7 + column * 13 + label * 29) % 41) as f32 / 8.0 - 2.5
}

/// Runs of eight columns: `(label, group, split, steps)`.
fn table(runs: &[(&str, &str, &str, usize)], with: &[&str]) -> String {
    let mut text: String = (0..8).map(|c| format!("c{c},")).collect();
    writeln!(text, "{}", with.join(",")).unwrap();
    for (index, (label, group, split, steps)) in runs.iter().enumerate() {
        for step in 0..*steps {
            for column in 0..8 {
                write!(text, "{},", value(step, column, index)).unwrap();
            }
            let cell = |name: &&str| match *name {
                "label" | "activity" => *label,
                "split" => *split,
                _ => *group,
            };
            writeln!(text, "{}", with.iter().map(cell).collect::<Vec<_>>().join(",")).unwrap();
        }
    }
    text
}

fn file(test: &str, content: &str) -> PathBuf {
    let path = folder(&format!("tables-{test}")).join(FILE);
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn windows_are_the_samples_of_an_archive() {
    let runs = [
        ("0", "a", "train", 20),
        ("1", "a", "train", 8),
        ("1", "b", "test", 16),
        ("3", "b", "train", 7),
        ("3", "b", "test", 9),
    ];
    let path = file("windows", &table(&runs, &["label", "group", "split"]));
    // Runs of 20, 8, 16, 7 and 9 rows hold windows of 8 every 4: 4, 1, 3, 0 and 1.
    let windows = [(0, 0, 4), (1, 1, 1), (2, 1, 3), (4, 3, 1)];
    let (mut file, expected) = archive("tables-npz");
    for (name, range) in [("train", 0..2), ("test", 2..4)] {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for &(run, label, count) in &windows[range] {
            for window in 0..count {
                let steps = (window * 4..window * 4 + 8).flat_map(|s| (0..8).map(move |c| (s, c)));
                x.extend(steps.map(|(step, column)| value(step, column, run)));
                y.push(label);
            }
        }
        let x = ndarray::Array4::from_shape_vec((y.len(), 8, 8, 1), x).unwrap();
        file.add_array(format!("x_{name}"), &x).unwrap();
        file.add_array(format!("y_{name}"), &ndarray::Array1::<i64>::from(y)).unwrap();
    }
    file.finish().unwrap();
    assert_eq!(loaded(&path, "[csv]\nhop = 4\n"), loaded(&expected, ""));
    // Named columns in another order, another separator, another name of the label.
    let text = table(&runs, &["activity", "group", "split"]).replace(',', ";");
    fs::write(&path, text).unwrap();
    let spec = "[csv]\nseparator = \";\"\nlabel = \"activity\"\nhop = 4\nwindow = 8\n\
                columns = [\"c0\", \"c1\", \"c2\", \"c3\", \"c4\", \"c5\", \"c6\", \"c7\"]\n";
    assert_eq!(loaded(&path, spec), loaded(&expected, ""));
}

#[test]
fn a_row_may_be_a_sample() {
    let mut text: String = (0..64).map(|c| format!("p{c},")).collect::<String>() + "label\n";
    for row in 0..50 {
        for column in 0..64 {
            write!(text, "{},", value(row, column, 0)).unwrap();
        }
        writeln!(text, "{}", ["down", "up"][row % 2]).unwrap();
    }
    let data = loaded(&file("rows", &text), "");
    assert_eq!(data.train.len() + data.test.len(), 50);
    assert!(data.test.len() > 2 && data.test.len() < 25, "{}", data.test.len());
    // The split of a row is its own: it does not change when rows are added before it.
    let (head, rows) = text.split_once('\n').unwrap();
    let more = format!("{head}\n{}{rows}", rows.replace("0.", "0.0"));
    let grown = loaded(&file("rows-more", &more), "");
    let has = |split: &offshoot_simulator::data::Split, sample: &[i8]| {
        (0..split.len()).any(|i| split.input(i) == sample)
    };
    assert!((0..data.test.len()).all(|i| has(&grown.test, data.test.input(i))));
}

#[test]
fn what_is_held_out_shares_no_row_and_no_group() {
    // Without groups: the last fifth of each run.
    let runs = [("sit", "", "", 100), ("walk", "", "", 43)];
    let data = loaded(&file("fifth", &table(&runs, &["label"])), "[csv]\nhop = 2\n");
    // 80 rows hold 37 windows, 20 hold 7; 35 hold 14, 8 hold 1.
    assert_eq!((data.train.len(), data.test.len()), (37 + 14, 7 + 1));
    // With groups: whole ones.
    let names: Vec<String> = (0..30).map(|i| format!("user{i}")).collect();
    let runs: Vec<_> = names
        .iter()
        .flat_map(|name| [("sit", name.as_str(), "", 8), ("walk", name.as_str(), "", 8)])
        .collect();
    let text = table(&runs, &["label", "user"]);
    let path = file("groups", &text);
    let data = loaded(&path, "[csv]\ngroup = \"user\"\n");
    assert_eq!(data.train.len() + data.test.len(), 60);
    assert!(data.test.len() > 2 && data.test.len() < 30 && data.test.len().is_multiple_of(2));
}

#[test]
fn tables_of_each_split() {
    let root = folder("tables-split");
    let one = [("sit", "", "", 16), ("walk", "", "", 8)];
    fs::write(root.join("train.csv"), table(&one, &["label"])).unwrap();
    fs::write(root.join("test.csv"), table(&one[..1], &["label"])).unwrap();
    let data = loaded(&root, "");
    assert_eq!((data.train.len(), data.test.len()), (3, 2));
    fs::write(root.join("more.csv"), "").unwrap();
    let says = ["more.csv", "one table, or a folder of train.csv and test.csv"];
    simulate_fails("tables-three-run", FAILED, &root, &[], &says);
}

fn refused(test: &str, content: &str, spec: &str, says: &[&str]) {
    let path = file(test, content);
    let options = path.with_file_name("spec.toml");
    fs::write(&options, spec).unwrap();
    let says = [&[FILE], says].concat();
    let more = ["--data-spec", text(&options)];
    simulate_fails(&format!("tables-{test}-run"), FAILED, &path, &more, &says);
}

/// A good table, for tests to spoil.
fn good() -> String {
    table(&[("sit", "", "", 50), ("walk", "", "", 50)], &["label"])
}

/// The good table with one line replaced, counted from 1.
fn with_line(number: usize, line: &str) -> String {
    let text = good();
    let lines = text.lines().enumerate().map(|(i, old)| if i + 1 == number { line } else { old });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn rows_that_are_broken() {
    let says = ["line 7", "3 cells where the header has 9", "complete the line"];
    refused("ragged", &with_line(7, "1,2,sit"), "", &says);
    let says = ["line 9", "10 cells where the header has 9"];
    refused("long", &with_line(9, "1,2,3,4,5,6,7,8,9,sit"), "", &says);
    let says = ["line 4, column `c2`", "`off` is no number", "repair the row"];
    refused("word", &with_line(4, "1,2,off,4,5,6,7,8,sit"), "", &says);
    let says = ["line 5, column `c7`", "NaN is no finite number", "remove the row"];
    refused("nan", &with_line(5, "1,2,3,4,5,6,7,nan,sit"), "", &says);
    refused("inf", &with_line(5, "1,2,3,4,5,6,7,-inf,sit"), "", &["line 5", "-inf is no finite"]);
    refused("vast", &with_line(5, "1,2,3,4,5,6,7,1e60,sit"), "", &["line 5", "inf is no finite"]);
    let says = ["line 6, column `c0`", "is empty"];
    refused("hole", &with_line(6, ",2,3,4,5,6,7,8,sit"), "", &says);
    refused("unlabelled", &with_line(6, "1,2,3,4,5,6,7,8,"), "", &["line 6, column `label`"]);
    let mut bytes = good().into_bytes();
    bytes[200] = 0xff;
    let path = file("bytes", "");
    fs::write(&path, bytes).unwrap();
    simulate_fails("tables-bytes-run", FAILED, &path, &[], &[FILE, "no table of text"]);
}

#[test]
fn columns_that_are_not_there() {
    let says = ["no column `label`", "c0, c1", "`label` under [csv]"];
    refused("no-label", &good().replace("label", "kind"), "", &says);
    refused("empty", "", "", &["no column `label`"]);
    let spec = "[csv]\ngroup = \"user\"\n";
    refused("no-group", &good(), spec, &["no column `user`", "`group` under [csv]"]);
    let spec = "[csv]\ncolumns = [\"c0\", \"c9\"]\n";
    refused("no-column", &good(), spec, &["no column `c9`", "`columns` under [csv]"]);
    refused("twice", &good().replace("c1", "c0"), "", &["the column `c0` twice"]);
}

#[test]
fn labels_and_splits_that_are_unknown() {
    let spec = "classes = [\"sit\", \"run\"]\n";
    let says = ["line 52, column `label`", "`walk` is no class of those given (sit, run)"];
    refused("unknown", &good(), spec, &says);
    let numbers = good().replace("walk", "12").replace("sit", "0");
    refused("large", &numbers, "", &["label 12", "10 classes", "--classes 13"]);
    let text = table(&[("sit", "", "train", 20), ("sit", "", "val", 20)], &["label", "split"]);
    let says = ["line 22, column `split`", "`val` is neither train nor test"];
    refused("val", &text, "", &says);
}

#[test]
fn windows_that_do_not_fit() {
    let says = ["16 rows of 8 columns", "[8, 8, 1]", "`columns` and `window`"];
    refused("window", &good(), "[csv]\nwindow = 16\n", &says);
    let spec = "[csv]\ncolumns = [\"c0\", \"c1\", \"c2\"]\n";
    refused("columns", &good(), spec, &["whole rows of 3 columns", "[8, 8, 1]"]);
    let text = table(&[("sit", "", "", 50), ("walk", "", "", 5)], &["label"]);
    let says = ["line 52", "class `walk` has no window of 8 consecutive rows", "add rows"];
    refused("short", &text, "", &says);
}

/// A float network of 128 steps of 3 columns: quantised, compiled and trained by one table.
#[test]
fn a_table_calibrates_compiles_and_trains() {
    let mut content = String::from("time,x,y,z,activity,user\n");
    for run in 0..70 {
        for step in 0..160 {
            let angle = step as f32 * (0.05 + 0.02 * (run % 7) as f32);
            let (x, y) = (angle.sin() * 1.5, angle.cos() - 0.5);
            let z = value(step, 0, run) / 4.0;
            writeln!(content, "{step},{x},{y},{z},{},u{}", run % 7, run / 7).unwrap();
        }
    }
    let path = file("calibrate", &content);
    let spec = path.with_file_name("spec.toml");
    let keys = "[csv]\nlabel = \"activity\"\ngroup = \"user\"\ncolumns = [\"x\", \"y\", \"z\"]\n\
                hop = 32\n";
    fs::write(&spec, keys).unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/hmp7_conv1d.onnx");
    let out = folder("tables-calibrate-out");
    let data = ["--data-spec", text(&spec)];
    let compile = ["compile", text(&model), "--calibrate", text(&path), "-o", text(&out)];
    succeeds(&[&compile, &data[..]].concat());
    assert!(files(&out).contains_key(Path::new("program.bin")));
    let simulate = ["simulate", text(&out), "--data", text(&path), "--epochs", "2", "--json"];
    let printed = succeeds(&[&simulate, &data[..]].concat());
    let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert!(report["loss"].as_f64().unwrap().is_finite(), "{report}");
}
