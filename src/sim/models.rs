//! The models this backend has, which plan may use them, and `GET /codex/models`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::server::Sim;

pub(crate) struct Model {
    pub(crate) slug: &'static str,
    name: &'static str,
    context: u64,
    client: &'static str,
    default_effort: &'static str,
    pub(crate) efforts: &'static [&'static str],
    paid_only: bool,
    hidden: bool,
}

const USUAL: &[&str] = &["low", "medium", "high", "xhigh"];
const LARGE: &[&str] = &["low", "medium", "high", "xhigh", "max"];

const USUAL_MODEL: Model = Model {
    slug: "",
    name: "",
    context: 272_000,
    client: "0.98.0",
    default_effort: "medium",
    efforts: USUAL,
    paid_only: false,
    hidden: false,
};

const MODELS: &[Model] = &[
    Model { slug: "gpt-5.6-sol", name: "GPT-5.6 Sol", efforts: LARGE, client: "0.144.0", ..USUAL_MODEL },
    Model { slug: "gpt-5.6-terra", name: "GPT-5.6 Terra", efforts: LARGE, client: "0.144.0", ..USUAL_MODEL },
    Model { slug: "gpt-5.6-luna", name: "GPT-5.6 Luna", efforts: LARGE, client: "0.144.0", ..USUAL_MODEL },
    Model { slug: "gpt-5.5", name: "GPT-5.5", client: "0.124.0", ..USUAL_MODEL },
    Model { slug: "gpt-5.4", name: "GPT-5.4", paid_only: true, ..USUAL_MODEL },
    Model { slug: "gpt-5.4-mini", name: "GPT-5.4 Mini", ..USUAL_MODEL },
    Model { slug: "gpt-5.3-codex", name: "GPT-5.3 Codex", paid_only: true, ..USUAL_MODEL },
    Model {
        slug: "gpt-5.3-codex-spark",
        name: "GPT-5.3 Codex Spark",
        context: 128_000,
        default_effort: "high",
        paid_only: true,
        ..USUAL_MODEL
    },
    Model { slug: "gpt-5.2", name: "GPT-5.2", client: "0.0.1", ..USUAL_MODEL },
    Model { slug: "codex-auto-review", name: "Codex Auto Review", hidden: true, ..USUAL_MODEL },
];

/// The model of that slug, if the plan may use it.
pub(crate) fn find(slug: &str, plan: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.slug == slug && model.serves(plan))
}

impl Model {
    fn serves(&self, plan: &str) -> bool {
        let small = matches!(plan, "free" | "free_workspace" | "k12");
        let spark = self.slug == "gpt-5.3-codex-spark";
        let large = matches!(plan, "pro" | "prolite" | "team" | "business" | "enterprise");
        !(self.paid_only && small) && (!spark || large)
    }

    fn entry(&self, priority: usize) -> Value {
        let level = |effort: &&str| json!({"effort": effort, "description": format!("{effort} effort")});
        let levels: Vec<Value> = self.efforts.iter().map(level).collect();
        json!({
            "slug": self.slug, "display_name": self.name, "description": self.name, "base_instructions": "",
            "default_reasoning_level": self.default_effort, "supported_reasoning_levels": levels,
            "shell_type": "shell_command", "visibility": if self.hidden { "hide" } else { "list" },
            "supported_in_api": true, "priority": priority, "minimal_client_version": self.client,
            "context_window": self.context, "max_context_window": self.context,
            "effective_context_window_percent": 95, "auto_compact_token_limit": null,
            "truncation_policy": {"mode": "tokens", "limit": 10_000},
            "supports_reasoning_summaries": true, "default_reasoning_summary": "none",
            "reasoning_summary_format": "experimental", "support_verbosity": true, "default_verbosity": "low",
            "supports_parallel_tool_calls": true, "input_modalities": ["text", "image"],
            "apply_patch_tool_type": "freeform", "web_search_tool_type": "text_and_image",
            "supports_search_tool": true, "experimental_supported_tools": [], "prefer_websockets": false,
            "use_responses_lite": false,
            "service_tiers": [{"id": "priority", "name": "Fast", "description": "1.5x speed, increased usage"}],
            "default_service_tier": null, "upgrade": null, "availability_nux": null,
        })
    }
}

pub(crate) async fn list(State(sim): State<Arc<Sim>>, request: Request) -> Result<Response, Refusal> {
    let account = sim.account_of(&request.into_parts().0)?;
    let served = MODELS.iter().filter(|model| model.serves(&account.plan));
    let entries: Vec<Value> = served.enumerate().map(|(index, model)| model.entry(index)).collect();
    let etag = format!("W/\"sim-{}\"", entries.len());
    Ok(([("etag", etag)], axum::Json(json!({ "models": entries }))).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_offered_to_the_plans_that_have_it() {
        assert!(find("gpt-5.4", "plus").is_some());
        assert!(find("gpt-5.4", "free").is_none());
        assert!(find("gpt-5.3-codex-spark", "plus").is_none());
        assert!(find("gpt-5.3-codex-spark", "pro").is_some());
        assert!(find("gpt-4o", "pro").is_none());
    }
}
