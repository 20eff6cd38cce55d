"""``/metrics`` over HTTP."""

from tests.admin.fakes import ask


async def test_both_listeners_can_be_scraped(listener: str) -> None:
    """
    GET /metrics, by the same rules as health.
    """
    answer = await ask(listener, "/metrics")
    assert answer.status == 200
    assert answer.fields["content-type"].startswith("text/plain; version=")
    assert 'bearer_proxy_build_info{python="' in answer.body
    assert (await ask(listener, "/metrics", host="attacker.test")).status == 403
