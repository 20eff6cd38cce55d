"""``bearer-proxy exec``: the installed command around real processes."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.demo.threaded import ThreadedDemoAPI
from tests.e2e.process import COMMAND, PATIENCE_SECONDS, clean_environment, command

SECRET = "canary+s3cret/with=marks"
PREFIX = "BEARER_PROXY_"

# What a process finds of its surroundings: all that a wrapper might have left traces in.
SURROUNDINGS = """
import ctypes, json, os, resource, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "arguments": sys.argv[1:],
    "directory": os.getcwd(),
    "umask": status["Umask"],
    "signals": [status[name] for name in ("SigBlk", "SigIgn", "SigPnd", "ShdPnd")],
    "limits": [resource.getrlimit(n) for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)],
    "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
    "descriptors": [n for n in range(64) if os.path.exists(f"/proc/self/fd/{n}")],
    "group": os.getpgrp() == os.getpgid(int(status["PPid"])),
}))
"""
# Says how often each signal came, for as long as it is not told to end.
COUNTING = """
import signal, sys, time
def heard(number, frame):
    print(signal.Signals(number).name, flush=True)
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), heard)
print("ready", flush=True)
sys.stdin.readline()
sys.exit(5)
"""


@pytest.fixture
def api() -> Iterator[ThreadedDemoAPI]:
    """The embedded API, for a client whose secret is marked."""
    with ThreadedDemoAPI(client_secret=SECRET) as api:
        yield api


@pytest.fixture
def environment(api: ThreadedDemoAPI) -> dict[str, str]:
    """What points a proxy at it, the secret in a variable."""
    return api.environment()


def run(
    environment: dict[str, str], *arguments: str, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``exec`` with *arguments* to its end."""
    return command("exec", *arguments, environment=environment, text=text)


def python(program: str, *arguments: str) -> list[str]:
    """Return the command that runs *program*."""
    return [sys.executable, "-c", program, *arguments]


