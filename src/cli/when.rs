//! Times as people read them. Everything goes in as Unix epoch milliseconds.

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// `2026-11-22 18:40 UTC`
pub(super) fn utc(at: u64) -> String {
    let (year, month, day) = civil(at / DAY);
    let minute_of_day = at % DAY / MINUTE;
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", minute_of_day / 60, minute_of_day % 60)
}

/// The two largest units: `3d 4h`, `2h 5m`, `40s`.
pub(super) fn span(duration: u64) -> String {
    let (large, small) = match duration {
        DAY.. => ((DAY, "d"), (HOUR, "h")),
        HOUR.. => ((HOUR, "h"), (MINUTE, "m")),
        MINUTE.. => ((MINUTE, "m"), (SECOND, "s")),
        _ => return format!("{}s", duration / SECOND),
    };
    let rest = duration % large.0 / small.0;
    let whole = format!("{}{}", duration / large.0, large.1);
    if rest == 0 { whole } else { format!("{whole} {rest}{}", small.1) }
}

/// `in 2h 5m (2026-11-22 18:40 UTC)`, or `now`.
pub(super) fn ahead(at: u64, now: u64) -> String {
    if at <= now { "now".into() } else { format!("in {} ({})", span(at - now), utc(at)) }
}

/// `2h 5m ago (2026-11-22 18:40 UTC)`
pub(super) fn ago(at: u64, now: u64) -> String {
    format!("{} ago ({})", span(now.saturating_sub(at)), utc(at))
}

/// Year, month and day of a day since 1970-01-01 (years that begin in March, eras of 400 years).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + days / 146_097 * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(1_709_164_799_000), "2024-02-28 23:59 UTC");
        assert_eq!(utc(1_709_164_800_000), "2024-02-29 00:00 UTC");
        assert_eq!(utc(1_787_217_153_000), "2026-08-20 09:12 UTC");
        assert!(utc(u64::MAX).ends_with("UTC"));
    }

    #[test]
    fn spans_name_two_units() {
        let cases =
            [(999, "0s"), (61_000, "1m 1s"), (3_600_000, "1h"), (90_000_000, "1d 1h"), (86_400_000, "1d")];
        for (duration, text) in cases {
            assert_eq!(span(duration), text);
        }
    }

    #[test]
    fn relative_and_absolute_stand_together() {
        assert_eq!(ahead(60_000, 0), "in 1m (1970-01-01 00:01 UTC)");
        assert_eq!(ahead(5, 5), "now");
        assert_eq!(ago(0, 60_000), "1m ago (1970-01-01 00:00 UTC)");
    }
}
