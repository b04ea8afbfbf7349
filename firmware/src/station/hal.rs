//! Sensors, buttons and lamps on the traits of `embedded-hal`, whatever the chip.

use super::{Indicator, Label, LabelSource, SourceError, State};
use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal::i2c::I2c;
use embedded_hal::spi::{Operation, SpiDevice};

/// A sensor's registers, on whatever bus.
pub trait Registers {
    /// Reads registers from number `first` on.
    ///
    /// # Errors
    /// [`SourceError::Bus`].
    fn read(&mut self, first: u8, bytes: &mut [u8]) -> Result<(), SourceError>;

    /// Writes register number `register`.
    ///
    /// # Errors
    /// [`SourceError::Bus`].
    fn write(&mut self, register: u8, value: u8) -> Result<(), SourceError>;

    /// Reads one register.
    ///
    /// # Errors
    /// [`SourceError::Bus`].
    fn register(&mut self, register: u8) -> Result<u8, SourceError> {
        let mut byte = [0];
        self.read(register, &mut byte)?;
        let [value] = byte;
        Ok(value)
    }
}

/// Registers of a part on I2C.
#[derive(Clone, Debug)]
pub struct I2cRegisters<B> {
    /// The bus.
    pub bus: B,
    /// The part's address, 7 bits.
    pub address: u8,
}

impl<B: I2c> Registers for I2cRegisters<B> {
    fn read(&mut self, first: u8, bytes: &mut [u8]) -> Result<(), SourceError> {
        self.bus.write_read(self.address, &[first], bytes).map_err(|_| SourceError::Bus)
    }

    fn write(&mut self, register: u8, value: u8) -> Result<(), SourceError> {
        self.bus.write(self.address, &[register, value]).map_err(|_| SourceError::Bus)
    }
}

/// Registers of a part on SPI.
#[derive(Clone, Debug)]
pub struct SpiRegisters<D> {
    /// The part.
    pub device: D,
    /// Bits of the register's number that ask to read: mostly 0x80.
    pub read: u8,
    /// Bits, beside those, that ask to read several: 0x40 of some parts, 0 of others.
    pub several: u8,
}

impl<D: SpiDevice> Registers for SpiRegisters<D> {
    fn read(&mut self, first: u8, bytes: &mut [u8]) -> Result<(), SourceError> {
        let several = if bytes.len() > 1 { self.several } else { 0 };
        let command = [first | self.read | several];
        let mut both = [Operation::Write(&command), Operation::Read(bytes)];
        self.device.transaction(&mut both).map_err(|_| SourceError::Bus)
    }

    fn write(&mut self, register: u8, value: u8) -> Result<(), SourceError> {
        self.device.write(&[register, value]).map_err(|_| SourceError::Bus)
    }
}

/// A button for each class: the first that is pressed after a sample has come says what it is.
#[derive(Clone, Debug)]
pub struct Buttons<P, const CLASSES: usize> {
    pins: [P; CLASSES],
    /// Whether a pin is low while its button is pressed.
    low: bool,
    asked: Option<u32>,
    /// Buttons that were seen released since the sample was asked for: one that is held down, or bounces
    /// after it labelled the sample before, says nothing.
    released: [bool; CLASSES],
}

impl<P: InputPin, const CLASSES: usize> Buttons<P, CLASSES> {
    /// Buttons of classes 0, 1, …; `low` where a pin is low while its button is pressed.
    pub const fn new(pins: [P; CLASSES], low: bool) -> Self {
        Buttons { pins, low, asked: None, released: [false; CLASSES] }
    }
}

impl<P: InputPin, const CLASSES: usize> LabelSource for Buttons<P, CLASSES> {
    fn label(&mut self, sample: u32) -> Result<Label, SourceError> {
        if self.asked != Some(sample) {
            (self.asked, self.released) = (Some(sample), [false; CLASSES]);
        }
        for (class, (pin, released)) in (0..).zip(self.pins.iter_mut().zip(&mut self.released)) {
            let high = pin.is_high().map_err(|_| SourceError::Bus)?;
            if high == self.low {
                *released = true;
            } else if *released {
                return Ok(Label::Class(class));
            }
        }
        Ok(Label::Pending)
    }
}

/// A lamp that is lit in some states.
#[derive(Clone, Debug)]
pub struct Lamp<'m, P> {
    pin: P,
    lit: &'m [State],
}

impl<'m, P: OutputPin> Lamp<'m, P> {
    /// Lit, its pin high, while the station is at one of `lit`.
    pub const fn new(pin: P, lit: &'m [State]) -> Self {
        Lamp { pin, lit }
    }
}

impl<P: OutputPin> Indicator for Lamp<'_, P> {
    fn show(&mut self, state: State) {
        let lit = self.lit.contains(&state);
        // A lamp that fails must not keep the station from learning.
        let _ = self.pin.set_state(lit.into());
    }
}
