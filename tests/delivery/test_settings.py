"""Settings of providers: from a file or variables, secrets out of sight, and wrong ones refused in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from genkan.model import Secret
from genkan.settings import BadSettings, HttpSms, Settings, Smtp, Sns, Twilio, read, shown

APART = "https://admin.example.com:8443"
RELAY = {
    "GENKAN_EMAIL_RELAY_HOST": "smtp.example.com",
    "GENKAN_EMAIL_RELAY_SENDER": "Contoso <no-reply@example.com>",
}

TEXT = {
    "GENKAN_SMS_TEXT_KIND": "twilio",
    "GENKAN_SMS_TEXT_ACCOUNT_SID": "AC0",
    "GENKAN_SMS_TEXT_SECRET": "canary",
    "GENKAN_SMS_TEXT_SENDER": "MG0",
}


def from_file(tmp_path: Path, text: str, environment: Mapping[str, str] | None = None) -> Settings:
    path = tmp_path / "genkan.toml"
    path.write_text(text)
    return read(environment or {}, {"config": path})


def refusal(environment: Mapping[str, str]) -> str:
    with pytest.raises(BadSettings) as said:
        read(environment, {})
    return str(said.value)


def test_a_provider_is_read_from_variables_alone() -> None:
    settings = read({**RELAY, **TEXT, "GENKAN_SMS_TEXT_COUNTRIES": "44, 353"}, {})

    assert settings.email == {"relay": Smtp(host="smtp.example.com", sender="Contoso <no-reply@example.com>")}
    assert settings.sms == {
        "text": Twilio(account_sid="AC0", secret=Secret("canary"), sender="MG0", countries=("44", "353"))
    }


def test_a_provider_is_read_from_the_file_and_a_variable_goes_before_it(tmp_path: Path) -> None:
    (tmp_path / "smtp").write_text("from-a-file\n")
    settings = from_file(
        tmp_path,
        f"""
        port = 9000
        [email.relay]
        host = "smtp.example.com"
        username = "genkan"
        password_file = "{tmp_path}/smtp"
        sender = "no-reply@example.com"
        [sms.aws]
        kind = "sns"
        region = "eu-central-1"
        access_key_id = "AKIA0"
        [sms.other]
        kind = "http"
        url = "https://sms.example.com/send"
        fields = {{ recipient = "{{to}}", body = "{{text}}" }}
        refused = [410]
        """,
        {"GENKAN_EMAIL_RELAY_HOST": "other.example.com", "GENKAN_SMS_AWS_SECRET": "canary"},
    )

    assert settings.port == 9000
    assert settings.email["relay"].host == "other.example.com"
    assert settings.email["relay"].password == Secret("from-a-file")
    aws, other = settings.sms["aws"], settings.sms["other"]
    assert isinstance(aws, Sns)
    assert aws.secret == Secret("canary")
    assert isinstance(other, HttpSms)
    assert (other.fields, other.refused) == ({"recipient": "{to}", "body": "{text}"}, (410,))


def test_providers_are_in_the_order_in_which_they_are_tried() -> None:
    environment = {
        f"GENKAN_EMAIL_{name.upper()}_{field}": value
        for name, priority in (("c", "0"), ("a", "1"), ("b", "0"))
        for field, value in (("HOST", "h.example"), ("SENDER", "a@b.example"), ("PRIORITY", priority))
    }

    assert list(read(environment, {}).email) == ["b", "c", "a"]


@pytest.mark.proves("LOG-01")
def test_no_secret_is_shown(tmp_path: Path) -> None:
    environment = {
        **RELAY,
        "GENKAN_EMAIL_RELAY_USERNAME": "u",
        "GENKAN_EMAIL_RELAY_PASSWORD": "canary",
        **TEXT,
    }
    settings = read(environment, {})

    assert "canary" not in f"{shown(settings)}{settings!r}"
    assert ("email.relay.password", "(set)") in shown(settings)


@pytest.mark.parametrize("name", ["password", "secret", "session_token", "authorization"])
def test_a_secret_in_the_settings_file_is_refused_and_said_where_to_put(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadSettings) as said:
        from_file(tmp_path, f'[sms.text]\nkind = "http"\n{name} = "canary"\n')

    assert f"{name}_file" in str(said.value)
    assert f"GENKAN_SMS_TEXT_{name.upper()}" in str(said.value)
    assert "canary" not in str(said.value)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"GENKAN_EMAIL_RELAY_PORT": "many"}, "port"),
        ({"GENKAN_EMAIL_RELAY_PORT": "70000"}, "email.relay.port"),
        ({"GENKAN_EMAIL_RELAY_HOTS": "x"}, "no setting hots"),
        ({"GENKAN_EMAIL_RELAY_HOST": ""}, "email.relay.host"),
        ({"GENKAN_EMAIL_RELAY_SECURITY": "none"}, "email.relay.security"),
        ({"GENKAN_EMAIL_RELAY_SECURITY": "ssl"}, "security"),
        ({"GENKAN_EMAIL_RELAY_SENDER": "nobody"}, "email.relay.sender"),
        ({"GENKAN_EMAIL_RELAY_SENDER": "a@b.example\r\nBcc: c@d.example"}, "email.relay.sender"),
        ({"GENKAN_EMAIL_RELAY_SENDER": "A <a@b.example>, B <b@b.example>"}, "email.relay.sender"),
        ({"GENKAN_EMAIL_RELAY_USERNAME": "u"}, "email.relay.username"),
        ({"GENKAN_EMAIL_RELAY_PASSWORD": "p"}, "email.relay.username"),
        ({"GENKAN_EMAIL_RELAY_PASSWORD": ""}, "email.relay.password is empty"),
        (
            {"GENKAN_EMAIL_RELAY_PASSWORD_FILE": "/nowhere"},
            "email.relay.password cannot be read from /nowhere",
        ),
        ({"GENKAN_EMAIL_RELAY_CONNECTIONS": "0"}, "email.relay.connections"),
        ({"GENKAN_EMAIL_RELAY_TIMEOUT": "0"}, "email.relay.timeout"),
        ({"GENKAN_EMAIL_HOST": "x"}, "GENKAN_EMAIL_NAME_FIELD"),
        ({"GENKAN_EMAIL_": "x"}, "GENKAN_EMAIL_NAME_FIELD"),
        ({"GENKAN_EMAIL_9A_HOST": "x"}, "email.9a"),
        ({**TEXT, "GENKAN_SMS_TEXT_KIND": "pigeon"}, "twilio, vonage, sns or http"),
        ({**TEXT, "GENKAN_SMS_TEXT_SENDER": ""}, "sms.text.sender"),
        ({**TEXT, "GENKAN_SMS_TEXT_COUNTRIES": "+44"}, "sms.text.countries"),
        ({**TEXT, "GENKAN_SMS_TEXT_URL": "http://sms.example.com"}, "sms.text.url"),
        ({**TEXT, "GENKAN_SMS_TEXT_URL": "https://user@sms.example.com"}, "sms.text.url"),
        ({"GENKAN_CONFIG": "/nowhere/genkan.toml"}, "/nowhere/genkan.toml"),
        ({"GENKAN_ADMINISTRATION": "8443", "GENKAN_ADMINISTRATION_URL": APART}, "GENKAN_ADMINISTRATION"),
        ({"GENKAN_ADMINISTRATION": "10.0.0.5", "GENKAN_ADMINISTRATION_URL": APART}, "GENKAN_ADMINISTRATION"),
        (
            {"GENKAN_ADMINISTRATION": "10.0.0.5:0", "GENKAN_ADMINISTRATION_URL": APART},
            "GENKAN_ADMINISTRATION",
        ),
        (
            {"GENKAN_ADMINISTRATION": "10.0.0.5:8400", "GENKAN_ADMINISTRATION_URL": APART},
            "GENKAN_ADMINISTRATION",
        ),
        ({"GENKAN_ADMINISTRATION": "10.0.0.5:8443"}, "GENKAN_ADMINISTRATION_URL"),
        ({"GENKAN_ADMINISTRATION_URL": APART}, "GENKAN_ADMINISTRATION_URL"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_in_one_sentence(changes: dict[str, str], named: str) -> None:
    said = refusal({**RELAY, **changes})

    assert named in said
    assert said.endswith(".")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("port = ", "is not TOML"),
        ("colour = 1", "there is no such setting"),
        ("email = 1", "[email.relay]"),
        ("[email]\nhost = 1", "[email.relay]"),
        ('[email.relay]\nhost = "h.example"', "sender is missing"),
        ('[email.relay]\nhost = 1\nsender = "a@b.example"', "host"),
        (
            '[sms.x]\nkind = "http"\nurl = "https://a.example"\nheaders = { "X-A" = "b\\r\\nX-B: c" }',
            "sms.x.headers",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(BadSettings) as said:
        from_file(tmp_path, text)

    assert named in str(said.value)


def test_without_a_file_and_variables_nothing_is_set() -> None:
    assert read({}, {}) == Settings()
