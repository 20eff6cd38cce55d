"""A request as every journal is told."""

from typing import Any


def request(
    *,
    method: bytes = b"GET",
    target: bytes = b"/v1/transactions?cursor=private",
    status: int = 200,
    side: str = "upstream",
    duration: float = 0.02,
    first_byte: float | None = 0.015,
    error: str = "",
    sent: float | None = 0.00004,
) -> tuple[Any, ...]:
    """Return what the data plane would record."""
    sizes = (3, 1500)
    return (
        1_764_000_000.5, method, target, status, side, duration, first_byte,
        *sizes, b"id-1", error, "127.0.0.1:9", sent, "",
    )  # fmt: skip
