"""The manual's container, typed as it stands there: in a network of its own, where the ports that it
names are free. `KEYGATE_STATIC` names the statically linked binary.
"""

import os
import re
import tempfile
import unittest
from pathlib import Path

from containers import CONFINED, PATIENCE, ROOT, podman, run, stripped

MANUAL = (ROOT / "deploy" / "README.md").read_text()


def block(heading):
    """The shell commands below a heading."""
    section = MANUAL.split(f"\n### {heading}\n", 1)[1].split("\n##", 1)[0]
    return section.split("```sh\n", 1)[1].split("```", 1)[0]


class Container(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="keygate-manual-")
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.name = f"keygate-manual-{os.getpid()}"
        self.addCleanup(podman, "rmi", "--force", self.name, check=False)
        self.addCleanup(podman, "rm", "--force", "--time=0", self.name, check=False)

    def script(self):
        """What is typed, with names that no other test has, and the binary that is built already."""
        text = block("A container beside an API")
        text = re.sub(r"(?<=[ =])keygate(?=[ \n])", self.name, text)
        text = text.replace("/srv/keygate", str(self.directory / "srv"))
        binary = stripped(self.directory)
        text = text.replace("deploy/build-image", f"deploy/build-image --binary {binary}")
        # It is up a moment after it was started.
        health = f"podman exec {self.name} /keygate health"
        self.assertIn(health, text)
        return text.replace(health, f"timeout {PATIENCE} sh -c 'until {health}; do sleep 0.1; done'")

    def test_what_is_typed_works(self):
        script = f"set -eu\nip link set lo up\n{self.script()}"
        done = run("unshare", "--net", "bash", "-c", script, cwd=ROOT,
                   env={**os.environ, "SOURCE_DATE_EPOCH": "0"})
        for said in ("keygate 0.", "ready: generation 1", "account acme is in /etc/keygate/keys.toml"):
            self.assertIn(said, done.stdout)
        self.assertRegex(done.stdout, r"\nkg_[0-9A-Za-z]{43,}\n")
        exited = podman("inspect", "--format", "{{.State.ExitCode}}", self.name).stdout.strip()
        self.assertEqual(exited, "0", done.stderr)

    def test_it_is_as_confined_as_the_image_is_tested(self):
        typed = block("A container beside an API").replace(" ", "=")
        for option in CONFINED:
            self.assertIn(option, typed)


if __name__ == "__main__":
    unittest.main()
