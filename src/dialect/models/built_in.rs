//! The catalog that is served until an account's own was read.

use serde_json::{Value, json};

use super::EFFORTS;

/// One row of the built-in catalog.
struct BuiltIn {
    slug: &'static str,
    name: &'static str,
    client: &'static str,
    effort: &'static str,
    /// The highest effort offered; the lowest is `low`.
    top: &'static str,
    context: u64,
    max_context: u64,
}

const fn row(
    slug: &'static str,
    name: &'static str,
    client: &'static str,
    [effort, top]: [&'static str; 2],
    [context, max_context]: [u64; 2],
) -> BuiltIn {
    BuiltIn { slug, name, client, effort, top, context, max_context }
}

/// Served until an account's own catalog was read. The order is the order of preference.
const BUILT_IN: [BuiltIn; 10] = [
    row("gpt-5.6-sol", "GPT-5.6 Sol", "0.144.0", ["low", "ultra"], [272_000, 872_000]),
    row("gpt-5.6-terra", "GPT-5.6 Terra", "0.144.0", ["medium", "ultra"], [272_000, 872_000]),
    row("gpt-5.6-luna", "GPT-5.6 Luna", "0.144.0", ["medium", "max"], [272_000, 872_000]),
    row("gpt-5.5", "GPT-5.5", "0.124.0", ["medium", "xhigh"], [272_000, 272_000]),
    row("gpt-5.4", "GPT-5.4", "0.98.0", ["medium", "xhigh"], [272_000, 1_000_000]),
    row("gpt-5.4-mini", "GPT-5.4 mini", "0.98.0", ["medium", "xhigh"], [272_000, 272_000]),
    row("gpt-5.3-codex", "GPT-5.3 Codex", "0.98.0", ["medium", "xhigh"], [272_000, 272_000]),
    row("gpt-5.3-codex-spark", "GPT-5.3 Codex Spark", "0.100.0", ["high", "xhigh"], [128_000, 128_000]),
    row("gpt-5.2", "GPT-5.2", "0.0.1", ["medium", "xhigh"], [272_000, 272_000]),
    row("codex-auto-review", "Codex Auto Review", "0.98.0", ["medium", "xhigh"], [272_000, 1_000_000]),
];

/// The catalog before any account's own was read: complete entries, as the backend would write them.
pub fn built_in() -> Vec<Value> {
    (1..).zip(&BUILT_IN).map(|(priority, row)| built_in_entry(row, priority)).collect()
}

fn built_in_entry(row: &BuiltIn, priority: u64) -> Value {
    let lite = matches!(row.slug, "gpt-5.6-sol" | "gpt-5.6-terra");
    let agents = match row.slug {
        "gpt-5.6-sol" | "gpt-5.6-terra" => json!("v2"),
        "gpt-5.6-luna" => json!("v1"),
        _ => Value::Null,
    };
    let top = EFFORTS.iter().position(|effort| *effort == row.top).unwrap_or(EFFORTS.len());
    let levels = EFFORTS.iter().take(top + 1).skip(2);
    let levels: Vec<_> = levels
        .map(|effort| json!({ "effort": effort, "description": format!("{effort} reasoning effort") }))
        .collect();
    let spark = row.slug == "gpt-5.3-codex-spark";
    let fast = json!({ "id": "priority", "name": "Fast", "description": "1.5x speed, increased usage" });
    json!({
        "slug": row.slug, "display_name": row.name, "description": row.name, "base_instructions": "",
        "default_reasoning_level": row.effort, "supported_reasoning_levels": levels,
        "shell_type": "shell_command", "supported_in_api": true, "priority": priority,
        "visibility": if row.slug == "codex-auto-review" { "hide" } else { "list" },
        "minimal_client_version": row.client, "context_window": row.context,
        "max_context_window": row.max_context, "effective_context_window_percent": 95,
        "auto_compact_token_limit": null,
        "truncation_policy": { "mode": if row.slug == "gpt-5.2" { "bytes" } else { "tokens" }, "limit": 10_000 },
        "supports_reasoning_summaries": true, "default_reasoning_summary": "none",
        "reasoning_summary_format": "experimental", "support_verbosity": true,
        "default_verbosity": if row.slug == "gpt-5.4-mini" { "medium" } else { "low" },
        "supports_parallel_tool_calls": true,
        "input_modalities": if spark { json!(["text"]) } else { json!(["text", "image"]) },
        "apply_patch_tool_type": "freeform",
        "web_search_tool_type": if spark { "text" } else { "text_and_image" },
        "supports_image_detail_original": !spark, "supports_search_tool": true,
        "experimental_supported_tools": [], "prefer_websockets": true, "use_responses_lite": lite,
        "tool_mode": if lite { json!("code_mode_only") } else { Value::Null },
        "multi_agent_version": agents,
        "additional_speed_tiers": if spark { json!([]) } else { json!(["fast"]) },
        "service_tiers": if spark { json!([]) } else { json!([fast]) },
        "default_service_tier": null, "availability_nux": null, "upgrade": null, "model_messages": null,
    })
}
