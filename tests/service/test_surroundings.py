"""What a deployment may configure of addresses, leaks and risk, and what it is told when that cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genkan import settings
from genkan.bootstrap import CannotStart, Surroundings
from genkan.settings import BadSettings, Settings


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "proxy.example.com"),
        ("LEAKED_PASSWORDS_API", "http://api.example.com/range/"),
        ("LEAKED_PASSWORDS_API", "https://api.example.com/range"),
        ("RISK_URL", "http://risk.example.com"),
        ("RISK_URL", "https://user@risk.example.com"),
        ("RISK_DEADLINE", "9"),
        ("RISK_DEADLINE", "5001"),
        ("TELEPHONY_RISK_URL", "http://numbers.example.com"),
        ("TELEPHONY_RISK_DEADLINE", "5001"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_what_it_may_be(name: str, text: str) -> None:
    with pytest.raises(BadSettings, match=rf"GENKAN_{name} cannot be used: it may be .+\."):
        settings.read({f"GENKAN_{name}": text}, {})


def test_an_empty_setting_is_as_good_as_none() -> None:
    names = (
        "TRUSTED_PROXIES",
        "LEAKED_PASSWORDS_API",
        "RISK_URL",
        "TELEPHONY_RISK_URL",
        "GEO_DATABASE",
        "BAD_NETWORKS",
    )
    found = settings.read({f"GENKAN_{name}": "" for name in names}, {})

    assert found == Settings()
    around = Surroundings(found)
    assert (around.leaks, around.risk_source, around.telephony_risk) == (None, None, None)
    assert around.addresses.listed("192.0.2.1") == ()


def test_networks_of_proxies_have_commas_between(tmp_path: Path) -> None:
    found = settings.read({"GENKAN_TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::/32,192.0.2.1"}, {})

    assert found.proxies == ("10.0.0.0/8", "2001:db8::/32", "192.0.2.1")
    assert Surroundings(found).addresses.client("192.0.2.1", ["198.51.100.7"]) == "198.51.100.7"


@pytest.mark.parametrize(
    "name", ["geo_database", "anonymous_networks", "bad_networks", "leaked_passwords", "risk_token_file"]
)
def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path, name: str) -> None:
    missing = Settings(risk_url="https://risk.example.com", **{name: tmp_path / "missing"})  # type: ignore[arg-type]

    with pytest.raises(CannotStart, match="missing cannot be read: No such file"):
        Surroundings(missing)


def test_who_starts_it_with_a_broken_list_reads_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "bad.txt"
    file.write_text("nonsense\n")
    done = subprocess.run(
        [sys.executable, "-m", "genkan", "dev", "--port", "0", "--data", str(tmp_path / "data")],
        env={**os.environ, "GENKAN_BAD_NETWORKS": str(file)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode != 0
    assert "line 1 is no network: nonsense" in done.stderr
    assert "Traceback" not in done.stderr
