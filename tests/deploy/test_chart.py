"""The Helm chart makes the same objects as the kustomize base and its overlays."""

import json
import os
import shutil
import tempfile
import tomllib
import unittest
from pathlib import Path

import kubernetes_validate
import yaml

from containers import ROOT, run
from manifest import (
    config_text, containers_of, deployment_of, documents, mistakes, of_kind, parsed, pod_of,
    unrestricted,
)
from tools import tool

CHART = ROOT / "deploy" / "helm" / "keygate"
OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()

# A directory for kustomize, the name of the release, and the values.
SAME = {
    "base": ("your-api", []),
    "overlays/plain-sidecar": ("your-api", ["mode=plain-sidecar"]),
    "overlays/unix-socket": ("your-api", ["app.socket=app.sock"]),
    "overlays/cert-manager": (
        "your-api", ["certManager.enabled=true", "certManager.dnsNames={api.example.com}"]),
    "overlays/standalone": ("keygate", ["mode=standalone"]),
}


def helm(*arguments, **options):
    return run(tool("helm"), *arguments, **options)


def settings(values):
    return [part for value in values for part in ("--set", value)]


def rendered(release="your-api", values=(), chart=CHART, **options):
    return parsed(helm("template", release, chart, *settings(values), **options).stdout)


def refusal(*values):
    done = helm("template", "your-api", CHART, *settings(values), check=False)
    assert done.returncode != 0, f"{values} is taken"
    return done.stderr


def by_name(found):
    """What stands for the same thing compares as the same."""
    objects = {}
    for document in found:
        for label in ("app.kubernetes.io/managed-by", "helm.sh/chart"):
            document["metadata"].get("labels", {}).pop(label, None)
        if document["kind"] == "ConfigMap":
            document["data"] = {
                name: tomllib.loads(text) for name, text in document["data"].items()}
        objects[document["kind"], document["metadata"]["name"]] = document
    return objects


class Same(unittest.TestCase):
    def test_each_object_is_that_of_the_kustomization(self):
        self.maxDiff = None
        for directory, (release, values) in SAME.items():
            with self.subTest(directory):
                chart = by_name(rendered(release, values))
                kustomized = by_name(documents(directory))
                self.assertEqual(sorted(chart), sorted(kustomized))
                for name, document in kustomized.items():
                    self.assertEqual(chart[name], document, name)

    def test_every_overlay_is_compared(self):
        overlays = (ROOT / "deploy" / "kubernetes" / "overlays").iterdir()
        self.assertEqual({*SAME}, {"base", *(f"overlays/{it.name}" for it in overlays)})


class Chart(unittest.TestCase):
    def test_it_lints(self):
        for _, values in SAME.values():
            helm("lint", "--strict", CHART, *settings(values))

    def test_its_versions_are_those_of_the_package(self):
        package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.assertEqual((chart["version"], chart["appVersion"]), (package, package))

    def test_two_releases_share_no_name_in_a_namespace(self):
        one, other = ({*by_name(rendered(release))} for release in ("orders", "invoices"))
        self.assertEqual(one & other, set())

    def test_what_is_not_the_default_is_sound_too(self):
        values = [
            "image.digest=sha256:" + "0" * 64, "image.pullPolicy=Always",
            "imagePullSecrets[0].name=registry", "service.type=LoadBalancer", "replicas=5",
            "service.annotations.example\\.com/scheme=internal", "podSpec.priorityClassName=high",
            "secrets.keys=orders-keys", "podAnnotations.example\\.com/team=orders",
        ]
        found = rendered(values=values)
        for document in found:
            for version in (OLDEST, NEWEST):
                kubernetes_validate.validate(document, version, strict=True)
        self.assertEqual(mistakes(found), [])
        deployment = deployment_of(found)
        pod = pod_of(deployment)
        self.assertEqual(list(unrestricted(pod)), [])
        self.assertEqual(deployment["spec"]["replicas"], 5)
        self.assertEqual(pod["priorityClassName"], "high")
        self.assertTrue(containers_of(pod)[0]["image"].endswith("keygate@sha256:" + "0" * 64))
        self.assertIn("orders-keys", json.dumps(pod))
        self.assertEqual(of_kind(found, "Service")[0]["spec"]["type"], "LoadBalancer")

    def test_the_parts_that_can_be_left_out_are(self):
        values = ["networkPolicy.enabled=false", "podDisruptionBudget.enabled=false"]
        kinds = {document["kind"] for document in rendered(values=values)}
        self.assertEqual(kinds, {"ServiceAccount", "ConfigMap", "Service", "Deployment"})

    def test_an_api_can_have_a_lifecycle_of_its_own(self):
        command = "app.container.lifecycle.preStop.exec.command"
        found = rendered(values=[command + "={/bin/wait}"])
        api = containers_of(pod_of(deployment_of(found)))[1]
        self.assertEqual(api["lifecycle"]["preStop"]["exec"]["command"], ["/bin/wait"])


