//! Plays a file of cases: one upstream, one program, each case over each of its transports.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::file::{Case, CaseFile, Expect, Transport};
use super::logins::Logins;
use crate::actors::client::{Client, Response, head};
use crate::actors::origin::{Origin, Seen};
use crate::actors::setup::Setup;
use crate::actors::sidecar::Sidecar;

/// Plays every case and fails with the list of all that went wrong.
pub(crate) fn play(name: &str) {
    let mut file = CaseFile::read(name);
    let origin = Origin::echo();
    let config = file.config.clone().unwrap_or_else(|| preset(file.preset.as_deref().unwrap()));
    let mut setup = Setup::whole(&config, &origin).keys(&file.keys);
    setup.sets.extend(file.set.iter().cloned());
    let logins = Logins::of(&file, &config);
    logins.prepare(&mut setup);
    let sidecar = Sidecar::start(&setup);
    file.fill_cases(&logins.mint(&file, &sidecar));
    let mut stage = Stage { sidecar, origin, answers: BTreeMap::new() };
    let mut failures = String::new();
    for case in &file.cases {
        for &transport in &case.request.over {
            for failure in stage.play(case, transport) {
                let _ = writeln!(failures, "{name}: {} ({transport:?}): {failure}", case.name);
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

fn preset(name: &str) -> String {
    let presets = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/presets");
    std::fs::read_to_string(presets.join(name).join("keygate.toml")).unwrap()
}

struct Stage {
    sidecar: Sidecar,
    origin: Origin,
    answers: BTreeMap<String, String>,
}

impl Stage {
    fn play(&mut self, case: &Case, transport: Transport) -> Vec<String> {
        let mut failures = Vec::new();
        let (outcome, reason) = counter(&case.expect);
        let counted = self.sidecar.counted(outcome, reason);
        let seen = self.origin.count();
        let response = self.ask(case, transport);
        judge(&case.expect, &response, &mut failures);
        if !self.counts(outcome, reason, counted + 1) {
            let log = self.sidecar.log.text();
            let last = log.lines().last().unwrap_or_default();
            failures.push(format!("not counted as {outcome} {reason:?}; last log line: {last}"));
        }
        let arrived = self.origin.requests().split_off(seen);
        let forwarded = ["forwarded", "shadow", "failed"].contains(&outcome);
        match (forwarded, arrived.as_slice()) {
            (true, [arrived]) => see(case, arrived, &mut failures),
            (false, []) => {}
            _ => failures.push(format!("{} requests reached the upstream", arrived.len())),
        }
        self.compare(case, transport, &response, &mut failures);
        failures
    }

    fn ask(&self, case: &Case, transport: Transport) -> Response {
        let ask = &case.request;
        let fields: Vec<&str> = ask.headers.iter().map(String::as_str).collect();
        let mut client = match transport {
            Transport::Https1 => self.sidecar.client(),
            Transport::Http => Client::plain(self.sidecar.http.expect("a plain listener")),
            Transport::Https2 => {
                let connection = self.sidecar.http2();
                return connection.request(&ask.method, &ask.target, &fields, ask.body.as_bytes());
            }
        };
        let length = format!("Content-Length: {}", ask.body.len());
        let fields = match ask.body.is_empty() {
            true => fields,
            false => [fields.as_slice(), &[length.as_str()]].concat(),
        };
        let mut bytes = head(&ask.method, &ask.target, &fields);
        bytes.extend_from_slice(ask.body.as_bytes());
        client.send(bytes);
        client.response(&ask.method)
    }

    /// Whether the counter gets there; it is written after the answer.
    fn counts(&self, outcome: &str, reason: Option<&str>, wanted: u64) -> bool {
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            if self.sidecar.counted(outcome, reason) == wanted {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn compare(
        &mut self,
        case: &Case,
        transport: Transport,
        response: &Response,
        failures: &mut Vec<String>,
    ) {
        let answer = anonymised(response);
        if let Some(other) = &case.expect.same_as {
            match self.answers.get(&format!("{other}/{transport:?}")) {
                None => failures.push(format!("no case `{other}` before this one")),
                Some(same) if *same == answer => {}
                Some(same) => failures.push(format!("differs: {answer} from {same}")),
            }
        }
        self.answers.insert(format!("{}/{transport:?}", case.name), answer);
    }
}

fn counter(expect: &Expect) -> (&str, Option<&str>) {
    let usual = if expect.reason.is_some() { "refused" } else { "forwarded" };
    (expect.outcome.as_deref().unwrap_or(usual), expect.reason.as_deref())
}

fn judge(expect: &Expect, response: &Response, failures: &mut Vec<String>) {
    let mut check = |right: bool, what: String| {
        if !right {
            failures.push(format!("{what}; the answer: {} {}", response.status, response.text()));
        }
    };
    check(response.status == expect.status, format!("status is not {}", expect.status));
    check(response.complete, "the answer was cut".to_owned());
    let id = response.value("x-request-id").unwrap_or_default();
    if expect.reason.is_some() && expect.outcome.as_deref() != Some("shadow") {
        check(!id.is_empty(), "no X-Request-Id".to_owned());
        check(
            response.status != 401 || !response.values("www-authenticate").is_empty(),
            "a 401 without WWW-Authenticate".to_owned(),
        );
    }
    if let Some(body) = &expect.body {
        let body = body.replace("{request_id}", id);
        check(response.text() == body, format!("the body is not {body:?}"));
    }
    if let Some(part) = &expect.contains {
        check(response.text().contains(part), format!("no {part:?} in the body"));
    }
    for field in &expect.headers {
        let found = response.values(field.split(':').next().unwrap_or_default());
        check(has(field, &found), format!("not exactly `{field}`: {found:?}"));
    }
    for name in &expect.without {
        let found = response.values(name);
        check(found.is_empty(), format!("`{name}` is there: {found:?}"));
    }
    if let Some(challenges) = &expect.challenges {
        let mut found = response.values("www-authenticate");
        let mut wanted: Vec<&str> = challenges.iter().map(String::as_str).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        check(found == wanted, format!("challenges are {found:?}"));
    }
}

/// Whether a field is there: with its value, once, or at all where only a name is wanted.
fn has(wanted: &str, found: &[&str]) -> bool {
    match wanted.split_once(':') {
        Some((_, value)) => found == [value.trim()],
        None => !found.is_empty(),
    }
}

fn see(case: &Case, seen: &Seen, failures: &mut Vec<String>) {
    let mut check = |right: bool, what: String| {
        if !right {
            failures.push(format!("upstream saw {what}: {} {:?}", seen.target, seen.fields));
        }
    };
    for field in &case.upstream.sees {
        let found = seen.values(field.split(':').next().unwrap_or_default());
        check(has(field, &found), format!("not exactly `{field}`"));
    }
    for name in &case.upstream.sees_not {
        check(!seen.has(name), format!("`{name}`"));
    }
    if let Some(path) = &case.upstream.path {
        check(seen.target == *path, format!("another path than `{path}`"));
    }
    if let Some(body) = &case.upstream.body {
        check(seen.body == body.as_bytes(), format!("another body than {body:?}"));
    }
    check(seen.method == case.request.method, format!("not `{}`", case.request.method));
}

/// An answer without what may differ between two refusals for the same reason.
fn anonymised(response: &Response) -> String {
    let id = response.value("x-request-id").unwrap_or("-");
    let kept = response.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date"));
    let fields: String = kept.map(|(name, value)| format!("{name}: {value}\n")).collect();
    let text = format!("{}\n{fields}\n{}", response.status, response.text());
    text.replace(id, "ID")
}
