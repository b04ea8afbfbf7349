//! Update schemes, heads and boards that a network does not go with.

use std::fs;

use super::support::{compile_fails, folder, model, succeeds, text, FAILED, UNFIT, USAGE};

fn refused(test: &str, code: i32, more: &[&str], says: &[&str]) {
    compile_fails(&format!("scheme-{test}"), code, model(), more, says);
}

/// A scheme in a file; the message names the file where `says` does not name the network.
fn file(test: &str, content: &str, says: &[&str]) {
    let path = folder(&format!("scheme-{test}-file")).join("scheme.toml");
    fs::write(&path, content).unwrap();
    refused(test, FAILED, &["--update", text(&path)], says);
}

#[test]
fn a_layer_that_is_not_there() {
    let says = ["digits_int8qdq.onnx", "layer \"blockX\"", "0 \"stem\"", "6 \"last\""];
    refused("name", FAILED, &["--update", "blockX:1"], &says);
    let says = ["digits_int8qdq.onnx", "layer 7", "7 convolutions", "6 \"last\""];
    refused("index", FAILED, &["--update", "7:1/4"], &says);
    file("toml-name", "[[weights]]\nlayer = \"blockX\"\n", &["\"blockX\"", "6 \"last\""]);
    file("toml-bias", "biases = [\"blockX\"]\n", &["\"blockX\"", "6 \"last\""]);
    file("toml-index", "[[weights]]\nlayer = 99\n", &["layer 99", "6 \"last\""]);
}

#[test]
fn a_layer_that_is_named_twice() {
    refused("twice", FAILED, &["--update", "last:1,6:1/2"], &["\"last\"", "twice"]);
}

#[test]
fn a_share_of_more_channels_than_there_are() {
    for share in ["2", "5/4", "0", "-1", "0/0", "1/0", "nan"] {
        let scheme = format!("last:{share}");
        let says = ["layer \"last\"", "share of", "1/4"];
        refused(
            &format!("share-{}", share.replace('/', "-")),
            USAGE,
            &["--update", &scheme],
            &says,
        );
    }
    let content = "[[weights]]\nlayer = \"last\"\nchannels = 1.5\n";
    file("toml-share", content, &["scheme.toml", "layer \"last\"", "1.5", "1/4"]);
}

#[test]
fn more_biases_than_layers() {
    let says = ["last 20 convolutions", "there are 7", "digits_int8qdq.onnx"];
    refused("biases", FAILED, &["--update", "biases=20"], &says);
}

#[test]
fn a_loss_that_does_not_fit() {
    let says = ["digits_int8qdq.onnx", "\"mean-square\"", "[1, 1, 1, 10] of [1, 8, 8, 1]"];
    refused("reproduce", FAILED, &["--update", "loss=mean-square,biases=1"], &says);
    refused("hinge", USAGE, &["--update", "loss=hinge"], &["`loss=hinge`", "write for example"]);
    refused("smooth", USAGE, &["--update", "smoothing=2"], &["smoothing of 2", "0.1"]);
    let says = ["weighs 2 classes", "the network has 10", "one number a class"];
    file("toml-weights", "[loss]\nweights = [1.0, 2.0]\n", &says);
    let says = ["scheme.toml", "`weights` belongs", "change `kind`"];
    file("toml-sigmoid", "[loss]\nkind = \"sigmoid\"\nweights = [1.0]\n", &says);
    let says = ["scheme.toml", "`hinge`", "`softmax`", "`mean-square`"];
    file("toml-loss", "[loss]\nkind = \"hinge\"\n", &says);
}

#[test]
fn what_is_no_scheme() {
    for (test, scheme) in [("word", "everything"), ("key", "bias=3"), ("bare", "24")] {
        refused(test, USAGE, &["--update", scheme], &["--update", scheme, "write for example"]);
    }
    refused("some", USAGE, &["--update", "biases=some"], &["some", "write a number of layers"]);
    refused("minus", USAGE, &["--update", "biases=-3"], &["-3", "write a number of layers"]);
}

#[test]
fn a_file_that_is_no_scheme() {
    file("toml", "biases = = 3\n", &["scheme.toml", "line 1", "not valid TOML"]);
    file("toml-key", "bias = 3\n", &["scheme.toml", "`bias`", "expected one of"]);
    file("toml-type", "biases = 1.5\n", &["scheme.toml", "line 1", "a number of layers"]);
    file("toml-minus", "biases = -1\n", &["scheme.toml", "line 1", "a number of layers"]);
    file("toml-word", "biases = \"some\"\n", &["scheme.toml", "\"some\"", "write a number"]);
    file("toml-precision", "precision = \"half\"\n", &["`half`", "residual", "stochastic"]);
    let none = folder("scheme-none-file").join("none.toml");
    refused("none", FAILED, &["--update", text(&none)], &["none.toml", "cannot read"]);
}

#[test]
fn a_scheme_that_is_no_text() {
    let path = folder("scheme-binary-file").join("scheme.toml");
    fs::write(&path, [0xff, 0xfe, 0x00, 0x80]).unwrap();
    refused("binary", FAILED, &["--update", text(&path)], &["scheme.toml", "cannot read"]);
}

#[test]
fn too_few_or_too_many_classes() {
    for classes in ["0", "1", "65536", "18446744073709551615", "-2", "ten"] {
        let says = ["--classes", classes];
        refused(&format!("classes-{classes}"), USAGE, &["--classes", classes], &says);
    }
    refused("range", USAGE, &["--classes", "1"], &["2..=65535"]);
    refused("none-new", USAGE, &["--add-classes", "0"], &["--add-classes", "1..=65535"]);
    refused("too-many", FAILED, &["--add-classes", "65535"], &["65545 classes", "2 to 65535"]);
    let both = ["--classes", "3", "--add-classes", "1"];
    refused("both", USAGE, &both, &["--classes", "cannot be used with"]);
}

#[test]
fn classes_are_added_to_those_that_are_known() {
    let out = folder("schemes-added");
    let args = ["compile", text(model()), "--add-classes", "2", "-o", text(&out), "--json"];
    let report: serde_json::Value = serde_json::from_str(&succeeds(&args)).unwrap();
    assert_eq!(report["classes"], 12);
}

#[test]
fn a_program_that_does_not_fit() {
    let says = [
        "digits_int8qdq.onnx on qemu-mps2-an386",
        "1000 are available",
        "fullest at op",
        "bytes)",
        "train fewer biases",
        "a board with more SRAM",
    ];
    refused("small", UNFIT, &["--sram", "1000"], &says);
    refused("nothing", UNFIT, &["--sram", "0"], &["0 are available", "train fewer"]);
    // So many classes that their weights alone are too much.
    refused("wide", UNFIT, &["--classes", "4000"], &["trained state", "available"]);
}

#[test]
fn an_unknown_board() {
    let says = ["toaster", "qemu-mps2-an386", "qemu-mps2-an500", "host"];
    refused("board", USAGE, &["--board", "toaster"], &says);
}
