//! The pure steps every exchange or event passes: what they cost, without I/O.

use std::hint::black_box;

use bytes::Bytes;
use codex_lb::dialect::{self, Settings};
use codex_lb::reasoning::ReasoningMemory;
use codex_lb::route::Route;
use codex_lb::sse::Splitter;
use codex_lb_filters::{Event, Turn};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const DELTA: &[u8] = b"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":7,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"some words \"}\n\n";

/// A chat call of an agent in mid-work: system prompt, tools, a long history.
fn chat_call() -> Bytes {
    let message =
        |role: &str| format!(r#"{{"role":"{role}","content":"{}"}}"#, "words of a message ".repeat(60));
    let history: Vec<String> =
        (0..80).map(|turn| message(if turn % 2 == 0 { "user" } else { "assistant" })).collect();
    let tool = r#"{"type":"function","function":{"name":"bash","description":"Runs a command","parameters":{"type":"object","properties":{"command":{"type":"string"}}}}}"#;
    Bytes::from(format!(
        r#"{{"model":"gpt-5.3-codex","stream":true,"reasoning_effort":"medium","messages":[{},{}],"tools":[{tool}]}}"#,
        message("system"),
        history.join(",")
    ))
}

fn events(criterion: &mut Criterion) {
    let raw = Bytes::from_static(DELTA);
    criterion
        .bench_function("recognise a text delta", |bench| bench.iter(|| Event::new(black_box(raw.clone()))));
    let hundred = Bytes::from(DELTA.repeat(100));
    let mut group = criterion.benchmark_group("100 text deltas");
    group.throughput(Throughput::Elements(100));
    group.bench_function("cut out of one read", |bench| {
        bench.iter(|| Splitter::new().push(black_box(hundred.clone())));
    });
    for (name, route, input) in [
        ("chat", Route::Chat, r#""messages":[{"role":"user","content":"hi"}]"#),
        ("responses", Route::Responses, r#""input":"hi""#),
    ] {
        let body = Bytes::from(format!(r#"{{"model":"m","stream":true,{input}}}"#));
        let mut turn = Turn::default();
        let memory = ReasoningMemory::new(1 << 20, None);
        let Ok(call) = dialect::decode(route, &body, &mut turn, &Settings::default(), &memory) else {
            continue;
        };
        let event = Event::new(raw.clone());
        group.bench_function(format!("encoded for {name}"), |bench| {
            bench.iter(|| {
                let mut encoder = call.encoder(&turn);
                let mut out = Vec::new();
                for _ in 0..100 {
                    encoder.push(black_box(&event), &mut out);
                }
                out
            });
        });
    }
}

fn requests(criterion: &mut Criterion) {
    let body = chat_call();
    let memory = ReasoningMemory::new(1 << 20, None);
    let mut group = criterion.benchmark_group("a chat call of an agent");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("decoded and rendered", |bench| {
        bench.iter(|| {
            let mut turn = Turn::default();
            dialect::decode(Route::Chat, black_box(&body), &mut turn, &Settings::default(), &memory)
                .map(|call| call.render(&turn))
        });
    });
}

criterion_group!(benches, events, requests);
criterion_main!(benches);
