//! How usage is shown.

use crate::cli::table::{Column, Table};
use crate::cli::when;
use crate::ledger::{By, PastExchange, UsageRow};

/// One line for each account, key or model, and one for all.
pub(super) fn sums(by: By, rows: &[UsageRow], total: &UsageRow, since: u64) -> String {
    if rows.is_empty() {
        return format!("nothing was used since {}\n", when::utc(since));
    }
    let (head, nobody) = match by {
        By::Account => ("ACCOUNT", "(no account)"),
        By::Key => ("KEY", "(no key)"),
        By::Model => ("MODEL", "(no model)"),
    };
    let mut table = Table::new(&[
        Column::Left(head),
        Column::Right("REQUESTS"),
        Column::Right("ERRORS"),
        Column::Right("INPUT"),
        Column::Right("CACHED"),
        Column::Right("OUTPUT"),
        Column::Right("REASONING"),
        Column::Right("COST"),
    ]);
    for row in rows.iter().chain([total]) {
        table.row([
            if row.name.is_empty() { nobody.to_owned() } else { row.name.clone() },
            grouped(row.requests),
            grouped(row.errors),
            grouped(row.input_tokens),
            cached(row.cached_tokens, row.input_tokens),
            grouped(row.output_tokens),
            grouped(row.reasoning_tokens),
            dollars(row.cost_micros),
        ]);
    }
    format!("since {}\n{table}", when::utc(since))
}

/// One line each, newest first.
pub(super) fn requests(newest: &[PastExchange], now: u64) -> String {
    if newest.is_empty() {
        return "no requests yet\n".into();
    }
    let mut table = Table::new(&[
        Column::Left("WHEN"),
        Column::Left("ID"),
        Column::Left("ACCOUNT"),
        Column::Left("KEY"),
        Column::Left("MODEL"),
        Column::Left("OUTCOME"),
        Column::Right("INPUT"),
        Column::Right("CACHED"),
        Column::Right("OUTPUT"),
        Column::Right("COST"),
        Column::Right("SECONDS"),
    ]);
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let count = |number: Option<u64>| number.map_or_else(|| "-".into(), grouped);
    for past in newest {
        let outcome = match &past.error_code {
            Some(code) => format!("{} {} {code}", past.status, past.outcome),
            None => format!("{} {}", past.status, past.outcome),
        };
        table.row([
            when::ago(past.started_at, now),
            past.id.clone(),
            or_dash(past.account.as_deref()),
            or_dash(past.key.as_deref()),
            or_dash(past.model.as_deref()),
            outcome,
            count(past.input_tokens),
            count(past.cached_tokens),
            count(past.output_tokens),
            past.cost_micros.map_or_else(|| "-".into(), dollars),
            format!("{}.{}", past.duration_ms / 1000, past.duration_ms % 1000 / 100),
        ]);
    }
    table.to_string()
}

/// `1,234,567`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `600 (60 %)`
fn cached(cached: u64, input: u64) -> String {
    let percent = u128::from(cached) * 100 / u128::from(input.max(1));
    format!("{} ({percent} %)", grouped(cached))
}

/// `$1,234.5678`
fn dollars(micros: u64) -> String {
    let rounded = micros.saturating_add(50) / 100;
    format!("${}.{:04}", grouped(rounded / 10_000), rounded % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_money_is_rounded() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(dollars(1_234_567_850), "$1,234.5679");
        assert_eq!(dollars(49), "$0.0000");
        assert!(dollars(u64::MAX).starts_with('$'));
    }

    #[test]
    fn sums_show_the_cached_share_and_name_what_has_no_name() {
        let row = UsageRow { requests: 2, input_tokens: 1000, cached_tokens: 600, ..UsageRow::default() };
        let shown =
            sums(By::Key, std::slice::from_ref(&row), &UsageRow { name: "total".into(), ..row.clone() }, 0);
        assert!(shown.starts_with("since 1970-01-01 00:00 UTC\nKEY"), "{shown}");
        assert!(shown.contains("(no key)") && shown.contains("600 (60 %)"), "{shown}");
        assert!(shown.lines().last().unwrap().starts_with("total"), "{shown}");
        assert!(sums(By::Key, &[], &UsageRow::default(), 0).contains("nothing was used"));
    }
}
