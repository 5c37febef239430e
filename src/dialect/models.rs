//! Model lists for clients, made of the catalog: entries as the Codex backend writes them, unknown keys kept.

mod built_in;

use bytes::Bytes;
use serde_json::{Value, json};

pub use built_in::built_in;

/// Efforts clients know; others would make the Codex CLI refuse the whole list.
const EFFORTS: [&str; 8] = ["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"];

/// Models whose catalog entry does not name it: most output tokens.
const MAX_OUTPUT: u64 = 128_000;
const MAX_OUTPUT_KNOWN: [&str; 4] = ["gpt-5.4", "gpt-5.5", "gpt-5.4-mini", "gpt-5.3-codex"];

/// `GET /v1/models`: every model that may be used over the API. `now_secs`: Unix seconds.
pub fn openai_list(catalog: &[Value], now_secs: u64) -> Bytes {
    let served = catalog.iter().filter(|entry| in_api(entry));
    let data: Vec<_> = served.map(|entry| openai_entry(entry, now_secs)).collect();
    Bytes::from(json!({ "object": "list", "data": data }).to_string())
}

/// `GET /backend-api/codex/models`, and `/v1/models` when the client states its `client_version`.
pub fn codex_list(catalog: &[Value]) -> Bytes {
    let shown = |entry: &&Value| in_api(entry) || entry["shell_type"] == "shell_command";
    let models: Vec<_> = catalog.iter().filter(shown).map(codex_entry).collect();
    let listed = catalog.iter().filter(|entry| in_api(entry) && visibility(entry) == "list");
    let created = |entry: &Value| entry["created"].as_u64().unwrap_or(0);
    let data: Vec<_> = listed.map(|entry| openai_entry(entry, created(entry))).collect();
    Bytes::from(json!({ "models": models, "object": "list", "data": data }).to_string())
}

fn in_api(entry: &Value) -> bool {
    entry["slug"].is_string() && entry["supported_in_api"] != false
}

fn visibility(entry: &Value) -> &str {
    entry["visibility"].as_str().unwrap_or("list")
}

fn openai_entry(entry: &Value, created: u64) -> Value {
    let slug = entry["slug"].as_str().unwrap_or_default();
    let context = &entry["context_window"];
    let known = MAX_OUTPUT_KNOWN.contains(&slug).then_some(MAX_OUTPUT);
    let max_output = entry["max_output_tokens"].as_u64().or(known);
    let modalities = entry["input_modalities"].as_array().cloned().unwrap_or_else(|| vec![json!("text")]);
    let images = modalities.contains(&json!("image"));
    let efforts = efforts(entry);
    let reasons = !efforts.is_empty();
    let named = |key: &str| entry[key].as_str().unwrap_or(slug);
    json!({
        "id": slug, "object": "model", "created": created, "owned_by": "codex-lb",
        "metadata": {
            "display_name": named("display_name"), "description": named("description"),
            "context_window": context, "input_context_window": context, "max_output_tokens": max_output,
            "input_modalities": modalities, "supported_reasoning_levels": efforts,
            "default_reasoning_level": entry["default_reasoning_level"],
            "supports_reasoning_summaries": entry["supports_reasoning_summaries"],
            "support_verbosity": entry["support_verbosity"], "default_verbosity": entry["default_verbosity"],
            "prefer_websockets": entry["prefer_websockets"],
            "supports_parallel_tool_calls": entry["supports_parallel_tool_calls"],
            "supported_in_api": true, "minimal_client_version": entry["minimal_client_version"],
            "priority": entry["priority"],
        },
        "api_types": ["chat_completions"],
        "capabilities": {
            "context_length": context, "max_output_tokens": max_output, "supports_reasoning": reasons,
            "supports_images": images, "supportsImages": images, "supports_vision": images,
            "supports_tool_use": true, "supports_streaming": true,
            "input_modalities": modalities, "output_modalities": ["text"],
        },
        "context_length": context, "contextLength": context,
        "max_output_tokens": max_output, "maxOutputTokens": max_output,
        "supports_reasoning": reasons, "supportsReasoning": reasons,
        "supports_images": images, "supportsImages": images,
        "supports_vision": images, "supportsVision": images,
    })
}

