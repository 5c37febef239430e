//! Directives in the last user message decide what is answered, so that a test knows the answer beforehand.

use serde_json::{Deserializer, Value};

use super::ask::{Ask, Choice, Format, Tool};
use super::schema;

const PLAIN: &str = "This is the simulator. It read your message and answers with these sentences. \
    Some of its letters are longer than a byte: ü, é, 日本, 🙂.";
const WORDS: &[&str] =
    &["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett"];
/// Upper bound of `sim:words=`.
const MAX_WORDS: usize = 200_000;

/// What to answer: the items after the reasoning, and how the answer ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) items: Vec<Item>,
    /// `response.incomplete` with this reason instead of `response.completed`.
    pub(crate) incomplete: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Text(String),
    /// Text that cites a page found by the search before it.
    Cited(String),
    Refusal(String),
    Call {
        name: String,
        namespace: Option<String>,
        arguments: String,
    },
    Custom {
        name: String,
        input: String,
    },
    WebSearch(String),
    Compaction,
}

/// What the message orders.
#[derive(Debug, Default, PartialEq, Eq)]
struct Directives {
    /// Steps of calls made at once.
    steps: Vec<Vec<Call>>,
    say: Option<String>,
    tools: Option<usize>,
    custom_tool: bool,
    words: Option<usize>,
    incomplete: bool,
    refusal: bool,
    web_search: bool,
}

/// Arguments as written: a JSON object, or the text of a JSON string for custom tools.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    name: String,
    arguments: Option<String>,
}

pub(crate) fn plan(ask: &Ask<'_>) -> Plan {
    if ask.compaction {
        return Plan { items: vec![Item::Compaction], incomplete: None };
    }
    let directives = Directives::read(&ask.text);
    let incomplete = directives.incomplete.then_some("max_output_tokens");
    let calls = calls(ask, &directives);
    if !calls.is_empty() {
        return Plan { items: calls, incomplete };
    }
    let text = text(ask, &directives);
    let items = if directives.refusal {
        vec![Item::Refusal("I cannot help with that.".into())]
    } else if directives.web_search {
        vec![Item::WebSearch("codex".into()), Item::Cited(text)]
    } else {
        vec![Item::Text(text)]
    };
    Plan { items, incomplete }
}

/// The calls of the step whose turn it is; none: it is time for text.
fn calls(ask: &Ask<'_>, directives: &Directives) -> Vec<Item> {
    let forced = match ask.choice {
        Choice::None => return Vec::new(),
        Choice::Auto => None,
        Choice::Required => ask.tools.first(),
        Choice::Named(name) => ask.tools.iter().find(|tool| tool.name == name),
    };
    let first = |custom: bool| ask.tools.iter().find(|tool| tool.custom || !custom);
    let steps = match (directives.tools, first(directives.custom_tool)) {
        (Some(count), Some(tool)) => vec![vec![Call::any(tool)]; count.min(1000)],
        (None, Some(tool)) if directives.custom_tool => vec![vec![Call::any(tool)]],
        (_, Some(_)) => directives.steps.clone(),
        (_, None) => Vec::new(),
    };
    let mut steps: Vec<Vec<Call>> = match ask.parallel {
        true => steps,
        false => steps.into_iter().flatten().map(|call| vec![call]).collect(),
    };
    let mut answered = 0_usize;
    let turn = steps.iter().position(|step| {
        let begins = answered;
        answered = answered.saturating_add(step.len());
        (begins..answered).contains(&ask.outputs)
    });
    match (turn, forced) {
        (Some(turn), _) => steps.swap_remove(turn).into_iter().map(|call| call.item(ask)).collect(),
        (None, Some(tool)) => vec![Call::any(tool).item(ask)],
        (None, None) => Vec::new(),
    }
}

