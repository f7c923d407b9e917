"""How every page looks: accessible to everybody, light and dark, on a phone and on a desk; and pictures of that.

Pictures are written to the folder that SCREENSHOTS names, if it does.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast, get_args

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from browser_tests.site import SIZES, Scheme, Site, State
from browser_tests.steps import deposit, enable_second_factor, place_order, register
from testing.processes import manage

MOST_BYTES: Final = 60_000
COLOURS: Final = 128
GRAVE: Final = {"serious", "critical"}
WCAG_AA: Final = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}

Action = Callable[[Page], None]


def refused_order(page: Page) -> None:
    """Ask for more than there is, at no price."""
    form = page.locator("#order-form")
    form.get_by_label("Price").fill("1.001")
    form.get_by_label("Quantity").fill("lots")
    form.get_by_role("button", name="Buy BTC").click()
    expect(form.get_by_text("in digits, with a point")).to_be_visible()


def estimated_order(page: Page) -> None:
    """Look at what an order would do."""
    page.locator("#order-form").get_by_text("Sell", exact=True).click()
    page.locator("#order-form").get_by_text("Market", exact=True).click()
    page.locator("#order-form").get_by_label("Quantity").fill("0.25")
    expect(page.locator("#estimate")).to_contain_text("Brings at once")


def refused_registration(page: Page) -> None:
    """Leave out most of the form."""
    page.locator("form").evaluate("form => { form.noValidate = true; }")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("alert").locator("visible=true").first).to_be_visible()


def open_menu(page: Page) -> None:
    """Open the menu."""
    page.locator("details.menu summary").click()
    expect(page.get_by_role("link", name="Profile")).to_be_visible()


# Name of the page -> who looks, the address, and what is done there.
PAGES: Final[dict[str, tuple[str, str, Action | None]]] = {
    "login": ("stranger", "/accounts/login/", None),
    "register": ("stranger", "/accounts/signup/", None),
    "register-refused": ("stranger", "/accounts/signup/", refused_registration),
    "password-reset": ("stranger", "/accounts/password/reset/", None),
    "markets": ("stranger", "/markets/", None),
    "market-stranger": ("stranger", "/markets/ETH-USDC/", None),
    "market": ("gallery", "/markets/BTC-USDC/", estimated_order),
    "market-refused": ("gallery", "/markets/BTC-USDC/?interval=1m", refused_order),
    "wallet": ("gallery", "/wallet/", None),
    "menu": ("gallery", "/wallet/deposit/", open_menu),
    "withdraw": ("gallery", "/wallet/withdraw/", None),
    "movements": ("gallery", "/wallet/history/", None),
    "orders": ("gallery", "/wallet/history/orders/", None),
    "trades": ("gallery", "/wallet/history/trades/", None),
    "profile": ("gallery", "/profile/", None),
    "password": ("gallery", "/accounts/password/change/", None),
    "mail": ("gallery", "/accounts/email/", None),
    "second-factor": ("gallery", "/accounts/2fa/", None),
    "tokens": ("gallery", "/accounts/tokens/", None),
    "not-found": ("gallery", "/wallet/nowhere/", None),
    "frozen": ("frozen", "/wallet/", None),
}


@pytest.fixture(scope="module")
def states(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, State]:
    """Return the cookies of each kind of visitor, whose accounts have seen some life."""
    with site.visit() as visit:
        page = visit.page
        register(page, "gallery")
        enable_second_factor(page)
        for asset, amount in (("BTC", "2.5"), ("USDC", "150000"), ("EUR", "1200")):
            deposit(page, asset, amount)
        deposit(page, "ETH", "12.75", confirm=False)
        place_order(page, "Buy", "0.25")
        place_order(page, "Sell", "0.1")
        last = float(page.locator("#ticker .last").inner_text().split()[0].replace(",", ""))
        for side, share, quantity in (("Buy", 0.97, "0.4"), ("Buy", 0.95, "0.8"), ("Sell", 1.03, "0.5")):
            place_order(page, side, quantity, f"{last * share:.2f}")
        page.goto("/profile/")
        page.get_by_label("New picture").set_input_files(face(tmp_path_factory.mktemp("face")))
        page.get_by_role("button", name="Upload").click()
        expect(page.get_by_role("img", name="Your picture")).to_be_visible()
        found: dict[str, State] = {"stranger": None, "gallery": page.context.storage_state()}
    with site.visit() as visit:
        register(visit.page, "frozen")
        freeze = "from accounts.models import User; from accounts.freezing import freeze; "
        done = manage(
            site.variables, "shell", "-c", f"{freeze}freeze(User.objects.get(username='frozen').pk, 'test')"
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found["frozen"] = visit.page.context.storage_state()
    return found


def face(folder: Path) -> Path:
    """Return a file with a picture of somebody."""
    image = Image.new("RGB", (400, 400), "#7c9885")
    draw = ImageDraw.Draw(image)
    draw.ellipse((130, 80, 270, 230), fill="#f1dac4")
    draw.ellipse((60, 250, 340, 520), fill="#33415c")
    image.save(folder / "face.png")
    return folder / "face.png"


@pytest.mark.parametrize("name", PAGES)
def test_page(site: Site, states: dict[str, State], name: str) -> None:
    who, path, action = PAGES[name]
    with site.visit(state=states[who]) as visit:
        page = visit.page
        visit.expected += ["/nowhere/", "/order/", "/accounts/signup/"]
        page.goto(path)
        if action:
            action(page)
        for scheme in get_args(Scheme):
            page.emulate_media(color_scheme=scheme)
            for size in SIZES:
                page.set_viewport_size(SIZES[size])
                keep(page, f"{name}-{scheme}-{size}")
                problems = look(page, SIZES[size]["width"])
                assert not problems, f"{name}, {scheme}, {size}:\n" + "\n".join(problems)


def look(page: Page, wide: int) -> list[str]:
    """Return what keeps somebody from using the page."""
    width = page.evaluate("document.documentElement.scrollWidth")
    violations = Axe().run(page, options=WCAG_AA).response["violations"]
    return ([f"{width} wide"] if width > wide else []) + [
        f"{violation['id']}: {violation['help']}: {[node['html'] for node in violation['nodes']]}"
        for violation in violations
        if violation["impact"] in GRAVE
    ]


def keep(page: Page, name: str) -> None:
    """Keep a picture of the whole page, if that is wanted."""
    folder = os.environ.get("SCREENSHOTS")
    if not folder:
        return
    assert re.fullmatch(r"[a-z-]+", name)
    with Image.open(io.BytesIO(page.screenshot(full_page=True))) as image:
        few = with_few_colours(image.convert("RGB"))
    file = Path(folder) / f"{name}.webp"
    file.parent.mkdir(parents=True, exist_ok=True)
    few.save(file, lossless=True, method=6)
    assert file.stat().st_size < MOST_BYTES, f"{file}: {file.stat().st_size} bytes"


def with_few_colours(image: Image.Image) -> Image.Image:
    """Return the picture in the colours that it has most of; those of a page are few, and stay what they are."""
    counted = image.getcolors(image.width * image.height) or []
    most = sorted(counted, key=lambda entry: entry[0], reverse=True)[:COLOURS]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in most for part in cast("tuple[int, int, int]", colour)])
    return image.quantize(palette=palette, dither=Image.Dither.NONE).convert("RGB")
