//! The planner of the arena on instances that are known to be hard: the challenging benchmarks of
//! Google's minimalloc, each of which fits 1,048,576 bytes.

use offshoot::place::{arrange, Effort, Life};
use offshoot_tests::{data_dir, skip};

const CAPACITY: u32 = 1_048_576;

/// Sizes and lives of an instance.
type Tensors = (Vec<u32>, Vec<Option<Life>>);

/// Rows of `id,lower,upper,size` under a heading; a life ends before `upper`.
fn instance(name: &str) -> Option<Tensors> {
    let path = data_dir()?.join(format!("planner/{name}.{CAPACITY}.csv"));
    let text = std::fs::read_to_string(path).ok()?;
    let row = |line: &str| {
        let mut fields = line.split(',').map(|field| field.trim().parse::<u32>().unwrap()).skip(1);
        let mut next = || fields.next().unwrap();
        let life = Life { first: next(), last: next() - 1 };
        (next(), Some(life))
    };
    Some(text.lines().skip(1).map(row).unzip())
}

#[test]
fn hard_instances_fit_their_capacity() {
    for name in ["A", "B", "G", "K"] {
        let Some((bytes, live)) = instance(name) else {
            skip!("no instances of minimalloc in the folder of data")
        };
        let effort = Effort { enough: CAPACITY, ..Effort::default() };
        let found = arrange(&bytes, &live, effort).unwrap();
        println!("{name}: peak {}, {} nodes", found.peak, found.nodes);
        assert_eq!((found.peak, found.lower_bound), (CAPACITY, CAPACITY), "{name}");
        for a in 0..bytes.len() {
            assert!(found.offsets[a] + bytes[a] <= found.peak, "{name}: {a}");
            for b in 0..a {
                let together = live[a].unwrap().meets(&live[b].unwrap());
                let apart = found.offsets[a] + bytes[a] <= found.offsets[b]
                    || found.offsets[b] + bytes[b] <= found.offsets[a];
                assert!(!together || apart, "{name}: {a} and {b}");
            }
        }
    }
}
