//! Input gradient of functions of one value.

use super::sink::Sink;
use crate::error_scale::{exponent, write};
use crate::kernels::ensure;
use crate::kernels::forward::entry;
use crate::machine::{part, typed, Machine};
use crate::program::op::TableInputGrad;
use crate::{Fault, Slot};

impl TableInputGrad {
    /// Each element's error times the slope at what it was.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let slope: &[i16; 256] =
            typed(part(m.constants, self.slope)?)?.try_into().map_err(|_| Fault::Size)?;
        let unit = exponent(&m.state, &self.error)?.saturating_sub(self.fraction.into());
        let errors = [&self.error, &self.skip, &self.output];
        let others = [self.input, Slot::default()];
        let (error, [x, _], mut sink) =
            Sink::open_with(&mut m.arena, &m.state, unit, errors, self.mask, others)?;
        ensure(x.len() == error.len() && sink.len() == error.len())?;
        write(&mut m.state, &self.output, unit, |quantizer, _| {
            sink.put_each(quantizer, 0, error.len(), |i| {
                let error = error.get(i).copied().unwrap_or_default();
                x.get(i).map_or(0, |&x| i32::from(error) * i32::from(slope[entry(x as i8)]))
            });
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_near, Bench, Random};

    #[test]
    fn errors_are_multiplied_by_slopes() {
        let mut random = Random::new(6);
        let mut bench = Bench::default();
        let (x, e) = (random.int8(300), random.sparse(300, 4));
        let slopes: Vec<i16> = (0..256).map(|_| random.within(-32768, 32767) as i16).collect();
        let op = TableInputGrad {
            error: bench.error(&e, -8),
            output: bench.error_out(300),
            input: bench.arena(&x),
            slope: bench.constant(&slopes),
            fraction: 13,
            ..TableInputGrad::default()
        };
        bench.run(op);
        let one = |i: usize| {
            let slope = f64::from(slopes[(i32::from(x[i]) + 128) as usize]) / 8192.0;
            f64::from(e[i]) / 256.0 * slope
        };
        let exact: Vec<f64> = (0..300).map(one).collect();
        assert_near(&bench, &op.output, &exact, |_| 0.0);
    }
}
