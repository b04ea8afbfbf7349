//! The end of a requantising kernel, eight channels at a time.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_add_epi64, _mm256_and_si256, _mm256_blend_epi32,
    _mm256_blendv_epi8, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_cmpgt_epi32,
    _mm256_cmpgt_epi64, _mm256_cvtsi256_si32, _mm256_extract_epi32, _mm256_max_epi32,
    _mm256_min_epi32, _mm256_movemask_ps, _mm256_mul_epi32, _mm256_packs_epi16, _mm256_packs_epi32,
    _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_slli_epi64,
    _mm256_sllv_epi64, _mm256_srav_epi32, _mm256_srli_epi32, _mm256_srli_epi64, _mm256_srlv_epi64,
    _mm256_sub_epi32, _mm256_sub_epi64, _mm256_xor_si256,
};

use super::{load32, saturating_add, store32};
use crate::fixed::Multiplier;
use crate::kernels::forward::Output;
use crate::kernels::scales::Scales;

/// What eight channels add to their sums, and what they multiply them by. Channels beyond the last
/// have zeros.
#[derive(Clone, Copy, Debug)]
pub struct Channels {
    first: usize,
    count: usize,
    bias: [i32; 8],
    value: [i32; 8],
    shift: [i32; 8],
    /// Bits that are shifted out.
    right: [i32; 8],
    lost: [i32; 8],
    /// Whether no channel shifts left and no multiplier is negative: the vector path.
    plain: bool,
}

impl Channels {
    /// The channels from `first` on, eight or as many as there are.
    pub fn new(first: usize, bias: &[i32], scales: &Scales<'_>) -> Channels {
        let zeros = [0; 8];
        let mut channels = Channels {
            first,
            count: bias.len().saturating_sub(first).min(8),
            bias: zeros,
            value: zeros,
            shift: zeros,
            right: zeros,
            lost: zeros,
            plain: true,
        };
        let parameters = bias.iter().skip(first).zip(scales.from(first)).take(8);
        for (n, (&bias, Multiplier { value, shift })) in parameters.enumerate() {
            channels.bias[n] = bias;
            channels.value[n] = value;
            channels.shift[n] = shift;
            channels.plain &= value >= 0 && shift <= 0;
            let right = (-shift).clamp(0, 31);
            channels.right[n] = right;
            channels.lost[n] = ((1u32 << right) - 1) as i32;
        }
        channels
    }

    /// One multiplier for all, and no bias.
    pub fn uniform(scale: Multiplier) -> Channels {
        let one = Scales { multiplier: &[scale.value; 8], shift: &[scale.shift as i8; 8] };
        Channels::new(0, &[0; 8], &one)
    }

    /// [`Multiplier::scale`] of each lane.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn scaled(&self, x: __m256i) -> __m256i {
        if self.plain {
            self.scale(x)
        } else {
            self.scale_each(x)
        }
    }

    /// Scales sums and stores them as the channels of the pixel whose first element is `pixel`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn put(&self, y: &mut Output<'_>, pixel: usize, sums: __m256i) {
        let sums = saturating_add(sums, load32(&self.bias));
        let scaled = self.scaled(sums);
        // Far beyond any bound, and yet where the zero point cannot overflow.
        let far = _mm256_set1_epi32(1 << 24);
        let near = _mm256_min_epi32(scaled, far);
        let near = _mm256_max_epi32(near, _mm256_sub_epi32(_mm256_setzero_si256(), far));
        let value = _mm256_add_epi32(near, _mm256_set1_epi32(y.zero));
        let kept = _mm256_max_epi32(value, _mm256_set1_epi32(y.min));
        let kept = _mm256_min_epi32(kept, _mm256_set1_epi32(y.max));
        let at = pixel + self.first;
        let bytes = narrow(kept);
        if let Some(to) = y.y.get_mut(at..at + self.count) {
            match to.first_chunk_mut::<8>() {
                Some(to) => *to = bytes,
                None => to.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte),
            }
        }
        if !y.mask.is_empty() {
            let same = _mm256_castsi256_ps(_mm256_cmpeq_epi32(kept, value));
            let bits = _mm256_movemask_ps(same) as u32 & ((1 << self.count) - 1);
            let bits = bits << (at % 8);
            for (byte, bits) in y.mask.iter_mut().skip(at / 8).zip([bits as u8, (bits >> 8) as u8])
            {
                *byte |= bits;
            }
        }
    }

    /// [`Multiplier::scale`] of each lane, without the cases that `plain` excludes.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn scale(&self, x: __m256i) -> __m256i {
        let value = load32(&self.value);
        let half = _mm256_set1_epi64x(1 << 30);
        let even = _mm256_add_epi64(_mm256_mul_epi32(x, value), half);
        let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(x), _mm256_srli_epi64::<32>(value));
        let odd = _mm256_add_epi64(odd, half);
        let even = _mm256_srli_epi64::<31>(even);
        let high = _mm256_blend_epi32::<0xAA>(even, _mm256_slli_epi64::<1>(odd));
        let lost = load32(&self.lost);
        let negative = _mm256_cmpgt_epi32(_mm256_setzero_si256(), high);
        let half = _mm256_sub_epi32(_mm256_srli_epi32::<1>(lost), negative);
        let above = _mm256_cmpgt_epi32(_mm256_and_si256(high, lost), half);
        _mm256_sub_epi32(_mm256_srav_epi32(high, load32(&self.right)), above)
    }

    #[target_feature(enable = "avx2")]
    fn scale_each(&self, x: __m256i) -> __m256i {
        let mut lanes = [0; 8];
        store32(x, &mut lanes);
        for ((x, &value), &shift) in lanes.iter_mut().zip(&self.value).zip(&self.shift) {
            *x = Multiplier { value, shift }.scale(*x);
        }
        load32(&lanes)
    }
}

