//! Tables in Markdown.

use super::{courses, Summary};
use crate::plan::{Cell, Method, Plan, Tier};
use crate::stats::Spread;

/// A cell of a table.
const NOT_RUN: &str = "not run";

/// Methods of the product, and the yardstick.
const PRODUCT: [Method; 3] = [Method::Float, Method::Residual, Method::Stochastic];

/// What leaves out a part.
const PARTS: [Method; 3] = [Method::Truncating, Method::Nearest, Method::Unscaled];

/// The tables of a tier, each under its heading: the product against float where a network learns
/// something new and where it is deployed already, what parts buy, and the default rate against the
/// best where others were run.
pub fn tables(plan: &Plan, tier: &Tier, summaries: &[Summary]) -> String {
    let (adapted, new): (Vec<Cell<'_>>, Vec<Cell<'_>>) =
        plan.cells(tier, &[]).into_iter().partition(|cell| cell.data.deployed.is_some());
    let section = |cell: &Cell<'_>| cell.network.section.clone();
    let mut text = String::new();
    let mut sections: Vec<Option<String>> = new.iter().map(section).collect();
    // Those without a heading of their own come first.
    sections.sort();
    sections.dedup();
    for heading in sections {
        let cells: Vec<Cell<'_>> =
            new.iter().filter(|cell| section(cell) == heading).copied().collect();
        let heading = heading.as_deref().unwrap_or("8-bit training against float");
        let end = if text.is_empty() { "" } else { "\n" };
        text += &format!("{end}## {heading}\n\n{}", product(&cells, summaries));
        text += &means(&cells, summaries);
    }
    if !adapted.is_empty() {
        text += "\n## A deployed device adapts\n\n";
        text += &deployed(&adapted, summaries);
        text += &means(&adapted, summaries);
    }
    let all = [new, adapted].concat();
    let rows = inference(&all, summaries);
    if !rows.is_empty() {
        text += "\n## Inference in 8 bits, and training in 8 bits\n\n";
        text += &rows;
    }
    let rows = parts(&all, summaries);
    if !rows.is_empty() {
        text += "\n## What each part buys\n\n";
        text += &rows;
    }
    text += &courses::tables(summaries);
    text
}

/// The runs of a method at the default rate, in the row of `cell`.
fn of<'s>(cell: &Cell<'_>, method: Method, summaries: &'s [Summary]) -> Option<&'s Summary> {
    let cell = Cell { method, ..*cell };
    summaries.iter().find(|s| s.is_of(&cell) && s.is_default())
}

/// The first cell of every network, data set and scheme that some `methods` are run of.
fn rows<'c, 'p>(cells: &'c [Cell<'p>], methods: &[Method]) -> Vec<&'c Cell<'p>> {
    let mut rows: Vec<&Cell<'_>> = Vec::new();
    let key = |c: &Cell<'_>| [&c.network.name, &c.data.name, &c.scheme.name].map(String::clone);
    for cell in cells.iter().filter(|c| methods.contains(&c.method)) {
        if rows.last().is_none_or(|last| key(last) != key(cell)) {
            rows.push(cell);
        }
    }
    rows
}

pub fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

pub fn header(titles: &[&str]) -> String {
    let rule: String =
        titles.iter().enumerate().map(|(i, _)| ["|---:", "|---"][usize::from(i < 3)]).collect();
    format!("{}{rule}|\n", line(&titles.iter().map(ToString::to_string).collect::<Vec<_>>()))
}

/// `81.2 ± 0.4` percent.
pub fn percent(spread: &Spread) -> String {
    match spread.deviation {
        Some(deviation) => format!("{:.1} ± {:.1}", 100.0 * spread.mean, 100.0 * deviation),
        None => format!("{:.1}", 100.0 * spread.mean),
    }
}

/// The accuracy of some runs; says how many where they are fewer than the most in the row.
fn accuracy(summary: Option<&Summary>, most: usize) -> String {
    match summary.map(|s| s.accuracy) {
        None => NOT_RUN.into(),
        Some(spread) if spread.count < most => {
            format!("{} ({} of {most})", percent(&spread), spread.count)
        }
        Some(spread) => percent(&spread),
    }
}

