"""A whole exchange under test, and browsers that visit it and tell what went wrong in them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request, ViewportSize

from testing.databases import migrated_database
from testing.processes import Gunicorn, WorkerProcess, manage

PASSWORD: Final = "correct-horse-9"  # noqa: S105 - of the tests' customers
SIZES: Final[dict[str, ViewportSize]] = {
    "phone": {"width": 375, "height": 812},
    "desktop": {"width": 1280, "height": 800},
}
# How long anything may take to appear; a machine may have much else to do.
WAIT_MS: Final = 30_000
NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
HOW: Final = "the browser tests need Chromium: apt-get install chromium (Debian), or name another program in CHROMIUM"
# It runs as root in containers, and must ask nobody but the exchange for anything.
ARGUMENTS: Final = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
# What the content security policy stops would otherwise be seen by nobody.
REPORT_VIOLATIONS: Final = """
    document.addEventListener("securitypolicyviolation", (event) =>
        console.error(`content security policy: ${event.violatedDirective} stops ${event.blockedURI}`));
"""
Scheme = Literal["light", "dark"]
State = Any


class ChromiumMissingError(RuntimeError):
    """There is no browser to test with."""


def chromium() -> str:
    """Return the path of the browser."""
    named = os.environ.get("CHROMIUM", "")
    found = [path for name in ([named] if named else NAMES) if (path := shutil.which(name))]
    if not found:
        raise ChromiumMissingError(HOW)
    return found[0]


@dataclass
class Visit:
    """A page in a browser of its own, and what went wrong in it."""

    page: Page
    problems: list[str] = field(default_factory=list)
    # Parts of addresses or messages whose errors the test wants; the browser reports each answer of 400 and more.
    expected: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note every error from now on."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("requestfailed", self._failed)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        address = message.location.get("url", "")
        if not any(part in f"{address} {message.text}" for part in self.expected):
            self.problems.append(f"console: {message.text} ({address})")

    def _failed(self, request: Request) -> None:
        # A page that is left takes its requests with it.
        if request.failure != "net::ERR_ABORTED" and not any(part in request.url for part in self.expected):
            self.problems.append(f"request: {request.url}: {request.failure}")


@dataclass
class Site:
    """The exchange, and a browser to visit it with."""

    address: str
    variables: Mapping[str, str]
    browser: Browser
    server: Gunicorn
    _read: int = 0

    def books_balance(self) -> bool:
        """Check every invariant of the books."""
        return manage(self.variables, "check_books").returncode == 0

    def errors(self) -> list[str]:
        """Return what the server logged as errors, since it was asked last."""
        lines = self.server.logs()[self._read :]
        self._read += len(lines)
        return [
            f"{line['event']} {line.get('exception', '')}" for line in lines if line["level"] in {"error", "critical"}
        ]

    @contextmanager
    def visit(
        self,
        *,
        state: State = None,
        scheme: Scheme = "light",
        size: str = "desktop",
        javascript: bool = True,
    ) -> Iterator[Visit]:
        """Open a page in a browser of its own; at the end nothing may have gone wrong in it."""
        context: BrowserContext = self.browser.new_context(
            base_url=self.address,
            viewport=SIZES[size],
            color_scheme=scheme,
            storage_state=state,
            java_script_enabled=javascript,
            reduced_motion="reduce",
        )
        context.set_default_timeout(WAIT_MS)
        context.add_init_script(REPORT_VIOLATIONS)
        visit = Visit(context.new_page())
        visit.watch()
        try:
            yield visit
        except Exception as error:
            for problem in (visit.page.url, *visit.problems, *self.errors()):
                error.add_note(problem)
            raise
        else:
            problems = [*visit.problems, *self.errors()]
            assert not problems, "\n".join(problems)
        finally:
            context.close()


@contextmanager
def running_site(playwright: Playwright) -> Iterator[Site]:
    """Run the exchange as in production: collected static files, a worker, a folder for pictures, a past."""
    with ExitStack() as stack:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        stack.callback(browser.close)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="exchange-site-")))
        database = stack.enter_context(migrated_database())
        variables = {
            **database,
            "TEST_STATIC_ROOT": str(folder / "static"),
            "MEDIA_ROOT": str(folder / "media"),
            "DJANGO_SETTINGS_MODULE": "testing.collected",
            "DEMO_PASSWORD": PASSWORD,
        }
        for command in (["collectstatic", "--noinput"], ["seed_demo", "--market", "BTC-USDC", "--days", "4"]):
            done = manage(variables, *command)
            assert done.returncode == 0, done.stderr
        stack.enter_context(WorkerProcess(variables))
        server = stack.enter_context(Gunicorn(variables, settings="testing.collected"))
        yield Site(f"http://127.0.0.1:{server.port}", variables, browser, server)
