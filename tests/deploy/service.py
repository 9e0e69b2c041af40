"""keygate as a service: what a service manager hands it and hears of it. `KEYGATE_STATIC` names the
binary."""

import contextlib
import hashlib
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "deploy" / "systemd"
BINARY = Path(os.environ.get("KEYGATE_STATIC", ROOT / "target" / "debug" / "keygate")).resolve()
PATIENCE = 30.0
KEY = "read-key-of-acme-0123456789abcdef"


class Api(BaseHTTPRequestHandler):
    """Says hello."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *arguments):
        pass


class Service:
    """A running keygate, in front of an API, with the other end of its `NOTIFY_SOCKET`."""

    def __init__(self, directory, prefix=(), variables=(), owner=None):
        self.directory = Path(directory)
        self.api = ThreadingHTTPServer(("127.0.0.1", 0), Api)
        threading.Thread(target=self.api.serve_forever, daemon=True).start()
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.settimeout(0.1)
        path = self.directory / "run" / "notify"
        self.write(owner)
        self.manager.bind(str(path))
        path.chmod(0o777)
        self.said = open(self.directory / "said", "wb")
        environment = {**os.environ, "NOTIFY_SOCKET": str(path), **dict(variables)}
        command = [*prefix, BINARY, "run", "--config", self.directory / "etc" / "keygate.toml"]
        self.process = subprocess.Popen(
            list(map(str, command)), stderr=self.said, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, env=environment,
            start_new_session=True
        )
        try:
            self.told("READY=1")
            self.https = int(self.logged(r'"https":"127.0.0.1:(\d+)"').group(1))
        except BaseException:
            self.end()
            raise

    def write(self, owner):
        for name in ("state", "run"):
            (self.directory / name).mkdir()
            (self.directory / name).chmod(0o777)
        etc = self.directory / "etc"
        subprocess.run(
            [BINARY, "init", "--preset", "minimal", "--self-signed", etc],
            check=True, capture_output=True,
        )
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        (etc / "keys.toml").write_text(
            f'[[account]]\nid = "acme"\n[[key]]\nid = "k"\naccount = "acme"\ndigest = "sha256:{digest}"\n'
        )
        (etc / "keygate.toml").write_text(
            "workers = 2\n"
            '[listen]\nhttps = "127.0.0.1:0"\n'
            f'admin = "unix:{self.directory}/run/admin.sock"\n'
            '[tls]\ncertificate = "tls/server.crt"\nprivate_key = "tls/server.key"\n'
            f'[upstream]\nurl = "http://localhost:{self.api.server_port}"\n'
            f'[state]\ndirectory = "{self.directory}/state"\n'
        )
        for path in [etc, *etc.rglob("*")] if owner else []:
            os.chown(path, owner, owner)

    def log(self):
        return (self.directory / "said").read_text()

    def logged(self, pattern):
        """Where a pattern stands in the log; which is written a little later than things happen."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if found := re.search(pattern, self.log()):
                return found
            time.sleep(0.02)
        raise AssertionError(f"never logged `{pattern}`:\n{self.log()}")

    def next(self):
        """The next message to the service manager, if there is one soon."""
        try:
            return self.manager.recv(4096).decode()
        except TimeoutError:
            return None

    def told(self, line):
        """The next message that has a line which begins so."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            message = self.next()
            if message and any(its.startswith(line) for its in message.splitlines()):
                return message
        raise AssertionError(f"never told `{line}`:\n{self.log()}")

    def get(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = HTTPSConnection("127.0.0.1", self.https, context=context, timeout=PATIENCE)
        connection.request("GET", "/", headers={"Authorization": f"Bearer {KEY}"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def end(self):
        # With whoever took its place.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.api.shutdown()
        self.api.server_close()
        self.manager.close()
        self.said.close()
