"""The token as a worker has it."""

import math
from dataclasses import dataclass, field

from proxy.policy.credential import Credential
from proxy.policy.supply import Supply, Want
from proxy.worker.credentials import RemoteCredentials
from proxy.worker.messages import TokenNews, packed, unpacked

ISSUER = "https://issuer.example"


def token(name: str = "t1", *, usable_until: float = 100.0) -> Credential:
    """Return a credential that came over the pipe: equal tokens are different objects."""
    made = Credential(name, issued_at=0.0, usable_until=usable_until, expires_at=usable_until + 9)
    received = unpacked(packed(made))
    assert isinstance(received, Credential)
    return received


def news(
    held: Credential | None = None,
    refusals: int = 0,
    *,
    next_at: float = 90.0,
    fetching: bool = False,
    passes_until: float = -math.inf,
) -> TokenNews:
    """Return what the keeper says."""
    return TokenNews(Supply(held, Want(ISSUER), fetching, next_at, passes_until), refusals)


@dataclass
class Scene:
    """A worker's credentials, with a clock that stands, and what they have reported."""

    now: float = 0.0
    reported: list[Credential] = field(default_factory=list)
    told: int = 0

    def credentials(self, first: TokenNews) -> RemoteCredentials:
        """Return credentials that begin with *first*."""
        made = RemoteCredentials(first, self.reported.append, now=lambda: self.now)
        made.on_change(self._changed)
        return made

    def _changed(self) -> None:
        self.told += 1


def test_a_token_is_served_until_it_is_not_usable_any_more() -> None:
    """
    Whatever the keeper does meanwhile: an expired token is never sent.
    """
    scene = Scene()
    credentials = scene.credentials(news(token(usable_until=100.0)))
    scene.now = 99.9
    assert credentials.current() == token()
    scene.now = 100.0
    assert credentials.current() is None


def test_a_refused_token_is_reported_once_and_not_served_until_the_keeper_has_heard() -> None:
    """
    However many requests were refused with it; each of them waits for the keeper's word.
    """
    scene = Scene()
    credentials = scene.credentials(news(token()))
    assert [credentials.refused(token()) for _ in range(3)] == [True] * 3
    assert scene.reported == [token()]
    assert credentials.current() is None
    assert credentials.worth_waiting(0.0)


def test_news_that_crosses_a_refusal_does_not_bring_the_token_back() -> None:
    """
    Said before the refusal was heard, it proves nothing.
    """
    scene = Scene()
    credentials = scene.credentials(news(token()))
    credentials.refused(token())
    credentials.take(news(token(), refusals=0))
    assert credentials.current() is None
    credentials.take(news(token("t2"), refusals=1))
    assert credentials.current() == token("t2")
    assert scene.told == 2


def test_a_token_that_was_issued_once_more_lives_as_long_as_was_said_last() -> None:
    """
    Some issuers hand out what they have, for another while.
    """
    scene = Scene()
    credentials = scene.credentials(news(token(usable_until=100.0)))
    first = credentials.current()
    credentials.take(news(token(usable_until=100.0)))
    assert credentials.current() is first  # whatever was made with it holds
    credentials.take(news(token(usable_until=200.0)))
    scene.now = 150.0
    assert credentials.current() == token()


def test_a_token_that_the_keeper_stands_by_is_served_again() -> None:
    """
    Then the 401 is passed on: it is not the token's fault, or no other is to be had.
    """
    scene = Scene()
    credentials = scene.credentials(news(token()))
    credentials.refused(token())
    credentials.take(news(token(), refusals=1))
    assert credentials.current() == token()


def test_the_next_token_may_be_refused_as_well() -> None:
    """
    What was said of one token is not said of another.
    """
    scene = Scene()
    credentials = scene.credentials(news(token()))
    credentials.refused(token())
    credentials.take(news(token(), refusals=1))
    credentials.take(news(token("t2"), refusals=1))
    assert credentials.refused(token("t2"))
    assert credentials.current() is None
    assert scene.reported == [token(), token("t2")]


def test_a_refusal_of_a_token_that_was_replaced_costs_nothing() -> None:
    """
    The request is sent again with the new one, and nobody is told.
    """
    scene = Scene()
    credentials = scene.credentials(news(token("t2")))
    assert credentials.refused(token("t1"))
    assert credentials.current() == token("t2")
    assert scene.reported == []


def test_while_fresh_tokens_are_refused_401s_pass() -> None:
    """
    Until the time that the keeper has named, nothing waits for another token.
    """
    scene = Scene()
    credentials = scene.credentials(news(token(), passes_until=60.0))
    assert [credentials.refused(token()) for _ in range(9)] == [False] * 9
    assert credentials.current() == token()
    assert len(scene.reported) == 1  # now and then, for the keeper's count
    scene.now = 60.0
    assert credentials.refused(token())
    assert credentials.current() is None


def test_waiting_is_worth_it_by_the_clock() -> None:
    """
    A request waits if the next try comes in its time, however long ago the keeper spoke.
    """
    scene = Scene()
    credentials = scene.credentials(news(next_at=90.0))
    assert not credentials.worth_waiting(5.0)
    scene.now = 85.0
    assert credentials.worth_waiting(5.0)
    assert scene.credentials(news(next_at=900.0, fetching=True)).worth_waiting(0.0)


def test_retry_after_counts_down() -> None:
    """
    A 503 says when the issuer is asked next, as of now.
    """
    scene = Scene()
    limited = Supply(None, Want(ISSUER, "issuer_rate_limited", "answers 429"), False, next_at=90.0)
    credentials = scene.credentials(TokenNews(limited))
    assert credentials.shortage().retry_after == 90
    scene.now = 59.5
    error = credentials.shortage()
    assert (error.code, error.retry_after) == ("issuer_rate_limited", 31)
    assert f"the issuer {ISSUER} answers 429. It is asked again in 31 s." in error.detail


def test_whoever_waits_for_a_token_that_is_another_configurations_is_let_go() -> None:
    """
    After the end there is nothing to wait for, and nothing is reported.
    """
    scene = Scene()
    credentials = scene.credentials(news(token(), fetching=True))
    credentials.end()
    assert scene.told == 1
    assert not credentials.worth_waiting(60.0)
    assert not credentials.refused(token())
    assert scene.reported == []
    assert credentials.shortage().code == "token_pending"
