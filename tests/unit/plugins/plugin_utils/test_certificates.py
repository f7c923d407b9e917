"""When a certificate is issued anew, and which certificate and key can serve a domain."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.certificates import (
    key_pair_error,
    leaf_plan,
    not_after,
    renewal_reason,
)
from unit.plugins.plugin_utils.pem import NOW, Pair, pair

NAMES = ["postgres-rw", "*.postgres-members", "localhost"]
THIRTY_DAYS = timedelta(days=30)
DOMAIN = "exchange.example.com"


@pytest.fixture(scope="module")
def ca() -> Pair:
    return pair("ca", days=1000)


@pytest.fixture(scope="module")
def leaf(ca: Pair) -> Pair:
    return pair("leaf", NAMES, ca)


def reason(certificate: str, ca: str, names: list[str] | None = None) -> str:
    return renewal_reason(certificate, ca, NAMES if names is None else names, THIRTY_DAYS, NOW)


def test_a_good_certificate_stays(ca: Pair, leaf: Pair) -> None:
    assert reason(leaf.pem, ca.pem) == ""
    assert reason(leaf.pem, ca.pem, [*reversed(NAMES)]) == "", "the order of names doesn't matter"


def test_when_it_ends(leaf: Pair) -> None:
    assert not_after(leaf.pem) == int(leaf.certificate.not_valid_after_utc.timestamp())
    assert not_after("") == 0
    with pytest.raises(ValueError, match="PEM"):
        not_after("leaf")


def test_none_yet(ca: Pair) -> None:
    assert reason("", ca.pem) == "there is none yet"


@pytest.mark.parametrize("text", ["garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_unreadable(text: str, ca: Pair, leaf: Pair) -> None:
    assert reason(text, ca.pem) == "it can't be read"
    assert reason(leaf.pem, text) == "it can't be read"


def test_of_another_ca(leaf: Pair) -> None:
    assert reason(leaf.pem, pair("other").pem) == "it was signed by another CA"
    assert reason(leaf.pem, pair("ca").pem) == "it was signed by another CA", "the same name is not the same CA"


@pytest.mark.parametrize(
    ("days", "expected"), [(29.9, "it ends on 2026-06-30"), (-1, "it ends on 2026-05-31"), (30, "")]
)
def test_it_ends_soon(days: float, expected: str, ca: Pair) -> None:
    assert reason(pair("leaf", NAMES, ca, days=days).pem, ca.pem) == expected


@pytest.mark.parametrize("names", [[*NAMES, "one-more"], NAMES[:-1], ["another"]])
def test_its_names_have_changed(names: list[str], ca: Pair, leaf: Pair) -> None:
    assert reason(leaf.pem, ca.pem, names) == "its names have changed"


def test_a_certificate_without_names_gets_them(ca: Pair) -> None:
    assert reason(pair("leaf", [], ca).pem, ca.pem) == "its names have changed"


def test_a_ca_is_its_own_authority(ca: Pair) -> None:
    assert reason(ca.pem, ca.pem, []) == ""
    assert reason(pair("ca", days=1).pem, ca.pem, []) == "it was signed by another CA"
    soon = pair("ca", days=1).pem
    assert reason(soon, soon, []) == "it ends on 2026-06-02"


@pytest.mark.parametrize("names", [[DOMAIN], ["*.example.com"], ["other.example.com", DOMAIN]])
def test_a_pair_that_serves_the_domain(names: list[str]) -> None:
    good = pair("web", names)
    assert key_pair_error(good.pem, good.key_pem(), DOMAIN) == ""


def test_a_chain_is_judged_by_its_first_certificate(ca: Pair) -> None:
    good = pair("web", [DOMAIN], ca)
    assert key_pair_error(good.pem + ca.pem, good.key_pem(), DOMAIN) == ""
    assert key_pair_error(ca.pem + good.pem, good.key_pem(), DOMAIN).startswith("expected a certificate that belongs")


def test_a_pair_that_does_not_serve_the_domain() -> None:
    good, other = pair("web", [DOMAIN]), pair("web", [DOMAIN])
    assert key_pair_error("garbage", good.key_pem(), DOMAIN) == "expected a PEM certificate"
    for key in ("garbage", "", good.pem, good.key_pem(b"passphrase")):
        assert "PEM private key without a passphrase" in key_pair_error(good.pem, key, DOMAIN)
    assert "belongs to platform_tls_private_key" in key_pair_error(good.pem, other.key_pem(), DOMAIN)


@pytest.mark.parametrize(
    "names", [[], ["example.com"], ["*.exchange.example.com"], ["*.com"], ["exchange.example.org"]]
)
def test_a_certificate_for_another_domain(names: list[str]) -> None:
    wrong = pair(DOMAIN, names)
    error = key_pair_error(wrong.pem, wrong.key_pem(), DOMAIN)
    assert error == f"expected a certificate for platform_domain ({DOMAIN})"


# --- A new CA ----------------------------------------------------------------------------------------------------

OLD, NEW = pair("ca", days=1000), pair("ca", days=3000)
RENEWED = {"tls.crt": NEW.pem, "previous.crt": OLD.pem}
BOTH = NEW.pem + OLD.pem
FIRST_TRUST = "; the next run issues it, when everybody knows the new CA"


@pytest.mark.parametrize(
    ("leaf", "ca", "issue", "trust", "reason"),
    [
        pytest.param({}, {"tls.crt": OLD.pem}, True, True, "there is none yet", id="the first one"),
        pytest.param(
            {"tls.crt": pair("leaf", NAMES, OLD).pem, "ca.crt": OLD.pem}, {"tls.crt": OLD.pem}, False, False, "",
            id="all is well",
        ),
        pytest.param(
            {"tls.crt": pair("leaf", NAMES, OLD).pem, "ca.crt": OLD.pem}, RENEWED, False, True,
            "the CAs that are trusted have changed",
            id="made known first",
        ),
        pytest.param(
            {"tls.crt": pair("leaf", NAMES, OLD).pem, "ca.crt": BOTH}, RENEWED, False, False, "",
            id="the old leaf goes on",
        ),
        pytest.param(
            {"tls.crt": pair("leaf", NAMES, OLD, days=5).pem, "ca.crt": OLD.pem}, RENEWED, False, True,
            f"it ends on 2026-06-06{FIRST_TRUST}", id="due at the same time, and waits",
        ),
        pytest.param(
            {"tls.crt": pair("leaf", NAMES, OLD, days=5).pem, "ca.crt": BOTH}, RENEWED, True, True,
            "it ends on 2026-06-06", id="the run after that",
        ),
        pytest.param(
            {"tls.crt": pair("leaf", NAMES, OLD, days=-1).pem, "ca.crt": OLD.pem}, RENEWED, True, True,
            "it ends on 2026-05-31", id="it has ended, so there is nothing to wait for",
        ),
        pytest.param(
            {"tls.crt": pair("leaf", NAMES).pem, "ca.crt": OLD.pem}, RENEWED, True, True,
            "it was signed by another CA", id="nobody trusts it anyway",
        ),
        pytest.param(
            {"tls.crt": pair("leaf", NAMES, NEW).pem, "ca.crt": BOTH}, {"tls.crt": NEW.pem}, False, True,
            "the CAs that are trusted have changed", id="the CA before is forgotten",
        ),
    ],
)  # fmt: skip
def test_a_new_ca_is_known_before_it_signs(
    leaf: dict[str, str], ca: dict[str, str], reason: str, *, issue: bool, trust: bool
) -> None:
    plan = leaf_plan(leaf, ca, NAMES, THIRTY_DAYS, NOW)
    assert (plan.issue, plan.trust, plan.reason) == (issue, trust, reason)
    assert plan.trusted == ca["tls.crt"] + ca.get("previous.crt", "")
