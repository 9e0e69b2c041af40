//! A client that sends whatever HTTP/2 frames it is told, in order or out of it.

use std::net::SocketAddr;

use super::client::Client;
use super::pki::TRUSTED;
use super::wire::Wire;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
/// Of a whole request without a body.
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame, as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) content: Vec<u8>,
}

impl Frame {
    /// The error code of a reset or of a connection's end.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.content[at..at + 4].try_into().unwrap())
    }
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// A header block: every field as it is, without indexing and without compression.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(0, name, value)).collect()
}

/// One field, in the form that its first byte says: 0x00 stands alone, 0x40 enters the table.
pub(crate) fn literal(form: u8, name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let bytes: Vec<_> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        [length(bytes.len()), bytes].concat()
    };
    [vec![form], text(name), text(value)].concat()
}

/// A length of up to some thousand (RFC 7541, section 5.1).
fn length(length: usize) -> Vec<u8> {
    let byte = |value: usize| u8::try_from(value & 0xff).unwrap();
    match length.checked_sub(127) {
        None => vec![byte(length)],
        Some(rest) if rest < 128 => vec![127, byte(rest)],
        Some(rest) => vec![127, byte(rest & 0x7f | 0x80), byte(rest >> 7)],
    }
}

/// The four that a request has, and more.
pub(crate) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let own = [
        (":method", method),
        (":scheme", "https"),
        (":authority", "keygate.test"),
        (":path", path),
    ];
    block(&[&own[..], more].concat())
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer; its first header byte is all that is kept of its head.
    Answer(u8, String),
    Reset(u32),
    /// The connection ended, with a code if there was one.
    Ended(Option<u32>),
}

impl Outcome {
    /// The reason in an answer's body, `ok` for a 200, or how it was refused.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Answer(0x88, _) => "ok".to_owned(),
            Self::Answer(_, body) => {
                let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
                body["reason"].as_str().unwrap_or("no reason").to_owned()
            }
            Self::Reset(code) => format!("reset {code}"),
            Self::Ended(code) => format!("ended {}", code.map_or(-1, i64::from)),
        }
    }
}

/// One connection.
pub(crate) struct Frames {
    wire: Wire,
    /// Why the server ends the connection, once it said so.
    goaway: Option<u32>,
}

impl Frames {
    /// After an exchange of settings, with a window for all answers of a test together.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::greeted(Self::silent(address))
    }

    fn greeted(mut this: Self) -> Self {
        this.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        this.send(frame(WINDOW_UPDATE, 0, 0, &[0x40, 0, 0, 0]));
        this.send(frame(SETTINGS, ACK, 0, &[]));
        this
    }

    /// On a connection that asked for HTTP/2, after an exchange of settings.
    pub(crate) fn over(client: Client) -> Self {
        Self::greeted(Self { wire: client.wire, goaway: None })
    }

    /// After the TLS handshake.
    pub(crate) fn silent(address: SocketAddr) -> Self {
        let client = Client::tls_with(address, TRUSTED.client(&["h2"])).expect("a TLS handshake");
        Self { wire: client.wire, goaway: None }
    }

    /// Sends bytes; `false` once the server takes no more.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.write(bytes.as_ref()).is_ok()
    }

    /// Sends a request without a body.
    pub(crate) fn open(&mut self, stream: u32, block: &[u8]) -> bool {
        self.send(frame(HEADERS, WHOLE, stream, block))
    }

    /// The next frame that is no news of settings or windows; `None` once the connection is over.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            let head = self.take(9)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
            let content = self.take(usize::try_from(length).unwrap())?;
            let frame = Frame { kind: head[3], flags: head[4], stream, content };
            match frame.kind {
                GOAWAY => self.goaway = Some(frame.code()),
                SETTINGS | WINDOW_UPDATE => continue,
                _ => {}
            }
            return Some(frame);
        }
    }

    /// Reads what became of a stream; what comes for others is passed over.
    pub(crate) fn outcome(&mut self, stream: u32) -> Outcome {
        let mut answer = None;
        let mut body = Vec::new();
        while let Some(frame) = self.next() {
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                HEADERS if answer.is_none() => answer = frame.content.first().copied(),
                DATA => body.extend_from_slice(&frame.content),
                RST_STREAM => return Outcome::Reset(frame.code()),
                _ => {}
            }
            if frame.flags & END_STREAM != 0 && matches!(frame.kind, HEADERS | DATA) {
                let body = String::from_utf8_lossy(&body).into_owned();
                return Outcome::Answer(answer.expect("a head first"), body);
            }
        }
        Outcome::Ended(self.goaway)
    }

    /// One request without a body, and what became of it.
    pub(crate) fn ask(&mut self, stream: u32, block: &[u8]) -> Outcome {
        self.open(stream, block);
        self.outcome(stream)
    }

    /// Sends a PING and waits for its echo: all that was sent before has been seen then. `false`
    /// when the connection is over.
    pub(crate) fn synchronize(&mut self) -> bool {
        self.send(frame(PING, 0, 0, b"are you?"));
        while let Some(frame) = self.next() {
            if frame.kind == PING && frame.flags & ACK != 0 && frame.content == b"are you?" {
                return true;
            }
        }
        false
    }

    /// Reads to the end; the code with which the server ended the connection.
    pub(crate) fn ended(&mut self) -> Option<u32> {
        while self.next().is_some() {}
        self.goaway
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.wire.buffer.len() < count {
            match self.wire.fill() {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => {
                    use std::io::ErrorKind::{TimedOut, WouldBlock};
                    let late = matches!(error.kind(), WouldBlock | TimedOut);
                    assert!(!late, "the server says nothing and stays");
                    return None;
                }
            }
        }
        let rest = self.wire.buffer.split_off(count);
        Some(std::mem::replace(&mut self.wire.buffer, rest))
    }
}
