//! Tables of bodies: what passes, what does not and why, and what is found.

use super::*;
use crate::gate::pointer::Pointer;

#[derive(Default)]
struct Pointers<'p> {
    permission: &'p [&'p str],
    events: &'p [&'p str],
    attributes: &'p [&'p str],
    tags: &'p [&'p str],
}

impl Pointers<'_> {
    fn rules(&self) -> BodyRules {
        let parse = |list: &[&str]| list.iter().map(|text| Pointer::parse(text).unwrap()).collect();
        BodyRules {
            permission_from: parse(self.permission),
            events_from: parse(self.events),
            attributes_from: parse(self.attributes),
            tags_from: parse(self.tags),
            ..BodyRules::default()
        }
    }

    /// What is found, one kind after the other: `permission | events | attributes | tags`.
    fn shown(&self, body: &str) -> Result<String, Denial> {
        let rules = self.rules();
        let found = find(body.as_bytes(), &rules)?;
        let list = |list: &[Cow<'_, str>]| list.join(",");
        let permission = found.permission.as_deref().unwrap_or("-");
        let [events, attributes, tags] = [&found.events, &found.attributes, &found.tags];
        Ok(format!("{permission}|{}|{}|{}", list(events), list(attributes), list(tags)))
    }

    #[track_caller]
    fn finds(&self, table: &[(&str, &str)]) {
        for (body, found) in table {
            assert_eq!(self.shown(body).as_deref(), Ok(*found), "{body}");
        }
    }

    /// Bodies with why they are refused.
    #[track_caller]
    fn refuses(&self, table: &[(&str, &str)]) {
        for (why, body) in table {
            assert_eq!(self.shown(body), Err(Denial::InvalidBody), "{why}: {body}");
        }
    }
}

/// A rule that asks for nothing that is there, and enters everything.
fn strictly(body: &[u8]) -> bool {
    let rules = Pointers { tags: &["/nothing"], ..Pointers::default() }.rules();
    find(body, &rules).is_ok()
}

#[test]
fn strict_json_passes() {
    for body in [
        "{}",
        "[]",
        "null",
        "true",
        "false",
        "\"\"",
        "0",
        "-0",
        "-0.0e-0",
        "1E+2",
        "1e999999",
        "123456789012345678901234567890",
        " \t\r\n{ \"a\" : [ 1 , { } , [ ] ] } \n",
        r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}"#,
        r#"{"a":1,"A":2}"#,
        r#"{"":1}"#,
        r#"{"__proto__":1,"constructor":2}"#,
        r#"{"x":"\u0000"}"#,
    ] {
        assert!(strictly(body.as_bytes()), "{body}");
    }
}

