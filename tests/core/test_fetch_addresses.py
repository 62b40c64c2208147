import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest
from misbehaving_site import BODY, SLACK

from landmark_spark.core.fetching import Fetched, FetchLimits, load_fetcher

pytestmark = pytest.mark.usefixtures("no_proxies")


def fetch(url: str, **limits) -> Fetched:
    return load_fetcher(FetchLimits(**{"deadline": 20.0, **limits}))(url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"]
)
def test_an_internal_host_is_never_asked(site, host):
    url = f"http://{host}:{site.server_address[1]}/ok"
    fetched = fetch(url)
    assert (fetched.status, fetched.num_attempts) == ("forbidden_address", 1)
    assert site.num_connections == 0


def test_a_name_with_an_internal_address_is_never_connected_to(site, look_ups):
    look_ups[0]["photos.invalid"] = [["10.0.0.1", "127.0.0.1"]]
    assert fetch(f"http://photos.invalid:{site.server_address[1]}/ok").status == "forbidden_address"
    assert site.num_connections == 0


def test_of_several_addresses_only_the_public_ones_are_tried(look_ups, monkeypatch):
    tried = []

    def refuse(address, seconds, **options):
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr("landmark_spark.core.connections.create_connection", refuse)
    look_ups[0]["photos.invalid"] = [["127.0.0.1", "8.8.8.8", "10.0.0.1", "9.9.9.9"]]
    assert fetch("http://photos.invalid/", max_attempts=1).status == "connection_failed"
    assert tried == [("8.8.8.8", 80), ("9.9.9.9", 80)]


def test_the_address_that_was_checked_is_the_one_connected_to(look_ups, monkeypatch):
    tried = []

    def refuse(address, seconds, **options):
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr("landmark_spark.core.connections.create_connection", refuse)
    answers, asked = look_ups
    answers["rebinding.invalid"] = [["8.8.8.8"], ["127.0.0.1"]]
    assert fetch("http://rebinding.invalid/", max_attempts=2).status == "connection_failed"
    assert (tried, asked) == (["8.8.8.8", "8.8.8.8"], ["rebinding.invalid"])


def test_a_trusted_origin_may_be_internal_and_nothing_else(site):
    port = site.server_address[1]
    assert fetch(f"{site.base}/moved", trusted_origins=(site.base,)).status == "ok"
    assert fetch(f"http://localhost:{port}/ok", trusted_origins=(site.base,)).status == "forbidden_address"
    assert fetch(f"{site.base}/ok", trusted_origins=(f"https://127.0.0.1:{port}",)).status == "forbidden_address"
    assert fetch(f"{site.base}/ok", trusted_origins=(f"http://127.0.0.1:{port + 1}",)).status == "forbidden_address"


@pytest.mark.parametrize(
    "target", ["http://localhost:{port}/ok", "http://photos.invalid:{port}/ok", "http://2130706433/"]
)
def test_a_redirect_to_an_internal_address_is_not_followed(site, look_ups, target):
    look_ups[0]["photos.invalid"] = [["127.0.0.1"]]
    target = target.format(port=site.server_address[1])
    fetched = fetch(f"{site.base}/to/?{target}", trusted_origins=(site.base,))
    assert fetched == Fetched("forbidden_address", None, 1, 0, target)
    assert (site.requests["to"], site.requests["ok"]) == (1, 0)


def use_proxy(monkeypatch, url: str) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, url)
        monkeypatch.setenv(name.upper(), url)


