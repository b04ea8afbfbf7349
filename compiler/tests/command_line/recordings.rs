//! Folders of `.wav` files by class.

use std::fs;
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};
use offshoot_simulator::data::audio::{clip, features};
use offshoot_simulator::data::{DataSpec, Split};

use super::support::{archive, folder, loaded, simulate_fails, text, FAILED};

/// Features that fill the demo's input of 8 x 8, of recordings of 2720 samples.
const SPEC: &str = "[audio]\nbands = 8\nlow_hz = 100\n";
const LENGTH: usize = 2720;

const INT16: WavSpec = WavSpec {
    channels: 1,
    sample_rate: 16_000,
    bits_per_sample: 16,
    sample_format: SampleFormat::Int,
};

/// A sample of recording `index`, from -1 to 1.
fn tone(index: usize, n: usize, rate: u32) -> f64 {
    let hz = 200.0 + 130.0 * index as f64;
    0.6 * (std::f64::consts::TAU * hz * n as f64 / f64::from(rate)).sin()
}

fn write(path: &Path, spec: WavSpec, length: usize, index: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = WavWriter::create(path, spec).unwrap();
    for n in 0..length {
        let sample = tone(index, n, spec.sample_rate);
        for _ in 0..spec.channels {
            match spec.sample_format {
                SampleFormat::Float => file.write_sample(sample as f32).unwrap(),
                SampleFormat::Int => {
                    let full = f64::from(1u32 << (spec.bits_per_sample - 1));
                    file.write_sample((sample * full) as i32).unwrap();
                }
            }
        }
    }
    file.finalize().unwrap();
}

/// Two classes, divided.
fn recordings(test: &str, spec: WavSpec, length: usize) -> PathBuf {
    let root = folder(test);
    for (index, class) in ["no", "yes"].into_iter().enumerate() {
        for (split, count) in [("train", 3), ("test", 2)] {
            for nth in 0..count {
                let path = root.join(split).join(class).join(format!("{nth}.wav"));
                write(&path, spec, length, 10 * index + nth);
            }
        }
    }
    root
}

#[test]
fn recordings_become_the_features_that_a_device_computes() {
    let root = recordings("recordings-features", INT16, LENGTH);
    let audio = DataSpec::parse(SPEC).unwrap().audio.spec().unwrap();
    let split = |split: &str| {
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for (label, class) in ["no", "yes"].into_iter().enumerate() {
            let mut files: Vec<_> = fs::read_dir(root.join(split).join(class)).unwrap().collect();
            files.sort_by_key(|f| f.as_ref().unwrap().path());
            for file in files {
                let samples = clip(&file.unwrap().path(), 16_000, false).unwrap();
                values.extend(features(&audio, &samples).unwrap());
                labels.push(label as i64);
            }
        }
        let values = ndarray::Array4::from_shape_vec((labels.len(), 8, 8, 1), values).unwrap();
        (values, ndarray::Array1::from(labels))
    };
    let (mut file, path) = archive("recordings-npz");
    for name in ["train", "test"] {
        let (values, labels) = split(name);
        file.add_array(format!("x_{name}"), &values).unwrap();
        file.add_array(format!("y_{name}"), &labels).unwrap();
    }
    file.finish().unwrap();
    assert_eq!(loaded(&root, SPEC), loaded(&path, ""));
}

/// The largest difference between samples of two splits.
fn difference(a: &Split, b: &Split) -> u8 {
    assert_eq!(a.len(), b.len());
    let values = (0..a.len()).flat_map(|i| a.input(i).iter().zip(b.input(i)));
    values.map(|(x, y)| x.abs_diff(*y)).max().unwrap()
}

#[test]
fn every_encoding_is_read() {
    let spec = format!("{SPEC}high_hz = 3000\nfloor = 1e-2\nresample = true\n");
    let expected = loaded(&recordings("recordings-int16", INT16, LENGTH), &spec);
    assert!(difference(&expected.train, &expected.train) == 0 && !expected.test.is_empty());
    let float = SampleFormat::Float;
    for (name, wav, most) in [
        ("int24", WavSpec { bits_per_sample: 24, ..INT16 }, 1),
        ("int32", WavSpec { bits_per_sample: 32, ..INT16 }, 1),
        ("float", WavSpec { bits_per_sample: 32, sample_format: float, ..INT16 }, 1),
        ("stereo", WavSpec { channels: 2, ..INT16 }, 1),
        ("int8", WavSpec { bits_per_sample: 8, ..INT16 }, 90),
        ("fast", WavSpec { sample_rate: 44_100, ..INT16 }, 90),
    ] {
        let length = LENGTH * wav.sample_rate as usize / 16_000;
        let root = recordings(&format!("recordings-{name}"), wav, length);
        let found = loaded(&root, &spec);
        let difference = difference(&found.train, &expected.train);
        assert!(difference <= most, "{name}: {difference}");
    }
}

