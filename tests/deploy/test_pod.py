"""The pod as it runs: the API and keygate in one network namespace, and a Secret that changes under
load.

`KEYGATE_STATIC` names the statically linked binary.
"""

import hashlib
import os
import secrets
import shutil
import socket
import tempfile
import threading
import time
import unittest
from pathlib import Path

from containers import CONFINED, build, eventually, podman, run, stripped
from manifest import config_text, documents, publish
from pod import Client, Load, Pod

OLD_KEY = "old." + secrets.token_hex(24)
NEW_KEY = "new." + secrets.token_hex(24)
# Where the system reports no change, keygate sees it with its next poll; and this machine is busy.
IN_FORCE = 3.0

IMAGE = f"localhost/keygate-pod:{os.getpid()}"


def setUpModule():
    with tempfile.TemporaryDirectory() as directory:
        build(stripped(Path(directory)), IMAGE)
    unittest.addModuleCleanup(podman, "rmi", "--force", IMAGE)


def keys(*held):
    text = '[[account]]\nid = "acme"\n'
    for key in held:
        digest = hashlib.sha256(key.encode()).hexdigest()
        text += f'\n[[key]]\nid = "key_{key[:3]}"\naccount = "acme"\ndigest = "sha256:{digest}"\n'
    return {"keys.toml": text}


class Played(unittest.TestCase):
    """A pod for a class of tests."""

    which = listens = None

    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(prefix="keygate-pod-"))
        cls.directory.chmod(0o755)
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.first, cls.second = (cls.certificate(name) for name in ("first", "second"))
        cls.trusted = [cls.first["tls.crt"], cls.second["tls.crt"]]
        found = documents(cls.which)
        volumes = {"keys": keys(OLD_KEY), "tls": cls.first,
                   "config": {"keygate.toml": config_text(found)}}
        cls.pod = Pod(found, cls.directory, volumes)
        cls.addClassCleanup(cls.pod.end)
        cls.pod.play(IMAGE, cls.listens)

    @classmethod
    def certificate(cls, name):
        made = cls.directory / name
        binary = Path(os.environ["KEYGATE_STATIC"]).resolve()
        run(binary, "init", "--preset", "minimal", "--self-signed", made)
        return {"tls.crt": next(made.rglob("*.crt")).read_text(),
                "tls.key": next(made.rglob("*.key")).read_text()}

    def ask(self, key, path="/"):
        client = Client(self.pod, self.trusted)
        try:
            return client.ask(key, path)
        finally:
            client.close()

    def within(self, condition, what):
        """Waits until it holds; how long that took."""
        begun = time.monotonic()
        eventually(condition, what)
        took = time.monotonic() - begun
        self.assertLess(took, IN_FORCE, what)
        return took


class Loopback(Played):
    which, listens = "base", "127.0.0.1:3000"

    def test_1_the_api_and_keygate_are_in_one_network_namespace(self):
        spaces = {os.readlink(f"/proc/{self.pod.container(name)['State']['Pid']}/ns/net")
                  for name in ("keygate", "api")}
        self.assertEqual(len(spaces), 1)
        self.assertEqual(self.ask(OLD_KEY), (200, "key_old"))

    def test_1_nothing_but_keygates_ports_is_open_to_others(self):
        outside = {port for address, port in self.pod.sockets() if not address.startswith("127.")}
        self.assertEqual(outside, {8443, 9090})
        self.assertIn(("127.0.0.1", 3000), self.pod.sockets())
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection((self.pod.address, 3000), timeout=5)

    def test_1_without_a_key_nobody_comes_to_the_api(self):
        self.assertEqual(self.ask("0" * 40)[0], 401)

    def test_1_a_probe_can_ask_from_inside_as_well(self):
        container = f"{self.pod.name}-keygate"
        for options in ((), ("--live",)):
            podman("exec", container, "/keygate", "health", *options)

    def test_1_both_run_as_the_manifest_says(self):
        for name in ("keygate", "api"):
            container = self.pod.container(name)
            self.assertEqual(container["Config"]["User"], "65532:65532", name)
            self.assertTrue(container["HostConfig"]["ReadonlyRootfs"], name)
            status = Path(f"/proc/{container['State']['Pid']}/status").read_text()
            self.assertIn("CapEff:\t0000000000000000", status, name)
            self.assertIn("NoNewPrivs:\t1", status, name)

    def test_2_keys_and_certificate_change_under_load_and_no_request_fails(self):
        load = Load(self.pod, self.trusted, OLD_KEY)
        self.addCleanup(load.end)
        load.more()
        self.assertEqual(self.ask(NEW_KEY)[0], 401)

        self.pod.publish("keys", keys(OLD_KEY, NEW_KEY))
        added = self.within(lambda: self.ask(NEW_KEY)[0] == 200, "the new key is let in")
        load.more()

        self.pod.publish("tls", self.second)
        renewed = self.within(
            lambda: self.served() == self.second["tls.crt"], "the new certificate is shown")
        load.more()

        load.key = NEW_KEY
        load.more()
        self.pod.publish("keys", keys(NEW_KEY))
        removed = self.within(lambda: self.ask(OLD_KEY)[0] == 401, "the old key is refused")
        load.more()
        load.end()

        self.assertEqual(load.failed, [])
        self.assertEqual(len(load.certificates), 2)
        print(f"\n{sum(load.done)} requests while a key came in {added:.2f} s, a certificate in "
              f"{renewed:.2f} s, and a key went in {removed:.2f} s")

    def test_3_what_was_accepted_is_answered_when_keygate_is_told_to_end_first(self):
        slow = []
        thread = threading.Thread(
            target=lambda: slow.append(self.ask(NEW_KEY, "/?seconds=6")))
        thread.start()
        self.within(self.in_flight, "the slow request is with the API")
        podman("kill", "--signal", "TERM", f"{self.pod.name}-keygate")
        eventually(lambda: self.pod.probe("/readyz") == 503, "no longer ready")
        # Whoever has not heard of it yet is still served.
        self.assertEqual(self.ask(NEW_KEY)[0], 200)
        thread.join()
        self.assertEqual(slow, [(200, "key_new")])
        state = lambda name: self.pod.container(name)["State"]
        eventually(lambda: not state("keygate")["Running"], "keygate has ended")
        self.assertEqual(state("keygate")["ExitCode"], 0)
        self.assertTrue(state("api")["Running"])

    def served(self):
        client = Client(self.pod, self.trusted)
        client.close()
        return client.certificate

    def in_flight(self):
        done = run("curl", "-s", f"http://{self.pod.address}:9090/metrics").stdout
        return "\nkeygate_in_flight_requests 1\n" in done


