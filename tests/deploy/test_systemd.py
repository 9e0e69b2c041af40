"""The units: systemd takes them, they leave the service little, and the service can do with that.

Whether the program gets along inside the sandbox is seen by what it does outside of one: `strace`
tells every system call, address family, mapping and file that it opens for writing in a whole life
with requests, a reload and a hand-over, and nothing may be among them that the unit forbids.
"""

import ctypes
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from service import BINARY, PATIENCE, UNITS, Service

NOBODY = 65534
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000


def run(*command, **options):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)


def installed(directory, change=lambda text: text):
    """The units as a package would install them, with the binary where it is here."""
    for name in ("keygate.service", "keygate.socket"):
        text = change((UNITS / name).read_text())
        (Path(directory) / name).write_text(text.replace("/usr/bin/keygate", str(BINARY)))
    return [Path(directory) / name for name in ("keygate.service", "keygate.socket")]


def settings(name):
    """The values that the service unit has for a setting, in order."""
    lines = (UNITS / "keygate.service").read_text().splitlines()
    return [line.split("=", 1)[1] for line in lines if line.startswith(f"{name}=")]


def group(name):
    """The system calls of a group, with those of the groups in it."""
    calls = set()
    for line in run("systemd-analyze", "syscall-filter", "--no-pager", name).stdout.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            calls |= group(word)
        elif word and not word.startswith("#"):
            calls.add(word)
    return calls


def allowed_calls():
    calls = group("@default")
    for value in settings("SystemCallFilter"):
        words = value.removeprefix("~").split()
        named = set().union(*(group(word) if word.startswith("@") else {word} for word in words))
        calls = calls - named if value.startswith("~") else calls | named
    return calls


