"""Numbers as people read them."""

from datetime import UTC, datetime


def clock(at: float) -> str:
    """Return Unix time *at* as ``14:03:09Z``."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%SZ")


def moment(at: float) -> str:
    """Return Unix time *at* with its date."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def countdown(seconds: float) -> str:
    """Return ``0:23`` or ``1:02:03``; nothing is less than no time."""
    whole = max(0, round(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def span(seconds: float) -> str:
    """Return a length of time in its two largest units: ``3d 4h``, ``59m 58s``, ``42s``."""
    rest = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        number, rest = divmod(rest, size)
        if number or parts:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"


def short(seconds: float | None) -> str:
    """Return how long a request took: ``40 µs``, ``3.2 ms``, ``1.5 s``; a dash for never."""
    if seconds is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 1000 else f"{seconds:.0f} s"
    return f"{seconds * 1e6:.0f} µs"


def size(number: float) -> str:
    """Return a number of bytes: ``312 B``, ``1.5 KiB``."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.4g} {unit}"
        number /= 1024
    return f"{number:.4g} GiB"
