"""
The status page in parts, each rendered here and nowhere else.

The first answer is made of them, and what the page is sent afterwards are the same parts: so it
reads the same with JavaScript and without.

Rule 1: every value goes through `_text`. Paths and messages are strangers' words.

Rule 2: no inline style and no inline script; the Content-Security-Policy would refuse them.
"""

import shlex
from collections.abc import Callable, Iterable, Mapping
from html import escape
from types import MappingProxyType

from proxy.admin.charts import Line, chart, highest
from proxy.admin.view import Level, ListedRequest, TokenCard, View
from proxy.admin.words import clock, countdown, moment, short, size, span
from proxy.metrics import Tick

_SYMBOLS = {Level.OK: "✓", Level.WARN: "!", Level.WAIT: "…", Level.BAD: "✗"}
_RING = 100.0  # the circumference, so that a dash is a percentage
_SIDES = ("downstream", "token", "upstream", "proxy")
_WHOLE = ("p50", "p95", "p99")


def _text(value: object) -> str:
    return escape(str(value))


def verdict(view: View) -> str:
    """Return the sentence; it changes only with the state, so that it can be read aloud."""
    level = view.verdict.level
    return (
        f'<p class="verdict {level}"><span class="symbol" aria-hidden="true">{_SYMBOLS[level]}'
        f"</span><span>{_text(view.verdict.sentence)}</span></p>"
    )


def waiting(view: View) -> str:
    """Return how long until something happens by itself."""
    at = view.verdict.next_try_at
    if at is None:
        return ""
    left = at - view.taken_at
    return "asking now" if left <= 0 else f"next try in <b>{countdown(left)}</b>"


def token(view: View) -> str:
    """Return the token's card."""
    card, now = view.token, view.taken_at
    facts = {
        "state": card.state + (", being refreshed" if card.fetching else ""),
        "issued": _ago(card.issued_at, now),
        "expires": _in(card.expires_at, now),
        "next refresh": _in(card.next_try_at, now),
        "lifetime": "-"
        if card.lifetime_seconds is None
        else f"{span(card.lifetime_seconds)}, by {card.lifetime_source}",
        "issuer's clock": "-"
        if card.clock_skew_seconds is None
        else f"{card.clock_skew_seconds:+.1f} s",
        "fingerprint": card.fingerprint or "-",
        "failures in a row": card.consecutive_failures,
    }
    return f'{_ring(card, now)}{_facts(facts)}<ol class="attempts">{_attempts(card)}</ol>'


def _ring(card: TokenCard, now: float) -> str:
    left = 0.0
    if card.usable and card.expires_at and card.lifetime_seconds:
        left = min(1.0, max(0.0, (card.expires_at - now) / card.lifetime_seconds))
    said = countdown(card.expires_at - now) if card.usable and card.expires_at else "none"
    return (
        f'<svg class="ring" role="img" viewBox="0 0 40 40" aria-label="Token: {said} left">'
        '<circle class="track" cx="20" cy="20" r="15.9"/>'
        f'<circle class="left" cx="20" cy="20" r="15.9" stroke-dasharray="{left * _RING:.1f} '
        f'{_RING:.0f}" transform="rotate(-90 20 20)"/>'
        f'<text x="20" y="22.5" text-anchor="middle">{said}</text></svg>'
    )


def _attempts(card: TokenCard) -> str:
    return "".join(
        f'<li class="{"ok" if each.result == "ok" else "bad"}"><time>{clock(each.at)}</time> '
        f"<b>{_text(each.result)}</b> {short(each.seconds)}"
        f"{f' the issuer {_text(each.cause)}' if each.cause else ''}"
        f"{f' <q>{_text(each.excerpt)}</q>' if each.excerpt else ''}</li>"
        for each in reversed(card.attempts)
    )


def traffic(view: View) -> str:
    """Return the drawn lines and what is on its way."""
    card, now = view.traffic, view.taken_at
    rate = Line("requests/s", "a", lambda tick: tick.rate)
    faults = [Line(side, f"side-{side}", _errors_of(side)) for side in _SIDES]
    times = [Line(name, f"t{n}", _time(n)) for n, name in enumerate(_WHOLE)]
    added = [Line(name, f"o{n}", _overhead(n)) for n, name in enumerate(_WHOLE)]
    last = card.ticks[-1] if card.ticks else None
    gauges = {
        "in flight": card.in_flight,
        "waiting for a token": card.waiting_for_token,
        "queued": card.queued,
    }
    figures = (
        _figure("Requests/s", card.ticks, [rate], now, _rates(card.ticks, rate)),
        _figure("Errors by whose fault", card.ticks, faults, now, _faults(card.ticks)),
        _figure("Whole time", card.ticks, times, now, _percentiles(last, "total"), log=True),
        _figure("Overhead", card.ticks, added, now, _percentiles(last, "overhead"), log=True),
    )
    return f'<div class="charts">{"".join(figures)}</div>{_facts(gauges, "gauges")}'


def _errors_of(side: str) -> Callable[[Tick], float | None]:
    return lambda tick: tick.errors.get(side, 0) / tick.seconds if tick.seconds else None


def _time(index: int) -> Callable[[Tick], float | None]:
    return lambda tick: tick.total[index]


def _overhead(index: int) -> Callable[[Tick], float | None]:
    return lambda tick: tick.overhead[index]


