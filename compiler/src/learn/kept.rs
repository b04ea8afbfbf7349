//! A simulation whose state comes from elsewhere, and is kept while it learns.

use std::num::NonZeroUsize;

use offshoot_runtime::{Fault, Prediction, Trainer};
use offshoot_simulator::Simulation;

use super::{LearnError, Learner};
use crate::emit::EmitError;

/// Where the state of a round comes from and goes to; the default is nowhere.
#[derive(Default)]
pub struct Keep<'k> {
    /// State to begin with, in place of what the compiler gave.
    pub state: Option<&'k [u8]>,
    /// Is given the state each so many steps of the round, and how many steps are behind it.
    pub every: Option<(NonZeroUsize, &'k mut Write<'k>)>,
}

/// Writes a checkpoint.
pub type Write<'k> = dyn FnMut(&[u8], usize) -> Result<(), EmitError> + 'k;

/// A simulation, and what is kept of it.
pub(super) struct Kept<'a, 'k> {
    simulation: Simulation<'a>,
    /// Steps of the round behind the state.
    steps: usize,
    keep: Keep<'k>,
}

impl<'a, 'k> Kept<'a, 'k> {
    /// Puts the state in place that `keep` has, after `steps` steps of the round.
    pub(super) fn new(
        mut simulation: Simulation<'a>,
        steps: usize,
        keep: Keep<'k>,
    ) -> Result<Self, LearnError> {
        if let Some(state) = keep.state {
            let place = simulation.interpreter().state_mut();
            if place.len() != state.len() {
                return Err(Fault::Size.into());
            }
            place.copy_from_slice(state);
        }
        Ok(Kept { simulation, steps, keep })
    }

    pub(super) fn state(&mut self) -> &[u8] {
        self.simulation.interpreter().state()
    }
}

impl Learner for Kept<'_, '_> {
    fn reset(&mut self) -> Result<(), LearnError> {
        self.steps = 0;
        Ok(self.simulation.reset()?)
    }

    fn train(
        &mut self,
        key: usize,
        sample: &[i8],
        label: u16,
        rate: f32,
    ) -> Result<f32, LearnError> {
        let loss = self.simulation.train(key, sample, label, rate)?.loss;
        self.steps += 1;
        if let Some((every, write)) = &mut self.keep.every {
            if self.steps.is_multiple_of(every.get()) {
                write(self.simulation.interpreter().state(), self.steps)?;
            }
        }
        Ok(loss)
    }

    fn infer(&mut self, key: usize, sample: &[i8]) -> Result<Prediction, LearnError> {
        Ok(self.simulation.infer(key, sample)?)
    }
}
