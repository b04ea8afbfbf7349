//! The training application on ST's Nucleo-F411RE.
#![no_std]
#![no_main]

use embassy_stm32::flash::Flash;
use embassy_stm32::rcc::{APBPrescaler, Pll, PllMul, PllPDiv, PllPreDiv, PllSource, Sysclk};
use embassy_stm32::usart::{self, BufferedInterruptHandler, BufferedUart};
use embassy_stm32::{bind_interrupts, peripherals, Config};
use offshoot_model::{Guard, Model};
use offshoot_support_probe::{serve_with_checkpoints, stop, Checkpoints};
use static_cell::ConstStaticCell;

bind_interrupts!(struct Interrupts {
    USART2 => BufferedInterruptHandler<peripherals::USART2>;
});

/// All zeros, so that it lies in .bss and costs no flash.
static MODEL: ConstStaticCell<Model> = ConstStaticCell::new(Model::new());
static GUARD: ConstStaticCell<Guard> = ConstStaticCell::new(Guard::new());
static SENT: ConstStaticCell<[u8; 64]> = ConstStaticCell::new([0; 64]);
static RECEIVED: ConstStaticCell<[u8; 64]> = ConstStaticCell::new([0; 64]);

/// 100 MHz from the internal oscillator of 16 MHz.
fn clocks() -> Config {
    let mut config = Config::default();
    config.rcc.hsi = true;
    config.rcc.pll_src = PllSource::HSI;
    config.rcc.pll = Some(Pll {
        prediv: PllPreDiv::DIV8,
        mul: PllMul::MUL100,
        divp: Some(PllPDiv::DIV2),
        divq: None,
        divr: None,
    });
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.apb1_pre = APBPrescaler::DIV2;
    config
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let chip = embassy_stm32::init(clocks());
    let Some(core) = cortex_m::Peripherals::take() else { stop("started twice") };
    let (received, sent) = (RECEIVED.take(), SENT.take());
    let config = usart::Config::default();
    let link =
        BufferedUart::new(chip.USART2, chip.PA3, chip.PA2, sent, received, Interrupts, config);
    let Ok(link) = link else { stop("the clock does not allow the link's speed") };
    let checkpoints = Checkpoints {
        flash: Flash::new_blocking(chip.FLASH),
        offset: @CHECKPOINTS_OFFSET@,
        bytes: @CHECKPOINTS_BYTES@,
        endurance: @CHECKPOINTS_ENDURANCE@,
    };
    serve_with_checkpoints("nucleo-f411re", MODEL.take(), GUARD.take(), core.SYST, link, checkpoints)
}
