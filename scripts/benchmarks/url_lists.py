"""Lists the URLs of one run, so that both sides have the same ones in the same shards."""

from __future__ import annotations

import contextlib
import hashlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from landmark_spark.core.records import shard_of

__all__ = ["NUM_SHARDS", "UrlRow", "dead_urls", "dripping_urls", "plain_urls", "refusing_port"]

NUM_SHARDS = 8
DEAD_EVERY = 5  # every fifth URL: 20 %


@dataclass(frozen=True)
class UrlRow:
    """One URL, and the id by which it falls into the wanted shard."""

    id: str
    url: str
    shard: int


def plain_urls(base_url: str, num_images: int) -> list[UrlRow]:
    """Return num_images URLs of pictures, shard after shard, each of the 8 shards with as many as the others."""
    size = -(-num_images // NUM_SHARDS)
    return [_row(f"{base_url}{number}.jpg", number, number // size) for number in range(num_images)]


def dead_urls(base_url: str, num_images: int, port: int) -> list[UrlRow]:
    """Return the plain list with every fifth URL dead: by turns missing (404), and refused.

    Each of those that are refused has a host of its own, as dead URLs have: none is spared by what became of another.
    """
    rows = plain_urls(base_url, num_images)
    for number in range(0, num_images, DEAD_EVERY):
        missing = number // DEAD_EVERY % 2 == 0
        url = f"{base_url}missing/{number}.jpg" if missing else f"http://{_dead_host(number)}:{port}/{number}.jpg"
        rows[number] = _row(url, number, rows[number].shard)
    return rows


def _dead_host(number: int) -> str:
    return f"127.1.{number // 250 % 250}.{number % 250 + 1}"  # all of 127.0.0.0/8 is this machine


def dripping_urls(
    base_url: str, num_images: int, *, num_drips: int, seconds: float | None, spread: bool
) -> list[UrlRow]:
    """Return the plain list and, besides, num_drips URLs that drip: each in another shard, or all in the first.

    seconds: how long they drip; None: for ever.
    """
    plain = plain_urls(base_url, num_images)
    query = "" if seconds is None else f"?seconds={seconds:g}"
    rows: list[UrlRow] = []
    for shard in range(NUM_SHARDS):
        mine = [row for row in plain if row.shard == shard]
        count = (shard < num_drips) if spread else num_drips * (shard == 0)
        numbers = [num_images + shard * num_drips + each for each in range(count)]
        drips = [_row(f"{base_url}drip/{number}.jpg{query}", number, shard) for number in numbers]
        rows += mine[: len(mine) // 2] + drips + mine[len(mine) // 2 :]
    return rows


def _row(url: str, number: int, shard: int) -> UrlRow:
    """Give the URL an id of 16 hexadecimal digits, as the challenge's are, that falls into the shard."""
    nonce = 0
    while True:
        identifier = hashlib.sha256(f"{number}-{nonce}".encode()).hexdigest()[:16]
        if shard_of(identifier, NUM_SHARDS) == shard:
            return UrlRow(identifier, url, shard)
        nonce += 1


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """Yield a port that refuses connections at every loopback address: it is taken, so that nobody else listens."""
    with socket.socket() as taken:
        taken.bind(("", 0))
        yield taken.getsockname()[1]
