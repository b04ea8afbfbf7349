//! Room for trained weights to grow.
//!
//! The largest weight of a row defines its scale and lies at an end of the int8 range, where
//! training could only shrink it. Rows that are trained get a coarser scale, so that their largest
//! trained weight has part of the range before it.

use super::own;
use crate::ir::{Data, Graph, Node, Quant};
use crate::lower::DEGENERATE_SCALE;

/// Largest int8 magnitude of a trained weight before training, 5/8 of the range: so few weights come to an
/// end of it in 100,000 steps (of MCUNet's with the 49KB scheme 0.05 %, of stochastic ones 0.07 %; from 102,
/// 0.5 % and 0.8 %) that a device can go on learning.
const LARGEST: f64 = 80.0;

/// Re-quantises the rows of a convolution's weights `[O,kh,kw,I]` whose largest trained weight is
/// above [`LARGEST`], and their biases `[O]`, which count steps of input scale times weight scale.
/// Degenerate rows stay: they are never updated.
pub(super) fn give_room(graph: &mut Graph, node: &Node, depthwise: bool) {
    let Some(weights) = own(graph, node, 1) else { return };
    let tensor = graph.tensor(weights);
    let (Some(Data::I8(old)), Some(trained)) = (tensor.data.clone(), tensor.trained.clone()) else {
        return;
    };
    let (rows, channels) = (tensor.shape[0], tensor.shape[3]);
    let row = (old.len() / rows.max(1)).max(1);
    let degenerate: Vec<bool> =
        (0..rows).map(|o| f64::from(tensor.scale_of(o)) < DEGENERATE_SCALE).collect();
    let grows = |at: usize| {
        let channel = if depthwise { at / row } else { at % channels };
        let selected = trained.channels.as_ref();
        let is_trained = selected.is_none_or(|s| s.binary_search(&(channel as u16)).is_ok());
        is_trained && !degenerate[at / row]
    };
    let mut shrink = vec![1.0f64; rows];
    for (at, &q) in old.iter().enumerate().filter(|&(at, _)| grows(at)) {
        let factor = &mut shrink[at / row];
        *factor = factor.min(LARGEST / f64::from(q).abs());
    }
    if shrink.iter().all(|&factor| factor == 1.0) {
        return;
    }
    let Some(bias) = own(graph, node, 2) else { return };
    let round = |value: f64| value.round_ties_even();
    let narrowed = old.iter().enumerate().map(|(at, &q)| round(f64::from(q) * shrink[at / row]));
    let narrowed = Data::I8(narrowed.map(|q| q as i8).collect::<Vec<_>>().into());
    let biases = graph.tensor(bias).data.iter().flat_map(Data::iter).zip(&shrink);
    let biases = Data::I32(biases.map(|(b, s)| round(b * s) as i32).collect::<Vec<_>>().into());
    for (id, data) in [(weights, narrowed), (bias, biases)] {
        let tensor = graph.tensor_mut(id);
        let scales = (0..rows).map(|o| (f64::from(tensor.scale_of(o)) / shrink[o]) as f32);
        tensor.quant = Some(Quant::per_axis(scales.collect(), 0));
        tensor.data = Some(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{parse, TensorId};

    /// One convolution of three rows and two channels, the second of which is trained.
    const NET: &str = r#"graph "net" source 0x1f
%0 "x" i8[1,1,1,2] scale 0.5 zero 0
%1 "w" i8[3,1,1,2] scale [0.5,0.25,1e-7] axis 0 zero 0 trained stochastic channels [1] data [51,-127,127,79,3,127]
%2 "b" i32[3] scale [0.25,0.125,5e-8] axis 0 zero 0 data [-1270,40,9]
%3 "y" i8[1,1,1,3] scale 1 zero 0
"conv" conv2d %0 %1 %2 -> %3 {kernel [1,1], stride [1,1], pad [0,0,0,0], groups [1], clamp [-128,127]}
input %0
output %3
"#;

    fn values(graph: &Graph, constant: TensorId) -> Vec<f64> {
        graph.tensor(constant).data.iter().flat_map(Data::iter).collect()
    }

    #[test]
    fn rows_whose_trained_weights_lie_at_an_end_get_a_coarser_scale() {
        let mut graph = parse(NET).unwrap();
        let conv = graph.nodes().next().unwrap().1.clone();
        let [w, b] = [conv.inputs[1], conv.inputs[2]];
        give_room(&mut graph, &conv, false);
        // -127 becomes -80; the second row's 127 is not trained, the third row is degenerate.
        assert_eq!(values(&graph, w), [32.0, -80.0, 127.0, 79.0, 3.0, 127.0]);
        assert_eq!(values(&graph, b), [-800.0, 40.0, 9.0]);
        let coarser = 127.0 / 80.0;
        for (constant, fine) in [(w, [0.5, 0.25, 1e-7]), (b, [0.25, 0.125, 5e-8])] {
            let scales = &graph.tensor(constant).quant.as_ref().unwrap().scale;
            let expected = [(fine[0] * coarser) as f32, fine[1] as f32, fine[2] as f32];
            assert_eq!(scales, &expected);
        }
    }
}
