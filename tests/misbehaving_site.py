"""A web server on loopback whose paths misbehave, for tests of fetching."""

import email.utils
import gzip
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

BODY = bytes(range(256)) * 40  # 10,240 bytes
SLACK = 8.0  # seconds after a deadline within which a call has to be back, on a busy machine; drips last longer


class Site(ThreadingHTTPServer):
    """Counts connections and requests, and how many requests there were at once."""

    daemon_threads = True
    request_queue_size = 128
    block_on_close = False

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Page)
        self.num_connections = 0
        self.requests: Counter[str] = Counter()
        self.times: list[float] = []
        self.num_running = 0
        self.most_running = 0
        self.lock = threading.Lock()
        self.headers: list[dict[str, str]] = []
        self.opened = threading.Event()  # by the test, for /held
        self.closing = threading.Event()
        self.base = f"http://127.0.0.1:{self.server_address[1]}"

    def wait_for(self, number: int, name: str) -> None:
        """Wait until a page was asked for so many times."""
        end = time.monotonic() + 30
        while self.requests[name] < number:
            assert time.monotonic() < end, f"{name} should have been asked for {number} times: {self.requests[name]}"
            time.sleep(0.005)

    def get_request(self):
        self.num_connections += 1
        return super().get_request()

    def handle_error(self, request, client_address):
        pass  # clients hang up here on purpose


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    is_used = False
    server: Site

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        name = self.path.split("/")[1].split("?")[0] if self.path.startswith("/") else "proxied"
        with self.server.lock:
            self.server.requests[name] += 1
            self.server.headers.append(dict(self.headers))
            self.server.times.append(time.monotonic())
        getattr(self, f"page_{name}")()

    def page_hinted(self):
        self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
        self.wfile.flush()
        time.sleep(0.3)  # the interim answer arrives by itself
        self.answer(200, b"hinted" + BODY)

    def page_switching(self):
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")

    def answer(self, code: int, body: bytes = b"", **headers: object) -> None:
        self.send_response(code)
        for header, value in {"Content_Length": len(body), **headers}.items():
            self.send_header(header.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def drip(self, data: bytes) -> None:
        while not self.server.closing.wait(0.05):
            self.wfile.write(data)

    def page_ok(self):
        self.answer(200, BODY)

    def page_code(self):
        self.answer(int(self.path.split("/")[2]), b"sorry")

    def page_heals(self):
        self.answer(503 if self.server.requests["heals"] < 3 else 200, BODY)

    def page_later(self):
        seconds = self.path.split("/")[2]
        self.answer(429 if self.server.requests["later"] == 1 else 200, BODY, Retry_After=seconds)

    def page_later_by_date(self):
        seconds = int(self.path.split("/")[2])
        date = email.utils.formatdate(time.time() + seconds, usegmt=True)
        self.answer(503 if self.server.requests["later_by_date"] == 1 else 200, BODY, Retry_After=date)

    def page_held(self):
        """Answers once the test says so; counts those that are asked for at once, up to where they are answered."""
        with self.server.lock:
            self.server.num_running += 1
            self.server.most_running = max(self.server.most_running, self.server.num_running)
        self.server.opened.wait(60)
        with self.server.lock:
            self.server.num_running -= 1
        self.answer(200, BODY)

    def page_once_a_connection(self):
        """Answers the first request of a connection, and hangs up at the second."""
        if self.is_used:
            self.close_connection = True
        else:
            self.answer(200, BODY)
        self.is_used = True

    def page_unasked_later(self):
        """Answers the first request of a connection, and the second with what belonged to the first."""
        if self.is_used:
            self.wfile.write(b"unasked\r\n\r\n")
            self.close_connection = True
        else:
            self.answer(200, BODY)
        self.is_used = True

    def page_tags(self):
        """Answers with the headers of the query: /tags/?X-Robots-Tag=noai."""
        self.send_response(200)
        for name, value in parse_qsl(self.path.partition("?")[2]):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def page_to(self):
        """Redirects to what the query says."""
        self.answer(302, b"moved", Location=self.path.partition("?")[2])

    def page_flaky(self):
        """Fails at every third request."""
        self.answer(503 if self.server.requests["flaky"] % 3 == 0 else 200, BODY)

    def page_hangs_up_later(self):
        """Keeps the connection, as it says, and then does not."""
        self.answer(200, BODY)
        self.close_connection = True

    def page_moved(self):
        self.answer(302, b"moved", Location="/ok")

    def page_loop(self):
        self.answer(302, Location="/loop")

    def page_escape(self):
        self.answer(302, Location="file:///etc/passwd")

    def page_nowhere(self):
        self.answer(302, Location="http://[broken")

    def page_endless_redirect(self):
        self.send_response(302)
        self.send_header("Location", "/ok")
        self.end_headers()
        self.drip(b"x" * 1000)

    def page_drip_body(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.drip(b"x")

    def page_drip_unsized_body(self):
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        self.drip(b"x")

    def page_drip_chunks(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.drip(b"1\r\nx\r\n")

    def page_drip_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self.drip(b"x")

    def page_drip_continue(self):
        self.drip(b"HTTP/1.1 100 Continue\r\n\r\n")

    def page_silent(self):
        self.server.closing.wait(20)

    def page_stalled(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        self.server.closing.wait(20)

    def page_closed_early(self):
        self.answer(200, BODY, Content_Length=len(BODY) + 1, Connection="close")
        self.close_connection = True

    def page_cut_chunk(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nonly this")
        self.close_connection = True

    def page_reset_once(self):
        if self.server.requests["reset_once"] == 1:
            self.close_connection = True
        else:
            self.answer(200, BODY)

    def page_garbage(self):
        self.wfile.write(b"\x00\x01\x02 not HTTP at all\r\n\r\n")
        self.close_connection = True

    def page_endless(self):
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        while not self.server.closing.is_set():
            self.wfile.write(bytes(65536))

    def page_bomb(self):
        self.answer(200, gzip.compress(bytes(10_000_000)), Content_Encoding="gzip")

    def page_gzip(self):
        self.answer(200, gzip.compress(BODY), Content_Encoding="gzip")

    def page_broken_gzip(self):
        self.answer(200, b"this is no gzip", Content_Encoding="gzip")

    def page_empty(self):
        self.answer(200)

    def page_cookie(self):
        self.answer(200, BODY, Set_Cookie="visitor=1; Path=/")

    def page_proxied(self):
        self.answer(200, self.path.encode())
