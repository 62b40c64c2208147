"""What the tests of fetching share: the misbehaving web server, and an environment without proxies."""

import socket
import threading

import pytest
from misbehaving_site import Site


@pytest.fixture
def site():
    """A web server on loopback whose paths misbehave."""
    server = Site()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.closing.set()
    server.opened.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def no_proxies(monkeypatch):
    """Takes out of the environment what would send requests elsewhere."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def look_ups(monkeypatch):
    """Lets a test say which addresses the hosts of a name have: a list for each look-up, or what to do instead.

    Other names than those are looked up as ever. Returns the answers by host, and the hosts in the order asked for.
    """
    answers: dict[str, list] = {}
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host, *arguments, **options):
        if host not in answers:
            return real(host, *arguments, **options)
        asked.append(host)
        answer = answers[host][min(asked.count(host), len(answers[host])) - 1]
        addresses = answer() if callable(answer) else answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return answers, asked


@pytest.fixture
def raw_server():
    """Accepts a connection and gives it again and again to a function of the test."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def serve(handle):
        def run():
            with listener.accept()[0] as connection:
                while not stopping.wait(0.05):
                    try:
                        handle(connection)
                    except OSError:
                        return

        threading.Thread(target=run, daemon=True).start()
        return listener.getsockname()[1]

    yield serve
    stopping.set()
    listener.close()
