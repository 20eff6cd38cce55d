"""The client secret on its way to the tokens' room."""

from proxy import log
from proxy.settings import SecretError, SecretSource


class ProtectedSecret:
    """The client secret; whatever is read is kept out of the log from then on."""

    def __init__(self, source: SecretSource) -> None:
        self._source = source

    def read(self) -> str:
        """Return the secret as it is now; ValueError says why there is none."""
        try:
            secret = self._source.read()
        except SecretError as error:
            raise ValueError(str(error)) from None
        log.protect(secret)
        return secret
