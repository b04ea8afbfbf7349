//! The training application on Nordic's nRF52840 DK.
#![no_std]
#![no_main]

use embassy_futures::block_on;
use embassy_nrf::buffered_uarte::{self, BufferedUarte, InterruptHandler};
use embassy_nrf::config::{Config, HfclkSource};
use embassy_nrf::nvmc::Nvmc;
use embassy_nrf::{bind_interrupts, peripherals, uarte};
use embedded_io::{ErrorType, Read, Write};
use offshoot_model::{Guard, Model};
use offshoot_support_probe::{serve_with_checkpoints, stop, Checkpoints};
use static_cell::ConstStaticCell;

bind_interrupts!(struct Interrupts {
    UARTE0 => InterruptHandler<peripherals::UARTE0>;
});

/// All zeros, so that it lies in .bss and costs no flash.
static MODEL: ConstStaticCell<Model> = ConstStaticCell::new(Model::new());
static GUARD: ConstStaticCell<Guard> = ConstStaticCell::new(Guard::new());
static SENT: ConstStaticCell<[u8; 64]> = ConstStaticCell::new([0; 64]);
static RECEIVED: ConstStaticCell<[u8; 64]> = ConstStaticCell::new([0; 64]);

/// The link; its driver receives while nobody waits.
struct Link(BufferedUarte<'static>);

impl ErrorType for Link {
    type Error = buffered_uarte::Error;
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, buffered_uarte::Error> {
        block_on(self.0.read(buffer))
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, buffered_uarte::Error> {
        block_on(self.0.write(bytes))
    }

    fn flush(&mut self) -> Result<(), buffered_uarte::Error> {
        block_on(self.0.flush())
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut config = Config::default();
    // The speed of the link needs the crystal.
    config.hfclk_source = HfclkSource::ExternalXtal;
    let chip = embassy_nrf::init(config);
    let Some(core) = cortex_m::Peripherals::take() else { stop("started twice") };
    let link = BufferedUarte::new(
        chip.UARTE0,
        chip.TIMER0,
        chip.PPI_CH0,
        chip.PPI_CH1,
        chip.PPI_GROUP0,
        chip.P0_08,
        chip.P0_06,
        Interrupts,
        uarte::Config::default(),
        RECEIVED.take(),
        SENT.take(),
    );
    let checkpoints = Checkpoints {
        flash: Nvmc::new(chip.NVMC),
        offset: @CHECKPOINTS_OFFSET@,
        bytes: @CHECKPOINTS_BYTES@,
        endurance: @CHECKPOINTS_ENDURANCE@,
    };
    serve_with_checkpoints("nrf52840-dk", MODEL.take(), GUARD.take(), core.SYST, Link(link), checkpoints)
}
