"""The standard's variables that are understood here: where spans go, and which there are."""

import pytest

from proxy.policy.trace import Parent
from proxy.tracing.environment import Unusable, destination, disabled
from proxy.tracing.sampling import Sampling, sampling
from tests.each import each

TRACES, BASE = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
PARENTS = {flag: Parent(b"1" * 32, b"2" * 16, flag) for flag in (True, False)}


@each(
    ("configured", "environ", "url"),
    [
        (None, {}, "http://localhost:4318/v1/traces"),
        (None, {BASE: "https://c.example"}, "https://c.example/v1/traces"),
        (None, {BASE: "http://c:4318/otlp/"}, "http://c:4318/otlp/v1/traces"),
        (None, {BASE: "http://c:4318", TRACES: "http://d/as-it-is"}, "http://d/as-it-is"),
        ("http://e:4318", {BASE: "http://c", TRACES: "http://d"}, "http://e:4318/v1/traces"),
        ("https://e/otlp/v1/traces", {}, "https://e/otlp/v1/traces"),
        ("http://e:4318", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http://e:4318/v1/traces"),
    ],
)
def test_where_spans_go(configured: str | None, environ: dict[str, str], url: str) -> None:
    """
    The configured URL outranks the environment's; to a base the standard's path is added.
    """
    assert destination(configured, environ).url == url


@each(
    "environ",
    [
        {BASE: "collector:4318"},
        {BASE: "grpc://collector"},
        {TRACES: "http://[::1"},
        {TRACES: "http://c:99999"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
    ],
)
def test_what_is_no_destination_is_refused(environ: dict[str, str]) -> None:
    """
    Neither nonsense nor a protocol that is not spoken here is tried.
    """
    with pytest.raises(Unusable):
        destination(None, environ)


def test_credentials_are_known_and_not_shown() -> None:
    """
    Those in the URL are left out of what is shown; values of header fields are told as secrets, as
    they are written and as they are sent.
    """
    environ = {
        BASE: "https://user:pass@[::1]:4318",
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20key, x=",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "authorization=Basic%20abc=",
    }
    found = destination(None, environ)
    assert found.shown == "https://[::1]:4318/v1/traces"
    assert set(found.secrets) == {"a%20key", "a key", "Basic%20abc=", "Basic abc=", "pass"}


@each(
    ("value", "off"), [("true", True), ("TRUE ", True), ("false", False), ("1", False), ("", False)]
)
def test_the_standards_switch(value: str, off: bool) -> None:
    """
    Only the word true switches off, as the specification has it.
    """
    assert disabled({"OTEL_SDK_DISABLED": value}) is off
    assert not disabled({})


@each(
    ("name", "argument", "expected"),
    [
        ("", "", Sampling()),
        ("parentbased_always_on", "", Sampling()),
        ("always_on", "0.5", Sampling(1.0, parent_based=False)),
        ("always_off", "", Sampling(0.0, parent_based=False)),
        ("parentbased_always_off", "", Sampling(0.0)),
        ("traceidratio", "0.25", Sampling(0.25, parent_based=False)),
        ("ParentBased_TraceIdRatio", "0.25", Sampling(0.25)),
        ("parentbased_traceidratio", "", Sampling(1.0)),
    ],
)
def test_the_six_samplers(name: str, argument: str, expected: Sampling) -> None:
    """
    By the names and the argument of the specification.
    """
    environ = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument}
    assert sampling(environ) == expected


@each("argument", ["-0.1", "1.1", "nan", "half", "inf"])
def test_a_ratio_is_a_share(argument: str) -> None:
    """
    What is no number from 0 to 1 is refused.
    """
    environ = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": argument}
    with pytest.raises(Unusable):
        sampling(environ)


def test_a_parents_decision_holds_where_parents_decide() -> None:
    """
    Whatever the ratio; a sampler that is not based on parents asks the id alone.
    """
    for flag, parent in PARENTS.items():
        for ratio in (0.0, 1.0):
            assert Sampling(ratio).keeps(b"f" * 32, parent) is flag
            assert Sampling(ratio, parent_based=False).keeps(b"f" * 32, parent) is bool(ratio)


def test_a_ratio_is_kept_by_the_id() -> None:
    """
    The lower half of the id decides, so that all who see a trace decide alike.
    """
    quarter = Sampling(0.25)
    assert quarter.keeps(b"f" * 16 + b"3fffffffffffffff", None)
    assert not quarter.keeps(b"0" * 16 + b"4000000000000000", None)
    assert not Sampling(0.0).keeps(b"0" * 32, None)
    assert Sampling(1.0).keeps(b"f" * 32, None)
