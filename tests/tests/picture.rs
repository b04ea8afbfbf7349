//! The memory picture: every tensor of the arena is drawn once, where the plan has it, no two are drawn
//! over each other, and labels stay within what they name.

use std::collections::BTreeSet;

use offshoot::bank::Banked;
use offshoot::fit::Limits;
use offshoot::guard::Guarded;
use offshoot::pipeline::Compiled;
use offshoot::pipeline::Layout;
use offshoot::report::{picture, Kind, Report};
use offshoot::trim::Trim;
use offshoot_tests::cases::{Case, DEMO, MCUNET};
use roxmltree::{Document, Node};

/// The report of a network, on the board that it is shipped for.
fn report(compiled: &Compiled) -> Report {
    let limits = Limits { sram: 248 * 1024, flash: 1 << 20 };
    Report::new(compiled, "qemu-mps2-an386", limits, Guarded::default(), Banked::default())
        .expect("a report")
}

/// The demo's network, and where it is there MCUNet, which runs in bands.
fn reports() -> Vec<Report> {
    let mut reports = vec![report(&DEMO.compile(None)), report(&DEMO.compile(Some("head")))];
    let case = Case { name: "mcunet-picture", classes: Some(10), ..MCUNET };
    if case.is_there() {
        reports.push(report(&case.compile(None)));
    }
    reports
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    let text = node.attribute(name).unwrap_or_else(|| panic!("no {name}"));
    text.parse().unwrap_or_else(|_| panic!("{name} is {text}"))
}

/// Left, top, right, bottom.
fn extent(node: Node<'_, '_>) -> [f64; 4] {
    let [x, y, w, h] = ["x", "y", "width", "height"].map(|name| number(node, name));
    [x, y, x + w, y + h]
}

fn of_class<'d>(document: &'d Document<'d>, class: &'d str) -> Vec<Node<'d, 'd>> {
    let is_of = |node: &Node<'_, '_>| {
        node.attribute("class").is_some_and(|all| all.split(' ').any(|one| one == class))
    };
    document.descendants().filter(is_of).collect()
}

/// Hundredths of a pixel are rounded away.
const ROUNDED: f64 = 0.02;

/// Finds what is wrong with a picture of `report`.
fn fault(report: &Report, svg: &str) -> Result<(), String> {
    let document = Document::parse(svg).map_err(|e| e.to_string())?;
    let one = |class| match of_class(&document, class).as_slice() {
        [only] => Ok(*only),
        found => Err(format!("{} elements of class {class}", found.len())),
    };
    let plot = extent(one("arena")?);
    let peak = one("peak")?;
    let [zero, peak] = [plot[3], number(peak, "y1")];
    let per_byte = (zero - peak) / f64::from(report.plan.peak);
    let drawn = of_class(&document, "tensor");
    let mut extents = Vec::new();
    let mut seen = BTreeSet::new();
    for node in drawn {
        let index = number(node, "data-tensor") as usize;
        let tensor = report.tensors.get(index).ok_or(format!("there is no tensor {index}"))?;
        if !seen.insert(index) {
            return Err(format!("tensor {index} is drawn twice"));
        }
        let [left, top, right, bottom] = extent(node);
        let inside =
            left >= plot[0] - ROUNDED && right <= plot[2] + ROUNDED && top >= peak - ROUNDED;
        if !inside || bottom > zero + ROUNDED || right - left <= 0.0 {
            return Err(format!("tensor {index} is drawn outside"));
        }
        let ends = [tensor.offset, tensor.offset + tensor.bytes];
        for (drawn, byte) in [bottom, top].into_iter().zip(ends) {
            if (drawn - (zero - f64::from(byte) * per_byte)).abs() > 2.0 * ROUNDED {
                return Err(format!("tensor {index} is drawn at other bytes"));
            }
        }
        let tip = node.first_element_child().and_then(|t| t.text()).unwrap_or_default();
        if !tip.contains(&tensor.name) || !tip.contains(tensor.kind.name()) {
            return Err(format!("the tooltip of tensor {index} is {tip:?}"));
        }
        extents.push([left, top, right, bottom]);
    }
    if seen.len() != report.tensors.len() {
        return Err(format!("{} of {} tensors are drawn", seen.len(), report.tensors.len()));
    }
    for (at, a) in extents.iter().enumerate() {
        for b in &extents[at + 1..] {
            let shared = |low: usize| a[low + 2].min(b[low + 2]) - a[low].max(b[low]);
            if shared(0) > 2.0 * ROUNDED && shared(1) > 2.0 * ROUNDED {
                return Err(format!("two tensors are drawn over each other: {a:?}, {b:?}"));
            }
        }
    }
    for label in of_class(&document, "label") {
        in_one(label, &extents)?;
    }
    for text in document.descendants().filter(|n| n.has_tag_name("text")) {
        within(text)?;
    }
    let top = extents.iter().map(|e| e[1]).fold(f64::MAX, f64::min);
    if (top - peak).abs() > 8.0 * per_byte + ROUNDED {
        return Err(format!("the peak is drawn at {peak}, the highest tensor at {top}"));
    }
    Ok(())
}

