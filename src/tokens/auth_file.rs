//! Codex's `auth.json`: the file a login of Codex CLI leaves in `~/.codex`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::Tokens;
use super::claims::Claims;
use crate::vault::Secret;

/// Real files have about 5 KiB.
const MAX_BYTES: u64 = 1 << 20;

/// The login in one file.
#[derive(Debug, Clone)]
pub struct AuthFile {
    pub tokens: Tokens,
    /// What the tokens claim; the account id stated in the file comes first.
    pub claims: Claims,
    /// Unix epoch milliseconds; `None`: not stated, or not readable.
    pub refreshed_at: Option<u64>,
}

/// What is wrong with which file. Never quotes its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthFileError {
    pub path: PathBuf,
    pub problem: String,
}

impl std::fmt::Display for AuthFileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.problem)
    }
}

impl std::error::Error for AuthFileError {}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    tokens: Option<WrittenTokens>,
    #[serde(default, alias = "lastRefreshAt")]
    last_refresh: Option<Value>,
}

#[derive(Deserialize)]
struct WrittenTokens {
    #[serde(default, alias = "idToken")]
    id_token: Option<Value>,
    #[serde(default, alias = "accessToken")]
    access_token: Option<Value>,
    #[serde(default, alias = "refreshToken")]
    refresh_token: Option<Value>,
    #[serde(default, alias = "accountId")]
    account_id: Option<Value>,
}

impl AuthFile {
    /// Reads and checks one file.
    pub fn read(path: &Path) -> Result<Self, AuthFileError> {
        let wrong = |problem: String| AuthFileError { path: path.to_owned(), problem };
        let file = File::open(path).map_err(|error| wrong(format!("cannot be opened: {error}")))?;
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| wrong(format!("cannot be read: {error}")))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
            return Err(wrong("is larger than 1 MiB; is it really an auth.json of Codex?".into()));
        }
        Self::parse(&bytes).map_err(wrong)
    }

    /// Snake case or camel case; unknown keys are ignored.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let written: Written = serde_json::from_slice(bytes).map_err(|error| {
            format!("is not an auth.json of Codex: line {}, column {}", error.line(), error.column())
        })?;
        let tokens = written.tokens.ok_or(
            "has no field `tokens`; log in with ChatGPT (`codex login`), an API key alone cannot be pooled",
        )?;
        let account_id = optional(tokens.account_id, "tokens.account_id")?;
        let tokens = Tokens {
            id: optional(tokens.id_token, "tokens.id_token")?,
            access: required(tokens.access_token, "tokens.access_token")?,
            refresh: required(tokens.refresh_token, "tokens.refresh_token")?,
        };
        let mut claims = Claims::of(&tokens);
        claims.account_id = account_id.map(|id| id.expose().to_owned()).or(claims.account_id);
        let refreshed_at = written.last_refresh.as_ref().and_then(Value::as_str).and_then(epoch_ms);
        Ok(Self { tokens, claims, refreshed_at })
    }
}

fn optional(value: Option<Value>, field: &str) -> Result<Option<Secret>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(Secret::new(text))),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(format!("`{field}` must be a string"))
        }
    }
}

fn required(value: Option<Value>, field: &str) -> Result<Secret, String> {
    optional(value, field)?
        .ok_or_else(|| format!("`{field}` is missing or empty; log in again with `codex login`"))
}

/// `2026-08-20T09:12:33.123456Z`, or with an offset like `+02:00`, in Unix epoch milliseconds (whole seconds).
fn epoch_ms(text: &str) -> Option<u64> {
    let (date, time) = text.trim().split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at_checked(at)?,
        None => (time, "Z"),
    };
    let mut clock = clock.split('.').next()?.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..=23).contains(&hour)
        && (0..=59).contains(&minute)
        && (0..=60).contains(&second);
    in_range.then_some(())?;
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    u64::try_from((seconds - offset_seconds(offset)?) * 1000).ok()
}

fn offset_seconds(offset: &str) -> Option<i64> {
    let (sign, rest) = match offset.split_at_checked(1)? {
        ("Z" | "z", "") => return Some(0),
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (hours.parse::<i64>().ok()?, minutes.parse::<i64>().ok()?);
    ((0..24).contains(&hours) && (0..60).contains(&minutes)).then(|| sign * (hours * 3600 + minutes * 60))
}

/// Days since 1970-01-01 of a date in the Gregorian calendar (years that begin in March, eras of 400 years).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AuthFile, String> {
        AuthFile::parse(text.as_bytes())
    }

    #[test]
    fn a_file_of_codex_cli_is_read() {
        let file = parse(
            r#"{"auth_mode":"chatgpt","OPENAI_API_KEY":null,"agent_identity":{"x":1},
                "tokens":{"id_token":"a.b.c","access_token":"d.e.f","refresh_token":"rt_1","account_id":"3f1c"},
                "last_refresh":"2026-08-20T09:12:33.123456Z"}"#,
        )
        .unwrap();
        assert_eq!(file.claims.account_id.as_deref(), Some("3f1c"));
        assert_eq!(file.tokens.refresh, Secret::new("rt_1"));
        assert_eq!(file.refreshed_at, Some(1_787_217_153_000));
    }

    #[test]
    fn camel_case_is_as_good() {
        let file = parse(
            r#"{"tokens":{"idToken":null,"accessToken":"a","refreshToken":"r","accountId":"x"},
                "lastRefreshAt":"1970-01-01T02:00:01+02:00"}"#,
        )
        .unwrap();
        assert!(file.tokens.id.is_none());
        assert_eq!((file.claims.account_id.as_deref(), file.refreshed_at), (Some("x"), Some(1000)));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(parse("{}").unwrap_err().contains("`tokens`"));
        let error = parse(r#"{"tokens":{"access_token":"a"}}"#).unwrap_err();
        assert!(error.contains("`tokens.refresh_token`"), "{error}");
        let error = parse(r#"{"tokens":{"access_token":17,"refresh_token":"r"}}"#).unwrap_err();
        assert!(error.contains("`tokens.access_token` must be a string"), "{error}");
        assert!(parse("[").unwrap_err().contains("line 1, column 1"));
    }

    #[test]
    fn errors_name_the_file_and_quote_nothing_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        std::fs::write(&path, r#"{"tokens":"rt_canary"}"#).unwrap();
        let error = AuthFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("auth.json") && !error.contains("canary"), "{error}");
        std::fs::write(&path, vec![b' '; 1_048_577]).unwrap();
        assert!(AuthFile::read(&path).unwrap_err().to_string().contains("1 MiB"));
        assert!(AuthFile::read(&dir.path().join("none")).is_err());
    }

    #[test]
    fn unreadable_times_are_not_stated() {
        for text in ["", "T", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00+1", "2026-01-01", "é-é-éTé:é:é"]
        {
            assert_eq!(epoch_ms(text), None, "{text}");
        }
        assert_eq!(epoch_ms("2024-02-29T00:00:00Z"), Some(1_709_164_800_000));
        assert_eq!(epoch_ms(&format!("{}-01-01T00:00:00Z", i64::MAX)), None);
    }
}
