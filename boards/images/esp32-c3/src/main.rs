//! The training application on Espressif's ESP32-C3.
#![no_std]
#![no_main]

use core::cell::RefCell;
use defmt_rtt as _;
use embassy_embedded_hal::flash::partition::BlockingPartition;
use embassy_sync::blocking_mutex::{raw::NoopRawMutex, Mutex};
use esp_hal::clock::CpuClock;
use esp_hal::timer::systimer::{SystemTimer, Unit};
use esp_hal::usb::usb_serial_jtag::UsbSerialJtag;
use esp_hal::Config;
use esp_storage::FlashStorage;
use offshoot_firmware::store::Storage;
use offshoot_firmware::{serve, Board, Counter, Line, Stack};
use offshoot_model::{Guard, Model};
use offshoot_support_riscv::{paint_stack, stack};
use static_cell::ConstStaticCell;

esp_bootloader_esp_idf::esp_app_desc!();

/// What is kept of the flash, from its first byte.
const CHECKPOINTS_OFFSET: u32 = @CHECKPOINTS_OFFSET@;
const CHECKPOINTS_BYTES: u32 = @CHECKPOINTS_BYTES@;
/// Cycles of the core, at 160 MHz, in one of the system timer, at 16 MHz: both come from one crystal.
const CYCLES_PER_TICK: u64 = 10;

/// All zeros, so that it lies in .bss and costs no flash.
static MODEL: ConstStaticCell<Model> = ConstStaticCell::new(Model::new());
static GUARD: ConstStaticCell<Guard> = ConstStaticCell::new(Guard::new());

struct Esp32C3<'f> {
    checkpoints: Option<BlockingPartition<'f, NoopRawMutex, FlashStorage<'static>>>,
}

impl Board for Esp32C3<'_> {
    fn name(&self) -> &str {
        "esp32-c3"
    }

    fn counter(&self) -> Counter {
        Counter::Cycles
    }

    fn count(&mut self) -> u64 {
        SystemTimer::unit_value(Unit::Unit0) * CYCLES_PER_TICK
    }

    fn stack(&mut self) -> Option<Stack> {
        let (used, size) = stack();
        Some(Stack { used, size })
    }

    fn flash(&mut self) -> Option<Storage<'_>> {
        let flash = self.checkpoints.as_mut()?;
        Some(Storage { flash, endurance: @CHECKPOINTS_ENDURANCE@ })
    }
}

#[esp_hal::main]
fn main() -> ! {
    paint_stack();
    let chip = esp_hal::init(Config::default().with_cpu_clock(CpuClock::_160MHz));
    let link = UsbSerialJtag::new(chip.USB_DEVICE);
    let flash = Mutex::new(RefCell::new(FlashStorage::new(chip.FLASH)));
    let part = || BlockingPartition::new(&flash, CHECKPOINTS_OFFSET, CHECKPOINTS_BYTES);
    let board = Esp32C3 { checkpoints: (CHECKPOINTS_BYTES > 0).then(part) };
    defmt::info!("up; stack {=u32} bytes", stack().1);
    match serve(MODEL.take(), GUARD.take(), board, Line(link)) {
        Ok(()) => stop("the link ended"),
        Err(never) => match never {},
    }
}

/// Logs why and stops the core.
fn stop(why: &str) -> ! {
    defmt::error!("stopped: {=str}", why);
    loop {}
}

/// The HAL's handler of exceptions comes here too.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    stop("panic")
}
