"""No value that may be a secret is in anything said, however malformed the place it stands in."""

import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.settings import SettingsError, load, show
from tests.each import each

CANARY = "canary-8c1f"
ID = {"BEARER_PROXY_TOKEN_CLIENT_ID": "acme"}
VARIABLE = "BEARER_PROXY_TOKEN_CLIENT_SECRET"


def everything_said(environ: Mapping[str, str], file: Path | None) -> str:
    """Return the report with its traceback and causes, and what ``config show`` prints."""
    try:
        loaded = load({}, environ, file)
    except SettingsError as error:
        chain = "".join(traceback.format_exception(error))
        shown = show.table(error.rows) + show.as_json(error.rows)
        return f"{error!r} {error} {error.problems!r} {chain} {shown}"
    shown = show.table(show.rows(loaded)) + show.as_json(show.rows(loaded))
    return f"{loaded!r} {loaded.settings!r} {loaded.settings} {shown} {loaded.warnings}"


@pytest.mark.parametrize(
    "text",
    [
        f'[token]\nclient_secret = "{CANARY}"',
        f'[token]\nclient_secret = ["{CANARY}"]',
        f'[token]\nclient_secret = {{ value = "{CANARY}" }}',
        f'[token.client_secret]\nvalue = "{CANARY}"',
        f'[token]\nclient_secert = "{CANARY}"',
        f'[tokn]\nclient_secret = "{CANARY}"',
        f'client_secret = "{CANARY}"',
        f'token = "{CANARY}"',
        f"[token]\nclient_secret = {CANARY}",
        f'[token]\nclient_secret = "{CANARY}',
        f'[token]\nclient_secret = "{CANARY}"\nclient_secret = "{CANARY}"',
        f'[token]\nclient_secret = "{CANARY}"\ntimeout_seconds = "x"\nwait_seconds = -1',
        f'[token]\nclient_secret_file = "{CANARY}"',
        f'[token]\nclient_secret_file = ["{CANARY}"]',
        f'[token]\nextra = {{ key = "{CANARY}" }}',
        f'[token]\nextra = {{ key = ["{CANARY}"] }}',
        f'[token]\nextra = {{ client_secret = "{CANARY}" }}',
        f'[token]\nextra = "{CANARY}"',
        f'[token]\nheaders = {{ X-Key = "{CANARY}\\n" }}',
        f'[token]\nheaders = {{ X-Key = {{ a = "{CANARY}" }} }}',
        f'[token]\nurl = "https://user:{CANARY}@example.com"',
        f'[upstream]\nurl = "https://example.com/?key={CANARY}"',
    ],
)
def test_a_file_with_a_secret_in_any_shape_keeps_it(tmp_path: Path, text: str) -> None:
    """
    A wrong type, table, name or syntax is reported by place and kind, not by content.
    """
    file = tmp_path / "config.toml"
    file.write_text(text)
    assert CANARY not in everything_said(ID, file)
    assert CANARY not in everything_said({**ID, VARIABLE: "other"}, file)


@each(
    "environ",
    [
        {VARIABLE: CANARY},
        {VARIABLE: f" {CANARY}"},
        {VARIABLE: f"{CANARY}\udcff"},
        {VARIABLE: CANARY, "BEARER_PROXY_LOG_LEVEL": "nonsense"},
        {VARIABLE: CANARY, "BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE": "/nowhere"},
        {"BEARER_PROXY_TOKEN_CLIENT_SECRT": CANARY},
        {"BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE": CANARY},
        {"BEARER_PROXY_TOKEN_EXTRA": CANARY, VARIABLE: "x"},
        {"BEARER_PROXY_TOKEN_EXTRA": f'{{"key": "{CANARY}"}}', VARIABLE: "x"},
        {"BEARER_PROXY_TOKEN_HEADERS": f'{{"Bad Name": "{CANARY}"}}', VARIABLE: "x"},
    ],
)
def test_variables_with_a_secret_keep_it(environ: Mapping[str, str]) -> None:
    """
    The same for the environment, the misspelt variable included.
    """
    assert CANARY not in everything_said({**ID, **environ}, None)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.text(max_size=6), after=st.text(max_size=6))
def test_a_mangled_file_keeps_the_secret(tmp_path: Path, before: str, after: str) -> None:
    """
    Whatever stands around the value: TOML's own complaints do not carry it out.
    """
    file = tmp_path / "config.toml"
    file.write_text(f"[token]\nclient_secret = {before}{CANARY}{after}\n", "utf-8", "replace")
    said = everything_said(ID, file)
    assert CANARY not in said


def test_config_show_says_where_the_secret_is_and_how_long() -> None:
    """
    A source and a length, and of maps that may hold keys their names.
    """
    environ = {**ID, VARIABLE: CANARY, "BEARER_PROXY_TOKEN_HEADERS": '{"X-Key": "v4lue"}'}
    table = show.table(show.rows(load({}, environ)))
    assert f"(variable {VARIABLE}, {len(CANARY)} bytes)" in table
    assert "X-Key=(hidden)" in table
    assert "v4lue" not in table
