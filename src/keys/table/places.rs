//! Places by their hashes: a table of which a look mostly touches one line of what a processor
//! fetches, and which its copies share as far as they are the same.
//!
//! It knows no hash of what it holds: who asks brings it, and tells whether a place is the right one.

use std::sync::Arc;

use super::KeyIndex;
use crate::clock;

/// Places by their hashes.
#[derive(Clone, Debug)]
pub(super) struct Places {
    parts: Vec<Arc<Part>>,
    len: usize,
    /// How often a line was passed by what is there, in all, and how often may be.
    passed: usize,
    most: usize,
}

/// How many places a line has, and how many lines a part, which is copied whole when it changes.
const WIDTH: usize = PASSED as usize / 8;
const LINES: usize = 64;
/// Of so many places in a table that is made, so many are taken.
const ROOM: (usize, usize) = (5, 4);
/// When so many of so many are taken it is made anew, larger.
const FULL: (usize, usize) = (15, 16);
/// When not even one of so many is taken it is made anew, smaller.
const SPARSE: usize = 4;
/// In how many lines some place is looked for.
const NEAR: usize = 4;

#[derive(Clone, Debug)]
struct Part([Line; LINES]);

/// Some places: 64 bytes.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line {
    /// A byte of each place, of what is there a part of its hash and never 0. Above them, in 32
    /// bits, how many found no room from here on and went on to the next line.
    head: u128,
    places: [KeyIndex; WIDTH],
}

const NOTHING: KeyIndex = KeyIndex(u32::MAX);
const PASSED: u32 = 96;
/// The lowest bit of each byte, and the highest.
const LOWS: u128 = 0x0101_0101_0101_0101_0101_0101;
const HIGHS: u128 = LOWS << 7;

