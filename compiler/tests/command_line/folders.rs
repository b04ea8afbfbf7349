//! Folders of arrays, and of images by class.

use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use ndarray::{Array4, ArrayView3, Axis};
use ndarray_npy::WriteNpyExt;

use super::support::{folder, good, loaded, samples, simulate_fails, succeeds, text, FAILED};

/// Writes the samples as `.npy` files.
fn npy(test: &str) -> PathBuf {
    let (folder, samples) = (folder(test), samples());
    let create = |name: &str| fs::File::create(folder.join(name)).unwrap();
    samples.x_train.write_npy(create("x_train.npy")).unwrap();
    samples.y_train.write_npy(create("y_train.npy")).unwrap();
    samples.x_test.write_npy(create("x_test.npy")).unwrap();
    samples.y_test.write_npy(create("y_test.npy")).unwrap();
    folder
}

#[test]
fn arrays_in_a_folder_are_those_of_an_archive() {
    let archive = samples().write("folders-npz");
    assert_eq!(loaded(&npy("folders-npy"), ""), loaded(&archive, ""));
}

#[test]
fn arrays_that_are_missing_or_broken() {
    let path = npy("folders-npy-missing");
    fs::remove_file(path.join("y_test.npy")).unwrap();
    let says = ["`y_test` is missing", "x_test, x_train, y_train"];
    simulate_fails("folders-npy-missing-run", FAILED, &path, &[], &says);
    let path = npy("folders-npy-torn");
    let whole = fs::read(path.join("x_test.npy")).unwrap();
    fs::write(path.join("x_test.npy"), &whole[..whole.len() / 2]).unwrap();
    let says = ["`x_test` cannot be read", "save the file again"];
    simulate_fails("folders-npy-torn-run", FAILED, &path, &[], &says);
    let one = path.join("x_train.npy");
    simulate_fails("folders-npy-one", FAILED, &one, &[], &["one array", "give the folder"]);
}

fn grey(pixels: ArrayView3<u8>) -> GrayImage {
    let (h, w, _) = pixels.dim();
    GrayImage::from_fn(w as u32, h as u32, |x, y| Luma([pixels[[y as usize, x as usize, 0]]]))
}

fn save(path: &Path, image: &GrayImage) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.save_with_format(path, ImageFormat::Png).unwrap();
}

/// Writes the samples as images: `train/class/…` and `test/class/…`.
fn divided(test: &str) -> PathBuf {
    let (root, samples) = (folder(test), samples());
    for (split, x, y) in
        [("train", &samples.x_train, &samples.y_train), ("test", &samples.x_test, &samples.y_test)]
    {
        for (index, (pixels, label)) in x.axis_iter(Axis(0)).zip(y).enumerate() {
            let path = root.join(split).join(label.to_string());
            save(&path.join(format!("{index:03}.png")), &grey(pixels));
        }
    }
    root
}

/// Classes of some images each, not divided.
fn classes(test: &str, names: &[&str]) -> PathBuf {
    let root = folder(test);
    for (class, name) in names.iter().enumerate() {
        for index in 0..12 {
            let image = GrayImage::from_pixel(8, 8, Luma([(class * 12 + index) as u8]));
            save(&root.join(name).join(format!("shot{index}.png")), &image);
        }
    }
    root
}

#[test]
fn images_are_the_samples_of_an_archive() {
    let archive = samples().by_class().write("folders-images-npz");
    let images = divided("folders-images");
    assert_eq!(loaded(&images, ""), loaded(&archive, ""));
    let args = |data: &Path| {
        let args = ["simulate", text(good()), "--data", text(data), "--epochs", "1", "--json"];
        succeeds(&args)
    };
    assert_eq!(args(&images), args(&archive));
}

#[test]
fn images_are_resized_and_made_grey() {
    let images = divided("folders-large");
    let small = loaded(&images, "");
    // Every pixel three by three times, and in colour.
    for split in ["train", "test"] {
        for class in fs::read_dir(images.join(split)).unwrap() {
            for file in fs::read_dir(class.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                let grey = image::open(&path).unwrap().into_luma8();
                let large =
                    RgbImage::from_fn(24, 24, |x, y| Rgb([grey.get_pixel(x / 3, y / 3).0[0]; 3]));
                large.save(path).unwrap();
            }
        }
    }
    for filter in ["auto", "nearest", "area", "bilinear"] {
        let spec = format!("[image]\nfilter = \"{filter}\"\ncrop = \"centre\"\n");
        assert_eq!(loaded(&images, &spec), small, "{filter}");
    }
}

#[test]
fn every_fifth_image_is_held_out_and_stays_there() {
    let root = classes("folders-fifth", &["cat", "dog"]);
    let before = loaded(&root, "");
    assert_eq!(before.train.len() + before.test.len(), 24);
    assert!(!before.test.is_empty() && before.test.len() < 12, "{}", before.test.len());
    for index in 100..140 {
        let path = root.join(format!("dog/more{index}.png"));
        save(&path, &GrayImage::from_pixel(8, 8, Luma([200])));
    }
    let after = loaded(&root, "");
    let pixels = |split: &offshoot_simulator::data::Split| -> Vec<Vec<i8>> {
        let all = (0..split.len()).map(|i| split.input(i).to_vec());
        all.filter(|x| x[0] != (200u8 ^ 0x80) as i8).collect()
    };
    assert_eq!(pixels(&after.train), pixels(&before.train));
    assert_eq!(pixels(&after.test), pixels(&before.test));
    // Files of one group stay together.
    let grouped = loaded(&root, "group_ends = \"0\"\n");
    assert_ne!(grouped.test.len(), after.test.len());
}

