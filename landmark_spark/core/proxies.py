"""Finds the proxy that the environment names for a host."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from requests.utils import get_environ_proxies, select_proxy
from urllib3 import ProxyManager
from urllib3.exceptions import LocationValueError
from urllib3.util import Url, make_headers

from landmark_spark.core.addresses import is_loopback_host
from landmark_spark.core.urls import HttpUrl

__all__ = ["Proxies", "Proxy"]

_NUM_KEPT = 4096


@dataclass(frozen=True, eq=False)
class Proxy:
    """An HTTP proxy: its URL, what urllib3's connections want to know of it, and the headers it wants itself."""

    url: Url
    config: Any
    headers: dict[str, str]


class Proxies:
    """The proxies of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; each origin's is looked for once.

    Loopback hosts have none. SOCKS is not supported.
    """

    def __init__(self) -> None:
        self._by_origin = functools.lru_cache(_NUM_KEPT)(self._find)
        self._by_url = functools.lru_cache(_NUM_KEPT)(_load_proxy)

    def proxy_to(self, url: HttpUrl) -> Proxy | None:
        """Return the proxy through which a URL is asked for, or None. Raises urllib3's ProxySchemeUnknown."""
        return self._by_origin(*url.origin)

    def _find(self, scheme: str, host: str, port: int) -> Proxy | None:
        if is_loopback_host(host):
            return None
        url = str(HttpUrl(scheme, host, port, "/"))
        chosen = select_proxy(url, get_environ_proxies(url))
        if not chosen:
            return None
        return self._by_url(chosen if "://" in chosen else f"http://{chosen}")


def _load_proxy(url: str) -> Proxy:
    manager = ProxyManager(url)
    if manager.proxy is None or manager.proxy.host is None:
        raise LocationValueError("the proxy has no host")
    auth = manager.proxy.auth
    headers = {}
    if auth:
        headers["Proxy-Authorization"] = make_headers(proxy_basic_auth=unquote(auth))["proxy-authorization"]
    return Proxy(manager.proxy, manager.proxy_config, headers)
