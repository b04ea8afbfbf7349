//! The range to which an activation clamps what its op computes.

use super::OutputType;
use crate::ir::{Attributes, DType};

/// Least and greatest value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clamp {
    /// Of an int8 tensor, in its steps.
    Steps([i8; 2]),
    /// Of a tensor of real numbers; infinite where it has no bound.
    Real([f32; 2]),
}

impl Clamp {
    /// `attributes` with `clamp` among them, where there is one.
    pub fn write(clamp: Option<Clamp>, attributes: Attributes) -> Attributes {
        match clamp {
            None => attributes,
            Some(Clamp::Steps(range)) => attributes.with("clamp", range.map(i64::from)),
            Some(Clamp::Real(range)) => attributes.with_real("range", range),
        }
    }

    /// The clamp that attributes describe, if any.
    ///
    /// # Errors
    /// Values that are no range.
    pub fn read(attributes: &Attributes) -> Result<Option<Clamp>, String> {
        match attributes.find("clamp")? {
            Some(range) => Ok(Some(Clamp::Steps(range))),
            None => Ok(attributes.find_real("range")?.map(Clamp::Real)),
        }
    }

    /// The outputs of an op that clamps an activation of type `dtype`: of an int8 one a mask may be
    /// kept.
    ///
    /// # Errors
    /// Where the range is not given as the type has it.
    pub fn outputs(
        clamp: Option<Clamp>,
        dtype: DType,
        shape: Vec<usize>,
    ) -> Result<Vec<OutputType>, String> {
        match (clamp, dtype) {
            (None, _) | (Some(Clamp::Real(_)), DType::F32) => Ok(vec![(dtype, shape)]),
            (Some(Clamp::Steps(_)), DType::I8) => {
                Ok(vec![(dtype, shape.clone()), (DType::Bit, shape)])
            }
            (Some(clamp), _) => Err(format!("{clamp:?} is no range of {} values", dtype.name())),
        }
    }
}
