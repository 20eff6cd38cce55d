"""``/v1/transactions``: made-up transactions in pages, and new ones on request."""

from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aiohttp import web

from proxy.demo.answers import as_json, enveloped, origin, refusal

_HERE: Final = "/v1/transactions"
_MADE_UP: Final = 42
_LARGEST_PAGE: Final = 100
# New ones beyond this push the oldest new one out: the API may run for weeks in a test bed.
_MOST_CREATED: Final = 1_000

_FIRST_AT: Final = datetime(2025, 1, 6, 9, 30, tzinfo=UTC)
_TYPES: Final = ("deposit", "payout", "exchange")
_ASSETS: Final = ("USDC", "EUR", "BTC", "ETH", "USDT")
_STATES: Final = ("completed", "completed", "completed", "pending", "failed")


class Transactions:
    """The transactions of one account; the made-up ones are the same in every run."""

    def __init__(self) -> None:
        self._made_up = {each["id"]: each for each in map(_made_up, range(1, _MADE_UP + 1))}
        self._created: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._next = _MADE_UP + 1

    def routes(self) -> list[web.RouteDef]:
        """Return the routes below ``/v1``."""
        return [
            web.get("/transactions", self.page),
            web.post("/transactions", self.create),
            web.get("/transactions/{id}", self.one),
        ]

    async def page(self, request: web.Request) -> web.Response:
        """Answer a page, with absolute links to its neighbours in body and ``Link`` (RFC 8288)."""
        try:
            number = _whole(request, "page", default=1, most=1_000_000)
            size = _whole(request, "per_page", default=5, most=_LARGEST_PAGE)
        except ValueError as error:
            return refusal(400, "VALIDATION_ERROR", str(error))
        rows = [*self._made_up.values(), *self._created.values()]
        last = max(1, -(-len(rows) // size))
        neighbours = {"first": 1, "prev": number - 1, "next": number + 1, "last": last}
        links = {
            name: f"{origin(request)}{_HERE}?page={there}&per_page={size}"
            for name, there in neighbours.items()
            if 1 <= there <= last
        }
        paging = {
            "page": number,
            "per_page": size,
            "pages": last,
            "total": len(rows),
            "next": links.get("next"),
        }
        return as_json(
            enveloped("OK", rows[(number - 1) * size : number * size], pagination=paging),
            headers={"Link": ", ".join(f'<{url}>; rel="{name}"' for name, url in links.items())},
        )

    async def one(self, request: web.Request) -> web.Response:
        """Answer a single transaction, or 404."""
        name = request.match_info["id"]
        found = self._made_up.get(name) or self._created.get(name)
        if found is None:
            return refusal(404, "NOT_FOUND", "No such transaction")
        return as_json(enveloped("OK", found))

    async def create(self, request: web.Request) -> web.Response:
        """Make one from a JSON object with ``amount``; 201 with its absolute ``Location``."""
        try:
            asked = await request.json()
        except (ValueError, LookupError):
            return refusal(400, "VALIDATION_ERROR", "The body is not JSON")
        if not isinstance(asked, dict) or not isinstance(asked.get("amount"), str | int | float):
            return refusal(400, "VALIDATION_ERROR", "amount is required")
        made = self._record(asked)
        location = f"{origin(request)}{_HERE}/{made['id']}"
        return as_json(enveloped("Created", made), status=201, headers={"Location": location})

    def _record(self, asked: dict[str, Any]) -> dict[str, Any]:
        made = {
            "id": _id(self._next),
            "type": str(asked.get("type", "payout")),
            "asset": str(asked.get("asset", "USDC")),
            "amount": str(asked["amount"]),
            "status": "pending",
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._next += 1
        self._created[made["id"]] = made
        if len(self._created) > _MOST_CREATED:
            self._created.popitem(last=False)
        return made


def _id(number: int) -> str:
    return f"txn_{number:06}"


def _made_up(number: int) -> dict[str, Any]:
    return {
        "id": _id(number),
        "type": _TYPES[number % len(_TYPES)],
        "asset": _ASSETS[number % len(_ASSETS)],
        "amount": f"{number * 7_919 % 100_000 / 100:.2f}",
        "status": _STATES[number % len(_STATES)],
        "created_at": (_FIRST_AT + timedelta(hours=7 * number)).isoformat(),
    }


def _whole(request: web.Request, name: str, *, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise ValueError(f"{name} must be a whole number from 1 to {most}")
    return int(text)
