//! Input gradient of channels of which some pass.

use super::sink::Sink;
use super::FRACTION;
use crate::error_scale::{exponent, write};
use crate::kernels::forward::{kept, passing, share};
use crate::kernels::{ensure, positive};
use crate::machine::{part, typed, Machine};
use crate::program::op::NestInputGrad;
use crate::Fault;

impl NestInputGrad {
    /// The error of what passed.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let drawn: &[u32] = typed(part(m.state.bytes(), self.drawn)?)?;
        let kept = kept(&m.state, self.kept, self.channels)?;
        let drawn = drawn.first().copied().ok_or(Fault::Size)?;
        let (passes, parts) = passing((m.step.rate > 0.0).then_some(drawn), kept, self.part);
        let channels = positive(self.channels.into())?;
        let unit = exponent(&m.state, &self.error)?.saturating_sub(FRACTION);
        let errors = [&self.error, &self.skip, &self.output];
        let (error, mut sink) = Sink::open(&mut m.arena, &m.state, unit, errors, self.mask)?;
        ensure(sink.len() == error.len())?;
        write(&mut m.state, &self.output, unit, |quantizer, _| {
            sink.put_each(quantizer, 0, error.len(), |at| {
                match passes.contains(&(at % channels)) {
                    true => share(error.get(at).map_or(0, |&e| i32::from(e) << FRACTION), parts),
                    false => 0,
                }
            });
            Ok(())
        })
    }
}
