//! The training application on an emulated Cortex-M4.
#![no_std]
#![no_main]

use offshoot_firmware::bank::Place;
use offshoot_firmware::store::Storage;
use offshoot_firmware::{serve, Board, Counter, Stack};
use offshoot_model::{Bank, Guard, Model};
use offshoot_support_mps2::{self as mps2, Machine};
use static_cell::ConstStaticCell;

const MACHINE: Machine = Machine::MPS2_PSRAM;

/// Bytes of the PSRAM that stand for a chip's flash, and how often a page of it may be erased: as on an
/// STM32F4.
const CHECKPOINTS: (usize, u32) = (1 << 20, 10_000);
/// Those behind them, for flash outside the chip.
const BANK: (usize, u32) = (@BANK_BYTES@, @BANK_ENDURANCE@);

/// All zeros, so that it lies in .bss and costs no flash.
static MODEL: ConstStaticCell<Model> = ConstStaticCell::new(Model::new());
static BESIDE: ConstStaticCell<(Guard, Bank)> = ConstStaticCell::new((Guard::new(), Bank::new()));

struct Mps2 {
    ticks: mps2::Ticks,
    flash: Option<mps2::Psram>,
    bank: Option<mps2::Psram>,
    adapters: &'static mut Bank,
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
        Some(Storage { flash, endurance: CHECKPOINTS.1 })
    }

    fn bank(&mut self) -> Option<Place<'_>> {
        Place::of(self.adapters, self.bank.as_mut()?, BANK.1)
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(parts) = mps2::start(MACHINE) else { mps2::stop("started twice") };
    defmt::info!("up; stack {=u32} bytes", mps2::stack().1);
    let (flash, rest) = parts.psram.map(|psram| psram.split(CHECKPOINTS.0)).unzip();
    let bank = rest.map(|rest| rest.split(BANK.0).0);
    let (guard, adapters) = BESIDE.take();
    let board = Mps2 { ticks: parts.ticks, flash, bank, adapters };
    match serve(MODEL.take(), guard, board, parts.uart) {
        Ok(()) => mps2::stop("the link ended"),
        Err(never) => match never {},
    }
}
