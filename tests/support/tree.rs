//! JSON as a tree that keeps order, repeated keys and the spelling of numbers, to be changed and
//! written in any style.

use std::fmt::Write as _;

use serde_json::value::RawValue;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// A string, number, boolean or null as JSON.
    Leaf(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// How a tree is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// What stands between tokens.
    pub space: &'static str,
    /// Object keys in reverse order.
    pub reversed: bool,
    /// Every character of a string as `\uXXXX`.
    pub escaped: bool,
}

impl Tree {
    pub fn parse(text: &str) -> Tree {
        let text = text.trim();
        match text.as_bytes()[0] {
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).unwrap();
                Tree::Array(items.iter().map(|i| Tree::parse(i.get())).collect())
            }
            b'{' => {
                let pairs = Pairs::read(text);
                Tree::Object(
                    pairs
                        .into_iter()
                        .map(|(k, v)| (k, Tree::parse(&v)))
                        .collect(),
                )
            }
            _ => Tree::Leaf(text.to_owned()),
        }
    }

    pub fn write(&self, style: Style) -> String {
        let mut out = String::new();
        self.push(style, &mut out);
        out
    }

    fn push(&self, style: Style, out: &mut String) {
        let s = style.space;
        match self {
            Tree::Leaf(json) if style.escaped && json.starts_with('"') => {
                push_escaped(&serde_json::from_str::<String>(json).unwrap(), out);
            }
            Tree::Leaf(json) => out.push_str(json),
            Tree::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    out.push_str(s);
                    item.push(style, out);
                }
                let _ = write!(out, "{s}]");
            }
            Tree::Object(pairs) => {
                out.push('{');
                let mut pairs: Vec<_> = pairs.iter().collect();
                if style.reversed {
                    pairs.reverse();
                }
                for (i, (key, value)) in pairs.into_iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    out.push_str(s);
                    if style.escaped {
                        push_escaped(key, out);
                    } else {
                        out.push_str(&serde_json::to_string(key).unwrap());
                    }
                    let _ = write!(out, "{s}:{s}");
                    value.push(style, out);
                }
                let _ = write!(out, "{s}}}");
            }
        }
    }

    /// Every tree that comes of doing one `change` somewhere in this one. `change` gives the
    /// changed forms of one node.
    pub fn changed(&self, change: &dyn Fn(&Tree) -> Vec<Tree>) -> Vec<Tree> {
        let mut all = change(self);
        let mut within = |i: usize, child: &Tree, rebuild: &dyn Fn(usize, Tree) -> Tree| {
            all.extend(child.changed(change).into_iter().map(|c| rebuild(i, c)));
        };
        match self {
            Tree::Leaf(_) => {}
            Tree::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    within(i, item, &|i, new| {
                        let mut items = items.clone();
                        items[i] = new;
                        Tree::Array(items)
                    });
                }
            }
            Tree::Object(pairs) => {
                for (i, (_, value)) in pairs.iter().enumerate() {
                    within(i, value, &|i, new| {
                        let mut pairs = pairs.clone();
                        pairs[i].1 = new;
                        Tree::Object(pairs)
                    });
                }
            }
        }
        all
    }
}

fn push_escaped(text: &str, out: &mut String) {
    out.push('"');
    for unit in text.encode_utf16() {
        let _ = write!(out, "\\u{unit:04X}");
    }
    out.push('"');
}

/// The pairs of an object, in order.
struct Pairs(Vec<(String, String)>);

impl Pairs {
    fn read(text: &str) -> Vec<(String, String)> {
        serde_json::from_str::<Pairs>(text).unwrap().0
    }
}

impl<'de> serde::Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Pairs, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Pairs;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    pairs.push((key, value.get().to_owned()));
                }
                Ok(Pairs(pairs))
            }
        }
        d.deserialize_map(Visitor)
    }
}
