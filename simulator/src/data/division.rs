//! Which samples are held out, where their files do not say.
//!
//! Every fifth, by a hash of the name of what must stay together: the choice for one does not
//! change when others are added or taken away.

use offshoot_runtime::hash::{fnv1a, EMPTY};

/// One in this many is held out.
pub const SHARE: usize = 5;

/// Whether what is called `name` is held out.
pub fn held_out(name: &str) -> bool {
    fnv1a(EMPTY, name.as_bytes()).is_multiple_of(SHARE as u64)
}

/// The part of a file's name by which it is divided: all of it, or what lies before `ends`.
pub fn group<'n>(name: &'n str, ends: Option<&str>) -> &'n str {
    match ends {
        Some(ends) if !ends.is_empty() => name.split(ends).next().unwrap_or(name),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_is_held_out() {
        let count = (0..10_000).filter(|i| held_out(&format!("clip_{i}.wav"))).count();
        assert!((1_900..2_100).contains(&count), "{count}");
    }

    #[test]
    fn groups_end_where_they_are_told() {
        assert_eq!(group("0a7c_nohash_2.wav", Some("_nohash_")), "0a7c");
        assert_eq!(group("0a7c.wav", Some("_nohash_")), "0a7c.wav");
        assert_eq!(group("0a7c.wav", None), "0a7c.wav");
    }
}
