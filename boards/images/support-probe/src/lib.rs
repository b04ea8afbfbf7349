//! What images on Cortex-M chips share: the log, which a debug probe reads from memory (RTT), the
//! panic handler, and the core's own part of a [`Board`].
#![no_std]

#[cfg(feature = "checkpoints")]
mod checkpoints;

use cortex_m::peripheral::SYST;
use defmt_rtt as _;
use embedded_io::{Read, Write};
use offshoot_firmware::{Board, Counter, Line, Stack};
use offshoot_runtime::guard::GuardMemory;
use offshoot_runtime::Trainer;
use offshoot_support_cortex_m::{stack, Ticks};
use panic_probe as _;

#[cfg(feature = "checkpoints")]
pub use checkpoints::{serve_with_checkpoints, Checkpoints};

/// A board that counts cycles by SysTick.
struct Core {
    name: &'static str,
    ticks: Ticks,
}

impl Board for Core {
    fn name(&self) -> &str {
        self.name
    }

    fn counter(&self) -> Counter {
        Counter::Cycles
    }

    fn count(&mut self) -> u64 {
        self.ticks.now()
    }

    fn stack(&mut self) -> Option<Stack> {
        let (used, size) = stack();
        Some(Stack { used, size })
    }
}

/// Logs why and stops the core.
pub fn stop(why: &str) -> ! {
    defmt::error!("stopped: {=str}", why);
    loop {
        cortex_m::asm::wfi();
    }
}

/// Serves `trainer` over `link` as the board called `name`, for ever; `guard` is the memory of its guards.
pub fn serve<T, G, L>(name: &'static str, trainer: &mut T, guard: &mut G, syst: SYST, link: L) -> !
where
    T: Trainer + ?Sized,
    G: GuardMemory,
    L: Read + Write,
{
    serve_on(trainer, guard, Core { name, ticks: Ticks::new(syst) }, link)
}

fn serve_on<T, G, B, L>(trainer: &mut T, guard: &mut G, board: B, link: L) -> !
where
    T: Trainer + ?Sized,
    G: GuardMemory,
    B: Board,
    L: Read + Write,
{
    defmt::info!("up; stack {=u32} bytes", stack().1);
    match offshoot_firmware::serve(trainer, guard, board, Line(link)) {
        Ok(()) => stop("the link ended"),
        Err(never) => match never {},
    }
}
