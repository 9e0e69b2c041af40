"""The Kubernetes manifests as the tests look at them: their documents, their files, and the
mistakes in them that no schema sees."""

import copy
import re
import secrets
import shutil
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path

import yaml

from containers import ROOT, run
from tools import tool

KUBERNETES = ROOT / "deploy" / "kubernetes"
BASE = "base"
OVERLAYS = [f"overlays/{name}" for name in (
    "cert-manager", "plain-sidecar", "standalone", "unix-socket")]

# Kubernetes' resource.Quantity: a number and one of these suffixes.
QUANTITY = re.compile(
    r"^[+-]?(\d+(\.\d*)?|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?$")


def documents(which=BASE):
    """What `kubectl apply -k` would apply."""
    return copy.deepcopy(kustomized(KUBERNETES / which))


@lru_cache(maxsize=None)
def kustomized(directory):
    return list(parsed(run(tool("kubectl"), "kustomize", directory).stdout))


def parsed(text):
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(found, kind):
    return [document for document in found if document["kind"] == kind]


def deployment_of(found):
    (deployment,) = of_kind(found, "Deployment")
    return deployment


def pod_of(deployment):
    return deployment["spec"]["template"]["spec"]


def containers_of(pod):
    return pod.get("initContainers", []) + pod["containers"]


def keygate_of(found):
    pod = pod_of(deployment_of(found))
    for container in containers_of(pod):
        if container["name"] == "keygate":
            return container
    raise AssertionError("no container is called `keygate`")


def config_text(found):
    for config in of_kind(found, "ConfigMap"):
        if "keygate.toml" in config["data"]:
            return config["data"]["keygate.toml"]
    raise AssertionError("no ConfigMap holds `keygate.toml`")


def mistakes(found):
    """What the API server takes and the cluster then does not run as meant."""
    listed = []
    pods = [(document, document["spec"]["template"]) for document in of_kind(found, "Deployment")]
    for deployment, template in pods:
        labels = template["metadata"].get("labels", {})
        if not selects(deployment["spec"]["selector"]["matchLabels"], labels):
            listed.append(f"selector of {deployment['metadata']['name']} misses its own pods")
        for spread in template["spec"].get("topologySpreadConstraints", []):
            if not selects(spread["labelSelector"]["matchLabels"], labels):
                listed.append(f"spread by {spread['topologyKey']} counts other pods")
        listed += pod_mistakes(template["spec"])
        listed += missing(template["spec"], found)
    all_labels = [template["metadata"].get("labels", {}) for _, template in pods]
    for service in of_kind(found, "Service"):
        if not any(selects(service["spec"]["selector"], labels) for labels in all_labels):
            listed.append(f"service {service['metadata']['name']} selects no pod")
        for _, template in pods:
            listed += service_mistakes(service, template["spec"])
    for budget in of_kind(found, "PodDisruptionBudget"):
        if not any(selects(budget["spec"]["selector"]["matchLabels"], labels)
                   for labels in all_labels):
            listed.append(f"budget {budget['metadata']['name']} selects no pod")
    for _, template in pods:
        if not policies_of(found, template["metadata"].get("labels", {})):
            listed.append("no network policy selects the pod")
    return listed


def selects(selector, labels):
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())


def policies_of(found, labels):
    return [policy for policy in of_kind(found, "NetworkPolicy")
            if selects(policy["spec"]["podSelector"].get("matchLabels", {}), labels)]


def ports_of(containers):
    for container in containers:
        for port in container.get("ports", []):
            yield port["containerPort"]
            if "name" in port:
                yield port["name"]


def service_mistakes(service, pod):
    for port in service["spec"]["ports"]:
        target = port.get("targetPort", port["port"])
        if target not in ports_of(containers_of(pod)):
            yield f"service port `{target}` is no container's"
        elif isinstance(target, str) and target not in ports_of(pod["containers"]):
            # Before 1.32 an endpoint slice has no such port.
            yield f"service port `{target}` is named by a sidecar, where it is not looked for"


