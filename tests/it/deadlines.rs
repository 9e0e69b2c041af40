//! Each phase of a connection has an end, whoever holds it, and it is that phase's own: everything
//! else may take as long as ever.
//!
//! The queue, the route's whole time and the upstream's answer and its progress are proven in
//! `limits` and `failures`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::actors::client::{Client, bearer, dial, head};
use crate::actors::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, Frames, HEADERS, PROTOCOL_ERROR, frame, request,
};
use crate::actors::http2::Http2;
use crate::actors::origin::{After, Origin};
use crate::actors::pki::TRUSTED;
use crate::actors::scripts::{echo, events, flood, hang, hold};
use crate::actors::setup::{READ, Setup, WRITE, key, usual_keys};
use crate::actors::sidecar::Sidecar;
use crate::actors::{Cue, PATIENCE, eventually, never};

/// The one limit that a scene is about.
const SHORT: Duration = Duration::from_millis(400);
/// The same where somebody must stay within it, on a machine that is busy with other tests.
const WIDE: Duration = Duration::from_millis(1500);
/// The other limits are at least 10 s.
const LATE: Duration = Duration::from_secs(7);

fn limited(origin: &Origin, limit: &str) -> Setup {
    limited_to(SHORT, origin, limit)
}

fn limited_to(time: Duration, origin: &Origin, limit: &str) -> Setup {
    let limits = format!("[limits]\n{limit} = \"{}ms\"", time.as_millis());
    Setup::before(origin).listen("http_accepts = \"everything\"").config(&limits)
}

/// Asserts that something happened when the limit was over: not before, and not at another limit.
#[track_caller]
fn on_time(since: Instant) {
    let took = since.elapsed();
    assert!(took >= SHORT && took < LATE, "{took:?}");
}

/// Waits until the server closes a connection; what it said before.
fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end too.
    let ended = stream
        .read_to_end(&mut said)
        .map_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionReset, |_| true);
    assert!(ended, "it is still open");
    said
}

/// What the frame layer ends a connection with.
const GIVEN_UP: Option<u32> = Some(PROTOCOL_ERROR);

/// A request's head without its end.
fn half_a_head() -> Vec<u8> {
    let mut half = head("GET", "/", &[&bearer(READ)]);
    half.truncate(half.len() - 2);
    half
}

/// Nothing is left of a scene's requests: no slot, no memory, no upstream connection.
fn all_over(sidecar: &Sidecar) {
    eventually("the end of all requests", || {
        (sidecar.metric("keygate_in_flight_requests", &[]) == 0.0).then_some(())
    });
}

#[test]
fn a_handshake_that_does_not_end_is_given_up() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&limited(&origin, "handshake"));
    // Nothing at all, and the beginning of a record that promises more.
    for said in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let began = Instant::now();
        let mut stream = dial(sidecar.https).unwrap();
        stream.write_all(said).unwrap();
        assert_eq!(read_to_close(&mut stream), b"");
        on_time(began);
    }
    sidecar.get("/", &[&bearer(READ)]).ok();
}

#[test]
fn a_connection_on_which_nothing_is_said_is_given_up() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&limited(&origin, "first_bytes"));
    let began = Instant::now();
    assert_eq!(read_to_close(&mut dial(sidecar.http.unwrap()).unwrap()), b"");
    on_time(began);
    for protocol in ["http/1.1", "h2"] {
        let began = Instant::now();
        let mut client = Client::tls_with(sidecar.https, TRUSTED.client(&[protocol])).unwrap();
        assert!(client.closed());
        on_time(began);
    }
}

#[test]
fn half_a_preface_of_http2_is_given_up() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&limited(&origin, "first_bytes"));
    let began = Instant::now();
    let mut client = Client::tls_with(sidecar.https, TRUSTED.client(&["h2"])).unwrap();
    client.send("PRI * HTTP/2.0\r\n");
    assert!(client.closed());
    on_time(began);
}

