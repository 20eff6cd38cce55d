"""The status page in a real browser: broken and healed, and true at every moment."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from proxy.demo.threaded import ThreadedDemoAPI
from tests.browser.watched import Watched
from tests.programs import needs

pytestmark = [
    needs("chromium"),
    pytest.mark.timeout(120),
    pytest.mark.xdist_group("browser"),  # all share one, which takes as long to start as two tests
]

# A second for the page to tell the truth, and another for a machine that is busy.
SOON = 2000.0


def verdict(page: Page, level: str, sentence: str, *, within: float = SOON) -> None:
    """Expect the page to say *sentence* in the colour of *level*."""
    expect(page.locator(f"#verdict .verdict.{level}")).to_contain_text(
        re.compile(sentence), timeout=within
    )


def test_a_ready_proxy_says_from_where_to_where(
    page: Page, watched: Watched, api: ThreadedDemoAPI
) -> None:
    """
    The sentence names listener, upstream and client; the card has the token's life.
    """
    page.goto(watched.page)
    verdict(page, "ok", f"^✓Ready. Requests to http://.* reach {api.url} as client")
    expect(page.locator("#token")).to_contain_text("ready")
    expect(page.locator("#token svg.ring")).to_have_attribute(
        "aria-label", re.compile(r"Token: 0:\d\d left")
    )
    assert page.title() == "Ready - bearer-proxy"


def test_the_page_fits_on_a_laptop(page: Page, watched: Watched) -> None:
    """
    1280 by 800 without scrolling, however many requests there were.
    """
    for _ in range(30):
        watched.get("/transactions")
    page.goto(watched.page)
    expect(page.locator("#requests tr")).to_have_count(30, timeout=SOON)
    height, width = page.evaluate(
        "[document.documentElement.scrollHeight, document.documentElement.scrollWidth]"
    )
    assert height <= 800
    assert width <= 1280


def test_a_rate_limit_is_told_and_so_is_its_end(
    page: Page, watched: Watched, api: ThreadedDemoAPI
) -> None:
    """
    The token is revoked and the issuer answers 429: not ready, with the next try counted down;
    after it, ready again, and nobody has reloaded the page.
    """
    page.goto(watched.page)
    verdict(page, "ok", "Ready")
    api.fault("rate-limit", retry_after=3)
    api.fault("revoke")
    assert watched.get("/transactions") == 401, "the upstream's word, as no other token came"
    assert watched.get("/transactions") == 503
    verdict(page, "bad", r"Not ready: the issuer .*429.*\(attempt \d\)")
    expect(page.locator("#waiting")).to_contain_text(re.compile(r"next try in 0:0\d"))
    expect(page.locator("#requests tr").first).to_contain_text("issuer_rate_limited", timeout=SOON)
    expect(page.locator(".attempts li").first).to_contain_text("rate_limited")
    api.fault("recover")
    verdict(page, "ok", "Ready", within=15_000)
    expect(page.locator("#waiting")).to_be_empty()


def test_an_issuer_in_trouble_is_no_outage_while_the_token_lives(
    page: Page, watched: Watched, api: ThreadedDemoAPI
) -> None:
    """
    Ready, with a warning and the cause.
    """
    page.goto(watched.page_with_token)
    api.fault("down", what="issuer")
    page.get_by_role("button", name="Refresh now").click()
    verdict(page, "warn", "Ready, but the issuer")


def test_rejected_credentials_are_told_as_such(
    page: Page, watched: Watched, api: ThreadedDemoAPI
) -> None:
    """
    Not asked in a loop, and the page says so.
    """
    page.goto(watched.page)
    api.fault("reject")
    api.fault("revoke")
    watched.get("/transactions")
    verdict(page, "bad", "Not ready: the issuer .*INVALID_CREDENTIALS.* It is not asked in a loop")


def test_an_upstream_that_fails_is_not_blamed_on_the_token(
    page: Page, watched: Watched, api: ThreadedDemoAPI
) -> None:
    """
    Whose fault it is stands in the sentence, in the requests and in the drawing.
    """
    page.goto(watched.page)
    api.fault("down", what="api")
    for _ in range(3):
        assert watched.get("/transactions") == 502
    verdict(page, "warn", "The token is good, but the last requests failed at the upstream")
    expect(page.locator("#requests tr.side-upstream")).to_have_count(3, timeout=SOON)
    errors = page.locator("svg[aria-label^='Errors by whose fault']")
    expect(errors).to_have_attribute("aria-label", re.compile("upstream 3"), timeout=8000)


def test_refresh_now_brings_another_token(page: Page, watched: Watched) -> None:
    """
    With the token of the address; the fingerprint changes and no reload was needed.
    """
    page.goto(watched.page_with_token)
    assert page.url == watched.page, "the token is taken out of the address bar"
    expect(page.locator("#with-token")).to_be_hidden()
    fingerprint = page.locator("#token dd").nth(6)
    before = fingerprint.inner_text()
    assert re.fullmatch("[0-9a-f]{8}", before)
    page.get_by_role("button", name="Refresh now").click()
    expect(page.locator("#done")).to_have_text("A new token is being asked for.")
    expect(fingerprint).not_to_have_text(before, timeout=SOON)


def test_without_the_admin_token_the_page_only_shows(page: Page, watched: Watched) -> None:
    """
    A guess changes nothing and is told; the right one, typed in, acts.
    """
    page.goto(watched.page)
    page.get_by_label("admin token").fill("guess")
    page.get_by_role("button", name="Refresh now").click()
    expect(page.locator("#done")).to_have_text("This needs the admin token.")
    page.get_by_label("admin token").fill(watched.token)
    page.get_by_role("button", name="Refresh now").click()
    expect(page.locator("#done")).to_have_text("A new token is being asked for.")


def test_drain_asks_first_and_then_drains(page: Page, watched: Watched) -> None:
    """
    A slip of the hand is not the end; a second thought is.
    """
    page.goto(watched.page_with_token)
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Drain").click()
    verdict(page, "ok", "Ready")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Drain").click()
    verdict(page, "wait", "Draining")


def test_the_end_of_the_proxy_is_noticed(page: Page, watched: Watched) -> None:
    """
    The page does not go on saying that all is well.
    """
    page.goto(watched.page)
    verdict(page, "ok", "Ready")
    watched.process.process.kill()
    verdict(page, "bad", "The proxy does not answer", within=8000)


def test_requests_are_filtered_and_copied_as_curl(page: Page, watched: Watched) -> None:
    """
    The filter stays while new requests come in; a copied request has no query.
    """
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    watched.get("/transactions?cursor=private")
    watched.get("/status/404")
    page.goto(watched.page)
    page.get_by_label("filter").fill("404")
    visible = page.locator("#requests tr:visible")
    expect(visible).to_have_count(1)
    watched.get("/transactions")
    expect(page.locator("#requests tr")).to_have_count(3, timeout=SOON)
    expect(visible).to_have_count(1)
    page.get_by_label("filter").fill("")
    page.locator("#requests button").last.click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"curl http://{watched.process.address}/transactions  # its query is not kept"
    assert "private" not in page.content()


def test_the_keyboard_suffices(page: Page, watched: Watched) -> None:
    """
    Every control is reached by Tab, in the order of the page, and shows where the focus is.
    """
    watched.get("/transactions")
    page.goto(watched.page)
    expect(page.locator("#requests button")).to_have_count(1)
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim().slice(0, 12)"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached[1:3] == ["Refresh now", "Drain"]
    assert "curl" in reached


def test_focus_survives_what_comes_in(page: Page, watched: Watched) -> None:
    """
    A row that is replaced under the finger keeps it.
    """
    watched.get("/transactions")
    page.goto(watched.page)
    button = page.locator("#requests button")
    button.focus()
    focused = button.get_attribute("id")
    watched.get("/status/404")
    expect(page.locator("#requests tr")).to_have_count(2, timeout=SOON)
    assert page.evaluate("document.activeElement.id") == focused


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough_in_both_schemes(
    browser: Browser, watched: Watched, scheme: str
) -> None:
    """
    WCAG AA: 4.5 to 1 for every text on its ground.
    """
    with browser.new_context(color_scheme="dark" if scheme == "dark" else "light") as context:
        page = context.new_page()
        page.goto(watched.page)
        verdict(page, "ok", "Ready")
        assert page.evaluate(_LOW_CONTRAST) == []
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(20, 24, 22)") == (scheme == "dark")


# Texts whose contrast with the nearest painted ground is below 4.5.
_LOW_CONTRAST = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = numbers(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || node.closest("svg") || !node.offsetParent) continue;
    const a = light(numbers(getComputedStyle(node).color)), b = light(ground(node));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push([node.textContent.trim().slice(0, 30), ratio]);
  }
  return low;
}"""


