"""Password hashes of other systems: what is kept, what is refused, and that they are compared as their makers did."""

import base64
import hashlib
import time
from binascii import unhexlify
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genkan.engine.messages import Checked, NeedCheck
from genkan.factors import foreign, password
from genkan.model import Authenticator, Kind, Secret
from genkan.service.hashing import Hashing
from tests.store.worlds import START


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def kept(text: str) -> Secret:
    found = foreign.read(text)
    assert isinstance(found, Secret), found
    return found


def pbkdf2(digest: str, rounds: int, salt: bytes, tag: str) -> str:
    return f"$pbkdf2-{digest}$i={rounds},l={len(tag) // 2}${b64(salt)}${b64(unhexlify(tag))}"


UNIX = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

# Published: each is what the named source says of this password.
VECTORS = [
    pytest.param(  # the test of crypt_blowfish, which OpenBSD's own vectors agree with
        "U*U", UNIX, id="bcrypt 2a"
    ),
    pytest.param("U*U", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", id="bcrypt 2y"),
    pytest.param(  # the same with the bits set that stand for nothing
        "U*U", "$2b$05$CCCCCCCCCCCCCCCCCCCCC/E5YPO9kmyuRGyh0XouQYb4YMJKvyOeX", id="bcrypt, idle bits"
    ),
    pytest.param(  # the test suite of the Argon2 reference implementation
        "password",
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        id="argon2id",
    ),
    pytest.param(
        "password",
        "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
        id="argon2i",
    ),
    pytest.param(  # RFC 7914 12
        "pleaseletmein",
        f"$scrypt$ln=14,r=8,p=1${b64(b'SodiumChloride')}$"
        + b64(
            unhexlify(
                "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
                "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
            )
        ),
        id="scrypt",
    ),
    pytest.param(  # RFC 6070
        "passwordPASSWORDpassword",
        pbkdf2(
            "sha1",
            4096,
            b"saltSALTsaltSALTsaltSALTsaltSALTsalt",
            "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038",
        ),
        id="pbkdf2 sha1",
    ),
    pytest.param(  # RFC 7914 11
        "Password",
        pbkdf2(
            "sha256",
            80000,
            b"NaCl",
            "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
            "a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d",
        ),
        id="pbkdf2 sha256",
    ),
    pytest.param(  # no RFC has one; this is the one that every library's tests repeat
        "password",
        pbkdf2(
            "sha512",
            1,
            b"salt",
            "867f70cf1ade02cff3752599a3a53dc4af34c7a669815ae5d513554e1c8cf252"
            "c02d470a285a0501bad999bfe943c08f050235d7d68b1da55e63f73b60a57fce",
        ),
        id="pbkdf2 sha512",
    ),
    pytest.param("password", "{SSHA}pKqkNr1tq3wtQqk+UcPyA3HnA2NsU5NJ", id="ssha"),
]

FIREBASE = {  # Firebase's documentation of its scrypt
    "log_n": 14,
    "r": 8,
    "salt": base64.b64decode("42xEC+ixf3L2lw=="),
    "separator": base64.b64decode("Bw=="),
    "signer_key": base64.b64decode(
        "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=="
    ),
    "tag": base64.b64decode(
        "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=="
    ),
}


@pytest.mark.parametrize(("right", "text"), VECTORS)
def test_published_vectors_are_compared_as_their_makers_did_and_hashed_anew(right: str, text: str) -> None:
    material = kept(text)

    assert password.verify(material, right)
    assert not password.verify(material, right + "x")
    assert not password.verify(material, right.swapcase())
    assert password.needs_rehash(material)


def test_firebases_scrypt_is_compared_without_keeping_the_projects_key() -> None:
    material = foreign.firebase(**FIREBASE)  # type: ignore[arg-type]
    assert isinstance(material, Secret)

    assert password.verify(material, "user1password")
    assert not password.verify(material, "user2password")
    signer = base64.b64encode(FIREBASE["signer_key"]).decode()  # type: ignore[arg-type]
    assert signer.rstrip("=") not in material.text


def test_a_firebase_hash_of_another_key_is_refused() -> None:
    assert foreign.firebase(**{**FIREBASE, "signer_key": b"short"}) == (  # type: ignore[arg-type]
        "the password hash is not of this signer key"
    )


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("pbkdf2_sha256$1000$NaCl$" + b64(hashlib.pbkdf2_hmac("sha256", b"django", b"NaCl", 1000)), "django"),
        (
            "$pbkdf2$500$" + b64(b"salt") + "$" + b64(hashlib.pbkdf2_hmac("sha1", b"passlib", b"salt", 500)),
            "passlib",
        ),
        ("{CRYPT}" + bcrypt.hashpw(b"directory", bcrypt.gensalt(4)).decode(), "directory"),
        ("{SSHA512}" + base64.b64encode(hashlib.sha512(b"wordsalt").digest() + b"salt").decode(), "word"),
    ],
    ids=["Django", "passlib", "a directory's crypt", "SSHA512"],
)
def test_the_ways_in_which_others_write_them_are_read(text: str, right: str) -> None:
    assert password.verify(kept(text), right)


