//! Walks a program's list of ops: the simulator, and a device that is sent a program.

use crate::arena::Arena;
use crate::learnt::Part;
use crate::program::{Header, Op, Program};
use crate::step::{self, Cursor, Ends};
use crate::{Fault, Machine, Progress, Step, Task, Trainer};

/// Runs a program in memory that the caller gives it.
#[derive(Debug)]
pub struct Interpreter<'a> {
    program: Program<'a>,
    machine: Machine<'a>,
    /// Slices are ops.
    cursor: Cursor,
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
        let mut interpreter = Interpreter { program, machine, cursor: Cursor::START };
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

    /// The next op from `from` on that waits for rows.
    fn next_part(&self, from: usize) -> Option<usize> {
        let rest = self.program.ops.get(from..)?;
        rest.iter().position(|op| matches!(op, Op::Receive(_))).map(|ahead| from + ahead)
    }

    /// The op to go on from, if all parts of the sample have come.
    ///
    /// # Errors
    /// [`Fault::Sample`] if not.
    pub fn presented(&self) -> Result<usize, Fault> {
        let at = self.cursor.next();
        match self.next_part(at + 1) {
            Some(_) => Err(Fault::Sample),
            None => Ok(at),
        }
    }

    /// Takes the sample as presented, and the ops before op `to` as done: what they compute must be in
    /// the arena. Gives up a task under way.
    pub fn skip(&mut self, to: usize) {
        self.cursor = Cursor::at(to);
    }

    /// The memories, to be looked into.
    pub fn machine(&mut self) -> &mut Machine<'a> {
        &mut self.machine
    }
}

