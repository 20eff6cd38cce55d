"""Several processes of the same client share one file, and the issuer notices one of them."""

import asyncio
import sys
from pathlib import Path

from tests.keeping.issuer import ScriptedIssuer

PROCESSES = 10
# Says what it got, waits to be told that it may go, and leaves as a process does that was stopped.
PROGRAM = """
import asyncio, sys
from pathlib import Path
from proxy.tokens import IssuerConfig, Tokens

class Secret:
    def read(self) -> str:
        return "s3cret"

async def main() -> None:
    url, path = sys.argv[1:]
    config = IssuerConfig(url=url, client_id="acme")
    tokens = Tokens(config, Secret(), cache_file=Path(path))
    await asyncio.to_thread(sys.stdin.readline)
    await tokens.start()
    while (credential := tokens.cache.current()) is None:
        changed = asyncio.Event()
        cancel = tokens.cache.on_change(changed.set)
        await changed.wait()
        cancel()
    sys.stderr.write(credential.token)
    await tokens.stop()

asyncio.run(main())
"""


async def test_ten_processes_with_one_cache_file_issue_once(
    issuer: ScriptedIssuer, tmp_path: Path
) -> None:
    """
    Started at the same moment, one of them asks and the rest reuse what it was given.
    """
    issuer.takes = 0.2
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, issuer.url, str(tmp_path / "token")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(PROCESSES)
    ]
    results = await asyncio.gather(*(each.communicate(b"go\n") for each in processes))
    assert [each.returncode for each in processes] == [0] * PROCESSES
    assert [stderr for _, stderr in results] == [b"token-1"] * PROCESSES
    adopted = sum(b"token.adopted" in stdout for stdout, _ in results)
    assert adopted == PROCESSES - 1
    assert len(issuer.calls) == 1