class UnixSocket(Played):
    which, listens = "overlays/unix-socket", "unix:/run/app/app.sock"

    def test_1_the_api_is_reached_by_its_socket_and_has_no_port(self):
        self.assertEqual(self.ask(OLD_KEY), (200, "key_old"))
        self.assertEqual({port for _, port in self.pod.sockets()}, {8443, 9090})

    def test_2_when_the_api_has_ended_first_keygate_still_answers(self):
        client = Client(self.pod, self.trusted)
        self.addCleanup(client.close)
        self.assertEqual(client.ask(OLD_KEY)[0], 200)
        podman("kill", f"{self.pod.name}-api")
        eventually(lambda: not self.pod.container("api")["State"]["Running"], "the API has ended")
        self.assertEqual(client.ask(OLD_KEY)[0], 502)
        self.assertEqual(self.pod.probe("/readyz"), 200)


class Mounted(unittest.TestCase):
    """keygate says what can never change, where it is mounted by itself."""

    def setUp(self):
        self.directory = Path(tempfile.mkdtemp(prefix="keygate-mounts-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.directory.chmod(0o755)
        publish(self.directory / "keys", keys(OLD_KEY))
        config = '[listen]\nhttp = "127.0.0.1:0"\nhttp_accepts = "everything"\n'
        config += '[upstream]\nurl = "http://127.0.0.1:1"\n[keys]\nfiles = ["/keys/keys.toml"]\n'
        publish(self.directory / "config", {"keygate.toml": config})

    def said(self, keys_mount, command="check"):
        config = f"--volume={self.directory}/config:/etc/keygate:ro"
        image = (IMAGE, command, "--config", "/etc/keygate/keygate.toml")
        run = ("run", "--rm", *CONFINED, config, f"--volume={keys_mount}:ro")
        if command == "check":
            return podman(*run, *image).stderr
        name = f"keygate-mounts-{os.getpid()}"
        podman(*run, "--detach", "--name", name, *image)
        self.addCleanup(podman, "rm", "--force", "--time=0", name, check=False)
        logs = lambda: podman("logs", name).stderr
        return eventually(lambda: '"listening"' in logs() and logs(), "it listens")

    def test_the_whole_volume_is_as_it_should_be(self):
        self.assertNotIn("mount", self.said(f"{self.directory}/keys:/keys"))

    def test_a_file_of_a_volume_is_told_with_what_to_do(self):
        file = (self.directory / "keys" / "keys.toml").resolve()
        self.assertIn("..2", str(file))
        mount = f"{file}:/keys/keys.toml"
        for command in ("check", "run"):
            said = self.said(mount, command)
            self.assertIn("`/keys/keys.toml` is mounted by subPath", said)
            self.assertIn("mount the whole volume as a directory, without `subPath`", said)

    def test_a_directory_of_a_volume_is_told(self):
        said = self.said(f"{(self.directory / 'keys' / '..data').resolve()}:/keys")
        self.assertIn("is mounted by subPath", said)

    def test_any_other_file_that_is_mounted_by_itself_is_told(self):
        file = self.directory / "keys.toml"
        file.write_text(keys(OLD_KEY)["keys.toml"])
        file.chmod(0o444)
        said = self.said(f"{file}:/keys/keys.toml")
        self.assertIn("a file that takes its place is never seen", said)
        self.assertIn("mount the directory that holds it", said)


if __name__ == "__main__":
    unittest.main()
