//! The training application on an emulated STM32F405.
#![no_std]
#![no_main]

mod uart;

use offshoot_firmware::{serve, Board, Counter, Stack};
use offshoot_model::{Guard, Model};
use offshoot_support_cortex_m::{stack, Ticks};
use offshoot_support_emulator::{log_to, stop};
use static_cell::ConstStaticCell;
use uart::Uart;

/// All zeros, so that it lies in .bss and costs no flash.
static MODEL: ConstStaticCell<Model> = ConstStaticCell::new(Model::new());
static GUARD: ConstStaticCell<Guard> = ConstStaticCell::new(Guard::new());

/// The counter of TIM2, which this emulator lets count nanoseconds, whatever is written to it: one
/// for each instruction.
const TIM2_COUNT: *const u32 = 0x4000_0024 as *const u32;

struct Netduino {
    ticks: Ticks,
}

impl Board for Netduino {
    fn name(&self) -> &str {
        "netduinoplus2"
    }

    fn counter(&self) -> Counter {
        Counter::Instructions
    }

    /// TIM2 is exact and has 32 bits; SysTick, at 168 MHz, says how often it has wrapped.
    fn count(&mut self) -> u64 {
        // SAFETY: a register that may be read at any time.
        let exact = unsafe { TIM2_COUNT.read_volatile() };
        let near = self.ticks.now() * 125 / 21;
        near.wrapping_add_signed(exact.wrapping_sub(near as u32).cast_signed().into())
    }

    fn stack(&mut self) -> Option<Stack> {
        let (used, size) = stack();
        Some(Stack { used, size })
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else { stop("started twice") };
    uart::start_log();
    log_to(uart::log);
    defmt::info!("up; stack {=u32} bytes", stack().1);
    let board = Netduino { ticks: Ticks::new(core.SYST) };
    match serve(MODEL.take(), GUARD.take(), board, Uart::new(core.NVIC)) {
        Ok(()) => stop("the link ended"),
        Err(never) => match never {},
    }
}
