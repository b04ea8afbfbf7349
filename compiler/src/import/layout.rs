//! Where the elements of an activation are: the file's dimensions in terms of memory.
//!
//! In the IR an activation is always `[1, height, width, channels]`. The file sees it through a
//! [`View`]: each of the file's dimensions is a run of [`Axis`], the slowest first, and an axis is a
//! number of elements at equal distances in memory. Axes of size 1 take no part and neighbours that
//! follow each other in memory are one, so that equal views are equal values: a transpose or a
//! reshape is another view of the same tensor, and a flattened map remembers in which order it was
//! flattened.

use super::error::Problem;

/// Elements at equal distances in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// How many.
    pub size: usize,
    /// Distance between neighbours, in elements.
    pub step: usize,
}

/// A run of axes, the slowest first, without those of size 1, neighbours joined where they can be.
pub type Run = Vec<Axis>;

/// How the file sees an activation.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Height, width and channels in memory.
    pub size: [usize; 3],
    /// The axes that make up each of the file's dimensions; none where it is 1.
    pub dims: Vec<Run>,
}

/// Which of the file's dimensions make up height, width and channels.
pub type Arrangement = [Vec<usize>; 3];

impl View {
    /// The dimensions of `shape` laid into memory as `arrangement` says.
    pub fn arranged(shape: &[usize], arrangement: &Arrangement) -> View {
        let mut view = View { size: [1; 3], dims: vec![Vec::new(); shape.len()] };
        let mut step = 1;
        for (size, dims) in view.size.iter_mut().zip(arrangement).rev() {
            for &dim in dims.iter().rev() {
                view.dims[dim] = normal(&[Axis { size: shape[dim], step }]);
                *size *= shape[dim];
                step *= shape[dim];
            }
        }
        view
    }

    /// A map as ONNX has it: batch, channels, height, width; of rank 3, batch, channels, length,
    /// which is its width.
    pub fn map([h, w, c]: [usize; 3], rank: usize) -> View {
        let shape = if rank == 3 { vec![1, c, w] } else { vec![1, c, h, w] };
        View::arranged(&shape, &channels_first(rank))
    }

    /// Channels alone, as the last of `rank` dimensions.
    pub fn row(channels: usize, rank: usize) -> View {
        let mut shape = vec![1; rank.max(1)];
        shape[rank.max(1) - 1] = channels;
        View::arranged(&shape, &in_order(rank.max(1)))
    }

    /// The file's dimensions.
    pub fn shape(&self) -> Vec<usize> {
        self.dims.iter().map(|run| run.iter().map(|axis| axis.size).product()).collect()
    }

    /// Elements.
    pub fn elements(&self) -> usize {
        self.size.iter().product()
    }

    /// The channels, as a run.
    pub fn channels(&self) -> Run {
        normal(&[Axis { size: self.size[2], step: 1 }])
    }

    /// With the file's dimensions in the order of `perm`, a permutation of them.
    pub fn transpose(&self, perm: &[usize]) -> View {
        View { size: self.size, dims: perm.iter().map(|&p| self.dims[p].clone()).collect() }
    }

    /// With the file's dimensions regrouped to `shape`; none where no view of the same memory does it.
    pub fn reshape(&self, shape: &[usize]) -> Option<View> {
        let mut rest = normal(&self.dims.concat());
        rest.reverse();
        let mut dims = Vec::with_capacity(shape.len());
        for &size in shape {
            dims.push(normal(&take(&mut rest, size)?));
        }
        rest.is_empty().then_some(View { size: self.size, dims })
    }
}

/// Takes axes from the end of `rest`, splitting the last of them, until they are `size` elements.
pub fn take(rest: &mut Run, size: usize) -> Option<Run> {
    let (mut run, mut missing) = (Vec::new(), size);
    while missing > 1 {
        let axis = rest.pop()?;
        if missing.is_multiple_of(axis.size) {
            run.push(axis);
            missing /= axis.size;
        } else if axis.size.is_multiple_of(missing) {
            let inner = axis.size / missing;
            run.push(Axis { size: missing, step: axis.step * inner });
            rest.push(Axis { size: inner, step: axis.step });
            missing = 1;
        } else {
            return None;
        }
    }
    (missing == 1).then_some(run)
}

/// Without axes of size 1, and with neighbours joined where one continues the other.
pub fn normal(axes: &[Axis]) -> Run {
    let mut run: Run = Vec::with_capacity(axes.len());
    for &axis in axes.iter().filter(|axis| axis.size != 1) {
        match run.last_mut() {
            Some(last) if last.step == axis.step * axis.size => {
                *last = Axis { size: last.size * axis.size, step: axis.step };
            }
            _ => run.push(axis),
        }
    }
    run
}

/// Where each element of a run lies, in its order.
pub fn offsets(run: &[Axis]) -> Vec<usize> {
    run.iter().fold(vec![0], |offsets, axis| {
        let step = |from: usize| (0..axis.size).map(move |n| from + n * axis.step);
        offsets.into_iter().flat_map(step).collect()
    })
}

