//! Accepts a program, or says what is wrong with it: no op of an accepted program can fail or
//! touch what is not its own.
//!
//! What holds of every op afterwards:
//! * each slot lies in the memory its role asks for, inside it, aligned for its elements (the
//!   memories being aligned to 8 bytes), and has exactly the size that the op's shapes imply
//!   (scratch: at least);
//! * what an op writes shares no byte with anything else it uses, but where it may be written over an
//!   input ([`Op::in_place`]);
//! * every window sees at least one pixel, strides are positive, shapes are not empty;
//! * zero points are int8 values, ranges are not empty, multipliers are not negative and their
//!   shifts lie in [-31, 30];
//! * sums of products stay within 32 bits;
//! * selected channels ascend and exist; class weights are finite and not negative;
//! * batches hold 1 to [`Optimizer::MOST_BATCH`] samples;
//! * labels below the header's class count are classes of the loss;
//! * rows that are received are the whole sample, in order, in the forward pass, from the first op on.
//!
//! Not checked here: that a tensor was written before it is read. That needs a picture of the
//! whole arena, which the compiler's plan checker has.

mod forward;
mod optimizer;
mod rules;
#[cfg(test)]
mod tests;
mod training;

#[cfg(doc)]
use super::op::Optimizer;
use super::{Access, Init, Op, Output, Program};
use crate::program::Memory;
use crate::Fault;
use rules::{elements, ensure, Check, Problem, Rules};

/// What is wrong with a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Index of the op; none where the header or the first content of state is at fault.
    pub op: Option<usize>,
    /// What is wrong.
    pub fault: Fault,
    /// Where in the op.
    pub what: &'static str,
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.op {
            Some(op) => write!(f, "op {op}, {}: {}", self.what, self.fault),
            None => write!(f, "{}: {}", self.what, self.fault),
        }
    }
}

impl core::error::Error for Refusal {}

/// Checks that `program` can run.
///
/// # Errors
/// A [`Refusal`] that names the first thing that is wrong.
pub fn verify(program: &Program<'_>) -> Result<(), Refusal> {
    let refuse = |op| move |Problem(fault, what)| Refusal { op, fault, what };
    let rules = Rules { header: &program.header, constants: program.constants };
    rules.header(program.ops.len()).map_err(refuse(None))?;
    for init in program.init {
        rules.init(init).map_err(refuse(None))?;
    }
    for (index, op) in program.ops.iter().enumerate() {
        rules.op(op).and_then(|()| disjoint(op)).map_err(refuse(Some(index)))?;
    }
    received(program)
}

/// Refuses a program whose input and received rows together are not one sample, in order.
fn received(program: &Program<'_>) -> Result<(), Refusal> {
    let (header, what) = (&program.header, "rows of the sample");
    let refuse = |op| Refusal { op, fault: Fault::Size, what };
    let mut next = u64::from(header.input.bytes);
    for (index, op) in program.ops.iter().enumerate() {
        let Op::Receive(rows) = op else { continue };
        let early = (index == 0) == (rows.first == 0) && index < header.forward as usize;
        if !early || u64::from(rows.first) != next {
            return Err(refuse(Some(index)));
        }
        next += u64::from(rows.output.bytes);
    }
    if next != elements(header.input_shape) {
        return Err(refuse(None));
    }
    Ok(())
}

/// Refuses an op that writes what it also reads or writes elsewhere, but for an output in the very place
/// of one input where the op allows that.
fn disjoint(op: &Op) -> Check {
    let (mut index, mut clash) = (0, false);
    let in_place = op.in_place();
    let mut writer = *op;
    writer.visit(&mut |access, written| {
        let own = index;
        index += 1;
        if !matches!(access, Access::Write | Access::Update) {
            return;
        }
        let over = in_place.filter(|over| over.output == *written);
        let (mut index, mut other, mut replaced) = (0, *op, 0);
        other.visit(&mut |access, slot| {
            let same = index == own || access == Access::Scratch;
            index += 1;
            if same || slot.memory != written.memory || !slot.overlaps(written) {
                return;
            }
            let may = over.is_some_and(|over| slot == written && over.inputs.contains(slot));
            clash |= !may || access != Access::Read || replaced > 0;
            replaced += 1;
        });
    });
    if clash {
        return Err(Problem(Fault::Overlap, "what it writes"));
    }
    Ok(())
}

