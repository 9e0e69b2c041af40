//! The published attacks on HTTP/2: the connection ends, or what it costs is no more than the same
//! number of ordinary requests, give or take; others are served all the while.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::actors::client::bearer;
use crate::actors::frames::{
    CONTINUATION, DATA, END_HEADERS, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, Frames, HEADERS,
    Outcome, PING, PREFACE, PRIORITY, PROTOCOL_ERROR, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE,
    frame, literal, request,
};
use crate::actors::origin::{After, Exchange, Origin};
use crate::actors::scripts;
use crate::actors::setup::{READ, Setup, WRITE};
use crate::actors::sidecar::Sidecar;
use crate::actors::{PATIENCE, eventually, never};

const MIB: u64 = 1 << 20;
/// How many ordinary requests tell what one costs.
const ORDINARY: u32 = 400;

/// The program before an upstream that echoes but for `/hang` and `/flood`, and what it took so
/// far.
struct Stage {
    origin: Origin,
    sidecar: Sidecar,
    /// Seconds of a processor's time for one ordinary request.
    price: f64,
    cpu: f64,
    memory: u64,
}

fn script(exchange: &mut Exchange<'_>) -> After {
    match exchange.request.target.as_str() {
        "/hang" => {
            exchange.wait_gone();
            After::Close
        }
        "/flood" => scripts::flood(exchange),
        _ => scripts::echo(exchange),
    }
}

fn head(method: &str, path: &str) -> Vec<u8> {
    let credential = format!("Bearer {}", if method == "GET" { READ } else { WRITE });
    request(method, path, &[("authorization", &credential)])
}

impl Stage {
    fn new() -> Self {
        Self::with("")
    }

    /// With further tables.
    fn with(config: &str) -> Self {
        let origin = Origin::tcp(script);
        let sidecar = Sidecar::start(&Setup::before(&origin).config(config));
        let mut stage = Self { origin, sidecar, price: 0.0, cpu: 0.0, memory: 0 };
        let mut frames = stage.attack();
        let block = head("GET", "/");
        frames.ask(1, &block);
        let before = stage.sidecar.processor_time().as_secs_f64();
        for number in 1..=ORDINARY {
            assert_eq!(frames.ask(2 * number + 1, &block).summary(), "ok");
        }
        stage.price = (stage.sidecar.processor_time().as_secs_f64() - before) / f64::from(ORDINARY);
        stage.cpu = stage.sidecar.processor_time().as_secs_f64();
        stage.memory = stage.sidecar.peak_memory();
        stage
    }

    fn attack(&self) -> Frames {
        Frames::connect(self.sidecar.https)
    }

    /// Holds what an attack of so many steps took against so many ordinary requests and a bound on
    /// memory, and sees that others are served.
    #[track_caller]
    fn bounded(&self, what: &str, steps: u32, memory: u64) {
        let mut bystander = self.attack();
        assert_eq!(bystander.ask(1, &head("GET", "/")).summary(), "ok", "{what}");
        let (cpu, grown) = (
            self.sidecar.processor_time().as_secs_f64() - self.cpu,
            self.sidecar.peak_memory() - self.memory,
        );
        let ratio = cpu / (self.price * f64::from(steps));
        println!("{what}: {steps} steps, {ratio:.3} of ordinary requests, {} KiB", grown / 1024);
        // A tenth of a second is what the clock and a handshake may add.
        let most = self.price * f64::from(steps) * 3.0 + 0.1;
        assert!(cpu <= most, "{what}: {cpu:.2} s for {steps}, allowed are {most:.2} s");
        assert!(grown <= memory, "{what}: {} KiB", grown / 1024);
    }
}

/// Sends the same bytes again and again, so many at once, until the connection ends; how often.
fn flood(frames: &mut Frames, bytes: &[u8], at_once: usize, most: u32) -> u32 {
    let batch = bytes.repeat(at_once);
    let at_once = u32::try_from(at_once).unwrap();
    let mut sent = 0;
    while sent < most && frames.send(&batch) {
        sent += at_once;
        if !frames.synchronize() {
            break;
        }
    }
    sent
}

