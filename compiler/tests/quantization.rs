//! Post-training quantisation against the float network on test splits: the share of right answers may
//! fall by a point.

use std::fs::File;
use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2, Array3, Array4, Axis};
use ndarray_npy::NpzReader;
use offshoot::adapt::{features, HeadStart};
use offshoot::import::import;
use offshoot::ir::Quant;
use offshoot::pipeline::compile;
use offshoot::quantize::{outputs, quantize, Samples};
use offshoot::reference::Values;
use offshoot::scheme::Scheme;
use offshoot_runtime::schedule::default_rate;
use offshoot_simulator::ProgramFile;
use offshoot_tests::{data_dir, skip};

/// Largest loss, as a share of answers.
const MARGIN: f64 = 0.01;

/// Samples to quantise by, and samples with their classes to judge by.
struct Data {
    calibrate: Vec<Vec<f32>>,
    /// Where samples come in integers: their scale and zero point.
    input: Option<Quant>,
    test: Vec<(Vec<f32>, usize)>,
}

fn loses_at_most_a_point(model: &Path, data: Data) {
    let graph = import(model).unwrap();
    let (input, output) = (graph.input.unwrap(), graph.output.unwrap());
    let samples = Samples { values: data.calibrate, input: data.input };
    let (integers, done) = quantize(&graph, &samples).unwrap();
    let best = &done.candidates[0];
    let right = |scores: &[f32], class: usize| {
        let found = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        usize::from(found == Some(class))
    };
    let mut values = Values::<f32>::new(&graph);
    let mut float = 0;
    for (sample, class) in &data.test {
        values.set(input, sample.clone());
        values.run(0, graph.nodes().len());
        float += right(values.get(output), *class);
    }
    let tests: Vec<Vec<f32>> = data.test.iter().map(|(sample, _)| sample.clone()).collect();
    let found = outputs(&integers, &tests).unwrap();
    let int8: usize = found.iter().zip(&data.test).map(|(s, (_, class))| right(s, *class)).sum();
    let share = |n: usize| n as f64 / data.test.len() as f64;
    println!(
        "{}: float {:.4}, int8 {:.4} of {} ({} ranges, equalised {}, corrected {}, {:.1} dB)",
        graph.name,
        share(float),
        share(int8),
        data.test.len(),
        best.method.name(),
        best.equalized,
        best.corrected,
        best.signal_to_noise
    );
    assert!(share(int8) >= share(float) - MARGIN, "{}", graph.name);
}

fn archive(file: &str) -> Option<NpzReader<File>> {
    let path = data_dir()?.join(file);
    Some(NpzReader::new(File::open(path).ok()?).unwrap())
}

fn model(file: &str) -> Option<PathBuf> {
    Some(data_dir()?.join("models").join(file)).filter(|path| path.is_file())
}

#[test]
fn resnet8_on_small_photographs() {
    let (Some(model), Some(mut images)) =
        (model("mlperf_tiny/resnet8_keras_bn.onnx"), archive("images/cifar10_s.npz"))
    else {
        skip!("no ResNet8, or no images")
    };
    let mut rows = |name: &str| -> Vec<Vec<f32>> {
        let x: Array4<u8> = images.by_name(name).unwrap();
        x.axis_iter(Axis(0)).map(|x| x.iter().map(|&p| f32::from(p)).collect()).collect()
    };
    let [calibrate, test] = ["x_train", "x_test"].map(&mut rows);
    let labels: Array1<u8> = images.by_name("y_test").unwrap();
    let test = test.into_iter().zip(labels.iter().map(|&l| usize::from(l))).collect();
    let input = Some(Quant::per_tensor(1.0, -128));
    loses_at_most_a_point(&model, Data { calibrate, input, test });
}

/// Images of a JPEG archive, every `part`-th of the split, in 96 by 96 pixels from 0 to 1.
fn photographs(file: &str, tests: bool, part: usize) -> Option<Vec<Vec<f32>>> {
    let mut images = archive(file)?;
    let bytes: Array1<u8> = images.by_name("jpeg").unwrap();
    let offsets: Array1<u32> = images.by_name("offsets").unwrap();
    let is_test: Array1<u8> = images.by_name("is_test").unwrap();
    let bytes = bytes.as_slice().unwrap();
    let chosen = (0..is_test.len()).filter(|&i| (is_test[i] == 1) == tests).step_by(part);
    let image = |i: usize| {
        let jpeg = &bytes[offsets[i] as usize..offsets[i + 1] as usize];
        let image = image::load_from_memory(jpeg).unwrap();
        let small = image.resize_exact(96, 96, image::imageops::FilterType::Triangle).to_rgb8();
        small.into_raw().into_iter().map(|p| f32::from(p) / 255.0).collect()
    };
    Some(chosen.map(image).collect())
}

/// There is no split of visual wake words here: faces are persons, flowers are none.
#[test]
fn mobilenet_on_persons_and_flowers() {
    const FILES: [&str; 2] = ["images/flowers5_128_jpeg.npz", "images/facemask_128_jpeg.npz"];
    let Some(model) = model("mlperf_tiny/vww_mobilenetv1_keras_bn.onnx") else {
        skip!("no MobileNetV1")
    };
    let (mut calibrate, mut test) = (Vec::new(), Vec::new());
    for (class, file) in FILES.into_iter().enumerate() {
        let (Some(some), Some(all)) = (photographs(file, false, 16), photographs(file, true, 1))
        else {
            skip!("no {file}")
        };
        calibrate.extend(some);
        test.extend(all.into_iter().map(|image| (image, class)));
    }
    let input = Some(Quant::per_tensor(1.0 / 255.0, -128));
    loses_at_most_a_point(&model, Data { calibrate, input, test });
}

