use crate::program::op::*;
use crate::{Fault, Machine};
impl Conv {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl Depthwise {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl Add {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl AvgPool {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl PoolMean {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl Requantize {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl Softmax {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl Head {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
impl SaveChannels {
    pub fn run(&self, _m: &mut Machine<'_>) -> Result<(), Fault> {
        Err(Fault::NotTrainable)
    }
}
