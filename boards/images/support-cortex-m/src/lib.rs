//! What images on any Cortex-M share: the core's own parts, and nothing of a chip or of training.
#![no_std]

mod ticks;

pub use ticks::Ticks;

/// What cortex-m-rt's `paint-stack` fills the stack with.
const PAINT: u32 = 0xCCCC_CCCC;

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
