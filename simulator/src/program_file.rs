//! `program.bin`: a program as a file, checked before anything of it runs.
//!
//! Layout: magic, version and checksum (`sealed`), u32 length of the description, the description
//! (postcard: header, init, ops, and the features' energy if it is known), the constants.
//! Little-endian.

use offshoot_runtime::program::{verify, Header, Init, Op, Program, Refusal};
use serde::{Deserialize, Serialize};

use crate::sealed::{self, word, Broken};
use crate::AlignedBytes;

const MAGIC: &[u8; 8] = b"OFFSHOOT";
const VERSION: u32 = 2;
/// Bytes of the length.
const LENGTH: usize = 4;

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
    /// Energy of the features that a trained head reads, where it was measured.
    pub feature_energy: Option<f32>,
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
            feature_energy: self.feature_energy,
        }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// Where the description does not encode, which a program of any size does.
    pub fn encode(&self) -> Result<Vec<u8>, ProgramError> {
        let description =
            Description { header: self.header, init: self.init.clone(), ops: self.ops.clone() };
        let mut description =
            postcard::to_stdvec(&description).map_err(ProgramError::Description)?;
        // What is not known takes no bytes.
        description.extend(self.feature_energy.iter().flat_map(|energy| energy.to_le_bytes()));
        let mut body = (description.len() as u32).to_le_bytes().to_vec();
        body.extend_from_slice(&description);
        body.extend_from_slice(self.constants.as_ref());
        Ok(sealed::seal(MAGIC, VERSION, &body))
    }

    /// The program that `bytes` hold, verified.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<ProgramFile, ProgramError> {
        if bytes.len() < sealed::PREFIX + LENGTH {
            return Err(ProgramError::Magic);
        }
        let body = sealed::open(bytes, MAGIC, VERSION).map_err(|broken| match broken {
            Broken::Magic => ProgramError::Magic,
            Broken::Version(found) => ProgramError::Version { found },
            Broken::Checksum => ProgramError::Checksum,
        })?;
        let end = LENGTH + word(body, 0).unwrap_or(0) as usize;
        let description = body.get(LENGTH..end).ok_or(ProgramError::Checksum)?;
        let (Description { header, init, ops }, rest) =
            postcard::take_from_bytes(description).map_err(ProgramError::Description)?;
        let feature_energy = match rest {
            [] => None,
            rest => Some(postcard::from_bytes(rest).map_err(ProgramError::Description)?),
        };
        let constants = AlignedBytes::copy_of(&body[end..]);
        let file = ProgramFile { header, init, ops, constants, feature_energy };
        verify(&file.program()).map_err(ProgramError::Refused)?;
        Ok(file)
    }
}
