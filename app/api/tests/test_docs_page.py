"""The docs page in a real browser: from our own files alone, under the policy that allows nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest
from django.conf import settings
from playwright.sync_api import Page, expect, sync_playwright

from testing.processes import APP, Gunicorn

CHROMIUM = shutil.which("chromium")
# A busy machine takes its time; nothing here waits longer than it has to.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def server(served_database: dict[str, str]) -> Iterator[Gunicorn]:
    """Run one."""
    with Gunicorn(served_database) as running:
        yield running


@pytest.fixture
def page(server: Gunicorn) -> Iterator[Page]:
    """Open a page that fails the test if anything is refused, missing or from elsewhere."""
    assert CHROMIUM, "install Debian's chromium"
    home = f"http://127.0.0.1:{server.port}"
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(base_url=home)
        opened.on("console", lambda message: problems.append(message.text) if message.type != "log" else None)
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
        opened.on("request", lambda request: problems.append(request.url) if not own(request.url, home) else None)
        opened.set_default_timeout(60_000)
        yield opened
        browser.close()
    assert problems == []


def own(url: str, home: str) -> bool:
    """Say whether something comes from us, or from the page itself."""
    return url.startswith((home + "/", "data:"))


def test_strangers_read_the_docs(page: Page) -> None:
    answer = page.goto("/api/v1/docs")
    assert answer
    assert "script-src 'self'" in answer.headers["content-security-policy"].split("; ")
    expect(page.locator(".opblock")).to_have_count(16)
    page.locator("#operations-Orders-place_order .opblock-summary-control").click()
    expect(page.get_by_text("Chosen by the client, new for each thing")).to_be_visible()
    page.locator("#operations-Markets-list_markets .opblock-summary-control").click()
    page.locator("#operations-Markets-list_markets").get_by_role("button", name="Execute").click()
    expect(page.locator("#operations-Markets-list_markets .live-responses-table")).to_contain_text("BTC-USDC")


def test_who_is_logged_in_can_try_things_out(server: Gunicorn, served_database: dict[str, str], page: Page) -> None:
    name = f"customer-{uuid.uuid4().hex[:8]}"
    made = [sys.executable, "-m", "testing.api_customer", name]
    subprocess.run(made, cwd=APP, env=served_database, capture_output=True, check=True, timeout=60)
    page.goto("/accounts/login/")
    page.locator("[name=login]").fill(name)
    page.locator("[name=password]").fill("correct-horse-9")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(re.compile("/wallet/"))
    page.goto("/api/v1/docs")
    deposit = page.locator("#operations-Wallet-announce_deposit")
    deposit.locator(".opblock-summary-control").click()
    deposit.get_by_placeholder("Idempotency-Key").fill(uuid.uuid4().hex)
    deposit.locator("textarea").fill('{"asset": "EUR", "amount": "12.50"}')
    deposit.get_by_role("button", name="Execute").click()
    expect(deposit.locator(".live-responses-table .response").first).to_contain_text("201")
    expect(deposit.locator(".live-responses-table")).to_contain_text('"amount": "12.5"')
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert cookies[settings.SESSION_COOKIE_NAME]["httpOnly"]
    del server
