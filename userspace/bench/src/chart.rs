// SPDX-License-Identifier: MIT OR Apache-2.0

//! The chart: cost of an op against the number of flows.

use std::fmt::Write as _;

use crate::guest::SCALE;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 50.0;

/// Lines: what a figure is called, what the chart calls it, colour, dashes.
const LINES: [(&str, &str, &str, &str); 6] = [
    ("add/noop", "add, noop", "#1f6feb", ""),
    ("add/software", "add, software only", "#1f6feb", "6 4"),
    ("delete/noop", "delete, noop", "#cf222e", ""),
    ("delete/software", "delete, software only", "#cf222e", "6 4"),
    ("dump/noop", "dump, noop", "#1a7f37", ""),
    ("dump/software", "dump, software only", "#1a7f37", "6 4"),
];

/// Draws it; lines without figures are left out.
pub fn svg(median: impl Fn(&str) -> Option<f64>) -> String {
    let lines: Vec<_> = LINES
        .iter()
        .map(|&(figure, name, colour, dash)| {
            let points: Vec<(u32, f64)> = SCALE
                .iter()
                .filter_map(|&flows| Some((flows, median(&format!("{figure}@{flows}"))?)))
                .collect();
            (points, name, colour, dash)
        })
        .filter(|(points, ..)| !points.is_empty())
        .collect();
    let highest = lines
        .iter()
        .flat_map(|(points, ..)| points)
        .fold(1.0, |high: f64, (_, y)| high.max(*y));
    let step = 5_000.0;
    let top = (highest / step).ceil() * step;
    let (first, last) = (
        f64::from(SCALE[0]).ln(),
        f64::from(SCALE[SCALE.len() - 1]).ln(),
    );
    let x = |flows: u32| {
        LEFT + (f64::from(flows).ln() - first) / (last - first) * (WIDTH - LEFT - RIGHT)
    };
    let y = |cost: f64| HEIGHT - BOTTOM - cost / top * (HEIGHT - TOP - BOTTOM);

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"18\">instructions per op and flow</text>\n"
    );
    // Writing to a string can't fail.
    for n in 0..=(top / step) as u32 {
        let cost = f64::from(n) * step;
        let (at, end) = (y(cost), WIDTH - RIGHT);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{end}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{cost}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    for flows in SCALE {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{flows}</text>",
            x(flows),
            HEIGHT - BOTTOM + 18.0
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">flows that are there</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0
    );
    // Names stand at the ends of their lines, and not on each other.
    let mut ends: Vec<f64> = Vec::new();
    let mut order: Vec<_> = lines.iter().collect();
    order.sort_by(|a, b| {
        let end = |points: &[(u32, f64)]| points.last().map_or(0.0, |(_, y)| *y);
        end(&b.0).total_cmp(&end(&a.0))
    });
    for (points, name, colour, dash) in order {
        let path: Vec<String> = points
            .iter()
            .map(|&(flows, cost)| format!("{:.1},{:.1}", x(flows), y(cost)))
            .collect();
        let end = points.last().map_or(0.0, |&(_, cost)| y(cost) + 4.0);
        let end = ends.last().map_or(end, |above: &f64| end.max(above + 14.0));
        ends.push(end);
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-dasharray=\"{dash}\"/>\
             <text x=\"{}\" y=\"{end:.1}\" fill=\"{colour}\">{name}</text>",
            path.join(" "),
            WIDTH - RIGHT + 8.0
        );
    }
    out + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_figures_are_left_out() {
        let chart = svg(|name| name.starts_with("dump/").then_some(7000.0));
        assert_eq!(chart.matches("<polyline").count(), 2);
        assert!(!chart.contains("delete"));
    }
}