#[test]
fn a_head_that_does_not_end_is_answered_and_goes_nowhere() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&limited(&origin, "head"));
    for mut client in [sidecar.client(), sidecar.plain()] {
        let began = Instant::now();
        client.send(half_a_head());
        let answer = client.response("GET");
        on_time(began);
        answer.refused(408, "request_timeout");
        assert_eq!(answer.value("connection"), Some("close"));
        assert!(client.closed());
    }
    assert_eq!(sidecar.refusals("request_timeout"), 2);
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_head_that_comes_drop_by_drop_has_no_more_time() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&limited(&origin, "head"));
    let mut stream = dial(sidecar.http.unwrap()).unwrap();
    let began = Instant::now();
    let mut endless = half_a_head();
    endless.extend(b"X-Endless: ".iter().chain(&[b'x'; 4096]));
    let mut drops = endless.chunks(1);
    let mut reader = stream.try_clone().unwrap();
    reader.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut said = Vec::new();
    eventually("the answer", || {
        let _ = stream.write_all(drops.next().expect("an answer before the drops end"));
        let mut piece = [0; 1024];
        let count = reader.read(&mut piece).unwrap_or(0);
        said.extend_from_slice(&piece[..count]);
        (!said.is_empty()).then_some(())
    });
    on_time(began);
    assert!(said.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&said));
    assert_eq!(origin.count(), 0);
}

/// Over HTTP/2 an open header block holds all that the connection could still say.
#[test]
fn a_header_block_that_does_not_end_is_given_up() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&limited(&origin, "head"));
    let block = request("GET", "/", &[("authorization", &format!("Bearer {READ}"))]);
    let open = frame(HEADERS, END_STREAM, 1, &block);
    let more = [&open[..], &frame(CONTINUATION, 0, 1, &[])].concat();
    for (what, said) in [
        ("no CONTINUATION", &open[..]),
        ("some, but no end", &more),
        ("half a frame", &open[..open.len() / 2]),
        ("half a frame's head", &open[..5]),
    ] {
        let mut frames = Frames::connect(sidecar.https);
        assert!(frames.synchronize());
        let began = Instant::now();
        frames.send(said);
        assert_eq!(frames.ended(), GIVEN_UP, "{what}");
        on_time(began);
    }
    assert_eq!(origin.count(), 0);
    sidecar.get("/", &[&bearer(READ)]).ok();
}

#[test]
fn a_header_block_that_comes_drop_by_drop_has_no_more_time() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&limited(&origin, "head"));
    let mut frames = Frames::connect(sidecar.https);
    assert!(frames.synchronize());
    let began = Instant::now();
    frames.send(frame(HEADERS, END_STREAM, 1, &request("GET", "/", &[])));
    while frames.send(frame(CONTINUATION, 0, 1, &[])) && began.elapsed() < LATE {
        assert!(never(SHORT / 8, || false));
    }
    on_time(began);
    assert_eq!(origin.count(), 0);
}

#[test]
fn each_header_block_has_a_time_of_its_own() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&limited_to(WIDE, &origin, "head"));
    let mut frames = Frames::connect(sidecar.https);
    let block = request("GET", "/", &[("authorization", &format!("Bearer {READ}"))]);
    let (first, rest) = block.split_at(block.len() / 2);
    let began = Instant::now();
    for stream in [1, 3, 5] {
        frames.send(frame(HEADERS, END_STREAM, stream, first));
        assert!(never(WIDE / 2, || false));
        frames.send(frame(CONTINUATION, END_HEADERS, stream, rest));
        assert_eq!(frames.outcome(stream).summary(), "ok");
    }
    assert!(began.elapsed() > WIDE, "it was not slow");
    // And where the next one begins with what ends the one before.
    frames.send(frame(HEADERS, END_STREAM, 7, first));
    for stream in [7, 9, 11] {
        assert!(never(WIDE / 2, || false));
        let next = frame(HEADERS, END_STREAM, stream + 2, first);
        let end = frame(CONTINUATION, END_HEADERS, stream, rest);
        frames.send([end, next].concat());
        assert_eq!(frames.outcome(stream).summary(), "ok");
    }
}

