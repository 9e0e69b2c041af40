//! Documents that parsers disagree about, and many that are put together from what makes them.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

/// Written by hand.
const BY_HAND: &[&str] = &[
    r#"{"action":"a"}"#,
    r#"{"action":"a","action":"b"}"#,
    r#"{"action":"a","\u0061ction":"b"}"#,
    r#"{"action":"a","Action":"b"}"#,
    r#"{"action":"a"}{"action":"b"}"#,
    "{\"action\":\"a\"}\n{\"action\":\"b\"}",
    "\u{feff}{\"action\":\"a\"}",
    r#"{"action":"a",}"#,
    r#"{"action":'a'}"#,
    r#"{action:"a"}"#,
    r#"{"action":"a"}//"#,
    r#"{"action":"a"/**/}"#,
    r#"{"action":"\ud800"}"#,
    r#"{"action":"\udc00\ud800"}"#,
    r#"{"action":"\ud83d\ude00"}"#,
    r#"{"action":"a\u0000b"}"#,
    r#"{"action\u0000":"x","action":"a"}"#,
    r#"{"action":"a","x":NaN}"#,
    r#"{"action":"a","x":-Infinity}"#,
    r#"{"action":"a","x":1e999}"#,
    r#"{"action":"a","x":01}"#,
    r#"{"action":"a","x":-0}"#,
    r#"{"action":"a","x":123456789012345678901234567890.5E-7}"#,
    r#"{"action":["a"]}"#,
    r#"{"action":null}"#,
    r#"[{"action":"a"},{"action":"b"}]"#,
    r#"[{"action":"a"},{}]"#,
    r#"[[{"action":"a"}]]"#,
    r#"{"0":{"action":"a"}}"#,
    r#"{"__proto__":{"action":"x"},"action":"a"}"#,
    r#"{"__proto__":"x"}"#,
    r#"{"constructor":{"action":"x"}}"#,
    r#"{"command":"c"}"#,
    r#"{"command":"c","query":"q"}"#,
    r#"{"command":"c","query":null}"#,
    r#"{"COMMAND":"x","command":"c"}"#,
    r#"{"query":"q*"}"#,
    r#"{"attributes":{"a":1,"b":{"a":1}},"tags":["t","u"],"email":1}"#,
    r#"{"attributes":{"attributes":1,"tags":[]}}"#,
    r#"{"attributes":{},"Attributes":{"a":1}}"#,
    r#"{"attributes":{"10":1,"9":1,"a":1}}"#,
    r#"{"tags":"t"}"#,
    r#"{"tags":["t",null]}"#,
    "{\"tag\u{17f}\":[\"t\"]}",
    r#"{"data":[{"event":{"name":"e"}}]}"#,
    r#"{"data":[{"event":{"name":"e"},"attributes":{"é":1}}]}"#,
    "[]",
    "{}",
    "null",
    "\"action\"",
    "0",
    "",
    " ",
    "\u{a0}{}",
    "\u{c}{}",
];

/// Not even text.
const BYTES: &[&[u8]] = &[
    b"{\"action\":\"\xff\"}",
    b"{\"action\":\"\xc0\xaf\"}",
    b"{\"action\":\"\xed\xa0\x80\"}",
    b"{\0\"\0a\0c\0t\0i\0o\0n\0\"\0:\0\"\0a\0\"\0}\0",
    b"\0{\0\"\0a\0c\0t\0i\0o\0n\0\"\0:\0\"\0a\0\"\0}",
    b"\xff\xfe{\0}\0",
];

