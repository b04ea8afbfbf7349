//! A trainer small enough to check by eye, boards that count, with flash and without, and a line that
//! spoils things.
// Each file of tests uses a part of it.
#![allow(dead_code)]

pub mod learner;
pub mod part;

use offshoot_firmware::client::Transport;
use offshoot_firmware::store::{Flash, Storage};
use offshoot_firmware::{Board, Counter, Stack};
use offshoot_runtime::learnt::{Kind, Part};
use offshoot_runtime::program::op::Shape;
use offshoot_runtime::program::Header;
use offshoot_runtime::{Fault, Memory, Prediction, Progress, Slot, StepReport, Task, Trainer};
use std::io;
use std::time::Duration;

/// Two sums of the sample, each with a trained offset: order and number of steps show in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Toy {
    header: Header,
    pub input: Vec<i8>,
    pub state: Vec<u8>,
    pub steps: u32,
    /// Where the next part of a sample goes.
    at: usize,
    task: Option<Task>,
    /// Slices of the task that are left.
    left: u32,
}

/// Slices of a task.
const SLICES: u32 = 3;

/// Bytes of a part of a sample.
const PART: usize = 700;

impl Toy {
    pub fn new(input: usize) -> Toy {
        Toy::of_model(input, 0xA11CE)
    }

    pub fn of_model(input: usize, model_hash: u64) -> Toy {
        let input_shape = Shape { h: 1, w: 1, c: input as u16 };
        let header =
            Header { model_hash, classes: 2, input_shape, state: 1100, ..Header::default() };
        Toy {
            header,
            input: vec![0; input],
            state: vec![0; 1100],
            steps: 0,
            at: 0,
            task: None,
            left: 0,
        }
    }

    fn sum(&self) -> i32 {
        self.input.iter().zip(&self.state).map(|(&x, &w)| x as i32 * w as i32).sum()
    }

    fn class(&self) -> u16 {
        u16::from(self.sum() > 0)
    }

    fn learn(&mut self, label: u16, rate: f32) -> StepReport {
        let class = self.class();
        self.steps += 1;
        for (i, (w, &x)) in self.state.iter_mut().zip(&self.input).enumerate() {
            *w = w.wrapping_mul(31).wrapping_add(x as u8 ^ i as u8).wrapping_add(label as u8);
        }
        self.input.fill(0);
        StepReport { loss: rate + label as f32, class }
    }
}

impl Trainer for Toy {
    fn header(&self) -> &Header {
        &self.header
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.first()
    }

    fn first(&mut self) -> Result<(), Fault> {
        self.state.fill(7);
        Ok(())
    }

    fn part(&self, from: u32) -> Option<Part> {
        let slot = Slot::new(Memory::State, 0, self.state.len() as u32);
        (from == 0).then_some(Part { kind: Kind::Weight, slot })
    }

    fn input(&mut self) -> &mut [i8] {
        let end = self.input.len().min(self.at + PART);
        &mut self.input[self.at..end]
    }

    fn begin(&mut self, task: Task) -> Result<(), Fault> {
        if self.task.is_some() {
            return Err(Fault::Busy);
        }
        if matches!(task, Task::Train { label, .. } if label >= 2) {
            return Err(Fault::Label);
        }
        (self.task, self.left) = (Some(task), SLICES);
        Ok(())
    }

    fn slice(&mut self) -> Result<Progress, Fault> {
        let task = self.task.ok_or(Fault::Idle)?;
        self.left -= 1;
        if self.left > 0 {
            return Ok(Progress::More);
        }
        self.task = None;
        Ok(match task {
            Task::Receive => {
                let more = self.at + PART < self.input.len();
                self.at += if more { PART } else { 0 };
                Progress::Received { more }
            }
            Task::Infer => Progress::Inferred(Prediction::Class(self.class())),
            Task::Train { label, rate } => Progress::Trained(self.learn(label, rate)),
        })
    }

    fn restart(&mut self) {
        (self.at, self.task) = (0, None);
    }

    fn margin(&self) -> u32 {
        self.sum().unsigned_abs()
    }

    fn state(&self) -> &[u8] {
        &self.state
    }

    fn state_mut(&mut self) -> &mut [u8] {
        &mut self.state
    }
}

/// Bytes of a sample.
pub const INPUT: usize = 1200;

/// Sample number `i`.
pub fn sample(i: u32) -> Vec<i8> {
    let mut random = Random(0x9E37_79B9 + i as u64);
    (0..INPUT).map(|_| random.byte() as i8).collect()
}

/// The state after `steps` steps without any link.
pub fn expected(steps: u32) -> Toy {
    let mut toy = Toy::new(INPUT);
    toy.reset().unwrap();
    for i in 0..steps {
        toy.present(&sample(i)).unwrap();
        toy.train(i as u16 % 2, 0.5).unwrap();
    }
    toy
}

/// Counts how often it was asked.
pub struct Desk(pub u64);

impl Board for Desk {
    fn name(&self) -> &str {
        "desk"
    }

    fn counter(&self) -> Counter {
        Counter::Nanoseconds
    }

    fn count(&mut self) -> u64 {
        self.0 += 5;
        self.0
    }

    fn stack(&mut self) -> Option<Stack> {
        Some(Stack { used: 10, size: 100 })
    }
}

/// A desk with flash.
pub struct Shelf<'f>(pub &'f mut dyn Flash);

impl Board for Shelf<'_> {
    fn name(&self) -> &str {
        "shelf"
    }

    fn counter(&self) -> Counter {
        Counter::Nanoseconds
    }

    fn count(&mut self) -> u64 {
        0
    }

    fn stack(&mut self) -> Option<Stack> {
        None
    }

    fn flash(&mut self) -> Option<Storage<'_>> {
        Some(Storage { flash: &mut *self.0, endurance: 10_000 })
    }
}

/// Seeded random numbers (xorshift).
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    pub fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }

    /// Flips, drops, doubles or adds bytes, every `odds`-th time.
    pub fn spoil(&mut self, bytes: &mut Vec<u8>, odds: usize) {
        if bytes.is_empty() || self.below(odds) != 0 {
            return;
        }
        let at = self.below(bytes.len());
        match self.below(6) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, self.byte()),
            4 => bytes.extend(bytes.clone()),
            _ => {
                let garbage: Vec<u8> = (0..self.below(900)).map(|_| self.byte()).collect();
                bytes.splice(0..0, garbage);
            }
        }
    }
}

/// A transport that spoils what it carries, and now and then repeats an old frame.
pub struct Noisy<T> {
    pub inner: T,
    pub random: Random,
    pub old: Vec<Vec<u8>>,
}

impl<T: Transport> Transport for Noisy<T> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.old.is_empty() && self.random.below(8) == 0 {
            let old = self.old[self.random.below(self.old.len())].clone();
            self.inner.send(&old)?;
        }
        // No ordered line repeats a greeting out of the past, the shortest frame: it would begin
        // a session.
        if bytes.len() > 13 {
            self.old.push(bytes.to_vec());
        }
        let mut spoiled = bytes.to_vec();
        self.random.spoil(&mut spoiled, 5);
        self.inner.send(&spoiled)
    }

    fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        let n = self.inner.receive(&mut buffer[..300], timeout)?;
        let mut bytes = buffer[..n].to_vec();
        self.random.spoil(&mut bytes, 5);
        bytes.truncate(buffer.len());
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}
