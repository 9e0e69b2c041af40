"""The job: who does it, under which loads, and what keygate has to reach."""

from dataclasses import dataclass

KEYS = 100_000
# Caddy goes through its map from the beginning for each request.
KEYS_OF_CADDY = 1_000
ACCOUNTS = 1_000
# The key that the load uses is in the middle of the table that it shares with Caddy.
USED = 500


def key(number):
    """The text of a key."""
    return f"bench_key_{number:06d}_abcdefgh"


def account(number):
    """The account of a key."""
    return f"account-{number % ACCOUNTS}"


WRONG = "bench_key_nobody_has_it_"


@dataclass(frozen=True)
class Column:
    """A load, and how dear keygate may be under it, as a share of the best peer."""

    name: str
    title: str
    target: float
    scheme: str = "https"
    http2: bool = False
    closes: bool = False
    refused: bool = False


COLUMNS = [
    Column("h1-tls", "HTTP/1.1, TLS", 0.75),
    Column("h1-plain", "HTTP/1.1, plain", 0.85, scheme="http"),
    Column("h2-tls", "HTTP/2, TLS", 0.65, http2=True),
    Column("handshake", "handshake + 1 request", 0.50, closes=True),
    Column("refused", "401, TLS", 0.80, refused=True),
]

PEERS = ["nginx", "haproxy", "envoy", "caddy"]
TITLES = {
    "keygate": "keygate",
    "nginx": "nginx",
    "haproxy": "HAProxy",
    "envoy": "Envoy",
    "caddy": "Caddy (1,000 keys)",
}


@dataclass(frozen=True)
class Variant:
    """keygate in another way, and what that may cost as a share of keygate as it comes."""

    name: str
    title: str
    target: float
    columns: tuple


VARIANTS = [
    Variant("log", "access log on, JSON lines to a file", 1.10, ("h1-tls", "h1-plain", "h2-tls", "refused")),
    Variant("unix", "upstream on a unix socket", 0.90, ("h1-tls", "h1-plain", "h2-tls")),
    # Twice the threads at this share of the cost a request is 1.8 times the requests.
    Variant("two", "two threads on two cores", 2 / 1.8, ("h1-tls", "h1-plain", "h2-tls", "refused")),
]
