//! The USARTs of an STM32F2 or STM32F4, as the emulator has them: the link, a byte at a time, asleep while none
//! comes; and the log. Clocks and pins, which the emulator does not have, are left alone.

use core::convert::Infallible;
use cortex_m::interrupt::{self, InterruptNumber};
use cortex_m::peripheral::NVIC;
use embedded_io::{ErrorType, Read, Write};

/// The link's: USART1.
const LINK: *mut u32 = 0x4001_1000 as *mut u32;
/// The log's: USART2.
const LOG: *mut u32 = 0x4000_4400 as *mut u32;
/// Words from the base.
const STATUS: usize = 0;
const DATA: usize = 1;
const CONTROL: usize = 3;

const RX_FULL: u32 = 1 << 5;
const TX_EMPTY: u32 = 1 << 7;
/// The USART and its transmitter.
const ENABLE_TX: u32 = 1 << 13 | 1 << 3;
/// Receiver and the receiver's interrupt.
const ENABLE_RX: u32 = 1 << 5 | 1 << 2;

#[derive(Clone, Copy)]
struct Received;

// SAFETY: line 37 of these chips' NVIC is USART1.
unsafe impl InterruptNumber for Received {
    fn number(self) -> u16 {
        37
    }
}

/// The link.
pub struct Uart {
    _nvic: NVIC,
}

impl Uart {
    pub fn new(nvic: NVIC) -> Uart {
        write(LINK, CONTROL, ENABLE_TX | ENABLE_RX);
        Uart { _nvic: nvic }
    }

    /// Sleeps until a byte may have come. The interrupt only wakes: it is masked again before
    /// interrupts are on, so that it needs no handler. Reading the byte ends it.
    fn sleep(&mut self) {
        interrupt::free(|_| {
            // SAFETY: no critical section relies on this line, which nobody else uses.
            unsafe { NVIC::unmask(Received) };
            if read(LINK, STATUS) & RX_FULL == 0 {
                cortex_m::asm::wfi();
            }
            NVIC::mask(Received);
            NVIC::unpend(Received);
        });
    }
}

/// Readies the log's USART.
pub fn start_log() {
    write(LOG, CONTROL, ENABLE_TX);
}

/// Sends to the log.
pub fn log(bytes: &[u8]) {
    bytes.iter().for_each(|&byte| send(LOG, byte));
}

fn send(usart: *mut u32, byte: u8) {
    while read(usart, STATUS) & TX_EMPTY == 0 {}
    write(usart, DATA, byte.into());
}

fn read(usart: *mut u32, register: usize) -> u32 {
    // SAFETY: a register of one of the two, all of which may be read at any time.
    unsafe { usart.add(register).read_volatile() }
}

fn write(usart: *mut u32, register: usize, value: u32) {
    // SAFETY: a register of one of the two; none of them affects memory.
    unsafe { usart.add(register).write_volatile(value) }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(place) = buffer.first_mut() else { return Ok(0) };
        while read(LINK, STATUS) & RX_FULL == 0 {
            self.sleep();
        }
        *place = read(LINK, DATA) as u8;
        Ok(1)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some(&byte) = bytes.first() else { return Ok(0) };
        send(LINK, byte);
        Ok(1)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while read(LINK, STATUS) & TX_EMPTY == 0 {}
        Ok(())
    }
}
