//! The training application on the Raspberry Pi Pico.
#![no_std]
#![no_main]

use hal::clocks::{init_clocks_and_plls, Clock};
use hal::fugit::RateExtU32;
use hal::gpio::Pins;
use hal::uart::{DataBits, StopBits, UartConfig, UartPeripheral};
use hal::{pac, Sio, Watchdog};
use offshoot_model::{Guard, Model};
use offshoot_support_probe::{serve, stop};
use rp2040_hal as hal;
use static_cell::ConstStaticCell;

/// What the boot ROM runs first: it sets up the flash.
#[link_section = ".boot2"]
#[no_mangle]
#[used]
pub static BOOT2_FIRMWARE: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;

/// Of the board's crystal.
const CRYSTAL_HZ: u32 = 12_000_000;

/// All zeros, so that it lies in .bss and costs no flash.
static MODEL: ConstStaticCell<Model> = ConstStaticCell::new(Model::new());
static GUARD: ConstStaticCell<Guard> = ConstStaticCell::new(Guard::new());

#[cortex_m_rt::entry]
fn main() -> ! {
    let (Some(mut chip), Some(core)) = (pac::Peripherals::take(), cortex_m::Peripherals::take())
    else {
        stop("started twice")
    };
    let mut watchdog = Watchdog::new(chip.WATCHDOG);
    let clocks = init_clocks_and_plls(
        CRYSTAL_HZ,
        chip.XOSC,
        chip.CLOCKS,
        chip.PLL_SYS,
        chip.PLL_USB,
        &mut chip.RESETS,
        &mut watchdog,
    );
    let Ok(clocks) = clocks else { stop("the clocks do not start") };
    let sio = Sio::new(chip.SIO);
    let pins = Pins::new(chip.IO_BANK0, chip.PADS_BANK0, sio.gpio_bank0, &mut chip.RESETS);
    let pins = (pins.gpio0.into_function(), pins.gpio1.into_function());
    let config = UartConfig::new(115_200.Hz(), DataBits::Eight, None, StopBits::One);
    let uart = UartPeripheral::new(chip.UART0, pins, &mut chip.RESETS);
    let Ok(link) = uart.enable(config, clocks.peripheral_clock.freq()) else {
        stop("the clock does not allow the link's speed")
    };
    serve("raspberry-pi-pico", MODEL.take(), GUARD.take(), core.SYST, link)
}
