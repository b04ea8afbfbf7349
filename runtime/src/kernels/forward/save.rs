//! Keeps what a later weight update will read of an activation.

use crate::kernels::ensure;
use crate::machine::table;
use crate::program::op::SaveChannels;
use crate::{Fault, Machine};

impl SaveChannels {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let channels = self.channels as usize;
        let ([x], [y]) = m.arena.split([self.input], [self.output])?;
        let selected: &[u16] = table(m.constants, self.selected)?;
        let (Some(&first), Some(&last)) = (selected.first(), selected.last()) else {
            return Err(Fault::Size);
        };
        ensure(channels > 0 && x.len() % channels == 0)?;
        ensure(y.len() == x.len() / channels * selected.len())?;
        let pixels = x.chunks_exact(channels).zip(y.chunks_exact_mut(selected.len()));
        let (first, last) = (first as usize, last as usize);
        // Indices ascend, so this many between the ends means all of them.
        if last + 1 - first.min(last + 1) == selected.len() {
            for (x, y) in pixels {
                y.copy_from_slice(x.get(first..first + y.len()).ok_or(Fault::Size)?);
            }
        } else {
            for (x, y) in pixels {
                for (y, &c) in y.iter_mut().zip(selected) {
                    *y = *x.get(c as usize).ok_or(Fault::Size)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::testing::{Bench, Random};
    use crate::program::op::SaveChannels;

    #[test]
    fn gathers_scattered_and_contiguous_channels() {
        for selected in [&[0u16, 1, 2, 3, 4][..], &[1, 2, 3], &[0, 3], &[4]] {
            let mut bench = Bench::default();
            let x = Random::new(7).int8(5 * 9);
            let op = SaveChannels {
                input: bench.arena(&x),
                output: bench.room(9 * selected.len()),
                selected: bench.constant(selected),
                channels: 5,
            };
            bench.run(op);
            let saved = bench.read::<i8>(op.output);
            for (n, y) in saved.into_iter().enumerate() {
                let (pixel, c) = (n / selected.len(), selected[n % selected.len()]);
                assert_eq!(y, x[pixel * 5 + c as usize]);
            }
        }
    }
}
