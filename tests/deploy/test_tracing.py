"""Spans reach a collector by OTLP, and stand in the traces that clients and upstream know.

`KEYGATE_OTLP` names a binary that was built with the feature, `KEYGATE_STATIC` one without it.
"""

import http.client
import json
import os
import queue
import ssl
import subprocess
import tempfile
import threading
import unittest
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest, ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from containers import PATIENCE, eventually, run

BINARY = os.environ.get("KEYGATE_OTLP") and str(Path(os.environ["KEYGATE_OTLP"]).resolve())
KEY = "a-key-of-acme-0123456789abcdef"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

KEYS = f"""
[[account]]
id = "acme"
[[key]]
id = "key_acme"
account = "acme"
digest = "sha256:{sha256(KEY.encode()).hexdigest()}"
"""

CONFIG = """
[listen]
https = "127.0.0.1:0"
admin = "127.0.0.1:0"
[tls]
certificate = "tls/server.crt"
private_key = "tls/server.key"
[upstream]
url = "http://127.0.0.1:{upstream}"
[tracing]
endpoint = "{scheme}://localhost:{collector}"
service = "gate-of-acme"
{more}
[[route]]
path = "/things/{{id}}"
[[route]]
path = "/late"
timeout = "50ms"
"""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Whoever was too late has been left."""

    @property
    def port(self):
        return self.server_address[1]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Api(Handler):
    def do_GET(self):
        if self.path == "/late":
            threading.Event().wait(0.3)
        self.answer(200, json.dumps(self.headers["traceparent"]).encode())


class Collect(Handler):
    """Notes every span, unless it is told to answer something else first."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces", self.path
        assert self.headers["Content-Type"] == "application/x-protobuf"
        refusal = self.server.refusals.get_nowait() if not self.server.refusals.empty() else None
        if refusal:
            self.answer(refusal)
            return
        for of in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = attributes(of.resource)
            for scope in of.scope_spans:
                for span in scope.spans:
                    self.server.spans.put((resource, span))
        answer = ExportTraceServiceResponse().SerializeToString()
        self.answer(200, answer, "application/x-protobuf")


def attributes(of):
    values = {}
    for each in of.attributes:
        kind = each.value.WhichOneof("value")
        values[each.key] = getattr(each.value, kind)
    return values


