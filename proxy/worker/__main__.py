"""
The process that workers are forked from: ``python -m proxy.worker DESCRIPTOR``.

It has imported all that a worker needs, so that one is there within moments, and holds nothing but
that. Each message on the descriptor brings a worker's two sockets; the answer is its process id.
"""

import ctypes
import gc
import os
import resource
import signal
import socket
import sys

import uvloop

from proxy.worker.serve import serve

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def main(descriptor: int) -> None:
    """Fork a worker for each message, until the other end is closed."""
    # Ctrl-C and a supervisor's SIGTERM reach the whole group; when to end is the keeper's to say.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    gc.freeze()
    keeper = socket.socket(fileno=descriptor)
    while True:
        said, descriptors, _, _ = socket.recv_fds(keeper, 1, 2)
        if not said:
            return
        child = os.fork()
        if child == 0:
            keeper.close()
            _work(*(socket.socket(fileno=each) for each in descriptors))
        for each in descriptors:
            os.close(each)
        keeper.send(b"%d" % child)


def _work(pipe: socket.socket, connections: socket.socket) -> None:
    try:
        uvloop.run(serve(pipe, connections))
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
