//! The USARTs of an STM32F2 or STM32F4, as the emulator has them: the link, a byte at a time, and the log.
//! Clocks and pins, which the emulator does not have, are left alone.
//!
//! The core does not sleep while no byte comes: the emulator puts its clock right some time after a core
//! has woken, so that the instructions of a step would seem to be some dozens more or less.

use core::convert::Infallible;
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
/// The receiver.
const ENABLE_RX: u32 = 1 << 2;

/// The link.
pub struct Uart(());

impl Uart {
    pub fn new() -> Uart {
        write(LINK, CONTROL, ENABLE_TX | ENABLE_RX);
        Uart(())
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
        while read(LINK, STATUS) & RX_FULL == 0 {}
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