#[test]
fn each_head_has_a_time_of_its_own_and_pauses_between_them_do_not_count() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&limited_to(WIDE, &origin, "head"));
    let mut client = sidecar.client();
    for _ in 0..3 {
        client.get("/", &[&bearer(READ)]).ok();
        // An empty line is the beginning of nothing.
        client.send("\r\n");
        assert!(never(WIDE / 2, || false));
        client.send(half_a_head());
        assert!(never(WIDE / 2, || false));
        client.send("\r\n");
        client.response("GET").ok();
    }
    client.send("\r\n");
    assert!(never(WIDE + SHORT, || false));
    client.get("/", &[&bearer(READ)]).ok();
}

#[test]
fn a_second_head_that_does_not_end_does_not_disturb_the_first_answer() {
    let cue = Arc::<Cue>::default();
    let origin = Origin::tcp(hold(&cue));
    let sidecar = Sidecar::start(&limited(&origin, "head"));
    let mut client = sidecar.client();
    client.send([head("GET", "/", &[&bearer(READ)]), half_a_head()].concat());
    origin.wait("the first", |state| state.requests.len() == 1);
    assert!(never(SHORT * 2, || origin.count() > 1));
    cue.raise();
    client.response("GET").ok();
    client.response("GET").refused(408, "request_timeout");
    assert!(client.closed());
    assert_eq!(origin.count(), 1);
}

#[test]
fn an_idle_connection_is_closed_and_nothing_is_said() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&limited(&origin, "idle"));
    for mut client in [sidecar.client(), sidecar.plain()] {
        let began = Instant::now();
        client.get("/", &[&bearer(READ)]).ok();
        assert!(client.closed());
        on_time(began);
    }
}

#[test]
fn a_connection_on_which_something_happens_is_not_idle() {
    let cue = Arc::<Cue>::default();
    let origin = Origin::tcp(hold(&cue));
    let sidecar = Sidecar::start(&limited_to(WIDE, &origin, "idle"));
    let mut client = sidecar.client();
    // An answer takes its time.
    client.send(head("GET", "/", &[&bearer(READ)]));
    assert!(never(WIDE + SHORT, || false));
    cue.raise();
    client.response("GET").ok();
    // A head takes its time.
    client.send(half_a_head());
    assert!(never(WIDE + SHORT, || false));
    client.send("\r\n");
    client.response("GET").ok();
    // A body takes its time.
    client.send(head("POST", "/", &[&bearer(WRITE), "Content-Length: 2"]));
    assert!(never(WIDE + SHORT, || false));
    client.send("ab");
    client.response("POST").ok();
}

#[test]
fn an_idle_http2_connection_is_closed_and_its_streams_end_first() {
    let cue = Arc::<Cue>::default();
    let origin = Origin::tcp(hold(&cue));
    let sidecar = Sidecar::start(&limited(&origin, "idle_http2"));
    let client = sidecar.http2();
    let mut stream = client.open("GET", "/", &[&bearer(READ)], true);
    assert!(never(SHORT * 2, || client.ended().is_some()));
    cue.raise();
    stream.response().ok();
    eventually("the end", || client.ended().map(drop));
    // Without any request too.
    let began = Instant::now();
    let client = sidecar.http2();
    eventually("the end", || client.ended().map(drop));
    on_time(began);
}

const INSPECTING: &str =
    "[[route]]\npath = \"/{*rest}\"\n[[route]]\npath = \"/events\"\nevents_from = \"/action\"\n";

