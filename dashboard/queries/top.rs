//! Who used most: models and keys.

use rusqlite::Connection;
use serde::Serialize;

use super::sums::{COLUMNS, DAY, Sums};
use crate::format::Moment;

/// How many of each are shown.
const MOST: i64 = 8;

/// A model or a key, and its sums.
#[derive(Debug, Serialize)]
pub(crate) struct Top {
    /// `None`: exchanges without one.
    pub(crate) name: Option<String>,
    #[serde(flatten)]
    pub(crate) sums: Sums,
}

/// Models with most tokens over the last seven days by the calendar (UTC).
pub(super) fn models(connection: &Connection, now: Moment) -> rusqlite::Result<Vec<Top>> {
    most(connection, now, "substr(model, 1, 120)", "")
}

/// Keys with most tokens over the last seven days by the calendar (UTC); a key that is gone by its id.
pub(super) fn keys(connection: &Connection, now: Moment) -> rusqlite::Result<Vec<Top>> {
    most(connection, now, "coalesce(keys.name, key_id)", "LEFT JOIN keys ON keys.id = key_id")
}

fn most(
    connection: &Connection,
    now: Moment,
    name: &'static str,
    join: &'static str,
) -> rusqlite::Result<Vec<Top>> {
    let first = now.0.div_euclid(DAY) * DAY - 6 * DAY;
    let sql = format!(
        "SELECT nullif({name}, '') AS label, {COLUMNS} FROM daily {join} WHERE bucket >= ?1 GROUP BY label
         ORDER BY sum(input_tokens + output_tokens) DESC, sum(requests) DESC, label LIMIT ?2"
    );
    let mut statement = connection.prepare(&sql)?;
    let tops =
        statement.query_map([first, MOST], |row| Ok(Top { name: row.get(0)?, sums: Sums::read(row, 1)? }))?;
    tops.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{NOW, Seed};

    #[test]
    fn seven_days_count_and_the_most_comes_first() {
        let seed = Seed::empty();
        seed.key("laptop");
        let day = NOW.0 / DAY * DAY;
        seed.sums("daily", day, "a", "laptop", "small", 1);
        seed.sums("daily", day - 6 * DAY, "a", "laptop", "large", 5);
        seed.sums("daily", day - 7 * DAY, "a", "laptop", "old", 50);
        seed.sums("daily", day, "a", "", "large", 2);
        let read = |tops: Vec<Top>| -> Vec<(Option<String>, i64)> {
            tops.into_iter().map(|top| (top.name, top.sums.requests.0)).collect()
        };
        let models = read(models(&seed.connection, NOW).unwrap());
        assert_eq!(models, [(Some("large".to_owned()), 7), (Some("small".to_owned()), 1)]);
        let keys = read(keys(&seed.connection, NOW).unwrap());
        assert_eq!(keys, [(Some("laptop".to_owned()), 6), (None, 2)]);
    }
}
