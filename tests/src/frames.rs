//! A peer that means no harm, and one that does: requests to a device, sound and spoiled.

use offshoot_firmware::bank::{Entry, Incoming, Name, Request as Asked};
use offshoot_firmware::link::{
    encode, Answer, Command, Refusal, Reply, Request, CHUNK_BYTES, FRAME_BYTES, PROTOCOL,
};
use offshoot_runtime::program::Header;
use serde::ser::{Serialize, SerializeTuple, Serializer};

use crate::random::Random;

/// Sends what no device should take, among what it should.
#[derive(Clone, Debug)]
pub struct Peer {
    random: Random,
    header: Header,
    /// Number of the next request, as far as none got through that was not meant to.
    next: u16,
    /// Bytes of state that have been sent.
    sent: u32,
}

impl Peer {
    /// The peer of a device that runs a program with this header.
    pub fn new(seed: u64, header: Header) -> Peer {
        Peer { random: Random::new(seed), header, next: 0, sent: 0 }
    }

    /// What it sends next: one frame at first, and whether it was spoiled. Two in three are, half of
    /// those before they get their checksum, so that it is right.
    pub fn frame(&mut self) -> (Vec<u8>, bool) {
        let next = self.next;
        let message = self.message();
        match self.random.below(6) {
            0 | 1 => return (framed(&message), false),
            2 | 3 => {
                self.next = next;
                return (framed(&self.spoiled(message)), true);
            }
            _ => {}
        }
        let mut frame = framed(&message);
        for _ in 0..=self.random.below(2) {
            frame = self.spoiled(frame);
        }
        self.next = next;
        (frame, true)
    }

    /// Hears what a device answers.
    pub fn hear(&mut self, reply: &Reply<'_>) {
        use Refusal::{NoSession, OutOfOrder, Unknown};
        match reply.answer {
            Answer::Damaged | Answer::Refused(NoSession | OutOfOrder | Unknown) => {}
            _ => self.next = reply.sequence.wrapping_add(1),
        }
    }

    /// A frame that no device should take.
    pub fn damaged(&mut self) -> Vec<u8> {
        loop {
            let frame = framed(&self.message());
            let mut frame = [&[0], &*self.spoiled(frame), &[0]].concat();
            frame.dedup_by(|a, b| (*a, *b) == (0, 0));
            if !Line::default().is_sound(&frame) {
                return frame;
            }
        }
    }

    fn message(&mut self) -> Vec<u8> {
        let random = &mut self.random;
        let mut bytes = [0; CHUNK_BYTES];
        bytes.iter_mut().for_each(|byte| *byte = random.below(256) as u8);
        let input = self.header.input_shape.elements().min(CHUNK_BYTES);
        let any = random.below(1 << 20) as u32;
        let command = match random.below(100) {
            0..=3 => Command::Hello { protocol: PROTOCOL },
            4..=34 => Command::Sample { offset: 0, bytes: &bytes[..input] },
            35..=39 => Command::Sample { offset: any, bytes: &bytes[..random.below(CHUNK_BYTES)] },
            40..=44 => Command::Infer,
            45..=54 => Command::Train { label: random.below(12) as u16, rate: 0.01 },
            55..=59 => Command::StateHash,
            60..=66 => Command::StateRead { offset: any % 9000, length: (any % 700) as u16 },
            67..=69 => Command::Stats,
            70..=74 => Command::Restore,
            75..=77 => Command::Reset,
            78..=79 => Command::Checkpoint { overwrite: any.is_multiple_of(2) },
            80..=81 => {
                self.sent = 0;
                let model_hash = self.header.model_hash + u64::from(any % 4 / 3);
                Command::StateBegin { model_hash, state_hash: any.into(), steps: any }
            }
            82..=87 => {
                let message = adapter(random, &self.header, &bytes);
                let command = Command::Adapter(&message);
                return self.numbered(command);
            }
            _ => {
                let length = (self.header.state - self.sent).min(CHUNK_BYTES as u32);
                let offset = self.sent;
                self.sent = (offset + length) % self.header.state;
                Command::StateWrite { offset, bytes: &bytes[..length as usize] }
            }
        };
        self.numbered(command)
    }