@contextmanager
def counting(
    environment: dict[str, str], *names: str, wrapper: tuple[str, ...] = ()
) -> Iterator["subprocess.Popen[str]"]:
    """Run COUNTING for the signals *names* beside a proxy, from when it is ready."""
    with subprocess.Popen(
        [*wrapper, str(COMMAND), "exec", "--", *python(COUNTING, *names)],
        env=clean_environment(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert said(process) == "ready"
            yield process
        finally:
            process.kill()


def said(process: "subprocess.Popen[str]") -> str:
    """Return the next line of the command."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def wait_until_taken(number: int, pid: int) -> None:
    """Return once *pid* has taken the signal; another of its kind is one with it until then."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status").read_text()
        (pending,) = (int(line[7:], 16) for line in status.splitlines() if line[:7] == "ShdPnd:")
        if not pending >> (number - 1) & 1:
            return
        time.sleep(0.01)
    raise AssertionError(f"{pid} has not taken signal {number}")


def tell_to_end(process: "subprocess.Popen[str]") -> list[str]:
    """Have COUNTING end; return what it still said."""
    out, _ = process.communicate("\n", PATIENCE_SECONDS)
    return out.split()


def children(pid: int) -> list[int]:
    """Return the processes that *pid* has started."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_command_reaches_the_api_and_its_code_is_passed_on(
    environment: dict[str, str], api: ThreadedDemoAPI
) -> None:
    """
    The address is in BEARER_PROXY_URL, standard input and output are the command's own.
    """
    program = (
        "import os, sys, urllib.request as u;"
        "print(sys.stdin.read(), u.urlopen(os.environ['BEARER_PROXY_URL'] + '/status/203').status);"
        "sys.stderr.write('mine'); sys.exit(7)"
    )
    done = run(environment, "--", *python(program), text="typed")
    assert (done.returncode, done.stdout, done.stderr) == (7, "typed 203\n", "mine")
    assert api.stats().issued == 1


def test_nothing_of_ours_is_in_the_commands_environment(environment: dict[str, str]) -> None:
    """
    No variable of the proxy's but the address, under the names asked for; no other variable that
    holds the secret, which is said; all else is there.
    """
    environment |= {
        "MY_SECRET": SECRET,
        "MY_URL": f"https://acme:{SECRET}@example.com",
        "MINE": "untouched",
    }
    done = run(environment, "--env", "API_URL", "--env=OTHER", "--", "env", "-0")
    found = dict(each.split("=", 1) for each in done.stdout.split("\0") if each)
    assert found["API_URL"] == found["OTHER"]
    assert found["API_URL"].startswith("http://127.0.0.1:")
    assert found["MINE"] == "untouched"
    assert not [name for name in found if name.upper().startswith(PREFIX)]
    assert SECRET not in done.stdout + done.stderr
    withheld = [json.loads(line) for line in done.stderr.splitlines()]
    assert [each["variable"] for each in withheld] == ["MY_SECRET", "MY_URL"]


def test_a_credential_of_systemd_is_not_the_commands(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """
    Where the secret is in $CREDENTIALS_DIRECTORY, the command is not told of that.
    """
    del environment[f"{PREFIX}TOKEN_CLIENT_SECRET"]
    (tmp_path / "client_secret").write_text(SECRET)
    environment["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    done = run(environment, "--", "env")
    assert done.returncode == 0
    assert "CREDENTIALS_DIRECTORY" not in done.stdout


def test_the_command_finds_what_it_would_find_without_us(environment: dict[str, str]) -> None:
    """
    Limits, signals, descriptors, group and directory are the starter's; it may dump core.
    """
    program = python(SURROUNDINGS, "a b", "--", "--env", "")
    alone = subprocess.run(program, capture_output=True, text=True, check=True, stdin=-3)
    beside = run(environment, "--", *program)
    assert json.loads(beside.stdout) == json.loads(alone.stdout)
    assert json.loads(beside.stdout)["dumpable"] == 1


def test_at_a_unix_socket(environment: dict[str, str]) -> None:
    """
    The variable is the path of a socket in a directory of this user alone, which goes at the end.
    """
    program = (
        "import os, socket; path = os.environ['BEARER_PROXY_SOCKET'];"
        "s = socket.socket(socket.AF_UNIX); s.connect(path);"
        "s.sendall(b'GET /status/203 HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n');"
        "print(path, oct(os.stat(os.path.dirname(path)).st_mode), s.recv(12).decode())"
    )
    done = run(environment, "--unix-socket", "--", *python(program))
    path, mode, _, status = done.stdout.split()
    assert (mode, status) == ("0o40700", "203")
    assert not Path(path).parent.exists()


def test_a_command_that_a_signal_ends(environment: dict[str, str]) -> None:
    """
    The code is 128 + n, as in a shell.
    """
    assert run(environment, "--", "sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("no-such-command", 127, "no such command"),
        ("/etc/passwd", 126, "it is no executable file"),
    ],
)
def test_a_command_that_cannot_be_run(
    environment: dict[str, str], api: ThreadedDemoAPI, name: str, code: int, sentence: str
) -> None:
    """
    The code is a shell's, and the issuer has not been asked for anything.
    """
    done = run(environment, "--", name)
    assert done.returncode == code
    assert done.stderr == f"bearer-proxy: cannot run {name}: {sentence}\n"
    assert api.stats().issued == 0


def test_a_script_without_an_interpreter_is_the_shells(tmp_path: Path) -> None:
    """
    As execvp(3) has it; one whose interpreter is missing can't be run, and that is said.
    """
    program = python(
        "import os, sys, time; from proxy.cli.child import Child; command = Child(sys.argv[1:]);"
        "command.start(os.environ); os.waitid(os.P_PID, command.pid, os.WEXITED | os.WNOWAIT);"
        "sys.exit(command.exit_code())"
    )
    script = tmp_path / "script"
    script.write_text('echo "$0 $1"\n')
    script.chmod(0o700)
    done = subprocess.run([*program, str(script), "x"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{script} x\n"
    script.write_text("#!/no/such/interpreter\n")
    done = subprocess.run([*program, str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        126,
        f"bearer-proxy: cannot run {script}: no such file or directory\n",
    )


def test_rejected_credentials_are_said_at_once(
    environment: dict[str, str], api: ThreadedDemoAPI, tmp_path: Path
) -> None:
    """
    Code 1 with the reason, long before the time for a first token is over; the command is not run.
    """
    api.fault("reject")
    begun = time.monotonic()
    done = run(environment, "--timeout", "3600", "--", "touch", str(tmp_path / "ran"))
    assert done.returncode == 1
    assert time.monotonic() - begun < PATIENCE_SECONDS
    last = done.stderr.splitlines()[-1]
    assert last.startswith("bearer-proxy: the command was not run. No usable token: the issuer ")
    assert "Check token.client_id and the client secret" in last
    assert SECRET not in done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_token_that_does_not_come_in_time(
    environment: dict[str, str], api: ThreadedDemoAPI, tmp_path: Path
) -> None:
    """
    Code 1 with the reason; an issuer that is away may come back, so it is waited for.
    """
    api.fault("down")
    done = run(environment, "--timeout", "0.5", "--", "touch", str(tmp_path / "ran"))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "the command was not run: no token within 0.5 s. No usable token: the issuer " in last
    assert not (tmp_path / "ran").exists()


def test_a_signal_before_the_first_token_ends_the_wait(
    environment: dict[str, str], api: ThreadedDemoAPI, tmp_path: Path
) -> None:
    """
    As it would have ended the command: 128 + n.
    """
    api.fault("down")
    with subprocess.Popen(
        [str(COMMAND), "exec", "--", "touch", str(tmp_path / "ran")],
        env=clean_environment(environment),
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        assert b"token.refresh_failed" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM
    assert not (tmp_path / "ran").exists()


def test_every_signal_is_passed_on_once_and_the_command_decides(
    environment: dict[str, str],
) -> None:
    """
    One that ignores what would end others goes on, and so does its proxy.
    """
    names = ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGWINCH", "SIGINT"]
    with counting(environment, *names) as process:
        for name in (*names, "SIGTERM"):
            process.send_signal(signal.Signals[name])
            assert said(process) == name
        assert process.poll() is None
        assert tell_to_end(process) == []
        assert process.returncode == 5


def test_ctrl_c_at_a_terminal_comes_once(environment: dict[str, str]) -> None:
    """
    The terminal sends it to the whole group, so it is not passed on; sent to us alone it is.
    """
    terminal = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    with counting(environment, "SIGINT", wrapper=tuple(python(terminal))) as process:
        assert process.stdin is not None
        process.stdin.write("\x03")
        process.stdin.flush()
        assert said(process).endswith("SIGINT")
        (proxy,) = children(process.pid)
        wait_until_taken(signal.SIGINT, proxy)
        os.kill(proxy, signal.SIGINT)
        assert said(process) == "SIGINT"
        assert tell_to_end(process) == []
        assert process.returncode == 5


def test_the_command_does_not_outlive_the_proxy(environment: dict[str, str]) -> None:
    """
    Killed, the proxy takes the command with it, whatever that ignores.
    """
    with counting(environment, "SIGTERM", "SIGINT") as process:
        (child,) = children(process.pid)
        handle = os.pidfd_open(child)
        process.kill()
        assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        # A process' descriptor can be read from once it has ended.
        assert select.select([handle], [], [], PATIENCE_SECONDS)[0]
        os.close(handle)


def test_a_proxy_that_fails_ends_the_command() -> None:
    """
    It is asked by SIGTERM first; what ignores that is killed after a while.
    """
    program = (
        "import os, sys; from proxy.cli import child; child._GRACE_SECONDS = 0.3;"
        "command = child.Child(sys.argv[1:]); command.start(os.environ); sys.stdin.readline();"
        "command.end(); sys.exit(command.exit_code())"
    )
    deaf = "trap 'echo SIGTERM' TERM; echo ready; while true; do sleep 0.05; done"
    with subprocess.Popen(
        python(program, "sh", "-c", deaf),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert said(process) == "ready"
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert said(process) == "SIGTERM"
        assert process.wait(PATIENCE_SECONDS) == 128 + signal.SIGKILL


def test_what_is_in_flight_when_the_command_ends_is_finished(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """
    What the command left in the background gets its answer, then the proxy is gone.
    """
    done, begun = tmp_path / "done", tmp_path / "begun"
    program = (
        "import os, sys, http.client as h;"
        "c = h.HTTPConnection(os.environ['BEARER_PROXY_URL'][7:]);"
        "c.request('GET', '/slow?seconds=0.5'); open(sys.argv[1], 'w').close();"
        "open(sys.argv[2], 'w').write(str(c.getresponse().status))"
    )
    background = python(program, str(begun), str(done))
    script = '"$@" & until [ -e "$0" ]; do sleep 0.02; done; exit 3'
    ended = run(environment, "--", "sh", "-c", script, str(begun), *background)
    assert ended.returncode == 3
    for _ in range(100):
        if done.exists() and done.read_text():
            break
        time.sleep(0.02)
    assert done.read_text() == "200"


def test_an_invalid_configuration_runs_nothing(tmp_path: Path) -> None:
    """
    Code 78, the report, and no process is left behind.
    """
    done = run({}, "--", "touch", str(tmp_path / "ran"))
    assert done.returncode == 78
    assert "token.client_id" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_the_log_goes_to_standard_error_and_tells_more_if_asked(
    environment: dict[str, str],
) -> None:
    """
    --log-level and --log-access, as everywhere; standard output is the command's.
    """
    flags = ("--log-level", "info", "--log-access", "all")
    program = "import os, urllib.request as u; u.urlopen(os.environ['BEARER_PROXY_URL'] + '/echo')"
    done = run(environment, *flags, "--", *python(program))
    assert (done.returncode, done.stdout) == (0, "")
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert {"proxy.ready", "request.completed", "drain.finished"} <= set(events)