def test_it_works_without_javascript(browser: Browser, watched: Watched) -> None:
    """
    Complete at first sight, filtered by the server, and its form acts.
    """
    watched.get("/transactions")
    watched.get("/status/404")
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(watched.page)
        verdict(page, "ok", "Ready. Requests to")
        expect(page.locator("#requests tr")).to_have_count(2)
        expect(page.locator("#requests button").first).to_be_hidden()
        page.get_by_label("filter").fill("404")
        page.get_by_label("filter").press("Enter")
        expect(page.locator("#requests tr")).to_have_count(1)
        page.get_by_label("admin token").fill(watched.token)
        page.get_by_role("button", name="Refresh now").click()
        page.wait_for_url(watched.page)
        watched.wait_for_refreshes(2)
        page.reload()
        expect(page.locator(".attempts li")).to_have_count(2)


def test_no_token_and_no_secret_is_on_the_page(
    page: Page, watched: Watched, api: ThreadedDemoAPI
) -> None:
    """
    Neither in what is seen, nor in what was loaded for it.
    """
    loaded: list[str] = []
    page.on("response", lambda got: loaded.append(got.url))
    page.goto(watched.page_with_token)
    verdict(page, "ok", "Ready")
    watched.get("/transactions", Authorization="Bearer mine")
    expect(page.locator("#requests tr")).to_contain_text("/transactions", timeout=SOON)
    content = page.content() + page.goto(f"{watched.page}api/status").text()  # type: ignore[union-attr]
    for secret in (api.client_secret, watched.token, "Bearer", "eyJ"):
        assert secret not in content
    assert all(url.startswith(watched.page) for url in loaded)
    assert watched.token not in " ".join(loaded)
    assert watched.token not in watched.process.output


def test_another_origin_can_neither_read_nor_act(
    page: Page, watched: Watched, api: ThreadedDemoAPI
) -> None:
    """
    A page of another port fetches, posts, frames and navigates in vain.
    """
    page.goto(f"{api.origin}/_demo")
    outcome = page.evaluate(
        """async ([url, token]) => {
          const tried = {};
          const attempt = async (name, call) => {
            try { tried[name] = (await call()).status } catch { tried[name] = "failed" }
          };
          await attempt("read", () => fetch(url + "api/status"));
          await attempt("blind", () => fetch(url + "-/drain", {method: "POST", mode: "no-cors",
            body: new URLSearchParams({token})}));
          await attempt("post", () => fetch(url + "-/drain",
            {method: "POST", headers: {Authorization: "Bearer " + token}}));
          return tried;
        }""",
        [watched.page, watched.token],
    )
    assert outcome == {"read": "failed", "blind": "failed", "post": "failed"}
    assert watched.get("/transactions") == 200
