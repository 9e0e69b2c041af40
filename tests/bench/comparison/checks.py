"""Before anything is measured: each proxy does the job. And what it takes to be asked first."""

import socket
import ssl
import statistics
import subprocess
import time

from . import job
from . import stage

CONNECTIONS = 20


def ask(server, column, key, directory):
    """A request by curl, with an account that the client made up; status, version, body."""
    done = subprocess.run(
        [stage.program("curl"), "-sS", "-m", "10", "--cacert", f"{directory}/tls/server.crt",
         "--tlsv1.3", "--http2" if column.http2 else "--http1.1", "-w", "\n%{http_code} %{http_version}",
         "-H", f"Authorization: Bearer {key}", "-H", "X-Account-Id: forged", server.url(column)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        return None, None, done.stderr.strip()
    body, _, status = done.stdout.rpartition("\n")
    return *status.split(), body


def serves(server, column, directory):
    """Whether it lets a key through; an error if it has ended."""
    gone = server.gone()
    if gone:
        raise RuntimeError(gone)
    return ask(server, column, job.key(job.USED), directory)[0] == "200"


def does_the_job(server, column, directory):
    """Fails unless a key is exchanged for its account, and what is none for 401."""
    version = "2" if column.http2 else "1.1"
    told = f"account={job.account(job.USED)} key=\n"
    for key, wanted in ((job.key(job.USED), ("200", version, told)), (job.WRONG, ("401", version, None))):
        status, spoken, body = ask(server, column, key, directory)
        if (status, spoken) != wanted[:2] or wanted[2] not in (None, body):
            raise RuntimeError(f"{server.name} does another job under {column.name}: "
                               f"{status} over HTTP/{spoken} with {body!r}, not {wanted}")


def context(directory):
    """A client's TLS, which keeps no sessions."""
    made = ssl.create_default_context(cafile=f"{directory}/tls/server.crt")
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.check_hostname = False
    return made


def handshake(server, tls):
    """A connection to the TLS listener, and how many milliseconds its handshake took."""
    plain = socket.create_connection(("127.0.0.1", server.ports["tls"]))
    begun = time.perf_counter()
    return tls.wrap_socket(plain), (time.perf_counter() - begun) * 1e3


def exchange(stream):
    """Milliseconds of a request."""
    head = f"GET /a HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {job.key(job.USED)}\r\n\r\n"
    begun = time.perf_counter()
    stream.sendall(head.encode())
    answer = b""
    while b"key=\n" not in answer and b"key=\r\n" not in answer:
        more = stream.recv(65536)
        if not more:
            raise RuntimeError(f"a connection ended with {answer!r}")
        answer += more
    return (time.perf_counter() - begun) * 1e3


def first_request(server, directory):
    """Milliseconds of the first and of the second request of a client that leaves Nagle's algorithm on."""
    tls, first, second = context(directory), [], []
    for _ in range(CONNECTIONS):
        stream, _ = handshake(server, tls)
        with stream:
            first.append(exchange(stream))
            second.append(exchange(stream))
    return {"first_ms": round(statistics.median(first), 3), "worst_ms": round(max(first), 3),
            "second_ms": round(statistics.median(second), 3)}


def first_handshake(server, directory):
    """Milliseconds of the first handshake after a start, and of later ones."""
    tls, took = context(directory), []
    for _ in range(CONNECTIONS):
        stream, milliseconds = handshake(server, tls)
        stream.close()
        took.append(milliseconds)
    return took[0], statistics.median(took[1:])