class Units(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def test_systemd_has_nothing_to_say_against_them(self):
        units = installed(self.directory.name)
        verified = run("systemd-analyze", "verify", *units)
        self.assertEqual((verified.returncode, verified.stderr), (0, ""))

    def test_nor_against_what_stands_in_comments_to_be_switched_on(self):
        def switched_on(text):
            return re.sub(r"(?m)^#(?=[A-Z]\w+=)", "", text)

        self.assertNotEqual(switched_on((UNITS / "keygate.service").read_text()),
                            (UNITS / "keygate.service").read_text())
        verified = run("systemd-analyze", "verify", *installed(self.directory.name, switched_on))
        self.assertEqual((verified.returncode, verified.stderr), (0, ""))

    def test_a_mistake_would_be_seen(self):
        def mistaken(text):
            return text.replace("WatchdogSec=", "WatchdogSecs=")

        self.assertIn("WatchdogSecs", run(
            "systemd-analyze", "verify", *installed(self.directory.name, mistaken)).stderr)

    def test_the_service_is_exposed_to_little(self):
        service, _ = installed(self.directory.name)
        judged = run("systemd-analyze", "security", "--no-pager", "--offline=true",
                     "--threshold=20", service)
        self.assertEqual(judged.returncode, 0, judged.stdout + judged.stderr)

    def test_there_is_time_for_the_drain(self):
        self.assertEqual(settings("TimeoutStopSec"), ["45s"])
        example = (UNITS.parents[1] / "config.example.toml").read_text()
        drain = example[example.index("[drain]"):]
        self.assertIn('#delay = "0s"', drain)
        self.assertIn('#timeout = "30s"', drain)

    def test_the_user_is_made(self):
        (Path(self.directory.name) / "etc").mkdir()
        made = run("systemd-sysusers", f"--root={self.directory.name}", UNITS / "keygate.sysusers.conf")
        self.assertEqual(made.returncode, 0, made.stderr)
        users = (Path(self.directory.name) / "etc" / "passwd").read_text()
        self.assertRegex(users, r"(?m)^keygate:.*:/var/lib/keygate:")
        self.assertEqual(settings("User"), ["keygate"])


class Confined(unittest.TestCase):
    """One life, as nobody and without capabilities, and everything that was done in it."""

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.base = Path(cls.directory.name)
        cls.base.chmod(0o755)
        (cls.base / "trace").touch()
        (cls.base / "trace").chmod(0o666)
        prefix = [
            "setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups",
            "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs",
            "strace", "--follow-forks", "--quiet=all", "--string-limit=200",
            "--output", cls.base / "trace",
        ]
        service = Service(cls.base, prefix, owner=NOBODY)
        try:
            cls.live(service)
        finally:
            service.end()
        cls.trace = (cls.base / "trace").read_text()

    @classmethod
    def live(cls, service):
        assert service.get() == (200, b"hello"), service.log()
        children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
        first = int(children.read_text().split()[0])
        os.kill(first, signal.SIGHUP)
        service.told("RELOADING=1")
        service.told("READY=1")
        os.kill(first, signal.SIGUSR2)
        second = int(service.told("MAINPID=").split("=")[1])
        service.told("READY=1")
        assert service.get() == (200, b"hello"), service.log()
        os.kill(second, signal.SIGTERM)
        service.told("STOPPING=1")
        service.process.wait(PATIENCE)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def test_every_system_call_is_allowed(self):
        used = set(re.findall(r"(?m)^\d+ +(\w+)\(", self.trace))
        self.assertTrue({"execve", "accept4", "setpriority", "recvmsg"} <= used, used)
        self.assertEqual(used - allowed_calls(), set())

    def test_only_the_address_families_that_are_allowed_are_used(self):
        used = set(re.findall(r"(?m)^\d+ +socket(?:pair)?\((AF_\w+)", self.trace))
        # The resolver asks for the interfaces, and does without where it may not.
        self.assertEqual(used - set(*map(str.split, settings("RestrictAddressFamilies"))) - {"AF_NETLINK"},
                         set())

    def test_no_memory_is_both_writable_and_executable(self):
        mappings = re.findall(r"(?m)^\d+ +(?:mmap|mprotect|pkey_mprotect)\(.*", self.trace)
        self.assertTrue(mappings)
        both = [it for it in mappings if "PROT_WRITE" in it and "PROT_EXEC" in it]
        made = [it for it in mappings if "mprotect" in it and "PROT_EXEC" in it]
        self.assertEqual(both + made, [])

    def test_nothing_is_written_but_where_it_may_be(self):
        writes = re.findall(
            r'(?m)^\d+ +open(?:at)?\((?:AT_FDCWD, )?"([^"]*)", [^)]*O_(?:WRONLY|RDWR)', self.trace)
        writes += re.findall(r'(?m)^\d+ +(?:rename|unlink|mkdir)\w*\((?:AT_FDCWD, )?"([^"]*)"', self.trace)
        own = (str(self.base / "state"), str(self.base / "run"), "/dev/null", "/proc/self/")
        self.assertTrue(any(path.startswith(own[0]) for path in writes), writes)
        self.assertEqual([path for path in writes if not path.startswith(own)], [])


class Watchdog(unittest.TestCase):
    def test_a_worker_that_hangs_silences_it_until_it_goes_on(self):
        with tempfile.TemporaryDirectory() as directory:
            service = Service(directory, variables={"WATCHDOG_USEC": "1500000"}.items())
            try:
                self.hang(service)
            finally:
                service.end()

    def hang(self, service):
        service.told("WATCHDOG=1")
        tasks = Path(f"/proc/{service.process.pid}/task").iterdir()
        worker = next(int(task.name) for task in tasks
                      if (task / "comm").read_text().strip() == "worker-1")
        ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self.assertEqual(ptrace(PTRACE_SEIZE, worker, None, None), 0)
        self.assertEqual(ptrace(PTRACE_INTERRUPT, worker, None, None), 0)
        os.waitpid(worker, WALL)
        service.logged(r'"a worker does not answer","worker":1\b')
        while service.next():
            pass
        silent = time.monotonic() + 2
        while time.monotonic() < silent:
            self.assertNotIn("WATCHDOG", service.next() or "")
        self.assertEqual(ptrace(PTRACE_DETACH, worker, None, None), 0)
        service.told("WATCHDOG=1")


if __name__ == "__main__":
    unittest.main()