/// CVE-2019-9512 (PING), -9513 (PRIORITY), -9515 (SETTINGS), and all other frames that carry
/// nothing.
#[test]
fn floods_of_frames_that_carry_nothing_end_the_connection() {
    let initial_window = [0, 4, 0, 0, 0, 1];
    for (what, bytes) in [
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("PING answers", frame(PING, 1, 0, &[0; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("SETTINGS with windows", frame(SETTINGS, 0, 0, &initial_window)),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("RST_STREAM of what is over", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        ("unknown", frame(0xee, 0, 0, &[])),
        ("unknown with content", frame(0xee, 0, 1, &[0; 100])),
    ] {
        let stage = Stage::new();
        let mut frames = stage.attack();
        frames.ask(1, &head("GET", "/"));
        let sent = flood(&mut frames, &bytes, 1000, 100_000);
        assert_eq!(frames.ended(), Some(PROTOCOL_ERROR), "{what}: {sent}");
        // At least what is always allowed, and what it may send in the time that it took.
        assert!((10_000..50_000).contains(&sent), "{what}: {sent}");
        stage.bounded(what, sent, 4 * MIB);
    }
}

/// Who has sent more than was read when the connection ended still learns why: what is on its way
/// is read away rather than answered by a reset, which would overtake the reason. Of what has no
/// end not all is read, and nobody is waited for longer than a moment.
#[test]
fn who_floods_learns_why_and_is_let_go_after_a_moment() {
    let stage = Stage::new();
    let unknown = frame(0xee, 0, 0, &[]);
    let mut frames = stage.attack();
    frames.ask(1, &head("GET", "/"));
    assert!(frames.send(unknown.repeat(100_000)), "reset while it sends 900 KB");
    assert_eq!(frames.ended(), Some(PROTOCOL_ERROR));
    assert!(frames.send(&unknown), "reset, although all could be read away");

    let mut frames = stage.attack();
    frames.ask(1, &head("GET", "/"));
    let began = Instant::now();
    assert!(!frames.send(unknown.repeat(4_000_000)), "36 MB were taken");
    assert_eq!(frames.ended(), Some(PROTOCOL_ERROR));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    stage.bounded("more than is read", 20_000, 4 * MIB);
}

/// CVE-2019-9515 again, where each frame has work to do for every stream.
#[test]
fn settings_for_many_streams_cost_no_more_than_requests() {
    let stage = Stage::new();
    let mut frames = stage.attack();
    for number in 0..200 {
        frames.open(2 * number + 1, &head("GET", "/hang"));
    }
    assert!(frames.synchronize());
    let window = |size: u8| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, size, 0]);
    let sent = flood(&mut frames, &[window(1), window(9)].concat(), 500, 100_000);
    assert_eq!(frames.ended(), Some(PROTOCOL_ERROR));
    stage.bounded("SETTINGS over 200 streams", 2 * sent + 200, 32 * MIB);
}

/// CVE-2023-44487, as it was published: all at once.
#[test]
fn rapid_resets_end_the_connection() {
    let stage = Stage::new();
    let seen = stage.origin.count();
    let mut frames = stage.attack();
    let mut sent = 0;
    'attack: for batch in 0..100_u32 {
        let streams = (0..100).map(|number| 2 * (100 * batch + number) + 1);
        let block = head("GET", "/hang");
        let bytes: Vec<_> = streams
            .flat_map(|stream| {
                [frame(HEADERS, WHOLE, stream, &block), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])]
            })
            .flatten()
            .collect();
        sent += 100;
        if !frames.send(bytes) || !frames.synchronize() {
            break 'attack;
        }
    }
    assert_eq!(frames.ended(), Some(ENHANCE_YOUR_CALM));
    assert!(sent <= 300, "{sent}");
    assert!(stage.origin.count() - seen <= 300, "{}", stage.origin.count() - seen);
    stage.bounded("rapid reset", sent, 8 * MIB);
}

