//! An adapter as a file: what was learnt of a program, by name, bound to the program that it belongs to.
//!
//! Layout: magic, version and checksum (`sealed`), u64 hash of model and update scheme, u32 training
//! steps, u32 bytes of the name, the name, the image of what was learnt
//! ([`offshoot_runtime::learnt`]). Little-endian.

use offshoot_runtime::program::Program;

use crate::sealed::{self, word, Broken};

const MAGIC: &[u8; 8] = b"OFFSADPT";
const VERSION: u32 = 1;
/// Bytes before the name.
const ORIGIN: usize = 16;

/// An adapter, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterFile {
    /// Hash of model and update scheme.
    pub model_hash: u64,
    /// Training steps behind it.
    pub steps: u32,
    /// Its name.
    pub name: String,
    /// The image of what was learnt.
    pub learnt: Vec<u8>,
}

/// Bytes that are no adapter, or not one of a program.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// Something else, or cut off before its first bytes.
    #[error("this is no adapter; `offshoot adapter export` writes one")]
    Magic,
    /// Written by another version.
    #[error("the adapter has format {found}, this is version {VERSION}; export it again")]
    Version {
        /// Its version.
        found: u32,
    },
    /// Torn or changed.
    #[error("the adapter is damaged (checksum differs); export it again")]
    Checksum,
    /// It belongs to another program.
    #[error(
        "the adapter {name:?} is that of another model or update scheme ({found:016x}, the program's is \
         {wanted:016x}); compile that one, or train an adapter of this one"
    )]
    Model {
        /// Its name.
        name: String,
        /// Its hash.
        found: u64,
        /// The program's.
        wanted: u64,
    },
    /// It has another size.
    #[error(
        "the adapter {name:?} has {found} bytes, those of the program {wanted}; both must come from one \
         version"
    )]
    Size {
        /// Its name.
        name: String,
        /// Its bytes.
        found: usize,
        /// The program's.
        wanted: usize,
    },
}

impl AdapterFile {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = self.model_hash.to_le_bytes().to_vec();
        body.extend_from_slice(&self.steps.to_le_bytes());
        body.extend_from_slice(&(self.name.len() as u32).to_le_bytes());
        body.extend_from_slice(self.name.as_bytes());
        body.extend_from_slice(&self.learnt);
        sealed::seal(MAGIC, VERSION, &body)
    }

    /// The adapter that `bytes` hold, which must be one of `program`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(bytes: &[u8], program: &Program<'_>) -> Result<AdapterFile, AdapterError> {
        let body = sealed::open(bytes, MAGIC, VERSION).map_err(|broken| match broken {
            Broken::Magic => AdapterError::Magic,
            Broken::Version(found) => AdapterError::Version { found },
            Broken::Checksum => AdapterError::Checksum,
        })?;
        let number = |at| word(body, at).ok_or(AdapterError::Checksum);
        let found = u64::from(number(4)?) << 32 | u64::from(number(0)?);
        let (steps, length) = (number(8)?, number(12)? as usize);
        let rest = body.get(ORIGIN..).unwrap_or_default();
        let (name, learnt) = rest.split_at_checked(length).ok_or(AdapterError::Checksum)?;
        let name = String::from_utf8(name.to_vec()).map_err(|_| AdapterError::Checksum)?;
        let wanted = program.header.model_hash;
        if found != wanted {
            return Err(AdapterError::Model { name, found, wanted });
        }
        let (found, wanted) = (learnt.len(), program.learnt_bytes() as usize);
        if found != wanted {
            return Err(AdapterError::Size { name, found, wanted });
        }
        let model_hash = program.header.model_hash;
        Ok(AdapterFile { model_hash, steps, name, learnt: learnt.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offshoot_runtime::program::op::BiasUpdate;
    use offshoot_runtime::program::Header;
    use offshoot_runtime::{Memory, Slot};

    #[test]
    fn an_adapter_comes_back_and_every_damage_is_noticed() {
        let header = Header { model_hash: 0xFEED_0000_0000_BEEF, ..Header::default() };
        let bias = Slot::new(Memory::State, 0, 8);
        let ops = [BiasUpdate { bias, ..BiasUpdate::default() }.into()];
        let program =
            Program { header, init: &[], ops: &ops, constants: &[], feature_energy: None };
        let file = AdapterFile {
            model_hash: header.model_hash,
            steps: 7,
            name: "Jürgen".into(),
            learnt: vec![1, 2, 3, 4, 5, 6, 7, 8],
        };
        let bytes = file.encode();
        assert_eq!(AdapterFile::decode(&bytes, &program).unwrap(), file);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(AdapterFile::decode(&flipped, &program).is_err(), "bit {bit}");
        }
        for n in 0..bytes.len() {
            assert!(AdapterFile::decode(&bytes[..n], &program).is_err(), "{n} bytes");
        }
        let other = Program { header: Header { model_hash: 1, ..header }, ..program };
        let error = AdapterFile::decode(&bytes, &other).unwrap_err();
        assert!(matches!(error, AdapterError::Model { found: 0xFEED_0000_0000_BEEF, .. }));
        let smaller = Program { ops: &[], ..program };
        let error = AdapterFile::decode(&bytes, &smaller).unwrap_err();
        assert!(matches!(error, AdapterError::Size { found: 8, wanted: 0, .. }));
    }
}
