"""What keeper and worker say to each other, and how limits are divided among workers."""

import pytest

from proxy.dataplane import Destination, Limits
from proxy.policy import access
from proxy.policy.admission import Admission
from proxy.policy.callers import Callers, LocalToken
from proxy.policy.credential import Credential
from proxy.policy.rules import Rules
from proxy.policy.supply import Supply, Want
from proxy.policy.target import Base
from proxy.worker.messages import Configuration, TokenNews, heard, packed, said, unpacked
from proxy.worker.serve import share, share_of
from tests.each import each

RULES = Rules(
    base=Base(b"https", b"api.example", b"/v1", frozenset({b"/token"})),
    admission=Admission(frozenset({b"name"}), frozenset({b"http://localhost:3000"})),
    access=access.rules(methods=["GET"], allow_paths=["/a/**"], deny_paths=["/a/*/b"]),
    callers=Callers(frozenset({7}), (LocalToken("ci", b"t" * 16),), b"X-Token", b"X-Local", b"1"),
    head_fields=50,
    refuse_inbound=True,
)


def configuration(credential: Credential) -> Configuration:
    """Return one in which everything is set."""
    supply = Supply(credential, Want("https://issuer.example"), fetching=True, next_at=9.0)
    return Configuration(
        number=3,
        cache=2,
        rules=RULES,
        destination=Destination("https://api.example", "api.example", 443, connections=5),
        secure=True,
        authorities="-----BEGIN CERTIFICATE-----",
        limits=Limits(connections=10),
        wait_seconds=5.0,
        drain_seconds=25.0,
        console=False,
        level="info",
        access="all",
        recent=100,
        token=TokenNews(supply, refusals=1),
        hidden=("t" * 16,),
    )


def test_a_configuration_comes_as_it_was_sent() -> None:
    """
    Rules, limits and token are equal on the other side, the ready-made field line included.
    """
    credential = Credential("t0k3n", issued_at=1.0, usable_until=2.0, expires_at=3.0)
    sent = configuration(credential)
    received = unpacked(packed(sent))
    assert received == sent
    assert isinstance(received, Configuration)
    held = received.token.supply.held
    assert held is not None
    assert held.line == b"Authorization: Bearer t0k3n\r\n"
    assert (held.usable_until, held.expires_at) == (2.0, 3.0)


def test_no_message_shows_a_token() -> None:
    """
    Whatever prints one, as an exception's report may.
    """
    credential = Credential("t0k3n", issued_at=1.0, usable_until=2.0, expires_at=3.0)
    shown = repr(configuration(credential))
    assert "t0k3n" not in shown
    assert "t" * 16 not in shown


@pytest.mark.parametrize(
    "senseless",
    [b"", b"[]", b"1", b"{", b"\xff", packed({"configured": 1}), b"[" * 100_000],
    ids=["empty", "list", "number", "half", "no text", "pickle", "deep"],
)
def test_what_a_worker_says_is_an_object_or_nothing(senseless: bytes) -> None:
    """
    Nothing but JSON is read of what comes from where strangers' bytes are parsed.
    """
    assert heard(said(configured=1)) == {"configured": 1}
    with pytest.raises(ValueError):  # noqa: PT011 - whichever: the conversation ends
        heard(senseless)


@each("workers", [1, 2, 3, 7])
@each("number", [7, 8, 1000, 1024])
def test_shares_are_even_and_add_up_to_the_whole(workers: int, number: int) -> None:
    """
    Limits that are the proxy's are kept by all workers together.
    """
    whole = Destination("https://api.example", "api.example", 443, connections=number, queue=number)
    parts = [share_of(whole, part, workers) for part in range(workers)]
    for shares in ([part.connections for part in parts], [part.queue for part in parts]):
        assert sum(shares) == number
        assert max(shares) - min(shares) <= 1
    clients = [share(Limits(connections=number), part, workers) for part in range(workers)]
    assert sum(each.connections for each in clients) == number


def test_no_limit_stays_none() -> None:
    """
    0 means none, for each as for all.
    """
    assert share(Limits(connections=0), 1, 2).connections == 0