def test_a_proxy_serves_the_world_and_not_loopback(site, monkeypatch):
    use_proxy(monkeypatch, site.base.replace("//", "//user:p%40ss@"))
    one = load_fetcher(FetchLimits())
    assert one("http://photos.invalid/a.jpg?b").body == b"http://photos.invalid/a.jpg?b"
    assert one("http://other.invalid:81/").body == b"http://other.invalid:81/"
    assert [headers["Host"] for headers in site.headers] == ["photos.invalid", "other.invalid:81"]
    assert site.headers[0]["Proxy-Authorization"] == "Basic dXNlcjpwQHNz"  # base64 of user:p@ss
    assert site.num_connections == 1
    use_proxy(monkeypatch, "http://127.0.0.1:1")
    assert fetch(f"{site.base}/ok", allow_private_addresses=True).status == "ok"
    monkeypatch.setenv("no_proxy", "photos.invalid")
    assert fetch("http://photos.invalid/", max_attempts=1).status == "dns_failed"


def test_a_proxy_is_not_asked_for_internal_hosts(site, monkeypatch):
    use_proxy(monkeypatch, site.base)
    for host in ("10.0.0.1", "169.254.169.254", "localhost", "127.1", "[fd00::1]"):
        assert fetch(f"http://{host}/latest/meta-data/").status == "forbidden_address"
    assert site.num_connections == 0


@pytest.fixture
def certificate(tmp_path):
    """Key and certificate for localhost and 127.0.0.1, signed by nobody known."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext "
        f"subjectAltName=IP:127.0.0.1,DNS:photos.invalid -keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    return key, certificate


@pytest.fixture
def secure_site(site, certificate):
    """The site over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])
    site.socket = context.wrap_socket(site.socket, server_side=True)
    site.base = site.base.replace("http:", "https:")
    return site


def test_https_is_verified_and_reuses_connections(secure_site, certificate, monkeypatch):
    site = secure_site
    limits = {"allow_private_addresses": True, "deadline": 2.0}
    assert fetch(f"{site.base}/ok", max_attempts=1, allow_private_addresses=True).status == "tls_failed"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[1]))
    one = load_fetcher(FetchLimits(**limits))
    before = site.num_connections
    assert [one(f"{site.base}/ok").body for _ in range(5)] == [BODY] * 5
    assert site.num_connections == before + 1
    started = time.monotonic()
    assert one(f"{site.base}/drip_body").status == "timeout"  # on the connection used before
    assert time.monotonic() - started < 2.0 + SLACK


def test_a_certificate_is_for_the_name_and_not_for_the_address(secure_site, certificate, monkeypatch, look_ups):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[1]))
    look_ups[0].update({"photos.invalid": [["127.0.0.1"]], "other.invalid": [["127.0.0.1"]]})
    one = load_fetcher(FetchLimits(allow_private_addresses=True, max_attempts=1))
    port = secure_site.server_address[1]
    assert one(f"https://photos.invalid:{port}/ok").status == "ok"
    assert one(f"https://other.invalid:{port}/ok").status == "tls_failed"


def test_https_goes_through_the_tunnel_of_a_proxy(secure_site, certificate, monkeypatch):
    """The proxy joins every tunnel to the site; the certificate is that of the host asked for."""

    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)

    heads = []

    def serve(listener):
        while True:
            client = listener.accept()[0]
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            heads.append(head.decode())
            server = socket.create_connection(secure_site.server_address)
            client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            threading.Thread(target=pump, args=(client, server), daemon=True).start()
            threading.Thread(target=pump, args=(server, client), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=[listener], daemon=True).start()
        use_proxy(monkeypatch, f"http://user:pass@127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[1]))
        one = load_fetcher(FetchLimits(max_attempts=1))
        assert [one("https://photos.invalid/ok").body for _ in range(3)] == [BODY] * 3
        assert one("https://other.invalid/ok").status == "tls_failed"
    assert [head.split("\r\n")[0] for head in heads] == [
        "CONNECT photos.invalid:443 HTTP/1.0",
        "CONNECT other.invalid:443 HTTP/1.0",
    ]
    assert "Proxy-Authorization: Basic dXNlcjpwYXNz" in heads[0]  # base64 of user:pass
    assert not any("Proxy-Authorization" in headers for headers in secure_site.headers)