impl Default for Places {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl Places {
    /// With room for so many.
    pub(super) fn with_capacity(places: usize) -> Self {
        let parts = (places * ROOM.0 / ROOM.1).div_ceil(WIDTH * LINES).max(1);
        let empty = || {
            clock::give_way();
            Arc::new(Part([Line { head: 0, places: [NOTHING; WIDTH] }; LINES]))
        };
        let most = parts * LINES;
        let parts = std::iter::repeat_with(empty).take(parts).collect();
        Self { parts, len: 0, passed: 0, most }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Whether it must be made anew, with more room, before anything is noted: it is full, or, as
    /// things came and went, so much stands elsewhere than it belongs that a look would walk far. A
    /// line that was passed once is passed by all who look until that goes which passed it.
    pub(super) fn is_full(&self) -> bool {
        self.len * FULL.1 >= self.lines() * WIDTH * FULL.0 || self.passed >= self.most
    }

    /// Takes it as it is, just made: where many have the same hash, so that much stands elsewhere
    /// than it belongs, to make it anew for each of them would not help.
    pub(super) fn settle(&mut self) {
        self.most = self.lines().max(self.passed * 2);
    }

    /// Whether it should be made anew, smaller.
    pub(super) fn is_sparse(&self) -> bool {
        self.parts.len() > 1 && self.len * SPARSE < self.lines() * WIDTH
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.lines() * WIDTH
    }

    /// Every place.
    pub(super) fn iter(&self) -> impl Iterator<Item = KeyIndex> {
        let lines = self.parts.iter().flat_map(|part| &part.0);
        lines.flat_map(|line| line.places.into_iter().filter(|place| *place != NOTHING))
    }

    /// What is at the place of a hash that is the right one: where something is found.
    #[inline]
    pub(super) fn find<T>(&self, hash: u64, right: impl Fn(KeyIndex) -> Option<T>) -> Option<T> {
        let mut at = self.home(hash);
        for _ in 0..self.lines() {
            let line = self.line(at)?;
            if let Some(found) = line.like(tag(hash)).find_map(&right) {
                return Some(found);
            }
            if line.passed() == 0 {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    /// Some place, in the line where one of that hash would be, if there is one.
    pub(super) fn near(&self, hash: u64) -> Option<KeyIndex> {
        let mut at = self.home(hash);
        for _ in 0..NEAR {
            let line = self.line(at)?;
            let drawn = line.places.get(usize::from(tag(hash)) % WIDTH);
            let mut taken = drawn.into_iter().chain(&line.places).filter(|at| **at != NOTHING);
            if let Some(place) = taken.next() {
                return Some(*place);
            }
            at = self.after(at);
        }
        None
    }

    /// Notes a place; one that is not there. Not where it [is full](Self::is_full).
    pub(super) fn insert(&mut self, hash: u64, place: KeyIndex) {
        let mut at = self.home(hash);
        while let Some(line) = self.line_mut(at) {
            if line.put(tag(hash), place) {
                self.len += 1;
                return;
            }
            line.pass(true);
            self.passed += 1;
            at = self.after(at);
        }
    }

    /// Forgets a place, if it is there.
    pub(super) fn remove(&mut self, hash: u64, place: KeyIndex) {
        let home = self.home(hash);
        let Some(at) = self.line_of(hash, place) else { return };
        if let Some(line) = self.line_mut(at) {
            line.take(place);
            self.len -= 1;
        }
        let mut passed = home;
        while passed != at {
            if let Some(line) = self.line_mut(passed) {
                line.pass(false);
            }
            self.passed -= 1;
            passed = self.after(passed);
        }
    }

    /// The line in which a place is.
    fn line_of(&self, hash: u64, place: KeyIndex) -> Option<usize> {
        let mut at = self.home(hash);
        for _ in 0..self.lines() {
            let line = self.line(at)?;
            if line.like(tag(hash)).any(|it| it == place) {
                return Some(at);
            }
            if line.passed() == 0 {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    fn lines(&self) -> usize {
        self.parts.len() * LINES
    }

    /// The line where a hash belongs.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        let share = hash & u64::from(u32::MAX);
        usize::try_from((share * self.lines() as u64) >> u32::BITS).unwrap_or(0)
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.lines() { 0 } else { at + 1 }
    }

    #[inline]
    fn line(&self, at: usize) -> Option<&Line> {
        self.parts.get(at / LINES)?.0.get(at % LINES)
    }

    /// To change it: what shares the part keeps it as it is.
    fn line_mut(&mut self, at: usize) -> Option<&mut Line> {
        Arc::make_mut(self.parts.get_mut(at / LINES)?).0.get_mut(at % LINES)
    }
}

/// What of a hash stands beside its place. Other bits than those that tell the line.
const fn tag(hash: u64) -> u8 {
    let [.., tag] = hash.to_le_bytes();
    if tag == 0 { 1 } else { tag }
}

impl Line {
    /// The places that may be of a hash with that tag: all that are, and a few more.
    #[inline]
    fn like(&self, tag: u8) -> impl Iterator<Item = KeyIndex> {
        let mut found = self.bytes(tag);
        std::iter::from_fn(move || {
            let at = found.trailing_zeros() / 8;
            found &= found.wrapping_sub(1);
            self.places.get(at as usize).copied()
        })
    }

    /// The highest bit of each byte that is that one. Of those above the lowest of them some more.
    #[inline]
    const fn bytes(&self, byte: u8) -> u128 {
        let differ = self.head ^ (LOWS * byte as u128);
        differ.wrapping_sub(LOWS) & !differ & HIGHS
    }

    #[inline]
    const fn passed(&self) -> u128 {
        self.head >> PASSED
    }

    /// Counts one that goes on to the next line, or one that no longer does.
    const fn pass(&mut self, more: bool) {
        let one = 1 << PASSED;
        self.head = if more { self.head.wrapping_add(one) } else { self.head.wrapping_sub(one) };
    }

    /// Whether there was room.
    fn put(&mut self, tag: u8, place: KeyIndex) -> bool {
        let at = self.bytes(0).trailing_zeros() / 8;
        let Some(free) = self.places.get_mut(at as usize) else { return false };
        *free = place;
        self.head |= u128::from(tag) << (8 * at);
        true
    }

    fn take(&mut self, place: KeyIndex) {
        let Some(at) = self.places.iter().position(|it| *it == place) else { return };
        if let Some(it) = self.places.get_mut(at) {
            *it = NOTHING;
        }
        self.head &= !(0xff << (8 * at));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_what_a_processor_fetches() {
        assert_eq!((size_of::<Line>(), align_of::<Line>()), (64, 64));
    }

    /// A hash of few kinds: many share a line, a tag, or both.
    fn hash() -> impl Strategy<Value = u64> {
        let tags = prop_oneof![Just(0u64), Just(1), Just(2), Just(255), any::<u64>()];
        let lines = prop_oneof![Just(0u32), Just(u32::MAX), Just(1 << 31), any::<u32>()];
        (tags, lines).prop_map(|(tag, line)| tag << 56 | u64::from(line))
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        /// One of those that are there.
        Remove(usize),
        /// A copy that nobody changes: it must stay as it is.
        Keep,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => hash().prop_map(Step::Insert),
            4 => any::<usize>().prop_map(Step::Remove),
            1 => Just(Step::Keep),
        ]
    }

    fn agree(places: &Places, model: &HashMap<KeyIndex, u64>) {
        assert_eq!(places.len(), model.len());
        for (place, hash) in model {
            assert_eq!(places.find(*hash, |it| (it == *place).then_some(it)), Some(*place));
            assert!(model.contains_key(&places.near(*hash).unwrap()));
        }
        let mut all: Vec<_> = places.iter().collect();
        let mut known: Vec<_> = model.keys().copied().collect();
        all.sort_unstable();
        known.sort_unstable();
        assert_eq!(all, known);
        assert_eq!(places.find(0, |_| None::<KeyIndex>), None);
        let passed: u128 = places.parts.iter().flat_map(|part| &part.0).map(Line::passed).sum();
        assert_eq!(passed, places.passed as u128, "what has gone left a trace");
        assert!(passed == 0 || !model.is_empty(), "what has gone left a trace");
    }

    proptest! {
        #[test]
        fn what_is_noted_is_found_until_it_is_forgotten(
            parts in 1usize..4,
            steps in proptest::collection::vec(step(), 0..1200),
        ) {
            let mut places = Places::with_capacity(parts * WIDTH * LINES / ROOM.0 * ROOM.1);
            let mut model = HashMap::new();
            let mut kept = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(_) if places.is_full() => {}
                    Step::Insert(hash) => {
                        let place = KeyIndex(u32::try_from(number).unwrap());
                        places.insert(hash, place);
                        model.insert(place, hash);
                    }
                    Step::Remove(_) if model.is_empty() => {}
                    Step::Remove(at) => {
                        let place = *model.keys().max_by_key(|place| (place.0 as usize).wrapping_mul(at)).unwrap();
                        let hash = model.remove(&place).unwrap();
                        places.remove(hash, place);
                        prop_assert_eq!(places.find(hash, |it| (it == place).then_some(it)), None);
                        places.remove(hash, place);
                    }
                    Step::Keep => kept.push((places.clone(), model.clone())),
                }
            }
            kept.push((places.clone(), model.clone()));
            kept.iter().for_each(|(places, model)| agree(places, model));
            for (place, hash) in model.drain() {
                places.remove(hash, place);
            }
            agree(&places, &model);
        }
    }

    #[test]
    fn it_can_be_filled_with_what_is_all_alike() {
        let mut places = Places::with_capacity(0);
        let mut model = HashMap::new();
        for number in 0.. {
            if places.is_full() {
                break;
            }
            places.insert(7, KeyIndex(number));
            model.insert(KeyIndex(number), 7);
        }
        assert!(model.len() > WIDTH * 2, "{}", model.len());
        agree(&places, &model);
    }

    /// The longest way of who looks for what is not there.
    fn longest_walk(places: &Places) -> usize {
        let lines: Vec<_> =
            places.parts.iter().flat_map(|part| &part.0).map(Line::passed).collect();
        let twice = lines.iter().chain(&lines).collect::<Vec<_>>();
        twice.split(|passed| **passed == 0).map(<[_]>::len).max().unwrap() + 1
    }

    /// As keys do that are rotated, for years.
    #[test]
    fn what_comes_and_goes_one_by_one_leaves_every_look_short() {
        let mut random = 1u64;
        let mut random = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        for keys in [600u32, 640, 700, 1300] {
            let mut hashes: Vec<u64> = (0..keys).map(|_| random()).collect();
            let at = |number: usize| KeyIndex(u32::try_from(number).unwrap());
            let mut places = Places::with_capacity(600);
            let (mut anew, mut longest) = (0, 0);
            let note = |places: &mut Places, hashes: &[u64], number: usize| {
                let full = places.is_full();
                if full {
                    let mut larger = Places::with_capacity(places.len() + places.len() / 8);
                    places.iter().for_each(|it| larger.insert(hashes[it.0 as usize], it));
                    *places = larger;
                }
                places.insert(hashes[number], at(number));
                full
            };
            for number in 0..hashes.len() {
                note(&mut places, &hashes, number);
            }
            for turn in 0..60_000 {
                let number = usize::try_from(random() % u64::from(keys)).unwrap();
                places.remove(hashes[number], at(number));
                hashes[number] = random();
                anew += usize::from(note(&mut places, &hashes, number));
                if turn % 100 == 0 {
                    longest = longest.max(longest_walk(&places));
                }
            }
            assert!(longest < 32 && anew < 60, "{keys}: {longest} lines, {anew} times anew");
            let model = hashes.iter().enumerate().map(|(number, hash)| (at(number), *hash));
            agree(&places, &model.collect());
        }
    }

    #[test]
    fn copies_share_what_is_the_same() {
        let mut places = Places::with_capacity(10_000);
        for number in 0..10_000u32 {
            places.insert(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15), KeyIndex(number));
        }
        let mut copy = places.clone();
        copy.remove(0, KeyIndex(0));
        let shared = places.parts.iter().zip(&copy.parts).filter(|(a, b)| Arc::ptr_eq(a, b));
        assert_eq!(shared.count(), places.parts.len() - 1);
        assert_eq!(places.find(0, |it| (it == KeyIndex(0)).then_some(it)), Some(KeyIndex(0)));
    }
}
