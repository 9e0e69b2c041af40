"""Images and containers as the tests make them. `KEYGATE_STATIC` names the binary."""

import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0
# As the image is documented to be run; what is beyond these is what a test adds.
CONFINED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--memory=64m")
MEMORY = 64 * 1024 * 1024


def run(*arguments, check=True, **options):
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
    return done


def podman(*arguments, **options):
    return run("podman", *arguments, **options)


def eventually(condition, what):
    """Asks until it holds, and returns what it held; the deadline is for when it never does."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if held := condition():
            return held
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE:.0f} s: {what}")


def stripped(directory):
    """The binary without the symbols that a release build has not either."""
    binary = directory / "keygate"
    if not binary.exists():
        run("strip", "-o", binary, Path(os.environ["KEYGATE_STATIC"]).resolve())
    return binary


def build(binary, tag, *options):
    """Builds the image as its script does; its id."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "0"}
    script = (ROOT / "deploy" / "build-image", "--binary", binary, "--tag", tag, *options)
    return run(*script, env=environment).stdout.strip()


def peak_memory(container):
    """The most that its process took so far, in bytes."""
    pid = podman("inspect", "--format", "{{.State.Pid}}", container).stdout.strip()
    status = Path("/proc", pid, "status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
