use crate::program::op::*;
use crate::{Fault, Machine};
impl SoftmaxCrossEntropy {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl HeadInputGrad {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl ConvInputGrad {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl DepthwiseInputGrad {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl PoolInputGrad {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl SumGrad {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
