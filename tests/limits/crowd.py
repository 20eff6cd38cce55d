"""
Clients that connect and stay: ``python -m tests.limits.crowd PORT NUMBER REQUESTS``.

Each has so many requests answered before it falls silent. Says ``ready`` when all are there.
"""

import resource
import sys
import time

from tests.limits.clients import Crowd

_STAYS_SECONDS = 600


def main() -> None:
    port, number, requests = map(int, sys.argv[1:])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Crowd(port, number) as crowd:
        for _ in range(requests):
            assert {answer.status for answer in crowd.ask()} == {200}
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        time.sleep(_STAYS_SECONDS)


if __name__ == "__main__":
    main()
