//! Where each key of the file stands: turns places into dotted paths and paths into places.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Location, Spanned};

/// Line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: u64,
}

impl Place {
    pub(super) fn of(location: Location) -> Option<Self> {
        (location.line() > 0).then(|| Self { line: location.line(), column: location.column() })
    }
}

/// Every key and list entry of a file, outermost first.
#[derive(Debug, Default)]
pub(super) struct Outline {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    path: String,
    /// `None` for entries of a list.
    key: Option<Place>,
    value: Option<Place>,
}

impl Outline {
    /// Reads the whole text; empty when it is not YAML.
    pub(super) fn of(text: &str) -> Self {
        let mut outline = Self::default();
        if let Ok(root) = serde_yaml::from_str_with_options::<Node>(text, super::options()) {
            outline.add("", &root);
        }
        outline
    }

    /// The dotted path of the key that stands at `place`.
    pub(super) fn key_at(&self, place: Place) -> Option<&str> {
        self.last(|entry| entry.key == Some(place))
    }

    /// The dotted path of the innermost value that begins at `place`.
    pub(super) fn value_at(&self, place: Place) -> Option<&str> {
        self.last(|entry| entry.value == Some(place)).or_else(|| self.key_at(place))
    }

    /// Where the value of `path` begins, or its nearest parent that is in the file.
    pub(super) fn place(&self, path: &str) -> Option<Place> {
        let exact = self.entries.iter().find(|entry| entry.path == path);
        match (exact, parent(path)) {
            (Some(entry), _) => entry.value.or(entry.key),
            (None, Some(parent)) => self.place(parent),
            (None, None) => None,
        }
    }

    /// Every path, for tests.
    #[cfg(test)]
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.path.as_str())
    }

    fn last(&self, wanted: impl Fn(&Entry) -> bool) -> Option<&str> {
        self.entries.iter().rev().find(|entry| wanted(entry)).map(|entry| entry.path.as_str())
    }

    fn add(&mut self, parent: &str, node: &Node) {
        match node {
            Node::Scalar => {}
            Node::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{parent}[{index}]");
                    let value = Place::of(item.referenced);
                    self.entries.push(Entry { path: path.clone(), key: None, value });
                    self.add(&path, &item.value);
                }
            }
            Node::Map(pairs) => {
                for (key, item) in pairs {
                    let dot = if parent.is_empty() { "" } else { "." };
                    let path = format!("{parent}{dot}{}", key.value);
                    let place = Place::of(key.referenced);
                    let value = Place::of(item.referenced);
                    self.entries.push(Entry { path: path.clone(), key: place, value });
                    self.add(&path, &item.value);
                }
            }
        }
    }
}

/// The path one level up; `None` at the top.
pub(super) fn parent(path: &str) -> Option<&str> {
    let end = path.rfind(['.', '['])?;
    path.get(..end)
}

/// A file's shape without its values.
enum Node {
    Scalar,
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape)
    }
}

struct Shape;

impl<'de> Visitor<'de> for Shape {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Node::Map(pairs))
    }
}
