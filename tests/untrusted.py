"""What the tests of untrusted inputs share: ten thousand inputs a parser, always the same ones, and damage to files."""

import random
import sys

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

__all__ = ["NUM_INPUTS", "damage", "damaged", "is_one_line", "some_thousand", "ten_thousand", "token_soup"]

NUM_INPUTS = 10_000

ten_thousand = settings(
    max_examples=NUM_INPUTS,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
"""Decorates a hypothesis test: as many inputs as promised, and the same ones in every run."""

some_thousand = settings(ten_thousand, max_examples=NUM_INPUTS // 4)
"""Decorates one of several hypothesis tests of the same parser."""


def token_soup(*tokens, max_size=30):
    """Bytes (or text) put together from the words of a format: they come further into a parser than noise does.

    A byte picks a word, so that an input is one choice of hypothesis and not as many as it has words: 10 times faster.
    """
    assert len(tokens) <= 256
    nothing = tokens[0][:0]
    return st.binary(max_size=max_size).map(lambda picks: nothing.join(tokens[pick % len(tokens)] for pick in picks))


def damage(valid, chance):
    """Return a valid file's bytes with a few bits, bytes or pieces changed, doubled, lost, or cut off."""
    data = bytearray(valid)
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(len(data) + 1)
        length = chance.choice((1, 1, 2, 4, 8, chance.randrange(64)))
        kind = chance.randrange(7)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[place : place + length] = chance.randbytes(length)
        elif kind == 2:
            data[place : place + length] = chance.choice((b"\x00", b"\xff", b"\x7f", b"\x80")) * length
        elif kind == 3:
            del data[place : place + length]
        elif kind == 4:
            data[place:place] = data[place : place + length]
        elif kind == 5:
            source = chance.randrange(len(data) + 1)
            data[place : place + length] = data[source : source + length]
        elif chance.randrange(4) == 0:
            del data[place:]
    return bytes(data)


def damaged(valid, *, seed=0, count=NUM_INPUTS):
    """Yield damaged copies of valid files, and now and then noise; the same ones for the same seed."""
    files = [valid] if isinstance(valid, bytes) else list(valid)
    chance = random.Random(seed)
    for number in range(count):
        if number % 50 == 0:
            yield chance.randbytes(chance.choice((0, 1, 7, 64, 500)))
        else:
            yield damage(files[number % len(files)], chance)


def is_one_line(error):
    """Tell whether a message is one line, of a length that a terminal takes, and can be written to it."""
    text = str(error)
    text.encode(sys.stderr.encoding or "utf-8", errors="strict" if text.isascii() else "backslashreplace")
    return bool(text) and len(text.splitlines()) == 1 and len(text) <= 2000
