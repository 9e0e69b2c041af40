"""One run: a generator for some seconds, and what the proxy's processor had to do for it."""

import os
import re
import resource
import subprocess
import time
from dataclasses import asdict, dataclass

from . import job
from . import stage

TICK = os.sysconf("SC_CLK_TCK")
# More of the proxy's core than this taken by others, and the run does not count.
FOREIGN = 0.10
# The generators' core is full from here on: requests per second are then what they can send.
FULL = 0.95


class Failed(Exception):
    """The load did not get the answers that the job asks for."""


@dataclass
class Run:
    """What was measured."""

    requests: int
    seconds: float
    cpu_us: float
    system_us: float
    proxy_busy: float
    generator_busy: float
    foreign: float
    wrong: int

    def as_dict(self):
        """For the JSON."""
        return {name: round(value, 4) for name, value in asdict(self).items()}

    @property
    def clean(self):
        """Whether the proxy had its core to itself."""
        return self.foreign <= FOREIGN


def busy(core):
    """Seconds that a core worked or was taken away, but for interrupts, which are nobody's."""
    with open("/proc/stat") as file:
        for line in file:
            name, *fields = line.split()
            if name == f"cpu{core}":
                user, nice, system, _, _, _, _, steal = map(int, fields[:8])
                return (user + nice + system + steal) / TICK
    return 0.0


def wrk(server, column, seconds, threads, cores):
    """The command for HTTP/1.1."""
    connections = 16 if column.closes else 32
    command = ["taskset", "-c", cores, stage.program("wrk"), f"-t{threads}", f"-c{connections}", f"-d{seconds}s",
               "-H", f"Authorization: Bearer {job.WRONG if column.refused else job.key(job.USED)}"]
    if column.closes:
        command += ["-H", "Connection: close"]
    return [*command, server.url(column)]


def h2load(server, column, seconds, threads, cores):
    """The command for HTTP/2."""
    return ["taskset", "-c", cores, stage.program("h2load"), f"-t{threads}", "-c8", "-m8", f"-D{seconds}",
            "-H", f"authorization: Bearer {job.key(job.USED)}", server.url(column)]


def counted(column, output):
    """How many answers came, and how many of them were not what the job asks for."""
    if column.http2:
        statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
        if not statuses:
            raise Failed(output)
        right, *other = map(int, statuses.groups())
        return right + sum(other), sum(other)
    done = re.search(r"(\d+) requests in", output)
    if not done:
        raise Failed(output)
    other = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    other = int(other[1]) if other else 0
    return int(done[1]), int(done[1]) - other if column.refused else other


def once(server, column, seconds, also=()):
    """Loads a proxy; `also` shares the generators' core and counts as theirs."""
    two = server.cores != "1"
    make = h2load if column.http2 else wrk
    # wrk takes whole seconds only, and h2load too for as long as nobody waits for its warming up.
    command = make(server, column, seconds, 2 if two else 1, "0,1" if two else "0")
    core = busy("1")
    theirs = resource.getrusage(resource.RUSAGE_CHILDREN)
    helpers = sum(helper.cpu() for helper in also)
    mine, kernel, begun = server.cpu(), server.system(), time.monotonic()
    fresh = {"LD_PRELOAD": stage.fresh()} if column.closes else {}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, **fresh})
    took, cpu = time.monotonic() - begun, server.cpu() - mine
    kernel = server.system() - kernel
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    generator = used.ru_utime + used.ru_stime - theirs.ru_utime - theirs.ru_stime
    generator += sum(helper.cpu() for helper in also) - helpers
    foreign = 0.0 if two else max(0.0, busy("1") - core - cpu)
    requests, wrong = counted(column, done.stdout)
    if not requests:
        raise Failed(f"{server.name} answered nothing under {column.name}:\n{done.stdout}")
    return Run(requests, took, cpu * 1e6 / requests, kernel * 1e6 / requests, cpu / took, generator / took,
               foreign / took, wrong)
