"""The client secret on its way to the tokens' room."""

from proxy import log
from proxy.settings import SecretError, SecretSource
from proxy.tokens import SecretUnreadable


class ProtectedSecret:
    """The client secret; whatever is read is kept out of the log from then on."""

    def __init__(self, source: SecretSource) -> None:
        self._source = source

    def read(self) -> str:
        """Return the secret as it is now; SecretUnreadable says why there is none."""
        try:
            secret = self._source.read()
        except SecretError as error:
            raise SecretUnreadable(str(error)) from None
        log.protect(secret)
        return secret
