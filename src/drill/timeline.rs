//! A drill as a picture: one lane for each operation, what was done and what failed, and what happened meanwhile.

use std::fmt::Write;

use super::findings::Findings;
use super::record::{Operation, Sample};

const WIDTH: u64 = 1_000;
const LEFT: u64 = 80;
const RIGHT: u64 = 20;
const LANE: u64 = 70;
const LANE_GAP: u64 = 16;
const TOP: u64 = 60;
const BOTTOM: u64 = 40;
/// The lanes are divided into so many columns.
const COLUMNS: u64 = 225;

/// The picture, as a whole SVG document.
pub(super) fn draw(findings: &Findings) -> String {
    let mut svg = String::new();
    write(findings, &mut svg).expect("writing to a string never fails");
    svg
}

fn write(findings: &Findings, svg: &mut String) -> std::fmt::Result {
    let lanes = Operation::ALL.len() as u64;
    let bottom = TOP + lanes * (LANE + LANE_GAP);
    let height = bottom + BOTTOM;
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">"#
    )?;
    writeln!(svg, r##"<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>"##)?;
    let length_ms = findings.length_ms.max(1);
    for (at, sum) in (0..).zip(findings.sums()) {
        let y = TOP + at * (LANE + LANE_GAP);
        let gap = (sum.gap_at_ms, sum.gap_at_ms + sum.longest_gap_ms());
        lane(svg, &findings.samples, sum.operation, y, length_ms, gap)?;
    }
    axis(svg, length_ms, bottom)?;
    let marks = findings.marks.iter().map(|mark| (mark.at_ms, mark.what.clone(), "#b3261e"));
    let elections = findings.elections.iter();
    let elections =
        elections.map(|won| (won.at_ms, format!("{} leads ({} ms)", won.leader, won.took_ms), "#1a56b0"));
    for (at, (at_ms, what, colour)) in (0..).zip(marks.chain(elections)) {
        event(svg, x(at_ms, length_ms), &what, colour, 16 + at % 3 * 15, bottom)?;
    }
    writeln!(svg, "</svg>")
}

fn x(at_ms: u64, length_ms: u64) -> u64 {
    LEFT + at_ms.min(length_ms) * (WIDTH - LEFT - RIGHT) / length_ms
}

/// One operation: a column for each moment, what was done upwards and what failed in red; its longest gap shaded.
fn lane(
    svg: &mut String,
    samples: &[Sample],
    operation: Operation,
    y: u64,
    length_ms: u64,
    gap: (u64, u64),
) -> std::fmt::Result {
    let (from, to) = (x(gap.0, length_ms), x(gap.1, length_ms));
    let base = y + LANE;
    writeln!(svg, r#"<text x="8" y="{}">{}</text>"#, y + LANE / 2, operation.name())?;
    writeln!(
        svg,
        r##"<rect x="{from}" y="{y}" width="{}" height="{LANE}" fill="#fdecc8"/>"##,
        (to - from).max(1)
    )?;
    let mut columns = vec![(0_u64, 0_u64); usize::try_from(COLUMNS).unwrap_or(0)];
    for sample in samples.iter().filter(|sample| sample.operation == operation) {
        let at = sample.at_ms.min(length_ms - 1) * COLUMNS / length_ms;
        if let Some((done, failed)) = usize::try_from(at).ok().and_then(|at| columns.get_mut(at)) {
            *(if sample.done { done } else { failed }) += 1;
        }
    }
    let most = columns.iter().map(|(done, failed)| done + failed).max().unwrap_or(0).max(1);
    for (at, (done, failed)) in (0..).zip(columns) {
        let column = x(at * length_ms / COLUMNS, length_ms);
        let (up, down) = (done * LANE / most, failed * LANE / most);
        let width = (WIDTH - LEFT - RIGHT) / COLUMNS;
        if up > 0 {
            writeln!(
                svg,
                r##"<rect x="{column}" y="{}" width="{width}" height="{up}" fill="#3a8f4d"/>"##,
                base - up
            )?;
        }
        if down > 0 {
            let top = base - up - down;
            writeln!(
                svg,
                r##"<rect x="{column}" y="{top}" width="{width}" height="{down}" fill="#d33a2c"/>"##
            )?;
        }
    }
    writeln!(svg, r##"<line x1="{LEFT}" x2="{}" y1="{base}" y2="{base}" stroke="#888888"/>"##, WIDTH - RIGHT)
}

fn axis(svg: &mut String, length_ms: u64, bottom: u64) -> std::fmt::Result {
    let secs = length_ms / 1_000;
    let step = (secs / 15).max(1);
    for second in (0..=secs).filter(|second| second.is_multiple_of(step)) {
        let x = x(second * 1_000, length_ms);
        writeln!(
            svg,
            r##"<text x="{x}" y="{}" fill="#555555" text-anchor="middle">{second} s</text>"##,
            bottom + 20
        )?;
    }
    Ok(())
}

fn event(svg: &mut String, x: u64, what: &str, colour: &str, y: u64, bottom: u64) -> std::fmt::Result {
    writeln!(
        svg,
        r#"<line x1="{x}" x2="{x}" y1="{y}" y2="{bottom}" stroke="{colour}" stroke-dasharray="4 3"/>"#
    )?;
    let (anchor, x) = if x > WIDTH / 2 { ("end", x - 4) } else { ("start", x + 4) };
    writeln!(svg, r#"<text x="{x}" y="{y}" fill="{colour}" text-anchor="{anchor}">{}</text>"#, escaped(what))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
