//! The training application on an emulated STM32F205.
#![no_std]
#![no_main]

use offshoot_model::{Guard, Model};
use offshoot_support_netduino::serve;
use static_cell::ConstStaticCell;

/// All zeros, so that it lies in .bss and costs no flash.
static MODEL: ConstStaticCell<Model> = ConstStaticCell::new(Model::new());
static GUARD: ConstStaticCell<Guard> = ConstStaticCell::new(Guard::new());

#[cortex_m_rt::entry]
fn main() -> ! {
    serve("netduino2", 120, MODEL.take(), GUARD.take())
}
