"""What can be done to a running proxy, and by whom."""

import json
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from proxy.admin import token
from tests.admin.fakes import TOKEN, Desk, ask, parsed, spoken

ACTIONS = ["refresh", "drain", "quit", "reload"]
WITH_TOKEN = (f"Authorization: Bearer {TOKEN}", "Content-Length: 0")


@pytest.mark.parametrize("action", ACTIONS)
async def test_an_action_is_done_for_whoever_has_the_token(
    admin: str, desk: Desk, action: str
) -> None:
    """
    POST with the admin token; the answer says what was done.
    """
    answer = await ask(admin, f"/-/{action}", *WITH_TOKEN, method="POST")
    assert answer.status == 200
    assert json.loads(answer.body) == {"done": f"{action} done"}
    assert desk.done == [action]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("Authorization: Bearer wrong",),
        ("Authorization: Bearer ",),
        (f"Authorization: Basic {TOKEN}",),
        (f"Authorization: Bearer {TOKEN}x",),
        (f"Authorization: Bearer {TOKEN[:-1]}",),
        (f"Cookie: token={TOKEN}",),
    ],
)
async def test_nothing_is_done_without_it(
    admin: str, desk: Desk, action: str, fields: tuple[str, ...]
) -> None:
    """
    403 with a hint where it is found; a cookie would be sent by the browser unasked.
    """
    answer = await ask(admin, f"/-/{action}", *fields, "Content-Length: 0", method="POST")
    assert answer.status == 403
    problem = json.loads(answer.body)
    assert problem["code"] == "admin_token_required"
    assert "bearer-proxy status --url" in problem["hint"]
    assert desk.done == []


@pytest.mark.parametrize(
    ("field", "body"),
    [
        (b"Authorization: Bearer \xff\xfe", b""),
        (b"Content-Type: application/x-www-form-urlencoded", b"token=\xff"),
        (b"Content-Type: application/x-www-form-urlencoded; charset=nonsense", b"token=1"),
        (b"Content-Type: application/x-www-form-urlencoded; charset=utf-7", b"token=+2AA-"),
    ],
)
async def test_what_can_be_no_token_is_none(
    admin: str, desk: Desk, field: bytes, body: bytes
) -> None:
    """
    Bytes that are no text, or text in no known coding, are refused like any wrong token.
    """
    structlog.reset_defaults()
    fields = b"Host: %b\r\n%b\r\nContent-Length: %d" % (admin.encode(), field, len(body))
    with capture_logs() as lines:
        answer = await spoken(
            admin, b"POST /-/drain HTTP/1.1\r\n%b\r\nConnection: close\r\n\r\n%b" % (fields, body)
        )
    assert parsed(answer).status == 403
    assert [line["event"] for line in lines] == ["admin.action_refused"]
    assert desk.done == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("action", ACTIONS)
async def test_no_other_method_changes_anything(
    admin: str, desk: Desk, action: str, method: str
) -> None:
    """
    405, the token notwithstanding: neither a link nor a prefetch acts.
    """
    answer = await ask(admin, f"/-/{action}", *WITH_TOKEN, method=method)
    assert answer.status == 405
    assert desk.done == []


@pytest.mark.parametrize(
    "field", ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: http://evil.test"]
)
async def test_a_foreign_page_with_the_token_does_nothing(
    admin: str, desk: Desk, field: str
) -> None:
    """
    The guard comes first.
    """
    answer = await ask(admin, "/-/drain", *WITH_TOKEN, field, method="POST")
    assert answer.status == 403
    assert json.loads(answer.body)["code"] == "origin_not_allowed"
    assert desk.done == []


async def test_the_ops_listener_has_no_actions(ops: str, desk: Desk) -> None:
    """
    It may be bound where everyone reaches it.
    """
    assert (await ask(ops, "/-/quit", *WITH_TOKEN, method="POST")).status == 404
    for path in ("/", "/api/status", "/events", "/page.js"):
        assert (await ask(ops, path)).status == 404


async def test_the_form_of_a_page_without_javascript_acts_too(admin: str, desk: Desk) -> None:
    """
    The token is typed in, and the answer leads back to the page.
    """
    body = f"token={TOKEN}"
    head = (
        f"POST /-/refresh HTTP/1.1\r\nHost: {admin}\r\nOrigin: http://{admin}\r\n"
        "Accept: text/html,*/*;q=0.8\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    answer = parsed(await spoken(admin, (head + body).encode()))
    assert (answer.status, answer.fields["location"]) == (303, "/")
    assert desk.done == ["refresh"]


async def test_what_is_not_possible_now_is_said(admin: str, desk: Desk) -> None:
    """
    409 with the reason; nothing was done.
    """
    desk.refusal = "The issuer is not asked before its time: next try in 0:23."
    answer = await ask(admin, "/-/refresh", *WITH_TOKEN, method="POST")
    assert answer.status == 409
    assert json.loads(answer.body)["detail"] == desk.refusal


async def test_actions_are_logged_and_the_token_is_not(admin: str) -> None:
    """
    Who did what, and who was refused; never with what.
    """
    structlog.reset_defaults()
    with capture_logs() as lines:
        await ask(admin, "/-/refresh", *WITH_TOKEN, method="POST")
        await ask(admin, "/-/drain", "Authorization: Bearer guess", method="POST")
    assert [(line["event"], line["action"]) for line in lines] == [
        ("admin.action_taken", "refresh"),
        ("admin.action_refused", "drain"),
    ]
    assert TOKEN not in str(lines)
    assert "guess" not in str(lines)


def test_the_token_is_new_each_time_and_long() -> None:
    """
    192 bits, in characters that need no quoting.
    """
    tokens = {token.new() for _ in range(100)}
    assert len(tokens) == 100
    assert all(
        len(each) == 32 and each.replace("-", "").replace("_", "").isalnum() for each in tokens
    )


def test_the_token_file_is_for_this_user_alone(tmp_path: Path) -> None:
    """
    0600 in a directory of 0700, found by the listener's address.
    """
    path = token.usual_path("127.0.0.1:8081", {"XDG_RUNTIME_DIR": str(tmp_path)})
    token.make_private(path.parent)
    token.save("t0k3n", path)
    assert path == tmp_path / "bearer-proxy" / "127.0.0.1_8081.token"
    assert path.read_text() == "t0k3n\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    """
    In a shared temporary directory somebody else may have been there first.
    """
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(PermissionError):
        token.make_private(open_to_all)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        token.make_private(link)


def test_a_link_in_the_token_files_place_is_not_followed(tmp_path: Path) -> None:
    """
    The link is replaced; what it points to stays as it is.
    """
    victim = tmp_path / "victim"
    victim.write_text("mine")
    path = tmp_path / "admin.token"
    path.symlink_to(victim)
    token.save("t0k3n", path)
    assert victim.read_text() == "mine"
    assert not path.is_symlink()


def test_only_our_own_token_file_is_removed(tmp_path: Path) -> None:
    """
    A successor on the same address has written its own by then.
    """
    path = tmp_path / "admin.token"
    token.save("successor", path)
    token.forget("mine", path)
    assert path.exists()
    token.forget("successor", path)
    assert not path.exists()
    token.forget("successor", path)
