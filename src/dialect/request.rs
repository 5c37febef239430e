//! The body for the upstream: what is decided while decoding, and how it is written at the end.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use codex_lb_filters::Turn;

use super::fields::{Writer, literal};
use super::input_items;
use super::params::{wire_effort, wire_tier};
use crate::reasoning::skeleton::Item;

/// Values from this size on are passed on as slices of the client's body, bytes.
const SLICE: usize = 16 * 1024;

/// A request for the upstream, but for model, effort and tier, which filters may still change.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// Keys and their JSON, in order.
    pub(super) fields: Vec<(Cow<'static, str>, Bytes)>,
    pub(super) input: Input,
    pub(super) reasoning: Reasoning,
}

#[derive(Debug)]
pub(super) enum Input {
    /// As the client wrote it.
    Same(Bytes),
    Items(Vec<Item>),
}

impl Default for Input {
    fn default() -> Self {
        Self::Items(Vec::new())
    }
}

/// The `reasoning` object without its effort.
#[derive(Debug, Default)]
pub(super) struct Reasoning {
    pub(super) rest: Writer,
    /// Asked for when there is any effort.
    pub(super) default_summary: Option<String>,
}

impl Reasoning {
    fn json(&self, effort: Option<&str>) -> Option<String> {
        let mut writer = self.rest.clone();
        let effort = effort.map(wire_effort);
        if let Some(effort) = effort {
            writer.text("effort", effort);
        }
        if let Some(summary) = self.default_summary.as_ref().filter(|_| effort != Some("none")) {
            writer.text("summary", summary);
        }
        (!writer.is_empty()).then(|| writer.finish())
    }
}

impl Request {
    /// The body in pieces; large values are slices of the client's body.
    pub(super) fn parts(&self, turn: &Turn) -> Vec<Bytes> {
        self.write(turn, &self.input)
    }

    /// The same without encrypted reasoning; `None` when there is none.
    pub(super) fn parts_without_reasoning(&self, turn: &Turn) -> Option<Vec<Bytes>> {
        let mut items = match &self.input {
            Input::Same(raw) => input_items::split(raw),
            Input::Items(items) => items.clone(),
        };
        let all = items.len();
        items.retain(|item| !item.encrypted);
        (items.len() < all).then(|| self.write(turn, &Input::Items(items)))
    }

    fn write(&self, turn: &Turn, input: &Input) -> Vec<Bytes> {
        let mut parts = Parts::default();
        parts.copy(b"{\"model\":");
        parts.copy(literal(&turn.model).as_bytes());
        for (key, value) in &self.fields {
            parts.key(key);
            parts.value(value);
        }
        parts.key("input");
        match input {
            Input::Same(raw) => parts.value(raw),
            Input::Items(items) => {
                parts.copy(b"[");
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        parts.copy(b",");
                    }
                    parts.value(&item.json);
                }
                parts.copy(b"]");
            }
        }
        if let Some(reasoning) = self.reasoning.json(turn.effort.as_deref()) {
            parts.key("reasoning");
            parts.copy(reasoning.as_bytes());
        }
        if let Some(tier) = turn.service_tier.as_deref().and_then(wire_tier) {
            parts.key("service_tier");
            parts.copy(literal(tier).as_bytes());
        }
        parts.copy(b",\"store\":false,\"stream\":true}");
        parts.finish()
    }
}

/// Small pieces run together, large ones stay slices.
#[derive(Default)]
struct Parts {
    done: Vec<Bytes>,
    open: BytesMut,
}

impl Parts {
    fn copy(&mut self, bytes: &[u8]) {
        self.open.extend_from_slice(bytes);
    }

    fn key(&mut self, key: &str) {
        self.copy(b",");
        self.copy(literal(key).as_bytes());
        self.copy(b":");
    }

    fn value(&mut self, value: &Bytes) {
        if value.len() < SLICE {
            return self.copy(value);
        }
        self.done.push(self.open.split().freeze());
        self.done.push(value.clone());
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.done.push(self.open.freeze());
        self.done
    }
}

/// The pieces as one.
pub(super) fn join(parts: &[Bytes]) -> Bytes {
    let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    parts.iter().for_each(|part| whole.extend_from_slice(part));
    whole.freeze()
}
