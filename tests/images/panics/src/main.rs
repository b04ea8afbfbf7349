//! Everything of the runtime and the application that a device may run, linked and never started: all
//! that it is given comes out of a black box, so that nothing is known of it when it is compiled.
#![no_std]
#![no_main]

use core::convert::Infallible;
use core::hint::black_box;
use core::panic::PanicInfo;

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use offshoot_firmware::bank::Place;
use offshoot_firmware::station::{
    Clock, Label, LabelSource, Rules, SampleSource, SourceError, Station, Surroundings,
};
use offshoot_firmware::store::Storage;
use offshoot_firmware::{serve, Board, Counter, Stack};
use offshoot_model::{Bank, Guard, Model};
use offshoot_runtime::features::audio::{AudioSpec, Extractor};
use offshoot_runtime::features::image::{Crop, Filter, Image, Resize};
use offshoot_runtime::features::Quantizer;
use offshoot_runtime::program::{self, Header, Program};
use offshoot_runtime::schedule::{default_rate, Schedule};
use offshoot_runtime::{hash, Interpreter, Trainer};

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    loop {
        black_box(info);
    }
}

#[no_mangle]
extern "C" fn _start() -> ! {
    loop {
        any_program();
        emitted();
        features();
        #[cfg(feature = "planted")]
        black_box(planted(black_box(&[1, 2])));
    }
}

#[cfg(feature = "planted")]
#[inline(never)]
fn planted(values: &[u8]) -> u8 {
    values[black_box(5)]
}

/// Any program there is, in the interpreter.
#[inline(never)]
fn any_program() {
    let program =
        black_box(Program { header: Header::default(), init: &[], ops: &[], constants: &[], feature_energy: None });
    let _ = black_box(program::verify(&program));
    black_box(default_rate(&program));
    let [arena, state, scratch] = black_box([&mut [][..], &mut [], &mut []]);
    if let Ok(mut network) = Interpreter::new(program, arena, state, scratch) {
        run(&mut network);
    }
}

/// A program as it is emitted.
#[inline(never)]
fn emitted() {
    let mut network = Model::new();
    run(black_box(&mut network));
}

/// All that can be asked of a network, by its owner and over the link.
fn run(network: &mut impl Trainer) {
    let mut schedule = black_box(Schedule::cosine(0.1, 10));
    while let Some(rate) = schedule.next() {
        let _ = black_box(network.present(black_box(&[])));
        let _ = black_box(network.infer());
        let _ = black_box(network.train(black_box(0), rate));
        schedule.settle(black_box(1));
    }
    black_box(hash::fnv1a(hash::EMPTY, network.state()));
    let mut adapters = Bank::new();
    let shelf = Shelf(black_box(&mut adapters), Nowhere);
    let _ = serve(network, black_box(&mut Guard::new()), shelf, Nowhere);
    alone(network);
}

/// A network that learns without a host.
fn alone(network: &mut impl Trainer) {
    let (mut guard, mut sample) = (Guard::new(), [0; 64]);
    let around = Surroundings {
        source: &mut Nowhere,
        labels: &mut Nowhere,
        indicator: &mut (),
        clock: &mut Nowhere,
        flash: Some(&mut Nowhere),
    };
    let rules = black_box(Rules { rate: 0.1, keep_every: 1, label_ms: 1, rest_ms: 1 });
    let mut station =
        Station::new(network, black_box(&mut guard), black_box(&mut sample), around, rules);
    while let Some(event) = station.poll() {
        let _ = black_box(event);
    }
}

/// Samples of sound and pictures, made into a network's input.
#[inline(never)]
fn features() {
    let (mut tables, mut work, mut out) = ([0.0; 16], [0.0; 16], [0; 16]);
    let spec: AudioSpec = black_box(AudioSpec::at(8_000));
    let tables: &mut [f32] = black_box(&mut tables);
    let work: &mut [f32] = black_box(&mut work);
    let out: &mut [i8] = black_box(&mut out);
    let quantizer = black_box(Quantizer::new(0.1, 0));
    let _ = black_box(spec.fill_tables(tables));
    if let Ok(mut extractor) = Extractor::new(&spec, tables, work) {
        while let Some(features) = extractor.push(black_box(0.0)) {
            quantizer.reals(features, out);
        }
    }
    let image = black_box(Image { pixels: &[], width: 0, height: 0, channels: 0 });
    let resize =
        Resize { width: 0, height: 0, channels: 0, crop: Crop::None, filter: Filter::Auto };
    let resize = black_box(resize);
    let _ = black_box(resize.run(&image, out, |pixel| (pixel ^ 128) as i8));
}

/// A board, its flash, its link, and what is around it.
struct Nowhere;

impl Board for Nowhere {
    fn name(&self) -> &str {
        black_box("nowhere")
    }

    fn counter(&self) -> Counter {
        black_box(Counter::Cycles)
    }

    fn count(&mut self) -> u64 {
        black_box(0)
    }

    fn stack(&mut self) -> Option<Stack> {
        black_box(None)
    }

    fn flash(&mut self) -> Option<Storage<'_>> {
        Some(Storage { flash: self, endurance: black_box(0) })
    }
}

/// A board with a bank.
struct Shelf<'b>(&'b mut Bank, Nowhere);

impl Board for Shelf<'_> {
    fn name(&self) -> &str {
        black_box("shelf")
    }

    fn counter(&self) -> Counter {
        black_box(Counter::Cycles)
    }

    fn count(&mut self) -> u64 {
        black_box(0)
    }

    fn stack(&mut self) -> Option<Stack> {
        black_box(None)
    }

    fn flash(&mut self) -> Option<Storage<'_>> {
        Some(Storage { flash: &mut self.1, endurance: black_box(0) })
    }

    fn bank(&mut self) -> Option<Place<'_>> {
        Place::of(self.0, &mut self.1, black_box(0))
    }
}

impl Clock for Nowhere {
    fn now(&mut self) -> u32 {
        black_box(0)
    }
}

impl SampleSource for Nowhere {
    fn fill(&mut self, rest: &mut [i8]) -> Result<usize, SourceError> {
        black_box(Ok(black_box(rest).len()))
    }
}

impl LabelSource for Nowhere {
    fn label(&mut self, _: u32) -> Result<Label, SourceError> {
        black_box(Ok(Label::Class(0)))
    }
}

impl embedded_io::ErrorType for Nowhere {
    type Error = Infallible;
}

impl embedded_io::Read for Nowhere {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        Ok(black_box(bytes).len())
    }
}

impl embedded_io::Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        black_box(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl ErrorType for Nowhere {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Nowhere {
    const READ_SIZE: usize = 1;

    fn read(&mut self, _: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        black_box(bytes);
        black_box(Ok(()))
    }

    fn capacity(&self) -> usize {
        black_box(1 << 16)
    }
}

impl NorFlash for Nowhere {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, _: u32, _: u32) -> Result<(), NorFlashErrorKind> {
        black_box(Ok(()))
    }

    fn write(&mut self, _: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        black_box(bytes);
        black_box(Ok(()))
    }
}
