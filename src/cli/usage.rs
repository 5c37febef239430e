//! `codex-lb usage`: what was used, from the ledger.

mod tables;

use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;

use super::{Failure, print};
use crate::config::{Config, Time};
use crate::ledger::{Book, By, UsageRow};
use crate::now_ms;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How far back, rounded to whole hours: 12h, 7d, 30d.
    #[arg(long, default_value = "7d", value_name = "TIME", value_parser = time)]
    since: Duration,
    /// What to sum by.
    #[arg(long, value_enum, default_value = "account")]
    by: Grouping,
    /// Show the newest N requests instead of sums.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    requests: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Grouping {
    Account,
    Key,
    Model,
}

/// Runs the command.
pub fn run(args: Args, config: Config) -> Result<(), Failure> {
    let Args { since, by, requests, json } = args;
    let book = Book::open(&config.data_dir)?;
    let now = now_ms();
    if let Some(count) = requests {
        let newest = book.newest(count)?;
        let answer =
            if json { format!("{}\n", super::to_json(&newest)?) } else { tables::requests(&newest, now) };
        return print(&answer);
    }
    let since = now.saturating_sub(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let (by, word) = match by {
        Grouping::Account => (By::Account, "account"),
        Grouping::Key => (By::Key, "key"),
        Grouping::Model => (By::Model, "model"),
    };
    let rows = book.usage(by, since)?;
    let total = total(&rows);
    if !json {
        return print(&tables::sums(by, &rows, &total, since));
    }
    let answer = json!({ "since": since, "by": word, "rows": rows, "total": total });
    print(&format!("{answer:#}\n"))
}

fn time(text: &str) -> Result<Duration, String> {
    Time::try_from(text.to_owned()).map(|time| time.0)
}

fn total(rows: &[UsageRow]) -> UsageRow {
    rows.iter().fold(UsageRow { name: "total".into(), ..UsageRow::default() }, |sum, row| UsageRow {
        id: sum.id,
        name: sum.name,
        requests: sum.requests.saturating_add(row.requests),
        errors: sum.errors.saturating_add(row.errors),
        input_tokens: sum.input_tokens.saturating_add(row.input_tokens),
        cached_tokens: sum.cached_tokens.saturating_add(row.cached_tokens),
        output_tokens: sum.output_tokens.saturating_add(row.output_tokens),
        reasoning_tokens: sum.reasoning_tokens.saturating_add(row.reasoning_tokens),
        cost_micros: sum.cost_micros.saturating_add(row.cost_micros),
    })
}
