"""Every bound on what a peer may ask for can be set, and says whom it took its value from."""

import re
from pathlib import Path

from proxy.settings.model import Limits, Upstream

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
PRECEDENTS = ("nginx", "haproxy", "Envoy", "Apache", "Go ")
# What can be too much, and the keys that bound it.
BOUNDS = {
    "the size of a head": ("head_bytes", "head_fields", "target_bytes"),
    "the size of a body": ("body_bytes",),
    "the time of a head": ("head_seconds",),
    "the time between bytes of a body": ("body_idle_seconds",),
    "an idle connection": ("keep_alive_seconds",),
    "the requests of a connection": ("requests_per_connection",),
    "connections": ("connections",),
    "requests in flight": ("queue", "queue_seconds"),
    "the time of an answer": ("response_head_seconds", "response_idle_seconds"),
}


def test_everything_that_can_be_too_much_has_a_key_with_a_default() -> None:
    """None is missing, and none is required."""
    keys = {key for keys in BOUNDS.values() for key in keys}
    assert keys == set(Limits.model_fields)
    assert not any(field.is_required() for field in Limits.model_fields.values())
    assert not Upstream.model_fields["connections"].is_required()


def test_every_limit_names_its_precedent() -> None:
    """A number that nobody else uses needs a reason; these have one each, beside the key."""
    text = EXAMPLE.read_text()
    limits = re.findall(r"((?:^# .*\n)+)((?:^#\w+ = .*\n)+)", text.split("[limits]\n")[1], re.M)
    [upstream] = re.findall(
        r"((?:^# .*\n)+)((?:^#connections = .*\n)+)", text.split("[limits]")[0], re.M
    )
    named = set()
    for reason, keys in (*limits, upstream):
        names = set(re.findall(r"^#(\w+) =", keys, re.M))
        if names & set(Limits.model_fields):
            assert any(each in reason for each in PRECEDENTS), names
            named |= names
    assert named >= set(Limits.model_fields)
