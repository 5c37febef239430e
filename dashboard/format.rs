//! Numbers and times as people read them; each can also say its exact value.

use std::fmt;

use serde::Serialize;

/// A number of things: requests, tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Count(pub(crate) i64);

/// Money, in millionths of a US dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Cost(pub(crate) i64);

/// A length of time, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Span(pub(crate) i64);

/// A point in time, in Unix epoch milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Moment(pub(crate) i64);

/// A percentage, 0 to 100 and sometimes a little more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Percent(pub(crate) f64);

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

impl Count {
    /// All digits, in groups of three.
    pub(crate) fn exact(self) -> String {
        grouped(self.0)
    }

    /// How much of `whole` this is; `None` if there is nothing to be a part of.
    pub(crate) fn share_of(self, whole: Self) -> Option<Percent> {
        (whole.0 > 0).then(|| Percent(self.0 as f64 * 100.0 / whole.0 as f64))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&compact(self.0))
    }
}

impl Cost {
    /// To the millionth of a dollar, without needless zeros.
    pub(crate) fn exact(self) -> String {
        let text = format!("${}.{:06}", grouped(self.0 / 1_000_000), (self.0 % 1_000_000).abs());
        let cents = text.len() - 4;
        let (kept, rest) = text.split_at(cents);
        format!("{kept}{}", rest.trim_end_matches('0'))
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dollars = self.0 as f64 / 1e6;
        match self.0 {
            0 => f.write_str("$0"),
            1..100 => f.write_str("<$0.0001"),
            100..10_000 => write!(f, "${dollars:.4}"),
            10_000_000_000.. => write!(f, "${}", compact(self.0 / 1_000_000)),
            1_000_000_000.. => write!(f, "${}", grouped((self.0 + 500_000) / 1_000_000)),
            _ => write!(f, "${dollars:.2}"),
        }
    }
}

impl Span {
    /// Whole milliseconds.
    pub(crate) fn exact(self) -> String {
        format!("{} ms", grouped(self.0))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.max(0);
        let two = |f: &mut fmt::Formatter<'_>, big: (i64, &str), small: (i64, &str)| {
            let (whole, rest) = (ms / big.0, ms % big.0 / small.0);
            match rest {
                0 => write!(f, "{whole} {}", big.1),
                _ => write!(f, "{whole} {} {rest} {}", big.1, small.1),
            }
        };
        match ms {
            ..SECOND => write!(f, "{ms} ms"),
            SECOND..10_000 => write!(f, "{}.{} s", ms / SECOND, ms % SECOND / 100),
            10_000..MINUTE => write!(f, "{} s", ms / SECOND),
            MINUTE..HOUR => two(f, (MINUTE, "min"), (SECOND, "s")),
            HOUR..DAY => two(f, (HOUR, "h"), (MINUTE, "min")),
            DAY.. => two(f, (DAY, "d"), (HOUR, "h")),
        }
    }
}

impl Moment {
    /// `3 min ago`; a moment that is still to come (clocks differ) counts as now.
    pub(crate) fn ago(self, now: Self) -> String {
        let ms = now.0 - self.0;
        match ms {
            ..3_000 => "just now".to_owned(),
            3_000..MINUTE => format!("{} s ago", ms / SECOND),
            MINUTE..HOUR => format!("{} min ago", ms / MINUTE),
            HOUR..DAY => format!("{} h ago", ms / HOUR),
            DAY.. => format!("{} d ago", ms / DAY),
        }
    }

    /// How long it is until then, to the minute.
    pub(crate) fn wait(self, now: Self) -> String {
        let ms = self.0 - now.0;
        match ms {
            ..SECOND => "a moment".to_owned(),
            SECOND..MINUTE => format!("{} s", ms / SECOND),
            MINUTE.. => Span(ms / MINUTE * MINUTE).to_string(),
        }
    }

    /// `2025-11-22 18:09:27 UTC`.
    pub(crate) fn utc(self) -> String {
        let (year, month, day) = self.date();
        format!("{year:04}-{month:02}-{day:02} {} UTC", self.clock())
    }

    /// `2025-11-22T18:09:27Z`, for machines.
    pub(crate) fn iso(self) -> String {
        let (year, month, day) = self.date();
        format!("{year:04}-{month:02}-{day:02}T{}Z", self.clock())
    }

    /// `18:00`, the hour it falls in.
    pub(crate) fn hour(self) -> String {
        format!("{:02}:00", self.0.rem_euclid(DAY) / HOUR)
    }

    /// `22 Nov`, the day it falls on.
    pub(crate) fn day(self) -> String {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (_, month, day) = self.date();
        let name = usize::try_from(month - 1).ok().and_then(|index| MONTHS.get(index));
        format!("{day} {}", name.unwrap_or(&"?"))
    }

    /// `18:09:27`
    fn clock(self) -> String {
        let ms = self.0.rem_euclid(DAY);
        format!("{:02}:{:02}:{:02}", ms / HOUR, ms % HOUR / MINUTE, ms % MINUTE / SECOND)
    }

    /// Year, month and day of the proleptic Gregorian calendar, by Howard Hinnant's `civil_from_days`.
    fn date(self) -> (i64, i64, i64) {
        let days = self.0.div_euclid(DAY) + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        (year_of_era + era * 400 + i64::from(month <= 2), month, day)
    }
}