/// Multipliers of eight channels, for one rounding.
#[derive(Clone, Copy, Debug)]
pub struct Wide {
    value: [i32; 8],
    shift: [i32; 8],
    /// How far products are shifted down, as 64-bit lanes see it.
    right: [u32; 8],
    /// Whether all shifts are to the right, by 1 to 62.
    plain: bool,
}

impl Wide {
    /// The channels from `first` on, eight or as many as there are.
    pub fn new(first: usize, scales: &Scales<'_>) -> Wide {
        let mut wide = Wide { value: [0; 8], shift: [0; 8], right: [31; 8], plain: true };
        for (n, Multiplier { value, shift }) in scales.from(first).take(8).enumerate() {
            wide.value[n] = value;
            wide.shift[n] = shift;
            wide.right[n] = (31 - shift) as u32;
            wide.plain &= (1..=62).contains(&(31 - shift));
        }
        wide
    }

    /// [`Multiplier::scale_wide`] of each lane, in whole units.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn scale(&self, x: __m256i) -> __m256i {
        if !self.plain {
            let mut lanes = [0; 8];
            store32(x, &mut lanes);
            for ((x, &value), &shift) in lanes.iter_mut().zip(&self.value).zip(&self.shift) {
                *x = Multiplier { value, shift }.scale_wide(*x, 0);
            }
            return load32(&lanes);
        }
        let (value, right) = (load32(&self.value), load32(&self.right.map(|right| right as i32)));
        let even = _mm256_mul_epi32(x, value);
        let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(x), _mm256_srli_epi64::<32>(value));
        let low = _mm256_set1_epi64x(0xFFFF_FFFF);
        let even = round64(even, _mm256_and_si256(right, low));
        let odd = round64(odd, _mm256_srli_epi64::<32>(right));
        _mm256_blend_epi32::<0xAA>(even, _mm256_slli_epi64::<32>(odd))
    }
}

/// `round(x / 2^right)` of 64-bit lanes, half away from zero, saturated to 32 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn round64(x: __m256i, right: __m256i) -> __m256i {
    let zero = _mm256_setzero_si256();
    let one = _mm256_set1_epi64x(1);
    let half = _mm256_sllv_epi64(one, _mm256_sub_epi64(right, one));
    let x = _mm256_add_epi64(_mm256_add_epi64(x, half), _mm256_cmpgt_epi64(zero, x));
    // An arithmetic shift, which AVX2 has not: of the complement where negative.
    let sign = _mm256_cmpgt_epi64(zero, x);
    let x = _mm256_xor_si256(_mm256_srlv_epi64(_mm256_xor_si256(x, sign), right), sign);
    let (most, least) = (_mm256_set1_epi64x(i32::MAX.into()), _mm256_set1_epi64x(i32::MIN.into()));
    let x = _mm256_blendv_epi8(x, most, _mm256_cmpgt_epi64(x, most));
    _mm256_blendv_epi8(x, least, _mm256_cmpgt_epi64(least, x))
}

/// Eight numbers that fit int8.
#[inline]
#[target_feature(enable = "avx2")]
pub fn narrow(v: __m256i) -> [i8; 8] {
    let words = _mm256_packs_epi32(v, v);
    let bytes = _mm256_packs_epi16(words, words);
    let low = _mm256_cvtsi256_si32(bytes) as u32;
    let high = _mm256_extract_epi32::<4>(bytes) as u32;
    (u64::from(low) | u64::from(high) << 32).to_le_bytes().map(|byte| byte as i8)
}
