//! Tensors of the arena before they have a place, and tensors that are written or read in parts.
//!
//! A part is a buffer of its own in the list, so that every slot names a whole buffer. It must come
//! after what it is within, which itself may be within another.

/// A tensor of the arena, or a part of one, that has a size but no offset yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buffer {
    /// Name of the tensor.
    pub name: String,
    /// Size in bytes.
    pub bytes: u32,
    /// What it lies in; none of a tensor that is given a place of its own.
    pub within: Option<Within>,
}

/// Where in another buffer one lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    /// The other buffer.
    pub buffer: u32,
    /// First byte of it.
    pub at: u32,
    /// What the two have in common.
    pub holds: Holds,
}

/// What a buffer within another one holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// The other's content: some of its rows.
    Part,
    /// Content of its own, written where nobody reads the other's any more.
    Own,
}

impl Buffer {
    /// A tensor that is given a place of its own.
    pub fn new(name: impl Into<String>, bytes: u32) -> Buffer {
        Buffer { name: name.into(), bytes, within: None }
    }
}

/// The buffer that is given a place for buffer `index`, and the byte of it at which that begins.
pub fn root(buffers: &[Buffer], index: usize) -> (usize, u32) {
    follow(buffers, index, |_| true)
}

/// The tensor of whose content buffer `index` is a part, and the byte of it at which that begins.
pub fn tensor(buffers: &[Buffer], index: usize) -> (usize, u32) {
    follow(buffers, index, |holds| holds == Holds::Part)
}

fn follow(buffers: &[Buffer], mut index: usize, along: impl Fn(Holds) -> bool) -> (usize, u32) {
    let mut start = 0u32;
    let within = |index: usize| buffers.get(index).and_then(|b| b.within);
    // What a buffer is within comes before it: no chain is endless.
    while let Some(w) = within(index).filter(|w| along(w.holds) && (w.buffer as usize) < index) {
        (index, start) = (w.buffer as usize, start.saturating_add(w.at));
    }
    (index, start)
}
