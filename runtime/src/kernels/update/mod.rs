use crate::program::op::*;
use crate::{Fault, Machine};
impl HeadUpdate {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl BiasUpdate {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl ConvUpdate {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl DepthwiseUpdate {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
