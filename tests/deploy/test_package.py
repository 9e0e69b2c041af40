"""The Debian package: what is in it, and its life on a system that has nothing but Debian's
essential packages: installed, started, upgraded, removed, purged.

Needs `cargo deb`, `mmdebstrap` and `mandoc`. That system is made once, in `target/`.
"""

import configparser
import gzip
import hashlib
import re
import shlex
import shutil
import tempfile
import unittest
from pathlib import Path

from containers import ROOT, eventually, podman, run, stripped

BASE = ROOT / "target" / "debian-root"
MIRROR = "http://deb.debian.org/debian"
CONFIG = "/etc/keygate/keygate.toml"
# What the generator of the pages does with every long text; it looks the same with and without.
HARMLESS = re.compile(r"skipping paragraph macro: (br|sp)|missing date, using \"\": TH")


def base():
    """A directory with a minimal Debian. It is never changed: containers have layers above it."""
    if not BASE.exists():
        BASE.parent.mkdir(exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=BASE.parent, prefix="debian-root."))
        suite = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.M)[1]
        run("mmdebstrap", "--quiet", "--variant=essential",
            "--include=systemd-standalone-sysusers", suite, made, MIRROR)
        made.chmod(0o755)
        made.rename(BASE)
    return BASE


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(prefix="keygate-package-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.package = cls.build(stripped(cls.directory))
        cls.files = cls.directory / "files"
        run("dpkg-deb", "--extract", cls.package, cls.files)

    @classmethod
    def build(cls, binary):
        built = run(ROOT / "deploy" / "build-package", "--fast", "--binary", binary)
        return Path(shutil.copy(ROOT / built.stdout.strip(), cls.directory))

    def start(self):
        """A system of its own, with the package beside it."""
        container = podman("run", "--detach", "--network=none", "--volume",
                           f"{self.package}:/keygate.deb:ro", "--rootfs", f"{base()}:O",
                           "sleep", "infinity").stdout.strip()
        self.addCleanup(podman, "rm", "--force", "--time=0", container)
        return lambda *command, user="root", check=True, **options: podman(
            "exec", "--user", user, container, *command, check=check, **options)

    def installed(self):
        there = self.start()
        there("dpkg", "--install", "/keygate.deb")
        return there

    def owned(self, there, *paths):
        return there("stat", "--format=%A %U:%G %n", *paths).stdout.splitlines()

    def serve(self, there):
        """Runs what the unit runs, as the unit's user, until it is ready; how ready it is."""
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str
        unit.read(self.files / "usr/lib/systemd/system/keygate.service")
        command = shlex.split(unit["Service"]["ExecStart"])
        user = unit["Service"]["User"]
        there("sh", "-c", f"({shlex.join(command)} 2>/tmp/log & echo $! >/tmp/pid; wait $!; "
              "echo $? >/tmp/code) >/dev/null 2>&1 &", user=user)
        ready = lambda: there("keygate", "health", "--config", CONFIG, check=False).stdout
        return eventually(ready, "it to be ready")

    def test_what_stands_in_it_is_where_the_system_looks_for_it(self):
        for path in (
            "usr/bin/keygate", "usr/lib/systemd/system/keygate.service",
            "usr/lib/systemd/system/keygate.socket", "usr/lib/sysusers.d/keygate.conf",
            "etc/logrotate.d/keygate", "etc/keygate/keygate.toml",
            "usr/share/man/man1/keygate.1.gz", "usr/share/man/man1/keygate-keys-rotate.1.gz",
            "usr/share/bash-completion/completions/keygate",
            "usr/share/zsh/vendor-completions/_keygate",
            "usr/share/fish/vendor_completions.d/keygate.fish",
            "usr/share/doc/keygate/copyright", "usr/share/doc/keygate/config.example.toml",
            "usr/share/doc/keygate/MANUAL.md",
        ):
            self.assertTrue((self.files / path).is_file(), path)
        # What holds keys is made on the system and never belongs to the package.
        self.assertFalse((self.files / "etc/keygate/keys.toml").exists())

    def test_the_same_binary_gives_the_same_package(self):
        digest = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
        before = digest(self.package)
        self.assertEqual(digest(self.build(self.directory / "keygate")), before)

    def test_every_manual_page_is_well_formed(self):
        pages = []
        for packed in sorted((self.files / "usr/share/man/man1").glob("*.1.gz")):
            pages.append(self.directory / packed.stem)
            pages[-1].write_bytes(gzip.decompress(packed.read_bytes()))
        self.assertGreater(len(pages), 20)
        found = run("mandoc", "-T", "lint", "-W", "warning", *pages, check=False).stdout
        self.assertEqual([line for line in found.splitlines() if not HARMLESS.search(line)], [])
        shown = run("mandoc", "-T", "utf8", pages[-1]).stdout
        self.assertIn("keygate manual", shown)

    def test_bash_completes_commands_and_options(self):
        script = self.files / "usr/share/bash-completion/completions/keygate"
        for words, expected in (("keys ro", "rotate"), ("health --li", "--live")):
            ask = f"""
                source {shlex.quote(str(script))}
                COMP_WORDS=(keygate {words}) COMP_CWORD=2
                _keygate keygate {words.split()[1]} {words.split()[0]}
                echo "${{COMPREPLY[@]}}"
            """
            done = run("bash", "--norc", "-eu", "-c", ask)
            self.assertEqual((done.stdout.strip(), done.stderr), (expected, ""), words)

    def test_it_starts_as_installed_and_takes_keys_while_it_runs(self):
        there = self.installed()
        checked = there("keygate", "check", "--config", CONFIG, user="keygate")
        self.assertNotIn("warning", checked.stderr)
        self.assertIn("keys 0", self.serve(there))
        there("keygate", "accounts", "create", "acme", "--config", CONFIG)
        there("keygate", "keys", "create", "--account", "acme", "--config", CONFIG)
        ready = lambda: there("keygate", "health", "--config", CONFIG).stdout
        eventually(lambda: "keys 1" in ready(), "the key that root made")
        self.assertEqual(self.owned(there, "/etc/keygate/keys.toml"),
                         ["-rw-r----- root:keygate /etc/keygate/keys.toml"])
        there("sh", "-c", "kill $(cat /tmp/pid)")
        ended = lambda: there("cat", "/tmp/code", check=False).stdout
        self.assertEqual(eventually(ended, "its end"), "0\n")

    def test_only_root_writes_what_the_service_reads(self):
        there = self.installed()
        self.assertEqual(
            self.owned(there, "/etc/keygate", CONFIG, "/etc/keygate/keys.toml",
                       "/etc/keygate/tls/server.key", "/var/lib/keygate", "/var/log/keygate"),
            ["drwxr-x--- root:keygate /etc/keygate", f"-rw-r--r-- root:root {CONFIG}",
             "-rw-r----- root:keygate /etc/keygate/keys.toml",
             "-rw-r----- root:keygate /etc/keygate/tls/server.key",
             "drwx------ keygate:keygate /var/lib/keygate",
             "drwxr-x--- keygate:keygate /var/log/keygate"])
        refused = there("cat", "/etc/keygate/keys.toml", user="nobody", check=False)
        self.assertIn("Permission denied", refused.stderr)

    def test_an_upgrade_and_a_new_installation_leave_everything_as_it_is(self):
        there = self.installed()
        there("keygate", "accounts", "create", "acme", "--config", CONFIG)
        there("sh", "-c", f"echo '# mine' >> {CONFIG}; echo state > /var/lib/keygate/state")
        held = "find /etc/keygate /var/lib/keygate -type f -exec sha256sum {} + | sort"
        before = there("sh", "-c", held).stdout
        self.assertIn("/etc/keygate/tls/server.key", before)
        there("dpkg", "--install", "/keygate.deb")
        self.assertEqual(there("sh", "-c", held).stdout, before)
        removed = there("dpkg", "--remove", "keygate")
        self.assertIn("/etc/keygate with its keys", removed.stdout + removed.stderr)
        self.assertEqual(there("sh", "-c", held).stdout, before)
        there("dpkg", "--install", "/keygate.deb")
        self.assertEqual(there("sh", "-c", held).stdout, before)

    def test_purging_it_leaves_nothing_and_says_so(self):
        there = self.start()
        listed = "find / -xdev -name '*keygate*' -not -path '/proc/*' | sort"
        before = there("sh", "-c", listed).stdout
        there("dpkg", "--install", "/keygate.deb")
        self.assertNotEqual(there("sh", "-c", listed).stdout, before)
        purged = there("dpkg", "--purge", "keygate")
        for directory in ("/etc/keygate", "/var/lib/keygate", "/var/log/keygate"):
            self.assertIn(f"purge removes {directory} and everything in it",
                          purged.stdout + purged.stderr)
        self.assertEqual(there("sh", "-c", listed).stdout, before)


if __name__ == "__main__":
    unittest.main()
