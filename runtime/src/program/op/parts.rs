//! What descriptors are made of: shapes, windows, weights, scales, error tensors.

use crate::{Access, Slot};

/// Exponent of the loss gradient: `dL/dlogit = gamma * 2^-7 * e`.
pub const LOSS_EXPONENT: i32 = -7;

/// Fraction bits of pooled features and of latent weights (8.7 and 8.8 fixed point).
pub const FEATURE_BITS: u32 = 7;

/// Height, width and channels of an NHWC tensor of batch 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Shape {
    /// Rows.
    pub h: u16,
    /// Columns.
    pub w: u16,
    /// Channels.
    pub c: u16,
}

impl Shape {
    /// Pixels, `h * w`.
    pub const fn positions(&self) -> usize {
        self.h as usize * self.w as usize
    }

    /// Elements, `h * w * c`.
    pub const fn elements(&self) -> usize {
        self.positions() * self.c as usize
    }
}

/// A sliding window: kernel size, stride, dilation, and the padding before the first row and column.
/// Padding after the last ones follows from the output's shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Window {
    /// Kernel height and width.
    pub kernel: [u16; 2],
    /// Vertical and horizontal stride.
    pub stride: [u16; 2],
    /// Padding above and to the left.
    pub pad: [u16; 2],
    /// Distance between kernel positions, vertical and horizontal; 1 where they are neighbours.
    pub dilation: [u16; 2],
}

impl Window {
    /// Kernel positions, `kh * kw`.
    pub const fn taps(&self) -> usize {
        self.kernel[0] as usize * self.kernel[1] as usize
    }

    /// Pixels that the window spans along `axis` (0: vertical).
    pub const fn span(&self, axis: usize) -> u64 {
        (self.kernel[axis] as u64).saturating_sub(1) * self.dilation[axis] as u64 + 1
    }
}

/// Shapes of a windowed op: input `x`, output `y`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Geometry {
    /// Input shape.
    pub x: Shape,
    /// Output shape.
    pub y: Shape,
    /// The window that maps one to the other.
    pub window: Window,
}

/// How a tensor is laid over another of `[pixels][channels]`: the distance between its elements for
/// neighbouring pixels and channels, 0 where it is broadcast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Steps {
    /// From pixel to pixel: 0, 1 or the number of channels.
    pub pixel: u16,
    /// From channel to channel: 0 or 1.
    pub channel: u16,
}

/// Which elements of one tensor go where in another: five nested loops, the last innermost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Path {
    /// Turns of each loop, at least 1.
    pub size: [u16; 5],
    /// Where the first element comes from.
    pub from_at: u32,
    /// How far each loop moves where elements come from; 0 repeats them.
    pub from: [i32; 5],
    /// Where the first element goes to.
    pub to_at: u32,
    /// How far each loop moves where elements go to.
    pub to: [i32; 5],
}

/// Whether loops, each of so many turns and that step, meet every element once at most, as digits of
/// a number do: each step is larger than all smaller ones reach together.
fn are_distinct<const N: usize>(size: &[u16; N], step: [u32; N]) -> bool {
    let moving = |&k: &usize| size[k] > 1;
    (0..N).filter(moving).all(|k| {
        let smaller = (0..N).filter(moving).filter(|&j| j != k && step[j] <= step[k]);
        let reach = smaller.map(|j| (u64::from(size[j]) - 1) * u64::from(step[j]));
        u64::from(step[k]) > reach.sum::<u64>()
    })
}

impl Path {
    /// Copies of one element up to which their errors, 12 bits below their step, add up in 31 bits.
    const MOST_COPIES: u64 = 1 << 12;

    /// Turns of the loops that repeat elements, and of those that do not.
    fn turns(&self) -> [[u16; 5]; 2] {
        let (mut repeat, mut walk) = (self.size, self.size);
        for (k, &step) in self.from.iter().enumerate() {
            let other = if step == 0 { &mut walk } else { &mut repeat };
            other[k] = 1;
        }
        [repeat, walk]
    }

    /// Whether no place is written twice.
    pub fn is_distinct(&self) -> bool {
        are_distinct(&self.size, self.to.map(i32::unsigned_abs))
    }

    /// Whether errors can be brought back along it: no place is written twice, and an element that
    /// goes to several places does so by loops that repeat it, forwards and not too often.
    pub fn is_reversible(&self) -> bool {
        let [repeat, walk] = self.turns();
        let copies = repeat.iter().fold(1u64, |all, &n| all.saturating_mul(n.into()));
        let once = are_distinct(&walk, self.from.map(i32::unsigned_abs));
        let forwards = (0..5).all(|k| repeat[k] == 1 || self.to[k] >= 0);
        self.is_distinct() && once && forwards && copies <= Path::MOST_COPIES
    }
}

/// Four nested loops over two tensors a and b, whose products are summed into a third:
/// `y[..] += a[..] b[..]`. As a matrix product they are batch, row, column and inner; the loops by
/// which y is not indexed are summed.
///
/// Steps say how each tensor lies in memory, so that a transposed or split one needs no copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Contraction {
    /// Turns of each loop, at least 1.
    pub size: [u16; 4],
    /// How the first factor lies.
    pub a: Strides,
    /// How the second factor lies.
    pub b: Strides,
    /// How the sum lies.
    pub y: Strides,
}

/// Where the elements of a tensor lie that the loops of a [`Contraction`] meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Strides {
    /// The first of them.
    pub at: u32,
    /// How far each loop moves; 0 where it does not index the tensor.
    pub step: [u32; 4],
}

