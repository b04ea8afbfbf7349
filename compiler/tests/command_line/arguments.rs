//! Arguments that mean nothing, and help.

use super::support::{fails, good, model, samples, simulate_fails, succeeds, text, USAGE};

#[test]
fn help_is_given() {
    let commands = [
        &[][..],
        &["compile"],
        &["search"],
        &["simulate"],
        &["run"],
        &["export"],
        &["merge"],
        &["demo"],
    ];
    for command in commands {
        let help = succeeds(&[command, &["--help"]].concat());
        assert!(help.contains("Usage: offshoot"), "{help}");
        assert!(help.contains("--json"), "{help}");
    }
    assert!(succeeds(&["--version"]).starts_with("offshoot "));
}

#[test]
fn nothing_to_do() {
    let ran = super::support::offshoot::<&str>([]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(USAGE), ""));
    assert!(ran.stderr.contains("Usage"), "{ran:?}");
    fails(USAGE, &["teach"], &["teach", "Usage"]);
}

#[test]
fn what_is_missing_is_named() {
    fails(USAGE, &["compile", text(model())], &["--output"]);
    fails(USAGE, &["compile", "-o", "out"], &["MODEL"]);
    fails(USAGE, &["simulate", text(good())], &["--data"]);
    fails(USAGE, &["simulate", "--data", "x.npz"], &["FOLDER"]);
    fails(USAGE, &["export", text(good())], &["--output"]);
    fails(USAGE, &["merge", text(good()), "-o", "out"], &["--state", "--data"]);
}

fn refused(test: &str, arguments: &[&str], says: &[&str]) {
    let test = format!("arguments-{test}");
    let data = samples().write(&format!("{test}-data"));
    simulate_fails(&test, USAGE, &data, arguments, says);
}

#[test]
fn no_steps() {
    refused("steps", &["--steps", "0"], &["--steps", "'0'", "from 1"]);
    refused("minus-steps", &["--steps=-1"], &["--steps", "'-1'", "from 1"]);
    refused("epochs", &["--epochs", "0"], &["--epochs", "'0'", "from 1"]);
}

#[test]
fn more_steps_than_can_be_counted() {
    refused("most", &["--steps", "18446744073709551615"], &["--steps", "4294967295"]);
    let data = samples().write("arguments-epochs-data");
    let says = ["4294967295 epochs of 40 samples", "smaller --epochs"];
    simulate_fails("arguments-many", 1, &data, &["--epochs", "4294967295"], &says);
}

#[test]
fn a_rate_that_is_no_positive_number() {
    for rate in ["0", "-1", "-0.005", "NaN", "inf", "1e99", "fast"] {
        let says = ["--rate", rate, "positive number", "0.005"];
        refused(&format!("rate-{rate}"), &["--rate", rate], &says);
    }
}

#[test]
fn a_normalisation_that_is_none() {
    for pair in ["nonsense", "1", "1,0", "1,-2", "nan,1", "0,inf", "1,2,3", ""] {
        let says = ["--normalize", "MEAN,STD", "127.5,127.5"];
        refused(&format!("normalize-{pair}"), &["--normalize", pair], &says);
    }
}

#[test]
fn a_seed_or_a_size_that_is_no_number() {
    refused("seed", &["--seed", "-1"], &["--seed"]);
    fails(USAGE, &["compile", "m.onnx", "-o", "out", "--sram", "lots"], &["--sram", "lots"]);
    fails(USAGE, &["compile", "m.onnx", "-o", "out", "--flash", "-1"], &["--flash", "-1"]);
    fails(USAGE, &["report"], &["FOLDER"]);
}

#[test]
fn a_board_that_run_does_not_know() {
    let args = ["run", text(good()), "--data", "x.npz", "--board", "toaster"];
    fails(USAGE, &args, &["toaster", "qemu-mps2-an386", "host"]);
}
