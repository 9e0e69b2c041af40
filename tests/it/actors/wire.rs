//! HTTP/1.1 byte by byte, for both ends: nothing is normalised, nothing is forgiven.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A byte stream that can be given up on.
pub(crate) trait Socket: Read + Write + Send {
    fn patience(&self, limit: Duration);
    fn hang_up(&mut self);
    /// Forgets what the other side did not take, or nothing could be read before it did.
    fn forget(&mut self) {}
}

impl Socket for TcpStream {
    fn patience(&self, limit: Duration) {
        self.set_read_timeout(Some(limit)).unwrap();
        self.set_write_timeout(Some(limit)).unwrap();
    }

    fn hang_up(&mut self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Socket for UnixStream {
    fn patience(&self, limit: Duration) {
        self.set_read_timeout(Some(limit)).unwrap();
        self.set_write_timeout(Some(limit)).unwrap();
    }

    fn hang_up(&mut self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Socket for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    fn patience(&self, limit: Duration) {
        self.sock.patience(limit);
    }

    fn hang_up(&mut self) {
        self.conn.send_close_notify();
        let _ = self.flush();
        self.sock.hang_up();
    }
}

impl Socket for rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    fn patience(&self, limit: Duration) {
        self.sock.patience(limit);
    }

    fn hang_up(&mut self) {
        self.conn.send_close_notify();
        let _ = self.flush();
        self.sock.hang_up();
    }

    fn forget(&mut self) {
        while self.conn.wants_write() {
            self.conn.write_tls(&mut io::sink()).unwrap();
        }
    }
}

/// Header fields as they stood on the wire, in order.
pub(crate) type Fields = Vec<(String, String)>;

/// The values of a name, whatever its case.
pub(crate) fn values<'f>(fields: &'f Fields, name: &str) -> Vec<&'f str> {
    let same = |field: &&'f (String, String)| field.0.eq_ignore_ascii_case(name);
    fields.iter().filter(same).map(|(_, value)| value.as_str()).collect()
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    ToClose,
}

impl Framing {
    pub(crate) fn of(fields: &Fields, otherwise: Self) -> Self {
        if values(fields, "transfer-encoding").iter().any(|v| v.eq_ignore_ascii_case("chunked")) {
            return Self::Chunked;
        }
        match values(fields, "content-length").first() {
            Some(length) => Self::Length(length.parse().expect("a length")),
            None => otherwise,
        }
    }
}

/// What came next of a body.
pub(crate) enum Piece {
    Data(Vec<u8>),
    End(Fields),
    /// The other side left, or wrote what is not HTTP, before the end.
    Cut,
}

/// A connection with what was read of it and not yet used.
pub(crate) struct Wire {
    pub(crate) socket: Box<dyn Socket>,
    pub(crate) buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(socket: Box<dyn Socket>) -> Self {
        Self { socket, buffer: Vec::new() }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.socket.write_all(bytes).and_then(|()| self.socket.flush());
        if written.is_err() {
            self.socket.forget();
        }
        written
    }

    /// Reads once; `0` at the end of the stream.
    pub(crate) fn fill(&mut self) -> io::Result<usize> {
        let mut piece = vec![0; 64 * 1024];
        let count = self.socket.read(&mut piece)?;
        self.buffer.extend_from_slice(&piece[..count]);
        Ok(count)
    }

    /// Everything up to and with the empty line that ends a head; `None` when the stream ends
    /// before anything came.
    pub(crate) fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                return Ok(Some(self.take(at + 4)));
            }
            if self.fill()? == 0 {
                return match self.buffer.len() {
                    0 => Ok(None),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// The next piece of a body; updates what is left of it.
    pub(crate) fn piece(&mut self, left: &mut Framing) -> io::Result<Piece> {
        match *left {
            Framing::Length(0) => Ok(Piece::End(Vec::new())),
            Framing::Length(count) => {
                if self.buffer.is_empty() && self.fill()? == 0 {
                    return Ok(Piece::Cut);
                }
                let data = self.take(usize::try_from(count).unwrap().min(self.buffer.len()));
                *left = Framing::Length(count - data.len() as u64);
                Ok(Piece::Data(data))
            }
            Framing::ToClose => {
                if self.buffer.is_empty() && self.fill()? == 0 {
                    return Ok(Piece::End(Vec::new()));
                }
                Ok(Piece::Data(self.take(self.buffer.len())))
            }
            Framing::Chunked => self.chunk(),
        }
    }

    fn chunk(&mut self) -> io::Result<Piece> {
        let Some(line) = self.line()? else { return Ok(Piece::Cut) };
        let Ok(size) = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16)
        else {
            return Ok(Piece::Cut);
        };
        if size == 0 {
            let mut trailers = Vec::new();
            loop {
                match self.line()? {
                    None => return Ok(Piece::Cut),
                    Some(line) if line.is_empty() => return Ok(Piece::End(trailers)),
                    Some(line) => trailers.extend(field(&line)),
                }
            }
        }
        while self.buffer.len() < size + 2 {
            if self.fill()? == 0 {
                return Ok(Piece::Cut);
            }
        }
        let mut data = self.take(size + 2);
        if data.split_off(size) != b"\r\n" {
            return Ok(Piece::Cut);
        }
        Ok(Piece::Data(data))
    }

    fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let mut line = self.take(at + 2);
                line.truncate(at);
                return Ok(Some(text(&line)));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }
}

/// The first line and the fields of a head.
pub(crate) fn parse_head(head: &[u8]) -> (String, Fields) {
    let head = text(head);
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    (first, lines.filter_map(field).collect())
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_owned(), value.trim().to_owned()))
}

/// Bytes as text, each byte that is not ASCII as the character of its number.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