impl Strides {
    /// Place of the last element that loops of so many turns meet; cannot overflow.
    pub fn last(&self, size: [u16; 4]) -> u64 {
        let moved = |(&n, &step): (&u16, &u32)| (u64::from(n).max(1) - 1) * u64::from(step);
        u64::from(self.at) + size.iter().zip(&self.step).map(moved).sum::<u64>()
    }

    /// Whether loop `k`, of so many turns, moves along the tensor.
    pub fn moves(&self, size: [u16; 4], k: usize) -> bool {
        size[k] > 1 && self.step[k] > 0
    }

    /// Elements that the loops meet, each counted once, where they [`Strides::are_distinct`].
    pub fn elements(&self, size: [u16; 4]) -> u64 {
        let turns = |k: usize| if self.moves(size, k) { u64::from(size[k]) } else { 1 };
        (0..4).map(turns).product()
    }

    /// Whether the loops that move along the tensor meet every element once at most.
    pub fn are_distinct(&self, size: [u16; 4]) -> bool {
        let mut moving = size;
        for (n, &step) in moving.iter_mut().zip(&self.step) {
            *n = if step > 0 { *n } else { 1 };
        }
        are_distinct(&moving, self.step)
    }
}

/// How a trained weight is held in state memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Precision {
    /// int16 `m` in 8.8 fixed point; the weight used is `(m + 128) >> 8`. 2 bytes a weight.
    #[default]
    Residual,
    /// int8 code of the difference from the frozen weight, updated with stochastic rounding:
    /// `kernels/companded.rs` has what codes stand for. 1 byte a weight.
    Stochastic,
    /// int8 code of a number whose sign the weight takes, updated as `Stochastic`; its magnitude is that of the
    /// frozen weight: `kernels/signs.rs`. 1 byte a weight in state memory, 1 bit where it is stored.
    Sign,
    /// As `Residual`, of single weights: `selected` holds their places in the matrix, u32 each.
    Picked,
}

impl Precision {
    /// Bytes a trained weight takes in state memory.
    pub const fn bytes(self) -> usize {
        match self {
            Precision::Residual | Precision::Picked => 2,
            Precision::Stochastic | Precision::Sign => 1,
        }
    }

    /// Whether updates draw random numbers.
    pub const fn draws(self) -> bool {
        matches!(self, Precision::Stochastic | Precision::Sign)
    }
}

/// A weight matrix: frozen int8 rows in constant memory, some of whose channels are overlaid by
/// trained ones in state memory.
///
/// A row has `taps * channels` elements, channel innermost. Trained channels are named by
/// `selected` (u16 each); `latent` holds `[rows][taps][selected]` in the given precision, or only the weights that
/// are picked: residual ones
/// stand in their place, stochastic ones are added to them, signs replace theirs.
/// Nothing is trained where `latent` is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Weights {
    /// int8 `[rows][taps][channels]`, constant.
    pub frozen: Slot,
    /// Trained part, state; empty where all is frozen.
    pub latent: Slot,
    /// u16 indices of the trained channels, or u32 places of single weights, ascending, constant; empty where all
    /// is frozen.
    pub selected: Slot,
    /// Rows: output channels, or kernel positions of a depthwise convolution.
    pub rows: u16,
    /// Kernel positions a row holds (1 for a depthwise convolution).
    pub taps: u16,
    /// Channels a kernel position holds.
    pub channels: u16,
    /// How `latent` is held.
    pub precision: Precision,
}

/// Per-channel requantisation tables, constant: i32 Q31 multipliers and i8 shifts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ChannelScale {
    /// i32 `[channels]`.
    pub multiplier: Slot,
    /// i8 `[channels]`: positive is left, as [`crate::fixed::Multiplier::shift`].
    pub shift: Slot,
}

/// Zero point of an int8 output and the range it is clamped to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Range {
    /// Zero point.
    pub zero: i16,
    /// Least value.
    pub min: i8,
    /// Greatest value.
    pub max: i8,
}

/// An error tensor: int8 data and the tracker of its power-of-two exponent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Error {
    /// int8 elements, arena.
    pub data: Slot,
    /// 8 bytes of state: f32 running amplitude, i32 exponent in force. Empty: [`LOSS_EXPONENT`].
    pub tracker: Slot,
}

impl Error {
    pub(super) fn read(&mut self, f: &mut dyn FnMut(Access, &mut Slot)) {
        f(Access::Read, &mut self.data);
        f(Access::Read, &mut self.tracker);
    }

    pub(super) fn write(&mut self, f: &mut dyn FnMut(Access, &mut Slot)) {
        f(Access::Write, &mut self.data);
        f(Access::Update, &mut self.tracker);
    }
}

impl Weights {
    pub(super) fn read(&mut self, f: &mut dyn FnMut(Access, &mut Slot)) {
        f(Access::Read, &mut self.frozen);
        f(Access::Read, &mut self.latent);
        f(Access::Read, &mut self.selected);
    }

    pub(super) fn update(&mut self, f: &mut dyn FnMut(Access, &mut Slot)) {
        f(Access::Update, &mut self.latent);
        f(Access::Read, &mut self.selected);
    }
}

impl ChannelScale {
    pub(super) fn read(&mut self, f: &mut dyn FnMut(Access, &mut Slot)) {
        f(Access::Read, &mut self.multiplier);
        f(Access::Read, &mut self.shift);
    }
}