def serve(handler, tls=None):
    server = Server(("127.0.0.1", 0), handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.spans, server.refusals = queue.Queue(), queue.Queue()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Scene:
    """keygate between an API and a collector."""

    def __init__(self, case, secure=False, more=""):
        held = tempfile.TemporaryDirectory()
        case.addCleanup(held.cleanup)
        self.directory = Path(held.name)
        run(BINARY, "init", "--preset", "minimal", "--self-signed", self.directory)
        tls = (self.directory / "tls/server.crt", self.directory / "tls/server.key")
        self.api, self.collector = serve(Api), serve(Collect, tls if secure else None)
        for server in (self.api, self.collector):
            case.addCleanup(server.server_close)
            case.addCleanup(server.shutdown)
        if secure:
            more += 'ca = "tls/server.crt"'
        (self.directory / "keygate.toml").write_text(CONFIG.format(
            upstream=self.api.port, collector=self.collector.port, more=more,
            scheme="https" if secure else "http"))
        (self.directory / "keys.toml").write_text(KEYS)
        self.process = subprocess.Popen(
            [BINARY, "run", "--config", self.directory / "keygate.toml"],
            stderr=subprocess.PIPE, text=True)
        case.addCleanup(self.end)
        lines = queue.Queue()
        threading.Thread(target=self.read, args=[lines], daemon=True).start()
        listening = json.loads(lines.get(timeout=PATIENCE))
        self.https = int(listening["https"].rsplit(":", 1)[1])
        self.admin = listening["admin"]
        self.trust = ssl.create_default_context(cafile=tls[0])

    def read(self, lines):
        for line in self.process.stderr:
            if '"listening"' in line:
                lines.put(line)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def ask(self, path="/things/7", key=KEY, **fields):
        client = http.client.HTTPSConnection("localhost", self.https, context=self.trust)
        fields = {"Connection": "close", **fields}
        if key:
            fields["Authorization"] = f"Bearer {key}"
        client.request("GET", path, headers=fields)
        answer = client.getresponse()
        body = answer.read()
        client.close()
        return answer.status, json.loads(body)

    def span(self):
        return self.collector.spans.get(timeout=PATIENCE)

    def metric(self, series):
        with urlopen(f"http://{self.admin}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return float(next(line.split()[-1] for line in lines if line.startswith(series + " ")))


def traceparent(sampled=True):
    return f"00-{TRACE}-{CALLER}-0{int(sampled)}"


@unittest.skipUnless(BINARY, "`KEYGATE_OTLP` names no binary with the feature `otlp`")
class Sent(unittest.TestCase):
    def test_a_span_stands_between_the_client_and_the_upstream(self):
        scene = Scene(self)
        status, told = scene.ask("/things/7?token=secret", traceparent=traceparent())
        self.assertEqual(status, 200)
        resource, span = scene.span()
        self.assertEqual(resource["service.name"], "gate-of-acme")
        self.assertEqual(span.trace_id.hex(), TRACE)
        self.assertEqual(span.parent_span_id.hex(), CALLER)
        # The upstream was told that this span is its parent.
        self.assertEqual(told[:52], f"00-{TRACE}-{span.span_id.hex()}")
        self.assertEqual(span.name, "GET /things/{id}")
        self.assertEqual(span.kind, Span.SPAN_KIND_SERVER)
        self.assertEqual(span.status.code, Status.STATUS_CODE_UNSET)
        said = attributes(span)
        for name, value in {
            "http.request.method": "GET", "url.path": "/things/7", "url.scheme": "https",
            "http.route": "/things/{id}", "http.response.status_code": 200,
            "network.protocol.version": "1.1", "client.address": "127.0.0.1",
            "keygate.outcome": "forwarded", "keygate.key": "key_acme", "keygate.account": "acme",
        }.items():
            self.assertEqual(said[name], value, name)
        self.assertLess(0, said["keygate.overhead"])
        self.assertLess(0, said["keygate.upstream"])
        self.assertLess(span.start_time_unix_nano, span.end_time_unix_nano)
        self.assertNotIn("secret", str(span))
        self.assertNotIn(KEY, str(span))

    def test_a_trace_that_begins_here_has_no_parent(self):
        scene = Scene(self)
        _, told = scene.ask()
        _, span = scene.span()
        self.assertEqual(span.parent_span_id, b"")
        self.assertEqual(told[:52], f"00-{span.trace_id.hex()}-{span.span_id.hex()}")

    def test_what_is_not_sampled_is_not_sent(self):
        scene = Scene(self)
        scene.ask(traceparent=traceparent(sampled=False))
        scene.ask("/things/8", traceparent=traceparent())
        _, span = scene.span()
        self.assertEqual(attributes(span)["url.path"], "/things/8")
        eventually(lambda: scene.metric("keygate_spans_exported_total") == 1, "one span")

    def test_a_refusal_has_its_reason_and_a_failure_is_one(self):
        scene = Scene(self)
        self.assertEqual(scene.ask(key=None)[0], 401)
        _, span = scene.span()
        said = attributes(span)
        self.assertEqual(said["keygate.outcome"], "refused")
        self.assertEqual(said["keygate.reason"], "no_credential")
        # What a client does wrong is no error of a server.
        self.assertEqual(span.status.code, Status.STATUS_CODE_UNSET)
        self.assertEqual(scene.ask("/late")[0], 504)
        _, span = scene.span()
        said = attributes(span)
        self.assertEqual(said["error.type"], "upstream_timeout")
        self.assertEqual(said["http.response.status_code"], 504)
        self.assertEqual(span.status.code, Status.STATUS_CODE_ERROR)

    def test_a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not(self):
        scene = Scene(self)
        scene.collector.refusals.put(503)
        scene.ask("/things/again")
        _, span = scene.span()
        self.assertEqual(attributes(span)["url.path"], "/things/again")
        scene.collector.refusals.put(400)
        scene.ask("/things/never")
        lost = 'keygate_spans_dropped_total{reason="collector"}'
        eventually(lambda: scene.metric(lost) == 1, "the span to be lost")
        scene.ask("/things/after")
        _, span = scene.span()
        self.assertEqual(attributes(span)["url.path"], "/things/after")

    def test_what_is_queued_at_the_end_is_sent(self):
        scene = Scene(self)
        for number in range(20):
            scene.ask(f"/things/{number}")
        scene.process.terminate()
        self.assertEqual(scene.process.wait(PATIENCE), 0)
        paths = {attributes(scene.span()[1])["url.path"] for _ in range(20)}
        self.assertEqual(len(paths), 20)

    def test_a_collector_may_be_reached_by_tls(self):
        scene = Scene(self, secure=True)
        scene.ask()
        _, span = scene.span()
        self.assertEqual(span.name, "GET /things/{id}")

    def test_nobody_waits_for_a_collector_that_is_not_there(self):
        scene = Scene(self)
        scene.collector.shutdown()
        scene.collector.server_close()
        for _ in range(20):
            self.assertEqual(scene.ask()[0], 200)


class NotBuilt(unittest.TestCase):
    def test_a_binary_that_cannot_send_spans_says_how_to_get_one_that_can(self):
        binary = Path(os.environ["KEYGATE_STATIC"]).resolve()
        with tempfile.TemporaryDirectory() as directory:
            run(binary, "init", "--preset", "minimal", "--self-signed", directory)
            config = Path(directory) / "keygate.toml"
            endpoint = '\n[tracing]\nendpoint = "http://127.0.0.1:4318"\n'
            config.write_text(config.read_text() + endpoint)
            done = run(binary, "check", "--config", config, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--features otlp", done.stderr)
        self.assertIn("endpoint", done.stderr)


if __name__ == "__main__":
    unittest.main()
