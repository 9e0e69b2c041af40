//! Spans as OTLP has them, with the attributes of OpenTelemetry's conventions for HTTP servers.

use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Otlp, Status};

use crate::observe::Span;

/// A batch, of the service that we are.
pub(super) fn request(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let name = env!("CARGO_PKG_NAME").to_owned();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let attributes =
        vec![text("service.name", service.to_owned()), text("service.version", version.clone())];
    let scope = InstrumentationScope { name, version, ..InstrumentationScope::default() };
    let spans = spans.into_iter().map(span).collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

fn span(span: Span) -> Otlp {
    let method = span.texts.iter().find(|(name, _)| *name == "http.request.method");
    let method = method.map_or("HTTP", |(_, method)| method);
    Otlp {
        trace_id: span.trace.trace_id.map(u64::to_be_bytes).concat(),
        span_id: span.trace.span_id.to_be_bytes().to_vec(),
        parent_span_id: match span.trace.parent_id {
            0 => Vec::new(),
            parent => parent.to_be_bytes().to_vec(),
        },
        name: format!("{method} {}", span.route),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: nanoseconds(span.began),
        end_time_unix_nano: nanoseconds(span.ended),
        status: span
            .failed
            .then(|| Status { message: span.reason.to_owned(), code: StatusCode::Error.into() }),
        attributes: attributes(span),
        ..Otlp::default()
    }
}

fn attributes(span: Span) -> Vec<KeyValue> {
    let mut all: Vec<_> = span.texts.into_iter().map(|(name, value)| text(name, value)).collect();
    all.push(text("http.route", span.route.to_string()));
    all.push(text("keygate.outcome", span.outcome.as_str().to_owned()));
    if let Some(status) = span.status {
        all.push(attribute("http.response.status_code", Value::IntValue(status.into())));
    }
    if !span.reason.is_empty() {
        all.push(text("keygate.reason", span.reason.to_owned()));
    }
    if span.failed {
        let status = || span.status.map_or_else(String::new, |status| status.to_string());
        let kind = if span.reason.is_empty() { status() } else { span.reason.to_owned() };
        all.push(text("error.type", kind));
    }
    let durations = [("keygate.overhead", span.overhead), ("keygate.upstream", span.upstream)];
    for (name, duration) in durations {
        let seconds = duration.map(|duration| Value::DoubleValue(duration.as_secs_f64()));
        all.extend(seconds.map(|seconds| attribute(name, seconds)));
    }
    let sent = i64::try_from(span.sent).unwrap_or(i64::MAX);
    all.push(attribute("http.response.body.size", Value::IntValue(sent)));
    all
}

fn text(name: &str, value: String) -> KeyValue {
    attribute(name, Value::StringValue(value))
}

fn attribute(name: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: name.to_owned(), value, ..KeyValue::default() }
}

fn nanoseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or(0)
}
