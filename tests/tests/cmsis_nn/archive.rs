//! The archive of recorded cases: arrays by name, and the C defines that lie beside them.

use std::fs::File;
use std::path::Path;

use ndarray::{Array1, OwnedRepr};
use ndarray_npy::{NpzReader, ReadableElement};
use offshoot_runtime::program::op::{Range, Shape};
use serde_json::Value;

use super::recordings;

/// All cases.
pub struct Archive {
    int8: Vec<i8>,
    int32: Vec<i32>,
    index: Value,
}

impl Archive {
    pub fn open(path: &Path) -> Archive {
        let mut archive = NpzReader::new(File::open(path).unwrap()).unwrap();
        let index: Vec<u8> = array(&mut archive, "index");
        Archive {
            int8: array(&mut archive, "int8"),
            int32: array(&mut archive, "int32"),
            index: serde_json::from_slice(&index).unwrap(),
        }
    }

    /// Names of all cases.
    pub fn names(&self) -> Vec<&str> {
        self.index["config"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    pub fn case<'a>(&'a self, name: &'a str) -> Case<'a> {
        Case { archive: self, name, corrected: recordings::first(name) }
    }
}

fn array<T: ReadableElement>(archive: &mut NpzReader<File>, name: &str) -> Vec<T> {
    let array: Array1<T> = archive.by_name::<OwnedRepr<T>, _>(name).unwrap();
    array.into_raw_vec_and_offset().0
}

/// One case.
pub struct Case<'a> {
    archive: &'a Archive,
    pub name: &'a str,
    /// Defines that stand for those of the archive.
    corrected: &'static [(&'static str, i32)],
}

impl<'a> Case<'a> {
    /// The value of a define, named without the case's prefix; none where it is not there.
    pub fn find(&self, define: &str) -> Option<i32> {
        if let Some((_, value)) = self.corrected.iter().find(|(name, _)| *name == define) {
            return Some(*value);
        }
        let prefix = self.name.to_uppercase();
        let value = &self.archive.index["config"][self.name][format!("{prefix}_{define}")];
        value.as_i64().map(|v| i32::try_from(v).unwrap())
    }

    pub fn int(&self, define: &str) -> i32 {
        self.find(define).unwrap_or_else(|| panic!("{}: no {define}", self.name))
    }

    /// Defines that are sizes.
    pub fn sizes<const N: usize>(&self, defines: [&str; N]) -> [u16; N] {
        defines.map(|define| u16::try_from(self.int(define)).unwrap())
    }

    /// Height, width and channels.
    pub fn shape(&self, defines: [&str; 3]) -> Shape {
        let [h, w, c] = self.sizes(defines);
        Shape { h, w, c }
    }

    /// Zero points are recorded as what is added to a tensor: with the other sign.
    pub fn zero(&self, define: &str) -> i16 {
        -i16::try_from(self.int(define)).unwrap()
    }

    /// Zero point and clamp of the output.
    pub fn range(&self) -> Range {
        Range {
            zero: self.int("OUTPUT_OFFSET") as i16,
            min: self.bound("ACTIVATION_MIN"),
            max: self.bound("ACTIVATION_MAX"),
        }
    }

    /// A bound of the output; families call it by one of two names.
    fn bound(&self, define: &str) -> i8 {
        let found = self.find(&format!("OUT_{define}")).unwrap_or_else(|| self.int(define));
        i8::try_from(found).unwrap()
    }

    /// The first array that is there, of several that may be called for the same.
    fn part<T>(&self, pool: &'a [T], dtype: &str, names: &[&str]) -> Option<&'a [T]> {
        let entry = |name: &&str| {
            let entry = &self.archive.index["arrays"][format!("{0}/{0}_{name}", self.name)];
            entry.as_array().map(Vec::as_slice)
        };
        let [kind, offset, length] = names.iter().find_map(entry)? else { panic!("the index") };
        assert_eq!(kind, dtype, "{}: {names:?}", self.name);
        let [offset, length] = [offset, length].map(|v| v.as_u64().unwrap() as usize);
        Some(&pool[offset..offset + length])
    }

    pub fn int8(&self, names: &[&str]) -> &'a [i8] {
        let found = self.part(&self.archive.int8, "int8", names);
        found.unwrap_or_else(|| panic!("{}: no {names:?}", self.name))
    }

    pub fn int32(&self, names: &[&str]) -> Option<&'a [i32]> {
        self.part(&self.archive.int32, "int32", names)
    }

    /// What must come out. Where there are both, `output` is of another recording.
    pub fn output(&self) -> &'a [i8] {
        self.int8(&["output_ref", "output"])
    }
}
