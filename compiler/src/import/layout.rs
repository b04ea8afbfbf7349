//! Where the axes of an activation are: the file's dimensions in terms of height, width and
//! channels of the tensor in memory.
//!
//! In the IR an activation is always `[1, height, width, channels]`. The file sees it through a
//! [`View`]: each of the file's dimensions is a run of those axes, the slowest first. Axes of size
//! 1 take no part, so that reshapes that only add or drop them need no thought, and a flattened
//! map remembers in which order it was flattened.

use super::error::Problem;

/// An axis of an activation in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Height.
    H,
    /// Width.
    W,
    /// Channels.
    C,
}

/// All axes, in the order of memory.
pub const AXES: [Axis; 3] = [Axis::H, Axis::W, Axis::C];

/// How the file sees an activation.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Height, width and channels in memory.
    pub size: [usize; 3],
    /// The axes that make up each of the file's dimensions; none where it is 1.
    pub dims: Vec<Vec<Axis>>,
}

impl View {
    /// A map as ONNX has it: batch, channels, height, width; of rank 3, batch, channels, length,
    /// which is its width.
    pub fn map(size: [usize; 3], rank: usize) -> View {
        let order: &[Axis] =
            if rank == 3 { &[Axis::C, Axis::W] } else { &[Axis::C, Axis::H, Axis::W] };
        let mut view = View { size, dims: vec![Vec::new()] };
        for &axis in order {
            view.dims.push(view.run(&[axis]));
        }
        view
    }

    /// Channels alone, as the last of `rank` dimensions.
    pub fn row(channels: usize, rank: usize) -> View {
        let mut view = View { size: [1, 1, channels], dims: vec![Vec::new(); rank.max(1)] };
        let channels = view.run(&[Axis::C]);
        if let Some(last) = view.dims.last_mut() {
            *last = channels;
        }
        view
    }

    /// Size of an axis.
    pub fn len(&self, axis: Axis) -> usize {
        self.size[axis as usize]
    }

    /// `axes` without those of size 1.
    pub fn run(&self, axes: &[Axis]) -> Vec<Axis> {
        axes.iter().copied().filter(|&a| self.len(a) != 1).collect()
    }

    /// The file's dimensions.
    pub fn shape(&self) -> Vec<usize> {
        self.dims.iter().map(|d| d.iter().map(|&a| self.len(a)).product()).collect()
    }

    /// Checks that the file sees a map, `[1, channels, height, width]` or `[1, channels, length]`.
    ///
    /// # Errors
    /// Where it sees something else.
    pub fn expect_map(&self, tensor: &str) -> Result<[usize; 3], Problem> {
        let rank = self.dims.len();
        if rank != 3 && rank != 4 {
            let expected =
                "4 dimensions: batch, channels, height, width (or 3: batch, channels, length)"
                    .into();
            return Err(Problem::Shape { tensor: tensor.into(), shape: self.shape(), expected });
        }
        let long = rank == 4 || self.len(Axis::H) == 1;
        if long && self.dims == View::map(self.size, rank).dims {
            Ok(self.size)
        } else {
            let expected = "[batch, channels, height, width] or [batch, channels, length]";
            Err(Problem::Layout { layout: self.to_string(), expected })
        }
    }

    /// With the file's dimensions in the order of `perm`, a permutation of them.
    pub fn transpose(&self, perm: &[usize]) -> View {
        View { size: self.size, dims: perm.iter().map(|&p| self.dims[p].clone()).collect() }
    }

    /// With the file's dimensions regrouped to `shape`.
    ///
    /// # Errors
    /// Where an axis would have to be split.
    pub fn reshape(&self, shape: &[usize]) -> Result<View, Problem> {
        let mut axes = self.dims.iter().flatten().copied().peekable();
        let mut dims = Vec::with_capacity(shape.len());
        let split = || Problem::Layout {
            layout: self.to_string(),
            expected: "a reshape that joins whole axes (channels, height or width) and splits none",
        };
        for &size in shape {
            let (mut run, mut product) = (Vec::new(), 1usize);
            while product < size {
                let axis = axes.next().ok_or_else(split)?;
                product = product.saturating_mul(self.len(axis));
                run.push(axis);
            }
            if product != size {
                return Err(split());
            }
            dims.push(run);
        }
        if axes.next().is_some() {
            return Err(split());
        }
        Ok(View { size: self.size, dims })
    }

    /// Where element `(h, w, c)` lies along a dimension made of `run`.
    pub fn position(&self, run: &[Axis], at: [usize; 3]) -> usize {
        run.iter().fold(0, |index, &axis| index * self.len(axis) + at[axis as usize])
    }
}

impl std::fmt::Display for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |axis: &Axis| match axis {
            Axis::H => format!("height {}", self.len(Axis::H)),
            Axis::W => format!("width {}", self.len(Axis::W)),
            Axis::C => format!("channels {}", self.len(Axis::C)),
        };
        let dim = |run: &Vec<Axis>| {
            if run.is_empty() {
                "1".to_string()
            } else {
                run.iter().map(name).collect::<Vec<_>>().join(" x ")
            }
        };
        write!(f, "[{}]", self.dims.iter().map(dim).collect::<Vec<_>>().join(", "))
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
