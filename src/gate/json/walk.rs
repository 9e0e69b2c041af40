//! The pointers of all rules, followed through a document at once.

use std::borrow::Cow;

use super::super::rules::BodyRules;
use super::cursor::{Cursor, Named, Rule};
use super::reader::{Container, Event, Reader};
use super::{Findings, Invalid};

/// A document that is being walked through.
#[derive(Debug)]
pub(super) struct Walk<'b, 'r> {
    /// The arrays and objects that are open, the innermost last.
    open: Vec<Inside<'r>>,
    /// The cursors at the value that comes next.
    ahead: Vec<Cursor<'r>>,
    /// Whether the value that comes next is a tag.
    tag_ahead: bool,
    found: Findings<'b>,
}

/// What is to be found inside an array or object.
#[derive(Debug)]
struct Inside<'r> {
    container: Container,
    /// Those that go further in.
    cursors: Vec<Cursor<'r>>,
    /// How many of those that must go on have not done so; those that go into every element do
    /// not count.
    missing: usize,
    /// Of an array: how many elements there were.
    elements: usize,
    /// Whether the members are attributes, the elements tags.
    collects: bool,
}

impl<'b, 'r> Walk<'b, 'r> {
    /// Walks through a whole document.
    pub(super) fn over(body: &'b [u8], rules: &'r BodyRules) -> Result<Findings<'b>, Invalid> {
        let mut reader = Reader::new(body)?;
        let found = Findings::default();
        let mut walk = Self { open: Vec::new(), ahead: all(rules), tag_ahead: false, found };
        while let Some(event) = reader.next()? {
            walk.step(event)?;
        }
        let found = walk.found;
        let no_permission = !rules.permission_from.is_empty() && found.permission.is_none();
        let no_event = !rules.events_from.is_empty() && found.events.is_empty();
        if no_permission || no_event { Err(Invalid) } else { Ok(found) }
    }

    fn step(&mut self, event: Event<'b>) -> Result<(), Invalid> {
        match event {
            Event::Name(name) => return self.member(name),
            Event::End => return self.leave(),
            Event::String(_) | Event::Number(_) | Event::Word | Event::Begin(_) => {}
        }
        self.element();
        let cursors = std::mem::take(&mut self.ahead);
        let tag = std::mem::take(&mut self.tag_ahead);
        match event {
            Event::String(text) => self.string(text, &cursors, tag),
            Event::Begin(_) | Event::Number(_) | Event::Word if tag => Err(Invalid),
            Event::Begin(container) => self.enter(container, &cursors),
            // Nothing that a rule points at is one of these.
            Event::Number(_) | Event::Word | Event::Name(_) | Event::End => {
                none(&cursors, |cursor| cursor.must || cursor.has_arrived())
            }
        }
    }

    /// Before a value: if it stands in an array, what looks for it there?
    fn element(&mut self) {
        let Some(inside) = self.open.last_mut() else { return };
        if inside.container == Container::Object {
            return;
        }
        let (index, missing) = (inside.elements, &mut inside.missing);
        self.ahead = inside.cursors.iter().filter_map(|cursor| cursor.element(index)).collect();
        let counted = |cursor: &&Cursor<'_>| cursor.must && !cursor.goes_everywhere();
        let going = inside.cursors.iter().filter(counted);
        *missing -= going.filter(|cursor| cursor.element(index).is_some()).count();
        inside.elements += 1;
        self.tag_ahead = inside.collects;
    }

    /// Before the value of a member: what looks for it?
    fn member(&mut self, name: Cow<'b, str>) -> Result<(), Invalid> {
        let Some(inside) = self.open.last_mut() else { return Err(Invalid) };
        for cursor in &inside.cursors {
            match cursor.member(&name) {
                Named::On(on) => {
                    inside.missing -= usize::from(cursor.must);
                    self.ahead.push(on);
                }
                Named::Alike => return Err(Invalid),
                Named::Past => {}
            }
        }
        if inside.collects && !is_inspected(&mut self.ahead) {
            self.found.attributes.push(name);
        }
        Ok(())
    }

    fn string(
        &mut self,
        text: Cow<'b, str>,
        cursors: &[Cursor<'r>],
        tag: bool,
    ) -> Result<(), Invalid> {
        none(cursors, |cursor| cursor.must && !cursor.has_arrived())?;
        for cursor in cursors.iter().filter(|cursor| cursor.has_arrived()) {
            self.judge(cursor.rule, text.clone())?;
        }
        if tag { self.judge(Rule::Tags, text) } else { Ok(()) }
    }

    /// Notes a string to be judged.
    fn judge(&mut self, rule: Rule, text: Cow<'b, str>) -> Result<(), Invalid> {
        // Where strings end at a NUL, such a string is another one.
        if text.contains('\0') {
            return Err(Invalid);
        }
        let found = &mut self.found;
        match rule {
            // There is one, once.
            Rule::Permission if found.permission.is_some() => return Err(Invalid),
            Rule::Permission => found.permission = Some(text),
            Rule::Event => found.events.push(text),
            Rule::Tags => found.tags.push(text),
            Rule::Attributes => return Err(Invalid),
        }
        Ok(())
    }

    fn enter(&mut self, container: Container, cursors: &[Cursor<'r>]) -> Result<(), Invalid> {
        let holds = match container {
            Container::Array => Rule::Tags,
            Container::Object => Rule::Attributes,
        };
        none(cursors, |cursor| match cursor.has_arrived() {
            true => cursor.rule != holds,
            false => cursor.must && !cursor.enters(container),
        })?;
        let collects = cursors.iter().any(Cursor::has_arrived);
        let on = cursors.iter().copied().filter(|cursor| cursor.enters(container));
        let cursors: Vec<_> = on.collect();
        let counted = |cursor: &&Cursor<'_>| cursor.must && !cursor.goes_everywhere();
        let missing = cursors.iter().filter(counted).count();
        self.open.push(Inside { container, cursors, missing, elements: 0, collects });
        Ok(())
    }

    /// After the last member or element.
    fn leave(&mut self) -> Result<(), Invalid> {
        let Some(inside) = self.open.pop() else { return Err(Invalid) };
        let empty = inside.container == Container::Array && inside.elements == 0;
        let unmet = empty && inside.cursors.iter().any(Cursor::goes_everywhere);
        if unmet || inside.missing > 0 { Err(Invalid) } else { Ok(()) }
    }
}

fn all(rules: &BodyRules) -> Vec<Cursor<'_>> {
    let kinds = [
        (Rule::Permission, &rules.permission_from),
        (Rule::Event, &rules.events_from),
        (Rule::Attributes, &rules.attributes_from),
        (Rule::Tags, &rules.tags_from),
    ];
    let of_kind = kinds.into_iter().flat_map(|(rule, list)| list.iter().map(move |p| (rule, p)));
    of_kind.map(|(rule, pointer)| Cursor::new(rule, pointer.steps())).collect()
}

/// Whether another rule judges a member, so that its name is not an attribute's: one that points
/// at it, or at all its elements, which must be there then.
fn is_inspected(ahead: &mut [Cursor<'_>]) -> bool {
    if ahead.iter().any(Cursor::has_arrived) {
        return true;
    }
    let mut spreading = ahead.iter_mut().filter(|cursor| cursor.only_spreads()).peekable();
    let inspected = spreading.peek().is_some();
    spreading.for_each(|cursor| cursor.must = true);
    inspected
}

fn none(cursors: &[Cursor<'_>], bad: impl Fn(&Cursor<'_>) -> bool) -> Result<(), Invalid> {
    if cursors.iter().any(bad) { Err(Invalid) } else { Ok(()) }
}
