"""A receiver in a few lines: verifies with the public `standardwebhooks` package and prints what happened.

python examples/receiver.py whsec_... [port]
"""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

secret = sys.argv[1]
port = int(sys.argv[2]) if len(sys.argv) > 2 else 3000


class Hooks(BaseHTTPRequestHandler):
    """Answers 200 to verified requests and 401 to all others."""

    def do_POST(self) -> None:
        """Verify the raw bytes before trusting anything."""
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = Webhook(secret).verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError as error:
            self.send_response(401)
            print(f"refused: {error}", flush=True)
        else:
            self.send_response(200)
            print(f"{event['event']} {event['data']['id']} #{event['sequence']}", flush=True)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print events only."""


server = HTTPServer(("127.0.0.1", port), Hooks)
print(f"waiting on http://127.0.0.1:{port}/hooks", flush=True)
server.serve_forever()
