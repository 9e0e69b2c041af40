//! What is answered to which path.

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};

use crate::observe::Exposition;

use super::State;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// The answer to a request, whose body does not matter. HEAD gets the head of what GET gets; the
/// connection leaves the body away.
pub(super) fn answer<B>(request: &Request<B>, state: &State) -> Response<Bytes> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET and HEAD only\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/livez" => respond(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => readiness(state),
        "/version" => {
            let version =
                concat!(r#"{"name":"keygate","version":""#, env!("CARGO_PKG_VERSION"), "\"}\n");
            respond(StatusCode::OK, JSON, version)
        }
        "/metrics" => metrics(request.headers(), state),
        _ => respond(StatusCode::NOT_FOUND, TEXT, "not found\n"),
    }
}

fn readiness(state: &State) -> Response<Bytes> {
    let status = (state.status)();
    let code = if status.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_string(&status) {
        Ok(body) => respond(code, JSON, body),
        Err(error) => respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, error.to_string()),
    }
}

fn metrics(headers: &HeaderMap, state: &State) -> Response<Bytes> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let exposition = Exposition::accepted(accept);
    state.metrics.set_occupancy((state.occupancy)());
    respond(StatusCode::OK, exposition.content_type(), state.metrics.render(exposition))
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::observe::Metrics;
    use crate::observe::Occupancy;
    use crate::observe::Status;

    fn state(status: impl Fn() -> Status + Send + Sync + 'static) -> State {
        let occupancy = || Occupancy { ready: true, ..Occupancy::default() };
        State { metrics: Metrics::new(), status: Arc::new(status), occupancy: Arc::new(occupancy) }
    }

    fn ask(method: Method, path: &str, status: Status) -> Response<Bytes> {
        let state = state(move || status.clone());
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        answer(&request, &state)
    }

    fn get(path: &str) -> Response<Bytes> {
        ask(Method::GET, path, Status::default())
    }

    #[test]
    fn readiness_has_the_documented_members_in_both_states() {
        let ready = Status {
            ready: true,
            draining: false,
            generation: 2,
            digest: "abc".into(),
            keys: 3,
            accounts: 1,
            loaded_at: Some("2026-11-22T10:00:00Z".into()),
            error: None,
        };
        let response = ask(Method::GET, "/readyz", ready.clone());
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[CONTENT_TYPE], JSON);
        assert_eq!(
            *response.body(),
            concat!(
                r#"{"ready":true,"draining":false,"generation":2,"digest":"abc","keys":3,"#,
                r#""accounts":1,"loaded_at":"2026-11-22T10:00:00Z","error":null}"#
            )
        );
        let draining = Status { ready: false, draining: true, ..ready };
        assert_eq!(ask(Method::GET, "/readyz", draining).status(), 503);
    }

    #[test]
    fn liveness_does_not_depend_on_readiness() {
        assert_eq!(get("/livez").status(), 200);
        assert_eq!(get("/readyz").status(), 503);
    }

    #[test]
    fn the_version_is_the_packages() {
        let version: serde_json::Value = serde_json::from_slice(get("/version").body()).unwrap();
        assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn metrics_come_in_the_format_that_is_asked_for() {
        let plain = get("/metrics");
        assert_eq!(plain.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
        let state = state(Status::default);
        let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
        let request = Request::get("/metrics").header(ACCEPT, accept).body(()).unwrap();
        let open = answer(&request, &state);
        assert!(open.body().ends_with(b"# EOF\n"));
        // What is shared is looked at for each answer.
        let text = String::from_utf8(plain.body().to_vec()).unwrap();
        assert!(text.contains("\nkeygate_ready 1\n"), "{text}");
    }

    #[test]
    fn nothing_else_is_there_and_nothing_can_be_changed() {
        assert_eq!(get("/").status(), 404);
        assert_eq!(get("/metrics/").status(), 404);
        let response = ask(Method::POST, "/readyz", Status::default());
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()[ALLOW], "GET, HEAD");
    }
}
