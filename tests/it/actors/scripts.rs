//! What an upstream does with a request, well or badly.

use std::sync::Arc;

use serde_json::json;

use super::Cue;
use super::origin::{After, Exchange};
use super::wire::text;

/// Answers with what arrived, as JSON.
pub(crate) fn echo(exchange: &mut Exchange<'_>) -> After {
    if !exchange.drain() {
        return After::Close;
    }
    let seen = &exchange.request;
    let body = json!({
        "method": seen.method,
        "path": seen.target,
        "headers": seen.fields,
        "body": text(&seen.body),
    })
    .to_string();
    let empty = seen.method == "HEAD";
    exchange.send(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
        body.len(),
        if empty { "" } else { &body }
    ));
    After::Keep
}

/// Answers with the given bytes, whatever they are.
pub(crate) fn fixed(
    bytes: impl Into<Vec<u8>>,
    after: fn() -> After,
) -> impl Fn(&mut Exchange<'_>) -> After {
    let bytes = bytes.into();
    move |exchange| {
        exchange.drain();
        exchange.send(&bytes);
        after()
    }
}

/// Never answers; notices when the other side leaves.
pub(crate) fn hang(exchange: &mut Exchange<'_>) -> After {
    exchange.drain();
    exchange.wait_gone();
    After::Close
}

/// Answers `ok` only when told.
pub(crate) fn hold(cue: &Arc<Cue>) -> impl Fn(&mut Exchange<'_>) -> After + use<> {
    let cue = Arc::clone(cue);
    move |exchange| {
        exchange.drain();
        cue.wait();
        exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        After::Keep
    }
}

/// Server-sent events until the other side leaves: one at once, then one every 20 ms.
pub(crate) fn events(exchange: &mut Exchange<'_>) -> After {
    exchange.drain();
    exchange.send(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    while exchange.send("9\r\ndata: x\n\n\r\n") {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    After::Close
}

/// Sends more than anyone buffers.
pub(crate) fn flood(exchange: &mut Exchange<'_>) -> After {
    exchange.drain();
    exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
    let piece = vec![b'x'; 1 << 20];
    while exchange.send(&piece) {}
    After::Close
}

/// Agrees to a WebSocket and sends every byte back; anything else it echoes.
pub(crate) fn websocket(exchange: &mut Exchange<'_>) -> After {
    if exchange.request.value("upgrade") != Some("websocket") {
        return echo(exchange);
    }
    exchange.send(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    );
    while let Some(bytes) = exchange.raw() {
        if !exchange.send(bytes) {
            break;
        }
    }
    After::Close
}
