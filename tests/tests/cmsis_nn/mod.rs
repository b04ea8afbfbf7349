//! The integer kernels equal CMSIS-NN's, to the bit, on the cases of its unit tests: all those
//! whose op we have, alone or in a few steps, on int8 activations.

mod archive;
mod bench;
mod elementwise;
mod families;
mod layers;
mod moves;
mod pooling;
mod recordings;

use std::collections::BTreeSet;

use archive::{Archive, Case};
use families::{Treatment, FAMILIES};
use offshoot_tests::{data_dir, skip};

/// Cases that match: all but the 37 that the families name as lacking an op. The number only grows,
/// with the ops: a case that matched is not given up.
const MATCHING: usize = 103;

#[test]
fn kernels_equal_those_of_cmsis_nn() {
    let Some(data) = data_dir() else { skip!("there is no folder of data") };
    let path = data.join("suites/cmsis_nn_vectors.npz");
    if !path.is_file() {
        skip!("no {}", path.display());
    }
    let archive = Archive::open(&path);
    assert_all_named(&archive);
    let (mut matching, mut lacking) = (0, 0);
    let mut wrong = Vec::new();
    for &(treatment, names) in FAMILIES {
        match treatment {
            Treatment::Lacking(reason) => {
                lacking += names.len();
                println!("no op for {reason}:");
                names.iter().for_each(|name| println!("    {name}"));
            }
            Treatment::Replay(replay) => {
                let cases = names.iter().map(|&name| archive.case(name));
                let found: Vec<String> = cases.filter_map(|case| differs(&case, replay)).collect();
                matching += names.len() - found.len();
                wrong.extend(found);
            }
        }
    }
    let all = archive.names().len();
    println!("{matching} of {all} match bit for bit, {lacking} have an op we lack");
    assert!(wrong.is_empty(), "differ:\n{}", wrong.join("\n"));
    assert!(matching >= MATCHING, "{matching} match, where {MATCHING} did");
}

/// How the output of our kernels differs from the recorded one, if it does.
fn differs(case: &Case, replay: fn(&Case) -> bench::Replayed) -> Option<String> {
    let recorded = case.output();
    let found = match replay(case) {
        Ok(found) if found == recorded => return None,
        Ok(found) => found,
        Err(refusal) => return Some(format!("{}: {refusal}", case.name)),
    };
    let pairs = || found.iter().zip(recorded);
    let far = pairs().map(|(a, b)| a.abs_diff(*b)).max().unwrap_or_default();
    let unequal = pairs().filter(|(a, b)| a != b).count();
    let [ours, theirs] = [found.len(), recorded.len()];
    Some(format!("{}: {unequal} of {theirs} ({ours}) differ, by up to {far}", case.name))
}

/// Every case of the archive is in one family, and every name there is a case.
fn assert_all_named(archive: &Archive) {
    let named: Vec<&str> = FAMILIES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let all: BTreeSet<&str> = archive.names().into_iter().collect();
    let known: BTreeSet<&str> = named.iter().copied().collect();
    let apart: Vec<_> = all.symmetric_difference(&known).collect();
    assert!(apart.is_empty(), "in the archive or in a family, but not in both: {apart:?}");
    assert_eq!(named.len(), known.len(), "a case is in two families");
}
