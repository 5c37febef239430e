//! The pure steps every exchange or event passes: what they cost, without I/O.

use bytes::Bytes;
use codex_lb_filters::Event;
use criterion::{Criterion, criterion_group, criterion_main};

fn events(criterion: &mut Criterion) {
    let raw = Bytes::from_static(
        b"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":7,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"some words \"}\n\n",
    );
    criterion.bench_function("event: recognise a text delta", |bench| {
        bench.iter(|| Event::new(std::hint::black_box(raw.clone())));
    });
}

criterion_group!(benches, events);
criterion_main!(benches);
