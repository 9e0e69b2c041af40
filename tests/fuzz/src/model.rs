//! What the inspection of a body must come to, told in another way: over a tree that serde_json
//! makes, without a thought for speed or memory.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A document, read strictly.
#[derive(Debug)]
pub enum Tree {
    /// Its members, in their order.
    Object(Vec<(String, Tree)>),
    /// Its elements.
    Array(Vec<Tree>),
    /// Without escapes.
    String(String),
    /// A number or a word.
    Other,
}

/// What the rules of a route find.
#[derive(Debug, Default)]
pub struct Found {
    /// By `permission_from`.
    pub permissions: Vec<String>,
    /// By `events_from`.
    pub events: Vec<String>,
    /// By `attributes_from`.
    pub attributes: Vec<String>,
    /// By `tags_from`.
    pub tags: Vec<String>,
}

/// The rules of a route.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// The path of the route.
    pub path: &'static str,
    /// `permission_from`
    pub permission: &'static [&'static str],
    /// `events_from`
    pub events: &'static [&'static str],
    /// `attributes_from`
    pub attributes: &'static [&'static str],
    /// `tags_from`
    pub tags: &'static [&'static str],
}

/// `invalid_body`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// Reads a document; `None` where serde_json cannot tell, because it keeps to numbers that fit a
/// machine and we do not.
pub fn read(body: &[u8]) -> Option<Result<Tree, Invalid>> {
    if body.split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() > 300) {
        return None;
    }
    match serde_json::from_slice::<Tree>(body) {
        Ok(tree) if tree.depth() > 64 => Some(Err(Invalid)),
        Ok(tree) => Some(Ok(tree)),
        Err(error) if error.to_string().starts_with("number out of range") => None,
        Err(_) => Some(Err(Invalid)),
    }
}

impl Rules {
    /// As the configuration has it.
    pub fn toml(&self) -> String {
        let list = |name: &str, list: &[&str]| match list {
            [] => String::new(),
            list => format!("{name} = {list:?}\n"),
        };
        let mut text = format!("[[route]]\npath = {:?}\n", self.path);
        text.push_str(&list("permission_from", self.permission));
        text.push_str(&list("events_from", self.events));
        text.push_str(&list("attributes_from", self.attributes));
        text.push_str(&list("tags_from", self.tags));
        text
    }

    /// What they find in a document.
    pub fn find(&self, tree: &Tree) -> Result<Found, Invalid> {
        let mut found = Found::default();
        for value in all(tree, self.permission)? {
            found.permissions.push(value.judged()?);
        }
        for value in all(tree, self.events)? {
            found.events.push(value.judged()?);
        }
        for value in all(tree, self.tags)? {
            match value {
                Tree::Array(list) => {
                    for tag in list {
                        found.tags.push(tag.judged()?);
                    }
                }
                tag => found.tags.push(tag.judged()?),
            }
        }
        for pointer in self.attributes {
            for value in all(tree, &[pointer])? {
                let Tree::Object(members) = value else { return Err(Invalid) };
                let others = members.iter().filter(|(name, _)| !self.judges(pointer, name));
                found.attributes.extend(others.map(|(name, _)| name.clone()));
            }
        }
        let one_permission = self.permission.is_empty() || found.permissions.len() == 1;
        let some_event = self.events.is_empty() || !found.events.is_empty();
        if one_permission && some_event { Ok(found) } else { Err(Invalid) }
    }

    fn judges(&self, pointer: &str, name: &str) -> bool {
        let member = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        let lists = [self.permission, self.events, self.attributes, self.tags];
        lists.into_iter().flatten().any(|other| *other == member)
    }
}

impl Tree {
    fn depth(&self) -> usize {
        match self {
            Self::Object(members) => {
                1 + members.iter().map(|(_, it)| it.depth()).max().unwrap_or(0)
            }
            Self::Array(list) => 1 + list.iter().map(Self::depth).max().unwrap_or(0),
            Self::String(_) | Self::Other => 0,
        }
    }

    fn judged(&self) -> Result<String, Invalid> {
        match self {
            Self::String(text) if !text.contains('\0') => Ok(text.clone()),
            _ => Err(Invalid),
        }
    }
}

fn all<'t>(tree: &'t Tree, pointers: &[&str]) -> Result<Vec<&'t Tree>, Invalid> {
    let mut found = Vec::new();
    for pointer in pointers {
        let steps: Vec<String> = pointer
            .split('/')
            .skip(1)
            .map(|step| step.replace("~1", "/").replace("~0", "~"))
            .collect();
        follow(tree, &steps, false, &mut found)?;
    }
    Ok(found)
}

fn follow<'t>(
    tree: &'t Tree,
    steps: &[String],
    must: bool,
    found: &mut Vec<&'t Tree>,
) -> Result<(), Invalid> {
    let Some((step, rest)) = steps.split_first() else {
        found.push(tree);
        return Ok(());
    };
    let next = match tree {
        Tree::Array(list) if step == "*" => {
            let each = |element| follow(element, rest, true, found);
            return if list.is_empty() { Err(Invalid) } else { list.iter().try_for_each(each) };
        }
        Tree::Array(list) => {
            (0..list.len()).find(|at| at.to_string() == *step).and_then(|at| list.get(at))
        }
        Tree::Object(_) if step == "*" => None,
        Tree::Object(members) => {
            if members.iter().any(|(name, _)| name != step && fold(name) == fold(step)) {
                return Err(Invalid);
            }
            members.iter().find(|(name, _)| name == step).map(|(_, value)| value)
        }
        Tree::String(_) | Tree::Other => None,
    };
    match next {
        Some(next) => follow(next, rest, must, found),
        None if must => Err(Invalid),
        None => Ok(()),
    }
}

fn fold(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Tree::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let (mut list, mut names) = (Vec::new(), HashSet::new());
        while let Some((name, value)) = members.next_entry::<String, Tree>()? {
            if name.contains('\0') || !names.insert(name.clone()) {
                return Err(A::Error::custom("a name with two readings"));
            }
            list.push((name, value));
        }
        Ok(Tree::Object(list))
    }
}
