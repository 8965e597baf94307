//! A plot as an SVG: sizes to the right, each ten times the one before at the same distance, and ratios upwards.

use std::fmt::Write as _;

use super::report::grouped;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 40.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;

/// Ratios above this are drawn in powers of ten, too.
const STEEP: f64 = 20.0;

pub(crate) fn svg(title: &str, unit: &str, points: &[(u64, f64)]) -> String {
    let most = points.iter().map(|(_, ratio)| *ratio).fold(2.0, f64::max);
    let upwards = Axis::new(most);
    // Zero has no logarithm, and stands where one would.
    let decades = |size: u64| decimal(size.max(1)).log10();
    let (first, last) =
        (points.first().map_or(1, |point| point.0), points.last().map_or(10, |point| point.0));
    let (from, to) = (decades(first), decades(last).max(decades(first) + 0.1));
    let x = |size: u64| LEFT + (decades(size) - from) / (to - from) * (WIDTH - LEFT - RIGHT);
    let y = |ratio: f64| HEIGHT - BOTTOM - upwards.part(ratio) * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{title}</text>\n\
         <text x=\"{LEFT}\" y=\"40\" fill=\"#555\">processor time, beside the first point</text>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{unit}</text>\n",
        f64::midpoint(LEFT, WIDTH - RIGHT),
        HEIGHT - 16.0,
    );
    for tick in upwards.ticks() {
        let at = y(tick);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick} ×</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0,
        );
    }
    for (size, _) in points {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(*size),
            HEIGHT - BOTTOM + 20.0,
            grouped(*size)
        );
    }
    let line: Vec<String> =
        points.iter().map(|(size, ratio)| format!("{:.1},{:.1}", x(*size), y(*ratio))).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"2\"/>",
        line.join(" ")
    );
    for (size, ratio) in points {
        let (x, y) = (x(*size), y(*ratio));
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"#1f6feb\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{ratio:.2}</text>",
            y - 10.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// How ratios are drawn.
enum Axis {
    /// From zero to this.
    Even(f64),
    /// From 0.1 to ten to the power of this.
    Decades(i32),
}

impl Axis {
    fn new(most: f64) -> Self {
        if most > STEEP {
            Self::Decades((0..12).find(|power| 10_f64.powi(*power) >= most).unwrap_or(12))
        } else {
            Self::Even(most.ceil())
        }
    }

    /// Where a ratio stands, from 0 at the bottom to 1 at the top.
    fn part(&self, ratio: f64) -> f64 {
        match self {
            Self::Even(most) => ratio / most,
            Self::Decades(power) => (ratio.max(0.1).log10() + 1.0) / f64::from(power + 1),
        }
    }

    fn ticks(&self) -> Vec<f64> {
        match self {
            Self::Even(most) => (0..=8).map(|at| f64::from(at) * most / 8.0).collect(),
            Self::Decades(power) => (-1..=*power).map(|power| 10_f64.powi(power)).collect(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn decimal(size: u64) -> f64 {
    size as f64
}
