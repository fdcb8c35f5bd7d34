"""The resolver of a node: follows its publication and answers over UDP, TCP and HTTP. No Django, no database.

Threads: one UDP loop per address; the follower, the only writer of the index; the event loop with TCP and HTTP (main thread).
More UDP workers (`udp_workers`) are processes of this module with `--udp-worker N` that share the ports (SO_REUSEPORT)
and only read the index. Counters go to `spool/` each minute and at the end; what was counted since the last minute is
lost with SIGKILL, nothing with SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import structlog

from biaojie.base import clock
from biaojie.base.errors import SettingError
from biaojie.base.settings import Settings, load, split_address
from biaojie.net.http import Health, HttpApp
from biaojie.net.http_server import HttpServer
from biaojie.net.metrics import Metric, render
from biaojie.net.mmsg import bind_udp
from biaojie.net.policy import UDP_LOOK_UP_MS
from biaojie.net.ratelimit import RateLimiter
from biaojie.net.responder import Responder
from biaojie.net.tcp import TcpServer, bind_tcp
from biaojie.net.udp import UdpServer
from biaojie.processes import log_lines
from biaojie.processes.lifeline import leave, tie_to_parent
from biaojie.resolution.counters import Counters
from biaojie.resolution.errors import ResolutionError
from biaojie.resolution.follower import WAITING, Follower, FollowReport
from biaojie.resolution.index import Index

log = structlog.get_logger(__name__)

FOLDER_POLL_S: Final = 0.05
URL_POLL_S: Final = 1.0
FLUSH_S: Final = 60.0
FLUSH_PAUSE_S: Final = 1.0
_LOOK_UP_S: Final = UDP_LOOK_UP_MS.value / 1000
_WORKER_PAUSE_S: Final = 1.0


class Following(threading.Thread):
    """Polls the publication until told to stop; `report` is the last word, `problem` why there is no newer one ("" if none)."""

    def __init__(self, source: str, index: Index) -> None:
        super().__init__(name="follower", daemon=True)
        self.report: FollowReport | None = None
        self.problem = ""
        self._follower = Follower(source, index)
        self._pause_s = URL_POLL_S if "://" in source else FOLDER_POLL_S
        self._ending = threading.Event()

    def run(self) -> None:
        """Poll, say what is remarkable once, pause."""
        said = ""
        while not self._ending.is_set():
            try:
                report = self._follower.poll()
            except Exception as error:
                # Whatever it was (a full disk under LMDB, say): a thread that ended here would leave the node answering
                # from an ageing index and calling itself healthy. The next poll tries again.
                word = str(error) or type(error).__name__
                self.problem = word
                if word != said:
                    expected = isinstance(error, (ResolutionError, OSError))
                    log.error("publication.unusable", problem=word, exc_info=not expected)
                    said = word
                self._ending.wait(1.0)
                continue
            self.problem = ""
            self.report = report
            word = str(report.problem or report.healed or "")
            if word and word != said:
                log.warning("publication.problem", how=report.how, serial=report.serial, problem=word)
            elif report.entries:
                log.debug("publication.applied", how=report.how, serial=report.serial, entries=report.entries)
            said = word
            self._ending.wait(self._pause_s)
        self._follower.close()

    @property
    def tally(self) -> dict[str, int]:
        """What was met so far."""
        return self._follower.tally

    def stop(self) -> None:
        """End after the poll at hand and wait for it."""
        self._ending.set()
        if self.is_alive():
            self.join(10.0)


class Resolver:
    """Everything the process runs, put together once; `worker` > 0 = only UDP."""

    def __init__(self, settings: Settings, *, worker: int = 0) -> None:
        self.settings = settings
        self.worker = worker
        self.started_s = time.monotonic()
        self._stopped = asyncio.Event()
        with contextlib.ExitStack() as opened:
            self._udp_sockets = [opened.enter_context(sock) for sock in _bound_udp(settings)]
            self._tcp_sockets = [opened.enter_context(s) for s in _bound_tcp(() if worker else settings.handle_tcp)]
            self._http_sockets = [opened.enter_context(s) for s in _bound_tcp(() if worker else settings.handle_http)]
            self.index = Index.open(settings.node_dir / "index")
            self.counters = Counters(process=f"resolver-{worker}" if worker else "resolver")
            self.udp = [
                UdpServer(sock, Responder(self.index, self.counters, transport="udp"), limiter=self._limiter())
                for sock in self._udp_sockets
            ]
            limiter = self._limiter()
            self._responders = [Responder(self.index, self.counters, transport=name, limiter=limiter) for name in ("tcp", "http")]
            self.tcp = TcpServer(self._responders[0], idle_s=settings.tcp_idle_s, test_environment=settings.environment == "test")
            self.http_app = HttpApp(self._responders[1], health=self.health, metrics=self.metrics)
            self.http = HttpServer(self.http_app)
            self.following = None if worker else Following(settings.publication, self.index)
            self._spool = settings.node_dir / "spool"
            opened.pop_all()

    def addresses(self) -> dict[str, list[str]]:
        """The bound addresses by protocol, with the ports that 0 became."""
        return {
            name: [_address(sock) for sock in sockets if sock.fileno() >= 0]
            for name, sockets in (("udp", self._udp_sockets), ("tcp", self._tcp_sockets), ("http", self._http_sockets))
        }

    async def run(self) -> None:
        """Serve until `stop`, then end in order: sockets first, counters last."""
        addresses = self.addresses()
        if self.following is not None:
            self.following.start()
        for server in self.udp:
            server.start()
        if not self.worker:
            await self.tcp.start(self._tcp_sockets)
            await self.http.start(self._http_sockets)
        print(
            json.dumps({"ready": True, "role": self.settings.role, "node": self.settings.node, "pid": os.getpid(), **addresses}),
            flush=True,
        )
        flusher = asyncio.create_task(self._flush_each_minute())
        workers = asyncio.create_task(self._keep_workers()) if not self.worker else None
        await self._stopped.wait()
        log.info("resolver.stopping")
        for task in (flusher, workers):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        for server in self.udp:
            server.stop()
        if not self.worker:
            await asyncio.gather(self.http.stop(), self.tcp.stop())
        for server in self.udp:
            await asyncio.to_thread(server.join)
        if self.following is not None:
            await asyncio.to_thread(self.following.stop)
        self.flush()
        for responder in self._responders:
            responder.close()
        self.index.close()

    def stop(self) -> None:
        """Ask `run` to end; call it on the event loop."""
        self._stopped.set()

    def flush(self) -> Path | None:
        """Spool what was counted; a full disk is said and the counting kept."""
        try:
            return self.counters.flush(self._spool, clock.time_s())
        except OSError as error:
            log.error("counters.not_written", folder=str(self._spool), problem=str(error))
            return None

    def health(self) -> Health:
        """Ready once a publication has been loaded, or an index of an earlier run is there to answer from."""
        state = self.index.state
        report = self.following.report if self.following is not None else None
        facts: dict[str, object] = {
            "role": self.settings.role,
            "node": self.settings.node,
            "session": state.session,
            "serial": state.serial,
            "following": report.how if report is not None else WAITING,
        }
        if self.following is not None and self.following.problem:
            facts["problem"] = self.following.problem
        elif report is not None and report.problem is not None:
            facts["problem"] = report.problem.as_row()
        return Health(bool(state.session), facts)

    def metrics(self) -> bytes:
        """The numbers of this process."""
        state = self.index.state
        node = {"node": self.settings.node}
        tallies = [server.tallies for server in self.udp]
        udp = {
            name: sum(getattr(row, name) for row in tallies)
            for name in ("batches", "packets", "kept", "pieces", "dropped", "too_long", "unsent", "failed")
        }
        following = self.following.tally if self.following is not None else {}
        shares = self.tcp.shares
        tcp = {
            "accepted": self.tcp.accepted, "refused": shares.refused, "over_share": shares.over_share,
            "cut_off": self.tcp.cut_off,
        }  # fmt: skip
        http = {"requests": self.http_app.requests, "failures": self.http_app.failures}
        return render(
            [
                Metric("biaojie_up_seconds", "gauge", "运行时长（秒）", [(node, round(time.monotonic() - self.started_s, 1))]),
                Metric("biaojie_index_serial", "gauge", "索引所到的发布序号", [(node, state.serial)]),
                Metric("biaojie_udp_total", "counter", "UDP 处理计数", _samples(node, "what", udp)),
                Metric("biaojie_tcp_total", "counter", "TCP 连接计数", _samples(node, "what", tcp)),
                Metric("biaojie_tcp_connections", "gauge", "当前 TCP 连接数", [(node, len(self.tcp.connections))]),
                Metric("biaojie_http_total", "counter", "HTTP 请求计数", _samples(node, "what", http)),
                Metric("biaojie_follow_total", "counter", "发布跟随计数", _samples(node, "what", following)),
            ]
        )

    def _limiter(self) -> RateLimiter | None:
        per_s = self.settings.rate_limit_per_s
        return RateLimiter(per_s) if per_s else None

    async def _flush_each_minute(self) -> None:
        while True:
            left_s = FLUSH_S - clock.time_s() % FLUSH_S
            # On a clock that runs fast a file takes several of its minutes rather than the disk many files a second.
            await asyncio.sleep(max(FLUSH_PAUSE_S, clock.real_seconds(left_s)))
            await asyncio.to_thread(self.flush)

    async def _keep_workers(self) -> None:
        """Start the other UDP workers, and again those that end; end them with us."""
        argv = [sys.executable, "-m", "biaojie.processes.resolver", "--parent-death", "--udp-worker"]
        running: dict[int, subprocess.Popen[bytes]] = {}
        try:
            while True:
                for number in range(1, self.settings.udp_workers):
                    process = running.get(number)
                    if process is None or process.poll() is not None:
                        if process is not None:
                            log.error("udp_worker.ended", number=number, status=process.returncode)
                        running[number] = subprocess.Popen(
                            [*argv, str(number)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
                        )
                await asyncio.sleep(_WORKER_PAUSE_S)
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5.0)


def _bound_udp(settings: Settings) -> Iterator[socket.socket]:
    for text in settings.handle_udp:
        host, port = split_address(text)
        # With one worker the port is taken for itself alone: a second node on it must fail, not share its requests.
        yield bind_udp(host, port, timeout_s=_LOOK_UP_S, reuse_port=settings.udp_workers > 1)


def _bound_tcp(addresses: tuple[str, ...]) -> Iterator[socket.socket]:
    for text in addresses:
        host, port = split_address(text)
        yield bind_tcp(host, port)


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _samples(labels: dict[str, str], name: str, numbers: dict[str, int]) -> list[tuple[dict[str, str], float]]:
    return [({**labels, name: key}, number) for key, number in numbers.items()]


async def serve(settings: Settings, *, worker: int = 0) -> None:
    """Run a resolver until SIGTERM or SIGINT."""
    resolver = Resolver(settings, worker=worker)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, resolver.stop)
    await resolver.run()


def main(arguments: list[str] | None = None) -> None:
    """The process; exit status 1 with one JSON line when an address is taken or a setting is wrong."""
    parser = argparse.ArgumentParser(prog="biaojie.processes.resolver", description="标识解析进程")
    parser.add_argument("--udp-worker", type=int, default=0, metavar="N", help="只作为第 N 个 UDP 工作进程")
    parser.add_argument("--parent-death", action="store_true", help="父进程结束时随之结束")
    options: Any = parser.parse_args(arguments)
    if options.parent_death:
        tie_to_parent(signal_number=signal.SIGTERM)
    try:
        settings = load()
    except SettingError as error:
        raise _cannot_start(error) from error
    clock.configure(offset_s=settings.clock_offset_s, scale=settings.clock_scale, origin_s=settings.clock_origin_s or None)
    log_lines.configure(settings.log_level)
    try:
        asyncio.run(serve(settings, worker=options.udp_worker))
    except (OSError, ResolutionError) as error:
        raise _cannot_start(error) from error


def _cannot_start(error: Exception) -> SystemExit:
    print(json.dumps({"ready": False, "message": f"无法启动：{error}"}, ensure_ascii=False), flush=True)
    return SystemExit(1)


if __name__ == "__main__":
    main()
    leave()
