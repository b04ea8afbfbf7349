//! MCUNet under the 49KB scheme as a linked image: SRAM by part, that it is what the report says, and
//! that it stays as small as it is.

use std::path::Path;

use offshoot::adapt::HeadStart;
use offshoot::bank::Banked;
use offshoot::fit::{advise, Limits, Sizes};
use offshoot::guard::Guarded;
use offshoot::import::import;
use offshoot::pipeline::{compile_in, Input, Layout};
use offshoot::report::Report;
use offshoot::scheme::Scheme;
use offshoot_tests::boards::start;
use offshoot_tests::cases::{Case, MCUNET};

/// data + bss + painted stack of the published engine's firmware for this network and scheme with
/// 10 classes, in bytes.
const RIVAL: u64 = 253_340;

/// Most bytes of flash of an image.
const FLASH: u64 = 640 * 1024;

#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn mcunet_49kb_fits_and_the_report_says_so() {
    fits(&Case { name: "mcunet-49kb-10", classes: Some(10), ..MCUNET }, Input::Whole, 120_000);
}

/// With a byte a trained weight, and samples that come in rows.
#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn mcunet_49kb_in_rows_fits_80_kb() {
    let scheme = "biases=20,24:1/4,27:1/2,30:1/2,stochastic";
    let case = Case { name: "mcunet-49kb-rows", classes: Some(10), scheme, ..MCUNET };
    fits(&case, Input::Rows, 80_000);
}

/// Where a sample in rows is all that it takes, that is advised, and true.
#[test]
fn rows_are_advised_where_they_are_enough() {
    let Some(path) = MCUNET.model_path() else { return };
    let (graph, start) = (import(&path).unwrap(), HeadStart::Zero { classes: 10 });
    let scheme = Scheme::from_short("biases=20,24:1/4,27:1/2,30:1/2,stochastic").unwrap();
    let sizes = |input| {
        let layout = Layout { input, ..Layout::default() };
        Sizes::of(&compile_in(&graph, start, &scheme, layout).unwrap()).unwrap()
    };
    let [whole, rows] = [Input::Whole, Input::Rows].map(sizes);
    println!("whole {} B, in rows {} B", whole.sram, rows.sram);
    assert!(rows.sram < whole.sram);
    let limits = Limits { sram: rows.sram, flash: u64::MAX };
    let advice = advise(&graph, start, &scheme, Layout::default(), whole, limits, &[]);
    assert_eq!(advice.rows, Some(rows));
    assert!(advice.to_string().contains("--input-rows"), "{advice}");
}

/// Links `case`, trains a few steps on the M4, and holds what it takes against the report and `most`
/// bytes of SRAM.
fn fits(case: &Case, input: Input, most: u64) {
    if !case.is_there() {
        return;
    }
    let compiled = case.compile_in(None, Layout { input, ..Layout::default() });
    let data = MCUNET.samples(&compiled);
    let board = offshoot_boards::find("qemu-mps2-an386").unwrap();
    let mut device =
        start(&compiled, &board, Path::new(env!("CARGO_TARGET_TMPDIR")), case.name, true);
    let mut instructions = 0;
    for index in 0..3 {
        instructions = device
            .client
            .train(data.train.input(index), data.train.label(index), 5e-3)
            .unwrap()
            .count;
    }
    let forward = device.client.infer(data.test.input(0)).unwrap().count;
    let stack = u64::from(device.client.stats().unwrap().stack.unwrap().used);
    let sizes = device.sizes;
    let total = sizes.data + sizes.bss + stack;
    let report = Report::new(
        &compiled,
        &board.name,
        Limits::of(&board),
        Guarded::default(),
        Banked::default(),
    )
    .unwrap();
    let sram = report.sram;
    println!(
        "arena {} + trainable {} + scratch {} = {}",
        sram.arena, sram.trainable, sram.scratch, sram.total
    );
    println!(
        "linked: data {} + bss {} + painted stack {stack} = {total} B; published engine {RIVAL} B",
        sizes.data, sizes.bss
    );
    println!(
        "flash: text {} + rodata {} + data = {} B; {instructions} instructions a step, {forward} of them forward",
        sizes.text,
        sizes.rodata,
        sizes.flash()
    );
    assert!(total <= most && sizes.flash() <= FLASH);
    // What is said of flash before there is an image holds of it, and is not far off.
    let said = report.flash.total as u64 + report.flash.code;
    println!("flash as the report has it: {said} B with what is allowed for code");
    assert!(sizes.flash() <= said && said - sizes.flash() < 24 * 1024);
    // What the image adds to the program's own memories: the link's buffers and the log's.
    let rest = sizes.data + sizes.bss - u64::from(sram.total);
    assert!(rest < 4096, "the image has {rest} B of SRAM that the report does not know");
}
