"""What was measured on, and when."""

import datetime
import os
import platform
import subprocess

from . import stage


def described():
    """The date, the processor, the system, and which state of keygate this is."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "processor": cpu("model name"),
        "cores": os.cpu_count(),
        "virtual": "hypervisor" in cpu("flags").split(),
        "kernel": platform.release(),
        "system": system(),
        "commit": commit(),
    }


def cpu(name):
    """A field of /proc/cpuinfo."""
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith(name):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def system():
    """The distribution's name."""
    with open("/etc/os-release") as file:
        for line in file:
            if line.startswith("PRETTY_NAME="):
                return line.split("=", 1)[1].strip().strip('"')
    return platform.system()


def commit():
    """Which commit is checked out, and whether anything differs from it."""
    done = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=10"], cwd=stage.ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip() or "unknown"
