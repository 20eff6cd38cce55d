"""Health over HTTP: three questions under all their names."""

import json
from dataclasses import replace

import pytest

from proxy.admin.vitals import Check
from tests.admin.fakes import Patient, ask

LIVE = ["/livez", "/healthz", "/liveness", "/ping"]
READY = ["/readyz", "/readiness", "/ready"]
STARTED = ["/startupz", "/startup"]
ILL = Check("token", ok=False, text="the issuer answers 429; next try in 23 s")


@pytest.mark.parametrize("path", [*LIVE, *READY, *STARTED])
async def test_a_well_process_says_ok_under_every_name(listener: str, path: str) -> None:
    """
    200 and a word, on both listeners.
    """
    answer = await ask(listener, path)
    assert (answer.status, answer.body) == (200, "ok\n")
    assert answer.fields["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("path", READY)
async def test_without_a_token_it_is_not_ready_and_says_why(
    listener: str, patient: Patient, path: str
) -> None:
    """
    503, and the failing check is named without being asked for.
    """
    patient.token = ILL
    answer = await ask(listener, path)
    assert answer.status == 503
    assert answer.body == (
        "[-]token failed (the issuer answers 429; next try in 23 s)\n"
        "[+]accepting ok\n"
        "readyz check failed\n"
    )


@pytest.mark.parametrize("path", LIVE)
async def test_liveness_does_not_depend_on_readiness(
    listener: str, patient: Patient, path: str
) -> None:
    """
    A proxy without a token, or draining, must not be killed for it.
    """
    patient.token = ILL
    patient.accepting = Check("accepting", ok=False, text="draining")
    patient.first_token = Check("first token", ok=False)
    assert (await ask(listener, path)).status == 200


@pytest.mark.parametrize("path", STARTED)
async def test_it_has_not_started_before_its_first_token(
    listener: str, patient: Patient, path: str
) -> None:
    """
    503 until then, whatever readiness says.
    """
    patient.first_token = Check("first token", ok=False, text="none issued yet")
    answer = await ask(listener, path)
    assert answer.status == 503
    assert "[-]first token failed (none issued yet)" in answer.body


@pytest.mark.parametrize(
    ("path", "name"), [(LIVE[0], "livez"), (READY[1], "readyz"), (STARTED[1], "startupz")]
)
async def test_verbose_lists_every_check(listener: str, path: str, name: str) -> None:
    """
    ?verbose gives a line for each check and one for the whole, as Kubernetes' components do.
    """
    lines = (await ask(listener, f"{path}?verbose")).body.splitlines()
    assert lines[-1] == f"{name} check passed"
    assert len(lines) > 1
    assert all(line.startswith("[+]") for line in lines[:-1])


async def test_json_comes_by_accept(listener: str, patient: Patient) -> None:
    """
    A program that asks for JSON gets verdict and checks as members, and the code that requests get.
    """
    patient.token = replace(ILL, code="issuer_rate_limited")
    answer = await ask(listener, "/readyz", "Accept: application/json")
    assert answer.status == 503
    assert answer.fields["content-type"].startswith("application/json")
    assert json.loads(answer.body) == {
        "status": "failed",
        "checks": [
            {"name": "token", "ok": False, "text": ILL.text, "code": "issuer_rate_limited"},
            {"name": "accepting", "ok": True, "text": ""},
        ],
    }


@pytest.mark.parametrize(
    "accept", ["*/*", "text/html,application/xhtml+xml,*/*;q=0.8", "text/plain"]
)
async def test_everything_else_gets_text(listener: str, accept: str) -> None:
    """
    kube-probe, curl and browsers read lines.
    """
    assert (await ask(listener, "/readyz", f"Accept: {accept}")).body == "ok\n"


async def test_head_is_answered_like_get_without_a_body(listener: str, patient: Patient) -> None:
    """
    Some load balancers ask by HEAD.
    """
    patient.token = ILL
    answer = await ask(listener, "/readyz", method="HEAD")
    assert (answer.status, answer.body) == (503, "")


async def test_an_answer_is_for_now(listener: str) -> None:
    """
    No cache keeps it, no browser guesses at it, no page of another origin embeds it.
    """
    fields = (await ask(listener, "/readyz")).fields
    assert fields["cache-control"] == "no-store"
    assert fields["x-content-type-options"] == "nosniff"
    assert fields["cross-origin-resource-policy"] == "same-origin"
    assert fields["server"] == "bearer-proxy"
