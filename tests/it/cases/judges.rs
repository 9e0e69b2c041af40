//! Who else judges a case besides the proxy: the gate in this process, and `keygate explain`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderName, HeaderValue, Method, Request, Uri};
use keygate::config;
use keygate::gate::{Check, Denial, Endpoint, Step, Transport as Way, decide};
use keygate::live::World;
use keygate::observe::Metrics;
use keygate::proxy::{Intake, flaw};
use serde_json::Value;

use super::file::{Case, Expect, Transport};
use crate::actors::client::head;

/// What became of a request, by somebody's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) outcome: String,
    pub(crate) reason: Option<String>,
}

impl Said {
    pub(crate) fn new(outcome: &str, reason: Option<&str>) -> Self {
        Self { outcome: outcome.to_owned(), reason: reason.map(str::to_owned) }
    }

    /// What a case expects.
    pub(crate) fn expected(expect: &Expect) -> Self {
        let usual = if expect.reason.is_some() { "refused" } else { "forwarded" };
        Self::new(expect.outcome.as_deref().unwrap_or(usual), expect.reason.as_deref())
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{} {reason}", self.outcome),
            None => f.write_str(&self.outcome),
        }
    }
}

/// Why only the proxy can judge a case; this is the one place that says so.
///
/// What is decided by other requests, by the upstream or by the clock is no question of policy:
/// whoever has only the request cannot know it. A message that HTTP/1 cannot carry cannot be
/// described either.
pub(crate) fn only_by_proxy(case: &Case) -> Option<&'static str> {
    match case.expect.reason.as_deref() {
        Some("too_many_in_flight" | "rate_limited" | "overloaded") => Some("other requests"),
        Some("upstream_unreachable" | "upstream_timeout") => Some("the upstream"),
        Some("request_timeout") => Some("the clock"),
        _ if case.request.over.iter().all(|over| *over == Transport::Https2) => Some("HTTP/2"),
        _ => None,
    }
}

/// A case's request as HTTP/1.1 has it.
pub(crate) fn wire(case: &Case) -> Vec<u8> {
    let ask = &case.request;
    let length = format!("Content-Length: {}", ask.body.len());
    let mut fields: Vec<&str> = ask.headers.iter().map(String::as_str).collect();
    if !ask.body.is_empty() {
        fields.push(&length);
    }
    let mut bytes = head(&ask.method, &ask.target, &fields);
    bytes.extend_from_slice(ask.body.as_bytes());
    bytes
}

fn is_plain(case: &Case) -> bool {
    case.request.over.first() == Some(&Transport::Http)
}

/// The gate, in this process, on the files that the program was given.
pub(crate) struct Gate(World);

impl Gate {
    pub(crate) fn load(path: &Path, sets: &[String]) -> Self {
        let loaded = config::load(path, sets, keygate::clock::now());
        let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.problems.lines()));
        let keyring = config::load_keys(&config.keys, None);
        let keys = keyring.keys.unwrap_or_else(|| panic!("{:?}", keyring.problems.lines()));
        Self(World::new(&config, keys, &keyring.revocations, 1, &Metrics::new()))
    }

    /// Judges by the same steps as the proxy, without its waiting. Also tells the place of the
    /// route.
    pub(crate) fn judge(&self, case: &Case) -> (Said, Option<String>) {
        let bytes = wire(case);
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut head = httparse::Request::new(&mut fields);
        let length = head.parse(&bytes).expect("a request").unwrap();
        let mut parts = Request::new(()).into_parts().0;
        let target = head.path.unwrap();
        parts.method = Method::from_bytes(head.method.unwrap().as_bytes()).unwrap();
        parts.uri = Uri::try_from(target.as_bytes()).expect("a target");
        for field in head.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes()).unwrap();
            parts.headers.append(name, HeaderValue::from_bytes(field.value).unwrap());
        }
        let (world, body) = (&self.0, &bytes[length..]);
        let peer = IpAddr::from(Ipv4Addr::LOCALHOST);
        let intake = Intake::of(&parts, peer, world.trusted_proxies(), flaw(&bytes[..length]));
        let way = if is_plain(case) { Way::Plain } else { Way::Tls };
        let facts = intake.facts(&parts, way, !body.is_empty());
        let (snapshot, now) = (world.snapshot(), keygate::clock::now());
        let verdict = decide(&facts, snapshot, now);
        let route = verdict.route.and_then(|route| snapshot.routes().get(route));
        let route = route.filter(|route| intake.host.is_ok() && &*route.place != "default");
        let place = route.map(|route| route.place.to_string());
        let step = match (verdict.outcome, &intake.host) {
            (Err(Denial::InsecureTransport), _) => Err(Denial::InsecureTransport),
            (_, Err(denial)) => Err(*denial),
            (Err(denial), Ok(_)) => Err(denial),
            (Ok(_), Ok(_)) if parts.method == Method::CONNECT => Err(Denial::MalformedRequest),
            (Ok(step), Ok(_)) => Ok(step),
        };
        let shadow = match step {
            Err(denial) => Err(denial),
            Ok(Step::Grant(_)) => Ok(verdict.shadow),
            Ok(Step::Inspect(inspection)) => {
                let judged = inspection.judge(Ok(body), snapshot);
                judged.outcome.map(|_| judged.shadow)
            }
            Ok(Step::Answer(endpoint)) => {
                let small = body.len() <= Endpoint::MOST;
                let body = small.then_some(body).ok_or(Denial::BodyTooLarge);
                match endpoint.answer(&facts, body, snapshot, now, [7; 16]).outcome {
                    Ok(_) => return (Said::new("minted", None), place),
                    Err(denial) => Err(denial),
                }
            }
        };
        let said = match shadow {
            Ok(Some(denial)) => Said::new("shadow", Some(denial.name())),
            Ok(None) => Said::new("forwarded", None),
            Err(denial) => Said::new("refused", Some(denial.name())),
        };
        (said, place)
    }
}

