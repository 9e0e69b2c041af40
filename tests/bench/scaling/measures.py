"""What is measured, each with its target."""

import http.client
import os
import re
import socket
import ssl
import statistics
import subprocess
import threading
import time
from dataclasses import asdict, dataclass, field

from comparison import stage

from . import world


@dataclass
class Row:
    """One line of the table."""

    name: str
    value: float
    most: float
    unit: str
    values: list = field(default_factory=list)

    @property
    def met(self):
        """Whether it is what it should be."""
        return self.value <= self.most

    def shown(self):
        """The value, with the range where there is one."""
        spread = f" ({min(self.values):.3g} to {max(self.values):.3g})" if len(self.values) > 1 else ""
        return f"{self.value:.3g}{' ' + self.unit if self.unit else ''}{spread}"

    def target(self):
        """What it should be."""
        return f"≤ {self.most:g}{' ' + self.unit if self.unit else ''}"

    def verdict(self):
        """Whether it is, in a word."""
        return "" if self.met else "MISSED"

    def as_dict(self):
        """For the JSON."""
        return {**asdict(self), "met": self.met}


def median(name, values, most, unit):
    """A line of several values."""
    return Row(name, statistics.median(values), most, unit, values)


def memory(made):
    """At rest, and again after many reloads."""
    rows = []
    many = 1_000 if made.asked.full else 20
    for kind, most, reloads in (("ten", 15, 1_000), ("file", 200, 20), ("directory", 200, many)):
        with made.serve(kind) as served:
            rows.append(Row(f"memory, {kind}", served.memory(), most, "MiB"))
            # Everywhere: what is replaced again and again in one place takes no more room.
            apart = max(1, served.keys.number // reloads)
            for number in range(reloads):
                served.keys.replace(number * apart % served.keys.number, f", changed {number}")()
                served.reload()
            rows.append(Row(f"memory, {kind}, after {reloads} reloads", served.memory(), most, "MiB"))
    return rows


def ready(made):
    """From the start to the first `ready`."""
    rows = []
    for kind in ("file", "directory"):
        times = []
        for _ in range(3):
            with made.serve(kind, core=None) as served:
                times.append(served.ready_after)
        rows.append(median(f"start to ready, {kind}", times, 3, "s"))
    return rows


def change(made):
    """From the change of one key's record to the first answer that shows it."""
    rows = []
    for kind, most in (("directory", 1), ("file", 3)):
        times = []
        with made.serve(kind) as served:
            for number in range(1, 6):
                key = number * (served.keys.number // 7)
                times.append(until_refused(served, key))
                # The next measure wants it back.
                served.keys.replace(key)()
        rows.append(median(f"change to force, {kind}", times, most, "s"))
    return rows


def until_refused(served, key):
    """Revokes a key, and asks with it until it is refused."""
    put = served.keys.replace(key, more="revoked = true\n")
    connection = http.client.HTTPConnection("127.0.0.1", served.ports["http"], timeout=30)

    def status():
        connection.request("GET", "/", headers={"Authorization": f"Bearer {world.key(key)}"})
        try:
            answer = connection.getresponse()
            answer.read()
        except (http.client.HTTPException, ConnectionError):
            # What a key has under way when it dies is cut: the next answer tells.
            connection.close()
            return status()
        return answer.status

    if status() != 200:
        raise RuntimeError("a key that is in force was refused")
    put()
    began = time.monotonic()
    while status() == 200:
        if time.monotonic() - began > world.PATIENCE:
            raise RuntimeError("a key that was revoked is still let in")
        time.sleep(0.001)
    connection.close()
    return time.monotonic() - began


# Pairs of short runs in the time of one round.
PAIRS = 8

# No two requests are alike, however few keys there are: a generator that makes the same ten again and
# again has less to do, asks faster, and the proxy has more to take up at each waking.
SCRIPT = """
math.randomseed(os.time())
request = function()
  local drawn = math.random(0, 9999999)
  local key = string.format("a-key-of-the-scale-bench-%07d", drawn % @keys@)
  return wrk.format("GET", "/", {["Authorization"] = "Bearer " .. key, ["X-Drawn"] = string.format("%07d", drawn)})
end
"""


def load(made, served, seconds):
    """Requests with keys at random, by wrk; how many were answered."""
    script = os.path.join(served.directory, "load.lua")
    with open(script, "w") as file:
        file.write(SCRIPT.replace("@keys@", str(served.keys.number)))
    done = subprocess.run(["taskset", "-c", "0", stage.program("wrk"), "-t1", "-c32", f"-d{seconds}s", "-s", script,
                           served.url()], check=True, stdout=subprocess.PIPE, text=True).stdout
    if "Non-2xx" in done or "Socket errors" in done:
        raise RuntimeError(f"requests failed:\n{done}")
    return int(re.search(r"(\d+) requests in", done).group(1))


def lookup(made):
    """Processor time a request, ten keys and a million in turn."""
    ratios = []
    with made.serve("ten") as ten, made.serve("directory") as many:
        # Short runs, and many: what else the machine does changes slower than that.
        for number in range(PAIRS * made.asked.rounds + 1):
            spent = {}
            for served in ((ten, many) if number % 2 else (many, ten)):
                before = served.cpu()
                requests = load(made, served, 1)
                spent[served] = (served.cpu() - before) / requests
            # The first pair warms up.
            if number:
                ratios.append(spent[many] / spent[ten])
    return [median("processor time a request, a million keys to ten", ratios, 1.05, "")]


def percentile(made, served):
    """The 99th percentile of 1,000 requests a second over 20 connections, in milliseconds."""
    # Not beside the configuration: its directory is watched, and each line would be an event.
    log = os.path.join(made.directory, "latency")
    if os.path.exists(log):
        os.remove(log)
    done = subprocess.run(["taskset", "-c", "0", stage.program("h2load"), "--h1", "-t1", "-c20", "-m1", "--rps=50",
                           f"-D{2 * made.asked.seconds}", f"--log-file={log}",
                           "-H", f"authorization: Bearer {world.key(1)}", served.url()],
                          check=True, stdout=subprocess.PIPE, text=True).stdout
    counts = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", done)
    if not counts or any(int(count) for count in counts.groups()):
        raise RuntimeError(f"requests failed:\n{done}")
    with open(log) as file:
        times = sorted(int(line.split()[2]) for line in file)
    return times[len(times) * 99 // 100] / 1000


def latency(made):
    """The same rate with a reload every half second and without any, in turn."""
    rows = []
    for kind in ("directory", "file"):
        ratios = []
        with made.serve(kind) as served:
            changes = served.keys.versions(2)
            percentile(made, served)
            for number in range(made.asked.rounds):
                quiet = percentile(made, served)
                stop = threading.Event()

                def churn():
                    while not stop.is_set():
                        next(changes)()
                        stop.wait(0.5)

                before = served.status()["generation"]
                # The one who writes is a process of his own kind: on the generators' core.
                thread = threading.Thread(target=churn)
                os.sched_setaffinity(0, {0})
                thread.start()
                try:
                    ratios.append(percentile(made, served) / quiet)
                finally:
                    stop.set()
                    thread.join()
                    os.sched_setaffinity(0, range(os.cpu_count()))
                if served.status()["generation"] == before:
                    raise RuntimeError("nothing was loaded while it was measured")
        rows.append(median(f"99th percentile with reloads to without, {kind}", ratios, 1.2, ""))
    return rows


def reloads(made):
    """Many reloads under load: no request fails, no connection is lost."""
    with made.serve("ten") as served:
        first = served.status()["generation"]
        stop = threading.Event()
        failed = []

        def ask():
            while not stop.is_set():
                try:
                    load(made, served, 5)
                except (RuntimeError, subprocess.CalledProcessError) as error:
                    failed.append(str(error))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            for number in range(made.asked.reloads):
                served.keys.replace(number % 10, f", reload {number}")()
                served.reload()
        finally:
            stop.set()
            thread.join()
        done = served.status()["generation"] - first
    for text in failed:
        stage.say(text)
    return [Row(f"runs with a failed request, {done} reloads", len(failed), 0, "")]


def idle(made):
    """What an idle TLS connection takes."""
    number = 2_000
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with made.serve("ten") as served:
        open_connection(context, served).close()
        before = served.memory()
        connections = [open_connection(context, served) for _ in range(number)]
        after = served.memory()
        for connection in connections:
            connection.close()
    return [Row(f"an idle TLS connection, of {number}", (after - before) * 1024 / number, 35, "KiB")]


def open_connection(context, served):
    """A connection that has asked once."""
    plain = socket.create_connection(("127.0.0.1", served.ports["https"]))
    connection = context.wrap_socket(plain, server_hostname="localhost")
    connection.sendall(f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {world.key(1)}\r\n\r\n".encode())
    connection.recv(4096)
    return connection


def create(made):
    """A new key beside a million others."""
    keys = made.keys("directory")
    times = []
    for _ in range(5):
        began = time.monotonic()
        subprocess.run([made.keygate, "keys", "create", "--keys", keys.directory, "--account", "account-000000"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=made.directory)
        times.append(time.monotonic() - began)
    for name in os.listdir(keys.directory):
        if not name.startswith("keys-"):
            os.remove(os.path.join(keys.directory, name))
    return [median("`keys create` in the directory", times, 1, "s")]


ALL = {"memory": memory, "ready": ready, "change": change, "lookup": lookup, "latency": latency,
       "reloads": reloads, "idle": idle, "create": create}