/// Mean and spread of the difference of runs of the same seeds.
pub fn difference(ours: Option<&Summary>, theirs: Option<&Summary>) -> Option<Spread> {
    let (ours, theirs) = ours.zip(theirs)?;
    let pairs = ours.seeds.iter().zip(&ours.after).filter_map(|(seed, after)| {
        let at = theirs.seeds.iter().position(|s| s == seed)?;
        Some(after - theirs.after[at])
    });
    Spread::of(&pairs.collect::<Vec<_>>())
}

pub fn signed(spread: Option<Spread>) -> String {
    let Some(spread) = spread else { return "–".into() };
    let text = percent(&spread);
    if text.starts_with('-') {
        text.replacen('-', "−", 1)
    } else {
        format!("+{text}")
    }
}

fn bytes(number: Option<u32>) -> String {
    let Some(number) = number else { return "–".into() };
    let digits = number.to_string();
    let cut = digits.len().saturating_sub(3);
    match digits.split_at(cut) {
        ("", rest) => rest.to_string(),
        (start, rest) => format!("{start},{rest}"),
    }
}

/// Titles of what [`figures`] gives.
const FIGURES: [&str; 8] = [
    "before",
    "float",
    "residual",
    "− float",
    "SRAM, bytes",
    "stochastic",
    "− float",
    "SRAM, bytes",
];

/// What the product does in the row of `cell`, against float.
fn figures(row: &Cell<'_>, summaries: &[Summary]) -> [String; 8] {
    let found = PRODUCT.map(|method| of(row, method, summaries));
    let [float, residual, stochastic] = found;
    let most = found.iter().flatten().map(|s| s.accuracy.count).max().unwrap_or(0);
    let before = residual.or(stochastic).or(float).map(|s| format!("{:.1}", 100.0 * s.before));
    [
        before.unwrap_or_else(|| "–".into()),
        accuracy(float, most),
        accuracy(residual, most),
        signed(difference(residual, float)),
        bytes(residual.and_then(|s| s.sram)),
        accuracy(stochastic, most),
        signed(difference(stochastic, float)),
        bytes(stochastic.and_then(|s| s.sram)),
    ]
}

fn names(row: &Cell<'_>) -> [String; 3] {
    [row.network.title.clone(), row.data.title.clone(), row.scheme.name.clone()]
}

