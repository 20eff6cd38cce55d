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
from collections.abc import Callable
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
    b'%b%03dZ%b%.6f,"first_byte_seconds":%b,"request_bytes":%d,"response_bytes":%d'
    b',"request_id":"%b"%b,"client":"%b"}'
)
# What was asked, and by whom, repeats. It is remembered for about so many of each.
_REMEMBERED = 1024
_What = tuple[bytes, bytes, int, str, str]

_NEVER = 1 << 30


class AccessLog:
    """
    Takes what a request came to, and writes it when the loop next turns.

    *call_soon* is the running loop's. *policy* ``errors`` keeps status 400 or more and our own
    errors. A request of status 500 or more, or refused by us, is a warning, any other an info; the
    level of *output* holds here as well.
    """

    def __init__(
        self,
        policy: Policy,
        output: Output,
        *,
        call_soon: Callable[[Callable[[], None]], Any],
        secrets: Secrets = SECRETS,
    ) -> None:
        self._output = output
        self._call_soon = call_soon
        self._secrets = secrets
        self._line = self._pretty if output.console else self._json
        self._pending: list[bytes] = []
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

    def record(
        self,
        time: float,
        method: bytes,
        target: bytes,
        status: int,
        side: str,
        duration: float,
        first_byte: float | None,
        request_bytes: int,
        response_bytes: int,
        request_id: bytes,
        error: str,
        client: str,
        sent: float | None = None,
        detail: str = "",
    ) -> None:
        """
        Note a request that is over.

        *time* is Unix time at its end; *target* its path, with or without the query; *status* what
        the client was told, 0 if nothing; *side* whose status that is. *duration* and *first_byte*
        (of the answer, None if there was none) are seconds since the request began; the bytes are
        those of the bodies. *error* is the code of our own answer, else empty; *client* the peer's
        address. *sent* is not logged. *detail* is the error's sentence.
        """
        if status < self._least_status and not (error and self._own_errors):
            return
        self._pending.append(
            self._line(
                time, method, target, status, side, duration, first_byte,
                request_bytes, response_bytes, request_id, error, client, detail,
            )
        )  # fmt: skip
        if len(self._pending) == 1:
            self._call_soon(self.flush)

    def flush(self) -> None:
        """Write what is pending: when the loop turns, and at the end."""
        if self._pending:
            self._output.sink.put(self._pending)
            self._pending.clear()

    def _pretty(self, time: float, method: bytes, *facts: Any) -> bytes:
        level, event = describe(method, *facts, hide=self._secrets.hide)
        return self._output.sink.encoded(self._output.pipeline.line(level, event, at=time))

    def _json(
        self,
        time: float,
        method: bytes,
        target: bytes,
        status: int,
        side: str,
        duration: float,
        first_byte: float | None,
        request_bytes: int,
        response_bytes: int,
        request_id: bytes,
        error: str,
        client: str,
        detail: str,
    ) -> bytes:
        """Return what the pipeline would make of `describe`, at a tenth of the cost."""
        second, thousandth = divmod(int(time * 1000), 1000)
        if second != self._second:
            self._second = second
            self._opening = f'{{"timestamp":"{stamp_second(second)}.'.encode()
        if self._generation != self._secrets.generation:
            self._forget()
        what = (method, target, status, side, error)
        return _LINE % (
            self._opening,
            thousandth,
            self._whats.get(what) or self._what(what),
            duration,
            b"null" if first_byte is None else b"%.6f" % first_byte,
            request_bytes,
            response_bytes,
            self._shown(request_id),
            self._error(error, detail) if error else b"",
            self._texts.get(client) or self._text(client),
        )

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

    def _shown(self, raw: bytes) -> bytes:
        """Return `shown` as it stands between JSON's quotes."""
        if len(raw) > _LONGEST or raw.translate(None, VISIBLE):
            return quoted(shown(raw, self._secrets.hide))[1:-1].encode()
        return (
            raw if len(raw) < self._secrets.shortest else self._secrets.hide(raw.decode()).encode()
        )


def describe(
    method: bytes,
    target: bytes,
    status: int,
    side: str,
    duration: float,
    first_byte: float | None,
    request_bytes: int,
    response_bytes: int,
    request_id: bytes,
    error: str,
    client: str,
    detail: str = "",
    *,
    hide: Hide,
) -> tuple[str, dict[str, object]]:
    """Return level and event dict of a request: what `AccessLog.record` takes, in words."""
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