fn text(ask: &Ask<'_>, directives: &Directives) -> String {
    match ask.format {
        Format::Schema(schema) => return schema::fit(schema).to_string(),
        Format::JsonObject => return r#"{"answer": "This is the simulator."}"#.into(),
        Format::Text => {}
    }
    if let Some(count) = directives.words {
        let words: Vec<&str> = WORDS.iter().copied().cycle().take(count.min(MAX_WORDS)).collect();
        return words.join(" ");
    }
    match &directives.say {
        Some(text) => text.clone(),
        None if ask.outputs > 0 => "Done.".into(),
        None => PLAIN.into(),
    }
}

impl Call {
    /// A call of that tool with arguments that fit.
    fn any(tool: &Tool<'_>) -> Self {
        let arguments = match tool.parameters {
            _ if tool.custom => "Some text for the tool.\nAnd a second line.\n".to_owned(),
            Some(schema) => schema::fit(schema).to_string(),
            None => "{}".to_owned(),
        };
        Self { name: tool.name.to_owned(), arguments: Some(arguments) }
    }

    fn item(self, ask: &Ask<'_>) -> Item {
        let Some(tool) = ask.tools.iter().find(|tool| tool.name == self.name) else {
            return Item::Text(format!("The tool {} was not offered.", self.name));
        };
        let arguments =
            self.arguments.unwrap_or_else(|| if tool.custom { String::new() } else { "{}".into() });
        if tool.custom {
            Item::Custom { name: self.name, input: arguments }
        } else {
            Item::Call { name: self.name, namespace: tool.namespace.map(str::to_owned), arguments }
        }
    }
}

impl Directives {
    fn read(text: &str) -> Self {
        let mut found = Self::default();
        let mut rest = text;
        while let Some((_, after)) = rest.split_once("sim:") {
            rest = after;
            let end = after.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(after.len());
            let (word, tail) = after.split_at(end);
            let number = || {
                let digits = tail.strip_prefix('=')?;
                digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
            };
            match word {
                "call" => rest = found.read_calls(tail),
                "say" => (found.say, rest) = line(tail),
                "tools" => found.tools = number(),
                "words" => found.words = number(),
                "custom_tool" => found.custom_tool = true,
                "incomplete" => found.incomplete = true,
                "refusal" => found.refusal = true,
                "web_search" => found.web_search = true,
                _ => {}
            }
        }
        found
    }

    /// `NAME {…} and NAME {…} then NAME "…" then say TEXT`; returns what follows.
    fn read_calls<'a>(&mut self, mut text: &'a str) -> &'a str {
        let mut step = Vec::new();
        loop {
            text = text.trim_start();
            if let Some(tail) = text.strip_prefix("say ") {
                (self.say, text) = line(tail);
                break;
            }
            let end = text.find(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).unwrap_or(text.len());
            let (name, tail) = text.split_at(end);
            if name.is_empty() {
                break;
            }
            let (arguments, tail) = arguments(tail);
            step.push(Call { name: name.to_owned(), arguments });
            text = tail.trim_start();
            if let Some(tail) = text.strip_prefix("and ") {
                text = tail;
            } else if let Some(tail) = text.strip_prefix("then ") {
                self.steps.push(std::mem::take(&mut step));
                text = tail;
            } else {
                break;
            }
        }
        if !step.is_empty() {
            self.steps.push(step);
        }
        text
    }
}

/// A JSON object or string at the beginning, and what follows it.
fn arguments(text: &str) -> (Option<String>, &str) {
    let json = text.trim_start();
    let mut values = Deserializer::from_str(json).into_iter::<Value>();
    let value = values.next().and_then(Result::ok);
    let Some((raw, rest)) = json.split_at_checked(values.byte_offset()) else { return (None, text) };
    match value {
        Some(Value::Object(_)) => (Some(raw.to_owned()), rest),
        Some(Value::String(content)) => (Some(content), rest),
        Some(_) | None => (None, text),
    }
}

/// The rest of the line, without quotes that were around the whole message.
fn line(text: &str) -> (Option<String>, &str) {
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    (Some(line.trim().trim_end_matches('"').to_owned()), rest)
}

#[cfg(test)]
mod tests;
