//! A station on an emulated Cortex-M4: it learns stored samples without a host.
//!
//! Each event is a line on the UART. After [`samples::STEPS`] steps come the instructions of the longest
//! poll in each state, the deepest that the stack was, the hash of trainable state, and `end`.
#![no_std]
#![no_main]

mod samples;

use core::cell::RefCell;
use core::fmt::{self, Write};

use offshoot_firmware::station::{
    Clock, Rules, State, Station, Stored, StoredLabels, Surroundings,
};
use offshoot_model::{Guard, Model, HEADER};
use offshoot_runtime::{hash, Trainer};
use offshoot_support_mps2 as mps2;
use static_cell::ConstStaticCell;

const MACHINE: mps2::Machine = mps2::Machine::MPS2_PSRAM;
const VALUES: usize = {
    let shape = HEADER.input_shape;
    shape.h as usize * shape.w as usize * shape.c as usize
};

static MODEL: ConstStaticCell<Model> = ConstStaticCell::new(Model::new());
static GUARD: ConstStaticCell<Guard> = ConstStaticCell::new(Guard::new());
static SAMPLE: ConstStaticCell<[i8; VALUES]> = ConstStaticCell::new([0; VALUES]);

/// Instructions so far.
struct Count(RefCell<mps2::Ticks>);

impl Count {
    fn now(&self) -> u64 {
        MACHINE.instructions(self.0.borrow_mut().now())
    }
}

/// An instruction takes 1 ns.
struct Time<'c>(&'c Count);

impl Clock for Time<'_> {
    fn now(&mut self) -> u32 {
        (self.0.now() / 1_000_000) as u32
    }
}

struct Log(mps2::Uart);

impl Write for Log {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        embedded_io::Write::write_all(&mut self.0, text.as_bytes()).map_err(|_| fmt::Error)
    }
}

fn learn(mut log: Log, count: &Count, flash: Option<&mut mps2::Psram>) -> fmt::Result {
    let around = Surroundings {
        source: &mut Stored::new(&samples::SAMPLES),
        labels: &mut StoredLabels(&samples::LABELS),
        indicator: &mut (),
        clock: &mut Time(count),
        flash: flash.map(|flash| flash as _),
    };
    let rules = Rules { rate: samples::RATE, keep_every: 0, label_ms: 1_000, rest_ms: 1_000 };
    let mut station = Station::new(MODEL.take(), GUARD.take(), SAMPLE.take(), around, rules);
    let mut longest = [0; State::ALL.len()];
    while station.steps() < samples::STEPS || station.state() != State::Collect {
        let (state, before) = (station.state(), count.now());
        let event = station.poll();
        let took = count.now() - before;
        for (longest, _) in longest.iter_mut().zip(State::ALL).filter(|(_, s)| *s == state) {
            *longest = took.max(*longest);
        }
        // The caller's own work: a watchdog would be fed here.
        if let Some(event) = event {
            writeln!(log, "{event:?}")?;
        }
    }
    for (longest, state) in longest.iter().zip(State::ALL) {
        writeln!(log, "longest {state:?} {longest}")?;
    }
    writeln!(log, "stack {}", mps2::stack().0)?;
    writeln!(log, "state {:016x}", hash::fnv1a(hash::EMPTY, station.trainer().state()))?;
    writeln!(log, "end")
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(parts) = mps2::start(MACHINE) else { mps2::stop("started twice") };
    let mps2::Parts { uart, ticks, psram } = parts;
    let mut psram = psram.map(|psram| psram.split(1 << 20).0);
    let count = Count(RefCell::new(ticks));
    match learn(Log(uart), &count, psram.as_mut()) {
        Ok(()) => mps2::stop("all was learnt"),
        Err(fmt::Error) => mps2::stop("the link ended"),
    }
}
