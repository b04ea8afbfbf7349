//! A network of one trained row a class, written by hand: what images are tested around.

use offshoot_runtime::learnt::{Kind, Part};
use offshoot_runtime::program::Header;
use offshoot_runtime::{Fault, Memory, Prediction, Progress, Slot, StepReport, Task, Trainer};

/// Values of a sample.
pub const INPUT: usize = 600;
/// A learning rate that makes it panic.
pub const TOO_FAST: f32 = 1e6;
const CLASSES: usize = 3;

static HEADER: Header = {
    let mut header = EMPTY;
    header.model_hash = 0x0FF5_4007;
    header.classes = CLASSES as u16;
    header
};
const EMPTY: Header = Header {
    model_hash: 0,
    arena: 0,
    state: 0,
    scratch: 0,
    forward: 0,
    input: offshoot_runtime::Slot::new(offshoot_runtime::Memory::Arena, 0, INPUT as u32),
    input_shape: offshoot_runtime::program::op::Shape { h: 1, w: 1, c: INPUT as u16 },
    input_scale: 1.0,
    input_zero: 0,
    output: offshoot_runtime::Slot::new(offshoot_runtime::Memory::Arena, 0, 0),
    output_kind: offshoot_runtime::program::Output::Logits,
    classes: 0,
};

/// A perceptron of int8 rows; all zeros until it is reset.
pub struct Model {
    input: [i8; INPUT],
    /// Rows, as int8.
    state: [u8; INPUT * CLASSES],
    /// What was begun last, if it was. An `Option` would not be all zeros.
    task: Task,
    begun: bool,
}

impl Model {
    /// All zeros.
    pub const fn new() -> Model {
        let (input, state) = ([0; INPUT], [0; INPUT * CLASSES]);
        Model { input, state, task: Task::Receive, begun: false }
    }

    fn logit(&self, class: usize) -> i32 {
        let row = &self.state[class * INPUT..][..INPUT];
        row.iter().zip(&self.input).map(|(&w, &x)| w as i8 as i32 * x as i32).sum()
    }

    fn class(&self) -> u16 {
        let best = (0..CLASSES).max_by_key(|&class| (self.logit(class), CLASSES - class));
        best.unwrap_or(0) as u16
    }

    fn learn(&mut self, label: u16, rate: f32) -> StepReport {
        assert!(rate < TOO_FAST, "the learning rate is beyond reason");
        let class = self.class();
        let loss = (self.logit(class as usize) - self.logit(label as usize)) as f32 / 16384.0;
        if class != label {
            for (row, sign) in [(label as usize, 1.0), (class as usize, -1.0)] {
                let weights = &mut self.state[row * INPUT..][..INPUT];
                for (w, &x) in weights.iter_mut().zip(&self.input) {
                    let moved = (*w as i8) as f32 + sign * rate * x as f32;
                    *w = moved as i8 as u8;
                }
            }
        }
        StepReport { loss, class }
    }
}

impl Trainer for Model {
    fn header(&self) -> &Header {
        &HEADER
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.first()
    }

    fn first(&mut self) -> Result<(), Fault> {
        self.state.fill(1);
        Ok(())
    }

    fn part(&self, from: u32) -> Option<Part> {
        let slot = Slot::new(Memory::State, 0, self.state.len() as u32);
        (from == 0).then_some(Part { kind: Kind::Weight, slot })
    }

    fn input(&mut self) -> &mut [i8] {
        &mut self.input
    }

    fn begin(&mut self, task: Task) -> Result<(), Fault> {
        if matches!(task, Task::Train { label, .. } if label as usize >= CLASSES) {
            return Err(Fault::Label);
        }
        (self.task, self.begun) = (task, true);
        Ok(())
    }

    fn slice(&mut self) -> Result<Progress, Fault> {
        if !core::mem::take(&mut self.begun) {
            return Err(Fault::Idle);
        }
        Ok(match self.task {
            Task::Receive => Progress::Received { more: false },
            Task::Infer => Progress::Inferred(Prediction::Class(self.class())),
            Task::Train { label, rate } => Progress::Trained(self.learn(label, rate)),
        })
    }

    fn restart(&mut self) {
        self.begun = false;
    }

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
