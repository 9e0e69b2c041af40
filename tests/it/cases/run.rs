//! Plays a file of cases: one upstream, one program, each case over each of its transports; and
//! asks the other judges what they say of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::file::{Case, CaseFile, Expect, Transport};
use super::judges::{Gate, Said, contradictions, explain, only_by_proxy, said, wire};
use super::logins::Logins;
use crate::actors::client::{Client, Response};
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
    let (path, sets) = (sidecar.path("keygate.toml"), setup.sets_in(sidecar.directory.path()));
    let gate = Gate::load(&path, &sets);
    let reports = explain(&path, &sets, &file.cases);
    let mut stage = Stage { sidecar, origin, answers: BTreeMap::new() };
    let mut failures = String::new();
    for (number, case) in file.cases.iter().enumerate() {
        let report = reports.get(&number);
        let mut all = Vec::new();
        for (at, &transport) in case.request.over.iter().enumerate() {
            let scene = stage.play(case, transport);
            all.extend(scene.failures.iter().map(|what| format!("({transport:?}): {what}")));
            let Some(report) = report else { continue };
            let ((by_gate, place), by_explain) = (gate.judge(case), said(report));
            if scene.said != by_gate || by_gate != by_explain {
                let by_proxy = &scene.said;
                all.push(format!(
                    "({transport:?}): the judges disagree: the proxy says `{by_proxy}`, the gate \
                     `{by_gate}`, explain `{by_explain}`"
                ));
            } else if at == 0 {
                all.extend(scene.belies(case, report));
                all.extend(contradictions(report));
                let route = &report["route"];
                let told = route["file"].as_str().map(|file| format!("{file}:{}", route["line"]));
                if told != place {
                    all.push(format!("explain says that the route is at {told:?}, not {place:?}"));
                }
            }
        }
        if let Some(report) = report {
            all.extend(file.leaked(&report.to_string()));
        }
        for failure in all {
            let _ = writeln!(failures, "{name}: {} {failure}", case.name);
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// How many cases of a file there are, and how many of them only the proxy judges.
pub(crate) fn census(file: &CaseFile) -> (usize, usize) {
    let skipped = file.cases.iter().filter(|case| only_by_proxy(case).is_some()).count();
    (file.cases.len(), skipped)
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

/// One case that was played over one transport.
struct Scene {
    failures: Vec<String>,
    said: Said,
    response: Response,
    arrived: Vec<Seen>,
}

impl Stage {
    fn play(&mut self, case: &Case, transport: Transport) -> Scene {
        let mut failures = Vec::new();
        let wanted = Said::expected(&case.expect);
        let (outcome, reason) = (wanted.outcome.as_str(), wanted.reason.as_deref());
        let counted = self.sidecar.counted(outcome, reason);
        let seen = self.origin.count();
        let response = self.ask(case, transport);
        judge(&case.expect, &response, &mut failures);
        let as_wanted = self.counts(outcome, reason, counted + 1);
        if !as_wanted {
            let log = self.sidecar.log.text();
            let last = log.lines().last().unwrap_or_default();
            failures.push(format!("not counted as {outcome} {reason:?}; last log line: {last}"));
        }
        let arrived = self.origin.requests().split_off(seen);
        let forwarded = ["forwarded", "shadow"].contains(&outcome);
        match (forwarded, arrived.as_slice()) {
            (true, [arrived]) => see(case, arrived, &mut failures),
            (false, []) => {}
            _ => failures.push(format!("{} requests reached the upstream", arrived.len())),
        }
        self.compare(case, transport, &response, &mut failures);
        let said = if as_wanted { wanted } else { self.logged(&response) };
        Scene { failures, said, response, arrived }
    }

    /// What the access log says of a request; what went through has no line by default.
    fn logged(&self, response: &Response) -> Said {
        let id = response.value("x-request-id").unwrap_or_default();
        let log = self.sidecar.log.text();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.find(|line| line["request_id"] == id && line["outcome"].is_string());
        let member = |name: &str| line.as_ref()?.get(name)?.as_str().map(str::to_owned);
        let outcome = member("outcome").unwrap_or_else(|| "let through".to_owned());
        Said { outcome, reason: member("reason") }
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
        client.send(wire(case));
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

impl Scene {
    /// In what an explanation differs from the answer that came, and from what the upstream saw.
    fn belies(&self, case: &Case, report: &Value) -> Vec<String> {
        let mut failures = Vec::new();
        let mut same = |what: &str, told: &Value, came: Value| {
            if *told != came {
                failures.push(format!("explain tells the {what} {told}, and it is {came}"));
            }
        };
        let answer = &report["answer"];
        if !report["status"].is_null() {
            same("status", &report["status"], self.response.status.into());
        }
        if answer.is_object() {
            let id = self.response.value("x-request-id").unwrap_or_default();
            same("body", &answer["body"], self.response.text().replace(id, "…").into());
            let kind = self.response.value("content-type").unwrap_or_default();
            same("content type", &answer["content_type"], kind.into());
            let challenges = self.response.values("www-authenticate");
            same("challenges", &answer["challenges"], challenges.into());
        }
        let told = report["upstream"].as_object();
        for (name, value) in told.into_iter().flatten() {
            let seen: Vec<_> = self.arrived.iter().flat_map(|seen| seen.values(name)).collect();
            if [value.as_str().unwrap_or_default()] != *seen {
                failures
                    .push(format!("explain tells `{name}: {value}`, the upstream saw {seen:?}"));
            }
        }
        let identity = case.upstream.sees.iter().filter(|field| field.starts_with("X-Account-Id"));
        if identity.count() > 0 && told.is_none_or(|told| !told.contains_key("x-account-id")) {
            failures.push("explain tells no identity".to_owned());
        }
        failures
    }
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
