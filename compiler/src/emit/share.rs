//! Ops that differ in a few numbers share one function, which takes those numbers.
//!
//! A descriptor costs flash: its bytes, and a call. Where a layer runs in bands there are many of nearly
//! the same, whose differences (where rows lie, how many there are) take a tenth of that.

use std::collections::HashMap;
use std::fmt::Write;

use offshoot_runtime::program::op::Op;

/// Numbers in which ops of one function may differ.
const MOST_DIFFERENCES: usize = 12;

/// Bytes of flash, about: an op that is alone (descriptor and call); a function; a call of it; and each
/// number that it is given, where none is above 65,535.
const ALONE: usize = 136;
const FUNCTION: usize = 200;
const CALL: usize = 22;
const NUMBER: usize = 2;

/// A program's ops as calls.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// What runs each op: an expression that gives a `Result`, the machine being `m`.
    pub(super) calls: Vec<String>,
    /// The functions that they call.
    pub(super) functions: String,
}

/// Writes `ops` as calls.
pub(super) fn share(ops: &[Op]) -> Shared {
    let texts: Vec<Text> = ops.iter().map(|op| Text::of(&descriptor(op))).collect();
    let calls = texts.iter().map(|text| format!("{}.run(m)", text.with(&[], &[]))).collect();
    let mut shared = Shared { calls, functions: String::new() };
    // Nothing is called where rows are received.
    let called = (0..ops.len()).filter(|&at| !matches!(ops[at], Op::Receive(_)));
    let families = families(&texts, called);
    let families = families.into_iter().filter(|f| f.bytes() < f.members.len() * ALONE);
    for (number, family) in families.enumerate() {
        let parameters = Parameters::of(&family, &texts);
        let first = family.members[0];
        let name = format!("{}_{number}", ops[first].name().to_lowercase());
        let _ = write!(
            shared.functions,
            "\n#[inline(never)]\nfn {name}(m: &mut Machine<'_>, numbers: &[{}; {}]) -> Result<(), Fault> {{\n    \
             let n = numbers.map(u32::from);\n    {}.run(m)\n}}\n",
            parameters.of_type(),
            parameters.columns.len(),
            texts[first].with(&family.differ, &parameters.of_number),
        );
        for (at, &member) in family.members.iter().enumerate() {
            let numbers: Vec<u32> = parameters.columns.iter().map(|column| column[at]).collect();
            shared.calls[member] = format!("{name}(m, &{numbers:?})");
        }
    }
    shared
}

/// `Conv(Conv { .. })`: the variant and its descriptor share a name.
fn descriptor(op: &Op) -> String {
    let op = format!("{op:?}");
    op.split_once('(').map_or(op.as_str(), |(_, rest)| &rest[..rest.len() - 1]).to_string()
}

/// A descriptor's text, cut at its whole numbers.
#[derive(Debug)]
struct Text {
    /// What stands around the numbers: one more than there are of those.
    pieces: Vec<String>,
    numbers: Vec<u32>,
}

impl Text {
    fn of(text: &str) -> Text {
        let (mut pieces, mut numbers, mut piece) = (Vec::new(), Vec::new(), String::new());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let is_digit = |c: char| c.is_ascii_digit();
            // Names, negative numbers and fractions stay text.
            let apart = !piece.ends_with(|c: char| c.is_alphanumeric() || "_-.".contains(c));
            let digits = rest.find(|c| !is_digit(c)).unwrap_or(rest.len());
            let whole = !rest[digits..].starts_with(['.', 'e']);
            match rest[..digits].parse() {
                Ok(number) if apart && whole => {
                    pieces.push(std::mem::take(&mut piece));
                    numbers.push(number);
                    rest = &rest[digits..];
                }
                _ => {
                    piece.push(next);
                    rest = &rest[next.len_utf8()..];
                }
            }
        }
        pieces.push(piece);
        Text { pieces, numbers }
    }

    /// The text, with `expressions` in place of the numbers at `differ`.
    fn with(&self, differ: &[usize], expressions: &[String]) -> String {
        let mut text = String::new();
        for (at, (piece, number)) in self.pieces.iter().zip(&self.numbers).enumerate() {
            text.push_str(piece);
            match differ.iter().position(|&d| d == at).and_then(|d| expressions.get(d)) {
                Some(expression) => text.push_str(expression),
                None => text.push_str(&number.to_string()),
            }
        }
        text + self.pieces.last().map_or("", String::as_str)
    }
}

