"""Those who want to be told of changes."""

from collections.abc import Callable

import structlog

log = structlog.get_logger()


class Watchers:
    """Calls that are run after each change, in the order in which they came."""

    def __init__(self) -> None:
        self._calls: dict[object, Callable[[], None]] = {}

    def add(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have *call* run after every change, until the returned function is called."""
        key = object()
        self._calls[key] = call

        def cancel() -> None:
            self._calls.pop(key, None)

        return cancel

    def tell(self) -> None:
        """Run the calls; called by whoever changed something, after it is consistent."""
        for key in tuple(self._calls):
            # One that was called before may have cancelled it.
            call = self._calls.get(key)
            try:
                if call is not None:
                    call()
            except Exception as error:
                # One request's trouble must not cost the others their wake-up.
                log.error("task.callback_failed", error=type(error).__name__)
