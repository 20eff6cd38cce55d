"""From the keys of a listener to what the data plane and the verdict are told of its callers."""

from proxy import log
from proxy.dataplane import Address
from proxy.policy.callers import ANYONE, Callers, LocalToken
from proxy.settings.callers import local_tokens, owners
from proxy.settings.model import Listen


def asked_for(listen: Listen) -> Callers:
    """
    Return what a caller has to show, ANYONE if that is nothing; SecretError without its tokens.

    The tokens are read now, and kept out of the log from then on.
    """
    name, colon, value = (listen.required_header or "").encode("ascii").partition(b": ")
    tokens: tuple[LocalToken, ...] = ()
    if listen.local_token_file is not None:
        tokens = local_tokens(listen.local_token_file)
        for each in tokens:
            log.protect(each.token.decode("ascii"))
    if not (tokens or name or listen.allowed_uids):
        return ANYONE
    return Callers(
        uids=frozenset(listen.allowed_uids),
        tokens=tokens,
        token_field=listen.local_token_header.encode("ascii"),
        required_field=name,
        required_value=value if colon else None,
    )


def socket_file(path: str, listen: Listen) -> Address:
    """Return the Unix socket at *path*, with the mode and the owners it shall have."""
    user, group = owners(listen.socket_owner)
    return Address(path=path, mode=int(listen.socket_mode, 8), user=user, group=group)
