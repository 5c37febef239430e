//! What a token says about its account. The payload is read and believed: the upstream, not we, checks signatures.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Tokens, hex};

const AUTH: &str = "https://api.openai.com/auth";
const PROFILE: &str = "https://api.openai.com/profile";

/// The claims we use; each is absent when the token does not state it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    pub email: Option<String>,
    /// The raw `chatgpt_account_id`, as sent upstream.
    pub account_id: Option<String>,
    /// The person's seat.
    pub user_id: Option<String>,
    /// As the upstream writes it: `plus`, `pro`, `team`, …
    pub plan: Option<String>,
    /// Id of the workspace, else its label.
    pub workspace: Option<String>,
    /// Unix seconds.
    pub expires_at: Option<u64>,
}

impl Claims {
    /// Reads one JWT. Anything unreadable counts as not stated.
    pub fn read(jwt: &str) -> Self {
        payload(jwt).map_or_else(Self::default, |claims| Self::from_payload(&claims))
    }

    /// What the id token says, completed by the access token; `expires_at` is the access token's alone.
    pub fn of(tokens: &Tokens) -> Self {
        let id = tokens.id.as_ref().map(|id| Self::read(id.expose())).unwrap_or_default();
        let access = Self::read(tokens.access.expose());
        Self {
            email: id.email.or(access.email),
            account_id: id.account_id.or(access.account_id),
            user_id: id.user_id.or(access.user_id),
            plan: id.plan.or(access.plan),
            workspace: id.workspace.or(access.workspace),
            expires_at: access.expires_at,
        }
    }

    /// The account's id in the ledger: `<account id>_<8 hex of the seat>`, stable across logins. Two people of one
    /// workspace share an account id, so the suffix also hashes the email. Without an account id it begins with
    /// `email_` or `local_`.
    pub fn local_id(&self) -> String {
        let email = self.email.as_deref().map(|email| email.trim().to_lowercase());
        let Some(account) = &self.account_id else {
            return match (email, &self.user_id) {
                (Some(email), _) => format!("email_{}", short_hash(&email, 12)),
                (None, Some(user)) => format!("local_{}", short_hash(user, 12)),
                (None, None) => format!("local_{:012x}", rand::random::<u64>() >> 16),
            };
        };
        let seat = match (&self.workspace, email) {
            (Some(workspace), Some(email)) => format!("{workspace}/{email}"),
            (Some(workspace), None) => workspace.clone(),
            (None, Some(email)) => email,
            (None, None) => return account.clone(),
        };
        format!("{account}_{}", short_hash(&seat, 8))
    }

    fn from_payload(claims: &Map<String, Value>) -> Self {
        let object = |name: &str| claims.get(name).and_then(Value::as_object);
        let (auth, profile) = (object(AUTH), object(PROFILE));
        let first = |names: &[&str]| {
            [auth, Some(claims)].into_iter().flatten().find_map(|level| first_text(level, names))
        };
        Self {
            email: first_text(claims, &["email"]).or_else(|| profile.and_then(|p| first_text(p, &["email"]))),
            account_id: first(&["chatgpt_account_id"]),
            user_id: auth
                .and_then(|auth| first_text(auth, &["chatgpt_user_id", "user_id", "chatgpt_account_user_id"]))
                .or_else(|| first_text(claims, &["chatgpt_user_id", "chatgpt_account_user_id", "sub"])),
            plan: first(&["chatgpt_plan_type"]),
            workspace: first(&[
                "workspace_id",
                "chatgpt_workspace_id",
                "organization_id",
                "org_id",
                "tenant_id",
            ])
            .or_else(|| {
                first(&["workspace_label", "workspace_name", "organization_name", "org_name", "tenant_name"])
            }),
            expires_at: claims.get("exp").and_then(seconds),
        }
    }
}

fn payload(jwt: &str) -> Option<Map<String, Value>> {
    let part = jwt.split('.').nth(1)?.trim_end_matches('=');
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn first_text(object: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| {
        let text = object.get(*name)?.as_str()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    })
}

