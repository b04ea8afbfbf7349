//! Every image around a hand-made model: built, run, and equal to a call in this process.

#[path = "model/folder.rs"]
mod folder;
#[path = "model/model.rs"]
mod model;

use folder::{folder, root};
use model::{Model, INPUT};
use offshoot_boards::build::{BuildError, Built};
use offshoot_boards::emulator::{self, Options};
use offshoot_boards::{all, build, emulated, find, image, Board};
use offshoot_firmware::client::{Client, InProcess, LinkError, Patience, Piped, Transport};
use offshoot_firmware::link::Stepped;
use offshoot_firmware::{App, Counter, Stack};
use std::path::Path;
use std::sync::Mutex;
use std::{fs, iter, thread};

const STEPS: u16 = 30;

fn built(board: &Board) -> Result<Built, BuildError> {
    let out = folder();
    let image = image::materialise(board, &out.join("model"), root(), out).unwrap();
    build(board, &image, root())
}

fn sample(i: u16) -> Vec<i8> {
    (0..INPUT).map(|k| ((k * 37 + i as usize * 101) % 251) as u8 as i8 >> 1).collect()
}

fn train<T: Transport>(client: &mut Client<T>) -> Result<Vec<Stepped>, LinkError> {
    client.reset()?;
    (0..STEPS).map(|i| client.train(&sample(i), i % 3, 0.25)).collect()
}

struct Here;

impl offshoot_firmware::Board for Here {
    fn name(&self) -> &str {
        "here"
    }
    fn counter(&self) -> Counter {
        Counter::Nanoseconds
    }
    fn count(&mut self) -> u64 {
        0
    }
    fn stack(&mut self) -> Option<Stack> {
        None
    }
}

/// What the same steps give without any image.
fn expected() -> Vec<Stepped> {
    let mut model = Model::new();
    let transport = InProcess::new(App::new(&mut model, Here));
    train(&mut Client::connect(transport, Patience::default()).unwrap()).unwrap()
}

fn without_counts(steps: &[Stepped]) -> Vec<Stepped> {
    steps.iter().map(|step| Stepped { count: 0, ..*step }).collect()
}

/// Runs the image and returns its steps and how deep its stack was.
fn run(board: &Board, elf: &Path, options: &Options) -> (Vec<Stepped>, Option<Stack>) {
    let mut emulator = emulator::start(board, elf, options).unwrap();
    let (reader, writer) = emulator.link().unwrap();
    let session = || {
        let mut client = Client::connect(Piped::new(reader, writer), Patience::default())?;
        assert_eq!(client.device().board, board.name);
        let steps = train(&mut client)?;
        assert_eq!(client.state()?.len(), client.device().state_bytes);
        Ok::<_, LinkError>((steps, client.stats()?.stack))
    };
    match session() {
        Ok(result) => result,
        Err(error) => panic!("{error}; the emulator: {:?}", emulator.ended()),
    }
}

