"""The image without anything prepared: its quickstart, the lines that this prints, and the health
check of the container that it runs in."""

import json
import os
import shutil
import tempfile
import unittest
from pathlib import Path

from containers import CONFINED, MEMORY, build, eventually, peak_memory, podman, run, stripped

NOT_ROOT = 65532


class Trial(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(prefix="keygate-trial-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.directory.chmod(0o755)
        cls.image = f"localhost/keygate-trial:{os.getpid()}"
        cls.binary = stripped(cls.directory)
        # podman keeps the health check in this format only.
        build(cls.binary, cls.image, "--format", "docker")
        cls.addClassCleanup(podman, "rmi", "--force", cls.image)

    def start(self, *options, command):
        container = podman("run", "--detach", *CONFINED, *options, self.image, *command)
        container = container.stdout.strip()
        self.addCleanup(podman, "rm", "--force", "--time=0", container, check=False)
        return container

    def logged(self, container):
        done = podman("logs", container)
        return done.stdout + done.stderr

    def quickstart(self):
        """A running one, and the lines that it prints. Its directory has the same name inside, and
        its network is the machine's, so that they can be pasted as they are."""
        made = Path(tempfile.mkdtemp(dir=self.directory))
        os.chown(made, NOT_ROOT, NOT_ROOT)
        container = self.start("--network=host", f"--volume={made}:{made}",
                               command=("quickstart", "--dir", made / "gate"))
        eventually(lambda: "Ctrl-C ends it" in self.logged(container), "the instructions")
        return container, made / "gate", podman("logs", container).stdout.splitlines()

    def test_the_lines_of_the_quickstart_do_what_they_say(self):
        container, gate, lines = self.quickstart()
        curl = [line for line in lines if line.startswith("curl ")]
        answers = [run("bash", "-c", f"{line} -s").stdout for line in curl]
        expected = ['"account": "acme"', "method_not_allowed_for_key", '"access": "write"',
                    "no_credential", "invalid_credential", "insecure_transport",
                    '"ready":true', "keygate_requests_total"]
        self.assertEqual(len(answers), len(expected), curl)
        for line, answer, words in zip(curl, answers, expected):
            self.assertIn(words, answer, line)
        revoke = next(line for line in lines if line.startswith("/keygate keys revoke"))
        podman("exec", container, *revoke.split())
        eventually(lambda: "invalid_credential" in run("bash", "-c", f"{curl[0]} -s").stdout,
                   "the revoked key is refused")
        said = podman("exec", container, "/keygate", "health", "--config", gate / "keygate.toml")
        self.assertIn("ready: generation", said.stdout)
        self.assertLess(peak_memory(container), MEMORY)
        podman("stop", "--time", "30", container)
        form = "{{.State.ExitCode}} {{.State.OOMKilled}}"
        self.assertEqual(podman("inspect", "--format", form, container).stdout, "0 false\n")

    def test_it_needs_no_more_to_write_to_than_a_temporary_directory(self):
        container = self.start("--tmpfs=/tmp", command=("quickstart",))
        eventually(lambda: "Ctrl-C ends it" in self.logged(container), "the instructions")
        self.assertEqual(self.check(container), ("healthy", 0))

    def check(self, container):
        """Has the container's own health check made; its state then, and how it ended."""
        # As long as a container is young, a check that fails does not count.
        done = podman("healthcheck", "run", container, check=False)
        health = json.loads(podman("inspect", "--format", "{{json .State.Health}}",
                                   container).stdout)
        self.output = (health["Log"] or [{"Output": ""}])[-1]["Output"]
        return health["Status"], done.returncode

    def served(self):
        """A container that serves files that `init` made, mounted for reading alone."""
        gate = Path(tempfile.mkdtemp(dir=self.directory)) / "gate"
        run(self.binary, "init", "--preset", "minimal", "--self-signed", gate)
        config = gate / "keygate.toml"
        for file in gate.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)
        gate.chmod(0o755)
        gate.parent.chmod(0o755)
        run(self.binary, "check", "--config", config)
        sets = ("--set", "drain.delay=60s", "--set", "listen.admin=127.0.0.1:9090")
        container = self.start(f"--volume={gate}:/etc/keygate:ro",
                               command=("run", "--config", "/etc/keygate/keygate.toml", *sets))
        eventually(lambda: '"listening"' in self.logged(container), "it to listen")
        return container, gate

    def test_the_health_check_tells_a_container_that_serves_from_one_that_does_not(self):
        container, gate = self.served()
        self.assertEqual(self.check(container), ("healthy", 0), self.output)
        (gate / "keys.toml").write_text("[[key]\n")
        eventually(lambda: self.check(container)[1] == 0 and "do not load" in self.output,
                   "what does not load is told, and is no reason to end what serves")
        podman("kill", "--signal", "TERM", container)
        eventually(lambda: self.check(container) == ("unhealthy", 1), "it drains, and is unhealthy")
        self.assertIn("it is draining", self.output)


if __name__ == "__main__":
    unittest.main()
