//! The training application on an emulated Cortex-M4.
#![no_std]
#![no_main]

use offshoot_firmware::store::Storage;
use offshoot_firmware::{serve, Board, Counter, Stack};
use offshoot_model::{Guard, Model};
use offshoot_support_mps2::{self as mps2, Machine};
use static_cell::ConstStaticCell;

const MACHINE: Machine = Machine::MPS2_PSRAM;

/// How often a page of flash may be erased: as on an STM32F4.
const ENDURANCE: u32 = 10_000;

/// All zeros, so that it lies in .bss and costs no flash.
static MODEL: ConstStaticCell<Model> = ConstStaticCell::new(Model::new());
static GUARD: ConstStaticCell<Guard> = ConstStaticCell::new(Guard::new());

struct Mps2 {
    ticks: mps2::Ticks,
    flash: Option<mps2::Psram>,
}

impl Board for Mps2 {
    fn name(&self) -> &str {
        "qemu-mps2-an386"
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

    fn flash(&mut self) -> Option<Storage<'_>> {
        let flash = self.flash.as_mut()?;
        Some(Storage { flash, endurance: ENDURANCE })
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(parts) = mps2::start(MACHINE) else { mps2::stop("started twice") };
    defmt::info!("up; stack {=u32} bytes", mps2::stack().1);
    let board = Mps2 { ticks: parts.ticks, flash: parts.psram };
    match serve(MODEL.take(), GUARD.take(), board, parts.uart) {
        Ok(()) => mps2::stop("the link ended"),
        Err(never) => match never {},
    }
}
