//! Functions of one value, by a table of all 256.

use crate::kernels::ensure;
use crate::machine::{part, typed, typed_mut};
use crate::program::op::Table;
use crate::{Fault, Machine};

/// Where a value's entry lies.
#[inline]
pub(in crate::kernels) fn entry(x: i8) -> usize {
    usize::from(x as u8 ^ 0x80)
}

impl Table {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let table: &[i8; 256] =
            typed(part(m.constants, self.table)?)?.try_into().map_err(|_| Fault::Size)?;
        if self.input == self.output {
            let ([], [y]) = m.arena.split([], [self.output])?;
            let y: &mut [i8] = typed_mut(y)?;
            y.iter_mut().for_each(|y| *y = table[entry(*y)]);
            return Ok(());
        }
        let ([x], [y]) = m.arena.split([self.input], [self.output])?;
        let (x, y): (&[i8], &mut [i8]) = (typed(x)?, typed_mut(y)?);
        ensure(x.len() == y.len())?;
        for (y, &x) in y.iter_mut().zip(x) {
            *y = table[entry(x)];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::Bench;

    #[test]
    fn every_value_has_its_entry() {
        let mut bench = Bench::default();
        let x: Vec<i8> = (-128..=127).rev().collect();
        let table: Vec<i8> = (-128..=127).map(|v: i32| (v * 7 + 3) as i8).collect();
        let op = Table {
            input: bench.arena(&x),
            output: bench.room(256),
            table: bench.constant(&table),
        };
        let expected: Vec<i8> = x.iter().map(|&v| (i32::from(v) * 7 + 3) as i8).collect();
        bench.run(op);
        assert_eq!(bench.read::<i8>(op.output), expected);
    }
}
