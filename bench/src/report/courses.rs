//! Tables of what other learning rates and schedules give.
//!
//! They are compared on the seeds that all of them were run with.

use offshoot_simulator::Decay;

use super::table::{by_network, difference, header, line, percent, plain, signed};
use super::Summary;
use crate::stats::Spread;

/// The default rate against the best, and the schedule of a device against that of a round of known
/// length, where others than the default were run.
pub fn tables(summaries: &[Summary]) -> String {
    let mut text = String::new();
    for (title, rows) in [
        ("Learning rate: default against best", rates(summaries)),
        ("Schedule: cosine against cooldown", schedules(summaries)),
    ] {
        if let Some(rows) = rows {
            text += &format!("\n## {title}\n\n{rows}");
        }
    }
    text
}

/// Runs of one cell and method.
fn of_cell<'s>(cell: &Summary, summaries: &'s [Summary]) -> Vec<&'s Summary> {
    summaries.iter().filter(|s| s.is_cell_of(cell)).collect()
}

/// Accuracy over the seeds that all of `others` have too.
fn shared(summary: &Summary, others: &[&Summary]) -> Option<Spread> {
    let runs = summary.seeds.iter().zip(&summary.after);
    let runs = runs.filter(|(seed, _)| others.iter().all(|s| s.seeds.contains(seed)));
    Spread::of(&runs.map(|(_, &after)| after).collect::<Vec<_>>())
}

fn names(s: &Summary) -> [String; 3] {
    [s.network.clone(), s.data.clone(), format!("{}, {}", s.scheme, s.method.name())]
}

/// The mean of a column, as a line under the table.
fn mean(what: &str, rows: &[(String, f64)]) -> Option<String> {
    let spread = Spread::of(&rows.iter().map(|row| row.1).collect::<Vec<_>>())?;
    let (mean, each) = (plain(Some(spread)), by_network(rows));
    Some(format!("\n{what} in the mean of {} rows: {mean}{each}.\n", spread.count))
}

fn rates(summaries: &[Summary]) -> Option<String> {
    let titles = [
        "network",
        "data",
        "scheme, method",
        "default rate",
        "gives",
        "best",
        "more",
        "of rate ×",
        "rates run",
    ];
    let (mut text, mut gains) = (header(&titles), Vec::new());
    for default in summaries.iter().filter(|s| s.is_default()) {
        let mut all = of_cell(default, summaries);
        all.retain(|s| s.decay == default.decay);
        let score = |s: &Summary| shared(s, &all);
        let best = all.iter().filter_map(|&s| Some((s, score(s)?)));
        let best = best.max_by(|a, b| a.1.mean.total_cmp(&b.1.mean));
        let Some(((best, most), own)) = best.zip(score(default)).filter(|_| all.len() > 1) else {
            continue;
        };
        gains.push((default.network.clone(), most.mean - own.mean));
        let rates: Vec<String> = all.iter().map(|s| s.rate.to_string()).collect();
        let gain = signed(Spread::of(&[most.mean - own.mean]));
        let rate = format!("{:.4}", default.default_rate);
        let ends =
            [rate, percent(&own), percent(&most), gain, best.rate.to_string(), rates.join(", ")];
        text += &line(&[&names(default)[..], &ends].concat());
    }
    Some(text + &mean("*more*", &gains)?)
}

fn schedules(summaries: &[Summary]) -> Option<String> {
    let titles = ["network", "data", "scheme, method", "cosine", "cooldown", "− cosine"];
    let (mut text, mut gains) = (header(&titles), Vec::new());
    for cosine in summaries.iter().filter(|s| s.is_default()) {
        let other = of_cell(cosine, summaries).into_iter();
        let mut other = other.filter(|s| s.rate == 1.0 && s.decay == Decay::Cooldown);
        let Some(cooldown) = other.next() else { continue };
        let both = [cosine, cooldown];
        let Some((a, b)) = shared(cosine, &both).zip(shared(cooldown, &both)) else { continue };
        gains.push((cosine.network.clone(), b.mean - a.mean));
        let ends = [percent(&a), percent(&b), signed(difference(Some(cooldown), Some(cosine)))];
        text += &line(&[&names(cosine)[..], &ends].concat());
    }
    Some(text + &mean("*− cosine*", &gains)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::record::tests::record;
    use crate::report::summaries;

    #[test]
    fn courses_are_compared_on_the_seeds_of_all() {
        let plan = Plan::parse(include_str!("../../accuracy.toml")).unwrap();
        let mut tier = plan.tier("smoke").unwrap().clone();
        tier.seeds = vec![1, 2];
        let cell = "digits/rotated/sparse/residual";
        let mut other = record(cell, 2, 0.8);
        other.identity.decay = Decay::Cooldown;
        let records = [record(cell, 1, 0.1), record(cell, 2, 0.75), other];
        let text = tables(&summaries(&plan, &tier, &records));
        assert!(text.contains("| sparse, residual | 75.0 | 80.0 | +5.0 |"), "{text}");
        assert!(text.contains("in the mean of 1 rows: +5.0"), "{text}");
        assert!(!text.contains("default against best"), "{text}");
    }
}