class Values(unittest.TestCase):
    """What cannot be meant is refused, with its place."""

    def test_each_with_its_place(self):
        cases = {
            "mode=side": "at '/mode'",
            "image.tagg=1": "'tagg' not allowed",
            "resources.limits.memory=64MiB": "at '/resources/limits/memory'",
            "drain.delaySeconds=5s": "at '/drain/delaySeconds'",
            "certManager.enabled=true": "at '/certManager/dnsNames'",
            "upstream.url=your-api": "at '/upstream/url'",
            "app.socket=/run/app.sock": "at '/app/socket'",
            "secrets.keys=": "at '/secrets/keys'",
            "image.digest=latest": "at '/image/digest'",
            "nonsense=1": "'nonsense' not allowed",
        }
        for value, said in cases.items():
            with self.subTest(value):
                self.assertIn(said, refusal(value))

    def test_a_drain_that_does_not_fit_into_the_grace_period_is_refused(self):
        for mode in ("sidecar", "plain-sidecar", "standalone"):
            said = refusal(f"mode={mode}", "drain.timeoutSeconds=60")
            self.assertIn("terminationGracePeriodSeconds is 60", said)
        rendered(values=["drain.timeoutSeconds=60", "terminationGracePeriodSeconds=90"])

    def test_a_native_sidecar_is_refused_where_there_are_none(self):
        old = ("--kube-version", "1.28.15")
        done = helm("template", "your-api", CHART, *old, check=False)
        self.assertIn("knows no native sidecars: set `mode: plain-sidecar`", done.stderr)
        for mode in ("plain-sidecar", "standalone"):
            helm("template", "your-api", CHART, *old, "--set", f"mode={mode}")

    def test_every_default_is_named_by_the_schema(self):
        schema = json.loads((CHART / "values.schema.json").read_text())
        values = yaml.safe_load((CHART / "values.yaml").read_text())
        self.assertEqual({*values}, {*schema["properties"]} - {"global", "enabled"})


class Parent(unittest.TestCase):
    """A chart that includes keygate in a pod of its own."""

    POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}
spec:
  initContainers:
    - {{- include "keygate.sidecar" .Subcharts.keygate | nindent 6 }}
  containers:
    - name: api
      image: registry.example/orders:1
  volumes:
    {{- include "keygate.volumes" .Subcharts.keygate | nindent 4 }}
"""

    def setUp(self):
        self.directory = Path(tempfile.mkdtemp(prefix="keygate-chart-"))
        self.addCleanup(shutil.rmtree, self.directory)
        (self.directory / "templates").mkdir()
        (self.directory / "templates" / "pod.yaml").write_text(self.POD)
        (self.directory / "Chart.yaml").write_text(
            "apiVersion: v2\nname: orders\nversion: 1.0.0\n"
            "dependencies:\n  - {name: keygate, version: 0.1.0, condition: keygate.enabled}\n")
        (self.directory / "values.yaml").write_text("keygate: {mode: template}\n")
        shutil.copytree(CHART, self.directory / "charts" / "keygate")

    def test_it_has_the_sidecar_of_the_base_and_its_configuration(self):
        found = by_name(rendered("orders", chart=self.directory))
        self.assertEqual({*found}, {("Pod", "orders"), ("ConfigMap", "orders-keygate")})
        pod = found["Pod", "orders"]
        for version in (OLDEST, NEWEST):
            kubernetes_validate.validate(pod, version, strict=True)
        base = pod_of(deployment_of(documents()))
        self.assertEqual(pod["spec"]["initContainers"], base["initContainers"])
        names = [volume.get("configMap", {}).get("name") for volume in pod["spec"]["volumes"]]
        self.assertEqual(names, ["orders-keygate", None, None])


class Configuration(unittest.TestCase):
    """keygate itself takes what the values make."""

    def setUp(self):
        self.keygate = Path(os.environ["KEYGATE_STATIC"]).resolve()
        self.directory = Path(tempfile.mkdtemp(prefix="keygate-chart-"))
        self.addCleanup(shutil.rmtree, self.directory)
        run(self.keygate, "init", "--preset", "minimal", "--self-signed", self.directory / "made")

    def check(self, *values):
        written = self.directory / "keygate.toml"
        written.write_text(config_text(rendered(values=values)))
        file = lambda pattern: next((self.directory / "made").rglob(pattern))
        return run(
            self.keygate, "check", "--config", written,
            "--set", f"keys.files={file('keys.toml')}", "--set", f"tls.certificate={file('*.crt')}",
            "--set", f"tls.private_key={file('*.key')}", check=False,
        )

    def test_what_is_added_counts(self):
        extra = '[[route]]\npath = "/{*rest}"\nmethods = ["GET"]\n'
        done = self.check(f"config.extra={extra}")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("1 route", done.stdout)
        done = self.check(f"config.extra={extra.replace('path', 'paht')}")
        self.assertEqual(done.returncode, 1)
        self.assertIn("`paht`", done.stderr)

    def test_each_way_to_the_api_does(self):
        for value in ("app.socket=a.sock", "app.port=8080", "drain.timeoutSeconds=20"):
            done = self.check(value)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
