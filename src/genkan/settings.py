"""
Every setting of a deployment, documented in place and read from `genkan.toml` and `GENKAN_…` variables.

What belongs to a tenant (lifetimes, tries, password rules) is not here but in `model.Tenant`. A secret is never
written into the settings file: it comes from a variable, or from a file of its own that the settings name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field

from genkan.model import Secret


class BadSettings(Exception):
    """A setting cannot be used. The message names it and says what it may be."""


# Providers: the ways out for messages. --------------------------------------------------------------


class Provider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every way out has."""

    may_be: ClassVar[dict[str, str]] = {}

    priority: int = 0
    """The lowest is tried first; where two are alike, by name."""
    timeout: int = 10
    """Seconds to wait for one answer, 1 to 30."""


class Smtp(Provider, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mail relay. It is the relay that signs with DKIM."""

    may_be: ClassVar[dict[str, str]] = {
        "host": "the name of the relay, as its certificate has it",
        "sender": "an address, or a name and an address: Contoso <no-reply@example.com>",
        "security": "starttls, tls or (on this machine only) none",
    }

    host: str
    """Name of the relay; its certificate must be for this name."""
    port: int = 0
    """0: 587 with `starttls`, 465 with `tls`, 25 with `none`."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`none` only to a relay on this machine."""
    username: str = ""
    """Who Genkan is to the relay; empty: no authentication."""
    password: Secret | None = None
    """Secret."""
    ca_file: Path | None = None
    """Certificates to trust in place of the system's, as a PEM file."""
    sender: str
    """The `From` of every message."""
    connections: int = 4
    """How many at most; they are kept open for a while."""
    dkim_selector: str = ""
    """With which the relay signs; only `genkan doctor` looks it up."""


class SmsProvider(Provider, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every way out for text messages has."""

    countries: tuple[str, ...] = ()
    """Calling codes it is used for, as `["44", "353"]`; empty: any."""


class Twilio(
    SmsProvider, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="twilio", tag_field="kind"
):
    """Twilio Programmable Messaging."""

    may_be: ClassVar[dict[str, str]] = {
        "sender": "a number in E.164, a sender name, or a messaging service (MG…)"
    }

    account_sid: str
    """`AC…`."""
    api_key_sid: str = ""
    """`SK…`, when `secret` belongs to an API key and not to the account."""
    secret: Secret
    """Secret. The auth token of the account, or the secret of the API key."""
    sender: str
    """A number in E.164, a sender name, or a messaging service (`MG…`)."""
    receipt_secret: Secret | None = None
    """Secret. The auth token of the account, by which delivery receipts are verified; without it none are asked for."""
    url: str = "https://api.twilio.com"
    """Where the API is."""


class Vonage(
    SmsProvider, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="vonage", tag_field="kind"
):
    """The SMS API of Vonage."""

    may_be: ClassVar[dict[str, str]] = {"sender": "a number or a sender name"}

    api_key: str
    """Of the account."""
    secret: Secret
    """Secret. The API secret."""
    sender: str
    """A number or a sender name."""
    receipt_secret: Secret | None = None
    """
    Secret. The signature secret of the account, by which delivery receipts are verified; without it none are asked
    for.
    """
    url: str = "https://rest.nexmo.com"
    """Where the API is."""


class Sns(SmsProvider, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="sns", tag_field="kind"):
    """Amazon Simple Notification Service."""

    may_be: ClassVar[dict[str, str]] = {"region": "a region, as eu-central-1"}

    region: str
    """As `eu-central-1`."""
    access_key_id: str
    """`AKIA…`."""
    secret: Secret
    """Secret. The secret access key."""
    session_token: Secret | None = None
    """Secret. Of temporary credentials."""
    sender: str = ""
    """A number in E.164 or a sender id; empty: what the account has."""
    url: str = ""
    """Where the API is; empty: the one of the region."""


class HttpSms(
    SmsProvider, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="http", tag_field="kind"
):
    """Any other provider that takes a message in one HTTP request."""

    may_be: ClassVar[dict[str, str]] = {"url": "an https address"}

    url: str
    """What is posted to."""
    encoding: Literal["json", "form"] = "json"
    """How `fields` are sent."""
    fields: dict[str, str] = field(default_factory=lambda: {"to": "{to}", "text": "{text}"})
    """The body: `{to}` (E.164), `{digits}` (the same without the plus), `{text}` and `{id}` are filled in."""
    headers: dict[str, str] = field(default_factory=dict)
    """Further headers; none of them secret."""
    authorization: Secret | None = None
    """Secret. The whole value of the header `Authorization`."""
    secret_header: str = "Authorization"
    """Another header to carry it, as `X-Api-Key`."""
    reference: str = ""
    """The member of a JSON answer that names the message, as `data.id`."""
    refused: tuple[int, ...] = ()
    """Statuses that say that this number can never be reached."""
    idempotency_header: str = ""
    """A header that the provider knows two equal requests by, as `Idempotency-Key`."""


AnySms = Twilio | Vonage | Sns | HttpSms

SECRETS: Final = frozenset({"password", "secret", "session_token", "authorization", "receipt_secret"})
"""Fields that are never written into the settings file."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One frozen value for the whole process."""

    host: str = "127.0.0.1"
    """Address to listen on. `genkan dev` refuses anything but loopback."""
    port: int = 8400
    """Port to listen on; 0 picks a free one."""
    data: Path = Path(".genkan")
    """Folder of the databases and the master key."""
    database: str = ""
    """PostgreSQL's address, as `postgresql://genkan@db.example/genkan`; without it tenants are files in `data`."""
    journal: Path | None = None
    """
    A file, on another disk than the database, that tells what a restore must not undo: accounts held, codes on paper
    spent, methods and secrets taken away. Every process of the deployment needs one, the commands too.
    """
    database_connections: int = 10
    """Connections to PostgreSQL at most, of one process."""
    database_prepares: bool = True
    """Prepare statements there. Off behind a pooler that cannot keep them, as PgBouncer before 1.21."""
    tls: bool = False
    """Serve https with a certificate from a local throw-away authority (`genkan dev` only)."""
    log_level: str = "info"
    """`debug`, `info`, `warning` or `error`."""
    metrics: str = ""
    """
    Address and port for metrics, as `127.0.0.1:9464`; empty: there are none. Any but an address of this machine needs
    `metrics_token_file`. With `workers` it is that of the first; each other one has the next port.
    """
    metrics_token_file: Path | None = None
    """A file with the bearer token that whoever asks for metrics has to show."""
    workers: int = 1
    """Processes that serve the same address (`genkan serve`, with `database`); each takes a processor of its own."""
    hashing_workers: int = 0
    """Threads for password work, of one process; 0: all processes together have one per processor."""
    trusted_proxies: str = ""
    """Networks of your own reverse proxies, with commas between. Only from them `X-Forwarded-For` is believed."""
    geo_database: Path | None = None
    """Where addresses are: a file in MaxMind's format, of countries or cities. Needs the extra `geo`."""
    anonymous_networks: Path | None = None
    """Networks that hide who uses them (proxies, Tor): a file, one network a line; read anew when it changes."""
    bad_networks: Path | None = None
    """Networks that attacks come from: the same."""
    leaked_passwords: Path | None = None
    """Passwords known from leaks: a file of SHA-1 hashes in order, as of Pwned Passwords."""
    leaked_passwords_api: str = ""
    """A service to be asked about the first five digits of a hash: `https://api.pwnedpasswords.com/range/`."""
    risk_url: str = ""
    """A service to be asked how risky a sign-in looks; see `docs/explanation/risk-and-limits.md`."""
    risk_token_file: Path | None = None
    """A file with the bearer token for that service."""
    risk_deadline: int = 300
    """Milliseconds to wait for its answer, 10 to 5000; after it the risk is unknown."""
    telephony_risk_url: str = ""
    """A service to be asked before a text message with a code is sent; see `docs/explanation/risk-and-limits.md`."""
    telephony_risk_token_file: Path | None = None
    """A file with the bearer token for that service."""
    telephony_risk_deadline: int = 1000
    """Milliseconds to wait for its answer, 10 to 5000; after it the text message is not sent."""
    webhook_hosts: str = ""
    """
    Hosts, with ports, that extensions may be at although they are not public or not on port 443, with commas between:
    `hooks.internal:8443`. Without it extensions are reached on the internet alone.
    """
    webhook_authorities: Path | None = None
    """Authorities whose certificates extensions may have beside those that the system trusts, as a PEM file."""
    webhook_client_id: str = "99045fe1-7639-4a75-9d4a-577b6ca3810f"
    """Who Genkan is to extensions, as `azp` and `appid` of its token; Entra's libraries look for the default."""
    url: str = ""
    """The public address of `genkan serve`, as `https://login.example.com`: issuer and endpoints begin with it."""
    administration: str = ""
    """
    Address and port at which alone the administration API is served, as `10.0.0.5:8443`, an address of this machine in
    a network for administrators; empty: it is where everything else is.
    """
    administration_url: str = ""
    """How administrators reach it there, as `https://admin.example.com:8443`: their links begin with it."""
    certificate: Path | None = None
    """Certificate chain for https, as a PEM file (`genkan serve`); without it a reverse proxy must end TLS."""
    private_key: Path | None = None
    """Its key, as a PEM file."""
    seed: Path | None = None
    """The tenant that a new deployment begins with (TOML); not read again once its database is there."""
    email: dict[str, Smtp] = field(default_factory=dict)
    """Mail relays by name."""
    sms: dict[str, AnySms] = field(default_factory=dict)
    """Providers of text messages by name."""

    @property
    def administration_at(self) -> tuple[str, int] | None:
        """Address and port of `administration`."""
        host, _, port = self.administration.rpartition(":")
        return (host.strip("[]"), int(port)) if self.administration else None

    @property
    def metrics_at(self) -> tuple[str, int] | None:
        """Host and port of `metrics`."""
        host, _, port = self.metrics.rpartition(":")
        return (host.strip("[]"), int(port)) if self.metrics else None

    @property
    def proxies(self) -> tuple[str, ...]:
        """The networks of `trusted_proxies`."""
        return tuple(part.strip() for part in self.trusted_proxies.split(",") if part.strip())


OPTIONAL_FILES = (
    "certificate",
    "private_key",
    "seed",
    "geo_database",
    "anonymous_networks",
    "bad_networks",
    "leaked_passwords",
    "risk_token_file",
    "telephony_risk_token_file",
    "webhook_authorities",
    "metrics_token_file",
    "journal",
)
"""Empty is as good as not given."""

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

MAY_BE = {
    "host": "an address of this machine",
    "port": "a number from 0 to 65535",
    "data": "a folder",
    "database": "an address of PostgreSQL, as postgresql://user@host/name",
    "journal": "a file",
    "database_connections": "a number from 2 to 1000",
    "database_prepares": "true or false",
    "tls": "true or false",
    "log_level": "debug, info, warning or error",
    "metrics": "an address and a port, as 127.0.0.1:9464 or [::1]:9464",
    "metrics_token_file": "a file",
    "workers": "a number from 1 to 64",
    "hashing_workers": "a number, 0 or more",
    "trusted_proxies": "networks with commas between, as 10.0.0.0/8, 2001:db8::/32",
    "geo_database": "a file",
    "anonymous_networks": "a file",
    "bad_networks": "a file",
    "leaked_passwords": "a file",
    "leaked_passwords_api": "an https address that ends with a slash",
    "risk_url": "an https address (http on this machine only)",
    "risk_token_file": "a file",
    "risk_deadline": "a number from 10 to 5000",
    "telephony_risk_url": "an https address (http on this machine only)",
    "telephony_risk_token_file": "a file",
    "telephony_risk_deadline": "a number from 10 to 5000",
    "webhook_hosts": "hosts with commas between, each with a port or not: hooks.internal:8443",
    "webhook_authorities": "a file",
    "webhook_client_id": "a GUID",
    "administration": "an address of this machine and a port other than GENKAN_PORT, as 10.0.0.5:8443",
    "administration_url": "an https address without a path (http on this machine only), given with "
    "GENKAN_ADMINISTRATION and not without",
    "url": "an https address without a path (http on this machine only)",
    "certificate": "a file",
    "private_key": "a file, given with a certificate",
    "seed": "a file",
    "email": "tables of mail relays, each with its name: [email.relay]",
    "sms": "tables of providers, each with its name: [sms.twilio]",
}
"""What a setting may be, for whoever gave something else."""

_PASSWORD = re.compile(r"(?<=:)[^:/@]+(?=@)")
"""Of an address."""

_NAME = re.compile(r"[a-z][a-z0-9]{0,30}")


def read(environment: Mapping[str, str], given: Mapping[str, object]) -> Settings:
    """
    Settings from the command line, then the environment, then the settings file, then the defaults.

    The file is the one that `given["config"]` or `GENKAN_CONFIG` names. A field of a provider is a variable too:
    `GENKAN_EMAIL_RELAY_HOST` is `host` of the relay named `relay`. A secret `GENKAN_EMAIL_RELAY_PASSWORD` may as well
    stand in a file that `GENKAN_EMAIL_RELAY_PASSWORD_FILE`, or `password_file` in the settings file, names.

    Raises: `BadSettings`.
    """
    config = given.get("config") or environment.get("GENKAN_CONFIG")
    values: dict[str, Any] = _file(Path(str(config))) if config else {}
    ways: dict[str, dict[str, dict[str, Any]]] = {
        "email": _tables(values, "email"),
        "sms": _tables(values, "sms"),
    }
    plain = set(Settings.__struct_fields__) - set(ways)
    for variable, value in environment.items():
        if not variable.startswith("GENKAN_"):
            continue
        name = variable.removeprefix("GENKAN_").lower()
        if name in plain:
            values[name] = value
        elif (channel := name.partition("_")[0]) in ways:
            provider, _, setting = name.partition("_")[2].partition("_")
            if not provider or not setting:
                raise BadSettings(
                    f"The variable {variable} lacks a name: GENKAN_{channel.upper()}_NAME_FIELD."
                )
            ways[channel].setdefault(provider, {})[setting] = value
    values |= {name: value for name, value in given.items() if value is not None and name != "config"}
    for name in OPTIONAL_FILES:
        if values.get(name) == "":
            del values[name]
    for name, value in values.items():
        if isinstance(value, Path):
            values[name] = str(value)
    relays = {name: _provider("email", name, table, Smtp) for name, table in ways["email"].items()}
    texts = {name: _provider("sms", name, table, AnySms) for name, table in ways["sms"].items()}
    try:
        settings = msgspec.convert(values, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise _bad(_where(error) or str(error)) from None
    for name, holds in (
        ("host", settings.host != ""),
        ("port", 0 <= settings.port <= 65535),
        ("data", values.get("data") != ""),
        ("log_level", settings.log_level in ("debug", "info", "warning", "error")),
        ("metrics", _is_address(settings.metrics)),
        ("workers", 1 <= settings.workers <= 64),
        ("hashing_workers", settings.hashing_workers >= 0),
        ("database", not settings.database or settings.database.startswith(("postgresql://", "postgres://"))),
        ("database_connections", 2 <= settings.database_connections <= 1000),
        ("url", _is_safe(settings.url) and settings.url.count("/") in (0, 2)),
        ("administration", _is_elsewhere(settings.administration, settings.port)),
        (
            "administration_url",
            _is_safe(settings.administration_url)
            and settings.administration_url.count("/") in (0, 2)
            and bool(settings.administration_url) == bool(settings.administration),
        ),
        ("private_key", (settings.certificate is None) == (settings.private_key is None)),
        ("trusted_proxies", _are_networks(settings.proxies)),
        ("leaked_passwords_api", _is_safe(settings.leaked_passwords_api, ends="/")),
        ("risk_url", _is_safe(settings.risk_url)),
        ("risk_deadline", 10 <= settings.risk_deadline <= 5000),
        ("telephony_risk_url", _is_safe(settings.telephony_risk_url)),
        ("webhook_hosts", _are_hosts(settings.webhook_hosts)),
        (
            "webhook_client_id",
            re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", settings.webhook_client_id),
        ),
        ("telephony_risk_deadline", 10 <= settings.telephony_risk_deadline <= 5000),
    ):
        if not holds:
            raise _bad(name)
    return msgspec.structs.replace(settings, email=_in_order(relays), sms=_in_order(texts))


def shown(settings: Settings) -> list[tuple[str, str]]:
    """Every setting as `genkan doctor` prints it: names and values, the secrets masked."""
    lines = [
        (name, _PASSWORD.sub("***", str(getattr(settings, name))))
        for name in Settings.__struct_fields__
        if name not in ("email", "sms")
    ]
    ways: tuple[tuple[str, Mapping[str, Provider]], ...] = (("email", settings.email), ("sms", settings.sms))
    for channel, providers in ways:
        for name, provider in providers.items():
            for setting in provider.__struct_fields__:
                value = getattr(provider, setting)
                if value not in ("", None, (), {}):
                    text = "(set)" if isinstance(value, Secret) else str(value)
                    lines.append((f"{channel}.{name}.{setting}", text))
    return lines


def _file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettings(f"The settings file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeError) as error:
        raise BadSettings(f"The settings file {path} is not TOML: {error}.") from None


def _tables(values: dict[str, Any], channel: str) -> dict[str, dict[str, Any]]:
    """Take the tables of a channel out of the settings file. No secret stands in them."""
    tables = values.pop(channel, {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise _bad(channel)
    for name, table in tables.items():
        for setting in SECRETS & table.keys():
            raise BadSettings(
                f"The settings file holds a secret, {channel}.{name}.{setting}. Put it into a file that only Genkan "
                f"can read and name that with {setting}_file, or into the variable "
                f"GENKAN_{channel.upper()}_{name.upper()}_{setting.upper()}."
            )
    return {name: dict(table) for name, table in tables.items()}


def _provider(channel: str, name: str, table: dict[str, Any], kind: Any) -> Any:
    """
    One way out.

    Raises: `BadSettings`.
    """
    here = f"{channel}.{name}"
    if not _NAME.fullmatch(name):
        raise BadSettings(f"The name of {here} cannot be used: small letters and digits, a letter first.")
    for setting in SECRETS:
        if (path := table.pop(f"{setting}_file", None)) is not None:
            try:
                table[setting] = Path(str(path)).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is not text"
                raise BadSettings(f"The secret {here}.{setting} cannot be read from {path}: {why}.") from None
        if setting in table:
            if not table[setting]:
                raise BadSettings(f"The secret {here}.{setting} is empty.")
            table[setting] = Secret(str(table[setting]))
    for listed in ("countries", "refused"):
        if isinstance(table.get(listed), str):
            table[listed] = [part for part in re.split(r"[\s,]+", table[listed]) if part]
    try:
        provider: Provider = msgspec.convert(table, kind, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise BadSettings(f"The settings of {here} cannot be used: {_said(error)}.") from None
    for setting, holds, may_be in _rules(provider):
        if not holds:
            raise BadSettings(f"The setting {here}.{setting} cannot be used: it may be {may_be}.")
    return provider


def _rules(provider: Provider) -> list[tuple[str, bool, str]]:
    """What types cannot say: field, whether it holds, what it may be."""
    rules = [("timeout", 1 <= provider.timeout <= 30, "a number from 1 to 30")]
    needed = [known.name for known in msgspec.structs.fields(provider) if known.required]
    rules += [
        (name, getattr(provider, name) != "", provider.may_be.get(name, "anything but empty"))
        for name in needed
    ]
    if isinstance(provider, Smtp):
        here = provider.host in LOOPBACK
        rules += [
            ("port", 0 <= provider.port <= 65535, "a number from 0 to 65535"),
            ("security", provider.security != "none" or here, provider.may_be["security"]),
            ("sender", _MAILBOX.fullmatch(provider.sender) is not None, provider.may_be["sender"]),
            (
                "username",
                (provider.username == "") == (provider.password is None),
                "given with a password, or neither",
            ),
            ("connections", 1 <= provider.connections <= 64, "a number from 1 to 64"),
        ]
    if isinstance(provider, SmsProvider):
        codes = all(code.isascii() and code.isdigit() and len(code) <= 4 for code in provider.countries)
        rules.append(("countries", codes, "calling codes without the plus, as 44"))
    url = getattr(provider, "url", "")
    if url:
        rules.append(("url", _URL.fullmatch(url) is not None, "an https address (http on this machine only)"))
    if isinstance(provider, HttpSms):
        texts = (
            *provider.headers,
            *provider.headers.values(),
            provider.idempotency_header,
            provider.secret_header,
        )
        rules.append(
            ("headers", not any(c in t for t in texts for c in "\r\n\0"), "names and values of one line")
        )
    if isinstance(provider, Sns):
        rules.append(
            ("region", re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", provider.region) is not None, "as eu-central-1")
        )
    return rules


_ADDRESS = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):\d{1,5}")
_MAILBOX = re.compile(r"(?:[^<>\r\n\0\"]{1,64} <)?[^\s<>@\"]{1,64}@[A-Za-z0-9.-]{1,255}(?:(?<=.)>)?")
_URL = re.compile(r"https://[^\s@]+|http://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?(?:/\S*)?")


def _in_order(providers: dict[str, Any]) -> dict[str, Any]:
    """In the order in which they are tried."""
    return dict(sorted(providers.items(), key=lambda named: (named[1].priority, named[0])))


def _where(error: msgspec.ValidationError) -> str:
    """The field that an error is about."""
    found = re.search(r"`\$\.(\w+)|unknown field `(\w+)`", str(error))
    return (found[1] or found[2]) if found else ""


def _said(error: msgspec.ValidationError) -> str:
    """An error of a provider's table, in words."""
    said = str(error)
    if found := re.search(r"missing required field `(\w+)`", said):
        return f"{found[1]} is missing"
    if found := re.search(r"unknown field `(\w+)`", said):
        return f"there is no setting {found[1]}"
    if "kind" in said:
        return "kind may be twilio, vonage, sns or http"
    return f"{_where(error) or 'a value'} is not what it may be"


def _is_address(text: str) -> bool:
    return text == "" or (_ADDRESS.fullmatch(text) is not None and int(text.rpartition(":")[2]) <= 65535)


def _are_networks(texts: tuple[str, ...]) -> bool:
    try:
        for text in texts:
            ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def hosts(text: str) -> frozenset[tuple[str, int]]:
    """
    Hosts and their ports, which are 443 where none is given.

    Raises: `ValueError`.
    """
    found = set()
    for part in filter(None, (part.strip().lower() for part in text.split(","))):
        parts = urlsplit(f"https://{part}")
        if not parts.hostname or parts.path or parts.query or parts.fragment or parts.username is not None:
            raise ValueError(part)
        found.add((parts.hostname, parts.port or 443))
    return frozenset(found)


def _are_hosts(text: str) -> bool:
    try:
        hosts(text)
    except ValueError:
        return False
    return True


def _is_elsewhere(text: str, port: int) -> bool:
    """An address and a port of its own, or nothing."""
    host, _, number = text.rpartition(":")
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return text == ""
    return number.isdecimal() and 0 < int(number) <= 65535 and int(number) != port


def _is_safe(url: str, ends: str = "") -> bool:
    """Over https, or to this machine."""
    return url == "" or (_SAFE_URL.fullmatch(url) is not None and url.endswith(ends))


_SAFE_URL = re.compile(r"https://[^\s@]+|http://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?(?:/\S*)?")


def _bad(name: str) -> BadSettings:
    may_be = f"it may be {MAY_BE[name]}" if name in MAY_BE else "there is no such setting"
    return BadSettings(f"The setting GENKAN_{name.upper()} cannot be used: {may_be}.")


def _path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)
