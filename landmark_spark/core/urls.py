"""Takes URLs apart: what to connect to, what to ask for there, and what to tell of it."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from urllib.parse import unquote, urljoin

import urllib3
from urllib3.util import parse_url

__all__ = ["HttpUrl", "parse_http_url", "parse_redirect"]

_PLAIN_URL = re.compile(  # the usual URL, which needs no normalising: many times faster than parse_url
    r"(https?)://([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::([0-9]{1,5}))?"
    r"(/(?!.*/?\.\.?(?:[/?]|\Z))(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)"
)
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class HttpUrl:
    """A valid URL: host in ASCII and lower case, IPv6 without brackets; target is path and query, percent-encoded.

    authorization is the value of the header that user name and password ask for, "" without them.
    """

    scheme: str
    host: str
    port: int
    target: str
    authorization: str = ""

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self.scheme, self.host, self.port

    def __str__(self) -> str:
        """Return the URL without user name, password and fragment."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"

    def __repr__(self) -> str:
        """Say no more than the URL does: a repr ends up in messages, where no password should be."""
        return f"HttpUrl({str(self)!r})"


def parse_http_url(url: str) -> HttpUrl | None:
    """Parse a URL, or return None where it is no valid one of http or https."""
    if plain := _PLAIN_URL.fullmatch(url):
        scheme, host, digits, target = plain.groups()
        authorization = ""
        port = int(digits) if digits else _PORTS[scheme]
    else:
        try:
            parts = parse_url(url)
        except (urllib3.exceptions.HTTPError, ValueError):  # UnicodeError is a ValueError
            return None
        scheme, host = parts.scheme or "", (parts.host or "").strip("[]")
        if scheme not in _PORTS:
            return None
        port = _PORTS[scheme] if parts.port is None else parts.port
        target, authorization = parts.request_uri, _authorization(parts.auth)
        if not target.startswith("/"):
            target = f"/{target}"
    if not 0 < port < 65_536 or not (":" in host or _HOST.fullmatch(host.removesuffix("."))):
        return None
    return HttpUrl(scheme, host, port, target, authorization)


def parse_redirect(source: HttpUrl, location: str) -> HttpUrl | None:
    """Return where a Location header leads, or None where that is no URL of http or https.

    User name and password stay within the origin they were given for (RFC 9110, 15.4 leaves it to the client).
    """
    try:  # headers are read as Latin-1, and servers that send more than ASCII send UTF-8
        text = urljoin(str(source), location.strip().encode("latin-1").decode("utf-8", errors="replace"))
    except ValueError:
        return None
    found = parse_http_url(text)
    if found is None or found.authorization or found.origin != source.origin:
        return found
    return HttpUrl(*found.origin, found.target, source.authorization)


def _authorization(auth: str | None) -> str:
    if not auth:
        return ""
    return f"Basic {base64.b64encode(unquote(auth).encode(errors='replace')).decode()}"
