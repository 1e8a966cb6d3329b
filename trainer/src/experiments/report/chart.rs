//! Learning curves as an SVG picture.

use super::html::escaped;
use std::fmt::Write;

/// A curve: its name, its class in the style sheet, and points (epoch, value).
pub(super) struct Series {
    pub(super) name: String,
    pub(super) class: String,
    pub(super) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 230.0;
/// Left, right, top, bottom.
const MARGIN: [f64; 4] = [48.0, 10.0, 26.0, 34.0];
/// About so many lines of the grid in either direction.
const TICKS: f64 = 5.0;

/// The picture of `series`; empty text when no curve has a point.
pub(super) fn chart(title: &str, series: &[Series]) -> String {
    let points = || series.iter().flat_map(|series| finite(&series.points));
    if points().next().is_none() {
        return String::new();
    }
    let horizontal = Axis::new(
        points().map(|(epoch, _)| epoch).chain([0.0]),
        MARGIN[0],
        WIDTH - MARGIN[1],
    );
    let vertical = Axis::new(points().map(|(_, value)| value), HEIGHT - MARGIN[3], MARGIN[2]);
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\
         <text class=\"title\" x=\"{}\" y=\"15\">{title}</text>",
        MARGIN[0],
        title = escaped(title),
    );
    grid(&mut svg, &horizontal, &vertical);
    for series in series {
        let line: Vec<String> = finite(&series.points)
            .map(|(epoch, value)| format!("{:.1},{:.1}", horizontal.place(epoch), vertical.place(value)))
            .collect();
        let (name, class) = (escaped(&series.name), escaped(&series.class));
        // Writing to a text cannot fail.
        let _ = match line.as_slice() {
            [] => Ok(()),
            [point] => {
                let (x, y) = point.split_once(',').unwrap_or_default();
                write!(
                    svg,
                    "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"2.5\"><title>{name}</title></circle>"
                )
            }
            line => write!(
                svg,
                "<polyline class=\"{class}\" points=\"{}\"><title>{name}</title></polyline>",
                line.join(" ")
            ),
        };
    }
    svg + "</svg>"
}

fn finite(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    points
        .iter()
        .copied()
        .filter(|(epoch, value)| epoch.is_finite() && value.is_finite() && value.abs() < 1e12)
}

fn grid(svg: &mut String, horizontal: &Axis, vertical: &Axis) {
    let [left, right, top, bottom] = [MARGIN[0], WIDTH - MARGIN[1], MARGIN[2], HEIGHT - MARGIN[3]];
    for value in vertical.ticks() {
        let y = vertical.place(value);
        let text = vertical.text(value);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
             <text class=\"tick\" text-anchor=\"end\" x=\"{}\" y=\"{:.1}\">{text}</text>",
            left - 5.0,
            y + 3.5
        );
    }
    for value in horizontal.ticks() {
        let x = horizontal.place(value);
        let text = horizontal.text(value);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\
             <text class=\"tick\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{}\">{text}</text>",
            bottom + 13.0
        );
    }
    let _ = write!(
        svg,
        "<text class=\"tick\" text-anchor=\"middle\" x=\"{}\" y=\"{}\">epoch</text>",
        (left + right) / 2.0,
        bottom + 27.0
    );
}

/// From values to places on the picture, between multiples of a round step.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis that holds `values`, at least one, all finite, from the place of its low end to that of its high end.
    fn new(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let range = (high - low).max(1e-3 * high.abs()).max(1e-6);
        let power = 10f64.powf((range / TICKS).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|factor| factor * power)
            .into_iter()
            .find(|step| range / step <= TICKS)
            .unwrap_or(10.0 * power);
        Self {
            low: (low / step).floor() * step,
            high: ((high / step).ceil() * step).max((low / step).floor() * step + step),
            step,
            from,
            to,
        }
    }

    fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count).map(|index| self.low + index as f64 * self.step)
    }

    fn text(&self, value: f64) -> String {
        let decimals = (-self.step.log10().floor()).clamp(0.0, 9.0) as usize;
        // A tick at zero is never "-0".
        let value = (value / self.step).round() * self.step + 0.0;
        format!("{value:.decimals$}")
    }
}
