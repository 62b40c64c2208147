"""The limits of fetching: how long, how much, how often, and from where."""

from __future__ import annotations

import math
import re
import threading
from dataclasses import dataclass

from landmark_spark.core.urls import parse_http_url

__all__ = ["FetchLimits"]


@dataclass(frozen=True)
class FetchLimits:
    """The limits of one pool of requests.

    Args:
        deadline: seconds for one URL, from its first request to its end: redirects, retries, pauses and look-ups.
        connect_timeout: seconds to connect, for all addresses of the host together.
        read_timeout: longest silence of a server, seconds; then the attempt is at its end.
        max_bytes: of the body, decompressed.
        max_attempts: each with its redirects; only what can heal is tried again.
        user_agent: the header; its product name is what a server can address its directives to.
        max_connections_per_host: requests under way at one host.
        requests_per_second_per_host: evenly spaced; 0 for no limit.
        opt_out_directives: of the header X-Robots-Tag, that keep a picture out; () where none is respected.
        allow_private_addresses: whether addresses within a network (core.addresses) may be connected to.
        trusted_origins: such as "http://127.0.0.1:8080", which may have such an address.
    """

    deadline: float = 30.0
    connect_timeout: float = 10.0
    read_timeout: float = 10.0
    max_bytes: int = 50_000_000
    max_attempts: int = 3
    user_agent: str = "landmark-spark (batch image download)"
    max_connections_per_host: int = 16
    requests_per_second_per_host: float = 0.0
    opt_out_directives: tuple[str, ...] = ("noai", "noimageai", "noindex", "noimageindex")
    allow_private_addresses: bool = False
    trusted_origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("deadline", "connect_timeout", "read_timeout"):
            value = getattr(self, name)
            if not 0 < value <= threading.TIMEOUT_MAX:  # a NaN holds nowhere
                raise ValueError(f"{name} should be above 0 seconds and finite. Received: {value}")
        for name in ("max_bytes", "max_attempts", "max_connections_per_host"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} should be at least 1. Received: {getattr(self, name)}")
        rate = self.requests_per_second_per_host
        if not 0 <= rate < math.inf:
            raise ValueError(f"requests_per_second_per_host should be at least 0 and finite. Received: {rate}")
        if not re.fullmatch(r"[!-~]([ -~]*[!-~])?", self.user_agent):
            raise ValueError(f"user_agent should be printable ASCII, not empty. Received: {self.user_agent!r}")
        for word in self.opt_out_directives:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", word):
                raise ValueError(f"opt_out_directives should be words such as noai. Received: {word!r}")
        for text in self.trusted_origins:
            origin = parse_http_url(text)
            if origin is None or origin.target != "/" or origin.authorization:
                raise ValueError(
                    "trusted_origins should be scheme, host and port alone, such as http://127.0.0.1:8080. "
                    f"Received: {origin or text.rpartition('@')[2]!r}"
                )

    def origins(self) -> frozenset[tuple[str, str, int]]:
        """Return the trusted origins, each as ``HttpUrl.origin`` is."""
        return frozenset(url.origin for text in self.trusted_origins if (url := parse_http_url(text)))
