//! The 16550 of the machine: the link, a byte at a time, asleep while none comes.

use core::convert::Infallible;
use embedded_io::{ErrorType, Read, Write};
use riscv::register::mie;

const UART: *mut u8 = 0x1000_0000 as *mut u8;
/// Bytes from the base.
const DATA: usize = 0;
const INTERRUPTS: usize = 1;
const FIFO: usize = 2;
const STATE: usize = 5;

const RX_FULL: u8 = 1;
const TX_EMPTY: u8 = 1 << 5;

/// The interrupt controller, and the UART's line.
const PLIC: usize = 0x0C00_0000;
const LINE: usize = 10;
const PRIORITY: *mut u32 = (PLIC + 4 * LINE) as *mut u32;
/// Of the first core in machine mode.
const ENABLE: *mut u32 = (PLIC + 0x2000) as *mut u32;
const CLAIM: *mut u32 = (PLIC + 0x20_0004) as *mut u32;

/// The link.
pub struct Uart(());

impl Uart {
    pub fn new() -> Uart {
        write(FIFO, 1);
        write(INTERRUPTS, RX_FULL);
        // SAFETY: the controller's registers, which nobody else uses; interrupts stay off in the
        // core, so that the line wakes it and calls nothing.
        unsafe {
            PRIORITY.write_volatile(1);
            ENABLE.write_volatile(1 << LINE);
            mie::set_mext();
        }
        Uart(())
    }

    /// Sleeps until a byte may have come.
    fn sleep(&mut self) {
        riscv::asm::wfi();
        // SAFETY: as above. A claim that is completed may rise again, while the byte is there.
        unsafe {
            let line = CLAIM.read_volatile();
            if line != 0 {
                CLAIM.write_volatile(line);
            }
        }
    }
}

fn read(register: usize) -> u8 {
    // SAFETY: a register of the UART, all of which may be read at any time.
    unsafe { UART.add(register).read_volatile() }
}

fn write(register: usize, value: u8) {
    // SAFETY: a register of the UART; none of them affects memory.
    unsafe { UART.add(register).write_volatile(value) }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(place) = buffer.first_mut() else { return Ok(0) };
        while read(STATE) & RX_FULL == 0 {
            self.sleep();
        }
        *place = read(DATA);
        Ok(1)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some(&byte) = bytes.first() else { return Ok(0) };
        while read(STATE) & TX_EMPTY == 0 {}
        write(DATA, byte);
        Ok(1)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while read(STATE) & TX_EMPTY == 0 {}
        Ok(())
    }
}