/// Ops that differ in the same numbers.
#[derive(Debug)]
struct Family {
    members: Vec<usize>,
    /// Which numbers differ, ascending.
    differ: Vec<usize>,
}

impl Family {
    /// Bytes of flash that it takes, about.
    fn bytes(&self) -> usize {
        FUNCTION + self.members.len() * (CALL + NUMBER * self.differ.len())
    }

    /// Which numbers would differ with op `other`.
    fn differ_with(&self, texts: &[Text], other: usize) -> Vec<usize> {
        let (first, other) = (&texts[self.members[0]].numbers, &texts[other].numbers);
        let differs = |at: &usize| self.differ.contains(at) || first[*at] != other[*at];
        (0..first.len()).filter(differs).collect()
    }
}

/// Families of `ops`, each in the one that it fits best of those of ops before it.
fn families(texts: &[Text], ops: impl Iterator<Item = usize>) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    let mut alike: HashMap<&[String], Vec<usize>> = HashMap::new();
    for op in ops {
        let known = alike.entry(&texts[op].pieces).or_default();
        let fitting = known.iter().map(|&family| (families[family].differ_with(texts, op), family));
        let best = fitting.min_by_key(|(differ, family)| (differ.len(), *family));
        match best.filter(|(differ, _)| differ.len() <= MOST_DIFFERENCES) {
            Some((differ, family)) => {
                families[family].members.push(op);
                families[family].differ = differ;
            }
            None => {
                known.push(families.len());
                families.push(Family { members: vec![op], differ: Vec::new() });
            }
        }
    }
    families
}

/// What a family's function is given.
#[derive(Debug, Default)]
struct Parameters {
    /// Each parameter's value for each member.
    columns: Vec<Vec<u32>>,
    /// How each number that differs is computed from them.
    of_number: Vec<String>,
}

impl Parameters {
    /// Numbers that are multiples of others throughout, as bytes are of rows, need no parameter.
    fn of(family: &Family, texts: &[Text]) -> Parameters {
        let column = |&at: &usize| -> Vec<u32> {
            family.members.iter().map(|&member| texts[member].numbers[at]).collect()
        };
        let mut all: Vec<(usize, Vec<u32>)> =
            family.differ.iter().map(column).enumerate().collect();
        all.sort_by_key(|(_, column)| column.iter().max().copied());
        let mut parameters =
            Parameters { of_number: vec![String::new(); all.len()], ..Parameters::default() };
        for (at, column) in all {
            let known = parameters.columns.iter().enumerate();
            let multiple = known.filter_map(|(n, base)| Some((n, factor(&column, base)?))).next();
            let (n, factor) = multiple.unwrap_or_else(|| {
                parameters.columns.push(column);
                (parameters.columns.len() - 1, 1)
            });
            parameters.of_number[at] = match factor {
                1 => format!("n[{n}] as _"),
                factor => format!("(n[{n}] * {factor}) as _"),
            };
        }
        parameters
    }

    /// The narrowest type that holds all values.
    fn of_type(&self) -> &'static str {
        let most = self.columns.iter().flatten().max().copied().unwrap_or(0);
        if most <= u16::MAX.into() {
            "u16"
        } else {
            "u32"
        }
    }
}

