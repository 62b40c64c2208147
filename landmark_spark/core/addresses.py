"""Tells which hosts and addresses a download has no business with: those inside the network it runs in."""

from __future__ import annotations

import ipaddress
import socket

__all__ = ["is_forbidden_address", "is_forbidden_host", "is_loopback_host"]

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052


def is_forbidden_address(text: str) -> bool:
    """Tell whether an address is not one of the public internet's.

    Private, loopback, link-local, shared (100.64.0.0/10), multicast, reserved and unspecified ones are not, nor are
    IPv6 addresses that stand for such an IPv4 one (mapped, 6to4, NAT64), nor Teredo's.

    Args:
        text: an IPv4 or IPv6 address in numbers; anything else counts as forbidden.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])  # without the interface of a link-local one
    except ValueError:
        return True
    if isinstance(address, ipaddress.IPv6Address):
        embedded = _embedded(address)
        if embedded is not None:
            return is_forbidden_address(str(embedded))
        if address.teredo is not None or address.is_site_local:
            return True
    return not address.is_global or address.is_multicast or address.is_reserved


def is_forbidden_host(host: str) -> bool:
    """Tell whether a host needs no look-up to be known as internal: localhost, or such an address in any notation."""
    address = _literal(host)
    return _is_localhost(host) or (bool(address) and is_forbidden_address(address))


def is_loopback_host(host: str) -> bool:
    """Tell whether a host needs no look-up to be known as this machine."""
    address = _literal(host)
    return _is_localhost(host) or (bool(address) and ipaddress.ip_address(address).is_loopback)


def _is_localhost(host: str) -> bool:
    name = host.rstrip(".")
    return name == "localhost" or name.endswith(".localhost")


def _literal(host: str) -> str:
    """Return the address that a host is written as, or "" where it is a name."""
    host = host.rstrip(".").partition("%")[0]
    try:
        if ":" in host:
            return str(ipaddress.ip_address(host))
        # inet_aton also reads 127.1, 2130706433 and 0x7f.0.0.1, as resolvers do
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, ValueError):
        return ""


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
