"""Plays the part of a Kubernetes API that spark-submit talks to, and keeps what it is asked to create."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["played_kubernetes"]


@contextlib.contextmanager
def played_kubernetes():
    """Yield the address as a master, and the list of what was created so far."""
    created = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            created.append(wanted)
            told = wanted | {"metadata": wanted["metadata"] | {"uid": f"{len(created)}", "namespace": "default"}}
            self._answer(201, told)

        def do_PATCH(self):
            self.do_POST()

        def do_GET(self):
            self._answer(404, {"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"})

        def _answer(self, status, told):
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"k8s://http://127.0.0.1:{server.server_port}", created
    finally:
        server.shutdown()
        server.server_close()