/// `exp` comes as an integer, a float or a numeric string.
fn seconds(value: &Value) -> Option<u64> {
    let whole = |text: &str| text.split('.').next().and_then(|whole| whole.parse().ok());
    match value {
        Value::Number(number) => number.as_u64().or_else(|| whole(&number.to_string())),
        Value::String(text) => whole(text.trim()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn short_hash(text: &str, digits: usize) -> String {
    hex(&Sha256::digest(text)).chars().take(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::Secret;
    use serde_json::json;

    fn jwt(claims: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn an_id_token_tells_who_it_is() {
        let claims = Claims::read(&jwt(&json!({
            "email": "me@example.com", "sub": "google-oauth2|1", "exp": 1_790_000_000,
            AUTH: {"chatgpt_account_id": "3f1c", "user_id": "user-abc", "chatgpt_plan_type": "plus"},
        })));
        assert_eq!(claims.email.as_deref(), Some("me@example.com"));
        assert_eq!(claims.account_id.as_deref(), Some("3f1c"));
        assert_eq!(claims.user_id.as_deref(), Some("user-abc"));
        assert_eq!(claims.plan.as_deref(), Some("plus"));
        assert_eq!(claims.expires_at, Some(1_790_000_000));
    }

    #[test]
    fn top_level_and_profile_claims_are_the_second_choice() {
        let claims = Claims::read(&jwt(&json!({
            PROFILE: {"email": "p@example.com"}, "chatgpt_account_id": "top", "sub": "s", "org_id": "org",
            AUTH: {"chatgpt_account_id": " "},
        })));
        assert_eq!(claims.email.as_deref(), Some("p@example.com"));
        assert_eq!(claims.account_id.as_deref(), Some("top"));
        assert_eq!(claims.user_id.as_deref(), Some("s"));
        assert_eq!(claims.workspace.as_deref(), Some("org"));
    }

    #[test]
    fn expiry_is_read_from_any_number() {
        for exp in [json!(5), json!(5.9), json!("5"), json!("5.5")] {
            assert_eq!(Claims::read(&jwt(&json!({ "exp": exp }))).expires_at, Some(5));
        }
        assert_eq!(Claims::read(&jwt(&json!({ "exp": -1 }))).expires_at, None);
    }

    #[test]
    fn rubbish_states_nothing() {
        for text in ["", "a", "a.b", "a.!.c", "..", &jwt(&json!([1])), &jwt(&json!("x"))] {
            assert_eq!(Claims::read(text), Claims::default(), "{text}");
        }
    }

    #[test]
    fn the_access_token_completes_the_id_token_and_tells_the_expiry() {
        let tokens = Tokens {
            id: Some(Secret::new(jwt(&json!({"email": "a@b.c", "exp": 1})))),
            access: Secret::new(jwt(
                &json!({"email": "other@b.c", "exp": 2, AUTH: {"chatgpt_account_id": "x"}}),
            )),
            refresh: Secret::new("r"),
        };
        let claims = Claims::of(&tokens);
        assert_eq!(claims.email.as_deref(), Some("a@b.c"));
        assert_eq!((claims.account_id.as_deref(), claims.expires_at), (Some("x"), Some(2)));
    }

    #[test]
    fn the_local_id_names_the_seat() {
        let claims =
            Claims { account_id: Some("acc".into()), email: Some("Me@B.c".into()), ..Claims::default() };
        assert_eq!(claims.local_id(), format!("acc_{}", short_hash("me@b.c", 8)));
        let team = Claims { workspace: Some("ws".into()), ..claims.clone() };
        let colleague = Claims { email: Some("you@b.c".into()), ..team.clone() };
        assert_ne!(team.local_id(), colleague.local_id());
        let bare = Claims { account_id: Some("acc".into()), ..Claims::default() };
        assert_eq!(bare.local_id(), "acc");
        let nameless = Claims { account_id: None, ..claims };
        assert_eq!(nameless.local_id().len(), "email_".len() + 12);
        assert!(Claims::default().local_id().starts_with("local_"));
    }
}
