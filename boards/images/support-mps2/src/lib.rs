//! What the images for Arm's MPS2 and MPS3 share: where UARTs and spare memory of each machine lie, and
//! how they work.
//!
//! QEMU with `-icount shift=0` lets one instruction take 1 ns; SysTick counts at the board's clock,
//! so that a tick is some number of instructions, the same in every run.
#![no_std]

mod psram;
mod uart;

pub use offshoot_support_cortex_m::{stack, Ticks};
pub use offshoot_support_emulator::stop;
pub use psram::Psram;
pub use uart::Uart;

/// One of the machines, as far as it differs from the others.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Address of the link's UART.
    link: usize,
    /// The interrupt of its receiver.
    received: u16,
    /// Address of the log's UART.
    log: usize,
    /// Clock of UARTs and SysTick, in Hz.
    clock_hz: u32,
    /// Address and bytes of memory that no image is linked into, where there is some.
    spare: Option<(usize, usize)>,
}

impl Machine {
    /// MPS2 with one of the FPGA images AN385, AN386 and AN500, without its spare memory.
    pub const MPS2: Machine = Machine {
        link: 0x4000_4000,
        received: 0,
        log: 0x4000_5000,
        clock_hz: 25_000_000,
        spare: None,
    };
    /// MPS2 with AN385 or AN386.
    pub const MPS2_PSRAM: Machine = Machine { spare: Some((0x2100_0000, 16 << 20)), ..Machine::MPS2 };
    /// MPS2+ with AN505, seen from the secure side.
    pub const AN505: Machine = Machine {
        link: 0x5020_0000,
        received: 32,
        log: 0x5020_1000,
        clock_hz: 20_000_000,
        spare: None,
    };
    /// MPS3 with AN547, seen from the secure side.
    pub const AN547: Machine = Machine {
        link: 0x5930_3000,
        received: 33,
        log: 0x5930_4000,
        clock_hz: 32_000_000,
        spare: None,
    };

    /// Instructions that `ticks` of SysTick stand for, at 1 ns each: 4 ticks are whole ones on all.
    pub const fn instructions(&self, ticks: u64) -> u64 {
        ticks * (4_000_000_000 / self.clock_hz as u64) / 4
    }
}

/// The parts of the board that an image uses.
pub struct Parts {
    /// The link.
    pub uart: Uart,
    /// The clock.
    pub ticks: Ticks,
    /// The spare memory, where there is some.
    pub psram: Option<Psram>,
}

/// Sets the board up; `None` the second time.
pub fn start(machine: Machine) -> Option<Parts> {
    let core = cortex_m::Peripherals::take()?;
    uart::start_log(machine);
    offshoot_support_emulator::log_to(uart::log);
    Some(Parts {
        uart: Uart::new(machine, core.NVIC),
        ticks: Ticks::new(core.SYST),
        psram: machine.spare.map(|(base, bytes)| Psram::at(base, bytes)),
    })
}
