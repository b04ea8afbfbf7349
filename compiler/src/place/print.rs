//! A placed program's memory as text, for people and for tests.

use std::fmt::Write;

use super::budget::fullest_op;
use super::Placed;

/// Columns that a full arena takes.
const WIDTH: u64 = 40;

/// The memories' sizes, one line a tensor with a place of its own in the order of their lives, one
/// line an op with its live bytes.
pub fn print(placed: &Placed) -> String {
    let (mut text, header, plan) = (String::new(), &placed.header, &placed.plan);
    let gap = match plan.peak - plan.lower_bound.min(plan.peak) {
        0 => "reached".to_owned(),
        above => format!("{above} below"),
    };
    let fullest = fullest_op(placed);
    let name = |op: usize| placed.names.get(op).map_or("", String::as_str);
    let total = [header.arena, header.state, header.scratch].map(u64::from).iter().sum::<u64>();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "arena {} bytes, lower bound {} ({gap}), fullest at op {fullest} {:?}",
        header.arena,
        plan.lower_bound,
        name(fullest)
    );
    let _ = writeln!(text, "state {} + scratch {}, in all {total}", header.state, header.scratch);
    let _ = writeln!(text, "  offset      end    bytes  life       tensor");
    let rows = plan.live.iter().zip(&plan.offsets).zip(&placed.buffers);
    let mut rows: Vec<_> = rows.filter(|(_, buffer)| buffer.within.is_none()).collect();
    rows.sort_by_key(|((life, offset), _)| {
        life.map_or((1, 0, **offset), |l| (0, l.first, **offset))
    });
    for ((life, &offset), buffer) in rows {
        let Some(life) = life else {
            let _ = writeln!(
                text,
                "       -        - {:8}  unused     {:?}",
                buffer.bytes, buffer.name
            );
            continue;
        };
        let (end, life) = (offset + buffer.bytes, format!("{}..{}", life.first, life.last));
        let _ =
            writeln!(text, "{offset:8} {end:8} {:8}  {life:9}  {:?}", buffer.bytes, buffer.name);
    }
    let _ = writeln!(text, "    live  op");
    for (index, &bytes) in plan.profile.iter().enumerate() {
        let columns = (u64::from(bytes) * WIDTH).div_ceil(u64::from(plan.peak.max(1)));
        let bar = "#".repeat(columns as usize);
        let op = placed.ops.get(index).map_or("", |op| op.name());
        let _ = writeln!(text, "{bytes:8}  {bar:40}  {index} {op} {:?}", name(index));
    }
    text
}
