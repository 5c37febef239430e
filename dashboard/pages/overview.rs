//! The page `/`: what was used, by whom, and how the accounts are.

use askama::Template;

use crate::assets;
use crate::chart::{Chart, WIDTH};
use crate::db::SCHEMA;
use crate::format::Count;
use crate::queries::{Overview, Slot, State, Top};

#[derive(Template)]
#[template(path = "overview.html")]
pub(crate) struct OverviewPage<'a> {
    overview: &'a Overview,
    /// The proxy's `/v1` address, for the getting-started box.
    address: &'a str,
    periods: [Period<'a>; 4],
    charts: [Chart; 2],
    rankings: [Ranking<'a>; 2],
}

/// One card of sums.
struct Period<'a> {
    title: &'static str,
    slot: &'a Slot,
}

/// One table of who used most.
struct Ranking<'a> {
    title: &'static str,
    /// What stands for a missing name.
    nameless: &'static str,
    tops: &'a [Top],
}

impl<'a> OverviewPage<'a> {
    pub(crate) fn new(overview: &'a Overview, address: &'a str) -> Self {
        let periods = &overview.periods;
        Self {
            overview,
            address,
            periods: [
                Period { title: "Today (UTC)", slot: &periods.today },
                Period { title: "24 hours", slot: &periods.hours_24 },
                Period { title: "7 days", slot: &periods.days_7 },
                Period { title: "30 days", slot: &periods.days_30 },
            ],
            charts: [Chart::hours(&overview.hours), Chart::days(&overview.days)],
            rankings: [
                Ranking { title: "Models", nameless: "no model", tops: &overview.top_models },
                Ranking { title: "Keys", nameless: "no key", tops: &overview.top_keys },
            ],
        }
    }

    /// Nothing was ever sent through: say how to begin.
    fn unused(&self) -> bool {
        self.overview.exchanges.is_empty() && self.overview.periods.days_30.sums.requests == Count(0)
    }
}

impl Ranking<'_> {
    /// Length of a row's bar: its tokens beside those of the first.
    fn bar(&self, top: &Top) -> String {
        let most = self.tops.first().map(|first| first.sums.tokens()).unwrap_or_default();
        top.sums.tokens().share_of(most).unwrap_or_default().bar()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{NOW, Seed};

    fn page(seed: &Seed) -> String {
        let overview = Overview::read(&seed.connection, NOW).unwrap();
        OverviewPage::new(&overview, "http://127.0.0.1:2455/v1").render().unwrap()
    }

    #[test]
    fn names_from_outside_cannot_become_markup() {
        let seed = Seed::empty();
        let evil = "<script>alert(1)</script>\"'";
        seed.account(evil);
        seed.key(evil);
        seed.exchange(NOW.0, evil, Some(evil), evil, evil);
        seed.sums("daily", NOW.0 / 86_400_000 * 86_400_000, evil, evil, evil, 1);
        let page = page(&seed);
        assert!(!page.contains("<script>"));
        assert!(page.matches("&#60;script&#62;").count() >= 5);
    }

    #[test]
    fn an_empty_ledger_says_what_to_do() {
        let page = page(&Seed::empty());
        assert!(page.contains("codex-lb account import ~/.codex/auth.json"));
        assert!(page.contains("http://127.0.0.1:2455/v1"));
        assert!(page.contains("opencode.json"));
    }

    #[test]
    fn every_state_of_an_account_is_told_with_its_reason() {
        let page = page(&Seed::full(NOW));
        for text in
            ["Active", "Cooling", "usage_limit_reached", "Paused", "Needs login", "refresh_token_reused"]
        {
            assert!(page.contains(text), "{text}");
        }
        assert!(page.contains("codex-lb account resume"));
    }

    #[test]
    fn a_window_that_was_reset_since_is_not_shown_as_used() {
        let seed = Seed::empty();
        seed.account("a");
        seed.window("a", "codex", 18_000, 98.0, Some(NOW.0 - 60_000));
        let page = page(&seed);
        assert!(page.contains("was reset <time") && page.contains(">1 min ago<"));
        assert!(!page.contains("98 %</b>"));
    }

    #[test]
    fn the_page_obeys_its_own_content_security_policy() {
        let page = page(&Seed::full(NOW));
        for forbidden in ["style=", "onclick=", "<style", "javascript:"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }
}
