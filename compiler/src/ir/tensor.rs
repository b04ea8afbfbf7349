//! Typed tensors: shape, element type, quantisation, and data where they are constant.

use std::collections::BTreeSet;
use std::sync::Arc;

use offshoot_runtime::program::op::Precision;

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// Quantised activation or weight.
    I8,
    /// Fixed-point features and latent weights.
    I16,
    /// Biases and logits.
    I32,
    /// Real numbers: activations and constants of a network that is not quantised yet.
    F32,
    /// Clamp mask, one bit an element.
    Bit,
    /// int8 error tensor: gradient of the loss with a power-of-two scale found at run time.
    Error,
    /// int32 gradient of a parameter, streamed row by row into its update, never stored.
    Stream,
}

impl DType {
    /// Its name in text.
    pub fn name(self) -> &'static str {
        match self {
            DType::I8 => "i8",
            DType::I16 => "i16",
            DType::I32 => "i32",
            DType::F32 => "f32",
            DType::Bit => "bit",
            DType::Error => "err",
            DType::Stream => "stream",
        }
    }

    /// The type that text names.
    pub fn from_name(name: &str) -> Option<DType> {
        use DType::{Bit, Error, Stream, F32, I16, I32, I8};
        [I8, I16, I32, F32, Bit, Error, Stream].into_iter().find(|t| t.name() == name)
    }

    /// Bytes that `elements` of it take in memory.
    pub fn bytes(self, elements: usize) -> usize {
        match self {
            DType::I8 | DType::Error => elements,
            DType::I16 => elements * 2,
            DType::I32 | DType::F32 => elements * 4,
            DType::Bit => elements.div_ceil(8),
            DType::Stream => 0,
        }
    }
}

/// Affine quantisation: `real = scale * (q - zero)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Quant {
    /// One scale, or one for each index of `axis`.
    pub scale: Vec<f32>,
    /// Zero point; 0 for weights and biases.
    pub zero: i32,
    /// The axis that `scale` runs along, where it holds more than one.
    pub axis: usize,
}

impl Quant {
    /// One scale for the whole tensor.
    pub fn per_tensor(scale: f32, zero: i32) -> Quant {
        Quant { scale: vec![scale], zero, axis: 0 }
    }

    /// One scale for each index of `axis`, zero point 0.
    pub fn per_axis(scale: Vec<f32>, axis: usize) -> Quant {
        Quant { scale, zero: 0, axis }
    }

    /// Scale of index `channel` of the axis.
    pub fn scale_of(&self, channel: usize) -> f32 {
        if self.scale.len() == 1 {
            self.scale[0]
        } else {
            self.scale[channel]
        }
    }
}

/// Elements of a constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// int8.
    I8(Arc<Vec<i8>>),
    /// int16.
    I16(Arc<Vec<i16>>),
    /// int32.
    I32(Arc<Vec<i32>>),
    /// float32.
    F32(Arc<Vec<f32>>),
}

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::I8(v) => v.len(),
            Data::I16(v) => v.len(),
            Data::I32(v) => v.len(),
            Data::F32(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their type.
    pub fn dtype(&self) -> DType {
        match self {
            Data::I8(_) => DType::I8,
            Data::I16(_) => DType::I16,
            Data::I32(_) => DType::I32,
            Data::F32(_) => DType::F32,
        }
    }

    /// Element `index`: a number of steps, or the real number itself.
    pub fn get(&self, index: usize) -> f64 {
        match self {
            Data::I8(v) => v[index].into(),
            Data::I16(v) => v[index].into(),
            Data::I32(v) => v[index].into(),
            Data::F32(v) => v[index].into(),
        }
    }

    /// Elements in another order, or some of them.
    pub fn pick(&self, order: impl Iterator<Item = usize>) -> Data {
        match self {
            Data::I8(v) => Data::I8(Arc::new(order.map(|i| v[i]).collect())),
            Data::I16(v) => Data::I16(Arc::new(order.map(|i| v[i]).collect())),
            Data::I32(v) => Data::I32(Arc::new(order.map(|i| v[i]).collect())),
            Data::F32(v) => Data::F32(Arc::new(order.map(|i| v[i]).collect())),
        }
    }

    /// All elements, as [`Data::get`] gives them.
    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.len()).map(|i| self.get(i))
    }

    /// The elements as little-endian bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Data::I8(v) => v.iter().map(|&x| x as u8).collect(),
            Data::I16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }
}

/// That a constant is trained, and which part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// How trained weights are held (biases are always int32).
    pub precision: Precision,
    /// Trained channels of a convolution's input (of a depthwise convolution: its channels),
    /// ascending; `None` trains all of the tensor. With picks, the channels that they lie in.
    pub channels: Option<Vec<u16>>,
    /// What its update heeds beside the gradient.
    pub rule: Rule,
    /// Its rate, as a multiple of that of all; the head's is 1.
    pub pace: f32,
    /// With [`Precision::Picked`] the places of the weights that are trained, ascending; else none.
    pub picks: Vec<u32>,
}

