"""What can become of a URL: the closed list of statuses, what each means, and what a user should do about it."""

from __future__ import annotations

import re
from collections.abc import Collection

__all__ = ["ADVICE", "STATUSES", "advice_of", "check_status_words", "matches_status"]

STATUSES: dict[str, str] = {
    "ok": "the body was received whole, and is a picture where it was decoded",
    "http_<code>": "the server answered with another code than 200; <code> stands for its three digits",
    "timeout": "the deadline of the URL passed, or the server was silent for too long in every attempt",
    "connection_failed": "the connection was refused, reset, or did not speak HTTP",
    "dns_failed": "the host's name has no address",
    "tls_failed": "the certificate or the TLS handshake was refused",
    "too_large": "the body is longer than download.max_bytes",
    "too_many_redirects": "more than 10 redirects",
    "bad_url": "the URL, or one it redirects to, is no valid http or https URL",
    "forbidden_address": "the URL, or one it redirects to, leads to a private, loopback or otherwise internal address",
    "opted_out": "the server keeps this picture from being used, by the header X-Robots-Tag or TDM-Reservation",
    "host_unavailable": "the host failed many times in a row, or asked for a longer wait than two minutes",
    "empty_body": "the server answered 200 without a body",
    "truncated": "the body, or the picture in it, ends before its end",
    "not_an_image": "the body is no picture that can be decoded",
    "decompression_bomb": "the picture has more than download.max_pixels pixels",
    "decoder_crash": "the picture's decoder crashed; its neighbours were not harmed",
    "decoder_timeout": "the picture could not be decoded in time",
    "internal_error": "a fault of this program",
}
"""What can become of a URL, and the meaning in a sentence. Fetching gives most; decoding adds its own."""

ADVICE: dict[str, str] = {
    "ok": "nothing to do",
    "http_401": "the server wants a password, http://user:password@host/, or does not want this picture read",
    "http_403": "the server refuses: see its terms of use, and whether download.user_agent names somebody to write to",
    "http_407": "the proxy wants a password: put it into HTTP_PROXY or HTTPS_PROXY",
    "http_408": "the server gave up waiting: fetch again later",
    "http_425": "the server was not ready: fetch again later",
    "http_429": "too many requests: lower the connections and the rate for a host, then fetch again later",
    "http_451": "withheld for legal reasons: nothing to do",
    "http_4xx": "gone or never there: nothing to do",
    "http_5xx": "a fault or overload of the server: fetch again later",
    "http_<code>": "an answer that is no picture: nothing to do, unless many URLs have it",
    "timeout": "too slow: fetch again later, with a longer deadline or fewer connections to a host",
    "connection_failed": "fetch again later; where every URL fails, check the network and the proxy",
    "dns_failed": "the host is gone, unless every URL fails: then check the resolver, and fetch again",
    "tls_failed": "check the clock and the root certificates (REQUESTS_CA_BUNDLE), unless only this host fails",
    "too_large": "raise download.max_bytes if so large a picture is wanted, then fetch again",
    "too_many_redirects": "the server leads in circles: nothing to do",
    "bad_url": "correct the URL in the csv file",
    "forbidden_address": "set download.allow_private_addresses if internal hosts are meant, then fetch again",
    "opted_out": "respect it: nothing to do",
    "host_unavailable": "fetch again later, with fewer connections to a host",
    "empty_body": "nothing to do, unless many URLs of the host have it: then fetch again later",
    "truncated": "fetch again; where it stays so, the picture is broken at its source",
    "not_an_image": "the page behind the URL is no picture: nothing to do",
    "decompression_bomb": "raise download.max_pixels if so large a picture is wanted, then fetch again",
    "decoder_crash": "nothing to do, unless there are many: then check the memory of a task",
    "decoder_timeout": "raise download.decode_timeout, or use fewer threads, then fetch again",
    "internal_error": "please report it, with the URL and the log of its task",
}
"""What to do about a status; ``advice_of`` finds the entry that fits a code best."""

_CODE = re.compile(r"http_([1-9])[0-9]{2}", re.ASCII)
_CLASS = re.compile(r"http_[1-9]xx")
_NO_FAILURES = ("ok", "opted_out")


def advice_of(status: str) -> str:
    """Return what to do about a status: the advice for its code, else for its class of codes, else for any code."""
    if code := _CODE.fullmatch(status):
        return ADVICE.get(status) or ADVICE.get(f"http_{code[1]}xx") or ADVICE["http_<code>"]
    return ADVICE.get(status, "a status that this release does not know")


def matches_status(status: str, words: Collection[str]) -> bool:
    """Tell whether any of the words means a status; ok is meant by none.

    A word is a status itself (``timeout``, ``http_503``), a class of codes (``http_5xx``), or ``failed``: whatever is
    neither ok nor opted_out.
    """
    if status == "ok":
        return False
    code = _CODE.fullmatch(status)
    return (
        status in words
        or (code is not None and f"http_{code[1]}xx" in words)
        or ("failed" in words and status not in _NO_FAILURES)
    )


def check_status_words(words: Collection[str]) -> None:
    """Refuse a word that ``matches_status`` would never match. Raises ValueError, which names it and what there is."""
    known = [status for status in STATUSES if status not in ("ok", "http_<code>")]
    for word in words:
        if word not in known and word != "failed" and not _CODE.fullmatch(word) and not _CLASS.fullmatch(word):
            raise ValueError(
                "a status should be failed, http_4xx, http_5xx, http_ and three digits, or one of "
                f"{', '.join(known)}. Received: {word!r}"
            )
