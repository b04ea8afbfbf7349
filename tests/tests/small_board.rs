//! MCUNet trains on a part with 128 KiB of SRAM: its image is linked for the STM32F405 of
//! `netduinoplus2`, and takes the simulator's steps there.

use std::path::Path;

use offshoot::pipeline::Compiled;
use offshoot_simulator::{Memories, Round, Simulation};
use offshoot_tests::boards::{build, start};
use offshoot_tests::cases::{Case, MCUNET, MCUNET_49KB};

const STEPS: usize = 5;

fn mcunet_49kb() -> Case {
    Case { name: "mcunet-49kb-stochastic", classes: Some(10), ..MCUNET }
}

fn compiled(case: &Case) -> Compiled {
    case.compile(Some(&format!("stochastic,{MCUNET_49KB}")))
}

/// The same for chips that nothing emulates: images link, or say that they do not fit.
#[test]
#[ignore = "needs a cross compiler: cargo xtask test"]
fn mcunet_links_for_chips_whose_memory_it_fits() {
    let case = mcunet_49kb();
    if !case.is_there() {
        return;
    }
    let compiled = compiled(&case);
    // Where the second is true, no flash is kept for checkpoints.
    for (name, alone, fits) in [
        ("nrf52840-dk", false, true),
        ("stm32f746g-disco", true, true),
        ("stm32f746g-disco", false, false),
        ("nucleo-f411re", true, false),
    ] {
        let mut board = offshoot_boards::find(name).unwrap();
        if alone {
            board = board.without_checkpoints();
        }
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
        match (fits, build(&compiled, &board, temporary, case.name)) {
            (true, Ok(built)) => {
                let sizes = built.sizes;
                println!("{name}: SRAM without stack {}, flash {}", sizes.sram(), sizes.flash());
                assert!(sizes.sram() + board.stack_bytes <= board.sram_bytes().unwrap());
                assert!(sizes.flash() <= board.flash_bytes().unwrap());
            }
            // 512 KiB of flash are too few.
            (false, Err(error)) => assert!(error.to_string().contains("'FLASH'"), "{error}"),
            (_, outcome) => panic!("{name}: {outcome:?}"),
        }
    }
}

#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn mcunet_trains_in_128_kib() {
    let case = mcunet_49kb();
    if !case.is_there() {
        return;
    }
    let compiled = compiled(&case);
    let data = case.samples(&compiled).train;
    let board = offshoot_boards::find("netduinoplus2").unwrap();
    let sram = board.sram_bytes().unwrap();
    assert_eq!(sram, 128 * 1024);
    let program = compiled.program.program();
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories).unwrap();
    let mut device =
        start(&compiled, &board, Path::new(env!("CARGO_TARGET_TMPDIR")), case.name, true);
    let round = Round { seed: 7, ..Round::new(5e-3, data.len(), STEPS) };
    let (mut instructions, mut hash) = (0, 0);
    for (index, rate) in round.steps() {
        let (sample, label) = (data.input(index), data.label(index));
        let expected = simulation.train(index, sample, label, rate).unwrap();
        let stepped = device.client.train(sample, label, rate).unwrap();
        assert_eq!(stepped.report(), expected);
        assert_eq!(stepped.state_hash, simulation.state_hash());
        assert_ne!(stepped.state_hash, hash, "every step must change the state");
        (instructions, hash) = (stepped.count, stepped.state_hash);
    }
    let stack = u64::from(device.client.stats().unwrap().stack.unwrap().used);
    let sizes = device.sizes;
    let total = sizes.sram() + stack;
    println!(
        "data {} + bss {} + painted stack {stack} = {total} of {sram} B of SRAM; flash {} B; \
         {STEPS} steps equal, {instructions} instructions the last; state {hash:016x}",
        sizes.data,
        sizes.bss,
        sizes.flash()
    );
    assert!(total <= sram);
}
