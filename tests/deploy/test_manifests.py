"""The Kubernetes manifests are valid, mean what they say, and ask for no more than they need."""

import os
import re
import shutil
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

import jsonschema
import kubernetes_validate

from containers import ROOT, run
from manifest import (
    BASE, OVERLAYS, config_text, containers_of, deployment_of, documents, keygate_of,
    mistakes, of_kind, pod_of, policies_of, publish, unrestricted,
)

OLDEST = "1.29"  # the first Kubernetes with native sidecars switched on
OLDEST_PLAIN = "1.26"  # what the ordinary sidecar is for: older ones
NEWEST = kubernetes_validate.latest_version()
ALL = [BASE, *OVERLAYS]
PLAIN = "overlays/plain-sidecar"
STANDALONE = "overlays/standalone"
SOCKET = "overlays/unix-socket"

# What of cert-manager's Certificate (v1) we write; anything else is a slip of the pen.
CERTIFICATE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["secretName", "issuerRef", "dnsNames"],
    "properties": {
        "secretName": {"type": "string"},
        "dnsNames": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        "issuerRef": {
            "type": "object",
            "additionalProperties": False,
            "required": ["name"],
            "properties": {
                "name": {"type": "string"},
                "kind": {"enum": ["Issuer", "ClusterIssuer"]},
                "group": {"type": "string"},
            },
        },
        "privateKey": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "algorithm": {"enum": ["RSA", "ECDSA", "Ed25519"]},
                "size": {"type": "integer"},
                "rotationPolicy": {"enum": ["Never", "Always"]},
                "encoding": {"enum": ["PKCS1", "PKCS8"]},
            },
        },
        "usages": {"type": "array", "items": {"enum": ["digital signature", "server auth"]}},
        "duration": {"type": "string", "pattern": r"^(\d+h)?(\d+m)?(\d+s)?$"},
        "renewBefore": {"type": "string", "pattern": r"^(\d+h)?(\d+m)?(\d+s)?$"},
    },
}


def validate(document, version):
    """Strictly: an unknown member is an error."""
    if document["apiVersion"] == "cert-manager.io/v1":
        jsonschema.validate(document["spec"], CERTIFICATE)
    else:
        kubernetes_validate.validate(document, version, strict=True)


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


def drain_of(found):
    drain = tomllib.loads(config_text(found))["drain"]
    return seconds(drain["delay"]), seconds(drain["timeout"])


def pre_stop_of(container):
    command = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command[0] == "sleep", command
    return int(command[1])


