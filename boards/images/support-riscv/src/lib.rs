//! What images on RISC-V cores share: how deep the stack has been. It is painted at the start, and what is left
//! of that is counted.
#![no_std]

use core::arch::asm;

const PAINT: u32 = 0xCCCC_CCCC;
/// Bytes below the stack pointer that are not painted: what painting itself may use.
const MARGIN: usize = 256;

/// First and last address of the stack, as riscv-rt calls them.
fn bounds() -> (*mut u32, *mut u32) {
    extern "C" {
        static mut __estack: u32;
        static mut __sstack: u32;
    }
    // Only addresses are taken here: the linker script defines both, aligned to 4 bytes.
    (&raw mut __estack, &raw mut __sstack)
}

/// Fills what is not in use yet.
pub fn paint_stack() {
    let pointer: usize;
    // SAFETY: copies a register.
    unsafe { asm!("mv {}, sp", out(reg) pointer, options(nomem, nostack)) };
    let (bottom, _) = bounds();
    for i in 0..pointer.saturating_sub(MARGIN + bottom as usize) / 4 {
        // SAFETY: inside the stack's memory, and below all that is in use.
        unsafe { bottom.add(i).write_volatile(PAINT) };
    }
}

/// Bytes of stack that were ever used, and that there are.
pub fn stack() -> (u32, u32) {
    let (bottom, top) = bounds();
    let size = top as usize - bottom as usize;
    let untouched = (0..size / 4)
        // SAFETY: `i` is below the number of words between the two; volatile, since the words near
        // the top are the stack in use.
        .take_while(|&i| unsafe { bottom.add(i).read_volatile() } == PAINT)
        .count();
    ((size - untouched * 4) as u32, size as u32)
}
