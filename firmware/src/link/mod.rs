//! The protocol between host and device: numbered requests, one answer each, in checked frames.
//!
//! A frame is a postcard message and its CRC-32, COBS-coded between zero bytes: after garbage the
//! next zero byte starts afresh. The host sends one request and waits; when no answer comes, or a
//! frame was damaged, it sends the same bytes again. A session begins with
//! [`Command::Hello`]; from there every request's number is one more than the last. A device that
//! sees the last number again repeats its answer and does nothing else; any other number it
//! refuses. So a request is carried out once, whatever the line does to it.

mod frame;
mod message;

pub use crate::crc::crc32;
pub use frame::{encode, Decoder, Event, Full, FRAME_BYTES, PAYLOAD_BYTES};
pub use message::{
    Answer, Command, Refusal, Reply, Request, Stats, Stepped, Welcome, CHUNK_BYTES, PROTOCOL,
};
