"""
The command line.

Rule 1: a command is a module with ``main(arguments) -> int``, named in ``commands`` and imported
        when it is asked for. So what one command needs slows no other down; a health check is
        started every few seconds, and imports next to nothing.

Rule 2: no flag carries a secret. Every user of a machine may read its command lines.

Rule 3: no traceback for anything that the person at the keyboard can put right.
"""

import sys

from proxy.cli import commands, streams
from proxy.cli.arguments import UsageError

FAILURE, USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: list[str]) -> int:
    """
    Run the command that *arguments* name; return the exit code.

    0: done, or stopped as asked. 1: failure. 2: wrong usage. 78: invalid configuration
    (``EX_CONFIG`` of sysexits.h). 130: interrupted before there was anything to stop cleanly.
    """
    streams.prepare()
    try:
        code = commands.run(arguments)
        streams.write("")
    except UsageError as error:
        sys.stderr.write(f"bearer-proxy: {error}\nTry 'bearer-proxy --help'.\n")
        return USAGE
    except BrokenPipeError:
        # The reader has seen enough (`| head`): no reason to complain.
        streams.silence()
        return FAILURE
    except streams.OutputError as error:
        streams.silence()
        sys.stderr.write(f"bearer-proxy: {error}\n")
        return FAILURE
    except KeyboardInterrupt:
        return INTERRUPTED
    return code
