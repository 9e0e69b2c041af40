//! Latency and memory over time, the faults shaded, as SVG.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::check::seconds;
use crate::ledger::{Books, Fault, Kind, SECOND, Time};
use crate::report::{Measured, latency, percentile};

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const PANEL: f64 = 220.0;
const TOP: f64 = 50.0;
const GAP: f64 = 45.0;
const LANE: f64 = 11.0;
const MIB: f64 = 1024.0 * 1024.0;

type Points = Vec<(Time, f64)>;

struct Plot {
    text: String,
    last: Time,
}

const fn colour(fault: Fault) -> &'static str {
    match fault {
        Fault::Upstream => "#d62728",
        Fault::Broken => "#8c564b",
        Fault::DiskFull => "#9467bd",
        Fault::ClockAhead => "#17a2b8",
        Fault::ClockBehind => "#2ca02c",
        Fault::Http2 => "#1f77b4",
        Fault::Hangups => "#e6a700",
        Fault::Drain => "#555555",
    }
}

/// The plot of all that was measured.
pub(crate) fn svg(books: &Books, measured: &Measured) -> String {
    let lanes = TOP + 2.0 * (PANEL + GAP);
    let height = lanes + LANE * Fault::ALL.len() as f64 + 40.0;
    let mut plot = Plot { text: String::new(), last: measured.drained.max(SECOND) };
    let _ = writeln!(
        plot.text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>"
    );
    plot.shade(books, lanes);
    let (median, late) = latencies(books);
    plot.label(
        LEFT,
        TOP - 28.0,
        "latency of small requests in each second, ms: median (blue), p99 (orange)",
    );
    plot.logarithmic(TOP);
    plot.line(&median, "#1f77b4", |value| TOP + log(value));
    plot.line(&late, "#ff7f0e", |value| TOP + log(value));
    let top = TOP + PANEL + GAP;
    let resident: Points =
        books.samples.iter().map(|sample| (sample.at, sample.resident as f64 / MIB)).collect();
    let proportional: Points =
        books.samples.iter().map(|sample| (sample.at, sample.proportional as f64 / MIB)).collect();
    let most = resident.iter().map(|(_, value)| *value).fold(1.0, f64::max) * 1.1;
    plot.label(
        LEFT,
        top - 10.0,
        "memory of keygate, MiB: resident (blue), and its share of what is shared (orange)",
    );
    plot.linear(top, most);
    plot.line(&resident, "#1f77b4", |value| top + PANEL * (1.0 - value / most));
    plot.line(&proportional, "#ff7f0e", |value| top + PANEL * (1.0 - value / most));
    plot.times(lanes + LANE * Fault::ALL.len() as f64 + 16.0);
    plot.text + "</svg>\n"
}

/// Median and p99 of each second.
fn latencies(books: &Books) -> (Points, Points) {
    let mut seconds: BTreeMap<Time, Vec<f64>> = BTreeMap::new();
    for record in &books.records {
        if let (Kind::Echo | Kind::Post, Some(time)) = (record.kind, latency(record)) {
            seconds.entry(record.from / SECOND).or_default().push(time);
        }
    }
    let mut points = (Points::new(), Points::new());
    for (second, mut times) in seconds {
        times.sort_by(f64::total_cmp);
        points.0.push((second * SECOND, percentile(&times, 0.5)));
        points.1.push((second * SECOND, percentile(&times, 0.99)));
    }
    points
}

/// From 0.1 ms to 100 s.
fn log(value: f64) -> f64 {
    PANEL * (1.0 - (value.max(0.1).log10() + 1.0) / 6.0)
}

impl Plot {
    fn x(&self, time: Time) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (time.min(self.last) as f64 / self.last as f64)
    }

    fn label(&mut self, x: f64, y: f64, text: &str) {
        let _ = writeln!(self.text, "<text x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
    }

    /// Each fault has a lane; those that clients can notice shade the panels too.
    fn shade(&mut self, books: &Books, lanes: f64) {
        for (number, fault) in Fault::ALL.into_iter().enumerate() {
            let lane = lanes + LANE * number as f64;
            let colour = colour(fault);
            let _ = writeln!(
                self.text,
                "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
                LEFT - 4.0,
                lane + LANE - 3.0,
                fault.name()
            );
            for window in books.windows.iter().filter(|window| window.fault == fault) {
                let (x, end) = (self.x(window.from), self.x(window.to));
                let width = (end - x).max(1.0);
                let _ = writeln!(
                    self.text,
                    "<rect x=\"{x:.1}\" y=\"{lane:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                    LANE - 2.0
                );
                if fault != Fault::Broken {
                    for top in [TOP, TOP + PANEL + GAP] {
                        let _ = writeln!(
                            self.text,
                            "<rect x=\"{x:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{PANEL}\" fill=\"{colour}\" opacity=\"0.18\"/>"
                        );
                    }
                }
            }
        }
    }

    fn rule(&mut self, y: f64, text: &str) {
        let _ = writeln!(
            self.text,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0
        );
    }

    fn logarithmic(&mut self, top: f64) {
        for (value, text) in
            [(0.1, "0.1"), (1.0, "1"), (10.0, "10"), (100.0, "100"), (1e3, "1000"), (1e4, "10000")]
        {
            self.rule(top + log(value), text);
        }
    }

    fn linear(&mut self, top: f64, most: f64) {
        let step = [5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0];
        let step = step.into_iter().find(|step| most / step <= 6.0).unwrap_or(most);
        let mut value = 0.0;
        while value <= most {
            self.rule(top + PANEL * (1.0 - value / most), &format!("{value}"));
            value += step;
        }
    }

    fn line(&mut self, points: &Points, colour: &str, y: impl Fn(f64) -> f64) {
        let points: Vec<String> = points
            .iter()
            .map(|(time, value)| format!("{:.1},{:.1}", self.x(*time), y(*value)))
            .collect();
        let _ = writeln!(
            self.text,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.2\" points=\"{}\"/>",
            points.join(" ")
        );
    }

    fn times(&mut self, y: f64) {
        let all = seconds(self.last);
        let step = [5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
        let step = step.into_iter().find(|step| all / step <= 16.0).unwrap_or(all);
        let mut at = 0.0;
        while at <= all {
            let x = self.x((at * SECOND as f64) as Time);
            self.label(x - 8.0, y, &format!("{at} s"));
            at += step;
        }
    }
}
