"""The least that is measured does what is said of it, and is told as it was measured."""

import importlib.machinery
import importlib.util
import os
import socket
import socketserver
import ssl
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from comparison import job, load, proxies, stage

KEYGATE = os.environ.get("KEYGATE", os.path.join(stage.built(), "debug", "keygate"))


def command():
    """The command as a module."""
    loader = importlib.machinery.SourceFileLoader("floors", os.path.join(HERE, "floors"))
    made = importlib.util.module_from_spec(importlib.util.spec_from_loader("floors", loader))
    loader.exec_module(made)
    return made


class Shouts(socketserver.BaseRequestHandler):
    """An API that sends back what it got, louder."""

    def handle(self):
        while got := self.request.recv(4096):
            self.request.sendall(got.upper())


class Floor(unittest.TestCase):
    """Real clients, the program, and an API."""

    @classmethod
    def setUpClass(cls):
        cls.floors = command()
        cls.held = tempfile.TemporaryDirectory()
        cls.program = cls.floors.compiled(cls.held.name)
        stage.certificates(KEYGATE, cls.held.name)
        cls.api = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Shouts)
        cls.api.daemon_threads = True
        cls.api.address = f"127.0.0.1:{cls.api.server_address[1]}"
        threading.Thread(target=cls.api.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.api.shutdown()
        cls.api.server_close()
        cls.held.cleanup()

    def asked(self, name, *sent):
        """What two clients got, each after each of these."""
        column = next(column for column in job.COLUMNS if column.name == name)
        server = self.floors.floor(column, self.program, self.held.name, self.api)
        server.start()
        self.addCleanup(server.stop)
        proxies.wait_until(lambda: self.floors.listens(server), 10)
        return [self.got(server, column, sent) for _ in range(2)]

    def got(self, server, column, sent):
        plain = socket.create_connection(("127.0.0.1", server.ports["plain" if column.scheme == "http" else "tls"]), 10)
        client = plain
        if column.scheme == "https":
            client = ssl.create_default_context(cafile=os.path.join(self.held.name, "tls", "server.crt")).wrap_socket(
                plain, server_hostname="localhost")
            self.assertEqual(client.version(), "TLSv1.3")
        with client:
            answers = []
            for text in sent:
                client.sendall(text)
                answers.append(client.recv(4096))
            return answers

    def test_it_copies(self):
        self.assertEqual(self.asked("h1-plain", b"one", b"two"), [[b"ONE", b"TWO"]] * 2)

    def test_it_copies_behind_tls(self):
        self.assertEqual(self.asked("h1-tls", b"one", b"two"), [[b"ONE", b"TWO"]] * 2)

    def test_it_refuses_everybody(self):
        refusal = self.floors.REFUSAL.encode()
        self.assertTrue(refusal.startswith(b"HTTP/1.1 401 ") and refusal.endswith(b"content-length: 3\r\n\r\nno\n"))
        self.assertEqual(self.asked("refused", b"one", b"two"), [[refusal, refusal]] * 2)

    def test_where_nothing_does_less_the_kernel_is_the_floor(self):
        run = lambda cost, kernel=0.0: {0: load.Run(1, 1.0, cost, kernel, 1.0, 1.0, 0.0, 0)}
        runs = {"keygate": run(20.0, 12.0), "nginx": run(30.0), "haproxy": run(40.0)}
        column = next(column for column in job.COLUMNS if column.name == "h2-tls")
        told = self.floors.told(column, runs)
        self.assertEqual(told[1:5], ["12.0", "20.0", "30.0", "nginx"])
        self.assertEqual([told[5][:4], told[6][:4]], ["0.40", "0.67"])
        self.assertEqual(self.floors.told(column, {**runs, "floor": run(15.0)})[1], "15.0")


if __name__ == "__main__":
    unittest.main()
