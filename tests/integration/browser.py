"""A browser as far as tests need one: curl, with cookies, forms and the platform's own CA."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Page:
    """An answer: status, the address that it came from in the end, headers (all hops), body."""

    status: int
    url: str
    headers: str
    body: str


@dataclass
class Browser:
    """Keeps cookies in a folder; every host name leads to one address."""

    folder: Path
    ca: Path
    domain: str
    address: str

    def open(
        self, path: str, *, scheme: str = "https", form: dict[str, str] | None = None, follow: bool = True
    ) -> Page:
        """Get a page, or send a form to it with the CSRF token that the page before had."""
        url = f"{scheme}://{self.domain}{path}"
        argv = ["curl", "--silent", "--show-error", "--max-time", "20", "--cacert", str(self.ca)]
        argv += ["--connect-to", f"{self.domain}::{self.address}:", "--cookie", str(self.folder / "jar")]
        argv += ["--cookie-jar", str(self.folder / "jar"), "--dump-header", str(self.folder / "headers")]
        argv += ["--location"] if follow else []
        for name, value in (form or {}).items():
            argv += ["--data-urlencode", f"{name}={value}"]
        argv += ["--referer", url] if form else []
        argv += ["--write-out", "\n%{http_code} %{url_effective}", url]
        text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        body, _, last = text.rpartition("\n")
        status, effective = last.split(" ", 1)
        return Page(int(status), effective, (self.folder / "headers").read_text(), body)

    def submit(self, path: str, fields: dict[str, str]) -> Page:
        """Open a page with a form and send the form."""
        page = self.open(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.body)
        assert token, f"{path} has no form: {page.status}\n{page.body[:500]}"
        return self.open(path, form={"csrfmiddlewaretoken": token[1], **fields})
