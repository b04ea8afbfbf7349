//! SysTick on the core's clock, made 64 bits wide by its interrupt.

use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::peripheral::{syst::SystClkSource, SYST};
use cortex_m_rt::exception;

const RELOAD: u32 = 0x00FF_FFFF;
static WRAPS: AtomicU32 = AtomicU32::new(0);

/// Ticks of the core's clock since the start.
pub struct Ticks {
    syst: SYST,
}

impl Ticks {
    /// Starts counting.
    pub fn new(mut syst: SYST) -> Ticks {
        syst.set_clock_source(SystClkSource::Core);
        syst.set_reload(RELOAD);
        syst.clear_current();
        syst.enable_interrupt();
        syst.enable_counter();
        Ticks { syst }
    }

    /// Ticks since the start.
    pub fn now(&mut self) -> u64 {
        loop {
            let before = WRAPS.load(Ordering::SeqCst);
            let current = SYST::get_current();
            // A wrap in between: read again.
            if WRAPS.load(Ordering::SeqCst) == before && self.syst.is_counter_enabled() {
                let down = u64::from(RELOAD - current);
                return u64::from(before) * (u64::from(RELOAD) + 1) + down;
            }
        }
    }
}

#[exception]
fn SysTick() {
    // A load and a store, since the smallest cores have no more; nothing else writes here.
    WRAPS.store(WRAPS.load(Ordering::SeqCst).wrapping_add(1), Ordering::SeqCst);
}