/// The same with patience: each request is taken back only once it has been passed on.
#[test]
fn resets_one_by_one_end_the_connection_too() {
    let stage = Stage::new();
    let mut frames = stage.attack();
    let mut sent = 0;
    let block = head("GET", "/hang");
    while sent < 1000 && frames.open(2 * sent + 1, &block) {
        if !frames.synchronize() {
            break;
        }
        frames.send(frame(RST_STREAM, 0, 2 * sent + 1, &[0, 0, 0, 8]));
        sent += 1;
    }
    frames.ended();
    assert!((100..150).contains(&sent), "{sent}");
    eventually("all of them to be over", || {
        (stage.sidecar.metric("keygate_in_flight_requests", &[]) == 0.0).then_some(())
    });
    stage.bounded("patient reset", sent, 8 * MIB);
}

/// Who takes back one now and then is served for ever.
#[test]
fn a_client_that_takes_back_some_requests_is_served() {
    let stage = Stage::new();
    let mut frames = stage.attack();
    for number in 0..150 {
        let stream = 4 * number + 1;
        frames.open(stream, &head("GET", "/hang"));
        assert!(frames.synchronize());
        frames.send(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        assert_eq!(frames.ask(stream + 2, &head("GET", "/")).summary(), "ok");
    }
}

/// CVE-2025-8671: what is not allowed on a stream, so that we take the request back ourselves.
#[test]
fn made_you_reset_ends_the_connection() {
    type Offence = fn(u32) -> Vec<u8>;
    const MOST: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];
    let breaks: [(&str, Offence); 5] = [
        ("a window of nothing", |stream| frame(WINDOW_UPDATE, 0, stream, &[0; 4])),
        ("a window too large", |stream| frame(WINDOW_UPDATE, 0, stream, &MOST)),
        ("DATA after the end", |stream| frame(DATA, 0, stream, b"a")),
        ("HEADERS after the end", |stream| frame(HEADERS, WHOLE, stream, &[0x82])),
        ("a stream that depends on itself", |stream| {
            frame(PRIORITY, 0, stream, &[&stream.to_be_bytes()[..], &[1]].concat())
        }),
    ];
    for (what, offend) in breaks {
        let stage = Stage::new();
        let before = stage.origin.count();
        let mut frames = stage.attack();
        let mut sent = 0;
        let block = head("GET", "/hang");
        while sent < 2000 && frames.open(2 * sent + 1, &block) {
            frames.send(offend(2 * sent + 1));
            sent += 1;
            if sent % 20 == 0 && !frames.synchronize() {
                break;
            }
        }
        frames.ended();
        assert!(sent <= 300, "{what}: {sent}");
        assert!(stage.origin.count() - before <= 300, "{what}");
        stage.bounded(what, sent, 16 * MIB);
    }
}

/// CVE-2024-27316 and kin: a header block without an end.
#[test]
fn endless_header_blocks_end_the_connection() {
    for (what, content) in [
        ("CONTINUATION with fields", literal(0, "a", &"b".repeat(4000))),
        ("CONTINUATION with references", vec![0x82; 16_000]),
        ("CONTINUATION without content", Vec::new()),
        ("CONTINUATION of size updates", vec![0x20; 16_000]),
    ] {
        let stage = Stage::new();
        let mut frames = stage.attack();
        frames.send(frame(HEADERS, 1, 1, &head("GET", "/")));
        let mut sent = 0;
        while sent < 200_000 && frames.send(frame(CONTINUATION, 0, 1, &content).repeat(100)) {
            sent += 100;
        }
        // With what was never read a connection is reset, and the reason may be lost.
        frames.ended();
        // Beyond what the system's buffers hold nothing was taken.
        stage.bounded(what, sent.min(20_000), 8 * MIB);
    }
}

