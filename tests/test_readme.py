"""What the README says is what there is."""

import json
import re
from pathlib import Path

from bench import report, targets
from proxy.errors import KINDS
from proxy.settings import Settings, load, reference
from tests.each import each
from tests.test_completion import write_keys_module

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def between(name: str) -> str:
    """Return what stands between the comments *name* and /*name*."""
    match = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.DOTALL)
    assert match, f"no {name} in the README"
    return match[1]


def block(language: str, beginning: str) -> str:
    """Return the one code block in *language* that begins so."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    (found,) = (each for each in blocks if each.startswith(beginning))
    return str(found)


def errors() -> str:
    """Return the table of error codes as it should be."""
    rows = [f"| `{kind.code}` | {kind.status} | {kind.title} |" for kind in KINDS.values()]
    return "\n".join(["| code | status | what |", "|---|---|---|", *rows, ""])


def cost() -> str:
    """Return what the last whole run of the benchmark came to, as it should be."""
    found = json.loads((ROOT / "bench" / "results" / "latest.json").read_text())
    return f"{report.sentence(found)}\n\n{targets.markdown(report.results_in(found))}"


def test_the_figures_are_those_of_a_run() -> None:
    """
    No figure of the cost is typed by hand.
    """
    assert between("cost") == cost()


def test_the_configuration_table_is_the_model() -> None:
    """
    Every key with its default and its meaning, in the model's words.

    `python -m tests.test_readme` writes the tables anew, and the flags for completion.
    """
    assert between("configuration") == reference.markdown()


def test_the_error_table_is_the_one_of_the_code() -> None:
    """
    Every code with its status.
    """
    assert between("errors") == errors()


def test_a_third_issuer_is_described_in_six_lines(tmp_path: Path) -> None:
    """
    The README's example loads as it is.
    """
    example = block("toml", "upstream.url")
    assert len(example.splitlines()) == 6
    path = tmp_path / "config.toml"
    path.write_text(example)
    loaded = load({}, {"BEARER_PROXY_TOKEN_CLIENT_SECRET": "x" * 20}, path)
    assert loaded.settings.token.client_auth == "basic"
    assert loaded.settings.token.extra == {"audience": "https://api.example.com"}


def test_every_key_that_is_named_exists() -> None:
    """
    No key in the prose is one that was renamed.
    """
    tables = "|".join(Settings.model_fields)
    prose = README.replace(between("configuration"), "")
    named = set(re.findall(rf"`((?:{tables})\.[a-z_]+)`", prose))
    assert named
    assert named <= {row.key for row in reference.rows()}


@each("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_file_that_is_linked_exists(link: str) -> None:
    """
    A link to a file leads somewhere.
    """
    assert (ROOT / link).exists()


def test_every_promise_of_security_has_a_test_that_exists() -> None:
    """
    SECURITY.md names tests; none of them was renamed.
    """
    text = (ROOT / ".github" / "SECURITY.md").read_text()
    named = re.findall(r"`(tests/[a-z_/]+\.py)::(test_\w+)`", text)
    assert len(named) > 12
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


if __name__ == "__main__":
    text = README
    tables = {"configuration": reference.markdown(), "errors": errors(), "cost": cost()}
    for name, table in tables.items():
        old, new = (f"<!-- {name} -->\n{each}<!-- /{name} -->" for each in (between(name), table))
        text = text.replace(old, new)
    (ROOT / "README.md").write_text(text)
    write_keys_module()
