//! The picture as SVG.
//!
//! Colours are told apart by those who see few (they are Okabe and Ito's, or near them), the picture
//! brings its own background, and viewers that prefer dark get a dark one. What has no room for a
//! label has a tooltip.

use std::fmt::Write;

use super::super::{grouped, shortened, Kind, Report, Tensor};
use super::{fullest, Time};

/// Size of the picture and of the part of it that is the arena, in pixels.
const WIDTH: f64 = 1280.0;
const HEIGHT: f64 = 760.0;
const LEFT: f64 = 96.0;
const TOP: f64 = 84.0;
const PLOT: [f64; 2] = [WIDTH - LEFT - 32.0, 540.0];
/// Share of the plot's height that stays free above the peak, for its label.
const HEADROOM: f64 = 0.07;
/// Size of a label's letters, least and most, and how wide one of size 1 is at most of them.
const LETTER: [f64; 2] = [8.0, 11.0];
const WIDE: f64 = 0.6;

const STYLE: &str = "
  text { font: 12px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #222 }
  .title { font-size: 18px; font-weight: 600 }
  .label { fill: #111 }
  .paper { fill: #fff }
  .arena { fill: #f4f4f4 }
  .grid { stroke: #d8d8d8; stroke-width: 1 }
  .line { stroke: #222; fill: none; stroke-width: 1.5 }
  .bound { stroke-dasharray: 7 5 }
  .full { stroke-dasharray: 2 3; stroke-width: 1 }
  .mark { fill: #222 }
  .tensor { stroke: #fff; stroke-width: 0.6 }
  .input { fill: #f0e442 } .activation { fill: #56b4e9 } .band { fill: #3fb896 }
  .saved { fill: #e69f00 } .again { fill: #e2673a } .mask { fill: #b9b9b9 } .error { fill: #d996bd }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6e6e6 } .label { fill: #111 } .paper { fill: #16181c } .arena { fill: #23262c }
    .grid { stroke: #3a3f47 } .line { stroke: #e6e6e6 } .mark { fill: #e6e6e6 } .tensor { stroke: #16181c }
  }
";

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Kind::Input => "input",
            Kind::Activation => "activation",
            Kind::Band => "band",
            Kind::Saved => "saved",
            Kind::Again => "again",
            Kind::Mask => "mask",
            Kind::Error => "error",
        }
    }
}

/// A picture while it is drawn.
struct Drawing<'r> {
    report: &'r Report,
    time: Time,
    /// Bytes that the plot is high.
    high: f64,
    out: String,
    labels: String,
}

/// The arena of `report`'s program against time. Every tensor is one `rect` of class `tensor`, with its
/// place in [`Report::tensors`] as `data-tensor`.
pub fn svg(report: &Report) -> String {
    let high = f64::from(report.plan.peak.max(1)) * (1.0 + HEADROOM);
    let (time, out, labels) = (Time::of(report), String::new(), String::new());
    let mut drawing = Drawing { report, time, high, out, labels };
    drawing.head();
    drawing.axes();
    for (index, tensor) in report.tensors.iter().enumerate() {
        drawing.tensor(index, tensor);
    }
    drawing.lines();
    // Last, so that nothing covers them.
    let labels = std::mem::take(&mut drawing.labels);
    drawing.out.push_str(&labels);
    drawing.legend();
    drawing.out.push_str("</svg>\n");
    drawing.out
}

impl Drawing<'_> {
    fn x(&self, share: f64) -> f64 {
        LEFT + share * PLOT[0]
    }

    fn y(&self, bytes: f64) -> f64 {
        TOP + PLOT[1] * (1.0 - bytes / self.high)
    }

    fn put(&mut self, part: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "{part}");
    }

    fn text(&mut self, [x, y]: [f64; 2], anchor: &str, class: &str, text: &str) {
        let text = escaped(text);
        self.put(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    fn line(&mut self, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
        self.put(format_args!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }

    fn head(&mut self) {
        let (report, sram) = (self.report, &self.report.sram);
        let [w, h] = PLOT;
        self.put(format_args!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">"#
        ));
        let title = format!("{}: arena of one training step", report.model);
        self.put(format_args!("<title>{}</title>\n<style>{STYLE}</style>", escaped(&title)));
        self.put(format_args!(r#"<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>"#));
        self.put(format_args!(
            r#"<rect class="arena" x="{LEFT}" y="{TOP}" width="{w}" height="{h}"/>"#
        ));
        self.text([LEFT, 32.0], "start", "title", &shortened(&title, 100));
        let of = match report.budget {
            u64::MAX => String::new(),
            budget => format!(" of {} B", grouped(budget)),
        };
        let [arena, state, scratch, total] =
            [sram.arena, sram.trainable, sram.scratch, sram.total].map(|n| grouped(n.into()));
        let parts = format!(
            "SRAM on {}: arena {arena} + trainable state {state} + scratch {scratch} = {total} B{of}",
            report.board
        );
        self.text([LEFT, 56.0], "start", "", &parts);
    }

    fn axes(&mut self) {
        let step = round_step(f64::from(self.report.plan.peak.max(1)) / 6.0);
        let [right, bottom] = [LEFT + PLOT[0], TOP + PLOT[1]];
        let mut bytes = 0.0;
        while bytes <= self.high {
            let y = self.y(bytes);
            self.line("grid", [LEFT, y, right, y]);
            self.text([LEFT - 8.0, y + 4.0], "end", "", &grouped(bytes as u64));
            bytes += step;
        }
        self.text([LEFT - 8.0, TOP - 10.0], "end", "", "bytes");
        // A number every 90 pixels, for the op that lies there.
        let mut last = None;
        for at in 0..=(PLOT[0] / 90.0) as usize {
            let index = self.time.at(at as f64 * 90.0 / PLOT[0]);
            let x = self.x(self.time.begin(index));
            if last.is_none_or(|last| x > last + 45.0) && index < self.time.ops() {
                self.line("grid", [x, bottom, x, bottom + 5.0]);
                self.text([x, bottom + 18.0], "middle", "", &index.to_string());
                last = Some(x);
            }
        }
        self.text([LEFT - 8.0, bottom + 18.0], "end", "", "op");
        let forward = self.report.forward_ops as usize;
        let boundary = self.x(self.time.begin(forward));
        let y = bottom + 38.0;
        if forward < self.time.ops() {
            let top = self.y(self.report.plan.peak.into());
            self.line("line", [boundary, top, boundary, bottom + 42.0]);
        }
        for (name, from, to) in [("forward", LEFT, boundary), ("backward", boundary, right)] {
            if to - from > 60.0 {
                self.text([(from + to) / 2.0, y], "middle", "", name);
            }
        }
    }

    fn tensor(&mut self, index: usize, tensor: &Tensor) {
        let (x, end) = (self.time.begin(tensor.first as usize), tensor.last as usize + 1);
        let (left, right) = (self.x(x), self.x(self.time.begin(end)));
        let [low, high] = [0, tensor.bytes].map(|up| f64::from(tensor.offset) + f64::from(up));
        let (top, bottom) = (self.y(high), self.y(low));
        let [width, height] = [right - left, bottom - top];
        let size = grouped(tensor.bytes.into());
        let mut tip = format!(
            "{}\n{}{}\n{size} B at {}\nops {} to {}",
            tensor.name,
            tensor.kind.name(),
            if tensor.layer.is_empty() { String::new() } else { format!(" of {}", tensor.layer) },
            grouped(tensor.offset.into()),
            tensor.first,
            tensor.last
        );
        for other in &tensor.reused_by {
            let _ = write!(tip, "\nthen {other}");
        }
        let (class, tip) = (tensor.kind.class(), escaped(&tip));
        self.put(format_args!(
            r#"<rect class="tensor {class}" data-tensor="{index}" x="{left:.2}" y="{top:.2}" width="{width:.2}" height="{height:.2}"><title>{tip}</title></rect>"#
        ));
        // Along the longer side, where there is room for it.
        let upright = width < 48.0 && height > width;
        let [long, short] = if upright { [height, width] } else { [width, height] };
        let size = (short - 2.0).min(LETTER[1]);
        let room = ((long - 6.0) / (size * WIDE)) as usize;
        if size < LETTER[0] || room < 5 {
            return;
        }
        let label = escaped(&label(tensor, room));
        let [x, y] = [(left + right) / 2.0, (top + bottom) / 2.0];
        let turn = if upright {
            format!(r#" transform="rotate(-90 {x:.1} {y:.1})""#)
        } else {
            String::new()
        };
        let y = y + size * 0.36;
        let _ = writeln!(
            self.labels,
            r#"<text class="label" x="{x:.1}" y="{y:.1}" style="font-size: {size:.1}px" text-anchor="middle" pointer-events="none"{turn}>{label}</text>"#
        );
    }

    /// Peak, lower bound, and the op at which the most bytes live.
    fn lines(&mut self) {
        let plan = self.report.plan;
        let [right, bottom] = [LEFT + PLOT[0], TOP + PLOT[1]];
        let peak = self.y(plan.peak.into());
        self.line("line peak", [LEFT, peak, right, peak]);
        let [highest, least] = [plan.peak, plan.lower_bound].map(|n| grouped(n.into()));
        let says = if plan.lower_bound < plan.peak {
            let bound = self.y(plan.lower_bound.into());
            self.line("line bound", [LEFT, bound, right, bound]);
            format!("peak {highest} B; dashed: lower bound {least} B")
        } else {
            format!("peak {highest} B = lower bound: no placing in this order needs less")
        };
        let (index, live) = fullest(self.report);
        let x = self.x(self.time.middle(index));
        // Away from the mark.
        let (at, anchor) =
            if x < LEFT + PLOT[0] / 2.0 { (right, "end") } else { (LEFT + 6.0, "start") };
        self.text([at, peak - 8.0], anchor, "", &says);
        self.line("line full", [x, peak, x, bottom]);
        self.put(format_args!(r#"<path class="mark" d="M{x:.1} {peak:.1} l-6 -10 h12 z"/>"#));
        let name = self.report.ops.get(index).map_or("", String::as_str);
        let text =
            format!("▲ op {index} ({}): {} B live, the most", shortened(name, 60), grouped(live));
        let anchor = match (x - LEFT) / PLOT[0] {
            share if share < 0.3 => "start",
            share if share > 0.7 => "end",
            _ => "middle",
        };
        self.text([x, bottom + 60.0], anchor, "", &text);
    }

    fn legend(&mut self) {
        let (mut x, y) = (LEFT, HEIGHT - 26.0);
        for kind in Kind::ALL {
            if !self.report.tensors.iter().any(|t| t.kind == kind) {
                continue;
            }
            let class = kind.class();
            self.put(format_args!(
                r#"<rect class="{class}" x="{x:.1}" y="{:.1}" width="16" height="12"/>"#,
                y - 10.0
            ));
            self.text([x + 22.0, y], "start", "", kind.name());
            x += 22.0 + 24.0 + kind.name().len() as f64 * 7.0;
        }
    }
}

/// Whose tensor it is and what it is there for, in at most `room` characters.
fn label(tensor: &Tensor, room: usize) -> String {
    let whose = if tensor.layer.is_empty() { &tensor.name } else { &tensor.layer };
    let long = match tensor.kind {
        Kind::Input => whose.clone(),
        kind => format!("{whose}, {}", kind.name()),
    };
    let size = format!("{long}, {} B", grouped(tensor.bytes.into()));
    let fits = |text: &String| text.chars().count() <= room;
    [size, long].into_iter().find(fits).unwrap_or_else(|| shortened(whose, room))
}

/// 1, 2 or 5 times a power of ten, near `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.max(1.0).log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0].into_iter().find(|n| n * power >= step);
    nice.unwrap_or(10.0) * power
}

/// As XML has it; characters that it has not become question marks.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}
