"""The access log of requests that stand in traces: the same lines, and where to look further."""

from collections.abc import Sequence

from proxy.log.access import AccessLog, Facts
from proxy.policy.trace import Trace

# A request as every journal is told it; then comes its place, if it has one.
_PLAIN = 14
_PLACE = b',"trace_id":"%b","span_id":"%b"}'


class TracedAccessLog(AccessLog):
    """Adds ``trace_id`` and ``span_id``, that of the server span, to each line that has them."""

    def _json(self, requests: Sequence[Facts]) -> list[bytes]:
        wanted = [facts for facts in requests if self._is_wanted(facts[3], facts[10])]
        lines = super()._json([facts[:_PLAIN] for facts in wanted])
        return [
            line[:-1] + _PLACE % (place.trace_id, place.span_id) if place else line
            for line, place in zip(lines, map(_place, wanted), strict=True)
        ]

    def _described(self, facts: Facts) -> tuple[str, dict[str, object]]:
        level, event = super()._described(facts[:_PLAIN])
        if place := _place(facts):
            event |= {"trace_id": place.trace_id.decode(), "span_id": place.span_id.decode()}
        return level, event


def _place(facts: Facts) -> Trace | None:
    return facts[_PLAIN] if len(facts) > _PLAIN else None
