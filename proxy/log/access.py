"""
The access log: a line for each request, on the path of each request.

Rule 1: no field value and no query value is ever shown. Everything from the first ``?`` of a target
        on is one ``?…``.

Rule 2: bytes that a client chose are shown as a URI would carry them: visible ASCII as it is, all
        else percent-encoded. So no request can break a line, forge one or move a cursor.

Rule 3: the quick way to the line and the slow one (`describe`, then the pipeline) say the same; the
        tests hold them together.
"""

import re
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii as quoted
from logging import INFO, WARNING
from typing import Any, Literal
from urllib.parse import quote_from_bytes

from proxy.log.output import Output
from proxy.log.pipeline import stamp_second
from proxy.log.plain import Hide
from proxy.log.secrets import SECRETS, VISIBLE, Secrets

Policy = Literal["all", "errors", "off"]

# Docker cuts lines at 16 KiB, and cut JSON is lost; 2 KiB tell a path.
_LONGEST = 2048

_COMPLETED, _REFUSED = "request.completed", "request.refused"
_KINDS = {
    ("info", _COMPLETED): b'","level":"info","severity":"INFO","event":"request.completed"',
    (
        "warning",
        _COMPLETED,
    ): b'","level":"warning","severity":"WARNING","event":"request.completed"',
    ("warning", _REFUSED): b'","level":"warning","severity":"WARNING","event":"request.refused"',
}
_USER = re.compile(rb"//[^/]*@")
# A client that left: neither refused nor anyone's failure.
_LEFT = "client_closed"

_HIDDEN_QUERY = "?…"
_JSON_HIDDEN_QUERY = quoted(_HIDDEN_QUERY)[1:-1].encode()

# One formatting instead of fifteen: bytes print floats faster than text does, and need no encoding.
_WHAT = b'%b,"method":"%b","path":"%b","status":%d,"side":"%b","duration_seconds":'
_LINE = (
    b'%b%b%b,"first_byte_seconds":%b,"request_bytes":%d,"response_bytes":%d'
    b',"request_id":"%b"%b,"client":"%b"}'
)
# What was asked, and by whom, repeats. It is remembered for about so many of each.
_REMEMBERED = 1024
_What = tuple[bytes, bytes, int, str, str]

# A request that is over, in the order in which every journal is told what is known of it.
Facts = tuple[Any, ...]

_NEVER = 1 << 30