#[test]
fn an_inspected_body_that_pauses_is_given_up() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&limited(&origin, "body_pause").config(INSPECTING));
    let fields = [&bearer(WRITE), "Content-Type: application/json"];
    let mut client = sidecar.client();
    let began = Instant::now();
    client.send(head("POST", "/events", &[&fields[..], &["Content-Length: 14"]].concat()));
    client.send("{");
    client.response("POST").refused(408, "request_timeout");
    on_time(began);
    assert!(client.closed());

    let client = sidecar.http2();
    let mut stream = client.open("POST", "/events", &fields, false);
    stream.send(b"{", false);
    stream.response().refused(408, "request_timeout");
    assert_eq!((origin.count(), sidecar.refusals("request_timeout")), (0, 2));
    // The next one on the connection is its own.
    client.get("/", &[&bearer(READ)]).ok();
    all_over(&sidecar);
}

#[test]
fn an_upload_that_pauses_is_the_clients_fault_and_ends_for_the_upstream() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&limited(&origin, "upload_pause"));
    let mut client = sidecar.client();
    let began = Instant::now();
    client.send(head("POST", "/h1", &[&bearer(WRITE), "Content-Length: 100"]));
    client.send("half");
    client.response("POST").refused(408, "request_timeout");
    on_time(began);
    assert!(client.closed());
    origin.wait("the end", |state| state.requests.first().is_some_and(|seen| seen.gone));

    let client = sidecar.http2();
    let mut stream = client.open("POST", "/h2", &[&bearer(WRITE)], false);
    stream.send(b"half", false);
    stream.response().refused(408, "request_timeout");
    origin.wait("the end", |state| state.requests.get(1).is_some_and(|seen| seen.gone));
    assert_eq!(sidecar.refusals("request_timeout"), 2);
    assert_eq!(sidecar.counted("failed", None), 0);
    all_over(&sidecar);
}

#[test]
fn an_upload_that_goes_on_may_take_longer_and_one_that_is_answered_may_pause() {
    let origin = Origin::tcp(|exchange| {
        if exchange.request.target == "/slow" {
            return echo(exchange);
        }
        exchange.piece();
        exchange.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n");
        exchange.drain();
        exchange.send("0\r\n\r\n");
        After::Close
    });
    let sidecar = Sidecar::start(&limited_to(WIDE, &origin, "upload_pause"));
    let mut client = sidecar.client();
    client.send(head("POST", "/slow", &[&bearer(WRITE), "Content-Length: 5"]));
    for piece in ["a", "b", "c", "d", "e"] {
        assert!(never(WIDE / 2, || false));
        client.send(piece);
    }
    client.response("POST").ok();

    let client = sidecar.http2();
    let mut stream = client.open("POST", "/both-ways", &[&bearer(WRITE)], false);
    stream.send(b"first", false);
    assert_eq!(stream.head().status, 200);
    assert_eq!(stream.piece().unwrap().unwrap(), "ok");
    assert!(never(WIDE + SHORT, || origin.last().gone));
    stream.send(b"second", true);
    assert_eq!(stream.piece().unwrap(), None);
    assert_eq!(origin.last().body, b"firstsecond");
}

#[test]
fn an_upstream_that_takes_no_connection_is_given_up() {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let listener = listener.unwrap();
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    // Who comes when the backlog is full is not even refused.
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the backlog has no end");
    }
    let setup = Setup::before_url(&format!("http://{address}"));
    let sidecar = Sidecar::start(&setup.upstream("connect_timeout = \"400ms\""));
    let began = Instant::now();
    sidecar.get("/", &[&bearer(READ)]).refused(502, "upstream_unreachable");
    on_time(began);
    assert_eq!(sidecar.metric("keygate_upstream_errors_total", &["connect"]), 1.0);
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_given_up() {
    let origin = Origin::tcp(flood);
    let sidecar = Sidecar::start(&limited(&origin, "write_pause"));
    for (at, mut client) in [sidecar.client(), sidecar.plain()].into_iter().enumerate() {
        client.send(head("GET", "/", &[&bearer(READ)]));
        let (response, _) = client.response_head("GET");
        assert_eq!(response.status, 200);
        origin.wait("the end", |state| state.requests.get(at).is_some_and(|seen| seen.gone));
    }
    all_over(&sidecar);
}

