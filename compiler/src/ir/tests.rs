//! Text goes back and forth, and the verifier sees what text cannot even say.

use std::sync::Arc;

use super::*;
use crate::ops::{Add, Requantize};
use offshoot_runtime::program::op::Precision;

const NET: &str = r#"graph "net" source 0x1f
%0 "x" i8[1,2,2,1] scale 0.5 zero -3
%1 "w" i8[2,1,1,1] scale [0.1,0.25] axis 0 zero 0 trained stochastic channels [0] data [7,-128]
%2 "b" i32[2] scale 0.05 zero 0 trained residual data [-2147483648,2147483647]
%3 "y" i8[1,2,2,2] scale 1e-7 zero -128
"conv" conv2d %0 %1 %2 -> %3 {kernel [1,1], stride [1,1], pad [0,0,0,0], groups [1], clamp [-128,5]}
input %0
output %3
"#;

fn round_trip(graph: &Graph) {
    let text = print(graph, Constants::Full);
    assert_eq!(parse(&text).as_ref(), Ok(graph), "{text}");
}

fn message(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// An int8 tensor of 2 elements.
fn activation(name: &str) -> Tensor {
    Tensor::computed(name, DType::I8, vec![1, 1, 1, 2]).quantized(Quant::per_tensor(0.1, 0))
}

/// `y = requantize(x)`.
fn small() -> Graph {
    let mut graph = Graph::new("small", 0);
    let x = graph.add_tensor(activation("x"));
    let op = Requantize { clamp: None };
    graph.input = Some(x);
    graph.output = Some(graph.add_op("op", op.into(), vec![x], activation("y")));
    graph
}

#[test]
fn text_is_printed_as_it_was_parsed() {
    let graph = parse(NET).unwrap();
    assert_eq!(print(&graph, Constants::Full), NET);
    round_trip(&graph);
}

#[test]
fn odd_names_go_back_and_forth() {
    let names = [
        "",
        " ",
        "a \"quoted\" name",
        "back\\slash\\",
        "new\nline\r\n",
        "tab\tnull\0bell\u{7}",
        "a // b",
        "//",
        "{[%0, ->]}",
        "größe 层 🌱",
        "e\u{301} \u{200b}\u{202e}",
        "it's",
        "\\u{301}",
    ];
    for name in names {
        let mut graph = small();
        graph.name = name.into();
        graph.tensor_mut(TensorId::new(0)).name = name.into();
        graph.node_mut(NodeId::new(0)).name = name.into();
        round_trip(&graph);
    }
}

#[test]
fn every_type_and_value_goes_back_and_forth() {
    let mut graph = small();
    let constants = [
        Data::I8(Arc::new(vec![i8::MIN, 0, i8::MAX])),
        Data::I16(Arc::new(vec![i16::MIN, 0, i16::MAX])),
        Data::I32(Arc::new(vec![i32::MIN, 0, i32::MAX])),
    ];
    for (axis, data) in constants.into_iter().enumerate() {
        let scales = vec![f32::MIN_POSITIVE, 0.1, f32::MAX];
        let quant = Quant::per_axis(scales, axis);
        let mut tensor = Tensor::constant("c", vec![3, 3, 3], data, quant);
        let rule = [
            Rule::Plain,
            Rule::Normed { size: 0.1, most: 3.0 },
            Rule::Orthonormal { size: 1e-3, strength: 7.5, columns: true },
        ][axis];
        let plain = Trained::plain(Precision::Stochastic, None);
        let pace = [1.0, 0.1, 3.0][axis];
        tensor.trained = Some(Trained { rule, pace, ..plain });
        graph.add_tensor(tensor);
    }
    let one_scale = Quant { scale: vec![0.3], zero: 7, axis: 3 };
    graph.add_tensor(activation("one scale along an axis").quantized(one_scale));
    for dtype in [DType::I16, DType::I32, DType::Bit, DType::Error, DType::Stream] {
        graph.add_tensor(Tensor::computed(dtype.name(), dtype, vec![65535, 1]));
    }
    graph.source_hash = u64::MAX;
    graph.feature_energy = Some(354.463_56);
    round_trip(&graph);
}

#[test]
fn comments_and_empty_lines_are_skipped() {
    let commented: String =
        NET.lines().map(|line| format!("\n  // a comment\n  {line} // \"another\n")).collect();
    assert_eq!(parse(&commented), parse(NET));
    assert_eq!(parse("// nothing"), Ok(Graph::default()));
}

#[test]
fn elided_constants_do_not_parse() {
    let mut graph = small();
    let data = Data::I8(Arc::new(vec![1; 17]));
    graph.add_tensor(Tensor::constant("c", vec![17], data, Quant::per_tensor(1.0, 0)));
    let text = print(&graph, Constants::Elided);
    assert!(message(&text).contains("data were left out"), "{text}");
    round_trip(&graph);
}

#[test]
fn what_does_not_parse_is_said_with_its_line() {
    let tensor = "%0 \"x\" i8[1] scale 1 zero 0";
    for (text, expected) in [
        ("graph net", "line 1: expected a quoted name, found `net`"),
        ("\ngraph \"net\" hash 0x0", "line 2: expected `source`, found `hash`"),
        ("graph \"net\" source 0xfg", "`0xfg` is no hexadecimal hash"),
        ("energy much", "`much` is not an energy"),
        ("graph \"net\" source 0x0 more", "unexpected `more` at the end"),
        ("%1 \"x\" i8[1]", "tensor %1 is out of order, expected %0"),
        ("%x \"x\" i8[1]", "`%x` is no tensor"),
        ("%0 \"x\" u8[1]", "there is no type `u8`"),
        ("%0 \"x\" i8[-1]", "`-1` is no integer in range"),
        ("%0 \"x\" i8[1", "the line ends too early"),
        ("%0 \"x\" i8[1] scale low", "`low` is not a scale"),
        ("%0 \"x\" i8[1] zero 1", "`zero` without a scale"),
        ("%0 \"x\" i8[1] channels [1]", "`channels` of what is not trained"),
        (
            "%0 \"x\" i8[1] trained fully",
            "`fully` is none of residual, stochastic, sign and picked",
        ),
        ("%0 \"x\" i8[1] data [128]", "`128` is no integer in range"),
        ("%0 \"x\" err[1] data [1]", "a tensor of type err has no data"),
        ("%0 \"x\" i8[1] colour 3", "there is no tensor property `colour`"),
        ("%0 \"x", "a name has no closing quote"),
        ("%0 \"\\x\" i8[1]", "unknown escape in a name"),
        ("%0 \"\\u{110000}\" i8[1]", "no character has that code"),
        ("%0 \"\\u{\" i8[1]", "no character has that code"),
        ("input %0", "`%0` is no tensor of this graph"),
        ("[1]", "a line cannot begin with `[`"),
        ("\"op\" teleport -> {}", "there is no op `teleport`; the ops are conv2d, add,"),
        ("\"op\" add -> {clamp [1]}", "attribute `clamp` is [1], expected 2 value(s) in range"),
        ("\"op\" add -> {clamp [0,128]}", "expected 2 value(s) in range"),
        ("\"op\" avg_pool -> {}", "node \"op\": attribute `kernel` is missing"),
        ("\"op\" add {}", "expected `->`, found `{`"),
    ] {
        let actual = message(text);
        assert!(actual.contains(expected), "{text}: {actual}");
    }
    assert!(message(&format!("{tensor}\n\"op\" add %0 %1 -> %0 {{}}")).starts_with("line 2: "));
}

#[test]
fn the_verifier_sees_ids_that_text_cannot_hold() {
    let beyond = TensorId::new(9);
    assert_eq!(verify(&small()), Ok(()));
    let failure = |change: &dyn Fn(&mut Graph)| {
        let mut graph = small();
        change(&mut graph);
        verify(&graph).unwrap_err().to_string()
    };
    assert!(failure(&|g| g.input = Some(beyond)).contains("is %9, which is no tensor"));
    assert!(failure(&|g| g.output = Some(beyond)).contains("is %9, which is no tensor"));
    let node = NodeId::new(0);
    assert!(failure(&|g| g.node_mut(node).inputs[0] = beyond).contains("names %9"));
    assert!(failure(&|g| g.node_mut(node).outputs.push(beyond)).contains("names %9"));
    assert!(failure(&|g| g.feature_energy = Some(-1.0)).contains("no sum of squares"));
    assert!(failure(&|g| g.feature_energy = Some(f32::NAN)).contains("no sum of squares"));
    assert!(failure(&|g| g.output = None).contains("the graph has no output"));
    assert!(failure(&|g| g.node_mut(node).op = Add { clamp: None }.into()).contains("1 inputs"));
}

#[test]
fn retaining_all_nodes_drops_only_what_none_uses() {
    let mut graph = parse(&format!("energy 2.5\n{NET}")).unwrap();
    assert_eq!(graph.retain(|_| true), graph);
    let whole = graph.clone();
    graph.add_tensor(activation("unused"));
    assert_eq!(graph.retain(|_| true), whole);
}