class AccessLog:
    """
    Writes what requests came to, a line for each.

    *policy* ``errors`` keeps status 400 or more and our own errors. A request of status 500 or
    more, or refused by us, is a warning, any other an info; the level of *output* holds here too.
    """

    def __init__(
        self,
        policy: Policy,
        output: Output,
        *,
        secrets: Secrets = SECRETS,
    ) -> None:
        self._output = output
        self._secrets = secrets
        self._second = -1
        self._opening = b""
        self._whats: dict[_What, bytes] = {}
        self._texts: dict[str, bytes] = {}
        self._generation = -1  # of the secrets that are hidden in them
        self._least_status = _NEVER
        self._own_errors = False
        self.follow(policy)

    def follow(self, policy: Policy) -> None:
        """Write by *policy* from the next request on."""
        level = self._output.level
        self._own_errors = policy != "off" and level <= WARNING
        if not self._own_errors:
            self._least_status = _NEVER
        elif level > INFO:
            self._least_status = 500
        else:
            self._least_status = 0 if policy == "all" else 400

    def write(self, requests: Sequence[Facts]) -> None:
        """Write *requests*, as far as they are wanted, all at once."""
        lines = self._pretty(requests) if self._output.console else self._json(requests)
        if lines:
            self._output.sink.put(lines)

    def _pretty(self, requests: Sequence[Facts]) -> list[bytes]:
        sink, pipeline, lines = self._output.sink, self._output.pipeline, []
        for facts in requests:
            at, status, error = facts[0], facts[3], facts[10]
            if self._is_wanted(status, error):
                level, event = self._described(facts)
                lines.append(sink.encoded(pipeline.line(level, event, at=at)))
        return lines

    def _described(self, facts: Facts) -> tuple[str, dict[str, object]]:
        return describe(facts, hide=self._secrets.hide)

    def _is_wanted(self, status: int, error: str) -> bool:
        return status >= self._least_status or bool(error and self._own_errors)

    def _json(self, requests: Sequence[Facts]) -> list[bytes]:
        """Return what the pipeline would make of `describe`, at a twentieth of the cost."""
        if self._generation != self._secrets.generation:
            self._forget()
        lines: list[bytes] = []
        whats, texts, least, last, stamp = self._whats, self._texts, self._least_status, -1, b""
        plain = self._are_plain([facts[9] for facts in requests])
        # Unpacked and formatted here and now: on this loop every request spends a microsecond.
        for (
            time, method, target, status, side, duration, first_byte, request_bytes,
            response_bytes, request_id, error, client, _, detail,
        ) in requests:  # fmt: skip
            if status < least and not self._is_wanted(status, error):
                continue
            now = int(time * 1000)
            if now != last:
                last, stamp = now, self._stamp(now)
            what = (method, target, status, side, error)
            took = b"%.6f" % duration
            if first_byte is None:
                first = b"null"
            else:
                first = took if first_byte == duration else b"%.6f" % first_byte
            lines.append(
                _LINE
                % (
                    stamp,
                    whats.get(what) or self._what(what),
                    took,
                    first,
                    request_bytes,
                    response_bytes,
                    request_id if plain else self._shown(request_id),
                    self._error(error, detail) if error else b"",
                    texts.get(client) or self._text(client),
                )
            )
        return lines

    def _stamp(self, milliseconds: int) -> bytes:
        second, thousandth = divmod(milliseconds, 1000)
        if second != self._second:
            self._second = second
            self._opening = f'{{"timestamp":"{stamp_second(second)}.'.encode()
        return b"%b%03dZ" % (self._opening, thousandth)

    def _forget(self) -> None:
        self._whats.clear()
        self._texts.clear()
        self._generation = self._secrets.generation

    def _what(self, what: _What) -> bytes:
        """Return the part of the line that says what was asked, and what came of it."""
        method, target, status, side, error = what
        path, mark = _without_secrets(target)
        level, event = _kind(status, side, error)
        looks = _WHAT % (
            _KINDS[level, event],
            self._shown(method),
            self._shown(path) + (_JSON_HIDDEN_QUERY if mark else b""),
            status,
            self._text(side),
        )
        if len(self._whats) > _REMEMBERED:
            self._forget()
        if len(target) + len(method) <= _LONGEST:
            self._whats[what] = looks
        return looks

    def _error(self, error: str, detail: str) -> bytes:
        said = f',"detail":{quoted(self._secrets.hide(detail))}' if detail else ""
        return f',"error":{quoted(error)}{said}'.encode()

    def _text(self, text: str) -> bytes:
        looks = quoted(text)[1:-1].encode()
        if len(self._texts) > _REMEMBERED:
            self._forget()
        self._texts[text] = looks
        return looks

    def _are_plain(self, ids: list[bytes]) -> bool:
        """Tell whether each of *ids* is ``_shown`` as it is."""
        longest = max(map(len, ids), default=0)
        return longest < min(self._secrets.shortest, _LONGEST) and not b"".join(ids).translate(
            None, VISIBLE
        )

    def _shown(self, raw: bytes) -> bytes:
        """Return `shown` as it stands between JSON's quotes."""
        if len(raw) > _LONGEST or raw.translate(None, VISIBLE):
            return quoted(shown(raw, self._secrets.hide))[1:-1].encode()
        return (
            raw if len(raw) < self._secrets.shortest else self._secrets.hide(raw.decode()).encode()
        )


def describe(facts: Facts, *, hide: Hide) -> tuple[str, dict[str, object]]:
    """Return level and event dict of a request: its facts, in words."""
    (
        _, method, target, status, side, duration, first_byte, request_bytes,
        response_bytes, request_id, error, client, _, detail,
    ) = facts  # fmt: skip
    path, mark = _without_secrets(target)
    level, name = _kind(status, side, error)
    event: dict[str, object] = {
        "event": name,
        "method": shown(method, hide),
        "path": shown(path, hide) + (_HIDDEN_QUERY if mark else ""),
        "status": status,
        "side": side,
        "duration_seconds": round(duration, 6),
        "first_byte_seconds": None if first_byte is None else round(first_byte, 6),
        "request_bytes": request_bytes,
        "response_bytes": response_bytes,
        "request_id": shown(request_id, hide),
        **({"error": error} if error else {}),
        **({"detail": hide(detail)} if error and detail else {}),
        "client": client,
    }
    return level, event


def _without_secrets(target: bytes) -> tuple[bytes, bytes]:
    """Return *target* without its query, and the mark where that was; no user and password."""
    path, mark, _ = target.partition(b"?")
    if b"@" in path and path[:1] != b"/":
        path = _USER.sub(b"//", path)
    return path, mark


def _kind(status: int, side: str, error: str) -> tuple[str, str]:
    """Return level and event of a request that came to this."""
    if error and error != _LEFT:
        return "warning", _REFUSED if side == "downstream" else _COMPLETED
    return "warning" if status >= 500 else "info", _COMPLETED


def shown(raw: bytes, hide: Hide) -> str:
    """Return *raw* as a URI would carry it, without secrets, cut after 2,048 characters."""
    text = hide(quote_from_bytes(raw, safe=VISIBLE))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
