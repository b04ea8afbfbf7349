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
//! the TOML form, may be repeated) and `head` (`zero N` or `classifier`).

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
        _ => Err(format!("`head: {value}` is neither `classifier` nor `zero N`")),
    }
}

/// Lines that are expected (`-`) and that came out (`+`), from the first that differs on.
fn difference(expected: &str, actual: &str) -> String {
    let same = expected.lines().zip(actual.lines()).take_while(|(a, b)| a == b).count();
    let mut text = format!("differs from line {} of the result on:\n", same + 1);
    expected.lines().skip(same).for_each(|l| text.push_str(&format!("- {l}\n")));
    actual.lines().skip(same).for_each(|l| text.push_str(&format!("+ {l}\n")));
    text
}
