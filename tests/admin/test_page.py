"""The status page as the server renders it: to HTML, JSON and a table."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from proxy.admin import page
from proxy.admin.sections import SECTIONS
from proxy.admin.view import Level, UpstreamTrouble, Verdict, View
from proxy.admin.words import countdown, short, size, span
from tests.admin.fakes import A_REQUEST, A_VIEW, Desk, ask

HTML = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
# Everything that a stranger chooses.
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


class _Tags(HTMLParser):
    """Collects start tags with their attributes, and checks that they are closed in order."""

    VOID = frozenset(("meta", "link", "input", "img", "br"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_a_browser_gets_the_page_complete(admin: str) -> None:
    """
    Everything is there before a script has run.
    """
    answer = await ask(admin, "/", HTML)
    assert answer.status == 200
    assert answer.fields["content-type"] == "text/html; charset=utf-8"
    for shown in ("Ready. Requests to", "0a1b2c3d", "192.0.2.7:443", "TLSv1.3", "47 days left",
                  "/v1/transactions?…", "listen.address", "bearer-proxy 1.2.3"):  # fmt: skip
        assert shown in answer.body


async def test_a_policy_forbids_what_the_page_does_not_need(admin: str) -> None:
    """
    No inline script or style, no foreign source, no frame, no form elsewhere.
    """
    answer = await ask(admin, "/", HTML)
    policy = dict(
        part.strip().split(" ", 1) for part in answer.fields["content-security-policy"].split(";")
    )
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    for name in ("script-src", "style-src", "connect-src", "img-src", "form-action"):
        assert policy[name] == "'self'"
    assert answer.fields["referrer-policy"] == "same-origin"
    for tag, attributes in _Tags(answer.body).tags:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag


async def test_the_page_is_small(admin: str) -> None:
    """
    At most 30 kB with all that it loads.
    """
    desk_page = await ask(admin, "/", HTML)
    loaded = [await ask(admin, f"/{name}") for name in ("page.js", "page.css", "icon.svg")]
    assert all(asset.status == 200 for asset in loaded)
    assert sum(len(each.body.encode()) for each in (desk_page, *loaded)) <= 30_000


async def test_everything_is_labelled(admin: str) -> None:
    """
    Sections by their headings, drawings in words, fields by labels, the verdict as a status.
    """
    answer = await ask(admin, "/", HTML)
    parsed = _Tags(answer.body)
    assert parsed.open == []
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in parsed.tags:
        if tag == "section":
            assert attributes["aria-labelledby"] in ids
        if tag == "svg":
            assert (attributes["role"], bool(attributes["aria-label"])) == ("img", True)
        if tag == "html":
            assert attributes["lang"] == "en"
    verdict = next(attributes for _, attributes in parsed.tags if attributes.get("id") == "verdict")
    assert verdict["role"] == "status"


@pytest.mark.parametrize("level", list(Level))
def test_a_verdict_has_symbol_and_colour(level: Level) -> None:
    """
    Who sees no colours sees the symbol.
    """
    html = SECTIONS["verdict"](replace(A_VIEW, verdict=Verdict(level, "A sentence.")))
    assert f'class="verdict {level}"' in html
    assert re.search(r'aria-hidden="true">[✓!…✗]<', html)


def test_the_wait_is_told_apart_from_the_verdict() -> None:
    """
    A screen reader reads a changed verdict aloud, which must not happen each second.
    """
    waiting = Verdict(Level.BAD, "Not ready: the issuer answers 429.", A_VIEW.taken_at + 23)
    now, later = (
        {
            name: section(replace(A_VIEW, verdict=waiting, taken_at=at))
            for name, section in SECTIONS.items()
        }
        for at in (A_VIEW.taken_at, A_VIEW.taken_at + 1)
    )
    assert now["waiting"] == "next try in <b>0:23</b>"
    assert later["waiting"] == "next try in <b>0:22</b>"
    assert now["verdict"] == later["verdict"]


def evil() -> View:
    """Return a view in which every stranger's word is an attack."""
    return replace(
        A_VIEW,
        verdict=Verdict(Level.BAD, EVIL),
        client_id=EVIL,
        listen=(EVIL,),
        token=replace(
            A_VIEW.token,
            state=EVIL,
            lifetime_source=EVIL,
            fingerprint=EVIL,
            attempts=(replace(A_VIEW.token.attempts[0], result=EVIL, cause=EVIL, excerpt=EVIL),),
        ),
        requests=(replace(A_REQUEST, method=EVIL, path=EVIL, side=EVIL, error=EVIL, id=EVIL),),
        upstream=replace(
            A_VIEW.upstream,
            url=EVIL,
            remote=EVIL,
            tls_version=EVIL,
            trouble=UpstreamTrouble(1.0, EVIL, EVIL, EVIL),
        ),
        configuration=replace(
            A_VIEW.configuration,
            settings=(
                replace(A_VIEW.configuration.settings[0], value=EVIL, source=EVIL, key=EVIL),
            ),
            warnings=(EVIL,),
            reload_problem=EVIL,
        ),
        process=replace(A_VIEW.process, version=EVIL, python=EVIL),
    )


