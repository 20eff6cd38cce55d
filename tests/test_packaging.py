"""What is shipped: the image's promises as its Dockerfile gives them, and the wheel's content."""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.settings.load import load
from tests.each import each

ROOT = Path(__file__).parent.parent


class Dockerfile:
    """The instructions of the project's Dockerfile, continuation lines joined."""

    def __init__(self) -> None:
        lines = (ROOT / "Dockerfile").read_text().splitlines()
        joined = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
        pairs = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
        self.instructions = [(name, re.sub(" +", " ", rest)) for name, rest in pairs]
        self.stages = [at for at, (name, _) in enumerate(self.instructions) if name == "FROM"]

    def all(self, name: str) -> list[str]:
        """Return the arguments of every *name* in the file."""
        return [rest for each, rest in self.instructions if each == name]

    def final(self, name: str) -> str:
        """Return the argument of the one *name* in the stage that is shipped."""
        (only,) = [rest for each, rest in self.instructions[self.stages[-1] :] if each == name]
        return only

    def environment(self) -> dict[str, str]:
        """Return the variables that the image sets."""
        return dict(pair.split("=", maxsplit=1) for pair in self.final("ENV").split())


@pytest.fixture(scope="module")
def dockerfile() -> Dockerfile:
    return Dockerfile()


def test_the_base_is_a_build_argument_for_every_stage(dockerfile: Dockerfile) -> None:
    """
    One argument changes the base of the whole image; its default is a tag, which gets updates.
    """
    assert dockerfile.all("ARG") == ["BASE=python:3.13-slim"]
    assert [rest.split()[0] for rest in dockerfile.all("FROM")] == ["${BASE}", "${BASE}"]


def test_the_user_is_a_number_and_not_root(dockerfile: Dockerfile) -> None:
    """
    Kubernetes' runAsNonRoot can only judge a number; a name stops the pod.
    """
    user, _, group = dockerfile.final("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_command_is_process_1_and_stops_on_sigterm(dockerfile: Dockerfile) -> None:
    """
    No shell stands between the engine's signal and the proxy.
    """
    assert json.loads(dockerfile.final("ENTRYPOINT")) == ["bearer-proxy"]
    assert json.loads(dockerfile.final("CMD")) == ["run"]
    assert dockerfile.final("STOPSIGNAL") == "SIGTERM"


def test_health_is_asked_of_the_proxy_itself(dockerfile: Dockerfile) -> None:
    """
    The health check needs nothing but the command: the image has no curl.
    """
    command = dockerfile.final("HEALTHCHECK").partition("CMD ")[2]
    assert json.loads(command) == ["bearer-proxy", "health"]


def test_the_image_can_be_published_but_keeps_admin_to_itself(dockerfile: Dockerfile) -> None:
    """
    The data listener binds every address of the container, on the port exposed; admin none.
    """
    settings = load(
        {},
        {
            **dockerfile.environment(),
            "BEARER_PROXY_TOKEN_CLIENT_ID": "someone",
            "BEARER_PROXY_TOKEN_CLIENT_SECRET": "something",
        },
    ).settings
    assert [str(address) for address in settings.listen.address] == [
        f"0.0.0.0:{dockerfile.final('EXPOSE')}"
    ]
    assert str(settings.admin.address).startswith("127.0.0.1:")


def test_a_start_writes_no_file(dockerfile: Dockerfile) -> None:
    """
    Byte code is made when the image is, so a read-only root loses nothing.
    """
    assert dockerfile.environment()["PYTHONDONTWRITEBYTECODE"] == "1"
    assert any("compileall" in run and "/opt/bearer-proxy" in run for run in dockerfile.all("RUN"))


def test_every_package_is_pinned_by_hash_or_our_own(dockerfile: Dockerfile) -> None:
    """
    No installation in the build can fetch what the lock files do not name.
    """
    steps = [step for run in dockerfile.all("RUN") for step in run.split("&&")]
    installs = [step for step in steps if re.search(r"\bpip\b.* (install|wheel) ", step)]
    assert len(installs) >= 2
    assert [
        step for step in installs if "--require-hashes" not in step and "--no-index" not in step
    ] == []


@each(
    "path",
    ["Dockerfile", "Makefile", "pyproject.toml", "deploy/build-image.sh", ".ci/run"]
    + [f"requirements/{name}.txt" for name in ("build", "cache", "dev", "otel", "runtime")],
)
def test_no_index_is_written_down(path: str) -> None:
    """
    Packages come from where the builder's pip looks, a company's mirror included.
    """
    text = (ROOT / path).read_text()
    assert re.findall(r"https?://\S+|--(?:extra-)?index-url|--find-links|PIP_\w*URL", text) == []


def test_the_build_context_has_what_the_build_copies(dockerfile: Dockerfile) -> None:
    """
    .dockerignore starts by excluding everything, so each COPY needs its exception.
    """
    ignore = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in "#"
    ]
    copies = [rest.split()[:-1] for rest in dockerfile.all("COPY") if "--from=" not in rest]
    sources = {source for words in copies for source in words}
    assert ignore[0] == "*"
    assert {line[1:] for line in ignore if line.startswith("!")} == sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(directory)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=50,
    )
    (path,) = directory.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_the_wheel_has_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    """
    Pages, examples and the typing marker are shipped with the code, and nothing beside it.
    """
    names = set(wheel.namelist())
    on_disk = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "proxy").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "proxy/py.typed" in names
    assert {name for name in names if ".dist-info/" not in name} == on_disk


def test_the_wheel_installs_the_command(wheel: zipfile.ZipFile) -> None:
    """
    Installing it puts `bearer-proxy` on the path.
    """
    (path,) = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    assert wheel.read(path).decode().splitlines() == [
        "[console_scripts]",
        "bearer-proxy = proxy.__main__:main",
    ]
