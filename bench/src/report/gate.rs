//! Whether training is grossly broken.
//!
//! A tier of few samples and one seed measures nothing finely: it fails only where the integer
//! program learnt nothing (where the network was deployed already: lost something), stays behind float, or where training more than the head did worse than
//! the head alone, each by more than chance explains (see [`margin`]; the runs share samples and
//! order, so that chance explains less than that).

use super::Summary;
use crate::plan::Method;
use crate::stats::margin;

/// What is grossly wrong; nothing, as a rule.
pub fn gate(summaries: &[Summary]) -> Vec<String> {
    let mut problems = Vec::new();
    let product = [Method::Residual, Method::Stochastic];
    for ours in summaries.iter().filter(|s| product.contains(&s.method) && s.is_default()) {
        let same =
            |s: &&Summary| s.is_default() && (&s.network, &s.data) == (&ours.network, &ours.data);
        let mut other = |what: &str, share: f64, at_least: f64| {
            if ours.accuracy.mean < at_least {
                problems.push(format!(
                    "{}/{}/{}/{}: {:.1} %, {what} {:.1} %; at least {:.1} % is expected",
                    ours.network,
                    ours.data,
                    ours.scheme,
                    ours.method.name(),
                    100.0 * ours.accuracy.mean,
                    100.0 * share,
                    100.0 * at_least,
                ));
            }
        };
        let less = |share: f64| share - margin(share, ours.test);
        let gain = if ours.deployed { -1.0 } else { 1.0 } * margin(ours.before, ours.test);
        other("before training", ours.before, ours.before + gain);
        let float = |s: &&Summary| s.method == Method::Float && s.scheme == ours.scheme;
        if let Some(float) = summaries.iter().filter(same).find(float) {
            other("float", float.accuracy.mean, less(float.accuracy.mean));
        }
        let head = |s: &&Summary| s.scheme == "head" && s.method == Method::Residual;
        if let Some(head) = summaries.iter().filter(same).find(head) {
            other("the head alone", head.accuracy.mean, less(head.accuracy.mean));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::record::tests::record;
    use crate::report::summaries;

    #[test]
    fn only_a_gross_regression_fails() {
        let plan = Plan::parse(include_str!("../../accuracy.toml")).unwrap();
        let tier = plan.tier("smoke").unwrap();
        let problems = |residual: f64, float: f64, head: f64| {
            let records = [
                record("digits/rotated/sparse/residual", 1, residual),
                record("digits/rotated/sparse/float", 1, float),
                record("digits/rotated/head/residual", 1, head),
            ];
            gate(&summaries(&plan, tier, &records))
        };
        assert!(problems(0.8, 0.85, 0.82).is_empty());
        let behind = problems(0.6, 0.85, 0.5);
        assert!(behind.len() == 1 && behind[0].contains("float 85.0 %"), "{behind:?}");
        let collapsed = problems(0.2, 0.2, 0.6);
        assert_eq!(collapsed.len(), 2);
        assert!(collapsed[0].contains("before training"));
        assert!(collapsed[1].contains("the head alone"));
    }
}