#[test]
fn classes_come_by_alphabet_by_number_or_as_told() {
    let label = |root: &Path, spec: &str, pixel: u8| {
        let data = loaded(root, spec);
        let of = |split: &offshoot_simulator::data::Split| {
            (0..split.len())
                .find(|&i| split.input(i)[0] == (pixel ^ 0x80) as i8)
                .map(|i| split.label(i))
        };
        of(&data.train).or_else(|| of(&data.test)).unwrap()
    };
    let root = classes("folders-order", &["dog", "cat"]);
    assert_eq!((label(&root, "", 0), label(&root, "", 12)), (1, 0));
    fs::write(root.join("classes.txt"), "dog\nbird\ncat\n").unwrap();
    assert_eq!((label(&root, "", 0), label(&root, "", 12)), (0, 2));
    let spec = "classes = [\"cat\", \"dog\"]\n";
    assert_eq!((label(&root, spec, 0), label(&root, spec, 12)), (1, 0));
    let root = classes("folders-numbers", &["10", "9"]);
    assert_eq!((label(&root, "", 0), label(&root, "", 12)), (1, 0));
}

fn refused(test: &str, root: &Path, says: &[&str]) {
    simulate_fails(&format!("folders-{test}-run"), FAILED, root, &[], says);
}

#[test]
fn broken_images() {
    let root = classes("folders-torn", &["cat", "dog"]);
    let path = root.join("dog/shot3.png");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    refused("torn", &root, &["dog/shot3.png", "does not decode", "save it again"]);
    fs::write(&path, b"").unwrap();
    refused("hollow", &root, &["dog/shot3.png", "does not decode"]);
    fs::write(&path, [0x55; 500]).unwrap();
    refused("noise", &root, &["dog/shot3.png", "does not decode"]);
}

#[test]
fn folders_that_are_no_classes() {
    let root = classes("folders-empty", &["cat", "dog"]);
    fs::create_dir(root.join("bird")).unwrap();
    refused("empty", &root, &["bird", "holds no .png or .jpg", "remove the class"]);
    fs::write(root.join("bird/notes.txt"), "none").unwrap();
    refused("notes", &root, &["bird", "holds no .png or .jpg"]);
    // Left out: a name that begins with an underscore or a dot.
    fs::rename(root.join("bird"), root.join("_bird")).unwrap();
    loaded(&root, "");
    fs::create_dir(root.join("cat/more")).unwrap();
    refused("deep", &root, &["cat/more", "folder within the class", "move its files up"]);

    let root = classes("folders-unknown", &["cat", "dog"]);
    fs::write(root.join("classes.txt"), "cat\nbird\n").unwrap();
    refused("unknown", &root, &["dog", "no class of those given (cat, bird)"]);
    fs::write(root.join("classes.txt"), "cat\ndog\ncat\n").unwrap();
    refused("twice", &root, &["classes.txt", "`cat` twice"]);
    fs::write(root.join("classes.txt"), "\n").unwrap();
    refused("none", &root, &["classes.txt", "names no class"]);

    let names: Vec<String> = (0..11).map(|i| format!("class{i:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let root = classes("folders-many", &names);
    refused("many", &root, &["11 classes (class00, class01", "has 10", "--classes 11"]);
}

#[test]
fn divisions_that_are_none() {
    let root = divided("folders-half");
    fs::rename(root.join("test"), root.join("later")).unwrap();
    refused("half", &root, &["a folder train but none called test"]);
    fs::rename(root.join("later"), root.join("test")).unwrap();
    fs::create_dir(root.join("validation")).unwrap();
    refused("stray", &root, &["validation", "beside train and test", "move it away"]);
    // One file a class: none is held out by its name, or a class has none left to learn from.
    let root = folder("folders-few");
    let image = GrayImage::from_pixel(8, 8, Luma([9]));
    save(&root.join("cat/a1.png"), &image);
    refused("few", &root, &["no file that is held out", "one in 5", "train and test"]);
    let held_out = |i: &usize| offshoot_simulator::data::held_out(&format!("a{i}.png"));
    let name = format!("a{}.png", (0..).find(held_out).unwrap());
    save(&root.join("dog").join(name), &image);
    refused("fewer", &root, &["dog", "no file left to learn from", "one in 5", "train and test"]);
}

#[test]
fn folders_of_several_kinds() {
    let root = classes("folders-mixed", &["cat", "dog"]);
    fs::write(root.join("dog/bark.wav"), b"").unwrap();
    refused("mixed", &root, &["both images and .wav files", "one kind"]);
    let one = root.join("cat/shot0.png");
    refused("one", &one, &["one image", "a folder for each class"]);
}

#[test]
fn a_specification_that_makes_no_sense() {
    let data = samples().write("folders-spec-data");
    let path = folder("folders-spec").join("spec.toml");
    let fails = |test: &str, says: &[&str]| {
        let test = format!("folders-spec-{test}");
        simulate_fails(&test, FAILED, &data, &["--data-spec", text(&path)], says);
    };
    fails("missing", &["spec.toml", "No such file"]);
    fs::write(&path, "[image]\ncorp = \"centre\"\n").unwrap();
    fails("unknown", &["spec.toml", "unknown field `corp`", "`crop`"]);
    fs::write(&path, "[audio]\nfft = 500\n").unwrap();
    fails("audio", &["spec.toml", "[audio]: fft is 500", "power of two"]);
}

#[test]
fn pixels_of_other_channels() {
    // Five channels are no image's: arrays can have them.
    let many = Array4::<u8>::zeros((1, 8, 8, 5));
    let path = npy("folders-channels");
    many.write_npy(fs::File::create(path.join("x_train.npy")).unwrap()).unwrap();
    many.write_npy(fs::File::create(path.join("x_test.npy")).unwrap()).unwrap();
    refused("channels", &path, &["[8, 8, 5]", "[8, 8, 1]", "resize"]);
}
