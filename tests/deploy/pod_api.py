"""An API for a pod: it tells which key came, and takes as long as it is asked to.

    python pod_api.py 127.0.0.1:3000
    python pod_api.py unix:/run/app/app.sock
"""

import os
import socket
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one

    def do_GET(self):
        seconds = parse_qs(urlsplit(self.path).query).get("seconds", ["0"])[0]
        time.sleep(float(seconds))
        body = self.headers.get("X-Key-Id", "nobody").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "keygate"

    def log_message(self, *arguments):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


if __name__ == "__main__":
    at = sys.argv[1]
    if at.startswith("unix:"):
        path = at.removeprefix("unix:")
        if os.path.exists(path):
            os.unlink(path)
        Server.address_family = socket.AF_UNIX
        Server(path, Api).serve_forever()
    host, port = at.split(":")
    Server((host, int(port)), Api).serve_forever()