/// About the width of a letter of size 1.
const WIDE: f64 = 0.6;

fn length(text: Node<'_, '_>, size: f64) -> f64 {
    text.text().unwrap_or_default().chars().count() as f64 * size * WIDE
}

/// A label lies in the rectangle that its middle is in.
fn in_one(label: Node<'_, '_>, extents: &[[f64; 4]]) -> Result<(), String> {
    let style = label.attribute("style").unwrap_or_default();
    let size = style.trim_start_matches("font-size: ").trim_end_matches("px");
    let size: f64 = size.parse().map_err(|_| format!("the style {style:?}"))?;
    let (x, y) = (number(label, "x"), number(label, "y") - size * 0.36);
    let around = |e: &&[f64; 4]| e[0] < x && x < e[2] && e[1] < y && y < e[3];
    let rectangle = extents.iter().find(around).ok_or("a label lies in no tensor")?;
    let sides = [rectangle[2] - rectangle[0], rectangle[3] - rectangle[1]];
    let upright = label.attribute("transform").is_some();
    let [along, across] = if upright { [sides[1], sides[0]] } else { sides };
    if length(label, size) > along || size > across {
        return Err(format!("the label {:?} is too large", label.text()));
    }
    Ok(())
}

/// A text ends within the picture.
fn within(text: Node<'_, '_>) -> Result<(), String> {
    let (x, long) = (number(text, "x"), length(text, 12.0));
    let (from, to) = match text.attribute("text-anchor") {
        Some("start") => (x, x + long),
        Some("end") => (x - long, x),
        _ => (x - long / 2.0, x + long / 2.0),
    };
    let width = number(text.document().root_element(), "width");
    match from >= 0.0 && to <= width {
        true => Ok(()),
        false => Err(format!("the text {:?} ends outside", text.text())),
    }
}

/// Most bytes that live at one op, of tensors that each take a multiple of 8.
fn most_live(report: &Report) -> u64 {
    let live = |index| {
        let there = report.tensors.iter().filter(|t| t.lives_at(index));
        there.map(|t| u64::from(t.bytes.next_multiple_of(8))).sum::<u64>()
    };
    (0..report.ops.len()).map(live).max().unwrap_or(0)
}

#[test]
fn every_tensor_is_drawn_once_where_it_lies() {
    for report in reports() {
        let svg = picture::svg(&report);
        fault(&report, &svg).unwrap_or_else(|e| panic!("{}: {e}", report.model));
        assert_eq!(report.check(), Ok(()));
        assert_eq!(most_live(&report), u64::from(report.plan.lower_bound), "{}", report.model);
        println!("{}: {} tensors drawn, {} bytes", report.model, report.tensors.len(), svg.len());
    }
}

