"""The programs whose instructions are counted: the pure parts, and a real proxy under callgrind."""

import glob
import os
import re
import subprocess
import time

from comparison import job, stage

from . import callgrind
from . import wire

# Of each kind, after as many that warm up.
REQUESTS = 400
# How often the program `pure` does each part.
PURE = 1000
PATIENCE = 120
KEY = job.key(job.USED)

CONFIG = """workers = 1
[listen]
https = "127.0.0.1:{tls}"
http = "127.0.0.1:{plain}"
http_accepts = "everything"
[tls]
certificate = "tls/server.crt"
private_key = "tls/server.key"
[upstream]
url = "http://127.0.0.1:{api}"
[limits]
failures = {{ requests = 1000000000, per = "1m" }}
"""


def pure(binary, directory):
    """{part: what one of it took}."""
    out = os.path.join(directory, "pure")
    with open(os.path.join(stage.HERE, "pure", "main.rs")) as source:
        names = re.findall(r"^fn case_(\w+)", source.read(), re.MULTILINE)
    # What was counted is written down and forgotten as a part begins, and again as it ends.
    each = [f"--dump-{when}=pure::case_{name}" for name in names for when in ("before", "after")]
    done = subprocess.run(
        ["valgrind", *callgrind.OPTIONS, f"--callgrind-out-file={out}", *each, binary],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout)
    profiles = [callgrind.Profile(path) for path in glob.glob(f"{out}.*-01")]
    ended = [profile for profile in profiles if "--dump-after=" in profile.trigger]
    found = {profile.trigger.rpartition("case_")[2]: (profile, PURE) for profile in ended}
    if sorted(found) != sorted(names):
        raise RuntimeError(f"counted {sorted(found)}, not {sorted(names)}")
    return found


class Proxy:
    """keygate under callgrind."""

    def __init__(self, binary, directory):
        self.directory, self.dumps = directory, 0
        self.out = os.path.join(directory, "requests")
        self.ports = {"tls": stage.free_port(), "plain": stage.free_port(), "api": wire.api()}
        stage.certificates(binary, directory)
        stage.keys(directory, 1000)
        with open(os.path.join(directory, "keygate.toml"), "w") as file:
            file.write(CONFIG.format(**self.ports))
        self.log = open(os.path.join(directory, "log"), "w+")
        self.process = subprocess.Popen(
            ["valgrind", *callgrind.OPTIONS, f"--callgrind-out-file={self.out}", binary, "run",
             "--config", os.path.join(directory, "keygate.toml")],
            env={**os.environ, "KEYGATE_LOG": "info,keygate::access=off"}, stdout=self.log, stderr=self.log)

    def wait(self):
        """Until it takes connections."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            try:
                return wire.connect(self.ports["plain"]).close()
            except OSError:
                time.sleep(0.1)
        self.log.seek(0)
        raise RuntimeError(f"keygate does not serve under callgrind:\n{self.log.read()}")

    def count(self, client, key, status):
        """What REQUESTS of the same kind took of the worker's thread."""
        for _ in range(REQUESTS):
            assert client.ask(key) == status
        callgrind.dump(self.process.pid)
        for _ in range(REQUESTS):
            assert client.ask(key) == status
        callgrind.dump(self.process.pid)
        self.dumps += 2
        return callgrind.threads(self.out, self.dumps)[0], REQUESTS

    def stop(self):
        """Ends it."""
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.log.close()


def requests(binary, directory):
    """{kind of request: what one of it took}."""
    proxy = Proxy(binary, directory)
    try:
        proxy.wait()
        certificate = os.path.join(directory, "tls", "server.crt")
        plain = wire.Http1(wire.connect(proxy.ports["plain"]))
        tls = wire.Http1(wire.connect(proxy.ports["tls"], certificate))
        http2 = wire.Http2(wire.connect(proxy.ports["tls"], certificate, "h2"))
        return {
            "http1_permit": proxy.count(plain, KEY, 200),
            "http1_refusal": proxy.count(plain, job.WRONG, 401),
            "http1_tls_permit": proxy.count(tls, KEY, 200),
            "http1_tls_refusal": proxy.count(tls, job.WRONG, 401),
            "http2_permit": proxy.count(http2, KEY, 200),
            "http2_refusal": proxy.count(http2, job.WRONG, 401),
        }
    finally:
        proxy.stop()
