//! Walks a program's list of ops: the simulator, and a device that is sent a program.

use crate::arena::Arena;
use crate::kernels;
use crate::machine::{typed, typed_mut};
use crate::program::{Header, Output, Program};
use crate::{Fault, Machine, Step, StepReport, Trainer};

/// Runs a program in memory that the caller gives it.
#[derive(Debug)]
pub struct Interpreter<'a> {
    program: Program<'a>,
    machine: Machine<'a>,
}

impl<'a> Interpreter<'a> {
    /// `program` must have passed [`crate::program::verify`]; the memories have the sizes of its
    /// header, aligned to 8 bytes. State is set to its first content.
    ///
    /// # Errors
    /// [`Fault::Size`] where a memory is smaller than the header asks.
    pub fn new(
        program: Program<'a>,
        arena: &'a mut [u8],
        state: &'a mut [u8],
        scratch: &'a mut [u8],
    ) -> Result<Self, Fault> {
        let h = &program.header;
        let cut = |memory: &'a mut [u8], bytes: u32| {
            memory.get_mut(..bytes as usize).map(Arena::new).ok_or(Fault::Size)
        };
        let machine = Machine {
            arena: cut(arena, h.arena)?,
            state: cut(state, h.state)?,
            scratch: cut(scratch, h.scratch)?,
            constants: program.constants,
            step: Step::default(),
        };
        let mut interpreter = Interpreter { program, machine };
        interpreter.reset()?;
        Ok(interpreter)
    }

    /// Runs ops `from..to` of the program.
    ///
    /// # Errors
    /// Those of the ops.
    pub fn run(&mut self, from: usize, to: usize) -> Result<(), Fault> {
        let ops = self.program.ops.get(from..to).ok_or(Fault::OutOfBounds)?;
        ops.iter().try_for_each(|op| op.run(&mut self.machine))
    }

    /// The memories, to be looked into.
    pub fn machine(&mut self) -> &mut Machine<'a> {
        &mut self.machine
    }

    /// The predicted class, once the forward pass has run.
    ///
    /// # Errors
    /// A [`Fault`] where the output slot does not fit the arena.
    pub fn class(&mut self) -> Result<u16, Fault> {
        predicted(&mut self.machine, &self.program.header)
    }

    /// As [`Trainer::train`], from op `from` on: what came before must be in the arena.
    ///
    /// # Errors
    /// As [`Trainer::train`].
    pub fn train_from(&mut self, from: usize, label: u16, rate: f32) -> Result<StepReport, Fault> {
        let header = self.program.header;
        begin(&mut self.machine, &header, label, rate)?;
        if self.program.ops.len() == header.forward as usize {
            return Err(Fault::NotTrainable);
        }
        self.run(from, self.program.ops.len())?;
        Ok(StepReport { loss: self.machine.step.loss, class: self.machine.step.class })
    }
}

/// Checks the label and sets the step's scalars; emitted code begins a step with it.
///
/// # Errors
/// [`Fault::Label`] where the label is no class.
pub fn begin(m: &mut Machine<'_>, header: &Header, label: u16, rate: f32) -> Result<(), Fault> {
    if label >= header.classes {
        return Err(Fault::Label);
    }
    m.step = Step { label, rate, ..Step::default() };
    Ok(())
}

/// Class with the greatest logit or score; the first of equals.
///
/// # Errors
/// A [`Fault`] where the output slot does not fit the arena.
pub fn predicted(m: &mut Machine<'_>, header: &Header) -> Result<u16, Fault> {
    let ([bytes], []) = m.arena.split([header.output], [])?;
    Ok(match header.output_kind {
        Output::Logits => kernels::argmax(typed::<i32>(bytes)?),
        Output::Scores => kernels::argmax(typed::<i8>(bytes)?),
    })
}

/// The sample's place in the arena; empty where the header does not fit it.
pub fn input<'m>(m: &'m mut Machine<'_>, header: &Header) -> &'m mut [i8] {
    match m.arena.split([], [header.input]) {
        Ok(([], [bytes])) => typed_mut(bytes).unwrap_or_default(),
        Err(_) => &mut [],
    }
}

impl Trainer for Interpreter<'_> {
    fn header(&self) -> &Header {
        &self.program.header
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.machine.state.bytes_mut().fill(0);
        self.program.init.iter().try_for_each(|init| init.run(&mut self.machine))
    }

    fn input(&mut self) -> &mut [i8] {
        input(&mut self.machine, &self.program.header)
    }

    fn infer(&mut self) -> Result<u16, Fault> {
        self.run(0, self.program.header.forward as usize)?;
        self.class()
    }

    fn train(&mut self, label: u16, rate: f32) -> Result<StepReport, Fault> {
        self.train_from(0, label, rate)
    }

    fn state(&self) -> &[u8] {
        self.machine.state.bytes()
    }

    fn state_mut(&mut self) -> &mut [u8] {
        self.machine.state.bytes_mut()
    }
}
