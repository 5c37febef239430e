//! Tool calls of one answer as a chat client counts them: found under any of their names, emitted piece by piece.

use super::fields::Object;

/// The calls, in the order of their first appearance.
#[derive(Debug, Default)]
pub(super) struct ToolCalls {
    calls: Vec<ToolCall>,
    announced: usize,
}

#[derive(Debug, Default)]
pub(super) struct ToolCall {
    /// Deltas know a call only by these two.
    output_index: Option<u64>,
    item_id: Option<String>,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) custom: bool,
    /// Arguments of a function, or input of a custom tool.
    pub(super) arguments: String,
    /// How much of `arguments` was emitted, bytes.
    emitted: usize,
    /// The client's index, once id and name were emitted.
    index: Option<usize>,
}

/// What the client does not know yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) index: usize,
    pub(super) custom: bool,
    /// Id and name, in the first piece of a call.
    pub(super) head: Option<(String, String)>,
    pub(super) arguments: String,
}

/// By which a call is found.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) output_index: Option<u64>,
    pub(super) item_id: Option<&'a str>,
}

impl ToolCalls {
    /// Calls the client has heard of.
    pub(super) fn known(&self) -> impl Iterator<Item = &ToolCall> {
        self.calls.iter().filter(|call| call.index.is_some())
    }

    pub(super) fn any(&self) -> bool {
        self.announced > 0
    }

    /// A call's item, begun or done. Arguments it holds replace what was collected.
    pub(super) fn item(
        &mut self,
        output_index: Option<u64>,
        item: &Object<'_>,
        custom: bool,
    ) -> Option<Piece> {
        let item_id = item.known_text("id");
        let at = self.find(Names { output_index, item_id: item_id.as_deref() });
        let call = self.calls.get_mut(at)?;
        call.custom = custom;
        call.item_id = item_id.as_ref().map(|id| id.clone().into_owned()).or(call.item_id.take());
        if let Some(id) = item.known_text("call_id").or(item_id).filter(|_| call.id.is_empty()) {
            call.id = id.into_owned();
        }
        if let Some(name) = item.known_text("name").filter(|_| call.name.is_empty()) {
            call.name = name.into_owned();
        }
        if let Some(arguments) = item.known_text(if custom { "input" } else { "arguments" }) {
            call.replace(&arguments);
        }
        self.emit(at)
    }

    pub(super) fn append(&mut self, names: Names<'_>, piece: &str) -> Option<Piece> {
        let at = self.find(names);
        self.calls.get_mut(at)?.arguments.push_str(piece);
        self.emit(at)
    }

    pub(super) fn replace(&mut self, names: Names<'_>, arguments: &str) -> Option<Piece> {
        let at = self.find(names);
        self.calls.get_mut(at)?.replace(arguments);
        self.emit(at)
    }

    fn find(&mut self, names: Names<'_>) -> usize {
        let fits = |call: &ToolCall| {
            let by_index = names.output_index.is_some() && call.output_index == names.output_index;
            by_index || (names.item_id.is_some() && call.item_id.as_deref() == names.item_id)
        };
        self.calls.iter().position(fits).unwrap_or_else(|| {
            self.calls.push(ToolCall {
                output_index: names.output_index,
                item_id: names.item_id.map(str::to_owned),
                ..ToolCall::default()
            });
            self.calls.len() - 1
        })
    }

    /// Nothing is told of a call before its id and name are known.
    fn emit(&mut self, at: usize) -> Option<Piece> {
        let call = self.calls.get_mut(at).filter(|call| !call.id.is_empty() && !call.name.is_empty())?;
        let arguments = call.arguments.get(call.emitted..).unwrap_or_default().to_owned();
        call.emitted = call.arguments.len();
        let (index, head) = match call.index {
            Some(_) if arguments.is_empty() => return None,
            Some(index) => (index, None),
            None => {
                self.announced += 1;
                (self.announced - 1, Some((call.id.clone(), call.name.clone())))
            }
        };
        call.index = Some(index);
        Some(Piece { index, custom: call.custom, head, arguments })
    }
}

impl ToolCall {
    /// Arguments only ever grow: a text that does not begin with what was emitted is left out.
    fn replace(&mut self, arguments: &str) {
        let emitted = self.arguments.get(..self.emitted).unwrap_or_default();
        if arguments.starts_with(emitted) {
            self.arguments = arguments.to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::dialect::fields::Path;

    fn item(calls: &mut ToolCalls, index: u64, json: &str) -> Option<Piece> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        calls.item(Some(index), &Object::parse(raw, &Path::Root).unwrap(), false)
    }

    fn by_index(index: u64) -> Names<'static> {
        Names { output_index: Some(index), item_id: None }
    }

    #[test]
    fn indexes_count_from_zero_in_order_of_appearance() {
        let mut calls = ToolCalls::default();
        assert_eq!(item(&mut calls, 5, r#"{"call_id":"a","name":"f","arguments":""}"#).unwrap().index, 0);
        assert_eq!(item(&mut calls, 2, r#"{"call_id":"b","name":"g"}"#).unwrap().index, 1);
        assert_eq!(calls.append(by_index(5), "{}").unwrap().index, 0);
    }

    #[test]
    fn only_what_is_new_is_emitted() {
        let mut calls = ToolCalls::default();
        item(&mut calls, 0, r#"{"id":"fc_1","call_id":"a","name":"f"}"#);
        let names = Names { output_index: None, item_id: Some("fc_1") };
        assert_eq!(calls.append(names, "{\"x\":").unwrap().arguments, "{\"x\":");
        assert_eq!(calls.replace(by_index(0), "{\"x\":1}").unwrap().arguments, "1}");
        assert_eq!(calls.replace(by_index(0), "{\"y\":1}"), None);
        assert_eq!(item(&mut calls, 0, r#"{"call_id":"a","name":"f","arguments":"{\"x\":1}"}"#), None);
        assert_eq!(calls.known().next().unwrap().arguments, "{\"x\":1}");
    }

    #[test]
    fn arguments_wait_for_their_name() {
        let mut calls = ToolCalls::default();
        assert_eq!(calls.append(by_index(0), "{"), None);
        assert!(!calls.any());
        let piece = item(&mut calls, 0, r#"{"call_id":"a","name":"f"}"#).unwrap();
        assert_eq!((piece.head.unwrap().0.as_str(), piece.arguments.as_str()), ("a", "{"));
    }
}
