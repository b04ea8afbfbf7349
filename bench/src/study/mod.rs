//! What parts of the arithmetic buy: learners that leave one of them out.
//!
//! None of this exists in the product. [`Study`] runs a compiled program's ops as they are, but for
//! updates of weights, which it takes from the same error tensors and saved activations by a rule of
//! its own; biases and the head learn as ever. [`unscaled`] changes constants of a program.

mod activations;
mod factors;
mod rules;
mod update;

use offshoot::learn::{LearnError, Learner};
use offshoot_runtime::program::Op;
use offshoot_runtime::step;
use offshoot_simulator::{ProgramFile, Simulation};

pub use activations::rounded;
pub use factors::unscaled;
pub use rules::{nearest, truncating};

/// A weight after a step of so many int8 steps; weights are held in 8.8 fixed point, with a low byte
/// of 0 where a rule keeps no residual.
pub type Rule = fn(weight: i16, step: f64) -> i16;

/// A program whose weights are updated by another rule.
#[derive(Debug)]
pub struct Study<'a> {
    simulation: Simulation<'a>,
    program: &'a ProgramFile,
    rule: Rule,
}

impl<'a> Study<'a> {
    /// `program`, which `simulation` runs and which holds its weights with a residual, under
    /// `rule`.
    pub fn new(simulation: Simulation<'a>, program: &'a ProgramFile, rule: Rule) -> Study<'a> {
        Study { simulation, program, rule }
    }
}

impl Learner for Study<'_> {
    fn reset(&mut self) -> Result<(), LearnError> {
        Ok(self.simulation.reset()?)
    }

    fn train(
        &mut self,
        key: usize,
        sample: &[i8],
        label: u16,
        rate: f32,
    ) -> Result<f32, LearnError> {
        let from = self.simulation.front(key, sample)?;
        let interpreter = self.simulation.interpreter();
        interpreter.machine().step = step::begun(&self.program.header, label, rate)?;
        for (index, op) in self.program.ops.iter().enumerate().skip(from) {
            match op {
                Op::ConvUpdate(op) => update::conv(op, interpreter.machine(), self.rule)?,
                Op::DepthwiseUpdate(op) => update::depthwise(op, interpreter.machine(), self.rule)?,
                _ => interpreter.run(index, index + 1)?,
            }
        }
        Ok(step::report(interpreter.machine()).loss)
    }

    fn infer(
        &mut self,
        key: usize,
        sample: &[i8],
    ) -> Result<offshoot_runtime::Prediction, LearnError> {
        Ok(self.simulation.infer(key, sample)?)
    }
}
