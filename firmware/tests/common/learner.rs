//! State with parts of all kinds, that is told what it learns.

use super::Random;
use offshoot_runtime::learnt::{Kind, Part, Walk};
use offshoot_runtime::program::Header;
use offshoot_runtime::{Fault, Memory, Progress, Slot, Task, Trainer};

/// State, of which what is learnt lies between what belongs to the course of training.
#[derive(Clone, Debug)]
pub struct Learner {
    header: Header,
    parts: Vec<Part>,
    pub state: Vec<u8>,
}

impl Learner {
    /// With an image of some 12 bytes a unit of `size`, in parts that are no multiples of 4.
    pub fn new(model_hash: u64, size: u32) -> Learner {
        let (mut parts, mut at) = (Vec::new(), 8);
        let layout = [
            (Kind::Bias, 4 * size),
            (Kind::Course, 9),
            (Kind::Latent, 4 * size + 2),
            (Kind::Weight, 3 * size + 1),
            (Kind::Course, 4),
            (Kind::Latent, size / 2 * 2),
        ];
        for (kind, bytes) in layout {
            parts.push(Part { kind, slot: Slot::new(Memory::State, at, bytes) });
            at = (at + bytes).next_multiple_of(4) + 4;
        }
        let header = Header { model_hash, classes: 2, state: at, ..Header::default() };
        let mut learner = Learner { header, parts, state: vec![0; at as usize] };
        learner.reset().unwrap();
        learner
    }

    /// Learns what `seed` says; the course of training goes on too.
    pub fn learn(&mut self, seed: u64) {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        self.state.iter_mut().for_each(|byte| *byte = random.byte());
        self.without_the_code_of_none();
    }

    /// No weight is ever held as -128.
    fn without_the_code_of_none(&mut self) {
        for part in self.parts.iter().filter(|part| part.kind == Kind::Weight) {
            let bytes = self.state[part.slot.start()..part.slot.end()].iter_mut();
            bytes.filter(|byte| **byte == 0x80).for_each(|byte| *byte = 0x81);
        }
    }

    /// What was learnt.
    pub fn image(&self) -> Vec<u8> {
        let mut image = vec![0; self.state.len() + 64];
        let taken = Walk::default().take(self, &mut image);
        image.truncate(taken);
        image
    }

    /// What is not learnt: of the optimizer's parts only where `all`.
    pub fn rest(&self, all: bool) -> Vec<u8> {
        let mut rest = self.state.clone();
        for Part { kind, slot } in &self.parts {
            if *kind != Kind::Course || !all {
                rest[slot.start()..slot.end()].fill(0);
            }
        }
        rest
    }

    /// Whether an optimizer keeps nothing.
    pub fn is_calm(&self) -> bool {
        self.rest(true) == self.rest(false)
    }
}

impl Trainer for Learner {
    fn header(&self) -> &Header {
        &self.header
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.state.fill(0);
        self.first()
    }

    fn first(&mut self) -> Result<(), Fault> {
        for (n, part) in self.parts.iter().enumerate().filter(|(_, p)| p.kind != Kind::Course) {
            let bytes = &mut self.state[part.slot.start()..part.slot.end()];
            bytes.iter_mut().zip(0..).for_each(|(byte, i): (_, usize)| *byte = (i * 7 + n) as u8);
        }
        self.without_the_code_of_none();
        Ok(())
    }

    fn part(&self, from: u32) -> Option<Part> {
        self.parts.iter().find(|part| part.slot.offset >= from).copied()
    }

    fn input(&mut self) -> &mut [i8] {
        &mut []
    }

    fn begin(&mut self, _: Task) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }

    fn slice(&mut self) -> Result<Progress, Fault> {
        Err(Fault::Idle)
    }

    fn restart(&mut self) {}

    fn margin(&self) -> u32 {
        0
    }

    fn state(&self) -> &[u8] {
        &self.state
    }

    fn state_mut(&mut self) -> &mut [u8] {
        &mut self.state
    }
}
