"""The exchange and the browser, once for all browser tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect, sync_playwright

from browser_tests.site import WAIT_MS, Site, running_site


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    """Return a running exchange. Playwright's loop ends with it: other tests use Django's ORM, which refuses one."""
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright, running_site(playwright) as running:
        yield running
