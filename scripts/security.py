"""
Fill the tables of `docs/security.md`: each requirement with its default, the setting that moves it, and its test.

A requirement of these families that no test proves is told in `OPEN`, with the reason; `tests/docs/test_security.py`
lets none be silent. Attacks, notices and faults name their tests here, and the same test finds each of them.

    python -m scripts.security           write the page
    python -m scripts.security --check   fail when it is stale
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, NamedTuple

from genkan import model
from genkan.engine import challenges, holders, steps
from genkan.engine import receipts as receipt_rules
from genkan.risk import pumping, rate
from genkan.service import hashing
from genkan.wire import http, reading
from scripts import rows
from scripts.reference import BETWEEN, DOCS, span, table

PAGE: Final = DOCS / "security.md"
FAMILIES: Final = {
    "FLOW": "A flow cannot be tricked",
    "OTP": "Codes",
    "THR": "Guessing and stuffing",
    "AVL": "The owner is never locked out, the server stays up",
    "PWD": "Passwords",
    "SSPR": "Resetting a password",
    "ENR": "Adding and changing methods",
    "ENUM": "Whether an account exists",
    "CAN": "Names",
    "MSG": "Messages and what they cost",
    "BRW": "Browsers",
    "TOK": "Tokens",
    "SES": "Sessions",
}


class Fixed(NamedTuple):
    """A default that no setting moves."""

    text: str


TENANT: Final = model.Tenant(id="", name="")


def limit(*limits: rate.Limit) -> Fixed:
    """What a fixed limit allows."""
    texts = []
    for one in limits:
        windows = (f"{count} in {span(window)}" for count, window in one.windows if window != rate.IN_A_ROW)
        in_a_row = (f"{count} in a row" for count, window in one.windows if window == rate.IN_A_ROW)
        texts.append(f"{one.name}: {', '.join((*windows, *in_a_row))}")
    return Fixed("; ".join(texts))


DEFAULTS: Final[dict[str, tuple[str | Fixed, ...]]] = {
    "FLOW-16": ("flow_idle", "flow_lifetime"),
    "FLOW-18": (Fixed("5 at once"),),
    "OTP-01": ("code_length",),
    "OTP-02": ("code_lifetime",),
    "OTP-05": ("tries_per_step",),
    "OTP-08": ("tries_per_step",),
    "OTP-11": (limit(rate.WRONG_CODES),),
    "OTP-12": (limit(rate.WRONG_CODES),),
    "OTP-13": (limit(rate.WRONG_CODES, rate.WRONG_CODES_SHORT),),
    "THR-02": ("wrong_guesses_per_network", "wrong_guesses_per_app", "wrong_guesses_per_tenant"),
    "THR-03": (limit(rate.WRONG_PASSWORDS, rate.WRONG_CODES),),
    "THR-04": (Fixed(f"{span(rate.FIRST_WAIT)} to {span(rate.LONGEST_WAIT)}"),),
    "THR-05": ("wrong_guesses_of_one_password", "wrong_guesses_per_network"),
    "THR-06": (Fixed("off until a corpus is named: `leaked_passwords`, `leaked_passwords_api`"),),
    "THR-07": (Fixed("no proxy is trusted: `trusted_proxies`"),),
    "THR-08": ("work", "work_bits"),
    "AVL-02": (limit(rate.STRANGERS_WRONG_CODES, rate.STRANGERS_WRONG_PASSWORDS),),
    "AVL-04": (Fixed(f"{hashing.QUEUE_PER_WORKER} waiting for each of `hashing_workers`"),),
    "AVL-05": (Fixed(f"{reading.MAX_BODY_BYTES:,} bytes, {http.SLOW_BODY_SECONDS} s"),),
    "PWD-01": ("password_min_length",),
    "PWD-02": ("password_min_strength",),
    "SSPR-05": (limit(rate.POLLS),),
    "SSPR-08": (limit(rate.RESETS, rate.RESETS_FROM_NETWORK),),
    "ENR-01": (Fixed(f"proven in the last {span(steps.FRESH)}"),),
    "ENR-10": (Fixed(f"{holders.MOST} accounts"),),
    "ENUM-01": ("enumeration",),
    "ENUM-04": (Fixed("answers on a beat where accounts are hidden"),),
    "ENUM-07": (limit(rate.UNKNOWN_NAMES, rate.NEW_NAMES),),
    "MSG-06": (Fixed("the list of conditional-access 13.1; an app's `regions_opened`, `regions_closed`"),),
    "MSG-07": (
        limit(rate.SMS_TO_NUMBER, rate.SMS_FOR_SUBJECT, rate.SMS_FROM_ADDRESS, rate.SMS_FROM_NETWORK),
        "sms_per_prefix",
        "sms_per_calling_code",
        "sms_per_calling_code_daily",
    ),
    "MSG-08": (
        Fixed(
            f"{pumping.SHARE} % of {pumping.ENOUGH} in {span(pumping.WINDOW)}; closed for {span(pumping.CLOSED)}"
        ),
    ),
    "MSG-09": ("sms_daily_budget", "sms_monthly_budget", "sms_prices"),
    "MSG-10": (
        Fixed(
            f"{span(challenges.FIRST_RESEND_AFTER)}, doubled up to {span(challenges.LONGEST_RESEND_AFTER)}"
        ),
    ),
    "TOK-05": ("refresh_idle", "refresh_lifetime", "refresh_lifetime_single_page"),
    "TOK-20": ("access_token_lifetime",),
}
"""Row → settings of a tenant by name, and what is fixed."""

NO_BROWSER: Final = "version 1 has no sign-in page of its own: an app that needs one is told `redirect`"
NO_SESSION: Final = (
    "there is no browser session: grants and their refresh tokens are all that lasts (TOK rows)"
)
OPEN: Final[dict[str, str]] = {
    "AVL-07": "what fails alone leaves the rest alone (Faults below); not yet one test of its own",
    "SSPR-07": "the mailbox counts once (FLOW-07); the 24 hours of caution on one phone are not there yet",
    "BRW-04": NO_BROWSER,
    "TOK-11": "an account's sessions and an app's permissions end at once; there is no revocation or introspection "
    "endpoint yet",
    "TOK-20": "the lifetime is a setting; there is no introspection endpoint that could honour more",
    "FLOW-11": NO_BROWSER,
    "FLOW-22": NO_BROWSER,
    "MSG-12": "the service of `telephony_risk_url` may know; it is asked before every text, and no answer is a no: "
    "tighter than the row",
    "BRW-06": NO_BROWSER,
    "BRW-07": "no DPoP yet; the playground keeps tokens in memory",
    "TOK-09": "no DPoP yet: refresh tokens of public clients are bound to the client id and their family",
    "TOK-10": "no DPoP yet",
    "TOK-13": NO_BROWSER,
    "TOK-14": NO_BROWSER,
    "TOK-15": NO_BROWSER,
    "TOK-18": NO_BROWSER,
    "SES-01": NO_SESSION,
    "SES-02": NO_SESSION,
    "SES-03": NO_SESSION,
    "SES-04": NO_SESSION,
    "SES-05": "administrators end sessions (`revokeSignInSessions`, `genkan user sign-out`); people cannot list theirs",
    "SES-06": NO_SESSION,
    "SES-07": "grants are not capped; each ends by its own lifetime",
}
"""Row → why no test proves it. A row that a test proves after all is no longer looked up here."""


class Claim(NamedTuple):
    """Something that holds, and the tests of it, as `file.py::test`."""

    name: str
    says: str
    tests: tuple[str, ...]


ATTACKS: Final = (
    Claim(
        "Parallel guesses",
        "of 1,000 at once no more are compared than tries are left, and a right one among them gets through once",
        (
            "tests/attacks/test_races.py::test_of_many_wrong_codes_no_more_are_compared_than_there_are_tries",
            "tests/attacks/test_races.py::test_a_right_code_among_wrong_ones_within_the_tries_gets_through_once",
        ),
    ),
    Claim(
        "Guesses sprayed over flows",
        "10 an hour and 30 a day at one account, whatever flows, apps and networks they come by; 100 in all",
        (
            "tests/attacks/test_races.py::test_codes_sprayed_over_flows_stay_within_the_limit_and_then_right_and_wrong_look_alike",
            "tests/attacks/test_limits.py::test_after_a_hundred_wrong_codes_in_a_row_none_is_judged_any_more",
        ),
    ),
    Claim(
        "Stuffing 5,000 accounts",
        "100 guesses an hour from one network; 20 of one password from as many networks as there are accounts",
        (
            "tests/attacks/test_stuffing.py::test_of_five_thousand_accounts_tried_from_one_network_a_hundred_guesses_are_compared",
            "tests/attacks/test_stuffing.py::test_one_password_tried_at_five_thousand_accounts_from_as_many_networks_is_compared_twenty_times",
        ),
    ),
    Claim(
        "Locking an owner out",
        "nothing that a stranger does keeps the owner from signing in where they did before",
        (
            "tests/attacks/test_limits.py::test_a_stranger_who_uses_up_the_guesses_does_not_keep_the_owner_out_where_they_signed_in_before",
        ),
    ),
    Claim(
        "Asking who has an account",
        "`uniform`: bodies, headers and times are the same, medians within 5 ms; `compat`: nothing before a right "
        "first factor but what the wire shows",
        (
            "tests/wire/test_timing.py::test_uniform_a_wrong_password_takes_as_long_whether_there_is_an_account_or_not",
            "tests/wire/test_timing.py::test_compat_a_wrong_password_takes_as_long_while_the_account_has_to_wait",
        ),
    ),
    Claim(
        "Pumping text messages",
        "50 messages on a route, then none for six hours; 1,000 people on others get their codes",
        (
            "tests/attacks/test_pumping.py::test_pumping_stops_within_fifty_messages_while_a_thousand_people_get_their_codes",
        ),
    ),
    Claim(
        "Registration hijack with a stolen password",
        "on an account older than a day a password alone registers nothing but the owner's own mailbox",
        (
            "tests/wire/test_registration.py::test_an_older_account_may_register_its_own_mailbox_alone",
            "tests/wire/test_registration.py::test_whoever_has_a_second_factor_adds_or_changes_none_by_the_first_alone",
        ),
    ),
    Claim(
        "Factor confusion",
        "no order of calls gives tokens without every factor: every phase by every endpoint, and random walks",
        (
            "tests/attacks/test_phases.py::test_a_call_that_the_phase_does_not_allow_is_an_invalid_token_and_changes_nothing",
            "tests/attacks/test_orders.py::test_no_order_of_calls_gives_tokens_that_were_not_earned",
        ),
    ),
    Claim(
        "Header and template injection",
        "nothing that is put into a message becomes a header, markup, a link or code",
        (
            "tests/delivery/test_mail.py::test_nothing_that_is_put_into_an_email_becomes_a_header",
            "tests/delivery/test_messages.py::test_what_stands_in_a_value_is_never_run_and_never_markup",
        ),
    ),
    Claim(
        "Huge and slow bodies",
        f"{reading.MAX_BODY_BYTES:,} bytes, within {http.SLOW_BODY_SECONDS} seconds; half a body is none",
        (
            "tests/attacks/test_bad_input.py::test_a_body_that_is_too_large_is_413_and_too_many_fields_are_400",
            "tests/wire/test_large_and_slow.py::test_a_body_that_comes_too_slowly_is_none",
            "tests/wire/test_large_and_slow.py::test_whoever_does_not_come_to_the_end_of_a_head_is_left",
            "tests/attacks/test_bad_input.py::test_half_a_body_is_no_body",
        ),
    ),
    Claim(
        "A page on a foreign origin",
        "is answered 403 without a word that it could read; no origin is reflected",
        ("tests/attacks/test_bad_input.py::test_a_foreign_origin_is_refused_and_never_reflected",),
    ),
    Claim(
        "Forged delivery receipts",
        f"change nothing; signed ones count once, within {span(receipt_rules.LATEST)}, and open no route",
        (
            "tests/delivery/test_receipts.py::test_a_receipt_that_is_forged_changes_nothing",
            "tests/delivery/test_receipts.py::test_no_receipt_opens_or_closes_a_route",
        ),
    ),
)

NOTICES: Final = (
    Claim(
        "new device",
        "`new_device`: tokens went to a network from which nobody has signed in before (`tell_new_places`)",
        (
            "tests/wire/test_messages_to_owners.py::test_the_owner_is_told_of_tokens_that_went_to_a_place_nobody_signed_in_from_before",
        ),
    ),
    Claim(
        "new method",
        "`method_added`: a second factor was registered",
        ("tests/wire/test_registration.py::test_the_owner_is_told_at_the_sign_in_address",),
    ),
    Claim(
        "method changed or removed",
        "`method_changed`, `method_removed`: an administrator did; the old place hears of it, too",
        ("tests/service/test_admin_people.py::test_owners_hear_of_every_change_to_how_they_sign_in",),
    ),
    Claim(
        "password changed",
        "`password_changed`: it was reset, or an administrator set one",
        ("tests/wire/test_reset.py::test_the_owner_is_told_at_every_mailbox_and_number",),
    ),
    Claim(
        "many wrong second factors",
        "`second_factor_failed`: five after a right first factor; `guesses_exhausted`: no more are judged",
        (
            "tests/attacks/test_confusion.py::test_the_owner_is_told_when_wrong_second_codes_have_locked_the_method",
        ),
    ),
    Claim(
        "sign-in refused by risk",
        "`sign_in_refused`: a factor was right, and policy refused it as dangerous",
        (
            "tests/wire/test_messages_to_owners.py::test_the_owner_is_told_everywhere_of_a_sign_in_that_was_refused_as_dangerous",
        ),
    ),
)

FAULTS: Final = (
    Claim(
        "Mail relay down, slow, refusing, or closing in the middle",
        "everything waits and arrives once; what may have been sent is not sent again",
        (
            "tests/delivery/test_faults.py::test_while_a_relay_is_down_everything_waits_and_then_arrives_once",
            "tests/delivery/test_faults.py::test_a_relay_that_is_slow_delivers_everything_once",
            "tests/delivery/test_faults.py::test_a_relay_that_refuses_for_now_gets_everything_later",
            "tests/delivery/test_faults.py::test_a_relay_that_closes_anywhere_in_the_conversation_gets_nothing_twice",
        ),
    ),
    Claim(
        "Provider of texts: 429, 5xx, time-outs, cut connections",
        "each code leaves at most once; the next provider takes over where the first has certainly not sent it",
        ("tests/delivery/test_faults.py::test_providers_that_fail_in_every_way_send_each_code_at_most_once",),
    ),
    Claim(
        "Clock leaps forward, steps back",
        "what has expired is dropped, never late, never twice; nothing expired lives again",
        (
            "tests/delivery/test_faults.py::test_a_clock_that_leaps_forward_drops_what_has_expired_and_sends_nothing_late_or_twice",
            "tests/delivery/test_faults.py::test_a_clock_that_steps_back_loses_nothing",
        ),
    ),
    Claim(
        "Database locked by somebody else, disk full",
        "503 with `Retry-After` within a second, nothing compared, nothing sent; the flow goes on where it was",
        (
            "tests/attacks/test_limits.py::test_where_the_budgets_cannot_be_written_nothing_is_compared_and_the_answer_comes_within_a_second",
            "tests/wire/test_transport.py::test_while_nothing_can_be_written_a_flow_hears_so_within_a_second_and_then_one_code_arrives",
        ),
    ),
    Claim(
        "Process killed anywhere",
        "each step is whole or not there; tries stay spent; no message is sent twice",
        (
            "tests/attacks/test_crash.py::test_nothing_that_was_acknowledged_is_lost_wherever_the_server_is_killed",
            "tests/delivery/test_faults.py::test_a_process_that_is_killed_while_it_sends_sends_nothing_twice_and_loses_nothing_unsaid",
        ),
    ),
)


# The tables. ----------------------------------------------------------------------------------------


def requirements() -> str:
    """Every row of the families, by family."""
    known, proofs = rows.read_rows(), rows.read_proofs()
    priorities = {
        row: cells[header.index("p") - 1]
        for _, header, row, cells in rows.tables(
            (DOCS / "reference/security-requirements.md").read_text("utf-8")
        )
        if "p" in header
    }
    parts = []
    for family, title in FAMILIES.items():
        lines = [
            (
                f"[{row}](reference/rows.md#{family.lower()})",
                f"P{priorities[row]}",
                text.split(" · ")[0],
                *_default(row),
                _proof(row, proofs),
            )
            for row, (_, text) in known.items()
            if rows.family(row) == family
        ]
        parts.append(f"### {title}\n\n" + table("Row||Says|Default|Setting|Test", *lines))
    return "\n".join(parts)


def _default(row: str) -> tuple[str, str]:
    """What holds unless somebody changes it, and by what they can."""
    values, settings = [], []
    for one in DEFAULTS.get(row, ()):
        if isinstance(one, Fixed):
            values.append(one.text)
        else:
            values.append(_said(getattr(TENANT, one)))
            settings.append(f"`{one}`")
    return "; ".join(values), ", ".join(settings)


def _said(value: Any) -> str:
    return (
        span(value)
        if isinstance(value, timedelta)
        else f"{value:,}"
        if isinstance(value, int)
        else f"{value or 'none'}"
    )


def _proof(row: str, proofs: rows.Proofs) -> str:
    tests = proofs.get(row, [])
    if not tests:
        return OPEN.get(row, "**not yet**")
    file, test = tests[0]
    more = f" and {len(tests) - 1} more" if len(tests) > 1 else ""
    return f"[{_words(test or file)}](../{file}){more}"


def _words(test: str) -> str:
    return test.removeprefix("test_").replace("_", " ")


def claims(header: str, listed: tuple[Claim, ...]) -> str:
    lines = []
    for name, says, tests in listed:
        links = (f"[{_words(test)}](../{file})" for file, _, test in (t.partition("::") for t in tests))
        lines.append((name, says, " · ".join(links)))
    return table(header, *lines)


TABLES: Final[dict[str, Callable[[], str]]] = {
    "requirements": requirements,
    "attacks": lambda: claims("Attack|Bound|Test", ATTACKS),
    "notices": lambda: claims("What happened|Message|Test", NOTICES),
    "faults": lambda: claims("Fault|What holds|Test", FAULTS),
}


def written(text: str) -> str:
    """The page as it should read."""
    return BETWEEN.sub(lambda match: f"{match[1]}\n{TABLES[match[2]]()}\n{match[3]}", text)


def main(arguments: list[str]) -> str:
    """Write the page, or only check it; what is wrong, if anything is."""
    text = PAGE.read_text(encoding="utf-8")
    if (wanted := written(text)) == text:
        return ""
    if "--check" in arguments:
        return "docs/security.md is stale: run `make docs`."
    PAGE.write_text(wanted, encoding="utf-8")
    return ""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]) or 0)