    fn numbered(&mut self, command: Command<'_>) -> Vec<u8> {
        let random = &mut self.random;
        if let Command::Hello { .. } = command {
            self.next = random.below(1 << 16) as u16;
        }
        let mut sequence = self.next;
        if random.below(10) == 0 {
            sequence = random.below(1 << 16) as u16;
        } else {
            self.next = sequence.wrapping_add(1);
        }
        let request = Request { sequence, command };
        postcard::to_stdvec(&request).unwrap_or_else(|e| panic!("{e}"))
    }

    fn spoiled(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let random = &mut self.random;
        let at = random.below(bytes.len().max(1)).min(bytes.len());
        let other = (at + random.below(12)).min(bytes.len());
        let any = [0, 1, 2, 127, 128, 254, 255, random.below(256)][random.below(8)] as u8;
        match random.below(9) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 if at < bytes.len() => bytes[at] = any,
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..other)),
            5 => bytes.insert(at, any),
            6 => bytes[at..other].fill(any),
            7 => bytes.extend(bytes.clone()),
            _ => {
                let noise: Vec<u8> =
                    (0..random.below(900)).map(|_| random.below(256) as u8).collect();
                bytes.splice(at..at, noise);
            }
        }
        bytes
    }
}

/// Something that is asked of a bank.
fn adapter(random: &mut Random, header: &Header, bytes: &[u8]) -> Vec<u8> {
    let named = ["anna", "berta", "cilly"].map(|name| Name::new(name).unwrap_or_default());
    let (name, any) = (named[random.below(3)], random.below(1 << 16) as u32);
    let pairs = [(name, 1 << 14), (named[0], any as i32 - 1000)];
    let pairs = postcard::to_stdvec(&pairs).unwrap_or_else(|e| panic!("{e}"));
    let request = match random.below(13) {
        0 => Asked::Status,
        1 => Asked::Next(any % 20),
        2 => Asked::Find(name),
        3 => Asked::Keep(name),
        4 => Asked::Activate(name),
        5 => Asked::Blend(&pairs),
        6 => Asked::Drop,
        7 => Asked::Remove(name),
        8 => Asked::RemoveOthers,
        9 => Asked::Export(name, any % 9 * 256),
        10 => {
            let entry = Entry { name, length: any % 9000, crc: any, steps: any };
            Asked::Receive(Incoming { model_hash: header.model_hash, entry })
        }
        11 => Asked::Cut(any as u16 % 9),
        _ => Asked::Bytes(any % 2 * 256, &bytes[..256]),
    };
    postcard::to_stdvec(&request).unwrap_or_else(|e| panic!("{e}"))
}

/// `message` in a frame, with the checksum that it should have; nothing where it is too long for one.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 3 * FRAME_BYTES];
    let length = encode(&Raw(message), &mut frame).unwrap_or(0);
    frame.truncate(length);
    frame
}

/// Bytes that are a message already.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

/// What a device hears, taken apart by the book: COBS and CRC-32 of other makers.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Bytes since the last zero.
    rest: Vec<u8>,
}

impl Line {
    /// Whether `bytes` complete a frame whose checksum is right.
    pub fn is_sound(&mut self, bytes: &[u8]) -> bool {
        let mut sound = false;
        for &byte in bytes {
            if byte == 0 {
                let coded = std::mem::take(&mut self.rest);
                let plain = cobs::decode_vec(&coded).unwrap_or_default();
                let checked = plain.split_last_chunk::<4>();
                sound |= checked.is_some_and(|(message, crc)| {
                    crc32fast::hash(message) == u32::from_le_bytes(*crc)
                });
            } else {
                self.rest.push(byte);
            }
        }
        sound
    }
}
