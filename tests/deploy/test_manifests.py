"""The Kubernetes manifest is valid, means what it says, and asks for no more than it needs."""

import copy
import re
import tomllib
import unittest

import kubernetes_validate

from manifest import (
    ROOT, config_text, containers_of, documents, mistakes, of_kind, pod_of, sidecar_of,
)

OLDEST = "1.29"  # the first Kubernetes with native sidecars switched on


class Manifest(unittest.TestCase):
    def setUp(self):
        self.documents = documents()
        self.deployment = of_kind(self.documents, "Deployment")[0]
        self.pod = pod_of(self.deployment)
        self.sidecar = sidecar_of(self.documents)

    def test_every_document_is_valid_and_has_no_unknown_field(self):
        self.assertGreaterEqual(len(self.documents), 3)
        for document in self.documents:
            kubernetes_validate.validate(document, OLDEST, strict=True)

    def test_an_unknown_field_would_be_noticed(self):
        self.sidecar["restartPolice"] = "Always"
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(self.deployment, OLDEST, strict=True)

    def test_it_has_none_of_the_mistakes_that_a_schema_does_not_see(self):
        self.assertEqual(mistakes(self.documents), [])

    def test_keygate_is_a_native_sidecar_with_all_three_probes(self):
        self.assertEqual(self.sidecar["restartPolicy"], "Always")
        for probe, path in {
            "startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez",
        }.items():
            self.assertEqual(self.sidecar[probe]["httpGet"]["path"], path, probe)
            self.assertEqual(self.sidecar[probe]["httpGet"]["port"], "admin", probe)

    def test_every_container_is_restricted(self):
        pod = self.pod["securityContext"]
        self.assertIs(pod["runAsNonRoot"], True)
        self.assertEqual(pod["seccompProfile"]["type"], "RuntimeDefault")
        self.assertIs(self.pod["automountServiceAccountToken"], False)
        for container in containers_of(self.pod):
            context = container["securityContext"]
            self.assertIs(context["allowPrivilegeEscalation"], False)
            self.assertIs(context["readOnlyRootFilesystem"], True)
            self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
            self.assertIn("memory", container["resources"]["limits"])

    def test_no_secret_stands_in_the_manifest(self):
        self.assertEqual(of_kind(self.documents, "Secret"), [])

    def test_the_drain_fits_into_the_grace_period(self):
        drain = tomllib.loads(config_text(self.documents))["drain"]
        self.assertEqual(drain["delay"], "5s")
        seconds = sum(int(re.fullmatch(r"(\d+)s", drain[name])[1]) for name in ("delay", "timeout"))
        self.assertGreater(self.pod["terminationGracePeriodSeconds"], seconds)

    def test_every_file_that_the_configuration_names_is_mounted(self):
        config = tomllib.loads(config_text(self.documents))
        mounts = [mount["mountPath"] for mount in self.sidecar["volumeMounts"]]
        named = [*config["keys"]["files"], *config["tls"].values(), self.sidecar["args"][-1]]
        for path in named:
            held = any(path == mount or path.startswith(mount + "/") for mount in mounts)
            self.assertTrue(held, f"{path} is in none of {mounts}")

    def test_the_ports_are_those_of_the_configuration(self):
        listen = tomllib.loads(config_text(self.documents))["listen"]
        ports = {port["name"]: port["containerPort"] for port in self.sidecar["ports"]}
        for name in ("https", "admin"):
            self.assertEqual(listen[name], f"0.0.0.0:{ports[name]}")


class Release(unittest.TestCase):
    """Image, manifest and package speak of the same thing."""

    def setUp(self):
        self.dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
        self.package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]

    def argument(self, name):
        return re.search(rf"^ARG {name}=(.*)$", self.dockerfile, re.MULTILINE)[1]

    def test_the_image_takes_the_binary_that_the_documented_command_makes(self):
        target = re.search(r"cargo build --release --target (\S+)", self.dockerfile)[1]
        self.assertEqual(self.argument("BINARY"), f"target/{target}/release/keygate")

    def test_the_versions_agree(self):
        self.assertEqual(self.argument("VERSION"), self.package["version"])
        image = sidecar_of(documents())["image"]
        self.assertEqual(image.rsplit(":", 1)[1], self.package["version"])

    def test_the_user_is_a_number_and_not_root(self):
        user = re.search(r"^USER (.*)$", self.dockerfile, re.MULTILINE)[1]
        pod = pod_of(of_kind(documents(), "Deployment")[0])["securityContext"]
        self.assertEqual(user, f"{pod['runAsUser']}:{pod['runAsGroup']}")
        self.assertNotEqual(pod["runAsUser"], 0)


class Mistakes(unittest.TestCase):
    """Each mistake is noticed when it is made."""

    def made(self, change):
        changed = copy.deepcopy(documents())
        change(changed)
        return " ".join(mistakes(changed))

    def test_a_selector_that_misses_the_labels(self):
        def deployment(found):
            of_kind(found, "Deployment")[0]["spec"]["selector"]["matchLabels"] = {"app": "other"}

        def service(found):
            of_kind(found, "Service")[0]["spec"]["selector"] = {"app": "other"}

        self.assertIn("misses its own pods", self.made(deployment))
        self.assertIn("selects no pod", self.made(service))

    def test_a_mount_without_a_volume(self):
        def change(found):
            pod_of(of_kind(found, "Deployment")[0])["volumes"].pop()

        self.assertIn("which is no volume", self.made(change))

    def test_a_subpath_mount(self):
        def change(found):
            sidecar_of(found)["volumeMounts"][0]["subPath"] = "keygate.toml"

        self.assertIn("never updated", self.made(change))

    def test_a_quantity_that_is_none(self):
        def change(found):
            sidecar_of(found)["resources"]["limits"]["memory"] = "64MiB"

        self.assertIn("`64MiB`, which is no quantity", self.made(change))

    def test_a_probe_of_a_port_that_does_not_exist(self):
        def change(found):
            sidecar_of(found)["readinessProbe"]["httpGet"]["port"] = "metrics"

        self.assertIn("asks port `metrics`", self.made(change))

    def test_a_service_to_a_port_that_does_not_exist(self):
        def change(found):
            of_kind(found, "Service")[0]["spec"]["ports"][0]["targetPort"] = "http"

        self.assertIn("service port `http`", self.made(change))


if __name__ == "__main__":
    unittest.main()
