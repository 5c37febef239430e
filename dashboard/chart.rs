//! Stacked bars of tokens over time: the geometry; `templates/chart.html` draws it.

use crate::format::{Count, Moment};
use crate::queries::{Slot, Sums};

/// Bars for equal spans of time, oldest first.
pub(crate) struct Chart {
    /// Distinguishes the charts of a page, also in element ids.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// What the first column of the table says: `Hour (UTC)`.
    pub(crate) unit: &'static str,
    pub(crate) bars: Vec<Bar>,
    /// The scale's end, its middle and its start, top to bottom.
    pub(crate) scale: [Count; 3],
}

/// One span of time. The three parts stand on each other: cached input, fresh input, output.
pub(crate) struct Bar {
    pub(crate) start: Moment,
    /// `18:00`, `22 Nov`
    pub(crate) label: String,
    /// Whether the axis shows the label.
    pub(crate) marked: bool,
    pub(crate) sums: Sums,
    pub(crate) x: String,
    pub(crate) parts: [Part; 3],
}

/// One rectangle, in the units of a box that is 100 high; y grows downwards.
pub(crate) struct Part {
    pub(crate) class: &'static str,
    pub(crate) y: String,
    pub(crate) height: String,
}

/// Width of a bar's place in the box, and of the bar.
const STEP: usize = 10;
pub(crate) const WIDTH: usize = 7;

impl Chart {
    /// Of the last 24 hours.
    pub(crate) fn hours(slots: &[Slot]) -> Self {
        Self::new("hours", "Tokens per hour, last 24 hours", "Hour (UTC)", slots, 6, Moment::hour)
    }

    /// Of the last 30 days.
    pub(crate) fn days(slots: &[Slot]) -> Self {
        Self::new("days", "Tokens per day, last 30 days", "Day (UTC)", slots, 7, Moment::day)
    }

    fn new(
        id: &'static str,
        title: &'static str,
        unit: &'static str,
        slots: &[Slot],
        every: usize,
        label: fn(Moment) -> String,
    ) -> Self {
        let most = slots.iter().map(|slot| slot.sums.tokens().0).max().unwrap_or(0);
        let top = round_up(most);
        let bar = |(index, slot): (usize, &Slot)| Bar {
            start: slot.start,
            label: label(slot.start),
            // Counted from the end, so that the newest bar always has its label.
            marked: (slots.len() - 1 - index).is_multiple_of(every),
            sums: slot.sums,
            x: (index * STEP).to_string(),
            parts: parts(&slot.sums, top),
        };
        let bars = slots.iter().enumerate().map(bar).collect();
        Self { id, title, unit, bars, scale: [Count(top), Count(top / 2), Count(0)] }
    }

    /// Of the box all bars are drawn in.
    pub(crate) fn width(&self) -> usize {
        self.bars.len() * STEP
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bars.iter().all(|bar| bar.sums.tokens().0 == 0)
    }
}

fn parts(sums: &Sums, top: i64) -> [Part; 3] {
    let mut y = 100.0;
    [
        ("cached", Count(sums.cached_tokens.0.min(sums.input_tokens.0))),
        ("fresh", sums.fresh_tokens()),
        ("output", sums.output_tokens),
    ]
    .map(|(class, count)| {
        let height = count.0.max(0) as f64 * 100.0 / top as f64;
        y -= height;
        Part { class, y: format!("{y:.2}"), height: format!("{height:.2}") }
    })
}

/// The next number that reads well on a scale, also when halved; at least 2.
fn round_up(most: i64) -> i64 {
    let mut unit = 1_i64;
    loop {
        for step in [2, 4, 5, 6, 8, 10] {
            let top = unit.saturating_mul(step);
            if top >= most && top % 2 == 0 {
                return top;
            }
        }
        unit = unit.saturating_mul(10);
        if unit > i64::MAX / 100 {
            return i64::MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(hour: i64, input: i64, cached: i64, output: i64) -> Slot {
        let sums = Sums {
            input_tokens: Count(input),
            cached_tokens: Count(cached),
            output_tokens: Count(output),
            ..Sums::default()
        };
        Slot { start: Moment(hour * 3_600_000), sums }
    }

    #[test]
    fn the_parts_stand_on_each_other_and_fill_the_scale() {
        let chart = Chart::hours(&[slot(0, 0, 0, 0), slot(1, 900, 600, 100)]);
        assert_eq!(chart.scale, [1_000, 500, 0].map(Count));
        let parts = &chart.bars[1].parts;
        let drawn: Vec<(&str, &str)> =
            parts.iter().map(|part| (part.y.as_str(), part.height.as_str())).collect();
        assert_eq!(drawn, [("40.00", "60.00"), ("10.00", "30.00"), ("0.00", "10.00")]);
        assert!(chart.bars[1].marked && !chart.bars[0].marked && !chart.is_empty());
    }

    #[test]
    fn the_scale_has_a_readable_end() {
        let tops = [0, 3, 11, 41, 55, 61, 99, 1_234_567].map(round_up);
        assert_eq!(tops, [2, 4, 20, 50, 60, 80, 100, 2_000_000]);
        assert!(round_up(i64::MAX) > 0);
    }

    #[test]
    fn no_tokens_make_an_empty_chart_and_no_division_by_zero() {
        let chart = Chart::days(&[slot(0, 0, 0, 0)]);
        assert!(chart.is_empty());
        assert!(chart.bars[0].parts.iter().all(|part| part.height == "0.00"));
    }
}
