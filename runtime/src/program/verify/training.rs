//! What the ops of the backward pass ask of their operands.

use super::rules::{elements, ensure, positions, Check, Problem, Rules};
use crate::fixed::Multiplier;
use crate::program::op::{
    BiasUpdate, ConvInputGrad, ConvNormed, ConvUpdate, CopyInputGrad, DepthwiseInputGrad,
    DepthwiseUpdate, Error, HeadInputGrad, HeadUpdate, MatMulInputGrad, MaxPoolInputGrad,
    MeanSquare, MulInputGrad, NestInputGrad, Normalize, NormalizeInputGrad, Orthonormalize,
    PickUpdate, PoolInputGrad, Precision, SigmoidCrossEntropy, Softmax, SoftmaxCrossEntropy,
    SoftmaxInputGrad, SumGrad, TableInputGrad, Weights,
};
use crate::program::{Memory, Slot};

/// Fraction bits that leave an int8 error and its sign in 32 bits.
const MAX_FRACTION: i8 = 24;

impl Rules<'_> {
    pub(super) fn softmax_cross_entropy(&self, op: &SoftmaxCrossEntropy) -> Check {
        let classes = self.classes(op.logits, op.error)?;
        let weighted = if op.weights.is_empty() { 0 } else { classes };
        self.slot("class weights", op.weights, Memory::Constant, 4, weighted)?;
        let weights: &[f32] = self.table("class weights", op.weights)?;
        ensure(weights.iter().all(|w| w.is_finite() && *w >= 0.0), "class weights")?;
        self.multiplier("logit unit", op.sixteenths)
    }

    pub(super) fn sigmoid_cross_entropy(&self, op: &SigmoidCrossEntropy) -> Check {
        self.classes(op.logits, op.error)?;
        self.multiplier("logit unit", op.sixteenths)
    }

    pub(super) fn mean_square(&self, op: &MeanSquare) -> Check {
        let count = op.y.bytes;
        ensure((1..=MeanSquare::MOST_ELEMENTS).contains(&count), "number of terms of a sum")?;
        self.tensor("input", op.x, count.into())?;
        self.tensor("output", op.y, count.into())?;
        self.tensor("error", op.error, count.into())?;
        op.zeros.iter().try_for_each(|&zero| self.zero(zero))?;
        for scale in op.scales {
            self.multiplier("scales", scale)?;
            // Below 2: the coarser step is the unit.
            ensure(scale.shift <= 1, "scales")?;
        }
        ensure(op.unit.is_normal() && op.unit > 0.0, "unit")
    }

    /// Logits of the header's classes and their error; how many.
    fn classes(&self, logits: Slot, error: Slot) -> Result<u64, Problem> {
        let classes = self.header.classes.into();
        self.slot("logits", logits, Memory::Arena, 4, classes)?;
        self.tensor("error", error, classes)?;
        Ok(classes)
    }

    pub(super) fn head_input_grad(&self, op: &HeadInputGrad) -> Check {
        let (classes, features) = (op.error.data.bytes as u64, op.output.data.bytes as u64);
        ensure(classes > 0 && features > 0, "shapes")?;
        self.error("error", &op.error, classes)?;
        self.slot("weights", op.latent, Memory::State, 2, classes * features)?;
        self.error_out(&op.output, features)
    }

    pub(super) fn head_update(&self, op: &HeadUpdate) -> Check {
        let (classes, features) = (op.error.data.bytes as u64, op.input.bytes as u64 / 2);
        ensure(classes > 0 && features > 0, "shapes")?;
        self.error("error", &op.error, classes)?;
        self.slot("features", op.input, Memory::Arena, 2, features)?;
        self.slot("weights", op.latent, Memory::State, 2, classes * features)
    }

    pub(super) fn conv_input_grad(&self, op: &ConvInputGrad) -> Check {
        let (x, y) = (op.geometry.x, op.geometry.y);
        let taps = op.geometry.window.taps() as u64;
        self.geometry(&op.geometry)?;
        self.error("error", &op.error, elements(y))?;
        self.error_out(&op.output, elements(x))?;
        self.skip(&op.skip, elements(x))?;
        self.mask(op.mask, elements(x))?;
        let channels = self.grouped(x.c, y.c, op.groups)?;
        self.weights(&op.weights, y.c, taps, channels)?;
        self.channel_scale(&op.scale, y.c)?;
        // Scaled errors are kept in 16 bits.
        let values: &[i32] = self.table("multipliers", op.scale.multiplier)?;
        let shifts: &[i8] = self.table("shifts", op.scale.shift)?;
        let fits = |(&value, &shift): (&i32, &i8)| {
            Multiplier { value, shift: shift.into() }.scale(127) <= i16::MAX.into()
        };
        ensure(values.iter().zip(shifts).all(fits), "multipliers and shifts")?;
        let row = self.assembled(&op.weights, channels as u64);
        self.scratch(op.scratch, 4 * channels as u64 + row)
    }

    pub(super) fn depthwise_input_grad(&self, op: &DepthwiseInputGrad) -> Check {
        let (x, y) = (op.geometry.x, op.geometry.y);
        let taps = op.geometry.window.taps() as u64;
        self.geometry(&op.geometry)?;
        ensure(x.c == y.c && taps <= u16::MAX as u64, "shapes")?;
        self.error("error", &op.error, elements(y))?;
        self.error_out(&op.output, elements(x))?;
        self.skip(&op.skip, elements(x))?;
        self.mask(op.mask, elements(x))?;
        self.weights(&op.weights, taps as u16, 1, x.c)?;
        self.channel_scale(&op.scale, x.c)?;
        self.sum_fits(taps)?;
        let matrix = self.assembled(&op.weights, taps * x.c as u64);
        self.scratch(op.scratch, 4 * x.c as u64 + matrix)
    }

    pub(super) fn pool_input_grad(&self, op: &PoolInputGrad) -> Check {
        let (x, y) = (op.geometry.x, op.geometry.y);
        self.sees(&op.geometry)?;
        ensure(x.c == y.c, "shapes")?;
        self.error("error", &op.error, elements(y))?;
        self.error_out(&op.output, elements(x))?;
        self.skip(&op.skip, elements(x))?;
        self.mask(op.mask, elements(x))?;
        ensure((0..=MAX_FRACTION).contains(&op.fraction), "fraction bits")
    }

    pub(super) fn max_pool_input_grad(&self, op: &MaxPoolInputGrad) -> Check {
        let (x, y) = (op.geometry.x, op.geometry.y);
        self.sees(&op.geometry)?;
        ensure(x.c == y.c && op.geometry.window.taps() <= 256, "shapes")?;
        self.error("error", &op.error, elements(y))?;
        self.error_out(&op.output, elements(x))?;
        self.skip(&op.skip, elements(x))?;
        self.mask(op.mask, elements(x))?;
        self.tensor("index", op.index, elements(y))
    }

    pub(super) fn table_input_grad(&self, op: &TableInputGrad) -> Check {
        let count = op.output.data.bytes.into();
        self.error("error", &op.error, count)?;
        self.error_out(&op.output, count)?;
        self.skip(&op.skip, count)?;
        self.mask(op.mask, count)?;
        self.tensor("input", op.input, count)?;
        self.slot("slopes", op.slope, Memory::Constant, 2, 256)?;
        ensure((-MAX_FRACTION..=MAX_FRACTION).contains(&op.fraction), "fraction bits")
    }

    pub(super) fn nest_input_grad(&self, op: &NestInputGrad) -> Check {
        let count = op.output.data.bytes;
        self.error("error", &op.error, count.into())?;
        self.error_out(&op.output, count.into())?;
        self.skip(&op.skip, count.into())?;
        self.mask(op.mask, count.into())?;
        self.ranks(count, [op.channels, op.part], [op.kept, op.drawn])
    }

    pub(super) fn mul_input_grad(&self, op: &MulInputGrad) -> Check {
        let count = op.error.data.bytes;
        self.error("error", &op.error, count.into())?;
        let own = self.broadcast(op.steps, count, op.channels)?;
        let other = self.broadcast(op.other_steps, count, op.channels)?;
        self.error_out(&op.output, own)?;
        self.skip(&op.skip, own)?;
        self.mask(op.mask, own)?;
        self.tensor("other factor", op.other, other)?;
        self.zero(op.other_zero)?;
        self.multiplier("scale", op.scale)?;
        self.sum_fits(u64::from(count) / own.max(1))
    }

    pub(super) fn matmul_input_grad(&self, op: &MatMulInputGrad) -> Check {
        let own = op.output.data.bytes;
        self.error("error", &op.error, op.error.data.bytes.into())?;
        self.error_out(&op.output, own.into())?;
        self.skip(&op.skip, own.into())?;
        self.mask(op.mask, own.into())?;
        self.tensor("other factor", op.other, op.other.bytes.into())?;
        let lengths = [op.error.data.bytes, op.other.bytes, own];
        let terms = self.contraction(&op.loops, lengths)?;
        self.zero(op.other_zero)?;
        self.multiplier("scale", op.scale)?;
        self.sum_fits(terms)
    }

    pub(super) fn normalize_input_grad(&self, op: &NormalizeInputGrad) -> Check {
        let rows = self.row_errors(
            [&op.error, &op.output, &op.skip],
            op.mask,
            op.depth,
            Normalize::MOST_CHANNELS,
        )?;
        self.tensor("output", op.normal, op.error.data.bytes.into())?;
        self.slot("reciprocal deviations", op.reciprocal, Memory::Arena, 4, rows)?;
        self.zero(op.y_zero)?;
        ensure(op.y_scale.is_normal() && op.y_scale > 0.0, "scale")?;
        ensure((-MAX_FRACTION..=MAX_FRACTION).contains(&op.fraction), "fraction bits")
    }

    pub(super) fn softmax_input_grad(&self, op: &SoftmaxInputGrad) -> Check {
        self.row_errors(
            [&op.error, &op.output, &op.skip],
            op.mask,
            op.depth,
            Softmax::MOST_CHANNELS,
        )?;
        self.tensor("probabilities", op.probability, op.error.data.bytes.into())
    }

    /// Error, output and skip of an op over rows, all of one shape; how many rows.
    fn row_errors(
        &self,
        [error, output, skip]: [&Error; 3],
        mask: Slot,
        depth: u16,
        limit: u16,
    ) -> Result<u64, Problem> {
        let count = error.data.bytes;
        self.error("error", error, count.into())?;
        self.error_out(output, count.into())?;
        self.skip(skip, count.into())?;
        self.mask(mask, count.into())?;
        self.rows(count, depth, limit)
    }

    pub(super) fn copy_input_grad(&self, op: &CopyInputGrad) -> Check {
        let (x, y) = (op.output.data.bytes, op.error.data.bytes);
        ensure(x > 0 && y > 0, "shapes")?;
        self.error("error", &op.error, y.into())?;
        self.error_out(&op.output, x.into())?;
        self.skip(&op.skip, x.into())?;
        self.mask(op.mask, x.into())?;
        self.path(&op.path, x, y)?;
        ensure(op.path.is_reversible(), "path")
    }

    pub(super) fn sum_grad(&self, op: &SumGrad) -> Check {
        let count = op.output.data.bytes.into();
        self.error("error", &op.error, count)?;
        self.skip(&op.skip, count)?;
        self.mask(op.mask, count)?;
        self.error_out(&op.output, count)
    }

    pub(super) fn bias_update(&self, op: &BiasUpdate) -> Check {
        let (count, channels) = (op.error.data.bytes as u64, op.bias.bytes as u64 / 4);
        ensure(channels > 0 && count % channels == 0, "shapes")?;
        self.error("error", &op.error, count)?;
        self.slot("bias", op.bias, Memory::State, 4, channels)?;
        self.slot("factors", op.factor, Memory::Constant, 4, channels)?;
        ensure(count / channels * 127 <= i32::MAX as u64, "number of terms of a sum")?;
        self.sums(op.scratch, channels)
    }

    pub(super) fn conv_update(&self, op: &ConvUpdate) -> Check {
        self.random(op.random, op.weights.precision)?;
        self.conv_gradient(op)
    }

    /// All of an update of convolution weights but its random state.
    pub(super) fn conv_gradient(&self, op: &ConvUpdate) -> Check {
        let (x, y) = (op.geometry.x, op.geometry.y);
        let taps = op.geometry.window.taps() as u64;
        self.geometry(&op.geometry)?;
        self.error("error", &op.error, elements(y))?;
        let channels = self.grouped(x.c, y.c, op.groups)?;
        let selected = self.trained(&op.weights, y.c, taps, channels)?;
        ensure(selected > 0, "selected channels")?;
        let kept = if op.groups > 1 {
            ensure(selected == channels as u64, "selected channels")?;
            x.c.into()
        } else {
            selected
        };
        self.tensor("saved input", op.saved, positions(x) * kept)?;
        self.slot("factors", op.factor, Memory::Constant, 4, y.c.into())?;
        self.zero(op.x_zero)?;
        self.sum_fits(positions(y))?;
        self.sums(op.scratch, taps * selected)
    }

    pub(super) fn pick_update(&self, op: &PickUpdate) -> Check {
        let (x, y) = (op.geometry.x, op.geometry.y);
        self.geometry(&op.geometry)?;
        self.error("error", &op.error, elements(y))?;
        ensure(op.weights.precision == Precision::Picked, "precision")?;
        self.trained(&op.weights, y.c, op.geometry.window.taps() as u64, x.c)?;
        ensure(!op.weights.latent.is_empty(), "trained weights")?;
        let kept = match op.channels.is_empty() {
            true => x.c.into(),
            false => self.picked_channels(op)?,
        };
        self.tensor("saved input", op.saved, positions(x) * kept)?;
        self.slot("factors", op.factor, Memory::Constant, 4, y.c.into())?;
        self.zero(op.x_zero)?;
        self.sum_fits(positions(y))
    }

    /// How many channels are kept; all picks are of those.
    fn picked_channels(&self, op: &PickUpdate) -> Result<u64, Problem> {
        let count = self.selected(op.channels, op.geometry.x.c)?;
        let kept: &[u16] = self.table("selected channels", op.channels)?;
        let places: &[u32] = self.table("picked weights", op.weights.selected)?;
        let channel = |&at: &u32| at.checked_rem(op.geometry.x.c.into()).unwrap_or_default() as u16;
        let all = places.iter().map(channel).all(|c| kept.binary_search(&c).is_ok());
        ensure(all, "picked weights")?;
        Ok(count)
    }

    pub(super) fn conv_normed(&self, op: &ConvNormed) -> Check {
        self.conv_update(&op.update)?;
        let rows = op.update.geometry.y.c;
        self.whole(&op.update.weights, op.start)?;
        self.slot("units", op.unit, Memory::Constant, 4, rows.into())?;
        let units: &[f32] = self.table("units", op.unit)?;
        let sound = units.iter().chain([&op.damping]).all(|v| v.is_finite() && *v >= 0.0);
        ensure(sound && op.damping > 0.0, "units")
    }

    pub(super) fn orthonormalize(&self, op: &Orthonormalize) -> Check {
        let w = &op.weights;
        self.trained(w, w.rows, w.taps.into(), w.channels)?;
        self.whole(w, op.start)?;
        self.random(op.random, w.precision)?;
        let numbers = [op.unit, op.strength].iter().all(|v| v.is_finite() && *v >= 0.0);
        ensure(numbers, "units")?;
        let vectors = op.vectors();
        ensure(vectors <= Orthonormalize::MOST_VECTORS, "vectors")?;
        let row = u64::from(w.taps) * u64::from(w.channels);
        self.sums(op.scratch, (vectors * vectors) as u64 + row)
    }

    /// That all channels of `weights` are trained, and `start` is what all of them began as.
    fn whole(&self, weights: &Weights, start: Slot) -> Check {
        let Weights { rows, taps, channels, .. } = *weights;
        ensure(weights.selected.len() / 2 == usize::from(channels), "selected channels")?;
        ensure(weights.precision != Precision::Sign, "precision")?;
        let row = u64::from(taps) * u64::from(channels);
        self.slot("frozen weights", start, Memory::Constant, 1, u64::from(rows) * row)
    }

    pub(super) fn depthwise_update(&self, op: &DepthwiseUpdate) -> Check {
        self.random(op.random, op.weights.precision)?;
        self.depthwise_gradient(op)
    }

    /// All of an update of depthwise weights but its random state.
    pub(super) fn depthwise_gradient(&self, op: &DepthwiseUpdate) -> Check {
        let (x, y) = (op.geometry.x, op.geometry.y);
        let taps = op.geometry.window.taps() as u64;
        self.geometry(&op.geometry)?;
        ensure(x.c == y.c && taps <= u16::MAX as u64, "shapes")?;
        self.error("error", &op.error, elements(y))?;
        let selected = self.trained(&op.weights, taps as u16, 1, x.c)?;
        ensure(selected > 0, "selected channels")?;
        self.tensor("saved input", op.saved, positions(x) * selected)?;
        self.slot("factors", op.factor, Memory::Constant, 4, x.c.into())?;
        self.zero(op.x_zero)?;
        self.sum_fits(positions(y))?;
        self.sums(op.scratch, selected)
    }
}