impl Rules<'_> {
    fn header(&self, ops: usize) -> Check {
        let h = self.header;
        ensure(h.forward as usize <= ops, "length of the forward pass")?;
        let aligned = self.constants.as_ptr().addr().is_multiple_of(4);
        if !self.constants.is_empty() && !aligned {
            return Err(Problem(Fault::Misaligned, "constants"));
        }
        if !h.input.is_empty() {
            self.slot("input", h.input, Memory::Arena, 1, elements(h.input_shape))?;
        }
        ensure((h.classes > 0) == (h.output_kind != Output::Reconstruction), "classes")?;
        let (size, count) = match h.output_kind {
            Output::Logits => (4, h.classes.into()),
            Output::Scores => (1, h.classes.into()),
            Output::Reconstruction => (1, elements(h.input_shape)),
        };
        self.slot("output", h.output, Memory::Arena, size, count)
    }

    fn init(&self, init: &Init) -> Check {
        match init {
            Init::Copy { from, to } => {
                self.slot("initial bytes", *from, Memory::Constant, 1, to.bytes.into())?;
                self.slot("initial state", *to, Memory::State, 1, from.bytes.into())
            }
            Init::Latent(w) => {
                ensure(!w.latent.is_empty(), "trained weights")?;
                self.weights(w, w.rows, w.taps.into(), w.channels)
            }
        }
    }

    fn op(&self, op: &Op) -> Check {
        match op {
            Op::Conv(op) => self.conv(op),
            Op::Depthwise(op) => self.depthwise(op),
            Op::Add(op) => self.add(op),
            Op::AvgPool(op) => self.avg_pool(op),
            Op::MaxPool(op) => self.max_pool(op),
            Op::Table(op) => self.lookup(op),
            Op::Mul(op) => self.mul(op),
            Op::MatMul(op) => self.matmul(op),
            Op::Normalize(op) => self.normalize(op),
            Op::Copy(op) => self.copy(op),
            Op::PoolMean(op) => self.pool_mean(op),
            Op::Requantize(op) => self.requantize(op),
            Op::Softmax(op) => self.softmax(op),
            Op::Head(op) => self.head(op),
            Op::SaveChannels(op) => self.save_channels(op),
            Op::SoftmaxCrossEntropy(op) => self.softmax_cross_entropy(op),
            Op::SigmoidCrossEntropy(op) => self.sigmoid_cross_entropy(op),
            Op::MeanSquare(op) => self.mean_square(op),
            Op::HeadInputGrad(op) => self.head_input_grad(op),
            Op::HeadUpdate(op) => self.head_update(op),
            Op::ConvInputGrad(op) => self.conv_input_grad(op),
            Op::DepthwiseInputGrad(op) => self.depthwise_input_grad(op),
            Op::PoolInputGrad(op) => self.pool_input_grad(op),
            Op::MaxPoolInputGrad(op) => self.max_pool_input_grad(op),
            Op::TableInputGrad(op) => self.table_input_grad(op),
            Op::MulInputGrad(op) => self.mul_input_grad(op),
            Op::MatMulInputGrad(op) => self.matmul_input_grad(op),
            Op::NormalizeInputGrad(op) => self.normalize_input_grad(op),
            Op::SoftmaxInputGrad(op) => self.softmax_input_grad(op),
            Op::CopyInputGrad(op) => self.copy_input_grad(op),
            Op::SumGrad(op) => self.sum_grad(op),
            Op::BiasUpdate(op) => self.bias_update(op),
            Op::ConvUpdate(op) => self.conv_update(op),
            Op::DepthwiseUpdate(op) => self.depthwise_update(op),
            Op::HeadOptimize(op) => self.head_optimize(op),
            Op::BiasOptimize(op) => self.bias_optimize(op),
            Op::ConvOptimize(op) => self.conv_optimize(op),
            Op::DepthwiseOptimize(op) => self.depthwise_optimize(op),
            Op::Receive(op) => self.receive(op),
            Op::ConvNormed(op) => self.conv_normed(op),
            Op::Orthonormalize(op) => self.orthonormalize(op),
            Op::PickUpdate(op) => self.pick_update(op),
            Op::Nest(op) => self.nest(op),
            Op::NestInputGrad(op) => self.nest_input_grad(op),
        }
    }
}
