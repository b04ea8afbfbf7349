//! Ops that write over what they read.

use super::{is_buffer, touches, Touch};
use crate::lower::{root, Holds, Lowered, Within};
use crate::schedule::live::peak;

/// Parts that ties are divided into to find those that matter.
const PARTS: usize = 64;

/// An output that takes the place of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tie {
    input: usize,
    output: usize,
}

/// `lowered` with those outputs in the place of an input that lower the most live bytes so.
pub(super) fn in_place(lowered: &Lowered) -> Lowered {
    let (mut ties, bare) = (ties(lowered), lowered.bare());
    let least = peak(&tied(&bare, &ties));
    if least == peak(&bare) {
        return lowered.clone();
    }
    // Reading ahead of what is written takes time: those that do not matter stay apart.
    let mut part = ties.len().div_ceil(PARTS);
    while part > 0 {
        for tried in ties.clone().chunks(part) {
            let others: Vec<Tie> = ties.iter().copied().filter(|t| !tried.contains(t)).collect();
            if peak(&tied(&bare, &others)) == least {
                ties = others;
            }
        }
        part = if part > 1 && ties.len() <= PARTS { 1 } else { 0 };
    }
    tied(lowered, &ties)
}

fn tied(lowered: &Lowered, ties: &[Tie]) -> Lowered {
    let mut tied = lowered.clone();
    for tie in ties {
        tied.buffers[tie.output].within =
            Some(Within { buffer: tie.input as u32, at: 0, holds: Holds::Own });
    }
    tied
}

/// All outputs that may take the place of an input.
fn ties(lowered: &Lowered) -> Vec<Tie> {
    let buffers = &lowered.buffers;
    let touched: Vec<Vec<Touch>> = lowered.ops.iter().map(|op| touches(op, buffers)).collect();
    let mut last = vec![0; buffers.len()];
    for (index, touches) in touched.iter().enumerate() {
        touches.iter().for_each(|touch| last[touch.root] = index);
    }
    let prediction = &lowered.header.output;
    if is_buffer(prediction) {
        last[root(buffers, prediction.start()).0] = usize::MAX;
    }
    let mut ties: Vec<Tie> = Vec::new();
    for (index, op) in lowered.ops.iter().enumerate() {
        let Some(over) = op.in_place().filter(|over| is_buffer(&over.output)) else { continue };
        let output = over.output.start();
        let dies = |input: usize| {
            let once = touched[index].iter().filter(|touch| touch.root == input).count() == 1;
            once && last[input] == index && buffers[input].within.is_none()
        };
        let fits = |input: usize| input < output && buffers[input].bytes == buffers[output].bytes;
        let inputs = over.inputs.iter().filter(|slot| is_buffer(slot)).map(|slot| slot.start());
        let input = inputs.into_iter().find(|&input| dies(input) && fits(input));
        if let Some(input) = input.filter(|_| buffers[output].within.is_none()) {
            ties.push(Tie { input, output });
        }
    }
    ties
}
