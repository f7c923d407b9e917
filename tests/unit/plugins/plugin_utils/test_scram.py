"""SCRAM-SHA-256 verifiers."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.scram import scram_matches, scram_verifier

# The exchange of RFC 7677, section 3: user "user", password "pencil".
RFC_SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")


def test_rfc_7677() -> None:
    verifier = scram_verifier("pencil", RFC_SALT, 4096)
    assert verifier == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


def test_every_verifier_has_a_salt_of_its_own() -> None:
    assert scram_verifier("geheim") != scram_verifier("geheim")
    assert scram_matches(scram_verifier("geheim"), "geheim")


@pytest.mark.parametrize(
    "verifier",
    [None, "", "md5d41d8cd98f00b204e9800998ecf8427e", "geheim", scram_verifier("other"), scram_verifier("geheim")[:-1]],
)
def test_what_does_not_match(verifier: str | None) -> None:
    assert not scram_matches(verifier, "geheim")


@pytest.mark.parametrize("password", ["", "pässword", "tab\tbed"])
def test_passwords_that_would_need_normalising_are_refused(password: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        scram_verifier(password)
