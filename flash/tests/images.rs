//! Built images: what would be written, and what is wrong with some.

#[path = "../../boards/tests/model/folder.rs"]
mod folder;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use folder::{folder, root};
use offshoot_boards::build::Built;
use offshoot_boards::emulator::{self, Options};
use offshoot_boards::{build, find, image, Board};
use offshoot_flash::log::Formats;
use offshoot_flash::{Chip, FlashError, Plan};

const BOARD: &str = "nucleo-f411re";

fn built(board: &Board) -> Built {
    let out = folder();
    let image = image::materialise(board, &out.join("model"), root(), out).unwrap();
    build(board, &image, root()).unwrap()
}

/// Runs the command; never with a probe that there is.
fn flash(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offshoot-flash"));
    command.args(args).args(["--probe", "ffff:ffff"]).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn fails(code: i32, args: &[&str], says: &[&str]) {
    let ran = flash(args);
    let error = text(&ran.stderr);
    assert_eq!(ran.status.code(), Some(code), "{args:?}: {ran:?}");
    assert!(says.iter().all(|part| error.contains(part)), "{args:?}: {error}");
}

#[test]
fn boards_and_chips_that_are_none() {
    fails(2, &["flash", "x", "--board", "toaster"], &["toaster", BOARD]);
    fails(1, &["flash", "x", "--board", "host"], &["offshoot run --board host"]);
    fails(1, &["flash", "x", "--board", "qemu-mps2-an386"], &["offshoot run"]);
    let near = ["nRF52841_xxAA", "nRF52840_xxAA"];
    fails(1, &["flash", "x", "--board", BOARD, "--chip", near[0]], &near);
    fails(1, &["flash", "nowhere", "--board", BOARD], &["nowhere", "compile a model first"]);
    fails(1, &["flash", "Cargo.toml", "--board", BOARD, "--dry-run"], &["Cargo.toml", "no image"]);
}

#[test]
#[ignore = "needs a cross compiler: cargo xtask test"]
fn a_dry_run_shows_what_is_written() {
    let board = find(BOARD).unwrap();
    let Built { elf, sizes } = built(&board);
    let elf = elf.to_str().unwrap();
    let ran = flash(&["flash", elf, "--board", BOARD, "--dry-run"]);
    let shown = text(&ran.stdout);
    println!("{shown}");
    assert!(ran.status.success(), "{ran:?}");
    let mut next = 0x0800_0000;
    let mut bytes = 0;
    for line in shown.lines().filter(|line| line.starts_with("  0x")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let address = u64::from_str_radix(words[0].trim_start_matches("0x"), 16).unwrap();
        assert!(address >= next, "{line}");
        let count: u64 = words[1].parse().unwrap();
        assert_eq!(words[2], "0x08000000..0x08080000");
        assert!(words[3].starts_with('.'), "{line}");
        next = address + count;
        bytes += count;
    }
    assert!(shown.contains("0x08000000 ") && shown.contains(".vector_table"), "{shown}");
    assert!(shown.contains(".text") && shown.contains(".data"), "{shown}");
    // Between sections there may be a few bytes for alignment.
    assert!((sizes.flash()..sizes.flash() + 64).contains(&bytes), "{bytes}, {sizes:?}");
    assert!(shown.contains(&format!("flash {bytes} of 262144 bytes")), "{shown}");
    let kept = "checkpoints 262144 bytes, 0x08040000..0x08080000";
    assert!(shown.contains(kept), "{shown}");
    assert!(shown.contains(&format!("SRAM  {} of 131072 bytes", sizes.sram())), "{shown}");

    let ran = flash(&["flash", elf, "--board", BOARD, "--dry-run", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(value["flash"]["bytes"], bytes);
    assert_eq!(value["segments"][0]["address"], 0x0800_0000);
    assert_eq!(value["checkpoints"]["start"], 0x0804_0000);
    let ran = flash(&["flash", elf, "--board", BOARD, "--dry-run", "--json", "--no-checkpoints"]);
    let value: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(value["flash"]["limit"], 0x8_0000);
    assert!(value["checkpoints"].is_null(), "{value}");

    let small = ["flash", elf, "--board", BOARD, "--dry-run", "--chip", "STM32F030F4Px"];
    fails(3, &small, &["STM32F030F4Px", "does not fit the chip", "0x08000000..0x08004000"]);
    // The image of another board.
    let other = ["flash", elf, "--board", "nrf52840-dk", "--dry-run"];
    fails(3, &other, &["nRF52840_xxAA", "does not fit the chip", "another board?"]);
    for command in ["flash", "monitor"] {
        fails(1, &[command, elf, "--board", BOARD], &["no debug probe is"]);
    }
}

#[test]
#[ignore = "needs a cross compiler: cargo xtask test"]
fn an_image_is_held_against_the_boards_limits() {
    let board = find(BOARD).unwrap();
    let Built { elf, sizes } = built(&board);
    let image = fs::read(elf).unwrap();
    let chip = Chip::find(board.probe_rs.as_ref().unwrap()).unwrap();
    let plan = Plan::new(&image, &board, &chip).unwrap();
    assert!(plan.log.is_some_and(|log| (0x2000_0000..0x2002_0000).contains(&log)), "{plan}");

    for length in (0..image.len()).step_by(image.len() / 50) {
        assert!(Plan::new(&image[..length], &board, &chip).is_err(), "{length} bytes of it");
    }

    let mut tight = board.clone();
    tight.flash.as_mut().unwrap().bytes = plan.flash.bytes - 1;
    let error = Plan::new(&image, &tight, &chip).unwrap_err();
    assert!(matches!(error, FlashError::OutsideBoard { .. }), "{error}");
    let mut tight = board.clone();
    tight.sram[0].bytes = sizes.sram() + board.stack_bytes - 1;
    let error = Plan::new(&image, &tight, &chip).unwrap_err();
    assert!(matches!(error, FlashError::SramTooSmall { .. }), "{error}");
}

/// What an emulated board logs is in the same frames as what a probe reads from a chip.
#[test]
#[ignore = "needs an emulator and a cross compiler: cargo xtask test"]
fn a_log_is_decoded_as_it_comes() {
    let board = find("qemu-mps2-an386").unwrap();
    let elf = built(&board).elf;
    let log = folder().join("flash.log");
    let _ = fs::remove_file(&log);
    let options = Options { log: Some(log.clone()), count_instructions: false };
    let emulator = emulator::start(&board, &elf, &options).unwrap();
    let bytes = logged(&log);
    drop(emulator);
    let formats = Formats::of(&fs::read(elf).unwrap()).unwrap();
    let mut decoder = formats.decoder();
    let lines: Vec<String> =
        bytes.chunks(1).flat_map(|byte| decoder.lines(byte).unwrap()).collect();
    println!("{lines:?}");
    assert!(lines[0].contains("INFO") && lines[0].contains("stack"), "{lines:?}");
}

/// What is in `log` as soon as there is something.
fn logged(log: &Path) -> Vec<u8> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(30) {
        sleep(Duration::from_millis(300));
        match fs::read(log) {
            Ok(bytes) if !bytes.is_empty() => return bytes,
            _ => {}
        }
    }
    panic!("nothing was logged");
}
