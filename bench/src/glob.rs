//! Names of cells with `*` in them: `mcunet/*/49kb/*`.

/// Whether `name` is one that `pattern` names: as many parts between slashes, each equal but for
/// `*`, which stands for any run of characters of one part. A pattern of fewer parts goes on with
/// any.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('/'), name.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (Some(pattern), Some(part)) if part_matches(pattern, part) => {}
            (None, _) => return true,
            _ => return false,
        }
    }
}

fn part_matches(pattern: &str, part: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == part };
    let Some(part) = part.strip_prefix(start) else { return false };
    let cuts = part.char_indices().map(|(at, _)| at).chain([part.len()]);
    cuts.into_iter().any(|at| part_matches(rest, &part[at..]))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_run_within_a_part() {
        let cell = "mcunet/flowers/49kb/residual";
        for pattern in
            ["mcunet", "mcunet/flowers/49kb/residual", "*/*/*/*", "m*t/*", "*/f*w*s/49*/res*", "*"]
        {
            assert!(matches(pattern, cell), "{pattern}");
        }
        for pattern in ["mcu", "*/49kb", "mcunet/*/99kb", "*/*/*/float", "*/*/*/*/*", ""] {
            assert!(!matches(pattern, cell), "{pattern}");
        }
    }
}
