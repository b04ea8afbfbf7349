//! The sensor of `docs/add-a-sensor.md`, against a part that is simulated register by register: a station
//! learns to tell how it is moved. What the page shows is in this file.

use std::cell::RefCell;
use std::convert::Infallible;

use embedded_hal::i2c::{ErrorType, I2c, Operation};
use offshoot::adapt::HeadStart;
use offshoot::ir::Graph;
use offshoot::pipeline::compile;
use offshoot::scheme::Scheme;
use offshoot_firmware::station::hal::{I2cRegisters, Registers};
use offshoot_firmware::station::{
    Clock, Event, Label, LabelSource, Rules, SampleSource, Sensor, SourceError, State, Station,
    Surroundings, Windows,
};
use offshoot_runtime::features::Quantizer;
use offshoot_runtime::guard::Unguarded;
use offshoot_runtime::{Interpreter, Prediction};
use offshoot_simulator::AlignedBytes;
use offshoot_tests::calibrate::calibrated;
use offshoot_tests::check::everything;
use offshoot_tests::nets::{Conv, Net};

const DEVICE: u8 = 0x00;
const RATE: u8 = 0x2C;
const POWER: u8 = 0x2D;
const PENDING: u8 = 0x30;
const FORMAT: u8 = 0x31;
const DATA: u8 = 0x32;

/// An ADXL345: acceleration in g, 100 times a second, up to 16 g.
pub struct Adxl345<R> {
    registers: R,
    awake: bool,
}

impl<R: Registers> Adxl345<R> {
    /// One that its first reading wakes.
    pub const fn new(registers: R) -> Self {
        Adxl345 { registers, awake: false }
    }

    fn wake(&mut self) -> Result<(), SourceError> {
        if self.registers.register(DEVICE)? != 0xE5 {
            return Err(SourceError::Identity);
        }
        self.registers.write(RATE, 0x0A)?; // 100 Hz
        self.registers.write(FORMAT, 0x0B)?; // 3.9 mg a step, 16 g
        self.registers.write(POWER, 0x08)?; // measure
        self.awake = true;
        Ok(())
    }
}

impl<R: Registers> Sensor<3> for Adxl345<R> {
    fn read(&mut self) -> Result<Option<[f32; 3]>, SourceError> {
        if !self.awake {
            self.wake()?;
            return Ok(None);
        }
        let pending = self.registers.register(PENDING)?;
        if pending & 0x80 == 0 {
            return Ok(None);
        }
        let mut bytes = [0; 6];
        self.registers.read(DATA, &mut bytes)?;
        if pending & 0x01 != 0 {
            return Err(SourceError::Lost);
        }
        let [x0, x1, y0, y1, z0, z1] = bytes;
        let axes = [[x0, x1], [y0, y1], [z0, z1]];
        Ok(Some(axes.map(|axis| f32::from(i16::from_le_bytes(axis)) * 0.0039)))
    }
}

/// Readings of a window.
const WINDOW: usize = 32;

/// A part that is moved in one of three ways, and the time.
struct World {
    now_us: u64,
    registers: [u8; 64],
    /// Readings so far.
    read: u64,
    /// How it is moved.
    motion: u16,
}

impl World {
    fn new() -> World {
        let mut registers = [0; 64];
        registers[usize::from(DEVICE)] = 0xE5;
        World { now_us: 0, registers, read: 0, motion: 0 }
    }

    /// Lets time pass: 100 times a second there is a new reading, and the one before is lost if nobody
    /// has read it.
    fn pass(&mut self, us: u64) {
        let before = self.now_us / 10_000;
        self.now_us += us;
        let measures = self.registers[usize::from(POWER)] & 0x08 != 0;
        for reading in before..self.now_us / 10_000 {
            if !measures {
                continue;
            }
            let pending = &mut self.registers[usize::from(PENDING)];
            *pending = if *pending & 0x80 != 0 { 0x81 } else { 0x80 };
            let t = reading as f32;
            let g = match self.motion {
                0 => [0.0, 0.0, 1.0],
                1 => [1.5 * (t * 0.4).sin(), 0.2, 1.0],
                _ => [0.3, 1.2 * (t * 1.3).sin(), 1.0 + 0.8 * (t * 1.3).cos()],
            };
            let noise = ((reading * 2_654_435_761) >> 7 & 15) as f32 / 200.0;
            for (axis, g) in g.iter().enumerate() {
                let steps = ((g + noise) / 0.0039) as i16;
                let at = usize::from(DATA) + 2 * axis;
                self.registers[at..at + 2].copy_from_slice(&steps.to_le_bytes());
            }
        }
    }
}

/// Its bus. A transaction takes 200 µs.
struct Bus<'w>(&'w RefCell<World>);

impl ErrorType for Bus<'_> {
    type Error = Infallible;
}

