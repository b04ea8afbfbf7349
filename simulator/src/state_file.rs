//! What was learnt as a file: trainable state, bound to the program that it belongs to.
//!
//! Layout: magic, version and checksum (`sealed`), u64 hash of model and update scheme, u32 training
//! steps, the state. Little-endian.

use offshoot_runtime::program::Header;

use crate::sealed::{self, word, Broken};

const MAGIC: &[u8; 8] = b"OFFSTATE";
const VERSION: u32 = 1;
/// Bytes of the hash and the steps.
const ORIGIN: usize = 12;

/// Trainable state, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFile {
    /// Hash of model and update scheme.
    pub model_hash: u64,
    /// Training steps behind it.
    pub steps: u32,
    /// The state.
    pub state: Vec<u8>,
}

/// Bytes that are no state, or not that of a program.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Something else, or cut off before its first bytes.
    #[error("this is not trainable state; `offshoot export` and `--save` write it")]
    Magic,
    /// Written by another version.
    #[error("the state has format {found}, this is version {VERSION}; export it again")]
    Version {
        /// Its version.
        found: u32,
    },
    /// Torn or changed.
    #[error("the state is damaged (checksum differs); export it again")]
    Checksum,
    /// It belongs to another program.
    #[error(
        "the state is that of another model or update scheme ({found:016x}, the program's is \
         {wanted:016x}); compile that one, or train this one from its start"
    )]
    Model {
        /// Its hash.
        found: u64,
        /// The program's.
        wanted: u64,
    },
    /// It has another size.
    #[error(
        "the state has {found} bytes, the program's {wanted}; both must come from one version"
    )]
    Size {
        /// Its bytes.
        found: usize,
        /// The program's.
        wanted: usize,
    },
}

impl StateFile {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = self.model_hash.to_le_bytes().to_vec();
        body.extend_from_slice(&self.steps.to_le_bytes());
        body.extend_from_slice(&self.state);
        sealed::seal(MAGIC, VERSION, &body)
    }

    /// The state that `bytes` hold, which must be that of a program with this header.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(bytes: &[u8], header: &Header) -> Result<StateFile, StateError> {
        let body = sealed::open(bytes, MAGIC, VERSION).map_err(|broken| match broken {
            Broken::Magic => StateError::Magic,
            Broken::Version(found) => StateError::Version { found },
            Broken::Checksum => StateError::Checksum,
        })?;
        let state = body.get(ORIGIN..).ok_or(StateError::Checksum)?.to_vec();
        let (low, high) = (word(body, 0).unwrap_or(0), word(body, 4).unwrap_or(0));
        let (found, wanted) = (u64::from(high) << 32 | u64::from(low), header.model_hash);
        if found != wanted {
            return Err(StateError::Model { found, wanted });
        }
        let (found, wanted) = (state.len(), header.state as usize);
        if found != wanted {
            return Err(StateError::Size { found, wanted });
        }
        let steps = word(body, 8).unwrap_or(0);
        Ok(StateFile { model_hash: header.model_hash, steps, state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_comes_back_and_every_damage_is_noticed() {
        let header = Header { model_hash: 0xFEED_0000_0000_BEEF, state: 5, ..Header::default() };
        let file =
            StateFile { model_hash: header.model_hash, steps: 7, state: vec![1, 2, 3, 4, 5] };
        let bytes = file.encode();
        assert_eq!(StateFile::decode(&bytes, &header).unwrap(), file);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(StateFile::decode(&flipped, &header).is_err(), "bit {bit}");
        }
        for n in 0..bytes.len() {
            assert!(StateFile::decode(&bytes[..n], &header).is_err(), "{n} bytes");
        }
        let other = Header { model_hash: 1, ..header };
        let error = StateFile::decode(&bytes, &other).unwrap_err();
        assert!(matches!(error, StateError::Model { found: 0xFEED_0000_0000_BEEF, wanted: 1 }));
        let longer = Header { state: 6, ..header };
        let error = StateFile::decode(&bytes, &longer).unwrap_err();
        assert!(matches!(error, StateError::Size { found: 5, wanted: 6 }));
    }
}