/// The entry with what the Codex CLI demands: one entry without it makes the CLI refuse the whole list.
fn codex_entry(entry: &Value) -> Value {
    let mut entry = entry.as_object().cloned().unwrap_or_default();
    let mode = if entry.get("slug") == Some(&json!("gpt-5.2")) { "bytes" } else { "tokens" };
    let defaults = [
        ("truncation_policy", json!({ "mode": mode, "limit": 10_000 })),
        ("experimental_supported_tools", json!([])),
        ("visibility", json!("list")),
    ];
    for (key, default) in defaults {
        let missing = entry.get(key).is_none_or(Value::is_null);
        if missing {
            entry.insert(key.into(), default);
        }
    }
    let efforts = efforts(&Value::Object(entry.clone()));
    if entry.contains_key("supported_reasoning_levels") {
        entry.insert("supported_reasoning_levels".into(), json!(efforts));
    }
    Value::Object(entry)
}

fn efforts(entry: &Value) -> Vec<Value> {
    let levels = entry["supported_reasoning_levels"].as_array().map(Vec::as_slice).unwrap_or_default();
    let known = |level: &&Value| level["effort"].as_str().is_some_and(|effort| EFFORTS.contains(&effort));
    levels.iter().filter(known).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(list: &Bytes) -> Value {
        serde_json::from_slice(list).unwrap()
    }

    fn slugs(list: &Value, key: &str) -> Vec<String> {
        list.as_array().unwrap().iter().map(|entry| entry[key].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn openai_clients_see_every_model_served_over_the_api() {
        let mut catalog = built_in();
        catalog[0]["supported_in_api"] = json!(false);
        let list = parsed(&openai_list(&catalog, 1_787_300_000));
        let ids = slugs(&list["data"], "id");
        assert_eq!(ids.len(), 9);
        assert!(!ids.contains(&"gpt-5.6-sol".to_owned()) && ids.contains(&"codex-auto-review".to_owned()));
        let model = &list["data"].as_array().unwrap()[3];
        assert_eq!((&model["id"], &model["created"]), (&json!("gpt-5.4"), &json!(1_787_300_000)));
        assert_eq!(model["max_output_tokens"], 128_000);
        assert_eq!(model["capabilities"]["supports_vision"], true);
        assert_eq!(model["metadata"]["supported_reasoning_levels"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn codex_entries_keep_unknown_keys_and_get_what_the_cli_demands() {
        let catalog = [json!({"slug":"gpt-5.2","new_key":[1],"supported_reasoning_levels":[
            {"effort":"low"},{"effort":"galactic"}]})];
        let entry = codex_entry(&catalog[0]);
        assert_eq!(entry["new_key"], json!([1]));
        assert_eq!(entry["truncation_policy"], json!({"mode":"bytes","limit":10_000}));
        assert_eq!(entry["experimental_supported_tools"], json!([]));
        assert_eq!(entry["visibility"], "list");
        assert_eq!(entry["supported_reasoning_levels"], json!([{"effort":"low"}]));
    }

    #[test]
    fn hidden_models_are_for_codex_only() {
        let mut catalog = built_in();
        catalog[0]["supported_in_api"] = json!(false);
        catalog[0]["shell_type"] = json!("default");
        let list = parsed(&codex_list(&catalog));
        assert!(slugs(&list["models"], "slug").contains(&"codex-auto-review".to_owned()));
        assert!(!slugs(&list["models"], "slug").contains(&"gpt-5.6-sol".to_owned()));
        assert_eq!(slugs(&list["data"], "id").len(), 8);
        assert_eq!(list["data"][0]["created"], 0);
    }

    #[test]
    fn built_in_efforts_begin_with_low() {
        let catalog = built_in();
        let efforts = |at: usize| slugs(&catalog[at]["supported_reasoning_levels"], "effort");
        assert_eq!(efforts(0), ["low", "medium", "high", "xhigh", "max", "ultra"]);
        assert_eq!(efforts(4), ["low", "medium", "high", "xhigh"]);
    }
}