class Every:
    """What holds of the base and of every overlay."""

    oldest = OLDEST

    def setUp(self):
        self.found = documents(self.which)
        self.pod = pod_of(deployment_of(self.found))
        self.keygate = keygate_of(self.found)

    def test_every_document_is_valid_and_has_no_unknown_field(self):
        self.assertGreaterEqual(len(self.found), 6)
        for document in self.found:
            for version in (self.oldest, NEWEST):
                validate(document, version)

    def test_an_unknown_field_would_be_noticed(self):
        self.keygate["restartPolice"] = "Always"
        for version in (OLDEST, NEWEST):
            with self.assertRaises(kubernetes_validate.ValidationError):
                validate(deployment_of(self.found), version)

    def test_it_has_none_of_the_mistakes_that_a_schema_does_not_see(self):
        self.assertEqual(mistakes(self.found), [])

    def test_it_is_restricted_as_pod_security_wants_it(self):
        self.assertEqual(list(unrestricted(self.pod)), [])
        for account in of_kind(self.found, "ServiceAccount"):
            self.assertIs(account["automountServiceAccountToken"], False)

    def test_no_secret_stands_in_it(self):
        self.assertEqual(of_kind(self.found, "Secret"), [])

    def test_keygate_has_all_three_probes(self):
        for probe, path in {
            "startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez",
        }.items():
            self.assertEqual(self.keygate[probe]["httpGet"], {"path": path, "port": "admin"}, probe)

    def test_the_ports_are_those_of_the_configuration(self):
        listen = tomllib.loads(config_text(self.found))["listen"]
        ports = {port["name"]: port["containerPort"] for port in self.keygate["ports"]}
        for name in ("https", "admin"):
            self.assertEqual(listen[name], f"0.0.0.0:{ports[name]}")

    def test_only_keygates_port_is_let_in_and_the_figures_from_the_monitoring(self):
        labels = deployment_of(self.found)["spec"]["template"]["metadata"]["labels"]
        (policy,) = policies_of(self.found, labels)
        self.assertEqual(policy["spec"]["policyTypes"], ["Ingress"])
        https, figures = policy["spec"]["ingress"]
        self.assertEqual(https, {"ports": [{"port": 8443}]})
        self.assertEqual(figures["ports"], [{"port": 9090}])
        self.assertEqual(
            figures["from"],
            [{"namespaceSelector": {
                "matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        )

    def test_every_file_that_the_configuration_names_is_mounted(self):
        config = tomllib.loads(config_text(self.found))
        mounts = [mount["mountPath"] for mount in self.keygate["volumeMounts"]]
        for path in [*config["keys"]["files"], *config["tls"].values(), self.keygate["args"][-1]]:
            held = any(path == mount or path.startswith(mount + "/") for mount in mounts)
            self.assertTrue(held, f"{path} is in none of {mounts}")

    def test_the_drain_fits_into_the_grace_period(self):
        delay, timeout = drain_of(self.found)
        grace = self.pod["terminationGracePeriodSeconds"]
        self.assertEqual(delay, 5)
        before = 0
        if "initContainers" in self.pod:
            # A native sidecar is told to end when the API has ended.
            api = containers_of(self.pod)[1]
            before = pre_stop_of(api) + 15
        self.assertGreater(grace, before + delay + timeout)


class Base(Every, unittest.TestCase):
    which = BASE


class CertManager(Every, unittest.TestCase):
    which = "overlays/cert-manager"


class Plain(Every, unittest.TestCase):
    which = PLAIN
    oldest = OLDEST_PLAIN


class Alone(Every, unittest.TestCase):
    which = STANDALONE


class UnixSocket(Every, unittest.TestCase):
    which = SOCKET


class Sidecar(unittest.TestCase):
    def test_in_the_base_it_is_native(self):
        for which in (BASE, "overlays/cert-manager"):
            pod = pod_of(deployment_of(documents(which)))
            (keygate,) = pod["initContainers"]
            self.assertEqual((keygate["name"], keygate["restartPolicy"]), ("keygate", "Always"))

    def test_the_api_is_reached_on_loopback_and_publishes_no_port(self):
        for which in (BASE, PLAIN):
            found = documents(which)
            upstream = tomllib.loads(config_text(found))["upstream"]["url"]
            self.assertTrue(upstream.startswith("http://127.0.0.1:"), upstream)
            api = containers_of(pod_of(deployment_of(found)))[1]
            self.assertEqual(api["name"], "api")
            self.assertNotIn("ports", api)

    def test_or_by_a_socket_in_a_directory_that_both_have(self):
        found = documents(SOCKET)
        upstream = tomllib.loads(config_text(found))["upstream"]["url"]
        pod = pod_of(deployment_of(found))
        for container in containers_of(pod):
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            directory = Path(upstream.removeprefix("unix:")).parent
            self.assertEqual(mounts[str(directory)], "app", container["name"])
        (shared,) = [volume for volume in pod["volumes"] if volume["name"] == "app"]
        self.assertEqual(shared["emptyDir"]["medium"], "Memory")

    def test_the_ordinary_one_stands_first_and_ends_before_the_api(self):
        found = documents(PLAIN)
        pod = pod_of(deployment_of(found))
        self.assertNotIn("initContainers", pod)
        keygate, api = pod["containers"]
        self.assertEqual((keygate["name"], api["name"]), ("keygate", "api"))
        self.assertNotIn("restartPolicy", keygate)
        delay, timeout = drain_of(found)
        self.assertGreater(pre_stop_of(api), delay + timeout)
        self.assertGreater(pod["terminationGracePeriodSeconds"], pre_stop_of(api) + 15)

    def test_the_ordinary_one_is_otherwise_that_of_the_base(self):
        native, plain = keygate_of(documents()), keygate_of(documents(PLAIN))
        native.pop("restartPolicy")
        self.assertEqual(native, plain)


class Standalone(unittest.TestCase):
    def setUp(self):
        self.found = documents(STANDALONE)
        self.deployment = deployment_of(self.found)
        self.pod = pod_of(self.deployment)

    def test_it_is_keygate_alone_in_several_replicas_spread_over_nodes_and_zones(self):
        self.assertEqual([container["name"] for container in containers_of(self.pod)], ["keygate"])
        self.assertGreaterEqual(self.deployment["spec"]["replicas"], 3)
        spread = {it["topologyKey"] for it in self.pod["topologySpreadConstraints"]}
        self.assertEqual(spread, {"kubernetes.io/hostname", "topology.kubernetes.io/zone"})

    def test_its_container_is_otherwise_that_of_the_base(self):
        native = keygate_of(documents())
        native.pop("restartPolicy")
        self.assertEqual(native, keygate_of(self.found))

    def test_the_api_is_kept_for_keygate(self):
        labels = self.deployment["spec"]["template"]["metadata"]["labels"]
        own = policies_of(self.found, labels)
        (policy,) = [it for it in of_kind(self.found, "NetworkPolicy") if it not in own]
        self.assertEqual(
            policy["spec"]["ingress"], [{"from": [{"podSelector": {"matchLabels": labels}}]}])

    def test_nothing_keeps_the_name_of_the_base(self):
        for document in self.found:
            self.assertTrue(document["metadata"]["name"].startswith("keygate"), document)


class Certificate(unittest.TestCase):
    def setUp(self):
        (self.certificate,) = of_kind(documents("overlays/cert-manager"), "Certificate")

    def test_it_makes_the_secret_that_the_pod_mounts(self):
        pod = pod_of(deployment_of(documents("overlays/cert-manager")))
        (tls,) = [volume for volume in pod["volumes"] if volume["name"] == "tls"]
        self.assertEqual(self.certificate["spec"]["secretName"], tls["secret"]["secretName"])

    def test_it_is_renewed_before_it_ends(self):
        hours = {name: int(self.certificate["spec"][name].removesuffix("h"))
                 for name in ("duration", "renewBefore")}
        self.assertLess(hours["renewBefore"], hours["duration"])

    def test_a_misspelt_member_would_be_noticed(self):
        self.certificate["spec"]["dnsName"] = ["api.example.com"]
        with self.assertRaises(jsonschema.ValidationError):
            validate(self.certificate, NEWEST)


class Configuration(unittest.TestCase):
    """keygate itself says that it would start with what the ConfigMaps hold."""

    @classmethod
    def setUpClass(cls):
        cls.keygate = Path(os.environ["KEYGATE_STATIC"]).resolve()
        cls.directory = Path(tempfile.mkdtemp(prefix="keygate-manifests-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        made = cls.directory / "made"
        run(cls.keygate, "init", "--preset", "minimal", "--self-signed", made)
        for name, suffix in (("keys", "keys.toml"), ("tls.crt", "*.crt"), ("tls.key", "*.key")):
            (file,) = made.rglob(suffix)
            held = "keys.toml" if name == "keys" else name
            publish(cls.directory / name, {held: file.read_text()})

    def check(self, text):
        publish(self.directory / "config", {"keygate.toml": text})
        return run(
            self.keygate, "check", "--config", self.directory / "config" / "keygate.toml",
            "--set", f"keys.files={self.directory / 'keys'}",
            "--set", f"tls.certificate={self.directory / 'tls.crt' / 'tls.crt'}",
            "--set", f"tls.private_key={self.directory / 'tls.key' / 'tls.key'}", check=False,
        )

    def test_every_one_passes_the_check(self):
        for which in ALL:
            with self.subTest(which):
                done = self.check(config_text(documents(which)))
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertIn("ok", done.stdout)

    def test_a_misspelt_one_would_not(self):
        done = self.check(config_text(documents()).replace("timeout =", "time_out ="))
        self.assertEqual(done.returncode, 1)
        self.assertIn("time_out", done.stderr)


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

    def test_hadolint_has_nothing_against_the_dockerfile(self):
        done = run(Path(sys.prefix) / "bin" / "hadolint", ROOT / "deploy" / "Dockerfile")
        self.assertEqual(done.stdout, "")

    def test_the_versions_agree(self):
        self.assertEqual(self.argument("VERSION"), self.package["version"])
        image = keygate_of(documents())["image"]
        self.assertEqual(image.rsplit(":", 1)[1], self.package["version"])

    def test_the_user_is_a_number_and_not_root(self):
        user = re.search(r"^USER (.*)$", self.dockerfile, re.MULTILINE)[1]
        pod = pod_of(deployment_of(documents()))["securityContext"]
        self.assertEqual(user, f"{pod['runAsUser']}:{pod['runAsGroup']}")
        self.assertNotEqual(pod["runAsUser"], 0)


class Mistakes(unittest.TestCase):
    """Each mistake is noticed when it is made."""

    def setUp(self):
        self.found = documents()
        self.deployment = deployment_of(self.found)
        self.pod = pod_of(self.deployment)
        self.keygate = keygate_of(self.found)
        self.service = of_kind(self.found, "Service")[0]

    def said(self):
        return "; ".join(mistakes(self.found))

    def test_a_selector_that_misses_the_labels(self):
        other = {"app": "other"}
        self.deployment["spec"]["selector"]["matchLabels"] = other
        self.service["spec"]["selector"] = other
        of_kind(self.found, "PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"] = other
        of_kind(self.found, "NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"] = other
        self.assertEqual(
            self.said(),
            "selector of your-api misses its own pods; service your-api selects no pod; "
            "budget your-api selects no pod; no network policy selects the pod",
        )

    def test_a_mount_without_a_volume(self):
        self.pod["volumes"].pop(0)
        self.assertEqual(self.said(), "keygate mounts `config`, which is no volume")

    def test_a_volume_that_nobody_mounts(self):
        self.keygate["volumeMounts"].pop(0)
        self.assertEqual(self.said(), "volume config is mounted nowhere")

    def test_a_subpath_mount(self):
        self.keygate["volumeMounts"][0]["subPath"] = "keygate.toml"
        self.assertIn("never updated", self.said())

    def test_a_quantity_that_is_none(self):
        self.keygate["resources"]["limits"]["memory"] = "64MiB"
        self.pod["volumes"][-1]["emptyDir"]["sizeLimit"] = "1 Gi"
        self.assertEqual(
            self.said(),
            "keygate limits memory `64MiB`, which is no quantity; "
            "volume tmp is limited to `1 Gi`, which is no quantity",
        )

    def test_a_probe_of_a_port_that_does_not_exist(self):
        self.keygate["readinessProbe"]["httpGet"]["port"] = "metrics"
        self.assertEqual(
            self.said(), "readinessProbe of keygate asks port `metrics`, which it does not have")

    def test_a_service_to_a_port_that_does_not_exist_or_is_named_by_a_sidecar(self):
        self.service["spec"]["ports"][0]["targetPort"] = "http"
        self.assertEqual(self.said(), "service port `http` is no container's")
        self.service["spec"]["ports"][0]["targetPort"] = "https"
        self.assertIn("named by a sidecar", self.said())

    def test_what_nothing_makes(self):
        self.pod["serviceAccountName"] = "nobody"
        self.pod["volumes"][0]["configMap"]["name"] = "nothing"
        self.assertEqual(
            self.said(),
            "no service account is called `nobody`; no config map is called `nothing`",
        )


class Unrestricted(unittest.TestCase):
    """Each right too many is noticed when it is given."""

    def noticed(self, change):
        pod = pod_of(deployment_of(documents()))
        change(pod)
        return list(unrestricted(pod))

    def test_each_right_too_many(self):
        keygate = lambda pod: pod["initContainers"][0]
        cases = {
            "hostNetwork is on": lambda pod: pod.update(hostNetwork=True),
            "a token of the service account is mounted":
                lambda pod: pod.pop("automountServiceAccountToken"),
            "volume tmp is a hostPath":
                lambda pod: pod["volumes"].append({"name": "tmp", "hostPath": {"path": "/"}}),
            "the user of the pod is not named, or root":
                lambda pod: pod["securityContext"].pop("runAsUser"),
            "keygate: runAsNonRoot":
                lambda pod: keygate(pod)["securityContext"].update(runAsNonRoot=False),
            "keygate: allowPrivilegeEscalation":
                lambda pod: keygate(pod)["securityContext"].pop("allowPrivilegeEscalation"),
            "keygate: readOnlyRootFilesystem":
                lambda pod: keygate(pod)["securityContext"].pop("readOnlyRootFilesystem"),
            "keygate: capabilities":
                lambda pod: keygate(pod)["securityContext"]["capabilities"].update(add=["CHOWN"]),
            "keygate: privileged":
                lambda pod: keygate(pod)["securityContext"].update(privileged=True),
            "keygate: seccompProfile":
                lambda pod: keygate(pod)["securityContext"].update(
                    seccompProfile={"type": "Unconfined"}),
            "keygate: hostPort": lambda pod: keygate(pod)["ports"][0].update(hostPort=443),
            "keygate: limits.memory": lambda pod: keygate(pod)["resources"].pop("limits"),
        }
        for wanted, change in cases.items():
            with self.subTest(wanted):
                self.assertEqual(self.noticed(change), [wanted])


if __name__ == "__main__":
    unittest.main()