def _figure(
    title: str,
    ticks: tuple[Tick, ...],
    lines: list[Line],
    now: float,
    spoken: str,
    *,
    log: bool = False,
) -> str:
    key = "".join(f'<i class="{line.style}">{line.name}</i> ' for line in lines if len(lines) > 1)
    drawn = chart(title, ticks, lines, now=now, spoken=spoken, log=log)
    return (
        f"<figure><figcaption><b>{title}</b> {_text(spoken)}</figcaption>{drawn}"
        f'<p class="key">{key}</p></figure>'
    )


def _rates(ticks: tuple[Tick, ...], rate: Line) -> str:
    now = ticks[-1].rate if ticks else 0.0
    return f"now {now:.3g}, highest {highest(ticks, rate):.3g}"


def _faults(ticks: tuple[Tick, ...]) -> str:
    totals = {side: sum(tick.errors.get(side, 0) for tick in ticks) for side in _SIDES}
    return ", ".join(f"{side} {number}" for side, number in totals.items() if number) or "none"


def _percentiles(tick: Tick | None, which: str) -> str:
    values = getattr(tick, which) if tick else (None, None, None)
    return ", ".join(f"{n} {short(v)}" for n, v in zip(_WHOLE, values, strict=True))


def requests(view: View) -> str:
    """Return the rows of the last requests."""
    if view.requests is None:
        return '<tr><td colspan="9">None are remembered: admin.recent_requests is 0.</td></tr>'
    if not view.requests:
        return '<tr><td colspan="9">No requests yet.</td></tr>'
    base = f"http://{view.listen[0]}" if view.listen else ""
    return "".join(_row(each, base) for each in view.requests)


def _row(request: ListedRequest, base: str) -> str:
    whose = request.error or request.side
    fault = request.side if request.error or request.status >= 500 else ""
    said = f"<small>{_text(request.said)}</small>" if request.said else ""
    return (
        f'<tr class="side-{_text(fault)}"><td><time>{clock(request.at)}</time></td>'
        f"<td>{_text(request.method)}</td><td>{_text(request.path)}{said}</td>"
        f"<td>{request.status}</td>"
        f"<td>{_text(whose)}</td><td>{short(request.seconds)}</td>"
        f"<td>{short(request.upstream_seconds)}</td>"
        f"<td>{size(request.request_bytes)} / {size(request.response_bytes)}</td>"
        f'<td class="js"><button type="button" id="c-{_text(request.id)}" '
        f'title="{_text(request.id)}" data-curl="{_text(_curl(request, base))}" '
        f'aria-label="Copy {_text(request.method)} {_text(request.path)} as curl">curl</button>'
        "</td></tr>"
    )


def _curl(request: ListedRequest, base: str) -> str:
    path, mark, _ = request.path.partition("?")
    method = "" if request.method == "GET" else f"-X {shlex.quote(request.method)} "
    return f"curl {method}{shlex.quote(base + path)}" + (
        "  # its query is not kept" if mark else ""
    )


def upstream(view: View) -> str:
    """Return the upstream's card."""
    card, now = view.upstream, view.taken_at
    expires = card.certificate_expires_at
    facts: dict[str, object] = {
        "URL": card.url,
        "address": card.remote or "not connected yet",
        "TLS": card.tls_version or "-",
        "certificate": "-" if expires is None else f"{(expires - now) / 86_400:.0f} days left",
        "connections": f"{card.busy} busy, {card.idle} idle",
    }
    trouble = card.trouble
    if trouble is not None:
        facts["last error"] = (
            f"{trouble.proxy_status}, {span(now - trouble.at)} ago: {trouble.detail}"
        )
    return _facts(facts)


def configuration(view: View) -> str:
    """Return what is in force, with sources."""
    card = view.configuration
    said = [*card.warnings, *([card.reload_problem] if card.reload_problem else [])]
    warnings = "".join(f"<li>{_text(each)}</li>" for each in said)
    rows = "".join(
        f'<tr><th scope="row">{_text(each.key)}</th><td>{_text(each.value)}</td>'
        f"<td>{_text(each.source)}</td></tr>"
        for each in card.settings
    )
    listed = f'<ul class="warnings">{warnings}</ul>' if said else ""
    refused = "; the latest reload was refused" if card.reload_problem else ""
    return (
        f"{listed}<p>read {moment(card.loaded_at)}{refused}</p>"
        "<table><caption>Keys and where their values are from</caption><thead><tr><th>key</th>"
        f"<th>value</th><th>from</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def process(view: View) -> str:
    """Return version, age and memory."""
    card = view.process
    return (
        f"bearer-proxy {_text(card.version)}, Python {_text(card.python)}, "
        f"up {span(view.taken_at - card.started_at)}, {size(card.memory_bytes)}"
        f"{_workers(card.workers)}"
    )


def _workers(pids: tuple[int, ...]) -> str:
    return f", workers {' '.join(map(str, pids))}" if pids else ""


def _facts(facts: Mapping[str, object], style: str = "facts") -> str:
    pairs: Iterable[str] = (
        f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in facts.items()
    )
    return f'<dl class="{style}">{"".join(pairs)}</dl>'


def _ago(at: float | None, now: float) -> str:
    return "-" if at is None else f"{span(now - at)} ago"


def _in(at: float | None, now: float) -> str:
    if at is None:
        return "-"
    return "now" if at <= now else f"in {countdown(at - now)}"


# By the id of the element that holds it.
SECTIONS: Mapping[str, Callable[[View], str]] = MappingProxyType(
    {
        "verdict": verdict,
        "waiting": waiting,
        "token": token,
        "traffic": traffic,
        "requests": requests,
        "upstream": upstream,
        "configuration": configuration,
        "process": process,
    }
)