@pytest.mark.parametrize(("lanes", "memory", "is_one"), [(8, 64, True), (8, 63, False), (16, 65536, True)])
def test_a_hash_in_lanes_has_eight_blocks_for_each(lanes: int, memory: int, is_one: bool) -> None:
    """RFC 9106 3.1: what others hashed in eight or sixteen lanes is no less a hash."""
    text = f"$argon2id$v=19$m={memory},t=1,p={lanes}${b64(b'saltsalt')}${b64(bytes(32))}"

    assert isinstance(foreign.read(text), Secret) is is_one


def test_a_hash_that_takes_as_much_memory_as_others_ask_for_is_compared() -> None:
    """64 MiB: more than OpenSSL's scrypt takes unless it is told that it may."""
    tag = hashlib.scrypt(b"large", salt=b"salt", n=2**16, r=8, p=1, dklen=32, maxmem=2**27)
    material = kept("$scrypt$ln=16,r=8,p=1$" + b64(b"salt") + "$" + b64(tag))

    assert password.verify(material, "large")
    assert not password.verify(material, "small")


def test_a_password_is_compared_as_typed_where_another_system_hashed_it() -> None:
    typed = "ﬁne e\u0301"
    material = kept(bcrypt.hashpw(typed.encode(), bcrypt.gensalt(4)).decode())

    assert password.verify(material, typed)
    assert not password.verify(material, "fine é")