/// One long field in the table, and requests that name it again and again; with and without the
/// client's word that it knows our limits.
#[test]
fn header_bombs_do_not_go_off() {
    for (what, settled, value, count) in [
        ("a large field", true, 3900, 16_000),
        ("a large field before the settings", false, 3900, 16_000),
        ("a small field", true, 0, 16_000),
        ("a small field before the settings", false, 0, 16_000),
        ("a small field within the limits", true, 0, 1_800),
    ] {
        let stage = Stage::new();
        let mut frames = match settled {
            true => stage.attack(),
            false => Frames::silent(stage.sidecar.https),
        };
        if !settled {
            frames.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        }
        let entry = literal(0x40, "a", &"b".repeat(value));
        assert_eq!(frames.ask(1, &[head("GET", "/"), entry].concat()).summary(), "ok");
        let bomb = [head("GET", "/"), vec![0xbe; count]].concat();
        let mut sent = 0;
        for number in 1..=200 {
            sent += 1;
            // Two of three have no end yet: they wait with what was decoded.
            let flags = if number % 3 == 0 { WHOLE } else { END_HEADERS };
            if !frames.send(frame(HEADERS, flags, 2 * number + 1, &bomb)) {
                break;
            }
        }
        if frames.synchronize() {
            assert_eq!(count, 1_800, "{what}");
        }
        stage.bounded(what, 20 * sent, 24 * MIB);
        assert_eq!(stage.origin.count(), usize::try_from(ORDINARY).unwrap() + 3, "{what}");
    }
}

/// CVE-2019-9518: frames of a body that carry nothing, or next to nothing, or padding alone.
#[test]
fn bodies_of_nothing_end_the_connection() {
    let padding = [&[200_u8][..], &[0; 200]].concat();
    for (what, flags, content) in
        [("empty DATA", 0, &[][..]), ("padded DATA", 0x8, &padding), ("DATA of one byte", 0, b"a")]
    {
        let stage = Stage::new();
        let mut frames = stage.attack();
        frames.send(frame(HEADERS, END_HEADERS, 1, &head("POST", "/hang")));
        stage.origin.wait("the request", |state| {
            state.requests.last().is_some_and(|seen| seen.target == "/hang")
        });
        let mut sent = 0;
        while sent < 2_000_000 && frames.send(frame(DATA, flags, 1, content).repeat(1000)) {
            sent += 1000;
            if sent > 300_000 && !frames.synchronize() {
                break;
            }
        }
        frames.ended();
        stage.bounded(what, sent.min(50_000), 16 * MIB);
    }
}

/// CVE-2019-9518 and CVE-2019-9516: heads of nothing, and fields without names.
#[test]
fn heads_of_nothing_end_the_connection() {
    for (what, content) in [("empty HEADERS", &[][..]), ("fields without names", &[0, 0, 0])] {
        let stage = Stage::new();
        let mut frames = stage.attack();
        let mut sent = 0;
        while sent < 10_000 && frames.send(frame(HEADERS, WHOLE, 2 * sent + 1, content)) {
            sent += 1;
        }
        frames.ended();
        stage.bounded(what, sent.min(2000), 4 * MIB);
    }
}

/// CVE-2019-9511 and CVE-2019-9517: large answers that nobody takes, be it for want of a window or
/// because the client does not read.
#[test]
fn answers_that_nobody_takes_cost_little_and_are_let_go() {
    let largest = [0, 4, 0x7f, 0xff, 0xff, 0xff];
    for (what, window) in [("no window", &[0, 4, 0, 0, 0, 0]), ("no reading", &largest)] {
        let stage = Stage::new();
        let mut frames = stage.attack();
        frames.send(frame(SETTINGS, 0, 0, window));
        for number in 0..100 {
            frames.open(2 * number + 1, &head("GET", "/flood"));
        }
        stage.origin.wait("all of them", |state| {
            state.requests.iter().filter(|seen| seen.target == "/flood").count() == 100
        });
        let most = stage.memory + 64 * MIB;
        let exceeded = || stage.sidecar.peak_memory() > most;
        assert!(never(Duration::from_millis(500), exceeded), "{what}");
        stage.bounded(what, 1000, 64 * MIB);
        drop(frames);
        eventually("all of them to be over", || {
            (stage.sidecar.metric("keygate_in_flight_requests", &[]) == 0.0).then_some(())
        });
    }
}