/// Windows of accelerations or frames of speech, in steps of 1/32, which is what networks on them read.
fn signals(file: &str) -> Option<Data> {
    let mut windows = archive(&format!("signals/{file}.npz"))?;
    let mut rows = |name: &str| -> Vec<Vec<f32>> {
        let x: Array3<i8> = windows.by_name(name).unwrap();
        x.axis_iter(Axis(0)).map(|x| x.iter().map(|&v| f32::from(v) / 32.0).collect()).collect()
    };
    let [calibrate, test] = ["x_train", "x_test"].map(&mut rows);
    let labels: Array1<u8> = windows.by_name("y_test").unwrap();
    let test = test.into_iter().zip(labels.iter().map(|&l| usize::from(l))).collect();
    Some(Data { calibrate, input: Some(Quant::per_tensor(1.0 / 32.0, 0)), test })
}

fn vectors(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors").join(file)
}

#[test]
fn one_dimensional_network_on_accelerations() {
    let Some(data) = signals("hmp7_accel") else { skip!("no accelerations") };
    loses_at_most_a_point(&vectors("hmp7_conv1d.onnx"), data);
}

/// What the default rate goes by is what the samples' features have, and comes to the program.
#[test]
fn energy_of_features_is_measured_and_kept() {
    let graph = import(&vectors("hmp7_conv1d.onnx")).unwrap();
    let size = graph.tensor(graph.input.unwrap()).elements();
    let value = |i: usize, seed: usize| ((i * 7 + seed * 13) % 17) as f32 / 4.0 - 2.0;
    let sample = |seed: usize| (0..size).map(|i| value(i, seed)).collect::<Vec<f32>>();
    let values: Vec<Vec<f32>> = (0..32).map(sample).collect();
    // Every fourth is held out.
    let kept: Vec<Vec<f32>> = (0..32).filter(|i| i % 4 != 3).map(sample).collect();
    let (integers, _) = quantize(&graph, &Samples { values, input: None }).unwrap();
    let energy = integers.feature_energy.unwrap();
    let (input, read) = (integers.input.unwrap(), features(&integers).unwrap());
    let mut values = Values::<f32>::new(&integers);
    let mut found = 0.0;
    for sample in &kept {
        values.set(input, sample.clone());
        values.run(0, integers.nodes().len());
        found += values.get(read).iter().map(|v| v * v).sum::<f32>() / kept.len() as f32;
    }
    // Weights are rounded to int8 and ranges are cut.
    assert!((energy / found - 1.0).abs() < 0.1, "{energy} {found}");

    let start = HeadStart::Zero { classes: 3 };
    let file = compile(&integers, start, &Scheme::default()).unwrap().program;
    assert_eq!(file.feature_energy, Some(energy));
    assert_eq!(default_rate(&file.program()), (1.0 / energy).clamp(1e-3, 4e-2));
    // In a file it takes four bytes, and none where it is not known.
    let unknown = ProgramFile { feature_energy: None, ..file.clone() };
    let [with, without] = [&file, &unknown].map(|file| file.encode().unwrap());
    assert_eq!(with.len(), without.len() + 4);
    assert_eq!(ProgramFile::decode(&without).unwrap(), unknown);
}

/// A network that PyTorch trained and exported gives the logits that PyTorch gives, and in integers as
/// many right answers.
fn as_pytorch_has_it(name: &str, file: &str) {
    let Some(data) = signals(file) else { skip!("no signals") };
    let model = vectors(&format!("{name}.onnx"));
    let graph = import(&model).unwrap();
    let mut recorded = NpzReader::new(File::open(vectors("torch.npz")).unwrap()).unwrap();
    let recorded: Array2<f32> = recorded.by_name(name).unwrap();
    let mut values = Values::<f32>::new(&graph);
    for (logits, (sample, _)) in recorded.axis_iter(Axis(0)).zip(&data.test) {
        values.set(graph.input.unwrap(), sample.clone());
        values.run(0, graph.nodes().len());
        let found = values.get(graph.output.unwrap());
        let most = logits.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        assert_eq!(found.len(), logits.len());
        for (found, logit) in found.iter().zip(logits) {
            assert!((found - logit).abs() <= 1e-4 * most, "{name}: {found:?}, not {logit}");
        }
    }
    loses_at_most_a_point(&model, data);
}

#[test]
fn transformer_of_pytorch() {
    as_pytorch_has_it("hmp7_transformer", "hmp7_accel");
}

#[test]
fn lstm_of_pytorch() {
    as_pytorch_has_it("hmp7_lstm", "hmp7_accel");
}

#[test]
fn gru_of_pytorch() {
    as_pytorch_has_it("wakeword6_gru", "wakeword6_mfcc");
}

#[test]
fn mobile_network_of_pytorch() {
    as_pytorch_has_it("wakeword6_mobile", "wakeword6_mfcc");
}
