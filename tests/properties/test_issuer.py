"""Whatever comes from outside: no exception, no token that is none, nothing of the secret."""

import base64
import json
import math
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.tokens import Failure, Grant
from proxy.tokens.answer import Answer, read, sendable
from proxy.tokens.lifetime import LONGEST_SECONDS, http_date, jwt_expiry
from proxy.tokens.redact import EXCERPT_CHARACTERS, excerpt, spellings
from proxy.tokens.schedule import retry_after
from tests.tokens.fakes import config

quickly = settings(max_examples=60, deadline=None, derandomize=True, database=None)

SECRETS = st.text(st.characters(codec="utf-8"), min_size=8, max_size=40)
NAMES = st.sampled_from(["access_token", "expires_in", "token_type", "error", "success", "message"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = SCALARS | st.lists(SCALARS) | st.dictionaries(NAMES, SCALARS)
BODIES = st.binary() | st.dictionaries(NAMES, VALUES).map(lambda each: json.dumps(each).encode())


@quickly
@given(
    status=st.integers(100, 599),
    body=BODIES,
    date=st.text(),
    after=st.text(),
    encoding=st.sampled_from(["", "identity", "gzip"]),
)
def test_any_answer_is_a_sane_grant_or_a_failure(
    status: int, body: bytes, date: str, after: str, encoding: str
) -> None:
    """
    Never an exception; and a grant only for a success, with a token that may stand in a header.
    """
    fields = {"date": date, "retry-after": after, "content-encoding": encoding}
    answer = Answer(status, body, sent_at=0.0, sent_wall=1.7e9, received_wall=1.7e9, fields=fields)
    result = read(answer, config=config("https://issuer.test"))
    if isinstance(result, Grant):
        assert 200 <= status < 300
        assert sendable(result.token)
        assert 1 <= result.lifetime.seconds <= LONGEST_SECONDS
    else:
        assert isinstance(result, Failure)
        assert result.retry_after is None or result.retry_after > 0
        assert result.excerpt.isprintable()


@quickly
@given(text=st.text())
def test_any_text_may_be_a_date_a_pause_or_a_token(text: str) -> None:
    """
    A finite number, or nothing.
    """
    for found in (
        http_date(text),
        retry_after(text, now=1.7e9),
        jwt_expiry(text),
        jwt_expiry(f"a.{text}.c"),
        jwt_expiry(
            "a." + base64.urlsafe_b64encode(text.encode("utf-8", "replace")).decode() + ".c"
        ),
    ):
        assert found is None or math.isfinite(found)


@quickly
@given(secret=SECRETS, before=st.text(), after=st.text(), form=st.integers(0, 4))
def test_any_secret_is_removed_from_any_message(
    secret: str, before: str, after: str, form: int
) -> None:
    """
    As it is, escaped, or encoded with whatever stands around it.
    """
    encoded = [
        secret,
        quote(secret, safe=""),
        json.dumps(secret),
        secret.encode().hex(),
        base64.b64encode(f"{form}{secret}".encode()).decode(),
    ][form]
    shown = excerpt(before + encoded + after, hide=spellings(secret))
    assert len(shown) <= EXCERPT_CHARACTERS
    # The word in its place may itself hold a piece of the strangest of secrets.
    shown = shown.replace("[redacted]", "\0")
    if not any(piece in before + after for piece in (secret, encoded)):
        assert secret not in shown
        assert encoded not in shown
