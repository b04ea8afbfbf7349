//! What the Arm MPS2 images share: the chip's registers, and nothing of training.
//!
//! QEMU with `-icount shift=0` lets one instruction take 1 ns; SysTick counts at the board's
//! 25 MHz, so every tick is 40 instructions, the same in every run.
#![no_std]

mod log;
mod ticks;
mod uart;

pub use ticks::{Ticks, INSTRUCTIONS_PER_TICK};
pub use uart::Uart;

use cortex_m_rt::{exception, ExceptionFrame};

/// The parts of the board that an image uses.
pub struct Parts {
    /// The link.
    pub uart: Uart,
    /// The clock.
    pub ticks: Ticks,
}

/// Sets the board up; `None` the second time.
pub fn start() -> Option<Parts> {
    let core = cortex_m::Peripherals::take()?;
    log::start();
    Some(Parts { uart: Uart::new(core.NVIC), ticks: Ticks::new(core.SYST) })
}

/// Bytes of stack that were ever used, and that there are.
pub fn stack() -> (u32, u32) {
    extern "C" {
        static _stack_start: u32;
        static _stack_end: u32;
    }
    // SAFETY: the linker script defines both, aligned to 4 bytes, with RAM in between; only
    // addresses are taken here.
    let (top, bottom) = (&raw const _stack_start, &raw const _stack_end);
    let size = top as usize - bottom as usize;
    let untouched = (0..size / 4)
        // SAFETY: `i` is below the number of words between the two; volatile, since the words near
        // the top are the stack in use.
        .take_while(|&i| unsafe { bottom.add(i).read_volatile() } == PAINT)
        .count();
    ((size - untouched * 4) as u32, size as u32)
}

/// What cortex-m-rt's `paint-stack` fills the stack with.
const PAINT: u32 = 0xCCCC_CCCC;

/// Logs why and ends the emulator with an error.
pub fn stop(why: &str) -> ! {
    defmt::error!("stopped: {=str}", why);
    semihosting::process::exit(1)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    if let Some(place) = info.location() {
        defmt::error!("panic at {=str}:{=u32}", place.file(), place.line());
    }
    stop("panic")
}

// SAFETY: a handler that never returns and touches nothing but the log.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    defmt::error!("hard fault at {=u32:x}", frame.pc());
    stop("hard fault")
}
