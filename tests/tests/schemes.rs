//! The update schemes in `schemes/` compile for their networks, and the first of them is the one
//! that other tests write in short form.

use std::fs;

use offshoot::adapt::HeadStart;
use offshoot::import::import;
use offshoot::pipeline::compile;
use offshoot::scheme::Scheme;
use offshoot_tests::cases::{root, MCUNET, MCUNET_49KB};
use offshoot_tests::skip;

fn read(name: &str) -> Scheme {
    let text = fs::read_to_string(root().join("schemes").join(name)).unwrap();
    Scheme::from_toml(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn file_and_short_form_are_the_same_scheme() {
    assert_eq!(read("mcunet-49kb.toml"), Scheme::from_short(MCUNET_49KB).unwrap());
}

#[test]
fn all_compile() {
    let Some(mcunet) = MCUNET.model_path() else { return };
    let mobilenet = mcunet.with_file_name("mbv2-w0.35_int8qdq.onnx");
    if !mobilenet.is_file() {
        skip!("no {}", mobilenet.display());
    }
    let (mcunet, mobilenet) = (import(&mcunet).unwrap(), import(&mobilenet).unwrap());
    let mut names: Vec<String> = fs::read_dir(root().join("schemes"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(!names.is_empty());
    for name in names {
        let graph = if name.starts_with("mcunet") { &mcunet } else { &mobilenet };
        let start = HeadStart::Zero { classes: 10 };
        let compiled =
            compile(graph, start, &read(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (header, plan) = (&compiled.placed.header, &compiled.placed.plan);
        println!(
            "{name}: arena {} (lower bound {}) + state {} + scratch {} bytes",
            header.arena, plan.lower_bound, header.state, header.scratch
        );
        assert_eq!(plan.peak, plan.lower_bound, "{name}");
    }
}
