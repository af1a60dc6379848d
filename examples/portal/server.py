"""An operator's product that embeds the portal: one page, one API call, no dependencies.

    ESIMHOOKS_URL=http://127.0.0.1:8400 ESIMHOOKS_KEY=esim_admin_... ESIMHOOKS_ACCOUNT=acc_... python server.py 8500

The server must allow it: ESIMHOOKS_FRAME_ORIGINS=http://localhost:8500. The key stays here; the browser gets a link that works once.
"""

import html
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Globetrotter for merchants</title>
<style>
body {{ margin: 0; font: 15px system-ui; }}
header {{ padding: 14px 24px; background: #7a1f5c; color: #fff; }}
iframe {{ display: block; width: 100%; height: calc(100vh - 52px); border: 0; }}
</style></head>
<body><header>Globetrotter: your shop, your plans, your <b>webhooks</b></header>
<iframe title="Webhooks" src="{link}"></iframe></body></html>"""


def portal_link(page: str) -> str:
    """Return a link for the merchant who has signed in to this product; here there is only one."""
    account = os.environ["ESIMHOOKS_ACCOUNT"]
    body = {"mode": "test", "role": "manage", "frame": True, "page": page, "expiresIn": 60}
    request = Request(  # noqa: S310 - the address is a setting
        f"{os.environ['ESIMHOOKS_URL']}/v1/accounts/{account}/portal-links",
        data=json.dumps(body).encode(),
        headers={"authorization": f"Bearer {os.environ['ESIMHOOKS_KEY']}", "content-type": "application/json"},
    )
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        return str(json.load(answer)["url"])


class Product(BaseHTTPRequestHandler):
    """Answers every GET with the page and a fresh link in it."""

    def do_GET(self) -> None:
        """Make a link for each load: it works once, so a reload needs another one."""
        body = PAGE.format(link=html.escape(portal_link("/"))).encode()
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("cache-control", "no-store")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8500), Product).serve_forever()
