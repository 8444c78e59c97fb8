"""Starts the seed document's service: ``python -m benchmarks.peers.serve_seed PORT [--blocking]``.

It is ``uvicorn --workers 2 --no-access-log``, but for its socket: uvicorn's own, with several workers, does
without TCP_NODELAY, and a lone caller on a kept connection then waits 40 ms for the body of every answer.
"""

import argparse
import os
import socket

import uvicorn
from uvicorn.supervisors import Multiprocess

WORKERS = 2


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description="The seed document's service.")
    parser.add_argument("port", type=int)
    parser.add_argument("--blocking", action="store_true", help="no threads: sessions block the event loop")
    options = parser.parse_args()
    os.environ["PEER_BLOCKING"] = str(int(options.blocking))
    config = uvicorn.Config("benchmarks.peers.seed:app", workers=WORKERS, access_log=False)
    with socket.create_server(("127.0.0.1", options.port), backlog=config.backlog) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
        Multiprocess(config, sockets=[listener]).run()


if __name__ == "__main__":
    main()