/// What `keygate explain` says of each case, by the case's number; a process each.
pub(crate) fn explain(path: &Path, sets: &[String], cases: &[Case]) -> BTreeMap<usize, Value> {
    const THREADS: usize = 3;
    let (next, said) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(number) else { break };
                    if only_by_proxy(case).is_none() {
                        let report = ask(path, sets, case);
                        said.lock().unwrap().insert(number, report);
                    }
                }
            });
        }
    });
    said.into_inner().unwrap()
}

fn ask(path: &Path, sets: &[String], case: &Case) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
    command.args(["explain", "--json", "--request", "-", "--config"]).arg(path);
    command.args(sets.iter().flat_map(|set| ["--set", set.as_str()]));
    if is_plain(case) {
        command.arg("--plain");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.current_dir("/").spawn().unwrap();
    child.stdin.take().unwrap().write_all(&wire(case)).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let refused = report["outcome"] == "refused";
    match output.status.code() {
        Some(0) if !refused && complaint.is_empty() => report,
        Some(1) if refused && complaint.is_empty() => report,
        code => serde_json::json!({ "outcome": format!("exit code {code:?}: {complaint}") }),
    }
}

/// What a report of `keygate explain` comes to.
pub(crate) fn said(report: &Value) -> Said {
    Said::new(report["outcome"].as_str().unwrap_or_default(), report["reason"].as_str())
}

/// What in a report contradicts itself: there is one check that refused, those before it did not,
/// those after it were not reached, and what it says has words and a place.
pub(crate) fn contradictions(report: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let checks: Vec<_> = report["checks"].as_array().into_iter().flatten().collect();
    let state = |check: &Value| check["state"].as_str().unwrap_or_default().to_owned();
    let names: Vec<_> = checks.iter().map(|check| check["name"].as_str()).collect();
    let all: Vec<_> = Check::ALL.iter().map(|check| Some(check.name())).collect();
    if names != all {
        wrong.push(format!("explain lists the checks {names:?}"));
    }
    let refusals: Vec<_> =
        checks.iter().enumerate().filter(|(_, check)| state(check) == "refused").collect();
    match (report["reason"].is_string(), refusals.as_slice()) {
        (false, []) => {}
        (true, [(at, refused)]) => {
            let after = checks.iter().skip(at + 1);
            if after.clone().any(|check| !["not_reached", "not_asked"].contains(&&*state(check))) {
                wrong.push("explain judges on after a refusal".to_owned());
            }
            let form = names.iter().position(|name| *name == Some("credential_form")).unwrap();
            if refused["detail"] == "" || (*at > form && refused["file"].is_null()) {
                wrong.push(format!("explain does not say why, or where: {refused}"));
            }
        }
        (_, refusals) => wrong.push(format!("explain refuses at {} checks", refusals.len())),
    }
    if checks.iter().any(|check| state(check) == "passed" && check["detail"] == "") {
        wrong.push(format!("explain does not say what passed: {report:#}"));
    }
    wrong
}
