//! Samples that are kept, with a note on each.

use core::num::NonZeroUsize;
use offshoot_runtime::guard::Guard;
use offshoot_runtime::random::Xorshift;

const NOTE: usize = Guard::NOTE_BYTES;

/// What a place holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing, or the sample that comes.
    #[default]
    Free,
    /// A held-out sample whose error before the round is known.
    Held,
    /// A held-out sample that came during the round.
    Unjudged,
    /// A sample to be trained on again.
    Replay,
    /// One that came in this round, and goes with it.
    New,
}

impl Role {
    /// Whether it is held out.
    pub(super) fn is_held(self) -> bool {
        matches!(self, Role::Held | Role::Unjudged)
    }

    /// Whether it may be trained on again.
    pub(super) fn is_replay(self) -> bool {
        matches!(self, Role::Replay | Role::New)
    }
}

/// What is known of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Note {
    pub(super) role: Role,
    pub(super) label: u16,
    /// Error of the network after the best round so far, and after this one: 0 or 1 with classes, else a mean square.
    pub(super) before: f32,
    pub(super) after: f32,
}

impl Note {
    fn read(bytes: &[i8; NOTE]) -> Note {
        let [a, b, role, _, c, d, e, f, g, h, i, j] = bytes.map(|byte| byte as u8);
        let role = match role {
            1 => Role::Held,
            2 => Role::Unjudged,
            3 => Role::Replay,
            4 => Role::New,
            _ => Role::Free,
        };
        Note {
            role,
            label: u16::from_le_bytes([a, b]),
            before: f32::from_le_bytes([c, d, e, f]),
            after: f32::from_le_bytes([g, h, i, j]),
        }
    }

    fn bytes(self) -> [i8; NOTE] {
        let [a, b] = self.label.to_le_bytes();
        let [c, d, e, f] = self.before.to_le_bytes();
        let [g, h, i, j] = self.after.to_le_bytes();
        [a, b, self.role as u8, 0, c, d, e, f, g, h, i, j].map(|byte| byte as i8)
    }
}

/// Places for samples, all alike. One of them is always free, for the sample that comes.
#[derive(Debug)]
pub(super) struct Pool<'m> {
    memory: &'m mut [i8],
    /// Bytes of a place.
    stride: NonZeroUsize,
    /// Where the sample goes that comes.
    incoming: usize,
    random: Xorshift,
}

impl<'m> Pool<'m> {
    /// Places for samples of `sample` bytes.
    pub(super) fn new(memory: &'m mut [i8], sample: usize) -> Pool<'m> {
        memory.fill(0);
        let stride = NonZeroUsize::MIN.saturating_add(sample.saturating_add(NOTE - 1));
        Pool { memory, stride, incoming: 0, random: Xorshift::new(0) }
    }

    pub(super) fn note(&self, at: usize) -> Note {
        let place = self.memory.chunks_exact(self.stride.get()).nth(at);
        place.and_then(|place| place.first_chunk()).map(Note::read).unwrap_or_default()
    }

    pub(super) fn set(&mut self, at: usize, note: Note) {
        let place = self.memory.chunks_exact_mut(self.stride.get()).nth(at);
        if let Some(bytes) = place.and_then(|place| place.first_chunk_mut()) {
            *bytes = note.bytes();
        }
    }

    /// The values of the sample at a place.
    pub(super) fn sample(&self, at: usize) -> &[i8] {
        let place = self.memory.chunks_exact(self.stride.get()).nth(at).unwrap_or_default();
        place.get(NOTE..).unwrap_or_default()
    }

    /// All notes, in the order of their places.
    pub(super) fn notes(&self) -> impl Iterator<Item = (usize, Note)> + '_ {
        let places = self.memory.chunks_exact(self.stride.get()).enumerate();
        places.filter_map(|(at, place)| Some((at, Note::read(place.first_chunk()?))))
    }

    /// How many there are for which `of` holds.
    pub(super) fn count(&self, of: impl Fn(Role) -> bool) -> u16 {
        self.notes().filter(|(_, note)| of(note.role)).count() as u16
    }

    /// Turns every role into what `to` makes of it.
    pub(super) fn turn(&mut self, to: impl Fn(Note) -> Note) {
        for place in self.memory.chunks_exact_mut(self.stride.get()) {
            if let Some(bytes) = place.first_chunk_mut() {
                *bytes = to(Note::read(bytes)).bytes();
            }
        }
    }

    /// Takes values of the sample that comes, from `offset` of it on.
    pub(super) fn stage(&mut self, offset: usize, values: impl Iterator<Item = i8>) {
        if offset == 0 {
            let free = self.notes().find(|(_, note)| note.role == Role::Free);
            self.incoming = free.map_or(0, |(at, _)| at);
        }
        let place =
            self.memory.chunks_exact_mut(self.stride.get()).nth(self.incoming).unwrap_or_default();
        let place = place.get_mut(NOTE + offset..).unwrap_or_default();
        place.iter_mut().zip(values).for_each(|(to, from)| *to = from);
    }

    /// Keeps the sample that has come as one of `most` for which `of` holds. Where that is one too many
    /// it takes the place of another, of the class that there are most of.
    pub(super) fn keep(&mut self, note: Note, most: u16, of: impl Fn(Role) -> bool + Copy) {
        if self.note(self.incoming).role != Role::Free {
            return;
        }
        self.set(self.incoming, note);
        if self.count(of) <= most {
            return;
        }
        let others = |pool: &Self, label: Option<u16>| {
            let label = label.unwrap_or(note.label);
            let notes = pool
                .notes()
                .filter(move |(at, n)| of(n.role) && n.label == label && *at != pool.incoming);
            notes.count()
        };
        let classes = self.notes().filter(|(_, n)| of(n.role)).map(|(_, n)| n.label);
        // Of equals the new sample's own, so that a full pool of classes alike stays that.
        let most = classes.max_by_key(|&label| (others(self, Some(label)), label == note.label));
        let most = most.unwrap_or(note.label);
        let nth = self.below(others(self, Some(most)));
        let incoming = self.incoming;
        let mut victims = self
            .notes()
            .filter(|(at, n)| of(n.role) && n.label == most && *at != incoming)
            .map(|(at, _)| at);
        let victim = victims.nth(nth);
        drop(victims);
        if let Some(victim) = victim {
            self.set(victim, Note::default());
        }
    }

    /// One at random for which `of` holds.
    pub(super) fn any(&mut self, of: impl Fn(Role) -> bool) -> Option<usize> {
        let nth = self.below(usize::from(self.count(&of)));
        self.notes().filter(|(_, note)| of(note.role)).nth(nth).map(|(at, _)| at)
    }

    /// A number below `end`, or 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let bits = (u64::from(self.random.bits16()) << 16) | u64::from(self.random.bits16());
        ((bits * end as u64) >> 32) as usize
    }
}
