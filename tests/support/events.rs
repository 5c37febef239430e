//! Server-sent events as a client reads them.

use std::time::Duration;

use serde_json::Value;

use crate::within;

/// The longest silence a test accepts.
const SILENCE: Duration = Duration::from_secs(20);

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The `event:` line.
    pub name: Option<String>,
    pub data: String,
}

impl Event {
    /// The data as JSON; `null` for `[DONE]` and the like.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or(Value::Null)
    }

    /// The `type` inside the JSON.
    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }
}

/// The events of one answer, as they arrive.
pub struct Events {
    answer: reqwest::Response,
    buffer: Vec<u8>,
    comments: usize,
    /// How the body ended, once it has: `Err` when the connection broke.
    pub end: Option<Result<(), String>>,
}

impl Events {
    pub fn of(answer: reqwest::Response) -> Self {
        Self { answer, buffer: Vec::new(), comments: 0, end: None }
    }

    /// The next event; `None` when the body has ended. Comments are only counted.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = border(&self.buffer) {
                let block: Vec<u8> = self.buffer.drain(..end).collect();
                match parse(&String::from_utf8(block).unwrap()) {
                    Some(event) => return Some(event),
                    None => self.comments += 1,
                }
            }
            if self.end.is_some() {
                return None;
            }
            match within("the next event", SILENCE, self.answer.chunk()).await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) => self.end = Some(Ok(())),
                Err(error) => self.end = Some(Err(error.to_string())),
            }
        }
    }

    /// Comments so far.
    pub fn comments(&self) -> usize {
        self.comments
    }

    /// All events to the end of the body.
    pub async fn all(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// The visible text of a chat completion stream.
pub fn chat_text(events: &[Event]) -> String {
    let chunks = events.iter().map(Event::json);
    chunks.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

/// The visible text of a Responses stream.
pub fn response_text(events: &[Event]) -> String {
    let deltas = events.iter().filter(|event| event.kind() == "response.output_text.delta");
    deltas.map(|event| event.json()["delta"].as_str().unwrap().to_owned()).collect()
}

/// Where the first block ends, with its blank line.
fn border(bytes: &[u8]) -> Option<usize> {
    let mut line_starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    line_starts.find_map(|at| {
        let rest = bytes.get(at..)?;
        [&b"\n"[..], b"\r\n"].iter().find(|blank| rest.starts_with(blank)).map(|blank| at + blank.len())
    })
}

fn parse(block: &str) -> Option<Event> {
    let mut name = None;
    let mut data = Vec::new();
    for line in block.lines() {
        if let Some(value) = line.strip_prefix("event:") {
            name = Some(value.trim().to_owned());
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push(value.strip_prefix(' ').unwrap_or(value));
        }
    }
    (!data.is_empty()).then(|| Event { name, data: data.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_ends_at_a_blank_line_of_either_kind() {
        assert_eq!(border(b"data: x\n\nrest"), Some(9));
        assert_eq!(border(b"data: x\r\n\r\nrest"), Some(11));
        assert_eq!(border(b"data: x\ndata: y\n"), None);
    }

    #[test]
    fn a_block_has_a_name_and_data_and_a_comment_is_no_event() {
        let event = parse("event: x\ndata: {\"type\":\"x\"}\n\n").unwrap();
        assert_eq!((event.name.as_deref(), event.kind().as_str()), (Some("x"), "x"));
        assert_eq!(parse(": keepalive\n\n"), None);
    }
}
