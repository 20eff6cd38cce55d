"""The status page as a whole, as HTML and as a table for terminals."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape

from proxy.admin.sections import SECTIONS
from proxy.admin.view import View
from proxy.admin.words import clock, countdown, short, span

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    # Not no-referrer: then a browser sends our own form with the Origin of nobody.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>bearer-proxy</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/page.css">
<script src="/page.js" defer></script>
</head>
<body>
<header>
<h1>bearer-proxy</h1>
<div id="verdict" role="status">{verdict}</div>
<p id="waiting">{waiting}</p>
<form method="post" id="actions" aria-label="Actions">
<label id="with-token">admin token <input type="password" name="token" autocomplete="off"></label>
<button formaction="/-/refresh">Refresh now</button>
<button formaction="/-/drain" class="danger">Drain</button>
<output id="done"></output>
</form>
</header>
<main>
<section aria-labelledby="h-token"><h2 id="h-token">Token</h2>
<div id="token">{token}</div></section>
<section aria-labelledby="h-traffic" class="wide"><h2 id="h-traffic">Traffic, last 15 minutes</h2>
<div id="traffic">{traffic}</div></section>
<section aria-labelledby="h-requests" class="wide"><h2 id="h-requests">Last requests</h2>
<form method="get" action="/" role="search"><label>filter
<input type="search" name="q" id="filter" value="{query}" accesskey="f"></label></form>
<div class="scroll" tabindex="0" role="region" aria-labelledby="h-requests"><table><thead><tr>
<th>time</th><th>method</th><th>path</th><th>status</th><th>whose</th><th>whole</th>
<th>upstream</th><th>bytes up / down</th><th class="js">copy</th></tr></thead>
<tbody id="requests">{requests}</tbody></table></div></section>
<section aria-labelledby="h-upstream"><h2 id="h-upstream">Upstream</h2>
<div id="upstream">{upstream}</div>
<h2 id="h-configuration">Configuration</h2>
<div id="configuration" class="scroll" tabindex="0" role="region"
 aria-labelledby="h-configuration">{configuration}</div></section>
</main>
<footer><span id="process">{process}</span>
<nav aria-label="More"><a href="/metrics">metrics</a> <a href="/readyz?verbose">readyz</a>
<a href="/api/status">api/status</a></nav></footer>
</body>
</html>
"""


def rendered(view: View) -> Mapping[str, str]:
    """Return each section's HTML by the id of its element."""
    return {name: render(view) for name, render in SECTIONS.items()}


def whole(view: View, *, query: str = "") -> str:
    """Return the page; *query* keeps the requests whose line has it, as the filter does."""
    return _PAGE.format(query=escape(query), **rendered(filtered(view, query)))


def filtered(view: View, query: str) -> View:
    """Return *view* with those requests only that have *query* in method, path, status or code."""
    if not query or view.requests is None:
        return view
    wanted = query.lower()
    kept = tuple(
        each
        for each in view.requests
        if wanted in f"{each.method} {each.path} {each.status} {each.error or each.side}".lower()
    )
    return replace(view, requests=kept)


def table(view: View) -> str:
    """Return the page for a terminal: lines of name and value, then the last ten requests."""
    lines = [view.verdict.sentence]
    if view.verdict.next_try_at is not None:
        lines[0] += f" Next try in {countdown(view.verdict.next_try_at - view.taken_at)}."
    lines += ["", *(f"{name:<12}{value}" for name, value in _facts(view))]
    if view.requests:
        lines += ["", *_requests(view)]
    return "\n".join(_printable(line) for line in lines) + "\n"


def _facts(view: View) -> Iterator[tuple[str, str]]:
    now, card, traffic = view.taken_at, view.token, view.traffic
    yield "listen", " ".join(view.listen)
    yield "upstream", view.upstream.url
    yield "client", view.client_id
    expires = "" if card.expires_at is None else f", expires in {countdown(card.expires_at - now)}"
    yield "token", f"{card.state}{expires}, next refresh in {countdown(card.next_try_at - now)}"
    if card.fingerprint:
        yield "fingerprint", card.fingerprint
    yield (
        "traffic",
        f"{traffic.in_flight} in flight, {traffic.waiting_for_token} waiting for a token, "
        f"{traffic.queued} queued",
    )
    if traffic.ticks:
        last = traffic.ticks[-1]
        yield "rate", f"{last.rate:.3g} requests/s, p50 {short(last.total[0])}"
    for warning in view.configuration.warnings:
        yield "warning", warning
    if view.configuration.reload_problem:
        yield "reload", view.configuration.reload_problem
    yield "version", view.process.version
    if view.process.workers:
        yield "workers", " ".join(map(str, view.process.workers))
    yield "uptime", span(now - view.process.started_at)


def _requests(view: View) -> Iterator[str]:
    for each in (view.requests or ())[:10]:
        whose = each.error or each.side
        yield (
            f"{clock(each.at)} {each.status} {short(each.seconds):>9}  {whose:<20} "
            f"{each.method} {each.path}"
        )


def _printable(line: str) -> str:
    """Return *line* without what could move a cursor: strangers' words are in it."""
    return line if line.isprintable() else "".join(c if c.isprintable() else "?" for c in line)