fn product(cells: &[Cell<'_>], summaries: &[Summary]) -> String {
    let mut text = header(&[&["network", "data", "scheme"][..], &FIGURES].concat());
    for row in rows(cells, &PRODUCT) {
        text += &line(&[&names(row)[..], &figures(row, summaries)].concat());
    }
    text
}

/// As [`product`], with what is measured, on how much, and what became of a new class; then what
/// there is to know of the data sets.
fn deployed(cells: &[Cell<'_>], summaries: &[Summary]) -> String {
    let ends = ["new class", "learnt, tested", "measure"];
    let mut text = header(&[&["network", "data", "scheme"][..], &FIGURES, &ends].concat());
    let mut notes: Vec<String> = Vec::new();
    for row in rows(cells, &PRODUCT) {
        let found = PRODUCT.iter().find_map(|&method| of(row, method, summaries));
        let recall = of(row, Method::Residual, summaries).and_then(|s| s.recall);
        let ends = [
            recall.map_or_else(|| "–".into(), |spread| percent(&spread)),
            found.map_or_else(|| "–".into(), |s| format!("{}, {}", s.train, s.test)),
            // A network without classes is what such data are for.
            match row.data.deployed.as_ref().and_then(|d| d.normal) {
                Some(_) => "AUC".into(),
                None => "accuracy".into(),
            },
        ];
        text += &line(&[&names(row)[..], &figures(row, summaries), &ends].concat());
        let about = row.data.about.as_ref();
        let note = about.map(|about| format!("\n*{}*: {}\n", row.data.title, about.trim()));
        notes.extend(note.filter(|note| !notes.contains(note)));
    }
    text + &notes.concat()
}

/// How much of the difference to float is int8 inference's, of rows where that was run.
fn inference(cells: &[Cell<'_>], summaries: &[Summary]) -> String {
    let titles = ["float", "float, int8 activations", "− float", "residual", "− int8 activations"];
    let mut text = header(&[&["network", "data", "scheme"][..], &titles].concat());
    let (mut costs, mut rests) = (Vec::new(), Vec::new());
    for row in rows(cells, &[Method::Rounded]) {
        let methods = [Method::Float, Method::Rounded, Method::Residual];
        let found = methods.map(|method| of(row, method, summaries));
        let [float, rounded, residual] = found;
        let most = found.iter().flatten().map(|s| s.accuracy.count).max().unwrap_or(0);
        let (cost, rest) = (difference(rounded, float), difference(residual, rounded));
        let Some((a, b)) = cost.zip(rest) else { continue };
        costs.push(a.mean);
        rests.push(b.mean);
        let ends = [
            accuracy(float, most),
            accuracy(rounded, most),
            signed(cost),
            accuracy(residual, most),
            signed(rest),
        ];
        text += &line(&[&names(row)[..], &ends].concat());
    }
    let means = Spread::of(&costs).zip(Spread::of(&rests));
    let Some((cost, rest)) = means else { return String::new() };
    text + &format!(
        "\nIn the mean of these {} rows int8 inference makes {}, and training in 8 bits {}.\n",
        cost.count,
        plain(Some(cost)),
        plain(Some(rest))
    )
}

fn parts(cells: &[Cell<'_>], summaries: &[Summary]) -> String {
    let rows = rows(cells, &PARTS);
    if rows.is_empty() {
        return String::new();
    }
    let mut text = header(&[
        "network",
        "data",
        "scheme",
        "as it is",
        "truncating update",
        "nearest, no residual",
        "no quantization-aware scaling",
    ]);
    for row in rows {
        let found = PARTS.map(|method| of(row, method, summaries));
        let whole = of(row, Method::Residual, summaries);
        let most = found.iter().chain([&whole]).flatten().map(|s| s.accuracy.count).max();
        let mut cells = names(row).to_vec();
        cells.push(accuracy(whole, most.unwrap_or(0)));
        cells.extend(found.map(|summary| accuracy(summary, most.unwrap_or(0))));
        text += &line(&cells);
    }
    text
}

/// The mean of each network's rows, where there are several networks: ` (mcunet −0.4, mbv2 −0.1)`.
pub fn by_network(rows: &[(String, f64)]) -> String {
    let mut networks: Vec<&String> = rows.iter().map(|(network, _)| network).collect();
    networks.dedup();
    if networks.len() < 2 {
        return String::new();
    }
    let of = |network: &String| {
        let rows: Vec<f64> = rows.iter().filter(|r| r.0 == *network).map(|r| r.1).collect();
        format!("{network} {}", plain(Spread::of(&rows)))
    };
    format!(" ({})", networks.into_iter().map(of).collect::<Vec<_>>().join(", "))
}

/// A mean without its spread.
pub fn plain(spread: Option<Spread>) -> String {
    signed(spread.map(|spread| Spread { deviation: None, ..spread }))
}

/// The mean difference to float over all rows, and the lowest, a line for each method.
fn means(cells: &[Cell<'_>], summaries: &[Summary]) -> String {
    let mut text = String::new();
    for method in [Method::Residual, Method::Stochastic] {
        let row = |row: &&Cell<'_>| {
            let [ours, float] = [method, Method::Float].map(|m| of(row, m, summaries));
            difference(ours, float).map(|spread| (spread.mean, row.name()))
        };
        let found: Vec<(f64, String)> = rows(cells, &PRODUCT).iter().filter_map(row).collect();
        let mean = Spread::of(&found.iter().map(|(mean, _)| *mean).collect::<Vec<_>>());
        let network = |name: &str| name.split('/').next().unwrap_or_default().to_string();
        let networks: Vec<_> = found.iter().map(|(mean, name)| (network(name), *mean)).collect();
        let lowest = found.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((mean, (lowest, name))) = mean.zip(lowest) {
            let name = name.rsplit_once('/').map_or("", |(row, _)| row);
            text += &format!(
                "\n*{}* − float over {} rows: {} in the mean{}, {} at the lowest ({name}).\n",
                method.name(),
                mean.count,
                plain(Some(mean)),
                by_network(&networks),
                signed(Spread::of(&[lowest])),
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;
    use crate::report::summaries;

    #[test]
    fn rows_say_what_was_not_run() {
        let plan = Plan::parse(include_str!("../../accuracy.toml")).unwrap();
        let mut tier = plan.tier("smoke").unwrap().clone();
        tier.seeds = vec![1, 2];
        let cell = |method: &str| format!("digits/rotated/sparse/{method}");
        let mut fast = record(&cell("residual"), 1, 0.75);
        fast.identity.rate = 2.0;
        let records = [
            record(&cell("float"), 1, 0.7),
            record(&cell("float"), 2, 0.8),
            record(&cell("residual"), 1, 0.69),
            record(&cell("residual"), 2, 0.77),
            record(&cell("stochastic"), 1, 0.71),
            fast,
        ];
        let text = tables(&plan, &tier, &summaries(&plan, &tier, &records));
        let row = text.lines().find(|l| l.contains("| sparse |")).unwrap();
        let wanted = "| sparse | 20.0 | 75.0 ± 7.1 | 73.0 ± 5.7 | −2.0 ± 1.4 | 1,000 | 71.0 (1 of 2) | +1.0 | 1,000 |";
        assert!(row.ends_with(wanted), "{row}");
        let row = text.lines().find(|l| l.starts_with("| MCUNet-5FPS")).unwrap();
        assert!(row.contains("| head | – | not run | not run |"), "{row}");
        assert!(
            text.contains("*residual* − float over 1 rows: −2.0 in the mean, −2.0 at the lowest")
        );
        let row = text.lines().find(|l| l.contains("sparse, residual")).unwrap();
        assert!(row.ends_with("| 69.0 | 75.0 | +6.0 | 2 | 1, 2 |"), "{row}");
        let widths = |l: &&str| l.starts_with('|');
        let first = text.lines().filter(widths).take(4).map(|l| l.matches('|').count());
        assert_eq!(first.collect::<std::collections::BTreeSet<_>>().len(), 1);
    }

    #[test]
    fn a_network_with_a_heading_of_its_own_is_counted_apart() {
        let title = "title = \"MCUNet-5FPS, quantised here\"";
        let text = include_str!("../../accuracy.toml");
        let text = text.replacen(title, &format!("{title}\nsection = \"Apart\""), 1);
        let plan = Plan::parse(&text).unwrap();
        let tier = plan.tier("smoke").unwrap();
        let records = [
            record("digits/rotated/sparse/float", 1, 0.75),
            record("digits/rotated/sparse/residual", 1, 0.74),
            record("mcunet/flowers/49kb/float", 1, 0.75),
            record("mcunet/flowers/49kb/residual", 1, 0.72),
        ];
        let text = tables(&plan, tier, &summaries(&plan, tier, &records));
        let (first, apart) = text.split_once("\n## Apart\n\n").unwrap();
        assert!(first.starts_with("## 8-bit training against float\n\n"), "{first}");
        assert!(first.contains("over 1 rows: −1.0 in the mean,") && !first.contains("MCUNet"));
        assert!(apart.contains("over 1 rows: −3.0 in the mean,"), "{apart}");
    }

    #[test]
    fn means_tell_networks_apart() {
        let row = |network: &str, value| (network.to_string(), value);
        let rows = [row("a", 0.02), row("a", 0.01), row("b", -0.005)];
        assert_eq!(by_network(&rows), " (a +1.5, b −0.5)");
        assert_eq!(by_network(&rows[..2]), "");
    }
}