def test_no_word_of_a_stranger_becomes_markup() -> None:
    """
    The page of an attack has the same tags as the page of a good day.
    """
    attacked = _Tags(page.whole(evil(), query=EVIL))
    assert attacked.open == []
    tags = [tag for tag, _ in attacked.tags]
    assert tags.count("script") == 1
    assert "img" not in tags
    for _, attributes in attacked.tags:
        assert not [name for name in attributes if name.startswith("on")]


def test_a_terminal_is_safe_from_strangers_too() -> None:
    """
    Neither escape sequences nor line breaks get through.
    """
    shown = replace(A_VIEW, requests=(replace(A_REQUEST, path="/\x1b[2J\nforged"),))
    text = page.table(shown)
    assert "\x1b" not in text
    assert "\nforged" not in text


async def test_curl_gets_a_table(admin: str) -> None:
    """
    Lines to read, the verdict first.
    """
    answer = await ask(admin, "/", "Accept: */*")
    assert answer.fields["content-type"].startswith("text/plain")
    lines = answer.body.splitlines()
    assert lines[0].startswith("Ready. Requests to http://127.0.0.1:8080")
    assert "token       ready, expires in 50:00, next refresh in 40:00" in lines
    assert lines[-1].endswith("POST /v1/transactions?…")


@pytest.mark.parametrize(("path", "accept"), [("/api/status", "*/*"), ("/", "application/json")])
async def test_a_program_gets_json(admin: str, path: str, accept: str) -> None:
    """
    The same facts as members, of which none has a token.
    """
    answer = await ask(admin, path, f"Accept: {accept}")
    status = json.loads(answer.body)
    assert status["verdict"]["level"] == "ok"
    assert status["token"]["fingerprint"] == "0a1b2c3d"
    assert status["traffic"]["ticks"][0]["errors"]["upstream"] == 1
    assert status["requests"][0]["path"] == "/v1/transactions?…"


async def test_the_filter_works_without_javascript(admin: str, desk: Desk) -> None:
    """
    ?q= keeps the requests that have it in method, path, status or code.
    """
    other = replace(A_REQUEST, method="GET", path="/v1/accounts", id="id-2")
    desk.shown = replace(A_VIEW, requests=(A_REQUEST, other))
    answer = await ask(admin, "/?q=accounts", HTML)
    assert "/v1/accounts" in answer.body
    assert "/v1/transactions" not in answer.body
    assert 'value="accounts"' in answer.body


@pytest.mark.parametrize(
    ("requests", "sentence"),
    [(None, "None are remembered: admin.recent_requests is 0."), ((), "No requests yet.")],
)
def test_an_empty_list_says_why(requests: tuple[()] | None, sentence: str) -> None:
    """
    Switched off is not the same as quiet.
    """
    assert sentence in SECTIONS["requests"](replace(A_VIEW, requests=requests))


def test_a_request_can_be_copied_as_curl() -> None:
    """
    Quoted for a shell; without the query, which is not kept, and says so.
    """
    nasty = replace(A_REQUEST, path="/it's?…", method="GET")
    html = SECTIONS["requests"](replace(A_VIEW, requests=(A_REQUEST, nasty)))
    first, second = (
        attributes["data-curl"] for tag, attributes in _Tags(html).tags if tag == "button"
    )
    assert first == "curl -X POST http://127.0.0.1:8080/v1/transactions  # its query is not kept"
    assert second is not None
    assert second.startswith("""curl 'http://127.0.0.1:8080/it'"'"'s'""")


def test_words_for_numbers() -> None:
    """
    Times, spans and sizes in the units that people use.
    """
    assert [countdown(s) for s in (-1, 23, 3723)] == ["0:00", "0:23", "1:02:03"]
    assert [span(s) for s in (0, 42, 3598, 90_000)] == ["0s", "42s", "59m 58s", "1d 1h"]
    assert [short(s) for s in (None, 4e-5, 0.0032, 1.5, 5000)] == [
        "-", "40 µs", "3.2 ms", "1.5 s", "5000 s"
    ]  # fmt: skip
    assert [size(n) for n in (312, 1536, 5 * 1024**3)] == ["312 B", "1.5 KiB", "5 GiB"]