/// CVE-2019-9511: a window that opens byte by byte.
#[test]
fn a_window_that_opens_by_one_byte_does_not_multiply_work() {
    let stage = Stage::new();
    let mut frames = stage.attack();
    frames.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    frames.open(1, &head("GET", "/flood"));
    let sent = flood(&mut frames, &frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), 500, 20_000);
    frames.ended();
    stage.bounded("a window of one byte", sent, 4 * MIB);
}

/// Where a request for `/hang` waits: its body is not read before it has a slot, so that no window opens
/// again meanwhile.
fn queue() -> (Stage, Frames) {
    let queue = "[[route]]\npath = \"/hang\"\n\
                 in_flight = { max = 1, per = \"account\", queue = \"60s\" }\n\n\
                 [[route]]\npath = \"/{*rest}\"\n";
    let stage = Stage::with(queue);
    let mut holder = stage.attack();
    holder.open(1, &head("POST", "/hang"));
    stage.origin.wait("the slot to be taken", |state| {
        state.requests.last().is_some_and(|seen| seen.target == "/hang")
    });
    (stage, holder)
}

/// A proxy in front of us has the requests of many clients on one connection.
#[test]
fn a_body_that_waits_keeps_the_others_of_its_connection_from_nothing() {
    let (stage, _holder) = queue();
    let http2 = stage.sidecar.http2();
    let mut waits = http2.open("POST", "/hang", &[&bearer(WRITE)], false);
    waits.send(&vec![b'a'; 2 << 20], false);
    let body = "b".repeat(2 << 20);
    let mut goes_on = http2.open("POST", "/", &[&bearer(WRITE)], false);
    goes_on.send(body.as_bytes(), true);
    assert!(goes_on.response().json()["body"] == body.as_str());
}

#[test]
fn more_than_the_window_ends_stream_or_connection() {
    let (stage, _holder) = queue();
    let mut frames = stage.attack();
    frames.send(frame(HEADERS, END_HEADERS, 1, &head("POST", "/hang")));
    let piece = frame(DATA, 0, 1, &[b'a'; 16_384]);
    for _ in 0..200 {
        frames.send(&piece);
    }
    let outcome = frames.outcome(1);
    // The reason may be lost with what was never read.
    let ends = [Some(FLOW_CONTROL_ERROR), None].map(Outcome::Ended);
    assert!(
        ends.contains(&outcome) || outcome == Outcome::Reset(FLOW_CONTROL_ERROR),
        "{outcome:?}"
    );
    stage.bounded("more than the window", 200, 8 * MIB);
}

/// A client may ask for an endless table; what we keep for it is ours to say.
#[test]
fn a_table_without_end_is_not_kept() {
    let stage = Stage::new();
    let mut frames = stage.attack();
    frames.send(frame(SETTINGS, 0, 0, &[0, 1, 0xff, 0xff, 0xff, 0xff]));
    for number in 0..2000 {
        frames.ask(2 * number + 1, &head("GET", "/"));
    }
    stage.bounded("a table without end", 2000, 4 * MIB);
}

/// While connections are flooded, others are served.
#[test]
fn others_are_served_during_a_flood() {
    let (stage, over) = (Stage::new(), AtomicBool::new(false));
    let (address, limit) = (stage.sidecar.https, Instant::now() + PATIENCE);
    let attack = || {
        let mut floods = 0;
        while floods == 0 || (!over.load(Relaxed) && Instant::now() < limit) {
            let mut frames = Frames::connect(address);
            flood(&mut frames, &frame(PING, 0, 0, &[0; 8]), 500, 20_000);
            floods += 1;
        }
    };
    std::thread::scope(|scope| {
        let attackers = [0; 4].map(|_| scope.spawn(attack));
        let mut bystander = stage.attack();
        for number in 0..50 {
            assert_eq!(bystander.ask(2 * number + 1, &head("GET", "/")).summary(), "ok");
        }
        assert!(Instant::now() < limit, "they wait long");
        over.store(true, Relaxed);
        attackers.into_iter().for_each(|attacker| attacker.join().unwrap());
    });
}