/// The check can fail: each defect that it is there to find is put in, and must be found.
#[test]
fn defects_of_a_picture_are_found() {
    let report = report(&DEMO.compile(None));
    let svg = picture::svg(&report);
    let found = |report: &Report, svg: &str, says: &str| {
        let why = fault(report, svg).expect_err("a check that finds the defect");
        assert!(why.contains(says), "{why}");
    };
    found(&report, &svg.replacen("data-tensor=\"1\"", "data-tensor=\"0\"", 1), "twice");
    found(&report, &svg.replacen("class=\"tensor ", "class=\"", 1), "are drawn");
    found(&report, &svg.replace("</svg>", ""), "root");
    let mut moved = report.clone();
    moved.tensors[3].offset += 64;
    found(&moved, &svg, "at other bytes");
    let mut higher = report.clone();
    higher.plan.peak += 4096;
    found(&higher, &picture::svg(&higher), "the peak is drawn");
    let mut laid_over = report.clone();
    let input = laid_over.tensors[0].clone();
    let other = laid_over.tensors.iter().position(|t| t.first == 0 && t.offset != input.offset);
    laid_over.tensors[other.expect("the first op's output")].offset = input.offset;
    found(&laid_over, &picture::svg(&laid_over), "over each other");
    let label = svg.find("class=\"label\"").expect("a label");
    let end = label + svg[label..].find("</text>").expect("its end");
    let long = format!("{}{}{}", &svg[..end], "x".repeat(200), &svg[end..]);
    found(&report, &long, "is too large");
    let mut renamed = report.clone();
    renamed.tensors.iter_mut().for_each(|t| t.kind = Kind::Band);
    found(&renamed, &svg, "tooltip");
}

#[test]
fn names_of_any_characters_are_drawn() {
    let mut report = report(&DEMO.compile(None));
    report.model = "a<b>&\"c\"\u{1}\u{ffff}".into();
    for tensor in &mut report.tensors {
        tensor.name = "<&>\u{0}é名".into();
        tensor.layer.clone_from(&tensor.name);
    }
    let svg = picture::svg(&report);
    let document = Document::parse(&svg).expect("XML");
    assert_eq!(of_class(&document, "tensor").len(), report.tensors.len());
    assert!(svg.contains("é名"));
}

/// A program without ops, or with impossible figures, is drawn as well as can be.
#[test]
fn empty_and_broken_reports_are_drawn() {
    let empty = Report::default();
    Document::parse(&picture::svg(&empty)).expect("XML");
    assert!(!picture::text(&empty).is_empty());
    let mut broken = report(&DEMO.compile(None));
    broken.tensors[0].last = u32::MAX;
    broken.tensors[1].offset = u32::MAX;
    Document::parse(&picture::svg(&broken)).expect("XML");
    picture::text(&broken);
    let says = |report: &Report| report.check().unwrap_err().to_string();
    assert!(says(&broken).contains("ops that the program does not have"));
    broken.tensors.remove(0);
    assert!(says(&broken).contains("outside the arena"));
}

#[test]
fn the_text_picture_is_80_columns_wide_and_tells_the_peak() {
    for report in reports() {
        let text = picture::text(&report);
        println!("{text}");
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(widest <= 80, "{widest} columns:\n{text}");
        assert!(text.contains("forward -"), "{text}");
        let arena: Vec<&str> =
            text.lines().filter_map(|line| line.split_once('|')).map(|l| l.1).collect();
        // The highest row holds what lies at the peak; each kind that there is has its letter.
        assert!(arena[0].chars().any(|c| c != '.'), "{text}");
        for (kind, letter) in Kind::ALL.into_iter().zip(['i', 'a', 'b', 's', 'r', 'm', 'e']) {
            let there = report.tensors.iter().any(|t| t.kind == kind);
            assert_eq!(text.contains(&format!("{letter} {}", kind.name())), there, "{text}");
        }
    }
}

#[test]
fn kinds_are_those_of_the_passes() {
    let trim = Trim { recompute: 100, ..Trim::default() };
    let report = report(&DEMO.compile_in(None, Layout { trim, ..Layout::default() }));
    let forward = report.forward_ops;
    let again = report.tensors.iter().filter(|tensor| tensor.kind == Kind::Again);
    assert!(!report.again.is_empty() && again.count() >= report.again.len());
    for tensor in &report.tensors {
        let is_late = tensor.first >= forward;
        assert_eq!(is_late, matches!(tensor.kind, Kind::Error | Kind::Again), "{tensor:?}");
        match tensor.kind {
            Kind::Input => assert_eq!((tensor.first, tensor.layer.as_str()), (0, "")),
            Kind::Saved => assert!(tensor.last > forward, "{tensor:?}"),
            Kind::Activation | Kind::Band => assert!(tensor.last <= forward, "{tensor:?}"),
            Kind::Mask => assert!(tensor.name.ends_with(".mask"), "{tensor:?}"),
            Kind::Again => assert!(tensor.name.ends_with(" again"), "{tensor:?}"),
            Kind::Error => {}
        }
        let known = report.ops.contains(&tensor.layer);
        assert!(known || tensor.kind == Kind::Input, "{tensor:?}");
    }
}
