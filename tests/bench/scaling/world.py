"""Key files of all sizes, an upstream, and processes of keygate that serve them."""

import hashlib
import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import time

from comparison import stage

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# What deploy/ sets for every process of keygate, too: large pages for large tables.
ENVIRONMENT = {"RUST_LOG": "info", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
# How long anything may take before it is given up, in seconds.
PATIENCE = 120


def key(number):
    """A key that is presented."""
    return f"a-key-of-the-scale-bench-{number:07d}"


def identifier(number):
    """The id of a key, as long as those that keygate makes."""
    digest = hashlib.sha256(b"id of %d" % number).digest()
    return "key_01JD" + "".join(ALPHABET[byte % 32] for byte in digest[:22])


def account(number, keys):
    """Whose key it is."""
    return f"account-{number % max(1, keys // 1000):06d}"


def record(number, keys, note="", more=""):
    """A key as `keygate keys create` writes it."""
    digest = hashlib.sha256(key(number).encode()).hexdigest()
    access = "write" if number % 2 else "read"
    return (f'[[key]]\nid = "{identifier(number)}"\naccount = "{account(number, keys)}"\n'
            f'name = "Key number {number}{note}"\ndigest = "sha256:{digest}"\nhint = "…{key(number)[-4:]}"\n'
            f'access = "{access}"\npermissions = ["events:read"]\n'
            f'created = 2026-11-22T10:00:{number % 60:02d}Z\n{more}\n')


class Keys:
    """Some keys, in one file or in many of one directory."""

    def __init__(self, directory, number, files):
        self.directory, self.number, self.files = directory, number, files
        os.makedirs(directory)
        for file in range(files):
            with open(self.path(file), "w") as written:
                written.write(self.text(file))

    def path(self, file):
        """Where a file is."""
        return os.path.join(self.directory, f"keys-{file:04d}.toml")

    def text(self, file, changed=None, note="", more=""):
        """What a file holds; one of its keys can be changed."""
        share = self.number // self.files
        accounts = range(max(1, self.number // 1000)) if file == 0 else ()
        head = "".join(f'[[account]]\nid = "account-{n:06d}"\nname = "Account {n}"\n'
                       f'permissions = ["events:read", "events:write", "users:read"]\n\n' for n in accounts)
        numbers = range(file * share, (file + 1) * share)
        return head + "".join(record(n, self.number, *((note, more) if n == changed else ())) for n in numbers)

    def file_of(self, number):
        """The file that holds a key."""
        return number // (self.number // self.files)

    def replace(self, number, note="", more=""):
        """Changes one key: its file is replaced by another one. Gives what puts that into place."""
        path = self.path(self.file_of(number))
        with open(path) as file:
            text = file.read()
        start = text.index(f'[[key]]\nid = "{identifier(number)}"')
        end = text.index("\n\n", start) + 2
        with open(path + ".new", "w") as file:
            file.write(text[:start] + record(number, self.number, note, more) + text[end:])
        return lambda: os.rename(path + ".new", path)

    def versions(self, number):
        """Changes one key, again and again, by what costs a rename only: the texts are written now.
        One after the other of three: who looks seldom enough would meet one of two again and again."""
        path = self.path(self.file_of(number))
        names = ("one", "two", "three")
        for name in names:
            self.replace(number, f", version {name}")
            os.rename(f"{path}.new", f"{path}.{name}")
        for name in itertools.cycle(names):
            os.link(f"{path}.{name}", path + ".new")
            yield lambda: os.rename(path + ".new", path)


class Keygate:
    """A process that serves some keys."""

    def __init__(self, made, keys, workers=1, core="1"):
        self.keys = keys
        self.ports = {name: stage.free_port() for name in ("https", "http", "admin")}
        self.directory = os.path.join(made.directory, f"served-{self.ports['http']}")
        os.makedirs(self.directory)
        config = os.path.join(self.directory, "keygate.toml")
        with open(config, "w") as file:
            file.write(f'workers = {workers}\n[listen]\nhttps = "127.0.0.1:{self.ports["https"]}"\n'
                       f'http = "127.0.0.1:{self.ports["http"]}"\nhttp_accepts = "everything"\n'
                       f'admin = "127.0.0.1:{self.ports["admin"]}"\n'
                       f'[tls]\ncertificate = "{made.directory}/tls/server.crt"\n'
                       f'private_key = "{made.directory}/tls/server.key"\n'
                       f'[upstream]\nurl = "http://{made.upstream}"\n[keys]\nfiles = ["{keys.directory}"]\n'
                       f'[limits]\nconnections_per_address = 10000\n')
        self.log = open(os.path.join(self.directory, "log"), "w+")
        self.began = time.monotonic()
        pinned = ["taskset", "-c", core] if core else []
        self.process = subprocess.Popen([*pinned, made.keygate, "run", "--config", config], stderr=self.log,
                                        stdout=subprocess.DEVNULL, env={**os.environ, **ENVIRONMENT})
        try:
            self.wait_until(lambda status: status["ready"])
        except BaseException:
            self.stop()
            raise
        self.ready_after = time.monotonic() - self.began

    def status(self):
        """What `/readyz` says, or None."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["admin"], timeout=10)
        try:
            connection.request("GET", "/readyz")
            return json.loads(connection.getresponse().read())
        except OSError:
            return None
        finally:
            connection.close()

    def wait_until(self, reached):
        """Waits for a status."""
        while True:
            status = self.status()
            if status and reached(status):
                return status
            if self.process.poll() is not None or time.monotonic() - self.began > 100 * PATIENCE:
                with open(self.log.name) as log:
                    raise RuntimeError(f"keygate did not become ready:\n{log.read()[-2000:]}")
            time.sleep(0.005)

    def memory(self):
        """Resident memory in MiB, once it has come to rest."""
        last = None
        for _ in range(50):
            with open(f"/proc/{self.process.pid}/status") as file:
                now = next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) / 1024
            if last is not None and abs(now - last) < 0.1:
                break
            last = now
            time.sleep(0.3)
        return now

    def cpu(self):
        """Seconds of processor time so far, of the threads that serve requests and all others."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def reload(self):
        """Makes it load whatever is there, and waits for that."""
        before = self.status()["generation"]
        self.process.send_signal(signal.SIGHUP)
        self.wait_until(lambda status: status["generation"] > before)

    def url(self, scheme="http"):
        """Where requests go."""
        return f"{scheme}://127.0.0.1:{self.ports[scheme]}/"

    def stop(self):
        """Ends it."""
        self.process.terminate()
        try:
            self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class World:
    """Everything that the measures share."""

    def __init__(self, keygate, directory, asked):
        self.keygate, self.directory, self.asked = keygate, directory, asked
        self.made = {}
        stage.certificates(keygate, directory)
        self.upstream = f"127.0.0.1:{stage.free_port()}"
        config = os.path.join(directory, "upstream.conf")
        stage.config("upstream.conf", config, {"dir": directory, "upstream": self.upstream,
                                               "socket": os.path.join(directory, "upstream.sock")})
        self.nginx = subprocess.Popen(["taskset", "-c", "0", stage.program("nginx"), "-c", config],
                                      stderr=subprocess.DEVNULL)
        host, port = self.upstream.split(":")
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                socket.create_connection((host, int(port))).close()
                break
            except OSError:
                time.sleep(0.02)

    def keys(self, kind):
        """`ten`, `file` or `directory`, made when they are first wanted."""
        if kind not in self.made:
            stage.say(f"writing the keys of `{kind}`")
            number, files = {"ten": (10, 1), "file": (self.asked.keys, 1),
                             "directory": (self.asked.keys, self.asked.files)}[kind]
            self.made[kind] = Keys(os.path.join(self.directory, kind), number, files)
        return self.made[kind]

    def serve(self, kind, **how):
        """A process that serves them."""
        return Keygate(self, self.keys(kind), **how)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.nginx.terminate()
        self.nginx.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