impl Trainer for Interpreter<'_> {
    fn header(&self) -> &Header {
        &self.program.header
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.machine.state.bytes_mut().fill(0);
        self.first()
    }

    fn first(&mut self) -> Result<(), Fault> {
        self.cursor.give_up();
        self.program.init.iter().try_for_each(|init| init.run(&mut self.machine))
    }

    fn part(&self, from: u32) -> Option<Part> {
        self.program.part(from)
    }

    fn input(&mut self) -> &mut [i8] {
        if self.cursor.is_busy() {
            return &mut [];
        }
        let slot = match self.program.ops.get(self.cursor.next()) {
            Some(Op::Receive(rows)) => rows.output,
            _ => self.program.header.input,
        };
        step::input(self.machine.arena.bytes_mut(), slot)
    }

    fn begin(&mut self, task: Task) -> Result<(), Fault> {
        let ends = Ends {
            part: self.next_part(self.cursor.next() + 1),
            forward: self.program.header.forward as usize,
            all: self.program.ops.len(),
        };
        self.cursor.begin(&mut self.machine.step, &self.program.header, ends, task)
    }

    fn slice(&mut self) -> Result<Progress, Fault> {
        let Program { header, ops, .. } = &self.program;
        self.cursor
            .slice(&mut self.machine, header, |m, at| ops.get(at).ok_or(Fault::OutOfBounds)?.run(m))
    }

    fn restart(&mut self) {
        self.cursor = Cursor::START;
    }

    fn margin(&self) -> u32 {
        step::margin(self.machine.arena.bytes(), &self.program.header)
    }

    fn state(&self) -> &[u8] {
        self.machine.state.bytes()
    }

    fn state_mut(&mut self) -> &mut [u8] {
        self.cursor.give_up();
        self.machine.state.bytes_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::op::{Copy, Path, Receive, Shape};
    use crate::program::{verify, Output};
    use crate::{Memory, Prediction, Slot};

    /// Two rows of two pixels, one at a time, are moved to where the output is.
    fn ops() -> [Op; 4] {
        let arena = |offset| Slot::new(Memory::Arena, offset, 2);
        let path = Path {
            size: [1, 1, 1, 1, 2],
            from: [0, 0, 0, 2, 1],
            to: [0, 0, 0, 2, 1],
            ..Path::default()
        };
        let row = |first| Receive { output: arena(0), first }.into();
        let moved =
            |to| Copy { input: arena(0), output: arena(to), path, ..Copy::default() }.into();
        [row(0), moved(2), row(2), moved(4)]
    }

    fn program(ops: &[Op]) -> Program<'_> {
        let header = Header {
            arena: 8,
            forward: 4,
            input_shape: Shape { h: 2, w: 2, c: 1 },
            output: Slot::new(Memory::Arena, 2, 4),
            output_kind: Output::Scores,
            classes: 4,
            ..Header::default()
        };
        Program { header, init: &[], ops, constants: &[], feature_energy: None }
    }

    #[test]
    fn rows_come_one_after_another() {
        let (ops, mut arena) = (ops(), [0; 8]);
        verify(&program(&ops)).unwrap();
        let mut i = Interpreter::new(program(&ops), &mut arena, &mut [], &mut []).unwrap();
        for best in 0..4 {
            let mut sample = [0; 4];
            sample[best] = 9;
            i.input().copy_from_slice(&sample[..2]);
            assert_eq!(i.infer(), Err(Fault::Sample));
            assert_eq!(i.advance(), Ok(true));
            i.input().copy_from_slice(&sample[2..]);
            assert_eq!(i.advance(), Ok(false));
            assert_eq!(i.infer(), Ok(Prediction::Class(best as u16)));
        }
        // Half a sample is forgotten.
        i.input().fill(1);
        assert_eq!(i.advance(), Ok(true));
        i.present(&[0, 5, 0, 0]).unwrap();
        assert_eq!(i.infer(), Ok(Prediction::Class(1)));
        assert_eq!(i.present(&[0; 3]), Err(Fault::Size));
    }

    #[test]
    fn what_would_spoil_a_task_is_refused_or_gives_it_up() {
        let (ops, mut arena) = (ops(), [0; 8]);
        let mut i = Interpreter::new(program(&ops), &mut arena, &mut [], &mut []).unwrap();
        assert_eq!(i.slice(), Err(Fault::Idle));
        assert_eq!(i.begin(Task::Infer), Err(Fault::Sample));
        i.input().copy_from_slice(&[0, 1]);
        i.begin(Task::Receive).unwrap();
        assert_eq!(i.begin(Task::Infer), Err(Fault::Busy));
        assert_eq!(i.input(), []);
        assert_eq!(i.slice(), Ok(Progress::More));
        assert_eq!(i.slice(), Ok(Progress::Received { more: true }));
        i.input().copy_from_slice(&[2, 3]);
        // No part is to come: that changes nothing.
        assert_eq!(i.advance(), Ok(false));
        assert_eq!(i.train(0, 0.1), Err(Fault::NotTrainable));
        i.begin(Task::Infer).unwrap();
        assert_eq!(i.slice(), Ok(Progress::More));
        assert_eq!(i.slice(), Ok(Progress::Inferred(Prediction::Class(3))));
        assert_eq!(i.slice(), Err(Fault::Idle));
        for give_up in [
            |i: &mut Interpreter<'_>| i.restart(),
            |i: &mut Interpreter<'_>| i.reset().unwrap(),
            |i: &mut Interpreter<'_>| i.state_mut().fill(0),
        ] {
            i.input().fill(0);
            i.begin(Task::Receive).unwrap();
            give_up(&mut i);
            assert_eq!(i.slice(), Err(Fault::Idle));
            i.present(&[0, 0, 9, 0]).unwrap();
            assert_eq!(i.infer(), Ok(Prediction::Class(2)));
        }
    }

    #[test]
    fn rows_that_are_no_whole_sample_are_refused() {
        let spoil = |change: fn(&mut [Op; 4], &mut Header)| {
            let mut ops = ops();
            let mut header = program(&ops).header;
            change(&mut ops, &mut header);
            verify(&Program { header, ..program(&ops) }).unwrap_err().fault
        };
        assert_eq!(spoil(|_, header| header.input_shape.h = 3), Fault::Size);
        assert_eq!(spoil(|ops, _| ops.swap(0, 1)), Fault::Size);
        assert_eq!(spoil(|ops, _| ops.swap(0, 2)), Fault::Size);
        assert_eq!(spoil(|_, header| header.forward = 2), Fault::Size);
        assert_eq!(spoil(|_, header| header.input = Slot::new(Memory::Arena, 0, 4)), Fault::Size);
        let empty = |ops: &mut [Op; 4], _: &mut Header| {
            let output = Slot::new(Memory::Arena, 0, 0);
            ops[2] = Receive { output, first: 2 }.into();
        };
        assert_eq!(spoil(empty), Fault::Size);
    }
}
