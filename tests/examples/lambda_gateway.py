"""Stands in for API Gateway: each HTTP request becomes the event of a Lambda function, in one format after the other.

A folder with `lambda_function.py` comes in; the address is printed. After each answer the function that works is called.
"""

import base64
import itertools
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

sys.path.insert(0, sys.argv[1])

import lambda_function  # type: ignore[import-not-found]

turns = itertools.count()


class Gateway(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        answer = lambda_function.take(self._event(body, next(turns)), None)
        content = answer["body"].encode()
        self.send_response(answer["statusCode"])
        for name, value in (answer.get("headers") or answer["multiValueHeaders"]).items():
            self.send_header(name, value if isinstance(value, str) else value[0])
        self.end_headers()
        self.wfile.write(content)
        lambda_function.work({}, None)

    def _event(self, body: bytes, turn: int) -> dict[str, Any]:
        """Version 2.0, version 1.0, and a load balancer with several values, in turn in base64."""
        encoded = turn % 2 == 1
        text = base64.b64encode(body).decode() if encoded else body.decode("utf-8", "replace")
        event: dict[str, Any] = {"body": text, "isBase64Encoded": encoded}
        if turn % 3 == 0:
            headers = {name.lower(): value for name, value in self.headers.items()}
            return event | {"version": "2.0", "headers": headers, "requestContext": {"http": {"method": self.command}}}
        if turn % 3 == 1:
            return event | {"httpMethod": self.command, "headers": dict(self.headers.items())}
        several = {name.lower(): self.headers.get_all(name) for name in self.headers}
        return event | {"httpMethod": self.command, "multiValueHeaders": several}

    def log_message(self, *_: object) -> None:
        pass


for _method in ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"):
    setattr(Gateway, f"do_{_method}", Gateway.answer)

server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
