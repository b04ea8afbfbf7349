//! Who learns which samples of an archive: the network before it is deployed, or the device.

use std::collections::BTreeMap;

use anyhow::{ensure, Context, Result};
use offshoot_simulator::data::{Dataset, Split};

use crate::plan::{Data, Deployed};

/// All samples of an archive.
#[derive(Debug)]
pub struct Table {
    /// The samples, those to learn from first.
    pub all: Split,
    /// Whether the archive holds each back for tests.
    pub test: Vec<bool>,
    /// The group of each, where the plan names one.
    pub groups: Vec<i64>,
}

/// What is learnt where.
#[derive(Debug)]
pub struct Parts {
    /// What the network knows before it is deployed, where it is.
    pub base: Option<Split>,
    /// What the device learns from and is tested on.
    pub round: Dataset,
}

/// Divides `table` as `data` says.
pub fn divide(table: &Table, data: &Data) -> Result<Parts> {
    let all = &table.all;
    let of = |chosen: &dyn Fn(usize) -> bool| {
        all.select(&(0..all.len()).filter(|&i| chosen(i)).collect::<Vec<_>>())
    };
    let (base, train, test) = match &data.deployed {
        None => (None, of(&|i| !table.test[i]), of(&|i| table.test[i])),
        Some(deployed) => {
            let own: Vec<bool> = (0..all.len()).map(|i| table.is_own(deployed, i)).collect();
            let held_back = table.held_back(deployed, &own);
            let is = |class: Option<u16>, i: usize| class == Some(all.label(i));
            let taught = |i: usize| deployed.normal.is_none() || is(deployed.normal, i);
            let before = |i: usize| match deployed.group {
                Some(_) => !own[i],
                None => !table.test[i],
            };
            let base = of(&|i| before(i) && taught(i) && !is(deployed.new_class, i));
            ensure!(!base.is_empty(), "the network has nothing to know before it is deployed");
            let train = of(&|i| own[i] && !held_back[i] && taught(i));
            (Some(base), train, of(&|i| own[i] && held_back[i]))
        }
    };
    ensure!(!train.is_empty() && !test.is_empty(), "the device has no samples, or none for tests");
    Ok(Parts { base, round: Dataset { train, test } })
}

impl Table {
    /// Whether sample `index` is the device's.
    fn is_own(&self, deployed: &Deployed, index: usize) -> bool {
        deployed.group.as_ref().is_none_or(|g| self.groups[index] == g.group)
    }

    /// Which of the device's `own` samples it is tested on.
    fn held_back(&self, deployed: &Deployed, own: &[bool]) -> Vec<bool> {
        let Some(share) = deployed.learn else { return self.test.clone() };
        let mut counts: BTreeMap<u16, (usize, usize)> = BTreeMap::new();
        let own = || (0..own.len()).filter(|&i| own[i]).map(|i| (i, self.all.label(i)));
        own().for_each(|(_, label)| counts.entry(label).or_default().1 += 1);
        let mut held_back = vec![true; self.all.len()];
        for (i, label) in own() {
            let (seen, count) = counts.entry(label).or_default();
            held_back[i] = *seen >= (share * *count as f64).round() as usize;
            *seen += 1;
        }
        held_back
    }
}

/// `split` with class `normal` as 0 and every other as 1.
pub fn normal_or_not(split: &Split, normal: u16) -> Result<Split> {
    let inputs = (0..split.len()).flat_map(|i| split.input(i)).copied().collect();
    let labels = (0..split.len()).map(|i| u16::from(split.label(i) != normal)).collect();
    Split::new(inputs, labels).context("no samples")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        // Samples are numbers; classes 0 and 1 in turn, groups 7 and 8 by four.
        let all = Split::new((0..16).collect(), (0..16).map(|i| i % 2).collect()).unwrap();
        let test = (0..16).map(|i| i >= 12).collect();
        Table { all, test, groups: (0..16).map(|i| 7 + i / 4 % 2).collect() }
    }

    fn parts(deployed: &str) -> [Vec<i8>; 3] {
        let text = format!("name = 'x'\ntitle = 'x'\nfile = 'x'\n{deployed}");
        let parts = divide(&table(), &toml::from_str(&text).unwrap()).unwrap();
        let values = |s: &Split| (0..s.len()).map(|i| s.input(i)[0]).collect();
        let base = parts.base.as_ref().map(values).unwrap_or_default();
        [base, values(&parts.round.train), values(&parts.round.test)]
    }

    #[test]
    fn without_a_deployed_network_the_archive_says() {
        let [base, train, test] = parts("");
        assert!(base.is_empty());
        assert_eq!((train, test), ((0..12).collect(), (12..16).collect()));
    }

    #[test]
    fn a_group_is_the_devices_alone() {
        let group = "group = { array = 'x', group = 8 }";
        let [base, train, test] = parts(&format!("deployed = {{ {group} }}"));
        assert_eq!(base, [0, 1, 2, 3, 8, 9, 10, 11]);
        assert_eq!((train, test), (vec![4, 5, 6, 7], vec![12, 13, 14, 15]));
        let [base, train, test] = parts(&format!("deployed = {{ {group}, learn = 0.25 }}"));
        assert_eq!(base, [0, 1, 2, 3, 8, 9, 10, 11]);
        assert_eq!((train, test), (vec![4, 5], vec![6, 7, 12, 13, 14, 15]));
        let [base, train, test] = parts(&format!("deployed = {{ {group}, normal = 1 }}"));
        assert_eq!(base, [1, 3, 9, 11]);
        assert_eq!((train, test), (vec![5, 7], vec![12, 13, 14, 15]));
    }

    #[test]
    fn a_new_class_is_the_devices_to_learn() {
        let [base, train, test] = parts("deployed = { new_class = 1 }");
        assert_eq!(base, [0, 2, 4, 6, 8, 10]);
        assert_eq!((train, test), ((0..12).collect(), (12..16).collect()));
    }

    #[test]
    fn what_is_normal_is_class_0() {
        let split = Split::new(vec![5, 6, 7], vec![0, 2, 3]).unwrap();
        let twofold = normal_or_not(&split, 2).unwrap();
        assert_eq!(twofold, Split::new(vec![5, 6, 7], vec![1, 0, 1]).unwrap());
    }
}