fn trains(board: Board) {
    let name = board.name.clone();
    let Built { elf, sizes } = built(&board).unwrap();
    println!("{name}: {sizes:?}, flash {}, sram {}", sizes.flash(), sizes.sram());
    assert!(sizes.flash() < 40_000, "{sizes:?}");
    // The model lies in .bss, and nothing much beside it.
    let model = size_of::<Model>() as u64;
    assert!((model..model + 3_000).contains(&sizes.bss), "{sizes:?}");
    assert!(sizes.data < 64, "{sizes:?}");

    let log = folder().join(&name).with_extension("log");
    let options = Options { log: Some(log.clone()), count_instructions: true };
    let (steps, stack) = run(&board, &elf, &options);
    assert_eq!(without_counts(&steps), without_counts(&expected()));
    let stack = stack.unwrap();
    println!("{name}: {stack:?}, counts {:?}", steps.iter().map(|s| s.count).collect::<Vec<_>>());
    assert!(stack.used > 100 && stack.used < stack.size, "{stack:?}");
    assert_eq!(stack.size as u64 + sizes.sram(), board.sram_bytes().unwrap() / 4 * 4);
    assert!(steps.iter().all(|step| step.count > INPUT as u64));
    assert!(fs::metadata(&log).unwrap().len() > 0, "nothing was logged");

    let (again, _) = run(&board, &elf, &options);
    let grain = u64::from(board.emulator.clone().unwrap().instructions_per_tick);
    for (a, b) in steps.iter().zip(&again) {
        assert!(a.count.abs_diff(b.count) <= grain, "{} and {}", a.count, b.count);
    }

    let mut emulator = emulator::start(&board, &elf, &options).unwrap();
    let (reader, writer) = emulator.link().unwrap();
    let mut client = Client::connect(Piped::new(reader, writer), Patience::default()).unwrap();
    let logged = fs::metadata(&log).unwrap().len();
    let error = client.train(&sample(0), 0, model::TOO_FAST).unwrap_err();
    assert!(matches!(error, LinkError::Closed), "{error}");
    assert!(fs::metadata(&log).unwrap().len() > logged, "the panic was not logged");
    assert!(emulator.wait().contains("status: 1"));

    let mut small = board;
    small.sram[0].bytes = small.stack_bytes + sizes.sram() - 64;
    let error = built(&small).unwrap_err();
    assert!(matches!(error, BuildError::TooLarge { .. }), "{error}");
}

#[test]
#[ignore = "needs emulators and a cross compiler: cargo xtask test"]
fn emulated_boards_train_as_this_process_does() {
    let boards = emulated(all().unwrap());
    assert!(!boards.is_empty(), "OFFSHOOT_BOARDS names no emulated board");
    // While one board's image is compiled, another's is run.
    let rest = Mutex::new(boards.into_iter());
    let next = || rest.lock().unwrap().next();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| iter::from_fn(next).for_each(trains));
        }
    });
}

#[test]
fn host_image_trains_as_this_process_does() {
    let board = find("host").unwrap();
    let built = built(&board).unwrap();
    let (steps, stack) = run(&board, &built.elf, &Options::default());
    assert_eq!(without_counts(&steps), without_counts(&expected()));
    assert_eq!(stack, None);
    assert!(built.sizes.text > 0);
}

#[test]
fn files_are_filled_in_and_left_alone_where_they_are_right() {
    let board = find("qemu-mps2-an386").unwrap();
    let (out, model) = (folder().join("untouched"), folder().join("model"));
    let make = || image::materialise(&board, &model, root(), &out).unwrap();
    let time = |path: &Path| fs::metadata(path.join("memory.x")).unwrap().modified().unwrap();
    let before = time(&make());
    assert_eq!(before, time(&make()));
    let text = fs::read_to_string(make().join("memory.x")).unwrap();
    assert!(text.contains("LENGTH = 262144") && !text.contains('@'), "{text}");
    let chip = find("nucleo-f411re").unwrap();
    let of = |board: &Board| {
        let image = image::materialise(board, &model, root(), &out).unwrap();
        let read = |file| fs::read_to_string(image.join(file)).unwrap();
        (read("memory.x"), read("src/main.rs"))
    };
    let (memory, main) = of(&chip);
    assert!(memory.contains("LENGTH = 262144"), "{memory}");
    let kept = ["offset: 0x40000,", "bytes: 0x40000,", "endurance: 10000,"];
    assert!(kept.iter().all(|line| main.contains(line)) && !main.contains('@'), "{main}");
    let (memory, main) = of(&chip.without_checkpoints());
    assert!(memory.contains("LENGTH = 524288") && main.contains("bytes: 0x0,"), "{main}");
    let missing = image::materialise(&board, &out.join("nowhere"), root(), &out);
    assert!(missing.unwrap_err().to_string().contains("compile a model first"));
}
