//! What an event is told from its bytes, and that no bytes at all can make it panic.

use super::*;

fn kind(data: &str) -> Kind {
    Event::new(format!("data: {data}\n\n").into()).kind
}

const NAMES: &[(&str, Kind)] = &[
    ("response.created", Kind::Created),
    ("response.in_progress", Kind::InProgress),
    ("response.queued", Kind::Queued),
    ("response.output_item.added", Kind::ItemAdded),
    ("response.output_item.done", Kind::ItemDone),
    ("response.content_part.added", Kind::PartAdded),
    ("response.content_part.done", Kind::PartDone),
    ("response.output_text.delta", Kind::TextDelta),
    ("response.text.delta", Kind::TextDelta),
    ("response.output_text.done", Kind::TextDone),
    ("response.output_text.annotation.added", Kind::Other),
    ("response.refusal.delta", Kind::RefusalDelta),
    ("response.refusal.done", Kind::RefusalDone),
    ("response.function_call_arguments.delta", Kind::ArgumentsDelta),
    ("response.function_call_arguments.done", Kind::ArgumentsDone),
    ("response.custom_tool_call_input.delta", Kind::CustomInputDelta),
    ("response.custom_tool_call_input.done", Kind::CustomInputDone),
    ("response.reasoning_summary_part.added", Kind::SummaryPartAdded),
    ("response.reasoning_summary_part.done", Kind::SummaryPartDone),
    ("response.reasoning_summary_text.delta", Kind::SummaryDelta),
    ("response.reasoning_summary_text.done", Kind::SummaryDone),
    ("response.reasoning_text.delta", Kind::ReasoningDelta),
    ("response.reasoning_text.done", Kind::ReasoningDone),
    ("response.web_search_call.in_progress", Kind::Other),
    ("response.web_search_call.searching", Kind::Other),
    ("response.web_search_call.completed", Kind::Other),
    ("response.image_generation_call.partial_image", Kind::Other),
    ("response.audio.delta", Kind::Other),
    ("response.completed", Kind::Completed),
    ("response.done", Kind::Completed),
    ("response.incomplete", Kind::Incomplete),
    ("response.failed", Kind::Failed),
    ("error", Kind::Error),
    ("codex.rate_limits", Kind::RateLimits),
    ("codex.response.metadata", Kind::Codex),
    ("codex.keepalive", Kind::Codex),
    ("response.metadata", Kind::Codex),
    ("responsesapi.websocket_timing", Kind::Codex),
    ("", Kind::Other),
    ("something.new", Kind::Other),
];

#[test]
fn every_name_is_known_wherever_the_type_stands() {
    for (name, expected) in NAMES {
        let escaped = name.replace('.', "\\u002e");
        for data in [
            format!(r#"{{"type":"{name}","delta":"x"}}"#),
            format!(r#"{{ "type" : "{name}" }}"#),
            format!(r#"{{"sequence_number":4,"item":{{"type":"message"}},"type":"{name}"}}"#),
            format!(r#"{{"type":"{escaped}","delta":"x"}}"#),
        ] {
            assert_eq!(kind(&data), *expected, "{data}");
        }
    }
}

#[test]
fn payloads_without_a_usable_type_are_sorted_by_what_they_are() {
    for (data, expected) in [
        ("[DONE]", Kind::Done),
        (" [DONE] ", Kind::Done),
        (r#"{"error":{"message":"no"}}"#, Kind::Error),
        (r#"{"type":null,"error":{"message":"no"}}"#, Kind::Error),
        (r#"{"type":7,"error":{}}"#, Kind::Error),
        (r#"{"error":"text"}"#, Kind::Other),
        (r#"{"error":null}"#, Kind::Other),
        ("{}", Kind::Other),
        ("[]", Kind::Malformed),
        (r#"["response.completed",{}]"#, Kind::Malformed),
        ("null", Kind::Malformed),
        ("12", Kind::Malformed),
        (r#"{"type""#, Kind::Malformed),
        (r#"{"type":"response.completed"#, Kind::Malformed),
        ("<html>", Kind::Malformed),
        ("", Kind::Comment),
        ("  ", Kind::Comment),
    ] {
        assert_eq!(kind(data), expected, "{data}");
    }
}

#[test]
fn the_data_is_found_under_every_line_end_and_form() {
    for (raw, data) in [
        ("data: {}\n\n", "{}"),
        ("data:{}\n\n", "{}"),
        ("data:  {}\n\n", " {}"),
        ("data: {}\r\n\r\n", "{}"),
        ("data: {}\r\r", "{}"),
        ("data: {}", "{}"),
        ("event: x\r\nid: 4\r\ndata: {}\r\nretry: 5\r\n\r\n", "{}"),
        (": hello\ndata: {}\n\n", "{}"),
        ("data: {\ndata: }\n\n", "{\n}"),
        ("data: {\r\ndata:\r\ndata: }\r\n\r\n", "{\n\n}"),
        ("data: {\rdata\rdata: }\r\r", "{\n\n}"),
        ("data: {\"a\":\"\u{2028}\"}\n\n", "{\"a\":\"\u{2028}\"}"),
        ("data: 1\ndatabase: 2\n\n", "1"),
        (" data: 1\n\n", ""),
        (": keepalive\n\n", ""),
        ("event: response.completed\n\n", ""),
        ("data\n\n", ""),
        ("", ""),
    ] {
        let event = Event::new(Bytes::from_static(raw.as_bytes()));
        assert_eq!(event.data, data, "{raw:?}");
        assert_eq!(event.raw, raw);
        assert_eq!(event.kind == Kind::Comment, data.is_empty(), "{raw:?}");
    }
}

#[test]
fn a_single_data_line_is_not_copied() {
    let raw = Bytes::from_static(b"data: {\"type\":\"error\"}\n\n");
    let event = Event::new(raw.clone());
    assert!(raw.as_ptr_range().contains(&event.data.as_ptr()));
}

#[test]
fn the_event_line_is_not_believed() {
    let event = Event::new("event: response.completed\ndata: {\"type\":\"response.created\"}\n\n".into());
    assert_eq!(event.kind, Kind::Created);
}

#[test]
fn no_bytes_make_it_panic() {
    const PIECES: &[&[u8]] = &[
        b"data",
        b":",
        b" ",
        b"\n",
        b"\r",
        b"{",
        b"}",
        b"\"type\"",
        b"\"",
        b"\"error\"",
        b"\\",
        b"[DONE]",
        b",",
        b"response.completed",
        b"\xff\xfe",
        b"\0",
        b"[[[[",
        b"\\ud800",
        b"null",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        // xorshift64: the same bytes in every run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..20_000 {
        let mut raw = Vec::new();
        for _ in 0..random() % 24 {
            match random() % 4 {
                0 => raw.push(random().to_le_bytes()[0]),
                _ => raw.extend_from_slice(PIECES[usize::try_from(random() % PIECES.len() as u64).unwrap()]),
            }
        }
        let event = Event::new(Bytes::from(raw.clone()));
        assert_eq!(event.raw, raw);
        assert!(event.data.len() <= raw.len());
    }
}