/// The dimension behind the batch as channels, the last as width, all others as height.
pub fn channels_first(rank: usize) -> Arrangement {
    match rank {
        0 | 1 => in_order(rank),
        2 => [vec![0], vec![], vec![1]],
        _ => [(0..rank - 1).filter(|&dim| dim != 1).collect(), vec![rank - 1], vec![1]],
    }
}

/// The last dimension as channels, the one before it as width, all others as height.
pub fn in_order(rank: usize) -> Arrangement {
    let dim = |from_end: usize| rank.checked_sub(from_end).into_iter().collect();
    [(0..rank.saturating_sub(2)).collect(), dim(2), dim(1)]
}

impl std::fmt::Display for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.shape())
    }
}

/// The shape that a `Reshape` to `target` gives a tensor of `shape`. `batch` is the file's batch,
/// which counts as 1.
///
/// # Errors
/// Where the target does not fit.
pub fn reshape_target(
    shape: &[usize],
    target: &[i64],
    batch: i64,
    zero_is_size: bool,
) -> Result<Vec<usize>, Problem> {
    let misfit = || {
        Problem::Other(format!(
            "cannot reshape {shape:?} to {target:?}; export the network with a batch of 1 and fixed shapes"
        ))
    };
    let total = product(shape).ok_or_else(misfit)?;
    let mut sizes = Vec::with_capacity(target.len());
    let mut inferred = None;
    for (index, &size) in target.iter().enumerate() {
        sizes.push(match size {
            -1 if inferred.is_none() => {
                inferred = Some(index);
                1
            }
            0 if !zero_is_size => *shape.get(index).ok_or_else(misfit)?,
            _ if index == 0 && size == batch => 1,
            _ => usize::try_from(size).ok().filter(|&s| s > 0).ok_or_else(misfit)?,
        });
    }
    let known = product(&sizes).ok_or_else(misfit)?;
    if let Some(index) = inferred {
        if known == 0 || total % known != 0 {
            return Err(misfit());
        }
        sizes[index] = total / known;
    } else if known != total {
        return Err(misfit());
    }
    Ok(sizes)
}

/// The product of sizes, where it can be held.
pub fn product(sizes: &[usize]) -> Option<usize> {
    sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size))
}

/// An axis as ONNX counts it, negative from the end, in `0..rank`.
pub fn resolve_axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let from_start = if axis < 0 { axis.checked_add(rank)? } else { axis };
    (0..rank).contains(&from_start).then_some(from_start as usize)
}

/// Checks a permutation of `rank` axes; the default reverses them.
///
/// # Errors
/// Where it is none.
pub fn permutation(perm: Option<&[i64]>, rank: usize) -> Result<Vec<usize>, Problem> {
    let Some(perm) = perm else { return Ok((0..rank).rev().collect()) };
    let mut seen = vec![false; rank];
    let mut order = Vec::with_capacity(rank);
    for &p in perm {
        let index = usize::try_from(p).ok().filter(|&p| p < rank && !seen[p]);
        let Some(index) = index else { break };
        seen[index] = true;
        order.push(index);
    }
    if order.len() == rank && perm.len() == rank {
        Ok(order)
    } else {
        Err(Problem::Attribute {
            name: "perm",
            value: format!("{perm:?}"),
            supported: "it must name every dimension of its input once",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshapes_split_and_join() {
        let map = View::map([4, 5, 6], 4);
        assert_eq!(map.shape(), [1, 6, 4, 5]);
        // Height and width follow each other in memory, channels do not.
        let flat = map.reshape(&[6, 20]).unwrap();
        assert_eq!(flat.dims, [vec![Axis { size: 6, step: 1 }], vec![Axis { size: 20, step: 6 }]]);
        assert_eq!(flat.reshape(&[1, 6, 4, 5]), Some(map.clone()));
        let groups = map.reshape(&[1, 2, 3, 20]).unwrap().transpose(&[0, 2, 1, 3]);
        let shuffled = groups.reshape(&[1, 6, 4, 5]).unwrap();
        assert_eq!(offsets(&shuffled.dims[1]), [0, 3, 1, 4, 2, 5]);
        assert_eq!(map.reshape(&[9, 15]), None);
        assert_eq!(map.reshape(&[6, 19]), None);
    }

    #[test]
    fn arrangements() {
        let nhwc = View::arranged(&[1, 4, 5, 6], &in_order(4));
        assert_eq!(nhwc.size, [4, 5, 6]);
        assert_eq!(View::map([4, 5, 6], 4).transpose(&[0, 2, 3, 1]), nhwc);
        // In the file's order, any other sizes are a view.
        assert_eq!(nhwc.reshape(&[8, 15]).map(|v| v.shape()), Some(vec![8, 15]));
        assert_eq!(View::arranged(&[2, 3], &in_order(2)).size, [1, 2, 3]);
        assert_eq!(View::arranged(&[7], &in_order(1)).size, [1, 1, 7]);
        assert_eq!(View::map([1, 5, 6], 3), View::arranged(&[1, 6, 5], &channels_first(3)));
        assert_eq!(View::row(7, 2).dims, [vec![], vec![Axis { size: 7, step: 1 }]]);
    }
}