impl Trained {
    /// Some channels, or all, by the gradient alone.
    pub fn plain(precision: Precision, channels: Option<Vec<u16>>) -> Trained {
        Trained { precision, channels, rule: Rule::Plain, pace: 1.0, picks: Vec::new() }
    }

    /// Single weights of a matrix of so many `channels`, at places that ascend.
    pub fn picked(picks: Vec<u32>, channels: usize) -> Trained {
        let of: BTreeSet<u16> = picks.iter().map(|&at| (at as usize % channels) as u16).collect();
        let some = (of.len() < channels).then(|| of.into_iter().collect());
        Trained { picks, ..Trained::plain(Precision::Picked, some) }
    }
}

/// What an update heeds beside the gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Rule {
    /// Nothing.
    #[default]
    Plain,
    /// How far a row has gone: its rate is that of all over `sqrt(norm / size + 1 / most^2)`, with the norm of
    /// what it differs by from what it began as, in real units.
    Normed {
        /// The norm that counts as 1.
        size: f32,
        /// Factor of the rate of a row that is as it began.
        most: f32,
    },
    /// Scalar products of rows, or of columns, which are to be those of orthonormal vectors: a step down
    /// `strength / 4 ||G / size^2 - I||^2` follows that of the gradient.
    Orthonormal {
        /// Norm that the vectors are to have.
        size: f32,
        /// How strong it is.
        strength: f32,
        /// Whether columns are meant.
        columns: bool,
    },
}

/// A tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Name in the source model, or made from it.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions; activations are NHWC with N = 1.
    pub shape: Vec<usize>,
    /// Quantisation, where elements stand for real numbers.
    pub quant: Option<Quant>,
    /// Elements of a constant.
    pub data: Option<Data>,
    /// Set where a constant is trained.
    pub trained: Option<Trained>,
    /// Set where a constant is never trained: the steps of a recurrent layer share it, and what one of
    /// them would learn is not what the others would.
    pub frozen: bool,
    /// Set where it is a constant of an [adapter](crate::adapter): no update scheme names it.
    pub adapter: bool,
}

impl Tensor {
    /// A tensor that a node computes, or the input.
    pub fn computed(name: impl Into<String>, dtype: DType, shape: Vec<usize>) -> Tensor {
        let name = name.into();
        Tensor {
            name,
            dtype,
            shape,
            quant: None,
            data: None,
            trained: None,
            frozen: false,
            adapter: false,
        }
    }

    /// A constant.
    pub fn constant(
        name: impl Into<String>,
        shape: Vec<usize>,
        data: Data,
        quant: Quant,
    ) -> Tensor {
        let tensor = Tensor::computed(name, data.dtype(), shape);
        Tensor { quant: Some(quant), data: Some(data), ..tensor }
    }

    /// A constant of real numbers.
    pub fn real(name: impl Into<String>, shape: Vec<usize>, data: Data) -> Tensor {
        let tensor = Tensor::computed(name, data.dtype(), shape);
        Tensor { data: Some(data), ..tensor }
    }

    /// With quantisation.
    pub fn quantized(mut self, quant: Quant) -> Tensor {
        self.quant = Some(quant);
        self
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.dtype.bytes(self.elements())
    }

    /// Elements of the trained part, biases included.
    pub fn trained_elements(&self) -> usize {
        match &self.trained {
            None => 0,
            Some(Trained { precision: Precision::Picked, picks, .. }) => picks.len(),
            Some(Trained { channels: None, .. }) => self.elements(),
            Some(Trained { channels: Some(c), .. }) => {
                self.elements() / self.channel_axis_len().max(1) * c.len()
            }
        }
    }

    /// Places of the single weights that are trained; none where channels are.
    pub fn picks(&self) -> &[u32] {
        self.trained.as_ref().map_or(&[], |t| &t.picks)
    }

    /// Length of the axis that [`Trained::channels`] selects from: the input channels of a
    /// convolution's weights `[O, kh, kw, I]`, or the channels of a depthwise one `[C, kh, kw, 1]`.
    pub fn channel_axis_len(&self) -> usize {
        match self.shape.as_slice() {
            [c, _, _, 1] => *c,
            [.., i] => *i,
            [] => 0,
        }
    }

    /// Real value of one step along `channel` of the quantisation axis; 1 without quantisation.
    pub fn scale_of(&self, channel: usize) -> f32 {
        self.quant.as_ref().map_or(1.0, |q| q.scale_of(channel))
    }

    /// Elements of a constant as real numbers: of weights and biases, whose scales go with the first axis.
    pub fn reals(&self) -> impl Iterator<Item = f64> + '_ {
        let row = (self.elements() / self.shape[0].max(1)).max(1);
        let steps = self.data.iter().flat_map(Data::iter).enumerate();
        steps.map(move |(at, q)| q * f64::from(self.scale_of(at / row)))
    }

    /// Zero point; 0 without quantisation.
    pub fn zero(&self) -> i32 {
        self.quant.as_ref().map_or(0, |q| q.zero)
    }
}
