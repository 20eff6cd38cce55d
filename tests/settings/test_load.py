"""What a configuration means: who outranks whom, what is refused, and how that is said."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from proxy.settings import Loaded, SecretKind, SettingsError, load
from proxy.settings.values import cores

ID = {"BEARER_PROXY_TOKEN_CLIENT_ID": "acme"}
REQUIRED = {**ID, "BEARER_PROXY_TOKEN_CLIENT_SECRET": "s3cret"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def refusal(
    environ: Mapping[str, str],
    file: Path | None = None,
    flags: Mapping[str, str] | None = None,
) -> str:
    """Return the report, its line breaks undone."""
    with pytest.raises(SettingsError) as caught:
        load(flags or {}, environ, file)
    return " ".join(str(caught.value).split())


def level(loaded: Loaded) -> tuple[str, str]:
    return loaded.settings.log.level, str(loaded.provenance["log.level"])


@pytest.mark.parametrize(
    ("flag", "variable", "in_file", "expected"),
    [
        pytest.param("debug", "error", None, ("debug", "flag --log-level"), id="flag > env"),
        pytest.param("debug", None, "error", ("debug", "flag --log-level"), id="flag > file"),
        pytest.param("debug", None, None, ("debug", "flag --log-level"), id="flag > default"),
        pytest.param(None, "debug", "error", ("debug", "env"), id="env > file"),
        pytest.param(None, "debug", None, ("debug", "env"), id="env > default"),
        pytest.param(None, None, "debug", ("debug", "file"), id="file > default"),
        pytest.param(None, None, None, ("info", "default"), id="default"),
    ],
)
def test_a_higher_layer_outranks_a_lower_one(
    config: Path,
    flag: str | None,
    variable: str | None,
    in_file: str | None,
    expected: tuple[str, str],
) -> None:
    """
    Flag > environment > file > default, and the provenance names the one that won.
    """
    config.write_text(f'[log]\nlevel = "{in_file}"\n' if in_file else "")
    environ = {**REQUIRED, **({"BEARER_PROXY_LOG_LEVEL": variable} if variable else {})}
    value, origin = level(load({"log.level": flag} if flag else {}, environ, config))
    assert value == expected[0]
    assert origin.startswith(expected[1])


def test_layers_are_ranked_key_by_key(config: Path) -> None:
    """
    A variable for one key of a table leaves the file's other keys in force.
    """
    config.write_text('[log]\nlevel = "error"\naccess = "off"\n')
    log = load({}, {**REQUIRED, "BEARER_PROXY_LOG_LEVEL": "debug"}, config).settings.log
    assert (log.level, log.access) == ("debug", "off")


def test_the_file_named_by_flag_outranks_the_variables(config: Path, tmp_path: Path) -> None:
    """
    --config wins over $BEARER_PROXY_CONFIG, which alone is enough.
    """
    config.write_text('[log]\nlevel = "error"\n')
    other = tmp_path / "other.toml"
    other.write_text('[log]\nlevel = "debug"\n')
    environ = {**REQUIRED, "BEARER_PROXY_CONFIG": str(other)}
    assert load({}, environ, config).settings.log.level == "error"
    assert load({}, environ).settings.log.level == "debug"


def test_every_problem_is_said_at_once_with_its_place(config: Path) -> None:
    """
    One run shows all there is to mend, with file and line, key and what would be right.
    """
    config.write_text('[upstream]\nur = "x"\n\n[listen]\naddress = "127.0.0.1:99999"\n')
    said = refusal({"BEARER_PROXY_LOG_LEVEL": "inf"}, config)
    assert f"{config} has 5 problems" in said
    assert f'{config}:2 upstream.ur unknown key; did you mean "url"?' in said
    assert f"{config}:5 listen.address port 99999 is above 65535" in said
    assert "BEARER_PROXY_LOG_LEVEL log.level 'inf' is none of" in said
    assert "(not set) token.client_id required" in said
    assert "(not set) token.client_secret required" in said


def test_a_misspelt_variable_is_an_error_with_a_suggestion() -> None:
    """
    A variable of ours that means nothing is refused, or its default would hold in silence.
    """
    said = refusal({**REQUIRED, "BEARER_PROXY_LISTEN_ADRESS": "127.0.0.1:1"})
    assert "unknown variable; did you mean BEARER_PROXY_LISTEN_ADDRESS?" in said


def test_variables_of_a_kubernetes_service_of_our_name_are_nobodys_mistake() -> None:
    """
    A Service called bearer-proxy gives every pod variables with our prefix.
    """
    load({}, {**REQUIRED, "BEARER_PROXY_PORT_8080_TCP_ADDR": "10.0.0.1"})


def test_the_address_that_exec_gives_its_command_is_no_key() -> None:
    """
    A proxy may be started by another one's command. With any other value it is a mistake.
    """
    load({}, {**REQUIRED, "BEARER_PROXY_URL": "http://127.0.0.1:43210"})
    load({}, {**REQUIRED, "BEARER_PROXY_SOCKET": "/run/bearer-proxy-1/proxy.sock"})
    for name, text in (("URL", "https://api.example.com"), ("SOCKET", "/run/other")):
        with pytest.raises(SettingsError, match="unknown variable"):
            load({}, {**REQUIRED, f"BEARER_PROXY_{name}": text})


@pytest.mark.parametrize("key", ["upstream.url", "token.url"])
def test_plain_http_beyond_the_loopback_is_refused(key: str) -> None:
    """
    A token or a secret in clear on a network is refused at start; on the loopback it is allowed.
    """
    assert "plain http goes to the loopback only" in refusal(
        REQUIRED, flags={key: "http://api.example.com/v1"}
    )
    load({key: "http://127.0.0.1:9/v1"}, REQUIRED)


# The secret.


@pytest.mark.parametrize(
    ("content", "secret"),
    [("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), ("s3cret\n\n", "s3cret\n"), ("s3", "s3")],
)
def test_one_trailing_newline_of_a_secret_file_goes(
    tmp_path: Path, content: str, secret: str
) -> None:
    """
    What an editor adds is not part of the secret; whatever else is there is.
    """
    file = tmp_path / "secret"
    file.write_bytes(content.encode())
    loaded = load({}, {**ID, "BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE": str(file)})
    assert loaded.secret.read() == secret
    assert loaded.secret.kind is SecretKind.FILE


def test_a_secret_file_is_read_again_each_time(tmp_path: Path) -> None:
    """
    A rotated secret needs no restart.
    """
    file = tmp_path / "secret"
    file.write_text("old")
    loaded = load({}, {**ID, "BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE": str(file)})
    file.write_text("new")
    assert loaded.secret.read() == "new"


def test_systemds_credential_is_found_unless_a_key_says_otherwise(tmp_path: Path) -> None:
    """
    $CREDENTIALS_DIRECTORY/client_secret is the last resort, and has its own origin.
    """
    (tmp_path / "client_secret").write_text("from systemd\n")
    directory = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    loaded = load({}, {**ID, **directory})
    assert loaded.secret.read() == "from systemd"
    assert str(loaded.provenance["token.client_secret_file"]).startswith("credential")
    assert load({}, {**REQUIRED, **directory}).secret.read() == "s3cret"


def test_a_secret_and_a_file_of_it_contradict_each_other(tmp_path: Path) -> None:
    """
    Neither silently outranks the other.
    """
    both = {**REQUIRED, "BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE": str(tmp_path / "secret")}
    assert "contradicts token.client_secret_file" in refusal(both)


def test_white_space_around_a_secret_stays_and_is_warned_of() -> None:
    """
    It may be part of the secret, and usually is not.
    """
    loaded = load({}, {**ID, "BEARER_PROXY_TOKEN_CLIENT_SECRET": " s3cret"})
    assert loaded.secret.read() == " s3cret"
    assert any("white space" in warning for warning in loaded.warnings)


def test_a_secret_that_cannot_be_read_says_which_file(tmp_path: Path) -> None:
    """
    A missing file, an empty one and something that is no file each get a sentence.
    """
    empty = tmp_path / "empty"
    empty.touch()
    for path, why in ((tmp_path / "none", "no such file"), (empty, "is empty"), (tmp_path, "")):
        said = refusal({**ID, "BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE": str(path)})
        assert str(path) in said
        assert why in said


def _readable_files(tmp_path: Path, mode: int) -> tuple[dict[str, str], Path, Path]:
    """Return variables that name a secret file, that file, and a configuration with a secret."""
    secret, config = tmp_path / "secret", tmp_path / "config.toml"
    secret.write_text("s3cret")
    config.write_text('[token]\nextra = {key = "value"}\n')
    for path in (secret, config):
        path.chmod(mode)
    return {**ID, "BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE": str(secret)}, secret, config


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_files_that_others_can_read_are_warned_of(tmp_path: Path, mode: int) -> None:
    """
    A secret file, and a configuration with something in it that may be secret.
    """
    environ, secret, config = _readable_files(tmp_path, mode)
    warnings = load({}, environ, config).warnings
    assert len(warnings) == 2
    assert str(secret) in warnings[0]
    assert str(config) in warnings[1]
    assert all(f"mode {mode:04o}" in each and "chmod 600" in each for each in warnings)


def test_files_that_others_can_read_are_refused_if_so_wished(tmp_path: Path) -> None:
    """
    token.strict_permissions makes problems of the warnings, one for each file.
    """
    environ, secret, config = _readable_files(tmp_path, 0o644)
    environ["BEARER_PROXY_TOKEN_STRICT_PERMISSIONS"] = "true"
    said = refusal(environ, config)
    assert "2 problems" in said
    assert said.count("token.strict_permissions") == 2
    assert f"secret file {secret} can be read by others" in said
    assert f"configuration file {config} can be read by others" in said


def test_files_of_the_owner_alone_are_no_matter(tmp_path: Path) -> None:
    """
    Mode 0600 is neither warned of nor refused; nor is an open file with nothing secret in it.
    """
    environ, _, config = _readable_files(tmp_path, 0o600)
    environ["BEARER_PROXY_TOKEN_STRICT_PERMISSIONS"] = "true"
    assert load({}, environ, config).warnings == ()
    config.write_text('[log]\nlevel = "debug"\n')
    config.chmod(0o644)
    assert load({}, environ, config).warnings == ()


def test_a_volume_of_kubernetes_is_not_warned_of(tmp_path: Path) -> None:
    """
    A Secret's modes are for the containers that mount it; a link of another kind hides nothing.
    """
    moment = tmp_path / "..2026_11_24_12_00_00.1"
    moment.mkdir()
    (moment / "client_secret").write_text("s3cret")
    (moment / "client_secret").chmod(0o644)
    (tmp_path / "..data").symlink_to(moment.name)
    for link, warnings in (("..data", 0), (moment.name, 1)):
        path = tmp_path / f"through{link}"
        path.symlink_to(f"{link}/client_secret")
        environ = {**ID, "BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE": str(path)}
        assert len(load({}, environ).warnings) == warnings


def test_loading_again_reads_the_file_of_that_moment(config: Path) -> None:
    """
    Under the flags and variables of the first time, though the process has forgotten them since.
    """
    config.write_text('[log]\nlevel = "debug"\n')
    environ = {**REQUIRED, "BEARER_PROXY_CONFIG": str(config)}
    loaded = load({"log.access": "errors"}, environ)
    environ.clear()
    config.write_text('[log]\nlevel = "error"\n')
    again = loaded.again().again()
    assert level(again) == ("error", f"file {config}:2")
    assert again.settings.log.access == "errors"
    assert again.secret.read() == "s3cret"
    assert "s3cret" not in repr(again)
    config.write_text("level = 1\n")
    with pytest.raises(SettingsError):
        again.again()


def test_a_pipe_is_not_loaded_again(config: Path) -> None:
    """
    What was in it is gone; to wait for more, or to take nothing for the configuration, is worse.
    """
    config.write_text('[deny]\npaths = ["/private"]\n')
    loaded = load({}, REQUIRED, config)
    config.unlink()
    os.mkfifo(config)
    with pytest.raises(SettingsError, match="is not a regular file, and cannot be read again"):
        loaded.again()


@pytest.mark.parametrize("flags", [{}, {"process.workers": "auto"}], ids=["variable", "flag"])
def test_auto_is_as_many_workers_as_there_are_cores(flags: dict[str, str]) -> None:
    """
    Said by flag or variable; any other word is none.
    """
    environ = {**REQUIRED, "BEARER_PROXY_PROCESS_WORKERS": "auto"}
    assert load(flags, environ).settings.process.workers == cores()
    environ["BEARER_PROXY_PROCESS_WORKERS"] = "all"
    assert "process.workers must be a whole number, not 'all'" in refusal(environ)


@pytest.mark.parametrize("content", ['workers = "auto"', f"workers = {cores()}"])
def test_auto_in_the_file_is_that_number(config: Path, content: str) -> None:
    """
    A file may say either.
    """
    config.write_text(f"[process]\n{content}\n")
    assert load({}, REQUIRED, config).settings.process.workers == cores()


def test_a_container_has_the_cores_that_it_is_allowed() -> None:
    """
    A quota of half a core makes one worker, however many cores the machine has.
    """
    here = len(os.sched_getaffinity(0))
    assert cores("max 100000\n") == here
    assert cores("50000 100000\n") == 1
    assert cores("150000 100000\n") == min(2, here)
    assert cores("6400000 100000\n") == here
    assert cores("nonsense") == here