impl I2c for Bus<'_> {
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), Infallible> {
        assert_eq!(address, 0x53);
        let mut world = self.0.borrow_mut();
        world.pass(200);
        let mut at = 0;
        for operation in operations {
            match operation {
                Operation::Write(bytes) => {
                    at = usize::from(bytes[0]);
                    world.registers[at..][..bytes.len() - 1].copy_from_slice(&bytes[1..]);
                }
                Operation::Read(bytes) => {
                    bytes.copy_from_slice(&world.registers[at..][..bytes.len()]);
                    if at == usize::from(DATA) {
                        world.registers[usize::from(PENDING)] = 0;
                        world.read += 1;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Who moves it knows how, and moves it otherwise each time.
struct Mover<'w>(&'w RefCell<World>);

impl LabelSource for Mover<'_> {
    fn label(&mut self, sample: u32) -> Result<Label, SourceError> {
        let mut world = self.0.borrow_mut();
        let motion = world.motion;
        world.motion = (sample as u16 * 7 + sample as u16 / 3) % 3;
        Ok(Label::Class(motion))
    }
}

impl Clock for Mover<'_> {
    fn now(&mut self) -> u32 {
        (self.0.borrow().now_us / 1000) as u32
    }
}

fn network() -> Graph {
    let (mut net, x) = Net::new("motions", 3, [WINDOW, 1, 3]);
    let window = |out| Conv { ..Conv::same(out, 1) };
    let x = net.conv(x, window(8));
    let x = net.conv(x, window(8));
    calibrated(net.classifier(x, 3), 1)
}

#[test]
fn a_station_learns_how_it_is_moved() {
    let graph = network();
    let scheme = Scheme::from_short(&everything(&graph)).unwrap();
    let compiled = compile(&graph, HeadStart::Classifier, &scheme).unwrap();
    let program = compiled.program.program();
    let header = program.header;
    let [mut arena, mut state, mut scratch] =
        [header.arena, header.state, header.scratch].map(|n| AlignedBytes::zeroed(n as usize));
    let mut trainer =
        Interpreter::new(program, arena.as_mut(), state.as_mut(), scratch.as_mut()).unwrap();
    let world = RefCell::new(World::new());
    let bus = Bus(&world);
    let mut sample = [0; 3 * WINDOW];

    let sensor = Adxl345::new(I2cRegisters { bus, address: 0x53 });
    let quantizer = Quantizer::of(&header).normalized(0.0, 1.0);
    let mut source = Windows::new(sensor, [quantizer; 3], 0);

    let around = Surroundings {
        source: &mut source,
        labels: &mut Mover(&world),
        indicator: &mut (),
        clock: &mut Mover(&world),
        flash: None,
    };
    let mut guard = Unguarded;
    let rules = Rules { rate: 0.02, keep_every: 0, label_ms: 1_000, rest_ms: 10 };
    let mut station = Station::new(&mut trainer, &mut guard, &mut sample, around, rules);
    let (mut right, mut predicted, mut of_last) = (Vec::new(), None, World::new().motion);
    while station.steps() < 150 {
        if station.state() == State::Collect {
            of_last = world.borrow().motion;
        }
        match station.poll() {
            Some(Event::Predicted(Prediction::Class(class))) => predicted = Some(class),
            Some(Event::Stepped(_)) => right.push(predicted == Some(of_last)),
            Some(Event::Started(None)) | None => {}
            Some(event) => panic!("{event:?}"),
        }
        // The device sleeps until the next interrupt, and feeds its watchdog.
        world.borrow_mut().pass(100);
    }
    let count = |right: &[bool]| right.iter().filter(|&&r| r).count();
    let (first, last) = (count(&right[..30]), count(&right[120..]));
    println!("{first} of the first 30 windows named rightly, {last} of the last 30");
    assert!(last >= 27 && last > first, "{first}, {last}");
}

#[test]
fn windows_hold_what_was_measured() {
    let world = RefCell::new(World::new());
    let quantizer = Quantizer::new(0.02, -5);
    let sensor = Adxl345::new(I2cRegisters { bus: Bus(&world), address: 0x53 });
    let mut windows = Windows::new(sensor, [quantizer; 3], 2);
    let mut sample = [0; 15];
    let mut next = |sample: &mut [i8; 15], slow: u64| {
        let mut filled = windows.begin(sample);
        while filled < sample.len() {
            filled += windows.fill(&mut sample[filled..])?;
            world.borrow_mut().pass(slow);
        }
        Ok(filled)
    };
    assert_eq!(next(&mut sample, 100), Ok(15));
    let first = sample;
    assert_eq!(next(&mut sample, 100), Ok(15));
    assert_eq!(first[9..], sample[..6]);
    // 1 g on the third axis, and noise below 0.08 g.
    let axis = |k: usize| sample.iter().skip(k).step_by(3).copied().collect::<Vec<i8>>();
    assert!(axis(2).iter().all(|q| (44..=50).contains(q)), "{:?}", axis(2));
    assert!(axis(0).iter().all(|q| (-6..=0).contains(q)), "{:?}", axis(0));
    // Asked too seldom; the window after that shares nothing with the last.
    assert_eq!(next(&mut sample, 30_000), Err(SourceError::Lost));
    sample.fill(99);
    assert_eq!(next(&mut sample, 100), Ok(15));
    assert!(!sample.contains(&99));
}

#[test]
fn another_part_is_refused() {
    let world = RefCell::new(World::new());
    world.borrow_mut().registers[usize::from(DEVICE)] = 0x33;
    let mut sensor = Adxl345::new(I2cRegisters { bus: Bus(&world), address: 0x53 });
    assert_eq!(sensor.read(), Err(SourceError::Identity));
    assert_eq!(world.borrow().read, 0);
}

/// Every block of Rust on the page is in this file, wherever it is indented to.
#[test]
fn the_page_shows_this_file() {
    let plain = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let this = plain(include_str!("add_a_sensor.rs"));
    let page = include_str!("../../docs/add-a-sensor.md");
    let blocks: Vec<&str> =
        page.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 3, "{}", blocks.len());
    for block in blocks {
        assert!(this.contains(plain(block).trim()), "not in this file:\n{block}");
    }
}