/// All of them: by hand, what the fuzzers begin with, and as many as asked for from a generator.
pub(crate) fn documents(generated: usize) -> Vec<Vec<u8>> {
    let mut list: Vec<Vec<u8>> = BY_HAND.iter().map(|text| text.as_bytes().to_vec()).collect();
    list.extend(BYTES.iter().map(|bytes| bytes.to_vec()));
    for depth in [1, 63, 64, 65, 100, 5_000, 50_000] {
        list.push([r#"{"action":"#.repeat(depth), "1".into(), "}".repeat(depth)].concat().into());
        list.push(["[".repeat(depth), "]".repeat(depth)].concat().into());
    }
    for digits in [1_024, 1_025, 4_301] {
        list.push(format!(r#"{{"action":"a","x":{}}}"#, "9".repeat(digits)).into());
    }
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/inspect");
    let seeds = fs::read_dir(seeds).into_iter().flatten();
    list.extend(seeds.map(|seed| fs::read(seed.unwrap().path()).unwrap()));
    // Always the same ones: who fails today fails tomorrow.
    let mut runner = TestRunner::deterministic();
    let one = document();
    list.extend((0..generated).map(|_| one.new_tree(&mut runner).unwrap().current()));
    list
}

/// A document, mostly one that has one reading.
pub(crate) fn document() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop_oneof![
        6 => Just(Vec::new()),
        2 => prop::collection::vec(change(), 1),
        1 => prop::collection::vec(change(), 2..5),
    ];
    (text(), changes).prop_map(|(text, changes)| {
        changes.into_iter().fold(text.into_bytes(), |bytes, change| change.made(bytes))
    })
}

/// What happens to a document on its way.
#[derive(Clone, Debug)]
enum Change {
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(prop::sample::Index, prop::sample::Index),
    Cut(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let odd = prop::sample::select(vec![
        &b","[..],
        b":",
        b"\"",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b"0",
        b"-",
        b".",
        b"e",
        b" ",
        b"\n",
        b"\0",
        b"\x0c",
        b"'",
        b"/",
        b"\xff",
        b"\xc0",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\\u0000",
        b"\\ud800",
        b"\\u0061",
        b"//",
        b"NaN",
        b"\xe2\x80\xa8",
    ]);
    let at = any::<prop::sample::Index>;
    prop_oneof![
        at().prop_map(Change::Remove),
        (at(), odd).prop_map(|(at, bytes)| Change::Insert(at, bytes.to_vec())),
        (at(), at()).prop_map(|(from, to)| Change::Repeat(from, to)),
        at().prop_map(Change::Cut),
    ]
}

impl Change {
    fn made(self, mut bytes: Vec<u8>) -> Vec<u8> {
        let places = bytes.len() + 1;
        match self {
            Self::Remove(_) | Self::Repeat(..) if bytes.is_empty() => {}
            Self::Remove(at) => drop(bytes.remove(at.index(places - 1))),
            Self::Insert(at, odd) => {
                let at = at.index(places);
                bytes.splice(at..at, odd);
            }
            Self::Repeat(from, to) => {
                let (from, to) = (from.index(places), to.index(places));
                let again = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(from..from, again);
            }
            Self::Cut(at) => bytes.truncate(at.index(places)),
        }
        bytes
    }
}

fn text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![6 => string(), 2 => number(), 1 => word()];
    let inner = leaf.prop_recursive(
        4,
        24,
        4,
        |inner| prop_oneof![3 => object(inner.clone()), 1 => array(inner)],
    );
    let events = prop::collection::vec(object(inner.clone()), 1..4).prop_map(|list| bracket(&list));
    let whole = prop_oneof![5 => object(inner.clone()), 3 => events, 2 => inner];
    (space(), whole, space()).prop_map(|(before, text, after)| format!("{before}{text}{after}"))
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let member = (space(), name(), space(), value, space())
        .prop_map(|(a, name, b, value, c)| format!("{a}{name}{b}:{c}{value}"));
    prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(",")))
}

fn array(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::vec(value, 0..4).prop_map(|list| bracket(&list))
}

fn bracket(list: &[String]) -> String {
    format!("[{}]", list.join(" , "))
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![20 => Just(""), 3 => Just(" "), 1 => Just("\r\n\t ")]
}

fn name() -> impl Strategy<Value = String> {
    let inspected = prop::sample::select(vec![
        "action",
        "command",
        "query",
        "attributes",
        "tags",
        "data",
        "event",
        "name",
    ]);
    let others = prop::sample::select(vec![
        "Action",
        "actıon",
        "tagſ",
        "NAME",
        "",
        "0",
        "1",
        "10",
        "a/b",
        "a~b",
        "__proto__",
        "é",
        "toString",
        "length",
        "😀",
    ]);
    let name = prop_oneof![5 => inspected, 1 => others];
    prop_oneof![8 => name.prop_flat_map(spelled), 1 => string()]
}

/// A text as a JSON string, any of its characters escaped.
fn spelled(text: &'static str) -> impl Strategy<Value = String> {
    let escapes = prop_oneof![
        4 => Just(vec![false; text.chars().count()]),
        1 => prop::collection::vec(any::<bool>(), text.chars().count()),
    ];
    escapes.prop_map(move |escapes| {
        let spell = |(c, escaped): (char, bool)| match escaped {
            true => {
                c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
            }
            false => c.to_string(),
        };
        let inner: String = text.chars().zip(escapes).map(spell).collect();
        format!("\"{inner}\"")
    })
}

fn string() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "a",
        "b",
        "page.visit",
        "API_*",
        "é",
        "😀",
        "\u{7f}",
        "\u{2028}",
        "\\n",
        "\\/",
        "\\\\",
        "\\\"",
        "\\u0041",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\\uD83D\\uDE00",
        "\\ud800",
        "\\udc00",
        "\\u0000",
        "\\x41",
        "\t",
        "\u{feff}",
    ]);
    let usual = prop::sample::select(vec!["a", "b", "c", "page.visit", "list_workspaces", ""]);
    let odd = prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat());
    let inner = prop_oneof![3 => usual.prop_map(str::to_owned), 1 => odd];
    inner.prop_map(|inner| format!("\"{inner}\""))
}

fn number() -> impl Strategy<Value = String> {
    let usual = prop::sample::select(vec!["0", "-0", "1", "12", "1.5", "-1e3", "0E+0", "1e400"]);
    let odd = prop::sample::select(vec!["01", "+1", ".5", "1.", "0x1", "1_0", "NaN", "-Infinity"]);
    prop_oneof![12 => usual, 1 => odd].prop_map(str::to_owned)
}

fn word() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec!["true", "false", "null", "true", "null", "None"]);
    words.prop_map(str::to_owned)
}
