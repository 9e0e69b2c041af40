#!/usr/bin/env python3
"""The API behind keygate in the manual: it says who is calling, and has a stream that never ends."""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/stream":
            return self.stream()
        told = {"path": self.path, "account": self.headers["X-Account-Id"]}
        told["key"] = self.headers["X-Key-Id"]
        if self.path == "/trace":
            told = {"traceparent": self.headers["traceparent"]}
        body = json.dumps(told).encode() + b"\n"
        time.sleep(2 if self.path == "/slow" else 0)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"5\r\ntick\n\r\n")
                self.wfile.flush()
                time.sleep(0.1)
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", 3000), Api).serve_forever()
