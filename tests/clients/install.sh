#!/bin/sh
# What the clients here need: curl, Node.js, and Python with `requests` and `grpcio`. Quick when all
# of it is there.
set -eu
cd "$(dirname "$0")/../.."
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
missing=
need curl curl
need node nodejs
need python3 "python3 python3-venv"
if [ -n "$missing" ]; then
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    $sudo apt-get install -y -qq --no-install-recommends ca-certificates $missing
fi
if python3 -c 'import requests, grpc' 2>/dev/null; then
    exit 0
fi
if ! target/clients/bin/python -c 'import requests, grpc' 2>/dev/null; then
    mkdir -p target
    python3 -m venv target/clients
    target/clients/bin/pip install --quiet --disable-pip-version-check requests grpcio
fi
