//! The training application on an emulated Cortex-M7.
#![no_std]
#![no_main]

use offshoot_firmware::{serve, Board, Counter, Stack};
use offshoot_model::{Guard, Model};
use offshoot_support_mps2::{self as mps2, Machine};
use static_cell::ConstStaticCell;

const MACHINE: Machine = Machine::MPS2;

/// All zeros, so that it lies in .bss and costs no flash.
static MODEL: ConstStaticCell<Model> = ConstStaticCell::new(Model::new());
static GUARD: ConstStaticCell<Guard> = ConstStaticCell::new(Guard::new());

struct Mps2 {
    ticks: mps2::Ticks,
}

impl Board for Mps2 {
    fn name(&self) -> &str {
        "qemu-mps2-an500"
    }

    fn counter(&self) -> Counter {
        Counter::Instructions
    }

    fn count(&mut self) -> u64 {
        MACHINE.instructions(self.ticks.now())
    }

    fn stack(&mut self) -> Option<Stack> {
        let (used, size) = mps2::stack();
        Some(Stack { used, size })
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(parts) = mps2::start(MACHINE) else { mps2::stop("started twice") };
    defmt::info!("up; stack {=u32} bytes", mps2::stack().1);
    match serve(MODEL.take(), GUARD.take(), Mps2 { ticks: parts.ticks }, parts.uart) {
        Ok(()) => mps2::stop("the link ended"),
        Err(never) => match never {},
    }
}
