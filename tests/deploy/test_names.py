"""The upstream's name, asked for where there is nothing but keygate: no library that would look it up,
and a DNS server that can be told what to say. `KEYGATE_STATIC` names the binary."""

import ctypes
import hashlib
import json
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from service import BINARY, PATIENCE

KEY = "a-key-of-acme-0123456789abcdef"
NETWORK = 0x40000000
CONFIG = """workers = 1
[listen]
http = "127.0.0.1:8080"
http_accepts = "everything"
[upstream]
url = "http://api.internal:8000"
[keys]
files = ["keys.toml"]
"""
KEYS = """[[account]]
id = "acme"
[[key]]
id = "one"
account = "acme"
digest = "sha256:{}"
"""


def setUpModule():
    """A network of our own, where the ports are free, with an API at two addresses."""
    if ctypes.CDLL(None, use_errno=True).unshare(NETWORK):
        raise OSError(ctypes.get_errno(), "no network of our own")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in ("127.0.0.1", "127.0.0.2"):
        api(address)
    Names.dns = Dns()


class Dns:
    """Says of each name the same address, or nothing."""

    def __init__(self):
        self.address, self.asked = None, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.53", 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            query, sender = self.socket.recvfrom(2048)
            self.asked += 1
            if answer := self.answer(query):
                self.socket.sendto(answer, sender)

    def answer(self, query):
        """RFC 1035, section 4.1; to what is not asked for an IPv4 address it has none."""
        if self.address is None:
            return None
        end = query.index(0, 12) + 5
        (kind,) = struct.unpack(">H", query[end - 4:end - 2])
        record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(self.address)
        count = 1 if kind == 1 else 0
        head = query[:2] + b"\x81\x80" + struct.pack(">HHHH", 1, count, 0, 0)
        return head + query[12:end] + record * count


def api(address):
    """Serves what says where it is, each time on a connection of its own."""

    class Api(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(address)))
            self.end_headers()
            self.wfile.write(address.encode())

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer((address, 8000), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()


class Names(unittest.TestCase):
    dns = None

    def setUp(self):
        self.root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        (self.root / "etc").mkdir()
        (self.root / "etc" / "resolv.conf").write_text("nameserver 127.0.0.53\n")
        shutil.copy(BINARY, self.root / "keygate")
        (self.root / "keygate.toml").write_text(CONFIG)
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        (self.root / "keys.toml").write_text(KEYS.format(digest))
        (self.root / "keys.toml").chmod(0o600)
        self.dns.address, self.dns.asked = "127.0.0.1", 0
        self.said = open(self.root / "said", "wb")
        self.addCleanup(self.said.close)
        self.process = subprocess.Popen(
            ["chroot", self.root, "/keygate", "run", "--config", "/keygate.toml"],
            stderr=self.said, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.eventually(lambda: '"listening"' in self.log())

    def log(self):
        return (self.root / "said").read_text()

    def eventually(self, ask):
        until = time.monotonic() + PATIENCE
        while not ask():
            self.assertIsNone(self.process.poll(), self.log())
            self.assertLess(time.monotonic(), until, self.log())
            time.sleep(0.05)

    def ask(self):
        """What one request is answered, and how long that took."""
        begun = time.monotonic()
        connection = HTTPConnection("127.0.0.1", 8080, timeout=PATIENCE)
        connection.request("GET", "/", headers={"Authorization": f"Bearer {KEY}"})
        body = connection.getresponse().read().decode()
        connection.close()
        return body, time.monotonic() - begun

    def test_a_name_is_followed_and_not_asked_for_with_each_request(self):
        for _ in range(100):
            self.assertEqual(self.ask()[0], "127.0.0.1")
        # Each time for an address of either kind.
        self.assertLessEqual(self.dns.asked, 2 * (1 + 10))
        self.dns.address = "127.0.0.2"
        self.eventually(lambda: self.ask()[0] == "127.0.0.2")

    def test_nobody_is_refused_while_no_server_answers_for_a_name_that_was_known(self):
        self.assertEqual(self.ask()[0], "127.0.0.1")
        self.dns.address = None
        slow = 0
        while "its last addresses are used" not in self.log():
            body, took = self.ask()
            self.assertEqual(body, "127.0.0.1", self.log())
            slow += took > 0.4
            time.sleep(0.05)
        for _ in range(20):
            body, took = self.ask()
            self.assertEqual(body, "127.0.0.1", self.log())
            slow += took > 0.4
        self.assertLessEqual(slow, 3)
        self.dns.address = "127.0.0.2"
        self.eventually(lambda: self.ask()[0] == "127.0.0.2")

    def test_who_still_waits_for_a_name_keeps_the_process_from_nothing(self):
        self.dns.address = None
        self.ask()
        begun = time.monotonic()
        self.process.terminate()
        self.assertEqual(self.process.wait(PATIENCE), 0)
        self.assertLess(time.monotonic() - begun, 2, self.log())

    def test_a_name_that_nobody_knows_is_told(self):
        self.dns.address = None
        refusal = json.loads(self.ask()[0])
        self.assertEqual((refusal["status"], refusal["reason"]), (502, "upstream_unreachable"))
        self.assertIn('"kind":"resolve"', self.log())
        self.dns.address = "127.0.0.2"
        self.eventually(lambda: self.ask()[0] == "127.0.0.2")


if __name__ == "__main__":
    unittest.main()
