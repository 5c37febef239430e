//! A plan rendered as the events of an answer, in the order and shape of the backend.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::ask::Ask;
use super::cache::Input;
use super::script::{Item, Plan};

/// Characters in one delta of tool arguments.
const ARGUMENT_DELTA: usize = 12;
const SUMMARY: &str =
    "**Reading the request**\n\nThe last message says what to answer. I follow it step by step.";
/// Fields of the request that the response object repeats.
const REPEATED: &[&str] =
    &["instructions", "tools", "tool_choice", "parallel_tool_calls", "prompt_cache_key", "text"];

/// What an answer needs beside the plan.
pub(crate) struct Setting<'a> {
    pub(crate) ask: &'a Ask<'a>,
    pub(crate) input: Input,
    /// Makes every id of this answer its own: 16 hex digits of the world and a number.
    pub(crate) nonce: String,
    /// Sealed reasoning for this answer, when the request asks for it.
    pub(crate) sealed: Option<String>,
    pub(crate) created_at: u64,
    pub(crate) full_output: bool,
}

/// The events, and what they cost in tokens (input and output).
pub(crate) struct Answer {
    pub(crate) events: Vec<Bytes>,
    pub(crate) tokens: u64,
}

pub(crate) fn render(plan: &Plan, setting: &Setting<'_>) -> Answer {
    let mut writer = Writer { setting, events: Vec::new(), sequence: 0, output: Vec::new(), bytes: 0 };
    let begun = json!({"response": writer.response("in_progress", &Value::Null)});
    writer.event("response.created", &begun);
    writer.event("response.in_progress", &begun);
    let thinking = reasoning_tokens(setting.ask.effort);
    if thinking > 0 {
        writer.reasoning();
    }
    for item in &plan.items {
        writer.item(item);
    }
    let output_tokens = writer.bytes / 4 + thinking + 1;
    let tokens = setting.input.tokens.saturating_add(output_tokens);
    let usage = json!({
        "input_tokens": setting.input.tokens,
        "input_tokens_details": {"cached_tokens": setting.input.cached},
        "output_tokens": output_tokens, "output_tokens_details": {"reasoning_tokens": thinking},
        "total_tokens": tokens,
    });
    let (kind, status) = match plan.incomplete {
        None => ("response.completed", "completed"),
        Some(_) => ("response.incomplete", "incomplete"),
    };
    let mut response = writer.response(status, &usage);
    if setting.full_output {
        set(&mut response, "output", json!(writer.output));
    }
    if let Some(reason) = plan.incomplete {
        set(&mut response, "incomplete_details", json!({ "reason": reason }));
    }
    writer.event(kind, &json!({ "response": response }));
    Answer { events: writer.events, tokens }
}

/// An answer of so many text deltas to a request that is always the same.
pub(crate) fn sample(words: usize) -> Vec<Bytes> {
    let request = json!({"model": "gpt-5.4", "instructions": ""});
    let Some(request) = request.as_object() else { return Vec::new() };
    let plan = Plan { items: vec![Item::Text(vec!["word"; words].join(" "))], incomplete: None };
    let setting = Setting {
        ask: &Ask::read(request),
        input: Input { tokens: 1000, cached: 896 },
        nonce: "sample".into(),
        sealed: None,
        created_at: 0,
        full_output: false,
    };
    render(&plan, &setting).events
}

/// One event that stands for itself. `type` comes first, as the backend writes it.
pub(crate) fn event(kind: &str, fields: &Value) -> Bytes {
    let fields = fields.to_string();
    let fields = fields.strip_prefix('{').unwrap_or("}");
    let comma = if fields.starts_with('}') { "" } else { "," };
    Bytes::from(format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{comma}{fields}\n\n"))
}

/// `response.failed` with this error object.
pub(crate) fn failed(error: &Value, nonce: &str, model: &str, created_at: u64) -> Bytes {
    let response = json!({
        "id": format!("resp_{nonce}"), "object": "response", "status": "failed", "created_at": created_at,
        "model": model, "output": [], "error": error, "incomplete_details": null, "usage": null,
    });
    event("response.failed", &json!({"sequence_number": 0, "response": response}))
}

struct Writer<'a> {
    setting: &'a Setting<'a>,
    events: Vec<Bytes>,
    sequence: u64,
    output: Vec<Value>,
    /// Of text and arguments.
    bytes: u64,
}

