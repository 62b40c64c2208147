import pytest

from landmark_spark.core.addresses import is_forbidden_address, is_forbidden_host, is_loopback_host


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",  # where clouds keep the credentials of a machine
        "100.64.0.1",
        "100.127.255.255",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fd00::1",
        "ff02::1",
        "2001:db8::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",  # 6to4 of 127.0.0.1
        "2002:c0a8:101::1",  # 6to4 of 192.168.1.1
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2001:0:808:808::f5ff:fffe",  # Teredo
        "photos.example",
        "",
    ],
)
def test_internal_addresses_are_forbidden(address):
    assert is_forbidden_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "172.32.0.1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ],
)
def test_public_addresses_are_not(address):
    assert not is_forbidden_address(address)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("localhost", True),
        ("localhost.", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.0.0.1.", True),
        ("127.1", True),
        ("2130706433", True),  # 127 * 2**24 + 1
        ("0x7f.0.0.1", True),
        ("0177.0.0.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("169.254.169.254", False),
        ("fe80::1%25eth0", False),
    ],
)
def test_internal_hosts_are_known_in_every_notation(host, is_loopback):
    assert is_forbidden_host(host)
    assert is_loopback_host(host) is is_loopback


@pytest.mark.parametrize("host", ["photos.example", "localhost.example", "8.8.8.8", "1e100.net", "2606:4700::1111"])
def test_other_hosts_are_left_to_their_look_up(host):
    assert not is_forbidden_host(host)
    assert not is_loopback_host(host)