#[test]
fn a_websocket_whose_client_takes_nothing_is_given_up() {
    let origin = Origin::tcp(|exchange| {
        exchange.send(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n",
        );
        let piece = vec![b'x'; 1 << 20];
        while exchange.send(&piece) {}
        After::Close
    });
    let sidecar = Sidecar::start(&limited(&origin, "write_pause"));
    let mut client = sidecar.client();
    let fields = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
    client.send(head("GET", "/", &[&[bearer(READ).as_str()], &fields[..]].concat()));
    assert_eq!(client.response_head("GET").0.status, 101);
    origin.wait("the end", |state| state.requests.first().is_some_and(|seen| seen.gone));
    all_over(&sidecar);
}

#[test]
fn a_stream_for_which_its_client_makes_no_room_is_reset_and_no_other_is() {
    let origin = Origin::tcp(|exchange| match exchange.request.target.as_str() {
        "/flood" => flood(exchange),
        _ => echo(exchange),
    });
    let sidecar = Sidecar::start(&limited(&origin, "write_pause"));
    let mut builder = h2::client::Builder::new();
    // Room for more than one stream's answer.
    builder.initial_connection_window_size(1 << 20);
    let client = Http2::connect_as(sidecar.https, builder);
    let mut stream = client.open("GET", "/flood", &[&bearer(READ)], true);
    assert_eq!(stream.head().status, 200);
    origin.wait("the end", |state| state.requests.first().is_some_and(|seen| seen.gone));
    all_over(&sidecar);
    let mut cut = None;
    while cut.is_none() {
        cut = stream.piece().map_or_else(Some, |piece| {
            assert!(piece.is_some(), "it ended like a whole one");
            None
        });
    }
    assert_eq!(cut.unwrap().reason(), Some(h2::Reason::CANCEL));
    client.get("/", &[&bearer(READ)]).ok();
}

#[test]
fn a_stream_whose_client_is_slow_goes_on() {
    let origin = Origin::tcp(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 400000\r\n\r\n");
        exchange.send(vec![b'x'; 400_000]);
        After::Close
    });
    let sidecar = Sidecar::start(&limited_to(WIDE, &origin, "write_pause"));
    let client = sidecar.http2();
    let mut stream = client.open("GET", "/", &[&bearer(READ)], true);
    assert_eq!(stream.head().status, 200);
    let (began, mut total) = (Instant::now(), 0);
    while let Some(piece) = stream.piece().expect("it goes on") {
        total += piece.len();
        assert!(never(WIDE / 10, || false));
    }
    assert_eq!(total, 400_000);
    assert!(began.elapsed() > WIDE, "it was not slow");
}

#[test]
fn an_answer_of_our_own_does_not_wait_for_ever_either() {
    let origin = Origin::echo();
    let limits = "[limits]\nwrite_pause = \"400ms\"\nidle_http2 = \"400ms\"";
    let sidecar = Sidecar::start(&Setup::before(&origin).config(limits));
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let client = Http2::connect_as(sidecar.https, builder);
    let mut streams: Vec<_> = (0..20).map(|_| client.open("GET", "/", &[], true)).collect();
    for stream in &mut streams {
        assert_eq!(stream.head().status, 401);
    }
    eventually("the end", || client.ended().map(drop));
    eventually("the connection's end", || {
        (sidecar.metric("keygate_connections", &["https"]) == 0.0).then_some(())
    });
}

#[test]
fn a_stream_that_its_client_does_not_read_ends_with_its_key() {
    let origin = Origin::tcp(flood);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let client = sidecar.http2();
    let mut stream = client.open("GET", "/", &[&bearer(READ)], true);
    assert_eq!(stream.head().status, 200);
    assert!(never(SHORT, || origin.last().gone));
    let revoked = key("acme-read", "acme", READ, "revoked = 2026-01-01");
    let keys = usual_keys().replace(&key("acme-read", "acme", READ, "access = \"read\""), &revoked);
    assert_ne!(keys, usual_keys());
    sidecar.replace("keys.toml", keys);
    origin.wait("the end", |state| state.requests.first().is_some_and(|seen| seen.gone));
    all_over(&sidecar);
}