impl Writer<'_> {
    fn event(&mut self, kind: &str, fields: &Value) {
        let mut fields = fields.clone();
        set(&mut fields, "sequence_number", json!(self.sequence));
        self.sequence += 1;
        self.events.push(event(kind, &fields));
    }

    fn id(&self, prefix: &str) -> String {
        format!("{prefix}_{}{:04x}", self.setting.nonce, self.output.len())
    }

    fn response(&self, status: &str, usage: &Value) -> Value {
        let ask = self.setting.ask;
        let mut response = Map::new();
        for key in REPEATED {
            let given = ask.request.get(*key).cloned();
            response.insert((*key).to_owned(), given.unwrap_or_else(|| repeated_default(key)));
        }
        let rest = json!({
            "id": format!("resp_{}", self.setting.nonce), "object": "response", "status": status,
            "created_at": self.setting.created_at, "background": false, "error": null, "incomplete_details": null,
            "max_output_tokens": null, "metadata": {}, "model": ask.model, "output": [],
            "previous_response_id": null, "reasoning": {"effort": ask.effort, "summary": if ask.summary { "detailed" } else { "none" }},
            "service_tier": ask.request.get("service_tier").filter(|tier| tier.is_string()).map_or(json!("default"), Value::clone),
            "store": false, "temperature": 1.0, "top_p": 1.0, "truncation": "disabled", "usage": usage, "user": null,
        });
        if let Value::Object(rest) = rest {
            response.extend(rest);
        }
        Value::Object(response)
    }

    /// `fields` of an event about the item that is being written.
    fn about(&mut self, kind: &str, id: &str, fields: Value) {
        let mut event = fields;
        set(&mut event, "item_id", json!(id));
        set(&mut event, "output_index", json!(self.output.len()));
        self.event(kind, &event);
    }

    fn added(&mut self, item: &Value) {
        let fields = json!({"output_index": self.output.len(), "item": item});
        self.event("response.output_item.added", &fields);
    }

    fn done(&mut self, item: Value) {
        let fields = json!({"output_index": self.output.len(), "item": item});
        self.event("response.output_item.done", &fields);
        self.output.push(item);
    }

    fn reasoning(&mut self) {
        let id = self.id("rs");
        let mut item = json!({"id": id, "type": "reasoning", "summary": []});
        self.added(&item);
        if self.setting.ask.summary {
            let part =
                |text: &str| json!({"summary_index": 0, "part": {"type": "summary_text", "text": text}});
            self.about("response.reasoning_summary_part.added", &id, part(""));
            for delta in SUMMARY.split_inclusive(' ') {
                let fields = json!({"summary_index": 0, "delta": delta});
                self.about("response.reasoning_summary_text.delta", &id, fields);
            }
            let fields = json!({"summary_index": 0, "text": SUMMARY});
            self.about("response.reasoning_summary_text.done", &id, fields);
            self.about("response.reasoning_summary_part.done", &id, part(SUMMARY));
            set(&mut item, "summary", json!([{"type": "summary_text", "text": SUMMARY}]));
        }
        if let Some(sealed) = &self.setting.sealed {
            set(&mut item, "encrypted_content", json!(sealed));
        }
        self.done(item);
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Text(text) => self.message(text, &[]),
            Item::Cited(text) => {
                let end = text.split(' ').next().map_or(0, |word| word.chars().count());
                let citation = json!({
                    "type": "url_citation", "start_index": 0, "end_index": end,
                    "url": "https://example.com/", "title": "Example",
                });
                self.message(text, &[citation]);
            }
            Item::Refusal(text) => self.refusal(text),
            Item::Call { name, namespace, arguments } => {
                let mut item = json!({
                    "id": self.id("fc"), "type": "function_call", "status": "in_progress", "arguments": "",
                    "call_id": self.id("call"), "name": name,
                });
                if let Some(namespace) = namespace {
                    set(&mut item, "namespace", json!(namespace));
                }
                self.call(item, "response.function_call_arguments", "arguments", arguments);
            }
            Item::Custom { name, input } => {
                let item = json!({
                    "id": self.id("ctc"), "type": "custom_tool_call", "status": "in_progress", "input": "",
                    "call_id": self.id("call"), "name": name,
                });
                self.call(item, "response.custom_tool_call_input", "input", input);
            }
            Item::WebSearch(query) => self.web_search(query),
            Item::Compaction => {
                let sealed = self.setting.sealed.clone().unwrap_or_default();
                let item = json!({"id": self.id("cmp"), "type": "compaction", "encrypted_content": sealed});
                self.added(&item);
                self.done(item);
            }
        }
    }

    fn message(&mut self, text: &str, annotations: &[Value]) {
        let id = self.id("msg");
        let item = |status: &str, content: Value| json!({"id": id, "type": "message", "role": "assistant", "status": status, "content": content});
        let part = |text: &str, annotations: &[Value]| json!({"type": "output_text", "text": text, "annotations": annotations, "logprobs": []});
        self.added(&item("in_progress", json!([])));
        let fields = json!({"content_index": 0, "part": part("", &[])});
        self.about("response.content_part.added", &id, fields);
        for delta in text.split_inclusive(' ') {
            let fields = json!({"content_index": 0, "delta": delta, "logprobs": []});
            self.about("response.output_text.delta", &id, fields);
        }
        for (index, annotation) in annotations.iter().enumerate() {
            let fields = json!({"content_index": 0, "annotation_index": index, "annotation": annotation});
            self.about("response.output_text.annotation.added", &id, fields);
        }
        let fields = json!({"content_index": 0, "text": text, "logprobs": []});
        self.about("response.output_text.done", &id, fields);
        let fields = json!({"content_index": 0, "part": part(text, annotations)});
        self.about("response.content_part.done", &id, fields);
        self.count(text);
        self.done(item("completed", json!([part(text, annotations)])));
    }

    fn refusal(&mut self, text: &str) {
        let id = self.id("msg");
        let item = |status: &str, content: Value| json!({"id": id, "type": "message", "role": "assistant", "status": status, "content": content});
        let part = |text: &str| json!({"type": "refusal", "refusal": text});
        self.added(&item("in_progress", json!([])));
        self.about("response.content_part.added", &id, json!({"content_index": 0, "part": part("")}));
        for delta in text.split_inclusive(' ') {
            self.about("response.refusal.delta", &id, json!({"content_index": 0, "delta": delta}));
        }
        self.about("response.refusal.done", &id, json!({"content_index": 0, "refusal": text}));
        self.about("response.content_part.done", &id, json!({"content_index": 0, "part": part(text)}));
        self.count(text);
        self.done(item("completed", json!([part(text)])));
    }

    /// A tool call: its argument text in deltas, then whole under `field`.
    fn call(&mut self, mut item: Value, events: &str, field: &str, arguments: &str) {
        let id = item.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.added(&item);
        let characters: Vec<char> = arguments.chars().collect();
        for delta in characters.chunks(ARGUMENT_DELTA) {
            let delta: String = delta.iter().collect();
            self.about(&format!("{events}.delta"), &id, json!({ "delta": delta }));
        }
        let mut whole = json!({});
        set(&mut whole, field, json!(arguments));
        self.about(&format!("{events}.done"), &id, whole);
        set(&mut item, field, json!(arguments));
        set(&mut item, "status", json!("completed"));
        self.count(arguments);
        self.done(item);
    }

    fn web_search(&mut self, query: &str) {
        let id = self.id("ws");
        let mut item = json!({"id": id, "type": "web_search_call", "status": "in_progress"});
        self.added(&item);
        for step in ["in_progress", "searching", "completed"] {
            self.about(&format!("response.web_search_call.{step}"), &id, json!({}));
        }
        set(&mut item, "status", json!("completed"));
        set(&mut item, "action", json!({"type": "search", "query": query}));
        self.done(item);
    }

    fn count(&mut self, text: &str) {
        self.bytes = self.bytes.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
    }
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

fn repeated_default(key: &str) -> Value {
    match key {
        "tools" => json!([]),
        "tool_choice" => json!("auto"),
        "parallel_tool_calls" => json!(true),
        "text" => json!({"format": {"type": "text"}, "verbosity": "medium"}),
        _ => Value::Null,
    }
}

/// More effort, more tokens; the figures are made up.
fn reasoning_tokens(effort: &str) -> u64 {
    match effort {
        "none" => 0,
        "low" => 64,
        "medium" => 192,
        "high" => 448,
        _ => 960,
    }
}

#[cfg(test)]
mod tests;
