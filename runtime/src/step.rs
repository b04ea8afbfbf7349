//! What every training step does around its ops, for the interpreter and for emitted code.

use crate::kernels;
use crate::machine::{typed, typed_mut};
use crate::program::{Header, Output};
use crate::{Fault, Machine, Prediction, Slot, Step, StepReport};

/// Checks the label and sets the step's scalars.
///
/// # Errors
/// [`Fault::NotTrainable`] where the program only infers, [`Fault::Label`] where the label is no
/// class; a network that reproduces its input takes any.
pub fn begin(m: &mut Machine<'_>, header: &Header, label: u16, rate: f32) -> Result<(), Fault> {
    match header.output_kind {
        Output::Scores => return Err(Fault::NotTrainable),
        Output::Logits if label >= header.classes => return Err(Fault::Label),
        Output::Logits | Output::Reconstruction => {}
    }
    m.step = Step { label, rate, ..Step::default() };
    Ok(())
}

/// What the step reports once its ops have run.
pub fn report(m: &Machine<'_>) -> StepReport {
    StepReport { loss: m.step.loss, class: m.step.class }
}

/// What the network makes of the sample, once the forward pass has run.
///
/// # Errors
/// A [`Fault`] where the output slot does not fit the arena.
pub fn predicted(m: &mut Machine<'_>, header: &Header) -> Result<Prediction, Fault> {
    let ([bytes], []) = m.arena.split([header.output], [])?;
    Ok(match header.output_kind {
        Output::Logits => Prediction::Class(kernels::argmax(typed::<i32>(bytes)?)),
        Output::Scores => Prediction::Class(kernels::argmax(typed::<i8>(bytes)?)),
        Output::Reconstruction => Prediction::Error(m.step.loss),
    })
}

/// As [`crate::Trainer::margin`].
pub fn margin(arena: &[u8], header: &Header) -> u32 {
    let bytes = arena.get(header.output.start()..header.output.end()).unwrap_or_default();
    match header.output_kind {
        Output::Logits => kernels::margin(typed::<i32>(bytes).unwrap_or_default()),
        Output::Scores => kernels::margin(typed::<i8>(bytes).unwrap_or_default()),
        Output::Reconstruction => 0,
    }
}

/// The place in the arena of a sample or of rows of one; empty where the arena does not hold it.
pub fn input(arena: &mut [u8], slot: Slot) -> &mut [i8] {
    let bytes = arena.get_mut(slot.start()..slot.end());
    bytes.and_then(|b| typed_mut(b).ok()).unwrap_or_default()
}