#[test]
fn recordings_are_cut_or_continued_with_silence() {
    let exact = loaded(&recordings("recordings-exact", INT16, LENGTH), SPEC);
    let long = loaded(&recordings("recordings-long", INT16, 3 * LENGTH), SPEC);
    assert_eq!(long, exact);
    let short = loaded(&recordings("recordings-short", INT16, LENGTH / 2), SPEC);
    assert_eq!(short.train.input(0)[..24], exact.train.input(0)[..24]);
    assert_ne!(short.train.input(0)[56..], exact.train.input(0)[56..]);
}

fn refused(test: &str, root: &Path, spec: &str, says: &[&str]) {
    let test = format!("recordings-{test}-run");
    let path = folder(&format!("{test}-spec")).join("spec.toml");
    fs::write(&path, spec).unwrap();
    simulate_fails(&test, FAILED, root, &["--data-spec", text(&path)], says);
}

#[test]
fn another_rate() {
    let root = recordings("recordings-rate", WavSpec { sample_rate: 8_000, ..INT16 }, LENGTH);
    let says = ["0.wav", "8000 samples a second", "16000", "`rate`", "resample = true"];
    refused("rate", &root, SPEC, &says);
    loaded(&root, &format!("{SPEC}resample = true\n"));
    loaded(&root, &format!("{SPEC}rate = 8000\n"));
}

#[test]
fn broken_recordings() {
    let root = recordings("recordings-broken", INT16, LENGTH);
    let path = root.join("train/yes/1.wav");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    refused("torn", &root, SPEC, &["train/yes/1.wav", "no whole .wav", "save it again"]);
    fs::write(&path, b"").unwrap();
    refused("hollow", &root, SPEC, &["train/yes/1.wav", "no whole .wav"]);
    fs::write(&path, [0x55; 500]).unwrap();
    refused("noise", &root, SPEC, &["train/yes/1.wav", "no whole .wav"]);
    write(&path, INT16, 0, 0);
    refused("silent", &root, SPEC, &["train/yes/1.wav", "no samples", "record it again"]);
    let (bits_per_sample, sample_format) = (32, SampleFormat::Float);
    let mut file =
        WavWriter::create(&path, WavSpec { bits_per_sample, sample_format, ..INT16 }).unwrap();
    for sample in [0.0, 0.5, f32::NAN, 0.0] {
        file.write_sample(sample).unwrap();
    }
    file.finalize().unwrap();
    refused("nan", &root, SPEC, &["train/yes/1.wav", "sample 2 is NaN", "save the file again"]);
    // A chunk of the format that no one writes: 12 bits.
    let mut odd = whole.clone();
    odd[34] = 12;
    fs::write(&path, odd).unwrap();
    refused("odd", &root, SPEC, &["train/yes/1.wav"]);
}

/// Whatever the header says, there are samples or a message.
#[test]
fn damaged_headers_never_panic() {
    let path = folder("recordings-header").join("clip.wav");
    for (bits_per_sample, sample_format) in [(16, SampleFormat::Int), (32, SampleFormat::Float)] {
        let spec = WavSpec { bits_per_sample, sample_format, channels: 2, ..INT16 };
        write(&path, spec, 20, 3);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len().min(90) {
            for value in [0, 1, 3, 7, 0x40, 0x7f, 0x80, 0xfe, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                fs::write(&path, &damaged).unwrap();
                let _ = clip(&path, 16_000, true).map_err(|e| assert!(!e.to_string().is_empty()));
            }
            fs::write(&path, &whole[..at]).unwrap();
            assert!(clip(&path, 16_000, true).is_err() || at >= 68, "{at}");
        }
    }
}

#[test]
fn features_that_do_not_fit_the_input() {
    let root = recordings("recordings-shape", INT16, LENGTH);
    let says = ["frames of 40 values", "[8, 8, 1]", "`bands` or `mfcc`"];
    refused("shape", &root, "", &says);
    refused("width", &root, "[audio]\nbands = 16\n", &["frames of 16 values", "[8, 8, 1]"]);
}

#[test]
fn classes_without_recordings() {
    let root = recordings("recordings-empty", INT16, LENGTH);
    fs::create_dir(root.join("train/maybe")).unwrap();
    refused("empty", &root, SPEC, &["train/maybe", "holds no .wav file", "remove the class"]);
}