impl Percent {
    /// Two decimals.
    pub(crate) fn exact(self) -> String {
        format!("{:.2} %", self.0)
    }

    /// For a bar: never beyond its ends.
    pub(crate) fn bar(self) -> String {
        format!("{:.1}%", self.0.clamp(0.0, 100.0))
    }

    /// A class for the bar's colour.
    pub(crate) fn level(self) -> &'static str {
        match self.0 {
            ..75.0 => "fine",
            ..90.0 => "warn",
            _ => "high",
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            part if part > 0.0 && part < 1.0 => f.write_str("<1 %"),
            part if part > 99.0 && part < 100.0 => f.write_str(">99 %"),
            part => write!(f, "{part:.0} %"),
        }
    }
}

/// A window's name from its stated length in seconds: `5 h`, `7 d`, `30 d`.
pub(crate) fn length(seconds: i64) -> String {
    let in_unit = |unit: i64, name: &str| {
        let text = format!("{:.1}", seconds as f64 / unit as f64);
        format!("{} {name}", text.trim_end_matches(".0"))
    };
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3_600 => in_unit(60, "min"),
        3_600..82_800 => in_unit(3_600, "h"),
        82_800.. => in_unit(86_400, "d"),
    }
}

/// Below 10,000 all digits; above three of them and a unit.
fn compact(number: i64) -> String {
    let value = number as f64;
    for (unit, name) in [(1e9, "B"), (1e6, "M"), (1e3, "k")] {
        // From here on the next smaller unit would round up to a thousand.
        if number >= 10_000 && value >= unit * 0.999_5 {
            let text = match value / unit {
                ..9.995 => format!("{:.2}", value / unit),
                ..99.95 => format!("{:.1}", value / unit),
                _ => return format!("{:.0}{name}", value / unit),
            };
            return format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.'));
        }
    }
    grouped(number)
}

fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    if number < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_three_digits() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_284, "1,284"),
            (9_999, "9,999"),
            (12_300, "12.3k"),
            (12_000, "12k"),
            (99_960, "100k"),
            (999_499, "999k"),
            (999_500, "1M"),
            (1_234_567, "1.23M"),
            (2_500_000_000, "2.5B"),
        ];
        for (number, text) in cases {
            assert_eq!(Count(number).to_string(), text, "{number}");
        }
        assert_eq!(Count(-1_234_567).exact(), "-1,234,567");
    }

    #[test]
    fn costs_show_cents_and_small_ones_more() {
        let cases = [
            (0, "$0", "$0.00"),
            (42, "<$0.0001", "$0.000042"),
            (4_213, "$0.0042", "$0.004213"),
            (420_000, "$0.42", "$0.42"),
            (12_345_678, "$12.35", "$12.345678"),
            (4_321_000_000, "$4,321", "$4,321.00"),
            (12_345_000_000, "$12.3k", "$12,345.00"),
        ];
        for (micros, text, exact) in cases {
            assert_eq!((Cost(micros).to_string().as_str(), Cost(micros).exact().as_str()), (text, exact));
        }
    }

    #[test]
    fn spans_have_at_most_two_units() {
        let cases = [
            (842, "842 ms"),
            (3_450, "3.4 s"),
            (42_900, "42 s"),
            (133_000, "2 min 13 s"),
            (120_000, "2 min"),
            (8_000_000, "2 h 13 min"),
            (273_600_000, "3 d 4 h"),
        ];
        for (ms, text) in cases {
            assert_eq!(Span(ms).to_string(), text, "{ms}");
        }
    }

    #[test]
    fn moments_are_relative_with_an_exact_date() {
        let now = Moment(1_763_834_967_000);
        assert_eq!(now.utc(), "2025-11-22 18:09:27 UTC");
        assert_eq!((now.iso().as_str(), now.hour().as_str()), ("2025-11-22T18:09:27Z", "18:00"));
        assert_eq!((now.day().as_str(), Moment(951_782_400_000).day().as_str()), ("22 Nov", "29 Feb"));
        assert_eq!(Moment(now.0 - 185_000).ago(now), "3 min ago");
        assert_eq!(Moment(now.0 + 60_000).ago(now), "just now");
        assert_eq!(Moment(now.0 + 8_000_000).wait(now), "2 h 13 min");
    }

    #[test]
    fn percentages_never_round_to_nothing_or_everything() {
        let texts = [0.0, 0.3, 42.4, 99.7, 100.0, 104.0].map(|part| Percent(part).to_string());
        assert_eq!(texts, ["0 %", "<1 %", "42 %", ">99 %", "100 %", "104 %"]);
        assert_eq!(Count(1).share_of(Count(0)), None);
        assert_eq!(Percent(104.0).bar(), "100.0%");
    }

    #[test]
    fn windows_are_named_by_their_length() {
        let names = [18_000, 17_940, 604_800, 2_592_000, 86_400, 5_400, 900, 30].map(length);
        assert_eq!(names, ["5 h", "5 h", "7 d", "30 d", "1 d", "1.5 h", "15 min", "30 s"]);
    }
}
