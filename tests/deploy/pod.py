"""A pod of the manifests, played by podman.

podman 4.3 knows neither native sidecars nor Secret volumes nor probes over HTTP: the sidecar
becomes an ordinary container, the volumes directories of this machine that are written as the
kubelet writes them, and the probes are asked from outside.
"""

import http.client
import json
import os
import socket
import ssl
import sys
import threading
from contextlib import closing
from pathlib import Path

import yaml

from containers import eventually, podman
from manifest import containers_of, deployment_of, pod_of, publish

HERE = Path(__file__).resolve().parent
# Where this Python and its libraries are; the image has none.
PYTHON = [it for it in ("/usr", "/lib", "/lib64") if Path(it).exists()]
if not sys.base_prefix.startswith("/usr"):
    PYTHON.append(sys.base_prefix)


def playable(found, name, image, directories, command):
    """What `podman kube play` takes of a Deployment."""
    pod = pod_of(deployment_of(found))
    containers = []
    for container in containers_of(pod):
        for unknown in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle",
                        "restartPolicy", "terminationMessagePolicy"):
            container.pop(unknown, None)
        # It would take these ports of the machine itself.
        container.pop("ports", None)
        container["image"] = image
        container["imagePullPolicy"] = "Never"
        if container["name"] == "api":
            container["command"], container["args"] = command[:1], command[1:]
            for at in [*PYTHON, str(HERE)]:
                mount = {"name": volume_name(at), "mountPath": at, "readOnly": True}
                container["volumeMounts"].append(mount)
        containers.append(container)
    paths = {volume["name"]: directories[volume["name"]] for volume in pod["volumes"]}
    paths |= {volume_name(at): at for at in [*PYTHON, str(HERE)]}
    volumes = [{"name": volume, "hostPath": {"path": str(path), "type": "Directory"}}
               for volume, path in paths.items()]
    spec = {"containers": containers, "volumes": volumes, "restartPolicy": "Never",
            "securityContext": pod["securityContext"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def volume_name(path):
    return "host" + path.replace("/", "-").replace("_", "-").replace(".", "-").lower()


class Pod:
    """One that runs. Its volumes are directories of the same names under `directory`."""

    def __init__(self, found, directory, volumes):
        self.found, self.directory = found, directory
        self.name = f"keygate-{os.getpid()}"
        for name, files in volumes.items():
            publish(directory / name, files)

    def play(self, image, listens):
        directories = {volume["name"]: self.directory / volume["name"]
                       for volume in pod_of(deployment_of(self.found))["volumes"]}
        for directory in directories.values():
            if not directory.exists():
                # An emptyDir: the group of all volumes, fsGroup, may write there.
                directory.mkdir()
                directory.chmod(0o777)
        python = str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
        command = [python, str(HERE / "pod_api.py"), listens]
        written = self.directory / "pod.yaml"
        pod = playable(self.found, self.name, image, directories, command)
        written.write_text(yaml.safe_dump(pod))
        podman("kube", "play", "--quiet", written)
        infra = podman("pod", "inspect", "--format", "{{.InfraContainerID}}", self.name)
        networks = self.inspect(infra.stdout.strip())["NetworkSettings"]["Networks"]
        (network,) = networks.values()
        self.address = network["IPAddress"]
        self.ready()

    def end(self):
        podman("pod", "rm", "--force", "--time=0", self.name, check=False)

    def publish(self, volume, files):
        publish(self.directory / volume, files)

    def inspect(self, container):
        return json.loads(podman("inspect", container).stdout)[0]

    def container(self, name):
        return self.inspect(f"{self.name}-{name}")

    def ready(self):
        try:
            eventually(lambda: self.probe("/readyz") == 200 and self.listening(), "ready")
        except AssertionError:
            logs = [podman("logs", f"{self.name}-{name}", check=False)
                    for name in ("keygate", "api")]
            raise AssertionError("".join(log.stdout + log.stderr for log in logs)) from None

    def probe(self, path):
        """As the kubelet asks, from outside of the pod."""
        try:
            connection = http.client.HTTPConnection(self.address, 9090, timeout=5)
            with closing(connection):
                connection.request("GET", path)
                return connection.getresponse().status
        except OSError:
            return 0

    def listening(self):
        """Whether the API listens, as somebody in the pod sees it."""
        state = self.sockets()
        return ("127.0.0.1", 3000) in state or (self.directory / "app" / "app.sock").exists()

    def sockets(self):
        """Every address that anybody in the pod listens on."""
        pid = self.container("keygate")["State"]["Pid"]
        found = set()
        for file in ("tcp", "tcp6"):
            for line in Path(f"/proc/{pid}/net/{file}").read_text().splitlines()[1:]:
                local, state = line.split()[1], line.split()[3]
                if state == "0A":
                    address, port = local.split(":")
                    found.add((readable(address), int(port, 16)))
        return found


def readable(address):
    """An address of /proc/net/tcp: words of four bytes, each in this machine's order."""
    raw = bytes.fromhex(address)
    raw = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


class Client:
    """A connection to keygate, which shows one of the certificates that are trusted."""

    CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # They sign themselves; each is compared whole.
    CONTEXT.check_hostname = False
    CONTEXT.verify_mode = ssl.CERT_NONE

    def __init__(self, pod, trusted):
        raw = socket.create_connection((pod.address, 8443), timeout=20)
        self.socket = self.CONTEXT.wrap_socket(raw, server_hostname="localhost")
        shown = self.socket.getpeercert(binary_form=True)
        known = {ssl.PEM_cert_to_DER_cert(it): it for it in trusted}
        if shown not in known:
            raise ssl.SSLCertVerificationError("an unknown certificate")
        self.certificate = known[shown]
        self.connection = http.client.HTTPConnection("localhost")
        self.connection.sock = self.socket

    def ask(self, key, path="/"):
        self.connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        answer = self.connection.getresponse()
        body = answer.read().decode()
        if answer.will_close:
            self.close()
        return answer.status, body

    @property
    def closed(self):
        return self.connection.sock is None

    def close(self):
        self.connection.close()


class Load:
    """Requests without a pause, on connections that are kept for a while, until `end`."""

    THREADS = 4
    KEPT = 25  # requests on one connection

    def __init__(self, pod, trusted, key):
        self.pod, self.trusted, self.key = pod, trusted, key
        self.failed, self.done, self.certificates = [], [0] * self.THREADS, set()
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(self.THREADS)]
        for thread in self.threads:
            thread.start()

    def run(self, n):
        client = None
        while not self.ended.is_set():
            try:
                if client is None or client.closed:
                    client = Client(self.pod, self.trusted)
                    self.certificates.add(client.certificate)
                status, body = client.ask(self.key)
                if status != 200:
                    self.failed.append(f"{status}: {body}")
            except OSError as error:
                self.failed.append(repr(error))
                client = None
            except http.client.HTTPException as error:
                self.failed.append(repr(error))
                client = None
            self.done[n] += 1
            if self.done[n] % self.KEPT == 0 and client:
                client.close()
        if client:
            client.close()

    def more(self, requests=100):
        """Until each thread has done so many more."""
        wanted = [done + requests for done in self.done]
        eventually(lambda: all(map(int.__ge__, self.done, wanted)), "the load goes on")

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()
