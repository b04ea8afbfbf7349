//! The training application on an emulated RISC-V core.
#![no_std]
#![no_main]

mod uart;

use offshoot_firmware::{serve, Board, Counter, Stack};
use offshoot_model::{Guard, Model};
use offshoot_support_emulator::{log_to, stop, write_to_host};
use offshoot_support_riscv::{paint_stack, stack};
use riscv::register::{mepc, minstret};
use static_cell::ConstStaticCell;
use uart::Uart;

/// All zeros, so that it lies in .bss and costs no flash.
static MODEL: ConstStaticCell<Model> = ConstStaticCell::new(Model::new());
static GUARD: ConstStaticCell<Guard> = ConstStaticCell::new(Guard::new());

struct Virt;

impl Board for Virt {
    fn name(&self) -> &str {
        "qemu-riscv32-virt"
    }

    fn counter(&self) -> Counter {
        Counter::Instructions
    }

    fn count(&mut self) -> u64 {
        minstret::read64()
    }

    fn stack(&mut self) -> Option<Stack> {
        let (used, size) = stack();
        Some(Stack { used, size })
    }
}

#[riscv_rt::entry]
fn main() -> ! {
    paint_stack();
    log_to(write_to_host);
    defmt::info!("up; stack {=u32} bytes", stack().1);
    match serve(MODEL.take(), GUARD.take(), Virt, Uart::new()) {
        Ok(()) => stop("the link ended"),
        Err(never) => match never {},
    }
}

/// riscv-rt calls this by its name.
#[export_name = "ExceptionHandler"]
fn exception(_frame: &riscv_rt::TrapFrame) -> ! {
    defmt::error!("exception at {=usize:x}", mepc::read());
    stop("exception")
}
