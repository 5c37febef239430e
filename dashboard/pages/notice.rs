//! A page with one thing to say: nothing there yet, something went wrong.

use askama::Template;
use axum::http::StatusCode;

use crate::assets;
use crate::db::DbError;

#[derive(Template)]
#[template(path = "notice.html")]
pub(crate) struct Notice {
    pub(crate) status: StatusCode,
    /// For programs: `ledger_missing`.
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) text: String,
    /// A command that helps.
    pub(crate) command: Option<&'static str>,
    /// Whether it may be better in a moment, so that the page tries again by itself.
    pub(crate) passing: bool,
}

impl Notice {
    pub(crate) fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: "not_found",
            title: "There is no such page",
            text: "The address is wrong, or the page belongs to another version.".into(),
            command: None,
            passing: false,
        }
    }

    pub(crate) fn wrong_method() -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: "method_not_allowed",
            title: "This service only reads",
            text: "It answers GET and HEAD. Whatever changes something is a command of codex-lb.".into(),
            command: Some("codex-lb help"),
            passing: false,
        }
    }

    pub(crate) fn crowded() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "too_many_subscribers",
            title: "Too many browsers listen already",
            text: "The page itself still works; it just does not update by itself.".into(),
            command: None,
            passing: true,
        }
    }

    /// A defect of ours; the cause is in the log.
    pub(crate) fn broken() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "internal_error",
            title: "The page could not be made",
            text: "This is a defect of the dashboard. Its log says more.".into(),
            command: None,
            passing: false,
        }
    }

    /// Why the ledger has nothing to show; never the database's own words.
    pub(crate) fn from_db(error: &DbError) -> Self {
        let (code, title, text, command, passing) = match error {
            DbError::Waiting => (
                "ledger_missing",
                "Waiting for the proxy",
                "The ledger is not there yet. The proxy creates it when it starts for the first time; \
                 this page then comes to life by itself."
                    .to_owned(),
                Some("codex-lb serve"),
                true,
            ),
            DbError::UnknownVersion(_) => {
                ("unknown_ledger_version", "Proxy and dashboard do not fit", capital(error), None, true)
            }
            DbError::Busy => (
                "ledger_busy",
                "The ledger is busy",
                "Somebody holds it locked, or too many pages are being read at once. Try again in a moment."
                    .to_owned(),
                None,
                true,
            ),
            DbError::TooSlow => (
                "query_too_slow",
                "The ledger took too long to answer",
                "The machine may be short of memory or its disk busy. Try again in a moment.".to_owned(),
                None,
                true,
            ),
            DbError::Unreadable(_) => (
                "ledger_unreadable",
                "The ledger cannot be read",
                "Check that this service may read the file and write into its folder (SQLite shares its state \
                 with the proxy there). The log says more."
                    .to_owned(),
                None,
                true,
            ),
        };
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code, title, text, command, passing }
    }
}

/// The error's sentence, as a sentence is written.
fn capital(error: &DbError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_databases_own_words_stay_in_the_log() {
        let error = DbError::Unreadable("no such column: secret in SELECT secret FROM accounts".into());
        let page = Notice::from_db(&error).render().unwrap();
        assert!(!page.contains("SELECT") && page.contains("The ledger cannot be read"));
    }

    #[test]
    fn an_unknown_version_is_explained() {
        let page = Notice::from_db(&DbError::UnknownVersion(7)).render().unwrap();
        assert!(page.contains("The ledger has version 7 and this dashboard reads version 1"));
    }
}
