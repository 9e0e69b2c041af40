"""What deploy/kubernetes/README.md shows can be done as it stands there."""

import os
import re
import shlex
import shutil
import tempfile
import unittest
from pathlib import Path

import kubernetes_validate

from containers import ROOT, run
from manifest import config_text, deployment_of, kustomized, mistakes, pod_of, unrestricted
from tools import tool

PAGE = ROOT / "deploy" / "kubernetes" / "README.md"
NEWEST = kubernetes_validate.latest_version()
# Nobody listens there: a command that gets so far was understood.
NOWHERE = "http://127.0.0.1:1"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.keygate = Path(os.environ["KEYGATE_STATIC"]).resolve()
        cls.directory = Path(tempfile.mkdtemp(prefix="keygate-page-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        shutil.copytree(ROOT / "deploy" / "kubernetes" / "base", cls.directory / "base")
        cls.mine = cls.directory / "mine"
        cls.mine.mkdir()
        cls.key_file()
        config = (ROOT / "deploy" / "kubernetes" / "base" / "keygate.toml").read_text()
        (revocations,) = blocks("toml")
        cls.config, cls.revoking = config, config.replace("[keys]\n", f"[keys]\n{revocations}")
        (cls.mine / "keygate.toml").write_text(config)
        for block in blocks("yaml"):
            name = block.splitlines()[0].removeprefix("# ")
            (cls.mine / name).parent.mkdir(exist_ok=True)
            (cls.mine / name).write_text(block)
        cls.revocations = shutil.copytree(cls.mine, cls.directory / "revocations")
        with open(cls.revocations / "kustomization.yaml", "a") as kustomization:
            kustomization.write("components:\n  - revocations\n")

    @classmethod
    def key_file(cls):
        run(cls.keygate, "init", "--preset", "minimal", "--self-signed", cls.mine / "made")
        for wanted, held in {"server.crt": "*.crt", "server.key": "*.key"}.items():
            shutil.copy(next((cls.mine / "made").rglob(held)), cls.mine / wanted)
        text = '[[account]]\nid = "acme"\n\n[[key]]\nid = "key_01JD3Q"\naccount = "acme"\n'
        (cls.mine / "keys.toml").write_text(text + f'digest = "sha256:{"0" * 64}"\n')

    def test_the_overlays_are_sound(self):
        for directory in (self.mine, self.revocations):
            found = kustomized(directory)
            for document in found:
                kubernetes_validate.validate(document, NEWEST, strict=True)
            self.assertEqual(mistakes(found), [])
            self.assertEqual(list(unrestricted(pod_of(deployment_of(found)))), [])
            self.assertNotIn("registry.example", str(found))
            self.assertEqual(config_text(found), self.config)

    def test_the_list_of_revocations_is_where_it_is_looked_for(self):
        directory = self.revocations
        found = kustomized(directory)
        (text,) = [it["data"]["revoked.txt"] for it in found if "revoked.txt" in it.get("data", {})]
        (directory / "revoked.txt").write_text(text + "\nkey_01JD3Q\n")
        (directory / "keygate.toml").write_text(self.revoking)
        done = run(
            self.keygate, "check", "--config", directory / "keygate.toml",
            "--set", f"keys.revocations={directory / 'revoked.txt'}",
            "--set", f"keys.files={self.mine / 'keys.toml'}",
            "--set", f"tls.certificate={self.mine / 'server.crt'}",
            "--set", f"tls.private_key={self.mine / 'server.key'}",
        )
        self.assertIn("ok", done.stdout)
        mounts = [mount["mountPath"] for container in pod_of(deployment_of(found))["initContainers"]
                  for mount in container["volumeMounts"]]
        self.assertIn("/etc/keygate-revoked", mounts)
        self.assertIn('"/etc/keygate-revoked/revoked.txt"', self.revoking)

    def test_every_command_is_understood(self):
        commands = [line for block in blocks("sh") for line in block.splitlines()]
        self.assertGreater(len(commands), 12)
        for line in commands:
            for part in pipeline(line):
                with self.subTest(" ".join(part)):
                    self.understood(*part)

    def understood(self, name, *arguments):
        options = {"cwd": self.mine, "check": False, "input": "",
                   "env": {**os.environ, "KUBECONFIG": os.devnull}}
        if name == "keygate":
            done = run(self.keygate, *arguments, **options)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        elif name == "helm":
            self.assertEqual(arguments[:2], ("upgrade", "--install"))
            done = run(tool("helm"), "template", *arguments[2:], **{**options, "cwd": ROOT})
            self.assertEqual(done.returncode, 0, done.stderr)
        elif name == "kubectl":
            nowhere = ("--server", NOWHERE, "--request-timeout=2s")
            done = run(tool("kubectl"), *nowhere, *arguments, **options)
            # Without a server nothing can be applied, but this far everything was right.
            refused = re.search(r"connection (to the server .* was )?refused|no objects passed",
                                done.stderr)
            self.assertTrue(done.returncode == 0 or refused, done.stderr)
        else:
            self.assertIn(name, ("grep",))

    def test_a_command_that_is_wrong_would_be_noticed(self):
        for wrong in (("kubectl", "anotate", "pods"), ("kubectl", "annotate", "pods", "--selektor=a"),
                      ("keygate", "keys", "rotate", "key_01JD3Q", "--overlp", "24h")):
            with self.assertRaises(AssertionError):
                self.understood(*wrong)

    def test_what_it_links_to_is_there(self):
        for link in re.findall(r"\]\(([^)#]+)\)", PAGE.read_text()):
            self.assertTrue((PAGE.parent / link).exists(), link)

    def test_its_numbers_are_those_of_the_manifests(self):
        pod = pod_of(deployment_of(kustomized(ROOT / "deploy" / "kubernetes" / "base")))
        text = PAGE.read_text()
        self.assertIn(f"`terminationGracePeriodSeconds`, {pod['terminationGracePeriodSeconds']} s",
                      text)
        self.assertIn("waits 5 s", text)
        self.assertIn("waits 36 s", text)


def pipeline(line):
    """The commands of a line; what a shell would put in for `$(…)` stands as it is."""
    parts = [[]]
    for word in shlex.split(line):
        if word == "|":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


if __name__ == "__main__":
    unittest.main()
