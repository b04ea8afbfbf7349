//! Every model of the data folder, quantised or float, compiles with a new head, and learns a
//! sample: the head, all biases, and the weights that are farthest from it.

use offshoot::adapt::HeadStart;
use offshoot::import::import;
use offshoot::ir::Graph;
use offshoot::pipeline::compile;
use offshoot::quantize::{is_real, quantize, Samples};
use offshoot::scheme::Scheme;
use offshoot_simulator::{Memories, Simulation};
use offshoot_tests::cases::{GRU, LSTM, MOBILE, TRANSFORMER};
use offshoot_tests::data_dir;

const MODELS: [&str; 18] = [
    "mcunetv3/mcunet-5fps_int8qdq.onnx",
    "mcunetv3/mbv2-w0.35_int8qdq.onnx",
    "mlperf_tiny/pretrainedResnet_quant.onnx",
    "mlperf_tiny/kws_ref_model.onnx",
    "mlperf_tiny/vww_96_int8.onnx",
    "mlperf_tiny/ad01_int8.onnx",
    "mlperf_tiny/str_ww_ref_model.onnx",
    "others/micro_speech_quantized.onnx",
    "mcunetv3/mcunet-5fps_fp32.onnx",
    "mcunetv3/mbv2-w0.35_fp32.onnx",
    "mlperf_tiny/pretrainedResnet.onnx",
    "mlperf_tiny/resnet8_keras_bn.onnx",
    "mlperf_tiny/kws_ref_model_float32.onnx",
    "mlperf_tiny/vww_96_float.onnx",
    "mlperf_tiny/vww_mobilenetv1_keras_bn.onnx",
    "mlperf_tiny/ad01_fp32.onnx",
    "mlperf_tiny/ad01_keras_bn.onnx",
    "mlperf_tiny/str_ww_keras_bn.onnx",
];
const CLASSES: usize = 5;
const STEPS: usize = 4;

/// The int8 network of a float one, by samples of noise: what it computes matters little here.
fn integers(graph: Graph) -> Graph {
    if !is_real(&graph) {
        return graph;
    }
    let elements = graph.tensor(graph.input.unwrap()).elements();
    let noise = |at: usize| {
        let mixed =
            (at as u32).wrapping_mul(2_654_435_761).rotate_left(15).wrapping_mul(0x9e37_79b9);
        mixed as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    let values = (0..12).map(|s| (0..elements).map(|i| noise(s * elements + i)).collect());
    let (graph, done) =
        quantize(&graph, &Samples { values: values.collect(), input: None }).unwrap();
    println!("{}: {:?}", graph.name, done.candidates[0]);
    graph
}

#[test]
fn models_take_a_new_head() {
    for file in MODELS {
        let path = data_dir().map(|d| d.join("models").join(file)).filter(|p| p.is_file());
        let Some(path) = path else {
            println!("skipped: {file} is not here");
            continue;
        };
        let graph = integers(import(&path).unwrap());
        let scheme = Scheme::from_short("biases=all,0:1").unwrap();
        let compiled = compile(&graph, HeadStart::Zero { classes: CLASSES }, &scheme).unwrap();
        let program = compiled.program.program();
        let elements = program.header.input_shape.elements();
        let sample: Vec<i8> = (0..elements).map(|i| (i * 37 % 251) as u8 as i8).collect();
        let mut memories = Memories::of(&program);
        let mut simulation = Simulation::new(program, &mut memories).unwrap();
        let start = simulation.state_hash();
        let losses: Vec<f32> =
            (0..STEPS).map(|_| simulation.train(0, &sample, 3, 1e-3).unwrap().loss).collect();
        println!("{file}: losses {losses:?}");
        // A head of zeros gives each class the same chance.
        assert!((losses[0] - (CLASSES as f32).ln()).abs() < 1e-3, "{file}: {losses:?}");
        assert!(losses[STEPS - 1] < losses[0], "{file}: {losses:?}");
        assert_ne!(simulation.state_hash(), start, "{file}");
    }
}

/// Networks that PyTorch exported, with a new head: the loss falls over a pass through some samples, with
/// gradients through attention, and through all steps of recurrent layers.
#[test]
fn networks_of_pytorch_learn() {
    const ROUND: usize = 240;
    for case in [TRANSFORMER, LSTM, GRU, MOBILE] {
        if !case.is_there() {
            continue;
        }
        let compiled = case.compile(None);
        let data = case.samples(&compiled);
        let program = compiled.program.program();
        let mut memories = Memories::of(&program);
        let mut simulation = Simulation::new(program, &mut memories).unwrap();
        let order = data.train.spread(ROUND);
        let losses: Vec<f32> = order
            .iter()
            .map(|&at| simulation.train(at, data.train.input(at), data.train.label(at), 5e-3))
            .map(|step| step.unwrap().loss)
            .collect();
        let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
        let (first, last) = (mean(&losses[..ROUND / 4]), mean(&losses[ROUND * 3 / 4..]));
        println!("{}: loss {first:.3}, then {last:.3}", case.name);
        assert!(last < 0.8 * first, "{}: {first}, then {last}", case.name);
    }
}
