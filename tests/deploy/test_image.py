"""The image, built and run as the manifest runs it: read-only, without capabilities, in 64 MiB.

The manifest's own configuration is mounted where the manifest mounts it, from volumes as the
kubelet writes them. `KEYGATE_STATIC` names the statically linked binary.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import socketserver
import tarfile
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from containers import CONFINED, MEMORY, ROOT, build, eventually, peak_memory, podman, run, stripped
from manifest import config_text, documents, publish

READ_KEY = "read." + secrets.token_hex(24)
WRITE_KEY = "write." + secrets.token_hex(24)


class Api(BaseHTTPRequestHandler):
    """Tells what arrived."""

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def address_string(self):
        return "unix"

    def log_message(self, *arguments):
        pass


class ApiServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def keys(revoked=()):
    text = '[[account]]\nid = "acme"\npermissions = ["things:read", "things:write"]\n'
    for name, key in (("read", READ_KEY), ("write", WRITE_KEY)):
        digest = hashlib.sha256(key.encode()).hexdigest()
        text += f'\n[[key]]\nid = "key_{name}"\naccount = "acme"\naccess = "{name}"\n'
        text += f'digest = "sha256:{digest}"\n'
        if name in revoked:
            text += "revoked = 2026-01-01T00:00:00Z\n"
    return text


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        binary = Path(os.environ["KEYGATE_STATIC"]).resolve()
        cls.directory = Path(tempfile.mkdtemp(prefix="keygate-image-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.directory.chmod(0o755)
        cls.image = f"localhost/keygate-test:{os.getpid()}"
        cls.build(binary)
        cls.volumes(binary)
        cls.start_api()
        cls.start()

    @classmethod
    def build(cls, binary):
        cls.binary = stripped(cls.directory)
        cls.id = build(cls.binary, cls.image)
        cls.addClassCleanup(podman, "rmi", "--force", cls.image)

    @classmethod
    def volumes(cls, binary):
        made = cls.directory / "made"
        run(binary, "init", "--preset", "minimal", "--self-signed", made)
        certificate = next(made.rglob("*.crt")).read_text()
        private_key = next(made.rglob("*.key")).read_text()
        publish(cls.directory / "config", {"keygate.toml": config_text(documents())})
        publish(cls.directory / "keys", {"keys.toml": keys()})
        publish(cls.directory / "tls", {"tls.crt": certificate, "tls.key": private_key})
        (cls.directory / "trusted.crt").write_text(certificate)

    @classmethod
    def start_api(cls):
        sockets = cls.directory / "api"
        sockets.mkdir()
        cls.server = ApiServer(str(sockets / "api.sock"), Api)
        (sockets / "api.sock").chmod(0o777)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.server.server_close)
        cls.addClassCleanup(cls.server.shutdown)

    @classmethod
    def start(cls):
        cls.container = cls.launch("--detach", "--publish", "127.0.0.1::8443", "--publish",
                                   "127.0.0.1::9090").stdout.strip()
        cls.addClassCleanup(podman, "rm", "--force", "--time=0", cls.container, check=False)
        cls.https, cls.admin = (cls.port(port) for port in (8443, 9090))
        try:
            eventually(lambda: cls.status(f"http://127.0.0.1:{cls.admin}/readyz") == 200, "ready")
        except AssertionError:
            logs = podman("logs", cls.container)
            raise AssertionError(logs.stdout + logs.stderr) from None

    @classmethod
    def launch(cls, *options, command=("run", "--config", "/etc/keygate/keygate.toml",
                                       "--set", "upstream.url=unix:/api/api.sock"), check=True):
        mounts = {"config": "/etc/keygate", "keys": "/secrets/keys", "tls": "/secrets/tls",
                  "api": "/api"}
        volumes = [f"--volume={cls.directory / name}:{at}:ro" for name, at in mounts.items()]
        return podman(
            "run", *CONFINED, *volumes, *options, cls.image, *command, check=check,
        )

    @classmethod
    def port(cls, inside):
        return int(podman("port", cls.container, str(inside)).stdout.rsplit(":", 1)[1])

    @staticmethod
    def status(url):
        done = run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url, check=False)
        return int(done.stdout or 0)

    def ask(self, *options, path="/things"):
        """The status and the body that `curl` gets, trusting the one certificate."""
        done = run(
            "curl", "-sS", "--max-time", "20", "-w", "\n%{http_code}",
            "--cacert", self.directory / "trusted.crt", *options,
            f"https://localhost:{self.https}{path}",
        )
        body, status = done.stdout.rsplit("\n", 1)
        return int(status), body

    def test_1_a_key_is_let_in_and_the_api_learns_whose_it_is(self):
        status, body = self.ask("-H", f"Authorization: Bearer {READ_KEY}",
                                "-H", "X-Account-Id: evil")
        self.assertEqual(status, 200, body)
        arrived = json.loads(body)
        self.assertEqual(arrived["x-account-id"], "acme")
        self.assertEqual(arrived["x-key-id"], "key_read")
        self.assertNotIn("authorization", arrived)

    def test_1_without_a_key_or_with_a_wrong_one_nobody_is_let_in(self):
        self.assertEqual(self.ask()[0], 401)
        self.assertEqual(self.ask("-H", "Authorization: Bearer " + "0" * 40)[0], 401)

    def test_1_a_read_key_does_not_write(self):
        write = ("-X", "POST", "-d", "{}")
        self.assertEqual(self.ask(*write, "-H", f"Authorization: Bearer {READ_KEY}")[0], 403)
        self.assertEqual(self.ask(*write, "-H", f"Authorization: Bearer {WRITE_KEY}")[0], 200)

    def test_1_the_figures_can_be_scraped(self):
        text = run("curl", "-sS", f"http://127.0.0.1:{self.admin}/metrics").stdout
        self.assertIn('keygate_keys{state="active"} 2', text)

    def test_1_it_is_not_root_and_has_no_shell(self):
        user = podman("image", "inspect", "--format", "{{.Config.User}}", self.image).stdout
        self.assertEqual(user.strip(), "65532:65532")
        self.assertEqual(set(self.files()), {"keygate", "keygate.cdx.json"})

    def test_1_the_image_says_what_it_is_and_what_it_is_made_of(self):
        form = "{{json .Config.Labels}}"
        labels = json.loads(podman("image", "inspect", "--format", form, self.image).stdout)
        version = run(self.binary, "--version").stdout.split()[1]
        named = {name.removeprefix("org.opencontainers.image."): labels[name] for name in labels}
        self.assertEqual(named.pop("version"), version)
        self.assertEqual(named.pop("title"), "keygate")
        self.assertEqual(set(named), {"description", "licenses", "revision"})
        held = self.files()
        made_of = json.loads(held["keygate.cdx.json"])["metadata"]["component"]
        digest = hashlib.sha256(held["keygate"]).hexdigest()
        self.assertEqual(made_of["hashes"], [{"alg": "SHA-256", "content": digest}])

    def test_1_the_same_binary_gives_the_same_image(self):
        os.utime(self.binary, (1, 1))
        again = f"{self.image}-again"
        self.addCleanup(podman, "rmi", "--force", again)
        self.assertEqual(build(self.binary, again), self.id)
        with self.binary.open("ab") as file:
            file.write(b"x")
        self.assertNotEqual(build(self.binary, again), self.id)

    def test_1_the_readme_states_the_size(self):
        stated = re.search(r"an image of (\d+) MB", (ROOT / "README.md").read_text())
        self.assertIsNotNone(stated)
        released = self.released()
        if released.exists():
            self.assertAlmostEqual(int(stated[1]), released.stat().st_size / 1e6, delta=1)

    @staticmethod
    def released():
        host = re.search(r"^host: (.*)$", run("rustc", "-vV").stdout, re.MULTILINE)[1]
        return ROOT / "target" / host / "release" / "keygate"

    @classmethod
    def files(cls):
        """What stands in the image's layers."""
        archive = cls.directory / "image.tar"
        if not archive.exists():
            podman("save", "--quiet", "--output", archive, cls.image)
        held = {}
        with tarfile.open(archive) as image:
            for layer in image:
                if layer.isfile() and layer.name.endswith(".tar"):
                    with tarfile.open(fileobj=image.extractfile(layer)) as files:
                        held.update({file.name: files.extractfile(file).read()
                                     for file in files if file.isfile()})
        return held

    def test_1_the_mounted_files_pass_the_check(self):
        done = self.launch("--rm", command=("check", "--config", "/etc/keygate/keygate.toml"),
                           check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_2_a_revocation_in_the_secret_is_in_force_at_once(self):
        bearer = ("-H", f"Authorization: Bearer {WRITE_KEY}")
        self.assertEqual(self.ask(*bearer)[0], 200)
        publish(self.directory / "keys", {"keys.toml": keys(revoked=["write"])})
        eventually(lambda: self.ask(*bearer)[0] == 401, "the revoked key is refused")
        self.assertEqual(self.ask("-H", f"Authorization: Bearer {READ_KEY}")[0], 200)

    def test_3_it_ends_in_order_when_told(self):
        self.assertLess(peak_memory(self.container), MEMORY)
        podman("stop", "--time", "30", self.container)
        state = podman("inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}",
                       self.container).stdout.split()
        self.assertEqual(state, ["0", "false"])
        logs = podman("logs", self.container)
        text = logs.stdout + logs.stderr
        self.assertIn('"message":"listening"', text)
        for secret in (READ_KEY, WRITE_KEY):
            self.assertNotIn(secret, text)


if __name__ == "__main__":
    unittest.main()
