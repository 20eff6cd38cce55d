"""
Health: three questions, each under the names by which people and platforms ask it.

Rule 1: the answer comes from memory. No probe waits for an issuer, an upstream or a lock.

Rule 2: 200 or 503, and nothing else says yes or no. A body is for people; a failing answer names
        what fails without being asked.

The paths and the ``[+]name ok`` lines are those of Kubernetes' own components.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from proxy.admin import answers
from proxy.admin.vitals import Check, Vitals

_LIVE = ("/livez", "/healthz", "/liveness", "/ping")
_READY = ("/readyz", "/readiness", "/ready")
_STARTED = ("/startupz", "/startup")

_Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes(vitals: Vitals) -> list[web.RouteDef]:
    """Return the health routes; GET brings HEAD with it."""
    asked = {_LIVE: vitals.live, _READY: vitals.ready, _STARTED: vitals.started}
    return [
        web.get(path, _answering(names[0][1:], checks))
        for names, checks in asked.items()
        for path in names
    ]


def _answering(name: str, checks: Callable[[], list[Check]]) -> _Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        found = checks()
        if _wants_json(request.headers.get("Accept", "")):
            return _as_json(found)
        return _as_text(name, found, verbose="verbose" in request.query)

    return answer


def _as_text(name: str, found: list[Check], *, verbose: bool) -> web.Response:
    passed = all(check.ok for check in found)
    if passed and not verbose:
        return answers.text("ok\n")
    lines = [_line(check) for check in found]
    lines.append(f"{name} check {'passed' if passed else 'failed'}")
    return answers.text("\n".join(lines) + "\n", status=200 if passed else 503)


def _line(check: Check) -> str:
    verdict = "[+]{} ok" if check.ok else "[-]{} failed"
    return verdict.format(check.name) + (f" ({check.text})" if check.text else "")


def _as_json(found: list[Check]) -> web.Response:
    passed = all(check.ok for check in found)
    body = {"status": "ok" if passed else "failed", "checks": [_members(each) for each in found]}
    return answers.document(body, status=200 if passed else 503)


def _members(check: Check) -> dict[str, object]:
    members = {"name": check.name, "ok": check.ok, "text": check.text}
    return {**members, "code": check.code} if check.code else members


def _wants_json(accept: str) -> bool:
    """Tell whether JSON is asked for by name; whoever takes anything gets text."""
    ranges = (part.partition(";")[0].strip().lower() for part in accept.split(","))
    return "application/json" in ranges
