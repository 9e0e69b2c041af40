"""The Kubernetes manifest as the tests look at it: its documents, its files, and the mistakes in
it that no schema sees."""

import os
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "deploy" / "kubernetes" / "keygate.yaml"

# Kubernetes' resource.Quantity: a number and one of these suffixes.
QUANTITY = re.compile(r"^[+-]?(\d+(\.\d*)?|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?$")


def documents(path=MANIFEST):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def of_kind(found, kind):
    return [document for document in found if document["kind"] == kind]


def pod_of(deployment):
    return deployment["spec"]["template"]["spec"]


def containers_of(pod):
    return pod.get("initContainers", []) + pod["containers"]


def sidecar_of(found):
    for deployment in of_kind(found, "Deployment"):
        for container in pod_of(deployment).get("initContainers", []):
            if container["name"] == "keygate":
                return container
    raise AssertionError("no init container is called `keygate`")


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
        listed += pod_mistakes(template["spec"])
    all_labels = [template["metadata"].get("labels", {}) for _, template in pods]
    for service in of_kind(found, "Service"):
        if not any(selects(service["spec"]["selector"], labels) for labels in all_labels):
            listed.append(f"service {service['metadata']['name']} selects no pod")
        ports = {port for _, template in pods for port in ports_of(template["spec"])}
        for port in service["spec"]["ports"]:
            if port.get("targetPort", port["port"]) not in ports:
                listed.append(f"service port `{port.get('targetPort')}` is no container's")
    return listed


def selects(selector, labels):
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())


def ports_of(pod):
    for container in containers_of(pod):
        for port in container.get("ports", []):
            yield port["containerPort"]
            if "name" in port:
                yield port["name"]


def pod_mistakes(pod):
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in containers_of(pod):
        name = container["name"]
        ports = set(ports_of({"containers": [container]}))
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{name} mounts `{mount['name']}`, which is no volume"
            if "subPath" in mount:
                yield f"{name} mounts `{mount['name']}` by subPath, which is never updated"
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            port = container.get(kind, {}).get("httpGet", {}).get("port")
            if port is not None and port not in ports:
                yield f"{kind} of {name} asks port `{port}`, which it does not have"
        for kind in ("requests", "limits"):
            for resource, quantity in container.get("resources", {}).get(kind, {}).items():
                if not QUANTITY.match(str(quantity)):
                    yield f"{name} {kind} {resource} `{quantity}`, which is no quantity"


def publish(directory, files):
    """Writes a Secret's or ConfigMap's volume as the kubelet does: a new directory, and one rename
    that puts it in force."""
    directory.mkdir(exist_ok=True)
    data = directory / "..data"
    old = os.readlink(data) if data.is_symlink() else None
    number = int(old.rsplit("_", 1)[1]) + 1 if old else 0
    fresh = directory / f"..2026_01_31_23_59_59_{number}"
    fresh.mkdir()
    for name, text in files.items():
        (fresh / name).write_text(text)
        (fresh / name).chmod(0o444)
    (directory / "..data_tmp").symlink_to(fresh.name)
    os.replace(directory / "..data_tmp", data)
    for name in files:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(Path("..data") / name)
    if old:
        for file in (directory / old).iterdir():
            file.unlink()
        (directory / old).rmdir()