#[test]
fn times_that_are_changed_are_in_force_for_new_connections() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&limited(&origin, "head"));
    let generation = sidecar.generation();
    let text = sidecar.read("keygate.toml");
    let longer = text.replace("head = \"400ms\"", "head = \"1h\"");
    assert_ne!(text, longer);
    sidecar.replace("keygate.toml", longer);
    sidecar.reloaded(generation);
    let mut client = sidecar.client();
    client.send(half_a_head());
    assert!(never(SHORT * 2, || sidecar.refusals("request_timeout") > 0));
    client.send("\r\n");
    client.response("GET").ok();
}

#[test]
fn a_limit_of_nothing_is_told_at_the_start() {
    let origin = Origin::echo();
    for line in ["head = \"0s\"", "streams = 0", "connections = -1", "failures = true", "heads = 1"]
    {
        let setup = Setup::before(&origin).config(&format!("[limits]\n{line}"));
        let (code, said) = crate::actors::sidecar::refuses(&setup, |_| {});
        let name = line.split(' ').next().unwrap();
        assert!(code == Some(1) && said.contains(name) && said.contains("help:"), "{said}");
    }
}

#[test]
fn streams_are_no_more_than_they_may_be() {
    let cue = Arc::<Cue>::default();
    let origin = Origin::tcp(hold(&cue));
    let sidecar = Sidecar::start(&Setup::before(&origin).config("[limits]\nstreams = 3"));
    let client = sidecar.http2();
    // The settings are known once something was answered.
    client.get("/", &[]).refused(401, "no_credential");
    let open: Vec<_> = (0..6).map(|_| client.open("GET", "/", &[&bearer(READ)], true)).collect();
    origin.wait("as many as may be", |state| state.requests.len() == 3);
    assert!(never(SHORT, || origin.count() > 3));
    cue.raise();
    for mut stream in open {
        stream.response().ok();
    }
}

#[test]
fn what_goes_on_is_never_cut_by_a_deadline_of_another_phase() {
    let origin = Origin::tcp(events);
    let limits = ["handshake", "first_bytes", "head", "idle", "idle_http2", "body_pause"]
        .map(|name| format!("{name} = \"1500ms\"\n"))
        .concat();
    let limits = format!("[limits]\n{limits}upload_pause = \"1500ms\"\nwrite_pause = \"1500ms\"\n");
    let sidecar = Sidecar::start(&Setup::before(&origin).config(&limits));
    let mut client = sidecar.client();
    client.send(head("GET", "/h1", &[&bearer(READ)]));
    let (_, mut left) = client.response_head("GET");
    let http2 = sidecar.http2();
    let mut stream = http2.open("GET", "/h2", &[&bearer(READ)], true);
    stream.head();
    let began = Instant::now();
    while began.elapsed() < WIDE * 2 {
        assert!(client.piece(&mut left).unwrap().is_some());
        assert!(stream.piece().unwrap().is_some());
    }
    drop(client);
    stream.reset();
    all_over(&sidecar);
}

#[test]
fn an_upstream_that_hangs_is_given_up_and_not_blamed_on_the_client() {
    let origin = Origin::tcp(hang);
    let setup = limited(&origin, "upload_pause").upstream("timeout = \"1s\"");
    let sidecar = Sidecar::start(&setup);
    let began = Instant::now();
    sidecar.client().post("/", &[&bearer(WRITE)], b"all of it").refused(504, "upstream_timeout");
    assert!(began.elapsed() >= Duration::from_secs(1) && began.elapsed() < PATIENCE);
    assert_eq!(sidecar.counted("failed", Some("upstream_timeout")), 1);
}
