//! What int8 inference costs, apart from training in 8 bits: activations of the float reference
//! are rounded to what the integer network can hold.

use offshoot::ir::{DType, Tensor};

/// Rounds the values of an int8 tensor to its steps, and stops them at the ends of its range; leaves
/// others alone.
pub fn rounded(tensor: &Tensor, values: &mut [f32]) {
    if tensor.dtype != DType::I8 {
        return;
    }
    let (scale, zero) = (tensor.scale_of(0), tensor.zero() as f32);
    for v in values {
        *v = scale * ((*v / scale).round().clamp(-128.0 - zero, 127.0 - zero));
    }
}

#[cfg(test)]
mod tests {
    use offshoot::ir::Quant;

    use super::*;

    #[test]
    fn int8_holds_what_is_left() {
        let quant = Quant::per_tensor(0.5, -10);
        let tensor = Tensor::computed("x", DType::I8, vec![1, 1, 1, 4]);
        let tensor = Tensor { quant: Some(quant), ..tensor };
        let mut values = [0.3, -0.2, 100.0, -100.0];
        rounded(&tensor, &mut values);
        assert_eq!(values, [0.5, 0.0, 68.5, -59.0]);
    }
}
