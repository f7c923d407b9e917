"""What the alert drill runs: tells a figure that fires the alert AlertDrill, and prints each alert that comes back.

Two lines each: the alert's name, the drill's, firing or resolved; then the same with all labels, as JSON.

The figure carries the drill's name, so that nobody takes an older alert for this one's.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = os.environ["DRILL"]


class Handler(BaseHTTPRequestHandler):
    """Prometheus asks with GET, Alertmanager tells with POST."""

    def do_GET(self) -> None:
        """Answer with the figure."""
        self.answer(f'# TYPE exchange_alert_drill gauge\nexchange_alert_drill{{drill="{NAME}"}} 1\n')

    def do_POST(self) -> None:
        """Print each alert that arrives."""
        told = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        for alert in told.get("alerts", []):
            labels = alert["labels"]
            sys.stdout.write(f"{labels.get('alertname')} {labels.get('drill')} {alert['status']}\n")
            sys.stdout.write(json.dumps({**labels, "status": alert["status"]}) + "\n")
            sys.stdout.flush()
        self.answer("")

    def answer(self, text: str) -> None:
        """Send a text."""
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Leave the log to alerts."""


ThreadingHTTPServer(("", 8080), Handler).serve_forever()
