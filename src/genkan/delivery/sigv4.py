"""
Sign a request as Amazon Web Services want it (Signature Version 4).

Pure. Source: "Signature Version 4 signing process", AWS General Reference; its published examples are the tests.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from urllib.parse import parse_qsl, quote, urlsplit

from msgspec import Struct

from genkan.model import Secret


class Credentials(Struct, frozen=True, kw_only=True):
    """Who signs."""

    access_key_id: str
    secret: Secret
    session_token: Secret | None = None


def signed(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    who: Credentials,
    region: str,
    service: str,
    at: datetime,
) -> dict[str, str]:
    """
    The headers of a request, those given and with them `Host`, `X-Amz-Date` and `Authorization`.

    Shapes: a URL whose path is as it goes over the wire and holds no `.` or `..`; `at` in UTC.
    """
    parts = urlsplit(url)
    moment = f"{at:%Y%m%dT%H%M%SZ}"
    all_headers = {**headers, "Host": parts.netloc, "X-Amz-Date": moment}
    if who.session_token is not None:
        all_headers["X-Amz-Security-Token"] = who.session_token.text
    canonical = sorted((name.lower(), " ".join(value.split())) for name, value in all_headers.items())
    names = ";".join(name for name, _ in canonical)
    pairs = sorted(
        (_encoded(name), _encoded(value)) for name, value in parse_qsl(parts.query, keep_blank_values=True)
    )
    request = "\n".join(
        (
            method,
            quote(parts.path or "/", safe="/-_.~"),
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{value}" for name, value in canonical),
            "",
            names,
            sha256(body).hexdigest(),
        )
    )
    scope = f"{at:%Y%m%d}/{region}/{service}/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{sha256(request.encode()).hexdigest()}"
    signature = hmac.new(signing_key(who.secret, at, region, service), to_sign.encode(), sha256).hexdigest()
    all_headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={who.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return all_headers


def signing_key(secret: Secret, at: datetime, region: str, service: str) -> bytes:
    """The key of one day, region and service."""
    key = f"AWS4{secret.text}".encode()
    for part in (f"{at:%Y%m%d}", region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
