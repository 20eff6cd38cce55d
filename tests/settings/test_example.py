"""`config.example.toml` and the tables made from the model say what the model says."""

import json
import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

from proxy.settings import load, reference
from proxy.settings.names import KEYS

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
REQUIRED = {
    "BEARER_PROXY_TOKEN_CLIENT_ID": "acme",
    "BEARER_PROXY_TOKEN_CLIENT_SECRET": "s3cret",
}
_COMMENTED_KEY = re.compile(r"^#(?=[a-z_]+ = )", re.MULTILINE)


def uncommented() -> dict[str, dict[str, Any]]:
    return tomllib.loads(_COMMENTED_KEY.sub("", EXAMPLE.read_text("utf-8")))


def test_the_example_shows_every_key_in_its_table() -> None:
    """
    Neither a key of the model nor one that the model does not know is missing from the comparison.
    """
    shown = {f"{table}.{key}" for table, keys in uncommented().items() for key in keys}
    assert shown == set(KEYS)


def test_what_the_example_shows_as_default_is_the_default() -> None:
    """
    A commented key can be uncommented without changing anything, where it has a default at all.
    """
    shown = uncommented()
    for path, default in reference.defaults().items():
        table, _, name = path.partition(".")
        if default is not None:
            assert reference.toml(shown[table][name]) == reference.toml(default), path


def test_the_example_is_a_configuration() -> None:
    """
    Given the two things that are required, the file loads as it is and changes nothing.
    """
    with_file, without = load({}, REQUIRED, EXAMPLE), load({}, REQUIRED)
    assert with_file.settings == without.settings


def test_every_key_of_the_example_has_its_reason_above() -> None:
    """
    The first key under each heading or blank line follows prose.
    """
    lines = EXAMPLE.read_text("utf-8").splitlines()
    for before, line in pairwise(lines):
        if _COMMENTED_KEY.match(line):
            assert before.startswith("#"), line


def test_the_schema_knows_every_key_and_requires_none() -> None:
    """
    An editor offers each key with its default; what is required may come from the environment.
    """
    schema = json.loads(reference.schema())
    for path, default in reference.defaults().items():
        table, _, name = path.partition(".")
        definition = schema["$defs"][schema["properties"][table]["$ref"].rpartition("/")[2]]
        assert definition["additionalProperties"] is False
        assert "required" not in definition
        if default is not None:
            assert definition["properties"][name]["default"] == default, path
    assert "required" not in schema


def test_the_markdown_table_has_a_row_of_three_cells_for_every_key() -> None:
    """
    The README's table is this text; a bar within a description would end its cell.
    """
    lines = reference.markdown().splitlines()
    assert len(lines) == 2 + len(KEYS)
    for line, path in zip(lines[2:], KEYS, strict=True):
        assert line.startswith(f"| `{path}` | ")
        assert len(re.findall(r"(?<!\\)\|", line)) == 4
