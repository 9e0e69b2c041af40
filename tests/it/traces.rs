//! Traces (W3C Trace Context, level 2): what the upstream is told of where a request stands in one.

use std::collections::BTreeSet;

use crate::actors::client::bearer;
use crate::actors::origin::{Origin, Seen};
use crate::actors::setup::{READ, Setup};
use crate::actors::sidecar::Sidecar;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn start(config: &str) -> (Origin, Sidecar) {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).config(config));
    (origin, sidecar)
}

/// Trace, span and flags of what the upstream was told.
fn told(seen: &Seen) -> (String, String, String) {
    let value = seen.value("traceparent").expect("a traceparent");
    let parts: Vec<_> = value.split('-').map(str::to_owned).collect();
    let [version, trace, span, flags] = parts.try_into().expect("four parts");
    assert_eq!((&*version, trace.len(), span.len(), flags.len()), ("00", 32, 16, 2), "{value}");
    let digits = |text: &str| text.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
    assert!(digits(&trace) && digits(&span) && digits(&flags), "{value}");
    (trace, span, flags)
}

#[test]
fn a_clients_trace_goes_on_with_its_state_and_a_span_of_ours_over_both_protocols() {
    let (origin, sidecar) = start("");
    let parent = format!("traceparent: 00-{TRACE}-{SPAN}-01");
    let fields = [&*bearer(READ), &parent, "tracestate: a=1,b=2", "tracestate: c=3"];
    sidecar.get("/", &fields).ok();
    let first = origin.last();
    sidecar.http2().get("/", &fields).ok();
    for seen in [first, origin.last()] {
        let (trace, span, flags) = told(&seen);
        assert_eq!((&*trace, &*flags), (TRACE, "01"));
        assert_ne!(span, SPAN);
        assert_eq!(seen.values("tracestate"), ["a=1,b=2", "c=3"]);
    }
    let unsampled = format!("traceparent: 00-{TRACE}-{SPAN}-00");
    sidecar.get("/", &[&bearer(READ), &unsampled]).ok();
    assert_eq!(told(&origin.last()).2, "00");
}

#[test]
fn without_one_or_with_one_that_is_none_a_trace_begins_and_nothing_of_the_clients_is_left() {
    let (origin, sidecar) = start("");
    let good = format!("traceparent: 00-{TRACE}-{SPAN}-01");
    let mut traces = BTreeSet::new();
    for fields in [
        &[][..],
        &["tracestate: a=1"],
        &["traceparent: 00-0-0-0", "tracestate: a=1"],
        &[&format!("traceparent: ff-{TRACE}-{SPAN}-01"), "tracestate: a=1"],
        &[&good.to_uppercase(), "tracestate: a=1"],
        &[&good, &good, "tracestate: a=1"],
    ] {
        sidecar.get("/", &[&[&*bearer(READ)], fields].concat()).ok();
        let seen = origin.last();
        let (trace, span, flags) = told(&seen);
        assert!(trace != TRACE && span != SPAN, "{fields:?}");
        assert_eq!(flags, "03", "sampled, and random");
        assert!(!seen.has("tracestate"), "{fields:?}");
        assert!(traces.insert(trace) && traces.insert(span), "{fields:?}");
    }
}

#[test]
fn whose_traces_go_on_is_for_the_operator_to_say() {
    let parent = format!("traceparent: 00-{TRACE}-{SPAN}-01");
    let fields = [&*bearer(READ), &parent, "tracestate: a=1"];
    for (trust, proxies, goes_on) in [
        ("everyone", "[]", true),
        ("nobody", "[\"127.0.0.0/8\"]", false),
        ("trusted_proxies", "[\"10.0.0.0/8\"]", false),
        ("trusted_proxies", "[\"127.0.0.0/8\"]", true),
    ] {
        let origin = Origin::echo();
        let setup = Setup::before(&origin)
            .listen(&format!("trusted_proxies = {proxies}"))
            .config(&format!("[tracing]\ntrust = {trust:?}\n"));
        let sidecar = Sidecar::start(&setup);
        sidecar.get("/", &fields).ok();
        let seen = origin.last();
        assert_eq!(told(&seen).0 == TRACE, goes_on, "{trust} {proxies}");
        assert_eq!(seen.has("tracestate"), goes_on, "{trust} {proxies}");
    }
}

#[test]
fn it_can_be_left_to_others_and_begun_traces_can_be_left_unsampled_while_it_runs() {
    let (origin, sidecar) = start("[tracing]\ntraceparent = false\n");
    let said = format!("00-{TRACE}-{SPAN}-01");
    let fields = [&*bearer(READ), &format!("traceparent: {said}"), "tracestate: a=1"];
    sidecar.get("/", &fields).ok();
    assert_eq!(origin.last().value("traceparent"), Some(&*said));
    assert_eq!(origin.last().value("tracestate"), Some("a=1"));
    sidecar.get("/", &fields[..1]).ok();
    assert!(!origin.last().has("traceparent"));
    let before = sidecar.generation();
    let config = sidecar.read("keygate.toml").replace("traceparent = false", "sampled = 0");
    sidecar.replace("keygate.toml", config);
    sidecar.reloaded(before);
    sidecar.get("/", &fields[..1]).ok();
    assert_eq!(told(&origin.last()).2, "02");
    sidecar.get("/", &fields).ok();
    assert_eq!(told(&origin.last()).2, "01", "what goes on keeps its mark");
}

#[test]
fn the_log_of_a_refusal_says_in_which_trace_it_was() {
    let (origin, sidecar) = start("");
    let parent = format!("traceparent: 00-{TRACE}-{SPAN}-01");
    sidecar.get("/", &[&parent]).refused(401, "no_credential");
    let line = sidecar.logged(0, "the refusal", |line| line.member("reason").is_some());
    assert_eq!(line.member("trace_id").expect("a trace"), TRACE);
    let span = line.member("span_id").and_then(|span| span.as_str()).expect("a span");
    assert!(span.len() == 16 && span != SPAN, "{span}");
    assert_eq!(origin.count(), 0);
}