#[test]
fn what_has_no_one_reading_is_refused() {
    let table: &[(&str, &[u8])] = &[
        ("nothing", b""),
        ("white space", b" \n"),
        ("a byte order mark", b"\xef\xbb\xbf{}"),
        ("a byte order mark at the end", b"{}\xef\xbb\xbf"),
        ("utf-16", b"{\0}\0"),
        ("utf-16 with its mark", b"\xff\xfe{\0}\0"),
        ("invalid utf-8 in a string", b"\"\xff\""),
        ("an overlong slash", b"\"\xc0\xaf\""),
        ("a surrogate in utf-8", b"\"\xed\xa0\x80\""),
        ("beyond unicode", b"\"\xf4\x90\x80\x80\""),
        ("cut off in a character", b"\"\xc3"),
        ("two documents", b"{}{}"),
        ("two documents on two lines", b"{}\n{}"),
        ("trailing comma in the document", b"{},"),
        ("trailing nul", b"{}\0"),
        ("leading nul", b"\0{}"),
        ("trailing bracket", b"[]]"),
        ("a comment", b"{/* */}"),
        ("a line comment", b"{} // x"),
        ("a hash comment", b"{} # x"),
        ("trailing comma in an object", br#"{"a":1,}"#),
        ("trailing comma in an array", b"[1,]"),
        ("leading comma", b"[,1]"),
        ("two commas", b"[1,,2]"),
        ("no comma", b"[1 2]"),
        ("no comma between members", br#"{"a":1 "b":2}"#),
        ("no colon", br#"{"a" 1}"#),
        ("two colons", br#"{"a"::1}"#),
        ("no value", br#"{"a":}"#),
        ("no name", b"{:1}"),
        ("a name without quotes", b"{a:1}"),
        ("a name in single quotes", b"{'a':1}"),
        ("a number as a name", b"{1:1}"),
        ("a string in single quotes", b"'a'"),
        ("an array closed as an object", b"[1}"),
        ("an object closed as an array", br#"{"a":1]"#),
        ("not closed", b"[[]"),
        ("a colon in an array", br#"["a":1]"#),
        ("a form feed as white space", b"\x0c{}"),
        ("a vertical tab as white space", b"\x0b{}"),
        ("a no-break space as white space", b"\xc2\xa0{}"),
        ("a line separator as white space", b"\xe2\x80\xa8{}"),
        ("NaN", b"NaN"),
        ("Infinity", b"Infinity"),
        ("-Infinity", b"-Infinity"),
        ("undefined", b"undefined"),
        ("upper case", b"True"),
        ("a cut word", b"tru"),
        ("a word and more", b"truex"),
        ("a leading zero", b"01"),
        ("a leading zero after a sign", b"-01"),
        ("a plus", b"+1"),
        ("a sign alone", b"-"),
        ("no integer part", b".5"),
        ("no fraction", b"1."),
        ("no fraction before the exponent", b"1.e5"),
        ("no exponent", b"1e"),
        ("no exponent after its sign", b"1e+"),
        ("hexadecimal", b"0x1"),
        ("an underscore", b"1_000"),
        ("digits of another script", "[١]".as_bytes()),
        ("a repeated member", br#"{"a":1,"a":1}"#),
        ("a repeated member far away", br#"{"a":1,"b":{"c":[1,{"d":2}]},"a":1}"#),
        ("a repeated member after unescaping", br#"{"a":1,"\u0061":1}"#),
        ("a repeated member, both escaped", br#"{"\u00e9":1,"\u00E9":1}"#),
        ("a repeated member written in two ways", "{\"é\":1,\"\\u00e9\":1}".as_bytes()),
        ("a repeated member further in", br#"[{"x":[{"a":1,"a":2}]}]"#),
        ("a repeated empty name", br#"{"":1,"":2}"#),
        ("a nul in a name", br#"{"a\u0000b":1}"#),
        ("a lone surrogate in a value", br#"{"a":"\ud800"}"#),
        ("a lone surrogate in a name", br#"{"\udc00":1}"#),
        ("a line break in a string", b"\"\n\""),
    ];
    for (why, body) in table {
        assert!(!strictly(body), "{why}");
    }
}

#[test]
fn a_body_is_as_deep_as_64_and_no_deeper() {
    let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
    let objects = |depth| [r#"{"a":"#.repeat(depth), "1".into(), "}".repeat(depth)].concat();
    assert!(strictly(nested(64).as_bytes()) && !strictly(nested(65).as_bytes()));
    assert!(strictly(objects(64).as_bytes()) && !strictly(objects(65).as_bytes()));
    let many = format!("[{}]", vec![nested(63); 100].join(","));
    assert!(strictly(many.as_bytes()), "one after the other is not deep");
    assert!(!strictly("[".repeat(1 << 20).as_bytes()));
    assert!(!strictly(r#"{"a":"#.repeat(1 << 17).as_bytes()));
}

#[test]
fn a_number_is_at_most_1024_bytes_long() {
    for (digits, passes) in [(1024, true), (1025, false), (1 << 20, false)] {
        assert_eq!(strictly("1".repeat(digits).as_bytes()), passes, "{digits}");
    }
}

#[test]
fn a_hundred_thousand_members_take_no_longer_than_they_must() {
    let member = |n: usize| format!("\"member{n}\":{n}");
    let mut members: Vec<_> = (0..100_000).map(member).collect();
    let body = |members: &[String]| format!("{{{}}}", members.join(","));
    assert!(strictly(body(&members).as_bytes()));
    members.push(member(50_000));
    assert!(!strictly(body(&members).as_bytes()));
}

#[test]
fn the_one_permission_is_found() {
    let rules = Pointers { permission: &["/command", "/query"], ..Pointers::default() };
    rules.finds(&[
        (r#"{"command":"create"}"#, "create|||"),
        (r#"{"query":"list","params":{"command":"x","query":1}}"#, "list|||"),
        (r#"{"co\u006dmand":"cr\u0065ate"}"#, "create|||"),
        (r#"{"command":""}"#, "|||"),
    ]);
    rules.refuses(&[
        ("neither", "{}"),
        ("both", r#"{"command":"a","query":"b"}"#),
        ("both, and one is null", r#"{"command":"a","query":null}"#),
        ("null", r#"{"command":null}"#),
        ("a number", r#"{"command":1}"#),
        ("a list", r#"{"command":["a"]}"#),
        ("an object", r#"{"command":{"a":"b"}}"#),
        ("twice", r#"{"command":"a","command":"a"}"#),
        ("twice, once escaped", r#"{"command":"a","\u0063ommand":"b"}"#),
        ("further in only", r#"{"params":{"command":"a"}}"#),
        ("in an array", r#"[{"command":"a"}]"#),
        ("no object", r#""command""#),
        ("in capitals only", r#"{"Command":"a"}"#),
        ("in capitals as well", r#"{"command":"a","COMMAND":"b"}"#),
        ("in capitals first", r#"{"QUERY":"b","command":"a"}"#),
        ("a nul in it", r#"{"command":"a\u0000b"}"#),
    ]);
}

#[test]
fn every_event_is_found_at_every_place() {
    let rules = Pointers { events: &["/action", "/*/action"], ..Pointers::default() };
    rules.finds(&[
        (r#"{"action":"a","x":{"action":1}}"#, "-|a||"),
        (r#"[{"action":"a"},{"x":1,"action":"b"},{"action":"a"}]"#, "-|a,b,a||"),
        (r#"{"action":"a","0":{"action":1}}"#, "-|a||"),
    ]);
    rules.refuses(&[
        ("an empty batch", "[]"),
        ("an empty object", "{}"),
        ("one without", r#"[{"action":"a"},{}]"#),
        ("one without, first", r#"[{},{"action":"a"}]"#),
        ("one is no object", r#"[{"action":"a"},"a"]"#),
        ("one is null", r#"[{"action":"a"},null]"#),
        ("one is a batch", r#"[{"action":"a"},[{"action":"b"}]]"#),
        ("one is an empty list", r#"[{"action":"a"},[]]"#),
        ("one has a number", r#"[{"action":"a"},{"action":1}]"#),
        ("one has it in capitals too", r#"[{"action":"a","Action":"b"}]"#),
        ("a list of them", r#"{"action":["a"]}"#),
        ("an empty list of them", r#"{"action":[]}"#),
        ("null", r#"{"action":null}"#),
        ("a string", r#""action""#),
        ("a nul in one", r#"[{"action":"a"},{"action":"\u0000"}]"#),
    ]);
}

#[test]
fn stars_go_into_stars() {
    let rules = Pointers { events: &["/*/*/e"], ..Pointers::default() };
    rules.finds(&[(r#"[[{"e":"a"}],[{"e":"b"},{"e":"c"}]]"#, "-|a,b,c||")]);
    rules.refuses(&[
        ("an empty list within", r#"[[{"e":"a"}],[]]"#),
        ("no list within", r#"[[{"e":"a"}],{"e":"b"}]"#),
        ("nothing in one of them", r#"[[{"e":"a"},{}]]"#),
    ]);
    let last = Pointers { events: &["/names/*"], ..Pointers::default() };
    last.finds(&[(r#"{"names":["a","b"]}"#, "-|a,b||")]);
    last.refuses(&[
        ("no list", r#"{"names":"a"}"#),
        ("an empty list", r#"{"names":[]}"#),
        ("a list within", r#"{"names":[["a"]]}"#),
        ("the list in capitals too", r#"{"names":["a"],"Names":["b"]}"#),
    ]);
}

#[test]
fn a_digit_is_an_index_of_an_array_and_a_name_in_an_object() {
    let rules = Pointers { events: &["/1/e"], ..Pointers::default() };
    rules.finds(&[
        (r#"[0,{"e":"a"},{"e":1}]"#, "-|a||"),
        (r#"{"1":{"e":"a"},"01":{"e":1}}"#, "-|a||"),
    ]);
    rules.refuses(&[("too short", r#"[{"e":"a"}]"#)]);
    let after = Pointers { events: &["/*/1"], ..Pointers::default() };
    after.finds(&[(r#"[["a","b"],["c","d","e"]]"#, "-|b,d||")]);
    after.refuses(&[
        ("one too short", r#"[["a","b"],["c"]]"#),
        ("one too short, last", r#"[["c"]]"#),
    ]);
    for pointer in ["/01", "/-", "/+1", "/ 1", "/18446744073709551617", "/1e0", "/"] {
        let rules = Pointers { events: &[pointer], ..Pointers::default() };
        rules.refuses(&[(pointer, r#"["a","b"]"#)]);
    }
    let first = Pointers { events: &["/0"], ..Pointers::default() };
    first.finds(&[(r#"["a","b"]"#, "-|a||"), (r#"{"0":"a"}"#, "-|a||")]);
}

#[test]
fn attributes_are_the_names_of_members() {
    let rules =
        Pointers { attributes: &["", "/attributes"], tags: &["/tags"], ..Pointers::default() };
    rules.finds(&[
        ("{}", "-|||"),
        (r#"{"email":"a","attributes":{"x":{"y":1},"z":[]},"tags":["t","u"]}"#, "-||email,x,z|t,u"),
        (r#"{"attributes":{},"tags":[]}"#, "-|||"),
        (r#"{"tags":"t"}"#, "-|||t"),
        (r#"{"\u0065mail":1}"#, "-||email|"),
        // What is called like that elsewhere is an attribute like any other.
        (r#"{"attributes":{"attributes":1,"tags":2}}"#, "-||attributes,tags|"),
    ]);
    rules.refuses(&[
        ("no object", "[]"),
        ("a string", r#""x""#),
        ("null", "null"),
        ("attributes are a list", r#"{"attributes":["a"]}"#),
        ("attributes are null", r#"{"attributes":null}"#),
        ("attributes are a string", r#"{"attributes":"a"}"#),
        ("attributes in capitals", r#"{"Attributes":{}}"#),
        ("tags in capitals", r#"{"TAGS":["a"]}"#),
        ("tags with a long s", r#"{"tagſ":["a"]}"#),
        ("tags are null", r#"{"tags":null}"#),
        ("tags are an object", r#"{"tags":{"a":1}}"#),
        ("a tag is a number", r#"{"tags":["a",1]}"#),
        ("a tag is a list", r#"{"tags":["a",["b"]]}"#),
        ("a tag is null", r#"{"tags":[null]}"#),
        ("a nul in a tag", r#"{"tags":["a\u0000"]}"#),
    ]);
}

#[test]
fn only_what_another_rule_judges_is_no_attribute() {
    let further = Pointers {
        attributes: &[""],
        events: &["/event/name"],
        tags: &["/tags/*"],
        ..Pointers::default()
    };
    further.finds(&[(r#"{"event":{"name":"e"},"tags":["t"]}"#, "-|e|event|t")]);
    further.refuses(&[
        ("tags that are no list hide there", r#"{"event":{"name":"e"},"tags":{"t":1}}"#),
        ("a tag alone hides there", r#"{"event":{"name":"e"},"tags":"t"}"#),
        ("no tag at all", r#"{"event":{"name":"e"},"tags":[]}"#),
    ]);
    let batch = Pointers { attributes: &["/*", "/*/attributes"], ..Pointers::default() };
    batch.finds(&[(r#"[{"a":1,"attributes":{"b":1}},{"attributes":{"c":1}}]"#, "-||a,b,c|")]);
    batch.refuses(&[
        ("an empty batch", "[]"),
        ("one without attributes", r#"[{"attributes":{}},{}]"#),
    ]);
}

#[test]
fn names_on_the_way_are_guarded_like_the_last_one() {
    let rules = Pointers { events: &["/data/event/name"], ..Pointers::default() };
    rules.finds(&[(r#"{"data":{"event":{"name":"e","x":1},"NAME":1},"EVENT":2}"#, "-|e||")]);
    rules.refuses(&[
        ("the first", r#"{"data":{"event":{"name":"e"}},"Data":1}"#),
        ("the second", r#"{"data":{"event":{"name":"e"},"EVENT":{"name":"x"}}}"#),
        ("the third", r#"{"data":{"event":{"name":"e","Name":"x"}}}"#),
    ]);
}

#[test]
fn escapes_of_a_pointer_are_for_the_pointer_only() {
    let rules = Pointers { events: &["/a~1b/~0/"], ..Pointers::default() };
    rules.finds(&[(r#"{"a/b":{"~":{"":"e"}},"a~1b":1}"#, "-|e||")]);
}

#[test]
fn what_was_refused_once_is_refused_with_any_rules() {
    for pointers in [
        Pointers { permission: &["/a"], ..Pointers::default() },
        Pointers { events: &["/a"], ..Pointers::default() },
        Pointers { attributes: &[""], ..Pointers::default() },
        Pointers { tags: &["/a"], ..Pointers::default() },
    ] {
        pointers.refuses(&[
            ("trailing data", r#"{"a":"x"} {}"#),
            ("a repeated member after what is asked", r#"{"a":"x","b":{"c":1,"c":1}}"#),
            ("cut off after what is asked", r#"{"a":"x""#),
        ]);
    }
}
