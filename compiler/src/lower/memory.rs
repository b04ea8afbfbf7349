//! Constant and state memory while they are laid out.

use std::collections::HashMap;

use offshoot_runtime::program::Init;
use offshoot_runtime::{Memory, Slot};

/// Constant memory: every distinct table once, aligned to 4 bytes.
#[derive(Debug, Default)]
pub struct ConstantPool {
    bytes: Vec<u8>,
    known: HashMap<Vec<u8>, Slot>,
}

impl ConstantPool {
    /// Where `content` lies.
    pub fn add(&mut self, content: &[u8]) -> Slot {
        if let Some(&slot) = self.known.get(content) {
            return slot;
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let slot = Slot::new(Memory::Constant, self.bytes.len() as u32, content.len() as u32);
        self.bytes.extend_from_slice(content);
        self.known.insert(content.to_vec(), slot);
        slot
    }

    /// All of it.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// State memory, aligned to 4 bytes a part.
#[derive(Debug, Default)]
pub struct StatePool {
    bytes: u32,
    init: Vec<Init>,
}

impl StatePool {
    /// Room for `bytes`.
    pub fn reserve(&mut self, bytes: usize) -> Slot {
        let slot = Slot::new(Memory::State, self.bytes, bytes as u32);
        self.bytes = (self.bytes + slot.bytes).next_multiple_of(4);
        slot
    }

    /// How a part gets its first content; zero without.
    pub fn init(&mut self, init: Init) {
        self.init.push(init);
    }

    /// Size so far.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// All first contents.
    pub fn into_init(self) -> Vec<Init> {
        self.init
    }
}
