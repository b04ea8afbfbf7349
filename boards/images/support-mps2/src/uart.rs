//! The CMSDK UARTs: the link, a byte at a time, asleep while none comes; and the log.

use crate::Machine;
use core::convert::Infallible;
use core::sync::atomic::{AtomicUsize, Ordering};
use cortex_m::interrupt::{self, InterruptNumber};
use cortex_m::peripheral::NVIC;
use embedded_io::{ErrorType, Read, Write};

/// Address of the log's UART; 0 before it is started.
static LOG: AtomicUsize = AtomicUsize::new(0);
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
/// Its speed; the emulator only wants the divisor above 15.
const BAUD: u32 = 115_200;

#[derive(Clone, Copy)]
struct Received(u16);

// SAFETY: the number is a line of the machine's NVIC that is its UART's.
unsafe impl InterruptNumber for Received {
    fn number(self) -> u16 {
        self.0
    }
}

/// The link.
pub struct Uart {
    base: usize,
    received: Received,
    _nvic: NVIC,
}

impl Uart {
    pub(crate) fn new(machine: Machine, nvic: NVIC) -> Uart {
        write(machine.link, DIVIDER, machine.clock_hz / BAUD);
        write(machine.link, CONTROL, ENABLE_ALL);
        Uart { base: machine.link, received: Received(machine.received), _nvic: nvic }
    }

    /// Sleeps until a byte may have come. The interrupt only wakes: it is masked again before
    /// interrupts are on, so that it needs no handler.
    fn sleep(&mut self) {
        interrupt::free(|_| {
            // SAFETY: no critical section relies on this line, which nobody else uses.
            unsafe { NVIC::unmask(self.received) };
            if read(self.base, STATE) & RX_FULL == 0 {
                cortex_m::asm::wfi();
            }
            NVIC::mask(self.received);
            write(self.base, INTERRUPT_CLEAR, RX_PENDING);
            NVIC::unpend(self.received);
        });
    }
}

/// Readies the log's UART.
pub(crate) fn start_log(machine: Machine) {
    write(machine.log, DIVIDER, machine.clock_hz / BAUD);
    write(machine.log, CONTROL, ENABLE_TX);
    LOG.store(machine.log, Ordering::Relaxed);
}

/// Sends to the log.
pub(crate) fn log(bytes: &[u8]) {
    let base = LOG.load(Ordering::Relaxed);
    for &byte in bytes {
        while read(base, STATE) & TX_FULL != 0 {}
        write(base, DATA, byte.into());
    }
}

fn read(base: usize, register: usize) -> u32 {
    // SAFETY: a register of a machine's UART, all of which may be read at any time.
    unsafe { (base as *mut u32).add(register).read_volatile() }
}

fn write(base: usize, register: usize, value: u32) {
    // SAFETY: a register of a machine's UART; none of them affects memory.
    unsafe { (base as *mut u32).add(register).write_volatile(value) }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(place) = buffer.first_mut() else { return Ok(0) };
        while read(self.base, STATE) & RX_FULL == 0 {
            self.sleep();
        }
        *place = read(self.base, DATA) as u8;
        Ok(1)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some(&byte) = bytes.first() else { return Ok(0) };
        while read(self.base, STATE) & TX_FULL != 0 {}
        write(self.base, DATA, byte.into());
        Ok(1)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while read(self.base, STATE) & TX_FULL != 0 {}
        Ok(())
    }
}
