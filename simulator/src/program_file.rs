//! `program.bin`: a program as a file, checked before anything of it runs.
//!
//! Layout: 8 bytes magic, u32 version, u32 CRC-32 of what follows, u32 length of the description,
//! the description (postcard: header, init, ops), the constants. Little-endian.

use offshoot_runtime::program::{verify, Header, Init, Op, Program, Refusal};
use serde::{Deserialize, Serialize};

use crate::AlignedBytes;

const MAGIC: &[u8; 8] = b"OFFSHOOT";
const VERSION: u32 = 2;
const PREFIX: usize = 20;

/// A program that owns its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramFile {
    /// What it is and needs.
    pub header: Header,
    /// How state is filled at first.
    pub init: Vec<Init>,
    /// The step, in order.
    pub ops: Vec<Op>,
    /// Weights and tables.
    pub constants: AlignedBytes,
}

#[derive(Serialize, Deserialize)]
struct Description {
    header: Header,
    init: Vec<Init>,
    ops: Vec<Op>,
}

/// Bytes that are no program.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Something else, or cut off before its first bytes.
    #[error("this is not a compiled program; make one with `offshoot compile`")]
    Magic,
    /// Written by another version.
    #[error("the program has format {found}, this is version {VERSION}; compile the model again")]
    Version {
        /// Its version.
        found: u32,
    },
    /// Torn or changed.
    #[error("the program is damaged (checksum differs); compile the model again")]
    Checksum,
    /// The description does not decode.
    #[error("the program's description does not decode: {0}; compile the model again")]
    Description(postcard::Error),
    /// An op that could not run.
    #[error("the program is refused: {0}; compile the model again")]
    Refused(Refusal),
}

impl ProgramFile {
    /// The program, to be run.
    pub fn program(&self) -> Program<'_> {
        Program {
            header: self.header,
            init: &self.init,
            ops: &self.ops,
            constants: self.constants.as_ref(),
        }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// Where the description does not encode, which a program of any size does.
    pub fn encode(&self) -> Result<Vec<u8>, ProgramError> {
        let description =
            Description { header: self.header, init: self.init.clone(), ops: self.ops.clone() };
        let description = postcard::to_stdvec(&description).map_err(ProgramError::Description)?;
        let mut body = (description.len() as u32).to_le_bytes().to_vec();
        body.extend_from_slice(&description);
        body.extend_from_slice(self.constants.as_ref());
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// The program that `bytes` hold, verified.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<ProgramFile, ProgramError> {
        let word = |at: usize| {
            let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(bytes))
        };
        if bytes.len() < PREFIX || !bytes.starts_with(MAGIC) {
            return Err(ProgramError::Magic);
        }
        let (version, crc) = (word(8).unwrap_or(0), word(12).unwrap_or(0));
        if version != VERSION {
            return Err(ProgramError::Version { found: version });
        }
        if crc32fast::hash(&bytes[16..]) != crc {
            return Err(ProgramError::Checksum);
        }
        let end = PREFIX + word(16).unwrap_or(0) as usize;
        let description = bytes.get(PREFIX..end).ok_or(ProgramError::Checksum)?;
        let Description { header, init, ops } =
            postcard::from_bytes(description).map_err(ProgramError::Description)?;
        let constants = AlignedBytes::copy_of(&bytes[end..]);
        let file = ProgramFile { header, init, ops, constants };
        verify(&file.program()).map_err(ProgramError::Refused)?;
        Ok(file)
    }
}
