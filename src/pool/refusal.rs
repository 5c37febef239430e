//! Why nobody can serve, and what to do about it: a pure function of how the accounts stand.

use super::NoAccount;
use super::state::{Cause, Standing};

/// One account with respect to one exchange that nobody could take.
#[derive(Debug, Clone)]
pub(super) struct Seat<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub standing: Standing,
    /// It was tried in this exchange.
    pub tried: bool,
    /// As far as is known, it offers the model.
    pub offers: bool,
}

/// Names listed in a message, at most.
const NAMES: usize = 5;

pub(super) fn refusal(seats: &[Seat<'_>], model: &str) -> NoAccount {
    if seats.is_empty() {
        return unusable("No accounts yet. Import one: codex-lb account import ~/.codex/auth.json".into());
    }
    let offering: Vec<&Seat<'_>> = seats.iter().filter(|seat| seat.offers).collect();
    let usable: Vec<&&Seat<'_>> = offering.iter().filter(|seat| is_usable(seat)).collect();
    if usable.is_empty() {
        let scope = if offering.len() < seats.len() && !model.is_empty() {
            format!("No account that offers the model '{model}' can be used.")
        } else {
            "No account can be used.".to_owned()
        };
        return unusable(format!("{scope} {}", remedies(&offering)));
    }
    let limits: Vec<(u64, Cause)> = usable.iter().filter_map(|seat| limit(&seat.standing)).collect();
    if limits.len() < usable.len() {
        // The others failed in this exchange without being limited, or got well a moment ago.
        let tried = usable.iter().any(|seat| seat.tried);
        return if tried { NoAccount::Tried } else { NoAccount::Resting { until_ms: 0 } };
    }
    match limits.into_iter().min_by_key(|(until_ms, _)| *until_ms) {
        Some((until_ms, Cause::RateLimit)) => NoAccount::Resting { until_ms },
        Some((until_ms, Cause::Quota | Cause::Errors)) => {
            NoAccount::Exhausted { resets_at: Some(until_ms.div_ceil(1000)) }
        }
        None => NoAccount::Tried,
    }
}

/// The end and the kind of a limit; a rest after errors is none.
fn limit(standing: &Standing) -> Option<(u64, Cause)> {
    match standing {
        Standing::Cooling { until_ms, cause, .. } if *cause != Cause::Errors => Some((*until_ms, *cause)),
        Standing::Cooling { .. } | Standing::Active | Standing::Paused | Standing::NeedsLogin { .. } => None,
    }
}

/// Why the only account that may serve cannot.
pub(super) fn owner_refusal(owner: Option<&Seat<'_>>) -> NoAccount {
    let Some(seat) = owner else {
        return unusable(
            "The account this conversation belongs to was removed. Start a new conversation.".into(),
        );
    };
    if seat.tried {
        return NoAccount::Tried;
    }
    let name = seat.name;
    match &seat.standing {
        Standing::Paused | Standing::NeedsLogin { .. } => {
            unusable(format!("This conversation belongs to the account '{name}'. {}", remedies(&[seat])))
        }
        Standing::Cooling { reason, .. } => unusable(format!(
            "This conversation belongs to the account '{name}', which is cooling ({reason}). \
             Wait, or start a new conversation."
        )),
        Standing::Active => unusable(format!(
            "This conversation belongs to the account '{name}', which cannot serve this request. \
             Start a new conversation."
        )),
    }
}

fn is_usable(seat: &Seat<'_>) -> bool {
    match seat.standing {
        Standing::Active | Standing::Cooling { .. } => true,
        Standing::Paused | Standing::NeedsLogin { .. } => false,
    }
}

/// One sentence for each kind of trouble, with the command that ends it.
fn remedies(seats: &[&Seat<'_>]) -> String {
    let paused = |seat: &Seat<'_>| seat.standing == Standing::Paused;
    let needs_login = |seat: &Seat<'_>| matches!(seat.standing, Standing::NeedsLogin { .. });
    let mut sentences = Vec::new();
    if let Some((names, first)) = listed(seats, paused) {
        sentences.push(format!("Paused: {names}. Resume: codex-lb account resume {first}"));
    }
    if let Some((names, _)) = listed(seats, needs_login) {
        sentences.push(format!(
            "Login needed: {names}. Log in with Codex again, then: codex-lb account import ~/.codex/auth.json"
        ));
    }
    if sentences.is_empty() {
        sentences.push("Import another one: codex-lb account import ~/.codex/auth.json".to_owned());
    }
    sentences.join(" ")
}

fn listed<'a>(seats: &[&Seat<'a>], which: impl Fn(&Seat<'a>) -> bool) -> Option<(String, &'a str)> {
    let names: Vec<&str> = seats.iter().filter(|seat| which(seat)).map(|seat| seat.name).collect();
    let first = names.first().copied()?;
    let mut list = names.iter().take(NAMES).copied().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES {
        list.push_str(&format!(" and {} more", names.len() - NAMES));
    }
    Some((list, first))
}

fn unusable(message: String) -> NoAccount {
    NoAccount::Unusable { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(name: &str, standing: Standing) -> Seat<'_> {
        Seat { id: name, name, standing, tried: false, offers: true }
    }

    fn cooling(until_ms: u64, cause: Cause) -> Standing {
        Standing::Cooling { until_ms, reason: "usage_limit_reached".into(), cause }
    }

    fn needs_login() -> Standing {
        Standing::NeedsLogin { reason: "invalid_grant".into() }
    }

    fn message(refusal: NoAccount) -> String {
        let NoAccount::Unusable { message } = refusal else { panic!("not unusable: {refusal:?}") };
        message
    }

    #[test]
    fn an_empty_pool_says_how_to_import() {
        assert!(message(refusal(&[], "gpt-5.5")).contains("codex-lb account import ~/.codex/auth.json"));
    }

    #[test]
    fn paused_and_logged_out_accounts_are_named_with_their_remedies() {
        let text = message(refusal(&[seat("work", Standing::Paused), seat("home", needs_login())], ""));
        assert_eq!(
            text,
            "No account can be used. Paused: work. Resume: codex-lb account resume work \
             Login needed: home. Log in with Codex again, then: codex-lb account import ~/.codex/auth.json"
        );
    }

    #[test]
    fn many_names_are_not_all_listed() {
        let seats = vec![seat("x", Standing::Paused); 8];
        assert!(message(refusal(&seats, "")).contains("Paused: x, x, x, x, x and 3 more."));
    }

    #[test]
    fn exhausted_names_the_true_earliest_reset_rounded_up() {
        let seats = [
            seat("a", cooling(90_000, Cause::Quota)),
            seat("b", cooling(50_001, Cause::Quota)),
            seat("c", Standing::Paused),
        ];
        assert_eq!(refusal(&seats, ""), NoAccount::Exhausted { resets_at: Some(51) });
    }

    #[test]
    fn a_short_limit_that_ends_first_means_resting() {
        let seats = [seat("a", cooling(90_000, Cause::Quota)), seat("b", cooling(50_000, Cause::RateLimit))];
        assert_eq!(refusal(&seats, ""), NoAccount::Resting { until_ms: 50_000 });
    }

    #[test]
    fn a_tried_account_that_is_not_limited_means_tried() {
        let tried = Seat { tried: true, ..seat("a", Standing::Active) };
        let resting = Seat { tried: true, ..seat("a", cooling(50_000, Cause::Errors)) };
        let limited = seat("b", cooling(90_000, Cause::Quota));
        assert_eq!(refusal(&[tried, limited.clone()], ""), NoAccount::Tried);
        assert_eq!(refusal(&[limited.clone(), resting], ""), NoAccount::Tried);
        let tried = Seat { tried: true, ..limited };
        assert_eq!(refusal(&[tried], ""), NoAccount::Exhausted { resets_at: Some(90) });
    }

    #[test]
    fn accounts_without_the_model_do_not_count() {
        let other = Seat { offers: false, ..seat("free", Standing::Active) };
        let limited = seat("pro", cooling(90_000, Cause::Quota));
        assert_eq!(refusal(&[other.clone(), limited], "gpt-9"), NoAccount::Exhausted { resets_at: Some(90) });
        let text = message(refusal(&[other, seat("pro", Standing::Paused)], "gpt-9"));
        assert!(text.starts_with("No account that offers the model 'gpt-9' can be used. Paused: pro."));
    }

    #[test]
    fn a_dead_owner_is_named() {
        assert!(message(owner_refusal(None)).contains("was removed"));
        for standing in [Standing::Paused, needs_login(), cooling(1, Cause::Quota), Standing::Active] {
            assert!(message(owner_refusal(Some(&seat("work", standing)))).contains("'work'"));
        }
        let tried = Seat { tried: true, ..seat("work", Standing::Active) };
        assert_eq!(owner_refusal(Some(&tried)), NoAccount::Tried);
    }
}
