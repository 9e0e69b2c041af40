"""A client and an API that do the same things in the same order each time."""

import socket
import ssl
import struct
import threading

ANSWER = (b"HTTP/1.1 200 OK\r\nServer: api\r\nDate: Sun, 22 Nov 2026 09:00:00 GMT\r\n"
          b"Content-Type: application/json\r\nContent-Length: 15\r\n\r\n" b'{"name":"mill"}')
FIELDS = [("user-agent", "curl/8.9.1"), ("accept", "*/*"), ("accept-encoding", "gzip, deflate, br")]


def api():
    """An HTTP/1.1 API on loopback that answers alike; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(stream):
        got = b""
        while more := stream.recv(65536):
            got += more
            while b"\r\n\r\n" in got:
                got = got.partition(b"\r\n\r\n")[2]
                stream.sendall(ANSWER)

    def accept():
        while True:
            stream, _ = listener.accept()
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(stream,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def connect(port, certificate=None, protocol="http/1.1"):
    """A connection, by TLS where there is a certificate to trust."""
    stream = socket.create_connection(("127.0.0.1", port), timeout=60)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if certificate:
        tls = ssl.create_default_context(cafile=certificate)
        tls.check_hostname = False
        tls.set_alpn_protocols([protocol])
        stream = tls.wrap_socket(stream)
    return stream


class Http1:
    """Requests one after another on one connection."""

    def __init__(self, stream):
        self.stream = stream

    def ask(self, key):
        """A request; its status."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in
                         [("host", "127.0.0.1:8443"), ("authorization", f"Bearer {key}"), *FIELDS])
        self.stream.sendall(f"GET /things/17?full=1 HTTP/1.1\r\n{fields}\r\n".encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += self.more()
        head, _, body = got.partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length:"))
        while len(body) < length:
            body += self.more()
        return int(lines[0].split()[1])

    def more(self):
        """Bytes, of which there must be some."""
        got = self.stream.recv(65536)
        if not got:
            raise RuntimeError("the connection ended")
        return got


class Http2:
    """The same over HTTP/2 (RFC 9113), with header blocks that refer to nothing (RFC 7541)."""

    DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
    END_STREAM, END_HEADERS, ACK = 1, 4, 1

    def __init__(self, stream):
        self.stream, self.number = stream, 1
        stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(self.SETTINGS, 0, 0, b"")
                       + self.frame(self.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))

    @staticmethod
    def frame(kind, flags, stream, payload):
        """The bytes of a frame."""
        return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload

    @staticmethod
    def literal(name, value):
        """A field, whole, never to be indexed (RFC 7541, section 6.2.3)."""
        def text(said):
            assert len(said) < 127
            return bytes([len(said)]) + said.encode()
        return b"\x10" + text(name) + text(value)

    def exactly(self, length):
        """So many bytes."""
        got = b""
        while len(got) < length:
            more = self.stream.recv(length - len(got))
            if not more:
                raise RuntimeError("the connection ended")
            got += more
        return got

    def ask(self, key):
        """A request; 200, or another status by its place in the static table, or 0."""
        fields = [(":method", "GET"), (":scheme", "https"), (":path", "/things/17?full=1"),
                  (":authority", "127.0.0.1:8443"), ("authorization", f"Bearer {key}"), *FIELDS]
        block = b"".join(self.literal(*field) for field in fields)
        mine, self.number = self.number, self.number + 2
        self.stream.sendall(self.frame(self.HEADERS, self.END_STREAM | self.END_HEADERS, mine, block))
        status = None
        while True:
            head = self.exactly(9)
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream, payload = int.from_bytes(head[5:], "big"), self.exactly(length)
            if kind == self.SETTINGS and not flags & self.ACK:
                self.stream.sendall(self.frame(self.SETTINGS, self.ACK, 0, b""))
            elif kind == self.PING and not flags & self.ACK:
                self.stream.sendall(self.frame(self.PING, self.ACK, 0, payload))
            elif kind == self.HEADERS and stream == mine:
                # `:status: 200` is entry 8 of the static table; 401 is not in it.
                status = 200 if payload[0] == 0x88 else 401
            if stream == mine and kind in (self.HEADERS, self.DATA) and flags & self.END_STREAM:
                return status
