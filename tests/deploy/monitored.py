"""A keygate that everything has happened to, and a Prometheus that watches it."""

import http.client
import json
import os
import queue
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = Path(os.environ.get("KEYGATE_STATIC", ROOT / "target/debug/keygate")).resolve()
RULES = ROOT / "deploy/prometheus/keygate.rules.yml"
PATIENCE = 30

GOOD, DEAD, STRANGE = "a-key-that-is-good-0123456789", "a-key-that-is-over-0123456789", "x" * 30

KEYS = f"""
[[account]]
id = "acme"

[[key]]
id = "key_good"
account = "acme"
digest = "sha256:{sha256(GOOD.encode()).hexdigest()}"
access = "write"
permissions = ["read"]
created = 2020-01-01T00:00:00Z

[[key]]
id = "key_dead"
account = "acme"
digest = "sha256:{sha256(DEAD.encode()).hexdigest()}"
revoked = 2026-01-01T00:00:00Z
"""

CONFIG = """
[listen]
https = "127.0.0.1:0"
admin = "127.0.0.1:0"

[tls]
certificate = "tls/server.crt"
private_key = "tls/server.key"
[[tls.certificate_for]]
names = ["localhost"]
certificate = "tls/server.crt"
private_key = "tls/server.key"

[upstream]
url = "http://127.0.0.1:UPSTREAM"

[credentials]
tokens = true
[tokens]

[limits]
failures = { requests = 2, per = "1h" }

[metrics]
keys = 10

[[route]]
path = "/{*rest}"
[[route]]
path = "/admins"
permissions = ["admin"]
[[route]]
path = "/rehearsed"
permissions = ["admin"]
enforce = false
[[route]]
path = "/rated"
rate = { requests = 1, per = "1h", by = "address" }
[[route]]
path = "/one"
in_flight = { max = 1, per = "account", queue = "100ms" }
[[route]]
path = "/late"
timeout = "50ms"
"""


class Api(BaseHTTPRequestHandler):
    """Answers at once, but for `/one` and `/late`."""

    protocol_version = "HTTP/1.1"
    held = threading.Event()

    def do_GET(self):
        if self.path in ("/one", "/late"):
            self.held.wait(0.5)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        """Whoever was too late has been left; that is what it is for."""


def eventually(ask, what):
    """Asks until there is an answer."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"gave up waiting: {what}"
        time.sleep(0.05)
    return answer


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Keygate:
    """A running keygate in front of an API, with files of its own."""

    def __init__(self):
        self.held = tempfile.TemporaryDirectory()
        self.directory = Path(self.held.name)
        self.api = Server(("127.0.0.1", 0), Api)
        threading.Thread(target=self.api.serve_forever, daemon=True).start()
        made = [BINARY, "init", "--preset", "minimal", "--self-signed", self.directory]
        subprocess.run(made, check=True, capture_output=True)
        upstream = str(self.api.server_address[1])
        (self.directory / "keygate.toml").write_text(CONFIG.replace("UPSTREAM", upstream))
        (self.directory / "keys.toml").write_text(KEYS)
        command = [BINARY, "run", "--config", self.directory / "keygate.toml"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        lines = queue.Queue()
        threading.Thread(target=self.read, args=[lines], daemon=True).start()
        listening = json.loads(lines.get(timeout=PATIENCE))
        self.https, self.admin = (listening[name].split(",")[0] for name in ("https", "admin"))
        self.tls = ssl.create_default_context(cafile=self.directory / "tls/server.crt")

    def read(self, lines):
        for line in self.process.stderr:
            if '"listening"' in line:
                lines.put(line)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        self.api.shutdown()
        self.api.server_close()
        self.held.cleanup()

    def ask(self, *requests, key=GOOD):
        """The statuses of some requests, one after the other on one connection."""
        port = int(self.https.rsplit(":", 1)[1])
        client = http.client.HTTPSConnection("localhost", port, context=self.tls, timeout=PATIENCE)
        statuses = []
        for request in requests:
            method, path, body = request if isinstance(request, tuple) else ("GET", request, None)
            fields = {"Authorization": f"Bearer {key}"} if key else {}
            client.request(method, path, body, fields | {"Content-Type": "application/json"})
            answer = client.getresponse()
            answer.read()
            statuses.append(answer.status)
        client.close()
        return statuses

    def metrics(self):
        with urlopen(f"http://{self.admin}/metrics") as answer:
            return answer.read().decode()

    def count(self, series):
        found = [line for line in self.metrics().splitlines() if line.startswith(series + " ")]
        return float(found[0].split()[-1]) if found else 0.0

    def everything(self):
        """Lets all happen that there is a name for."""
        assert self.ask("/a", "/a", "/admins", "/rehearsed") == [200, 200, 403, 200]
        assert self.ask("/rated", "/rated")[-1] == 429
        assert self.ask("/late") == [504]
        login = json.dumps({"apiKey": GOOD})
        assert self.ask(("POST", "/uauth/v2/auth/login/profile", login), key=None)[0] in (200, 429)
        self.ask("/a", key=None)
        self.ask("/a", "/a", "/a", key=STRANGE)
        self.ask("/a", key=DEAD)
        both = [threading.Thread(target=self.ask, args=["/one"]) for _ in range(2)]
        for each in both:
            each.start()
        for each in both:
            each.join()
        with socket.create_connection(self.https.rsplit(":", 1)) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            stranger.recv(100)
        for text, result in (("[[key", "failure"), (KEYS + f"# {time.monotonic()}\n", "success")):
            series = f'keygate_reloads_total{{result="{result}"}}'
            before = self.count(series)
            (self.directory / "keys.toml").write_text(text)
            eventually(lambda: self.count(series) > before, f"a reload: {result}")


class Prometheus:
    """The real one, which loads the rules and looks every half second."""

    def __init__(self, target):
        self.held = tempfile.TemporaryDirectory()
        directory = Path(self.held.name)
        self.at = f"127.0.0.1:{free_port()}"
        often = ("scrape_interval", "scrape_timeout", "evaluation_interval")
        config = {
            "global": dict.fromkeys(often, "500ms"),
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "keygate", "static_configs": [{"targets": [target]}]}],
        }
        (directory / "prometheus.yml").write_text(json.dumps(config))
        command = [
            "prometheus", f"--config.file={directory}/prometheus.yml",
            f"--storage.tsdb.path={directory}/data", f"--web.listen-address={self.at}",
        ]
        self.log = open(directory / "log", "w+")
        self.process = subprocess.Popen(command, stderr=self.log)
        eventually(self.ready, "Prometheus to be ready")

    def ready(self):
        assert self.process.poll() is None, Path(self.log.name).read_text()
        try:
            with urlopen(f"http://{self.at}/-/ready") as answer:
                return answer.status == 200
        except OSError:
            return False

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.held.cleanup()

    def api(self, path, **query):
        with urlopen(f"http://{self.at}/api/v1/{path}?{urlencode(query)}") as answer:
            answer = json.load(answer)
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression):
        """The series that it comes to now, each with its labels and its value."""
        return self.api("query", query=expression)["result"]
