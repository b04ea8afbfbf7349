//! The CMSDK UARTs: the link, a byte at a time, asleep while none comes; and the log.

use core::convert::Infallible;
use cortex_m::interrupt::{self, InterruptNumber};
use cortex_m::peripheral::NVIC;
use embedded_io::{ErrorType, Read, Write};

/// The link's UART.
const UART0: *mut u32 = 0x4000_4000 as *mut u32;
/// The log's.
const UART1: *mut u32 = 0x4000_5000 as *mut u32;
/// Words from the base.
const DATA: usize = 0;
const STATE: usize = 1;
const CONTROL: usize = 2;
const INTERRUPT_CLEAR: usize = 3;
const DIVIDER: usize = 4;

const TX_FULL: u32 = 1;
const RX_FULL: u32 = 2;
const RX_PENDING: u32 = 2;
const ENABLE_TX: u32 = 1;
/// Transmitter, receiver and the receiver's interrupt.
const ENABLE_ALL: u32 = 0b1011;
/// 25 MHz / 217 is 115200 baud; the emulator only wants it above 15.
const DIVISOR: u32 = 217;

#[derive(Clone, Copy)]
struct Received;

// SAFETY: line 0 of the MPS2's NVIC is UART0's receiver.
unsafe impl InterruptNumber for Received {
    fn number(self) -> u16 {
        0
    }
}

/// The link.
pub struct Uart {
    _nvic: NVIC,
}

impl Uart {
    pub(crate) fn new(nvic: NVIC) -> Uart {
        write(UART0, DIVIDER, DIVISOR);
        write(UART0, CONTROL, ENABLE_ALL);
        Uart { _nvic: nvic }
    }

    /// Sleeps until a byte may have come. The interrupt only wakes: it is masked again before
    /// interrupts are on, so that it needs no handler.
    fn sleep(&mut self) {
        interrupt::free(|_| {
            // SAFETY: no critical section relies on this line, which nobody else uses.
            unsafe { NVIC::unmask(Received) };
            if read(UART0, STATE) & RX_FULL == 0 {
                cortex_m::asm::wfi();
            }
            NVIC::mask(Received);
            write(UART0, INTERRUPT_CLEAR, RX_PENDING);
            NVIC::unpend(Received);
        });
    }
}

/// Readies the log's UART.
pub(crate) fn start_log() {
    write(UART1, DIVIDER, DIVISOR);
    write(UART1, CONTROL, ENABLE_TX);
}

/// Sends to the log.
pub(crate) fn log(bytes: &[u8]) {
    for &byte in bytes {
        while read(UART1, STATE) & TX_FULL != 0 {}
        write(UART1, DATA, byte.into());
    }
}

fn read(uart: *mut u32, register: usize) -> u32 {
    // SAFETY: a register of one of the two, all of which may be read at any time.
    unsafe { uart.add(register).read_volatile() }
}

fn write(uart: *mut u32, register: usize, value: u32) {
    // SAFETY: a register of one of the two; none of them affects memory.
    unsafe { uart.add(register).write_volatile(value) }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(place) = buffer.first_mut() else { return Ok(0) };
        while read(UART0, STATE) & RX_FULL == 0 {
            self.sleep();
        }
        *place = read(UART0, DATA) as u8;
        Ok(1)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some(&byte) = bytes.first() else { return Ok(0) };
        while read(UART0, STATE) & TX_FULL != 0 {}
        write(UART0, DATA, byte.into());
        Ok(1)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while read(UART0, STATE) & TX_FULL != 0 {}
        Ok(())
    }
}
