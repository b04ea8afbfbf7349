//! What the images for QEMU's Netduinos share: their chips, an STM32F205 and an STM32F405, have the
//! same USARTs and timers at the same addresses.
#![no_std]

mod uart;

use offshoot_firmware::{Board, Counter, Stack};
use offshoot_runtime::guard::GuardMemory;
use offshoot_runtime::Trainer;
use offshoot_support_cortex_m::{stack, Ticks};
use offshoot_support_emulator::log_to;
use uart::Uart;

pub use offshoot_support_emulator::stop;

/// The counter of TIM2, which this emulator lets count nanoseconds, whatever is written to it: one
/// for each instruction.
const TIM2_COUNT: *const u32 = 0x4000_0024 as *const u32;

struct Netduino {
    name: &'static str,
    clock_mhz: u64,
    ticks: Ticks,
}

impl Board for Netduino {
    fn name(&self) -> &str {
        self.name
    }

    fn counter(&self) -> Counter {
        Counter::Instructions
    }

    /// TIM2 is exact and has 32 bits; SysTick, on the core's clock, says how often it has wrapped.
    fn count(&mut self) -> u64 {
        // SAFETY: a register that may be read at any time.
        let exact = unsafe { TIM2_COUNT.read_volatile() };
        let near = self.ticks.now() * 1_000 / self.clock_mhz;
        near.wrapping_add_signed(exact.wrapping_sub(near as u32).cast_signed().into())
    }

    fn stack(&mut self) -> Option<Stack> {
        let (used, size) = stack();
        Some(Stack { used, size })
    }
}

/// Serves `trainer` as the board called `name`, whose core has a clock of `clock_mhz`, until its link
/// ends; `guard` is the memory of its guards.
pub fn serve<T, G>(name: &'static str, clock_mhz: u64, trainer: &mut T, guard: &mut G) -> !
where
    T: Trainer + ?Sized,
    G: GuardMemory,
{
    let Some(core) = cortex_m::Peripherals::take() else { stop("started twice") };
    uart::start_log();
    log_to(uart::log);
    defmt::info!("up; stack {=u32} bytes", stack().1);
    let board = Netduino { name, clock_mhz, ticks: Ticks::new(core.SYST) };
    match offshoot_firmware::serve(trainer, guard, board, Uart::new()) {
        Ok(()) => stop("the link ended"),
        Err(never) => match never {},
    }
}
