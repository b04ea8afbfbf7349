//! Samples that cannot be learnt from.

use std::fs;

use ndarray::{s, Array1, Array4};

use super::support::{archive, folder, samples, simulate_fails, Samples, FAILED};

const FILE: &str = "samples.npz";

fn refused(test: &str, change: impl FnOnce(&mut Samples), says: &[&str]) {
    let test = format!("data-{test}");
    let mut samples = samples();
    change(&mut samples);
    let path = samples.write(&format!("{test}-file"));
    simulate_fails(&test, FAILED, &path, &[], &[&[FILE], says].concat());
}

fn bytes(test: &str, content: &[u8], says: &[&str]) {
    let test = format!("data-{test}");
    let path = folder(&format!("{test}-file")).join(FILE);
    fs::write(&path, content).unwrap();
    simulate_fails(&test, FAILED, &path, &[], &[&[FILE], says].concat());
}

#[test]
fn labels_that_are_no_classes() {
    let says = ["label 10 of train sample 3", "10 classes", "--classes 11"];
    refused("label", |s| s.y_train[3] = 10, &says);
    let says = ["label -1 of test sample 5", "10 classes", "from 0"];
    refused("minus", |s| s.y_test[5] = -1, &says);
    refused("vast", |s| s.y_test[5] = i64::MAX, &["label 9223372036854775807", "10 classes"]);
    refused("far", |s| s.y_train[0] = 65536 + 3, &["label 65539", "10 classes"]);
}

#[test]
fn no_samples() {
    let none = Array4::zeros((0, 8, 8, 1));
    let train = |s: &mut Samples| {
        (s.x_train, s.y_train) = (none.clone(), Array1::zeros(0));
    };
    refused("no-train", train, &["train split has no samples", "need"]);
    let test = |s: &mut Samples| {
        (s.x_test, s.y_test) = (none.clone(), Array1::zeros(0));
    };
    refused("no-test", test, &["test split has no samples", "need"]);
}

#[test]
fn fewer_labels_than_samples() {
    let cut = |s: &mut Samples| s.y_train = s.y_train.slice(s![..7]).to_owned();
    refused("labels", cut, &["`x_train`", "2560 values for 7 labels", "as many"]);
    let cut = |s: &mut Samples| s.y_test = Array1::zeros(0);
    refused("no-labels", cut, &["test", "need"]);
}

#[test]
fn samples_of_another_size() {
    let narrow = |s: &mut Samples| {
        s.x_train = s.x_train.slice(s![.., .., ..7, ..]).to_owned();
        s.x_test = s.x_test.slice(s![.., .., ..7, ..]).to_owned();
    };
    refused("size", narrow, &["[8, 7, 1]", "[8, 8, 1]", "resize"]);
    let colour = |s: &mut Samples| {
        (s.x_train, s.x_test) = (Array4::zeros((40, 8, 8, 3)), Array4::zeros((24, 8, 8, 3)));
    };
    refused("colour", colour, &["[8, 8, 3]", "[8, 8, 1]", "resize"]);
    let uneven = |s: &mut Samples| s.x_test = s.x_test.slice(s![.., ..6, .., ..]).to_owned();
    refused("uneven", uneven, &["`x_test`", "[6, 8, 1]", "[8, 8, 1]", "agree"]);
}

#[test]
fn missing_arrays() {
    let names = ["x_train", "y_train", "x_test", "y_test"];
    for missing in names {
        let test = format!("data-without-{missing}");
        let (mut file, path) = archive(&format!("{test}-file"));
        let samples = samples();
        for name in names.iter().filter(|name| **name != missing) {
            match *name {
                "x_train" => file.add_array(*name, &samples.x_train).unwrap(),
                "y_train" => file.add_array(*name, &samples.y_train).unwrap(),
                "x_test" => file.add_array(*name, &samples.x_test).unwrap(),
                _ => file.add_array(*name, &samples.y_test).unwrap(),
            }
        }
        file.finish().unwrap();
        let array = format!("`{missing}` is missing");
        let says = [FILE, &array, "expected x_train, y_train, x_test and y_test"];
        simulate_fails(&test, FAILED, &path, &[], &says);
    }
    let (file, path) = archive("data-hollow-file");
    file.finish().unwrap();
    simulate_fails("data-hollow", FAILED, &path, &[], &[FILE, "`x_train` is missing", "none"]);
}

#[test]
fn values_that_are_no_numbers() {
    for (test, value) in [("nan", f32::NAN), ("infinite", f32::INFINITY)] {
        let test = format!("data-{test}");
        let (mut file, path) = archive(&format!("{test}-file"));
        let samples = samples();
        let mut images = samples.x_train.mapv(f32::from);
        images[[11, 2, 3, 0]] = value;
        file.add_array("x_train", &images).unwrap();
        file.add_array("y_train", &samples.y_train).unwrap();
        file.add_array("x_test", &samples.x_test.mapv(f32::from)).unwrap();
        file.add_array("y_test", &samples.y_test).unwrap();
        file.finish().unwrap();
        let says = [FILE, "train sample 11", &value.to_string(), "leave that sample out"];
        simulate_fails(&test, FAILED, &path, &[], &says);
    }
}