def test_bcrypt_is_compared_up_to_the_byte_where_it_stopped_looking() -> None:
    long = "é" * 40
    material = kept(bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode())

    assert password.verify(material, long)
    assert not password.verify(material, "é" * 35)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("5f4dcc3b5aa765d61d8327deb882cf99", "32 characters without a mark of their kind"),
        ("{MD5}X03MO1qnZdYdgyfeuILPmQ==", "{MD5}"),
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "{SHA}"),
        ("$1$salt$hash", "$1$"),
        ("$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "$2x$"),
        ("$argon2id$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$argon2id$"),
        ("$2b$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "costs more"),
        ("$2b$99$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "damaged"),
        ("$2b$05$CCCCC", "damaged"),
        ("$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyO é", "damaged"),
        (
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "costs more",
        ),
        (
            "$argon2id$v=19$m=256,t=2,p=32$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "costs more",
        ),
        ("$argon2id$v=19$m=256,t=2,p=1$c29t$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "damaged"),
        ("$scrypt$ln=22,r=8,p=1$c2FsdA$" + b64(bytes(32)), "costs more"),
        ("$scrypt$ln=14,r=8,p=900$c2FsdA$" + b64(bytes(32)), "costs more"),
        ("$pbkdf2-sha256$i=5000000$c2FsdA$" + b64(bytes(32)), "costs more"),
        ("$pbkdf2-sha256$i=600000$c2FsdA$" + b64(bytes(512)), "costs more"),
        ("$pbkdf2-sha999$i=6000$c2FsdA$" + b64(bytes(32)), "damaged"),
        ("$pbkdf2-sha256$i=0$c2FsdA$" + b64(bytes(32)), "damaged"),
        ("$pbkdf2-sha256$i=1000$c2FsdA$c2FsdA", "damaged"),
        ("{SSHA}" + b64(bytes(20)), "damaged"),
        ("", "0 characters"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_a_reason_that_shows_nothing_of_it(
    text: str, because: str
) -> None:
    refused = foreign.read(text)

    assert isinstance(refused, str)
    assert because in refused
    assert len(text) < 40 or text[-20:] not in refused


@pytest.mark.proves("AVL-04")
@pytest.mark.parametrize(
    ("most", "more"),
    [
        ("$2b$14$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", ("$14$", "$15$")),
        ("$argon2id$v=19$m=262144,t=4,p=1$", ("m=262144", "m=262145")),
        ("$argon2id$v=19$m=262144,t=4,p=1$", ("t=4", "t=5")),
        ("$argon2id$v=19$m=1024,t=4,p=16$", ("p=16", "p=17")),
        ("$scrypt$ln=18,r=8,p=1$", ("r=8", "r=9")),
        ("$scrypt$ln=18,r=8,p=4$", ("p=4", "p=5")),
        ("$scrypt$ln=10,r=1,p=16$", ("p=16", "p=17")),
        ("$pbkdf2-sha256$i=2000000$", ("i=2000000", "i=2000001")),
    ],
)
def test_a_hash_may_cost_so_much_and_no_more(most: str, more: tuple[str, str]) -> None:
    text = most if most.startswith("$2b$") else most + b64(b"saltsalt") + "$" + b64(bytes(32))

    assert isinstance(foreign.read(text), Secret)
    assert "costs more" in str(foreign.read(text.replace(*more)))


def test_what_no_password_can_be_is_wrong_and_no_fault() -> None:
    assert not foreign.verify(kept("{SSHA}" + b64(hashlib.sha1(b"xsalt").digest() + b"salt")), "\ud800")


@pytest.mark.parametrize("rest", ["C" * 52, "C" * 54])
def test_bcrypt_has_its_length(rest: str) -> None:
    assert "damaged" in str(foreign.read("$2b$05$" + rest))


@given(st.text(max_size=120))
@settings(max_examples=300)
def test_any_text_is_kept_or_refused(text: str) -> None:
    assert isinstance(foreign.read(text), Secret | str)


@pytest.mark.proves("AVL-04")
def test_what_is_stored_is_bounded_again_when_it_is_compared() -> None:
    costly = Secret(
        'foreign:{"type":"pbkdf2","digest":"sha1","rounds":2147483648,"salt":"AAAA","tag":"AAAAAAAAAAAAAAAAAAAAAAAAAAA="}'
    )
    began = time.perf_counter()

    assert not password.verify(costly, "password")
    assert time.perf_counter() - began < 5


def test_a_foreign_hash_that_is_damaged_is_wrong_and_costs_one_of_ours() -> None:
    spent = []
    for material in (None, Secret("foreign:{}"), Secret("foreign:"), Secret("no hash")):
        began = time.thread_time()
        assert not password.verify(material, "password")
        spent.append(time.thread_time() - began)

    assert min(spent) > max(spent) / 5


KINDS = [
    "$2b$08$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    pbkdf2("sha256", 60_000, b"somesalt", "00" * 32),
    "{SSHA}pKqkNr1tq3wtQqk+UcPyA3HnA2NsU5NJ",
]


@pytest.mark.parametrize("text", KINDS)
def test_hashes_of_one_kind_have_one_dummy_which_no_password_fits(text: str) -> None:
    dummy = foreign.dummy(kept(text))

    assert foreign.dummy(Secret(dummy)) == dummy
    assert not password.verify(Secret(dummy), "")
    assert not password.verify(Secret(dummy), "password")
    assert foreign.dummy(password.hash_new("correct horse", bytes(16))) == ""


def costs(material: Secret | None, like: Secret | None = None, beside: tuple[str, ...] = ()) -> float:
    """How many seconds of a processor one comparison takes: the median of seven."""
    spent = []
    for _ in range(7):
        began = time.thread_time()
        assert not password.verify(material, "wrong", like=like, beside=beside)
        spent.append(time.thread_time() - began)
    return sorted(spent)[3]


@pytest.mark.proves("PWD-09", "ENUM-04")
def test_where_accounts_are_hidden_everybodys_password_costs_alike_whoever_hashed_it() -> None:
    slow = kept("$2b$09$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
    fast, ours = kept(KINDS[2]), password.hash_new("correct horse", bytes(16))
    beside = (foreign.dummy(slow), foreign.dummy(fast))

    openly = [costs(one) for one in (slow, fast, ours, None)]
    hidden = [costs(one, beside=beside) for one in (slow, fast, ours, None)]

    assert max(openly) > 2 * min(openly), "there is something to hide"
    assert max(hidden) < 1.3 * min(hidden)


@pytest.mark.proves("ENUM-07")
def test_an_account_that_has_to_wait_costs_what_its_own_hash_does() -> None:
    slow = kept("$2b$09$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")

    assert costs(None, like=slow) == pytest.approx(costs(slow), rel=0.3)
    assert not password.verify(None, "U*U", like=kept(UNIX))


@pytest.mark.anyio
@pytest.mark.proves("PWD-05")
async def test_the_right_password_comes_back_under_our_own_hash() -> None:
    held = Authenticator(
        id="a",
        subject="s",
        kind=Kind.PASSWORD,
        material=kept(UNIX),
        created_at=START,
        revision=7,
    )
    pool = Hashing(1)
    try:
        checked = await pool.check(NeedCheck(authenticator=held, text=Secret("U*U"), spent=(("bucket", 3),)))
        wrong = await pool.check(NeedCheck(authenticator=held, text=Secret("u*u"), spent=(("bucket", 3),)))
    finally:
        pool.close()

    assert (checked.authenticator, checked.revision, checked.right) == ("a", 7, True)
    assert checked.rehashed is not None
    assert checked.rehashed.text.startswith("$argon2id$")
    assert password.verify(checked.rehashed, "U*U")
    assert not password.needs_rehash(checked.rehashed)
    assert wrong == Checked(authenticator="a", revision=7, right=False, spent=(("bucket", 3),), rehashed=None)


def test_comparing_lets_other_threads_run() -> None:
    """The loop must not stand still while a pool compares (AVL-04)."""
    material = kept(pbkdf2("sha256", 400_000, b"somesalt", "00" * 32))
    with ThreadPoolExecutor(1) as pool:
        comparing = pool.submit(password.verify, material, "wrong")
        turns = 0
        while not comparing.done():
            time.sleep(0.001)
            turns += 1

    assert turns > 10
