"""Codes that extensions send: one that is slow holds up no other, and no code leaves twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from genkan.engine.transaction import Outgoing, Settled
from genkan.model import Channel, Client, Extension, Listener, Message, Secret
from genkan.service.extensions import CODES_AT_ONCE, RECEIVE
from genkan.service.otp_send import OtpSend
from tests.receivers import Receiver, Says, goes_on
from tests.server import new_address
from tests.wire.servers import World, in_process
from tests.wire.walks import SignUp


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[World]:
    with in_process(
        tmp_path_factory.mktemp("world") / "data",
        webhook_hosts=f"localhost:{receiver.port}",
        webhook_authorities=receiver.ca_file,
    ) as running:
        yield running


def hooked(world: World, receiver: Receiver, path: str, **more: Any) -> tuple[str, Listener]:
    """An app whose codes an extension sends, and the listener."""
    app = Client(id=str(uuid4()), name="Shop")
    api = Client(id=str(uuid4()), name="Hooks", kind="confidential", native=False, app_roles=(RECEIVE,))
    extension = Extension(
        id=str(uuid4()),
        hook="otp_send",
        name="Mail",
        url=receiver.url(path),
        resource=f"api://localhost/{api.id}",
        retries=0,
        **more,
    )
    listener = Listener(id=str(uuid4()), hook="otp_send", clients=(app.id,), extension=extension.id)
    world.run(world.store.put_documents(app, api, extension, listener))
    return app.id, listener


def asked_for_a_code(world: World, app: str) -> str:
    """The address to which a code is to go."""
    walk = SignUp(world, app)
    walk.start(address := new_address()).ok()
    walk.post("/signup/v1.0/challenge").ok()
    return address


def until(holds: Any, within: float) -> float:
    """How long it took until something holds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() < began + within
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.proves("WHK-08")
def test_a_receiver_that_hangs_delays_neither_another_nor_our_own_mail(
    world: World, receiver: Receiver
) -> None:
    receiver.answers |= {"/slow": Says(goes_on("OtpSend").body, after=1.5), "/quick": goes_on("OtpSend")}
    slow, _ = hooked(world, receiver, "/slow", timeout=2000)
    quick, _ = hooked(world, receiver, "/quick")
    for _ in range(CODES_AT_ONCE + 4):
        asked_for_a_code(world, slow)
    until(lambda: len(receiver.of("/slow")) >= CODES_AT_ONCE, 2)

    asked_for_a_code(world, quick)
    took = until(lambda: receiver.of("/quick"), 1)
    mailed = asked_for_a_code(world, world.told["apps"]["otp"])
    took_mail = until(lambda: world.messages(mailed), 1)
    until(lambda: len(receiver.of("/slow")) == CODES_AT_ONCE + 4, 6)

    assert max(took, took_mail) < 1
    assert len({call.headers["webhook-id"] for call in receiver.of("/slow")}) == CODES_AT_ONCE + 4


def sent(world: World, outgoing: Outgoing) -> Settled:
    """What becomes of a leased row."""
    tenant = world._development._tenant
    sender = OtpSend(tenant._calls, world._development._mail, world.store.directory)
    (settled,) = world.run(sender.send([outgoing]))
    return settled


def a_code(world: World, app: str, listener: str) -> Message:
    return Message(
        id=str(uuid4()),
        channel=Channel.EMAIL,
        to=new_address(),
        purpose="sign_in",
        code=Secret("12345678"),
        values={"app": "Shop"},
        listener=listener,
        client=app,
        created_at=world.now,
        expires_at=world.now + timedelta(minutes=5),
    )


@pytest.mark.proves("OTP-21")
def test_a_code_whose_first_attempt_never_came_to_an_end_is_not_sent_again(
    world: World, receiver: Receiver
) -> None:
    receiver.answers["/doubt"] = goes_on("OtpSend")
    app, listener = hooked(world, receiver, "/doubt", falls_back=True)
    message = a_code(world, app, listener.id)

    settled = sent(world, Outgoing(id=1, message=message, attempts=2, doubtful=True))

    assert settled.how == "unclear"
    assert receiver.of("/doubt") == []
    assert world.messages(message.to) == []


def test_a_code_whose_listener_is_gone_leaves_by_the_providers(world: World, receiver: Receiver) -> None:
    app, _ = hooked(world, receiver, "/gone")
    message = a_code(world, app, str(uuid4()))

    settled = sent(world, Outgoing(id=1, message=message, attempts=1))

    assert settled.how == "sent"
    assert [one["code"] for one in world.messages(message.to)] == ["12345678"]
    assert receiver.of("/gone") == []


@pytest.mark.proves("WHK-08")
def test_what_a_receiver_refused_is_dropped_and_the_log_says_why(world: World, receiver: Receiver) -> None:
    receiver.answers["/refusing"] = Says(status=503)
    app, listener = hooked(world, receiver, "/refusing")

    settled = sent(world, Outgoing(id=1, message=(message := a_code(world, app, listener.id)), attempts=1))
    address = asked_for_a_code(world, app)
    until(lambda: len(receiver.of("/refusing")) == 2, 2)

    assert settled.how == "refused"
    assert settled.provider == f"extension {listener.extension}"
    assert settled.why == "1003002: it answered 503"
    assert message.to not in settled.why

    def ended() -> bool:
        rows = world.run(world.store.trail(limit=1000))
        return any(
            row.record.action == "message:refused" and row.record.detail["why"] == settled.why for row in rows
        )

    until(ended, 2)
    assert world.messages(address) == []