#[test]
fn arrays_of_another_type() {
    let samples = samples();
    let (mut file, path) = archive("data-real-labels-file");
    file.add_array("x_train", &samples.x_train).unwrap();
    file.add_array("y_train", &samples.y_train.mapv(|v| v as f64)).unwrap();
    file.finish().unwrap();
    let says = [FILE, "`y_train`", "does not hold integers", "int64"];
    simulate_fails("data-real-labels", FAILED, &path, &[], &says);
    let (mut file, path) = archive("data-wide-file");
    file.add_array("x_train", &samples.x_train.mapv(u64::from)).unwrap();
    file.finish().unwrap();
    simulate_fails("data-wide", FAILED, &path, &[], &[FILE, "`x_train`", "none of uint8", "save"]);
}

#[test]
fn what_is_no_archive() {
    let missing = folder("data-missing-file").join(FILE);
    let says = [FILE, "No such file", "expected an .npz archive"];
    simulate_fails("data-missing", FAILED, &missing, &[], &says);
    simulate_fails("data-folder", FAILED, &folder("data-folder-file"), &[], &["expected an .npz"]);
    bytes("empty", b"", &["expected an .npz archive"]);
    bytes("text", b"label,pixel\n1,2\n", &["expected an .npz archive"]);
}

#[test]
fn a_damaged_archive() {
    let whole = fs::read(samples().write("data-whole-file")).unwrap();
    for (index, length) in [10, whole.len() / 2, whole.len() - 1].into_iter().enumerate() {
        bytes(&format!("torn-{index}"), &whole[..length], &["expected an .npz archive"]);
    }
    // Within the images, where only the archive's own checksum can tell.
    let mut flipped = whole.clone();
    flipped[1000] ^= 0x10;
    bytes("flipped", &flipped, &["`x_train`", "cannot be read", "save the file again"]);
}

/// An archive of coded images; `change` spoils it.
fn jpeg(test: &str, change: impl FnOnce(&mut Coded), says: &[&str]) {
    let mut coded = Coded::new();
    change(&mut coded);
    let test = format!("data-jpeg-{test}");
    let (mut file, path) = archive(&format!("{test}-file"));
    file.add_array("jpeg", &Array1::from(coded.jpeg)).unwrap();
    file.add_array("offsets", &Array1::from(coded.offsets)).unwrap();
    file.add_array("labels", &Array1::from(coded.labels)).unwrap();
    if let Some(is_test) = coded.is_test {
        file.add_array("is_test", &Array1::from(is_test)).unwrap();
    }
    file.finish().unwrap();
    simulate_fails(&test, FAILED, &path, &[], &[&[FILE], says].concat());
}

struct Coded {
    jpeg: Vec<u8>,
    offsets: Vec<i64>,
    labels: Vec<i64>,
    is_test: Option<Vec<bool>>,
}

impl Coded {
    fn new() -> Coded {
        let mut coded =
            Coded { jpeg: vec![], offsets: vec![0], labels: vec![], is_test: Some(vec![]) };
        for index in 0..4u8 {
            coded.add(8, index);
        }
        coded
    }

    /// Adds a square image.
    fn add(&mut self, size: u32, index: u8) {
        let image = image::RgbImage::from_pixel(size, size, image::Rgb([index * 60; 3]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
        self.jpeg.extend(bytes.into_inner());
        self.offsets.push(self.jpeg.len() as i64);
        self.labels.push(i64::from(index % 2));
        self.is_test.get_or_insert_default().push(index % 2 == 1);
    }
}

#[test]
fn broken_images() {
    let torn = |c: &mut Coded| c.offsets[2] -= 40;
    jpeg("torn", torn, &["`jpeg`", "image 1 does not decode", "save it again"]);
    let noise = |c: &mut Coded| {
        let at = c.offsets[3] as usize;
        c.jpeg[at..].fill(0x55);
    };
    jpeg("noise", noise, &["`jpeg`", "image 3 does not decode", "save it again"]);
    let empty = |c: &mut Coded| c.offsets[1] = 0;
    jpeg("empty", empty, &["`jpeg`", "image 0 does not decode"]);
}

#[test]
fn images_of_several_sizes() {
    jpeg("sizes", |c| c.add(9, 4), &["image 4 is [9, 9, 3]", "[8, 8, 3]", "resize"]);
    jpeg("grey", |_| {}, &["[8, 8, 3]", "[8, 8, 1]", "resize"]);
}

#[test]
fn offsets_that_lead_nowhere() {
    let says = ["`offsets`", "of image 3 leave", "ascend"];
    jpeg("past", |c| c.offsets[4] += 1, &says);
    jpeg("back", |c| c.offsets.swap(1, 2), &["`offsets`", "of image 1 leave", "ascend"]);
    jpeg("minus", |c| c.offsets[0] = -1, &["`offsets`", "of image 0 leave", "ascend"]);
    jpeg("few", |c| c.offsets.truncate(4), &["`offsets`", "4 entries for 4 labels", "expected 5"]);
}

#[test]
fn an_archive_of_images_without_its_lists() {
    jpeg("no-split", |c| c.is_test = None, &["`is_test` is missing", "expected jpeg, offsets"]);
    let short = |c: &mut Coded| c.is_test = Some(vec![true]);
    jpeg("short", short, &["`is_test`", "1 entries for 4 labels", "expected 4"]);
    let none = |c: &mut Coded| {
        (c.offsets, c.labels, c.is_test) = (vec![0], vec![], Some(vec![]));
    };
    jpeg("none", none, &["train split has no samples", "need"]);
}