/// The factor by which `column` is `base` throughout.
fn factor(column: &[u32], base: &[u32]) -> Option<u32> {
    let (value, unit) = column.iter().zip(base).find(|(_, &unit)| unit != 0)?;
    let factor = value / unit;
    let is = |(value, unit): (&u32, &u32)| unit.checked_mul(factor) == Some(*value);
    column.iter().zip(base).all(is).then_some(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use offshoot_runtime::program::op::{Add, Copy, Head, Path, Receive};
    use offshoot_runtime::{Memory, Slot};

    fn arena(offset: u32, bytes: u32) -> Slot {
        Slot::new(Memory::Arena, offset, bytes)
    }

    /// What a call stands for: the function's body with the numbers of the call put in.
    fn expanded(shared: &Shared, call: &str) -> String {
        let Some((name, numbers)) = call.split_once("(m, &[") else { return call.to_string() };
        let numbers: Vec<u32> =
            numbers.trim_end_matches("])").split(", ").map(|n| n.parse().unwrap()).collect();
        let (_, body) = shared.functions.split_once(&format!("fn {name}(")).unwrap();
        let mut body = body.lines().nth(2).unwrap().trim().to_string();
        for (n, number) in numbers.iter().enumerate() {
            body = body.replace(&format!("n[{n}] as _"), &number.to_string());
            while let Some((before, after)) = body.split_once(&format!("(n[{n}] * ")) {
                let (factor, after) = after.split_once(") as _").unwrap();
                let product = number * factor.parse::<u32>().unwrap();
                body = format!("{before}{product}{after}");
            }
        }
        body
    }

    fn alone(op: &Op) -> String {
        format!("{}.run(m)", descriptor(op))
    }

    #[test]
    fn a_text_is_cut_at_its_whole_numbers_alone() {
        let text = Text::of("A { x1: 3, y: -4, z: 0.5, w: 1e-7, v: [10, 20], f: 8.0 }");
        assert_eq!(text.numbers, [3, 10, 20]);
        assert_eq!(text.with(&[], &[]), "A { x1: 3, y: -4, z: 0.5, w: 1e-7, v: [10, 20], f: 8.0 }");
        let put = text.with(&[0, 2], &["a".into(), "b".into()]);
        assert_eq!(put, "A { x1: a, y: -4, z: 0.5, w: 1e-7, v: [10, b], f: 8.0 }");
    }

    #[test]
    fn calls_mean_what_the_ops_say() {
        let mut ops: Vec<Op> = Vec::new();
        for band in 0..9u32 {
            let rows = 2 + band % 3;
            let path = Path { size: [1, 1, 1, rows as u16, 384], ..Path::default() };
            let (input, output) = (arena(band * 64, rows * 384), arena(70_000, rows * 384));
            let copy = Copy { input, output, path, ..Copy::default() };
            ops.push(copy.into());
            ops.push(Receive { output: arena(band * 7, rows), first: band * 100 }.into());
            ops.push(Add { a: arena(0, rows), zeros: [-3, 0], ..Add::default() }.into());
        }
        ops.push(Head { input: arena(1, 2), ..Head::default() }.into());
        let shared = share(&ops);
        for (op, call) in ops.iter().zip(&shared.calls) {
            assert_eq!(expanded(&shared, call), alone(op), "{call}");
        }
        assert_eq!(shared.functions.matches("fn ").count(), 2, "{}", shared.functions);
        assert!(shared.functions.contains("* 384) as _"), "{}", shared.functions);
        assert!(shared.calls[27].starts_with("Head {"));
    }

    #[test]
    fn what_would_not_save_flash_stays_alone() {
        let copy = |n: u16| {
            let path = Path { size: [n, n + 3, n * n, 7 - n, 9 * n + 1], ..Path::default() };
            let n = u32::from(n);
            Copy {
                input: arena(n + 1, 9 - n),
                output: arena(n + 50, n + 8),
                path,
                ..Copy::default()
            }
        };
        let two: Vec<Op> = (0..2).map(|n| copy(n).into()).collect();
        let shared = share(&two);
        assert!(shared.functions.is_empty());
        assert_eq!(shared.calls, two.iter().map(alone).collect::<Vec<_>>());
        assert_eq!(share(&[]).calls.len(), 0);
    }
}
