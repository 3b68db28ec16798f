"""
The one place where a name that was typed becomes a key that is compared.

Everybody who looks a person up, counts a limit or sends a message gets the key from here, so two spellings are one
person everywhere or nowhere. Knows nothing of accounts, tenants or requests; who holds a name is not its matter.
Source: CAN-01 to CAN-08, MSG-06; RFC 5321 (sizes), RFC 5322 3.2.3 (dot-atom), RFC 5890 to 5892 (IDNA), ITU-T E.164.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from genkan.model import Identifier

_LONGEST_EMAIL = 254  # RFC 5321 4.5.3.1.3, less the angle brackets
_LONGEST_PHONE = 40  # 15 digits (E.164) and generous punctuation

# Character classes are spelt out: `\w` and IGNORECASE would let in the Kelvin sign and the long s. Only inside one
# label, at most 63 characters, is there anything to try twice, so the time is linear (AVL-06).
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL = r"(?!..--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_plain = re.compile(rf"(?=[^@]{{1,64}}@.*[A-Za-z]\Z){_LOCAL}@{_LABEL}(?:\.{_LABEL})+").fullmatch
_local = re.compile(rf"(?=[^@]{{1,64}}\Z){_LOCAL}").fullmatch
_name = re.compile(r"[!-?A-~]{1,64}").fullmatch  # printable ASCII but for the blank and `@`

# What people put between the digits of a number, as they type or paste it. Digits of other scripts are not here: they
# would be a second spelling of the same number.
_written = re.compile(r"\+[0-9 .()\-\u00a0\u2010-\u2013\u202f\u2212]+").fullmatch
_digits_only = {ord(c): None for c in " .()-\u00a0\u2010\u2011\u2012\u2013\u202f\u2212"}

# E.164 country codes: one digit, two digits, else three. Kept here as text because masks are written on every request,
# and the numbering metadata takes too long to load for that; a test compares the two.
_TWO_DIGITS = frozenset(
    """
    20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58
    60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98
    """.split()
)

# Closed until an administrator opens them. Numeric prefixes; the longest that fits decides, so 1876 is not 1.
# Source: conditional-access 13.1.
_CLOSED = frozenset(
    """
    7 20 53 62 63 84 92 93 94 95 98 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 234 235
    237 238 241 242 243 244 245 249 250 251 252 253 254 255 256 257 258 260 261 262 263 265 266 269 290 291 359 373
    374 375 377 380 383 385 386 387 501 502 503 505 508 509 590 591 592 593 670 672 675 678 679 685 686 687 689 690
    691 855 880 961 962 963 964 965 966 967 968 970 971 974 975 976 977 992 993 994 995 996 998 1721 1784 1876
    """.split()
)


def email(text: str) -> Identifier | None:
    """
    Make an e-mail address canonical, or say that it is none.

    Shapes:   `key` is lower-case ASCII, the domain as A-labels; `value` is as typed, less blanks at both ends.
    Refuses:  by None: local parts beyond ASCII dot-atoms, quotes, comments, display names, lists, address literals,
              names without a dot, and every domain that only compatibility characters make equal to another.
    Source:   CAN-02, CAN-03, CAN-04, CAN-06.
    """
    typed = text.strip(" \t")
    # An encoded word is a lawful local part that some mail systems decode, line breaks and all (MSG-01).
    if len(typed) > _LONGEST_EMAIL or "=?" in typed:
        return None
    if _plain(typed) is not None:
        return Identifier("email", typed.lower(), typed)
    return _international(typed)


def _international(typed: str) -> Identifier | None:
    """Make an address canonical whose domain is not plain ASCII, or is and holds A-labels."""
    local, at, domain = typed.rpartition("@")
    if not at or _local(local) is None or any(map(_poses_as_ascii, domain)):
        return None
    if domain.isascii() and "xn--" not in domain.lower():
        return None
    # The library and its IDNA tables take 50 ms to load. Most servers never meet such a domain, and none should start
    # later for it.
    from email_validator import EmailNotValidError, validate_email

    try:
        found = validate_email(
            typed,
            allow_smtputf8=False,
            allow_quoted_local=False,
            allow_domain_literal=False,
            allow_display_name=False,
            check_deliverability=False,
            test_environment=True,
        )
    except (EmailNotValidError, UnicodeError):
        return None
    # Mapping may have done no more than compose and lower-case: whatever else it swallows or replaces (invisible
    # characters, foreign full stops, compatibility forms) would be a second spelling of somebody else's domain.
    composed = "".join(c.lower() for c in unicodedata.normalize("NFC", domain))
    own, coded, spelt = composed.split("."), found.ascii_domain.split("."), found.domain.split(".")
    if not len(own) == len(coded) == len(spelt):
        return None
    if any(label not in forms for label, *forms in zip(own, coded, spelt, strict=True)):
        return None
    return Identifier("email", f"{local.lower()}@{found.ascii_domain}", typed)


def _poses_as_ascii(character: str) -> bool:
    """Say whether a character beyond ASCII turns into ASCII when composed or lower-cased, as the Kelvin sign does."""
    if character.isascii():
        return False
    unfolded = unicodedata.normalize("NFKC", character)
    return any(c.isascii() for c in unfolded + unfolded.lower())


def phone(text: str) -> Identifier | None:
    """
    Make a telephone number canonical, or say that it is none to which a code may go.

    Shapes:   `key` and `value` are E.164. The country must be written: it is never guessed.
    Refuses:  by None: national forms, extensions, letters, digits of other scripts, numbers that no plan assigns, and
              the kinds that cost the receiver or the sender more than a message, or reach no person.
    Source:   CAN-08, MSG-06; native-auth-v1 5.2.
    """
    typed = text.strip(" \t")
    if len(typed) > _LONGEST_PHONE or _written(typed) is None:
        return None
    # 30 ms to load, and only those who register or use a number need it.
    import phonenumbers
    from phonenumbers import PhoneNumberType as Type

    try:
        number = phonenumbers.parse(typed.translate(_digits_only))
    except phonenumbers.NumberParseException:
        return None
    kind = phonenumbers.number_type(number)  # UNKNOWN when no plan assigns it
    if kind not in (Type.MOBILE, Type.FIXED_LINE_OR_MOBILE, Type.FIXED_LINE, Type.VOIP):
        return None
    # Codes of no country: satellite, international freephone, premium and shared cost.
    if phonenumbers.region_code_for_number(number) == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY:
        return None
    key = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return Identifier("phone", key, key)


def username(text: str) -> Identifier | None:
    """
    Make a sign-in name that is no address canonical, or say that it is none.

    Shapes:   `key` is lower case, `value` is as typed, less blanks at both ends. Neither holds an `@`, so that no
              username is anybody's address.
    Refuses:  by None: blanks, more than 64 characters, and whatever is not ASCII: other scripts look alike (CAN-09).
    Source:   native-auth-v1 10.3; CAN-01, CAN-05.
    """
    typed = text.strip(" \t")
    return Identifier("username", typed.lower(), typed) if _name(typed) is not None else None


def mask(identifier: Identifier) -> str:
    """
    Show just enough of an identifier for its owner to know it again.

    Shapes:   `a***a@ex****e.com`, `+44*******34`. The stars do not tell the length; what is too short to hide a
              character shows less.
    Source:   OTP-19; native-auth-v1 10.3.
    """
    key = identifier.key
    if identifier.kind == "phone":
        code = calling_code(identifier)
        return f"+{code}*******{key[-2:]}" if len(key) > len(code) + 4 else f"+{code}*******"
    local, at, domain = key.partition("@") if identifier.kind == "email" else (key, "", "")
    if len(local) > 2:
        shown = f"{local[0]}***{local[-1]}"
    else:
        shown = f"{local[0]}***" if len(local) == 2 else "***"
    if not at:
        return shown
    name, dot, top = domain.rpartition(".") if "." in domain else (domain, "", "")
    if len(name) > 3:
        return f"{shown}@{name[:2]}****{name[-1]}{dot}{top}"
    return f"{shown}@{name[: len(name) - 1]}****{dot}{top}" if name else f"{shown}@****{dot}{top}"


def calling_code(identifier: Identifier) -> str:
    """Name the E.164 country code of a number, without the plus; of anything else the empty text."""
    return calling_code_of(identifier.key) if identifier.kind == "phone" else ""


def calling_code_of(number: str) -> str:
    """The same of a number as messages bear it: in E.164, with the plus, whether or not anybody could have it."""
    digits = number[1:4]
    if digits[:1] in ("1", "7"):
        return digits[:1]
    return digits[:2] if digits[:2] in _TWO_DIGITS else digits


def region_open(identifier: Identifier, opened: Collection[str] = (), closed: Collection[str] = ()) -> bool:
    """
    Say whether codes go to this number's region: those that are open by themselves, with what was opened and closed.

    Shapes:   a number made by `phone`, so its code is an assigned one; for anything else False. Of the prefixes of a
              number that are listed anywhere the longest decides, so `1876` may be open where `1` is closed; what is
              both opened and closed is closed.
    Source:   conditional-access 13.1; MSG-06.
    """
    code = calling_code(identifier)
    if not code:
        return False
    for prefix in (identifier.key[1:5], code):
        if prefix in closed:
            return False
        if prefix in opened:
            return True
        if prefix in _CLOSED:
            return False
    return True


def is_region(text: str) -> bool:
    """Whether this names a region that can be opened or closed: a calling code, or a part of a shared one."""
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        return False
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE  # slow to load, and only administrators need it

    return text in _CLOSED or int(text) in COUNTRY_CODE_TO_REGION_CODE


def base(identifier: Identifier) -> str:
    """
    Name what abuse is counted by: the place without its plus tag, since all tags of a mailbox are one mailbox.

    Only for counting. As an account every tag is a different name.
    Source:   CAN-07.
    """
    if identifier.kind != "email" or "+" not in identifier.key:
        return identifier.place
    local, _, domain = identifier.key.partition("@")
    return f"email:{local.partition('+')[0] or local}@{domain}"