def missing(pod, found):
    """What the pod names and nothing makes."""
    made = {(document["kind"], document["metadata"]["name"]) for document in found}
    account = pod.get("serviceAccountName")
    if account and ("ServiceAccount", account) not in made:
        yield f"no service account is called `{account}`"
    for volume in pod.get("volumes", []):
        config = volume.get("configMap", {}).get("name")
        if config and ("ConfigMap", config) not in made:
            yield f"no config map is called `{config}`"


def pod_mistakes(pod):
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    mounted = set()
    for container in containers_of(pod):
        name = container["name"]
        for mount in container.get("volumeMounts", []):
            mounted.add(mount["name"])
            if mount["name"] not in volumes:
                yield f"{name} mounts `{mount['name']}`, which is no volume"
            if "subPath" in mount or "subPathExpr" in mount:
                yield f"{name} mounts `{mount['name']}` by subPath, which is never updated"
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            for how in ("httpGet", "tcpSocket", "grpc"):
                port = container.get(kind, {}).get(how, {}).get("port")
                if port is not None and port not in ports_of([container]):
                    yield f"{kind} of {name} asks port `{port}`, which it does not have"
        for kind in ("requests", "limits"):
            for resource, quantity in container.get("resources", {}).get(kind, {}).items():
                if not QUANTITY.match(str(quantity)):
                    yield f"{name} {kind} {resource} `{quantity}`, which is no quantity"
    for volume in pod.get("volumes", []):
        size = (volume.get("emptyDir") or {}).get("sizeLimit", "1Mi")
        if not QUANTITY.match(str(size)):
            yield f"volume {volume['name']} is limited to `{size}`, which is no quantity"
        if volume["name"] not in mounted:
            yield f"volume {volume['name']} is mounted nowhere"


RESTRICTED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}


def unrestricted(pod):
    """What the Pod Security Standard "restricted" does not let in, and what we want besides."""
    for shared in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(shared):
            yield f"{shared} is on"
    if pod.get("automountServiceAccountToken") is not False:
        yield "a token of the service account is mounted"
    for volume in pod.get("volumes", []):
        for kind in set(volume) - {"name"} - RESTRICTED_VOLUMES:
            yield f"volume {volume['name']} is a {kind}"
    whole = pod.get("securityContext", {})
    if not whole.get("runAsUser"):
        yield "the user of the pod is not named, or root"
    for container in containers_of(pod):
        own = container.get("securityContext", {})
        effective = {**whole, **own}
        wanted = {
            "runAsNonRoot": effective.get("runAsNonRoot") is True,
            "runAsUser": effective.get("runAsUser") != 0,
            "seccompProfile": effective.get("seccompProfile", {}).get("type")
            in ("RuntimeDefault", "Localhost"),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "privileged": not own.get("privileged"),
            "hostPort": not any("hostPort" in port for port in container.get("ports", [])),
            "limits.memory": "memory" in container.get("resources", {}).get("limits", {}),
            "requests.cpu": "cpu" in container.get("resources", {}).get("requests", {}),
        }
        for what, held in wanted.items():
            if not held:
                yield f"{container['name']}: {what}"


def publish(directory, files):
    """Writes a Secret's or ConfigMap's volume as the kubelet does: a new directory, one rename that
    puts it in force, then links for names that are new, and the old directory's end."""
    directory.mkdir(exist_ok=True)
    data = directory / "..data"
    old = data.resolve() if data.is_symlink() else None
    if old and {file.name: file.read_text() for file in old.iterdir()} == files:
        return
    now = datetime.now(timezone.utc).strftime("%Y_%m_%d_%H_%M_%S")
    fresh = directory / f"..{now}.{secrets.randbelow(10**10):010}"
    fresh.mkdir(mode=0o755)
    for name, text in files.items():
        (fresh / name).write_text(text)
        (fresh / name).chmod(0o444)
    (directory / "..data_tmp").symlink_to(fresh.name)
    (directory / "..data_tmp").rename(data)
    for name in files:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(Path("..data") / name)
    for link in directory.iterdir():
        if not link.name.startswith("..") and link.name not in files:
            link.unlink()
    if old:
        shutil.rmtree(old)
