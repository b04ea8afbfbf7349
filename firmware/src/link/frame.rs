//! Frames: a message, its CRC-32, COBS between zero bytes.

use super::message::CHUNK_BYTES;
use crate::crc::{crc32, Crc};
use postcard::ser_flavors::Flavor;
use serde::Serialize;

/// Most bytes of one message.
pub const PAYLOAD_BYTES: usize = CHUNK_BYTES + 32;
const CHECKED_BYTES: usize = PAYLOAD_BYTES + 4;
/// Most bytes of one frame, delimiters included.
pub const FRAME_BYTES: usize = CHECKED_BYTES + CHECKED_BYTES / 254 + 3;

/// The message does not fit the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Writes `message` as a frame into `out` and returns its length.
///
/// # Errors
/// [`Full`] where `out` is too small; [`FRAME_BYTES`] always suffice.
pub fn encode<M: Serialize>(message: &M, out: &mut [u8]) -> Result<usize, Full> {
    let writer = Writer::new(out).ok_or(Full)?;
    postcard::serialize_with_flavor(message, writer).map_err(|_| Full)
}

/// Codes bytes as they come: no second buffer.
struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
    /// Where the length of the run under way will be put.
    code: usize,
    crc: Crc,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut [u8]) -> Option<Self> {
        *out.first_mut()? = 0;
        Some(Writer { out, at: 2, code: 1, crc: Crc::new() })
    }

    fn put(&mut self, at: usize, byte: u8) -> postcard::Result<()> {
        *self.out.get_mut(at).ok_or(postcard::Error::SerializeBufferFull)? = byte;
        Ok(())
    }

    /// Ends the run: its length, plus one, goes in front of it.
    fn close(&mut self) -> postcard::Result<()> {
        self.put(self.code, (self.at - self.code) as u8)?;
        self.code = self.at;
        self.at += 1;
        Ok(())
    }

    fn push(&mut self, byte: u8) -> postcard::Result<()> {
        if byte == 0 {
            return self.close();
        }
        self.put(self.at, byte)?;
        self.at += 1;
        if self.at - self.code == 255 {
            self.close()?;
        }
        Ok(())
    }
}

impl Flavor for Writer<'_> {
    type Output = usize;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.crc.push(byte);
        self.push(byte)
    }

    fn finalize(mut self) -> postcard::Result<usize> {
        for byte in self.crc.value().to_le_bytes() {
            self.push(byte)?;
        }
        self.close()?;
        self.put(self.code, 0)?;
        Ok(self.code + 1)
    }
}

/// What a byte completed.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Nothing yet.
    Pending,
    /// A whole message.
    Message(&'a [u8]),
    /// Something that was no sound frame.
    Damaged,
}

/// Takes frames apart, a byte at a time.
#[derive(Clone, Debug)]
pub struct Decoder {
    buffer: [u8; CHECKED_BYTES],
    len: usize,
    /// Bytes of the run under way that are still to come.
    run: u8,
    /// A zero byte follows the run.
    zero: bool,
    started: bool,
    overflown: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

impl Decoder {
    /// A decoder at the start of a frame.
    pub const fn new() -> Decoder {
        Decoder {
            buffer: [0; CHECKED_BYTES],
            len: 0,
            run: 0,
            zero: false,
            started: false,
            overflown: false,
        }
    }

    /// Takes one byte.
    pub fn feed(&mut self, byte: u8) -> Event<'_> {
        if byte == 0 {
            return self.end();
        }
        self.started = true;
        if self.run > 0 {
            self.run -= 1;
            self.push(byte);
        } else {
            if self.zero {
                self.push(0);
            }
            self.run = byte - 1;
            self.zero = byte != 255;
        }
        Event::Pending
    }

    fn push(&mut self, byte: u8) {
        match self.buffer.get_mut(self.len) {
            Some(place) => {
                *place = byte;
                self.len += 1;
            }
            None => self.overflown = true,
        }
    }

    fn end(&mut self) -> Event<'_> {
        let whole = self.run == 0 && !self.overflown;
        let (started, len) = (self.started, self.len);
        (self.len, self.run, self.zero) = (0, 0, false);
        (self.started, self.overflown) = (false, false);
        if !started {
            return Event::Pending;
        }
        let checked = self.buffer.get(..len).and_then(|b| b.split_last_chunk::<4>());
        match checked {
            Some((message, crc)) if whole && crc32(message) == u32::from_le_bytes(*crc) => {
                Event::Message(message)
            }
            _ => Event::Damaged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &[u8]) -> Vec<u8> {
        let mut out = vec![0; FRAME_BYTES];
        let n = encode(&message, &mut out).unwrap();
        out.truncate(n);
        out
    }

    fn feed(decoder: &mut Decoder, bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut events = Vec::new();
        for &b in bytes {
            match decoder.feed(b) {
                Event::Pending => {}
                Event::Message(m) => events.push(Some(m.to_vec())),
                Event::Damaged => events.push(None),
            }
        }
        events
    }

    #[test]
    fn every_length_comes_back() {
        let mut decoder = Decoder::new();
        for n in 0..=CHUNK_BYTES {
            for message in [vec![0; n], vec![7; n], (0..n).map(|i| i as u8).collect()] {
                let bytes = frame(&message);
                assert!(bytes[1..bytes.len() - 1].iter().all(|&b| b != 0));
                let got = feed(&mut decoder, &bytes);
                let [Some(payload)] = &got[..] else { panic!("{n}: {got:?}") };
                assert_eq!(postcard::from_bytes::<&[u8]>(payload).unwrap(), message);
            }
        }
    }

    #[test]
    fn a_frame_after_garbage_is_read() {
        let mut decoder = Decoder::new();
        assert!(feed(&mut decoder, &vec![9; 10_000]).is_empty());
        let got = feed(&mut decoder, &frame(b"sound"));
        assert_eq!(got.len(), 2);
        assert!(got[0].is_none() && got[1].is_some());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = frame(&[3, 0, 255, 1, 0]);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let got = feed(&mut Decoder::new(), &flipped);
            let delimiter = bit / 8 == 0;
            assert!(delimiter || got.iter().all(Option::is_none), "bit {bit}: {got:?}");
        }
    }

    #[test]
    fn a_small_buffer_is_an_error() {
        for n in 0..8 {
            assert_eq!(encode(&[1u8, 2, 3, 4], &mut vec![0; n]), Err(Full));
        }
    }
}
