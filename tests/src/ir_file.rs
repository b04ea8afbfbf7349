//! File tests of the IR: a header, a graph, a line `---`, and what a pass makes of the graph.
//!
//! ```text
//! // pass: differentiate
//! // scheme: biases=1,conv:1/2
//! // head: zero 3
//! graph "net" source 0x0
//! ...
//! ---
//! the printed result, or `error: ` and part of the message
//! ```
//!
//! The header is made of comments of the form `// key: value`; other comments say what the file
//! is about. Keys are `pass` (see [`PASSES`]), `scheme` (short form), `scheme-toml` (one line of
//! the TOML form, may be repeated) and `head` (`zero N`, `classifier` or `extended N`).

use std::fmt::Write;
use std::path::{Path, PathBuf};

use offshoot::adapt::HeadStart;

use crate::passes::{Options, PASSES};

const SEPARATOR: &str = "\n---\n";

/// Every `*.ir` file under `folder`, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder of file tests");
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry of the folder").path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|e| e == "ir"))
        .collect();
    found.sort();
    found
}

/// Runs one file; with `bless`, writes what came out in place of what was expected.
///
/// # Errors
/// What differs, or what is wrong with the file.
pub fn run(path: &Path, bless: bool) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let (input, expected) = match text.split_once(SEPARATOR) {
        Some(parts) => parts,
        None if bless => (text.trim_end(), ""),
        None => return Err("has no line `---`".into()),
    };
    let (pass, options) = header(input)?;
    let run = PASSES.iter().find(|(name, _)| *name == pass);
    let (_, run) = run.ok_or_else(|| format!("there is no pass `{pass}`"))?;
    let actual = run(input, &options);
    let wanted = expected.trim_end().strip_prefix("error: ");
    let same = match (&actual, wanted) {
        (Ok(actual), None) => actual == expected,
        (Err(message), Some(part)) => !part.is_empty() && message.contains(part),
        _ => false,
    };
    if same {
        return Ok(());
    }
    let actual = actual.unwrap_or_else(|message| format!("error: {message}\n"));
    if bless {
        let blessed = format!("{input}{SEPARATOR}{actual}");
        return std::fs::write(path, blessed).map_err(|e| e.to_string());
    }
    Err(difference(expected, &actual))
}

/// Pass and options that the comments at the top name.
fn header(text: &str) -> Result<(String, Options), String> {
    let (mut pass, mut options) = (None, Options::default());
    for line in text.lines().map_while(|line| line.strip_prefix("//")) {
        let Some((key, value)) = line.trim().split_once(": ") else { continue };
        match key {
            "pass" => pass = Some(value.to_string()),
            "scheme" => options.scheme = Some(value.to_string()),
            "scheme-toml" => {
                let _ = writeln!(options.toml.get_or_insert_with(String::new), "{value}");
            }
            "sram" => {
                options.sram = Some(value.parse().map_err(|_| format!("`{value}` is no size"))?)
            }
            "head" => options.head = Some(head(value)?),
            _ => {}
        }
    }
    Ok((pass.ok_or("has no `// pass:` line")?, options))
}

fn head(value: &str) -> Result<HeadStart, String> {
    match value.split_once(' ') {
        None if value == "classifier" => Ok(HeadStart::Classifier),
        Some(("zero", count)) if count.parse::<usize>().is_ok() => {
            Ok(HeadStart::Zero { classes: count.parse().unwrap_or(0) })
        }
        Some(("extended", count)) if count.parse::<usize>().is_ok() => {
            Ok(HeadStart::Extended { new: count.parse().unwrap_or(0) })
        }
        _ => Err(format!("`head: {value}` is none of `classifier`, `zero N` and `extended N`")),
    }
}

/// Lines that are expected (`-`) and that came out (`+`), without those that both begin or end
/// with.
fn difference(expected: &str, actual: &str) -> String {
    let [mut old, mut new] = [expected, actual].map(|text| text.lines().collect::<Vec<_>>());
    while !old.is_empty() && old.last() == new.last() {
        old.pop();
        new.pop();
    }
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let mut text = format!("differs from line {} of the result on:\n", same + 1);
    old.iter().skip(same).for_each(|line| text.push_str(&format!("- {line}\n")));
    new.iter().skip(same).for_each(|line| text.push_str(&format!("+ {line}\n")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAPH: &str = "graph \"t\" source 0x0\n%0 \"x\" i8[1] scale 1.0 zero 0\n";

    fn outcome(name: &str, text: &str, bless: bool) -> (Result<(), String>, String) {
        let path = std::env::temp_dir().join(format!("offshoot-{}-{name}.ir", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let result = run(&path, bless);
        let after = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        (result, after)
    }

    #[test]
    fn what_differs_is_shown_and_blessed() {
        let right = format!("// pass: print\n{GRAPH}---\n{GRAPH}");
        let wrong = right.replace("1.0 zero 0\n---", "1.0 zero 1\n---");
        assert_eq!(outcome("right", &right, false), (Ok(()), right.clone()));
        let (result, after) = outcome("wrong", &wrong, false);
        let shown = result.unwrap_err();
        assert!(shown.contains("line 2") && shown.contains("- %0") && shown.contains("+ %0"));
        assert_eq!(after, wrong);
        let (result, blessed) = outcome("blessed", &wrong, true);
        assert!(result.is_ok());
        assert_eq!(outcome("again", &blessed, false).0, Ok(()));
    }

    #[test]
    fn errors_are_met_by_part_of_their_message() {
        let file = |expected| format!("// pass: verify\n{GRAPH}---\n{expected}\n");
        assert!(outcome("part", &file("error: has no input"), false).0.is_ok());
        assert!(outcome("other", &file("error: has no output"), false).0.is_err());
        assert!(outcome("empty", &file("error: "), false).0.is_err());
        assert!(outcome("none", &file("ok"), false).0.is_err());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let said = |text: &str| outcome("file", text, false).0.unwrap_err();
        assert!(said("// pass: print\n").contains("no line"));
        assert!(said("// about\n---\n").contains("no `// pass:`"));
        assert!(said("// pass: fold\n---\n").contains("no pass `fold`"));
        assert!(said("// pass: adapt\n// head: one\n---\n").contains("none of"));
    }
}
