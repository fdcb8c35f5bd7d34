"""The UDP loop alone, in a process of its own, so that a benchmark can tie it to a core and vary one thing at a time.

Usage: udp_server.py FOLDER PORT [--no-counters] [--full] [--keep N]. Prints "ready", serves until its input closes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from biaojie.net.mmsg import bind_udp
from biaojie.net.responder import Responder
from biaojie.net.udp import UdpServer
from biaojie.resolution.counters import Counters
from biaojie.resolution.index import Index


def main() -> None:
    """Serve `FOLDER/index` on 127.0.0.1:PORT."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--no-counters", action="store_true")
    parser.add_argument("--full", action="store_true", help="every request takes the full path")
    parser.add_argument("--keep", type=int, help="replies kept; 0 = every reply is made from the index")
    options = parser.parse_args()
    index = Index.open(options.folder / "index")
    counters = None if options.no_counters else Counters(process="bench")
    responder = Responder(index, counters, transport="udp", fast=not options.full)
    kept = {} if options.keep is None else {"answers_max": options.keep}
    server = UdpServer(bind_udp("127.0.0.1", options.port, timeout_s=0.2, reuse_port=False), responder, **kept)
    server.start()
    print("ready", flush=True)
    sys.stdin.read()
    server.stop()
    server.join()


if __name__ == "__main__":
    main()
