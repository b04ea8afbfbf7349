//! What every training step does around its ops, for the interpreter and for emitted code.

use crate::kernels;
use crate::machine::{typed, typed_mut};
use crate::program::{Header, Output};
use crate::{Fault, Machine, Step, StepReport};

/// Checks the label and sets the step's scalars.
///
/// # Errors
/// [`Fault::NotTrainable`] where the program only infers, [`Fault::Label`] where the label is no
/// class.
pub fn begin(m: &mut Machine<'_>, header: &Header, label: u16, rate: f32) -> Result<(), Fault> {
    if header.output_kind != Output::Logits {
        return Err(Fault::NotTrainable);
    }
    if label >= header.classes {
        return Err(Fault::Label);
    }
    m.step = Step { label, rate, ..Step::default() };
    Ok(())
}

/// What the step reports once its ops have run.
pub fn report(m: &Machine<'_>) -> StepReport {
    StepReport { loss: m.step.loss, class: m.step.class }
}

/// Class with the greatest logit or score, once the forward pass has run; the first of equals.
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
pub fn input<'m>(arena: &'m mut [u8], header: &Header) -> &'m mut [i8] {
    let slot = header.input;
    let bytes = arena.get_mut(slot.start()..slot.end());
    bytes.and_then(|b| typed_mut(b).ok()).unwrap_or_default()
}
