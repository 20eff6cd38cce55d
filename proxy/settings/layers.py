"""The three layers that were read, asked as one: flag > environment > file, key by key."""

from dataclasses import dataclass

from proxy.settings.read import Origin, Read

DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Layers:
    """*complete* is False when there is a file whose content could not be had."""

    flags: Read
    environment: Read
    file: Read
    complete: bool

    def value(self, path: str) -> object:
        """Return the value in force before defaults; an empty text counts as none."""
        layer = self._first(path)
        if layer is None:
            return None
        table, _, name = path.partition(".")
        value = layer.values[table][name]
        return None if value == "" else value

    def origin(self, path: str) -> Origin:
        """Return where the value in force came from; ``DEFAULT`` when no layer has the key."""
        layer = self._first(path)
        return DEFAULT if layer is None else layer.origins[path]

    def refused(self, path: str) -> bool:
        """Tell whether some layer has the key with a value that could not be read."""
        return any(path in layer.refused for layer in self._ranked())

    def may_be_given(self, path: str) -> bool:
        """Tell whether the key was configured, or may have been in a file that is unreadable."""
        return not self.complete or self.refused(path) or self._first(path) is not None

    def _ranked(self) -> tuple[Read, ...]:
        return (self.flags, self.environment, self.file)

    def _first(self, path: str) -> Read | None:
        return next((layer for layer in self._ranked() if path in layer.origins), None)
