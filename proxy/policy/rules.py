"""What decides over a request, besides the request itself."""

from dataclasses import dataclass

from proxy.policy.access import EVERYTHING, Access
from proxy.policy.admission import Admission
from proxy.policy.callers import ANYONE, Callers
from proxy.policy.target import Base


@dataclass(frozen=True, slots=True)
class Rules:
    """One upstream behind one listener. Sizes in bytes."""

    base: Base
    admission: Admission
    access: Access = EVERYTHING
    callers: Callers = ANYONE
    head_fields: int = 100
    target_bytes: int = 16384
    body_bytes: int = 0  # 0: no limit
    send_via: bool = True
    mask_token: bool = False  # an answer that repeats the credential does not pass as it is
    refuse_inbound: bool = False  # a client that authenticates itself is refused, not overruled
