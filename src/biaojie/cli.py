"""The `biaojie` command. Each function is one command; its docstring names the errors it can end with.

Heavy rooms are imported inside the commands that need them, so that `biaojie resolve` answers quickly and works where
the web extra is not installed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from biaojie.base.errors import BiaojieError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="标解：工业互联网标识解析节点软件"
)
wire = typer.Typer(no_args_is_help=True, help="Handle 报文工具")
app.add_typer(wire, name="wire")

DataOption = Annotated[Path | None, typer.Option("--data", help="数据目录；默认 $BIAOJIE_DATA，其次 ./.biaojie")]
NodeArgument = Annotated[str, typer.Argument(help="节点名，如 second")]
ProcessArgument = Annotated[str | None, typer.Argument(help="进程名，如 resolver；省略为该节点的全部进程")]


def main() -> None:
    """Entry point: one error becomes one line with its code, never a traceback."""
    try:
        app()
    except BiaojieError as error:
        _fail(error)


@app.command()
def up(
    data: DataOption = None,
    port_base: Annotated[
        int | None, typer.Option("--port-base", min=1024, max=64000, help="端口段起点；默认从 18000 起选空闲段")
    ] = None,
    no_demo: Annotated[bool, typer.Option("--no-demo", help="不写入演示数据")] = False,
) -> None:
    """启动整条链：国家顶级节点、二级节点、企业节点、递归节点。

    可能的错误：PROC-101 端口被占用、PROC-102 已在运行、PROC-104 进程未就绪、PROC-106 设置未成功、PG-1xx 数据库。
    """
    from biaojie.processes import supervisor

    raise typer.Exit(supervisor.main(_directory(data), port_base=port_base, demo=not no_demo))


@app.command()
def down(data: DataOption = None) -> None:
    """停止 biaojie up 启动的全部进程；数据保留，下次启动时账号与密码不变。

    可能的错误：PROC-103 没有在运行。
    """
    import fcntl

    from biaojie.processes import control

    directory = _directory(data)
    control.call(directory, "down")
    # The supervisor holds the lock until its last child has ended.
    with (directory / "up.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    typer.echo(f"{directory} 已全部停止；数据保留，再次执行 biaojie up 即恢复")


@app.command()
def stop(node: NodeArgument, process: ProcessArgument = None, data: DataOption = None) -> None:
    """强行停止（SIGKILL）一个节点或它的一个进程，停止后不自动重启；用于演练。

    可能的错误：PROC-103 没有在运行、PROC-105 没有这个节点或进程。
    """
    _command("stop", node, process, data)


@app.command()
def start(node: NodeArgument, process: ProcessArgument = None, data: DataOption = None) -> None:
    """重新启动用 stop 停止的节点或进程。

    可能的错误：PROC-103 没有在运行、PROC-105 没有这个节点或进程。
    """
    _command("start", node, process, data)


@app.command()
def status(data: DataOption = None) -> None:
    """列出各进程的进程号与重启次数。

    可能的错误：PROC-103 没有在运行。
    """
    from biaojie.processes import control

    for row in control.call(_directory(data), "status")["processes"]:
        typer.echo(f"{row['name']:<24}{row['pid'] or '已停止':<10}重启 {row['restarts']} 次")


@app.command()
def resolve(
    identifier: Annotated[str, typer.Argument(help="标识，六种编码体系均可")],
    server: Annotated[str | None, typer.Option("--server", help="主机:端口；默认询问本机递归节点")] = None,
    protocol: Annotated[str, typer.Option("--protocol", help="udp、tcp 或 http；答复较长时用 tcp")] = "udp",
    index: Annotated[list[int] | None, typer.Option("--index", help="只取这些索引，可重复")] = None,
    type_: Annotated[list[str] | None, typer.Option("--type", help="只取这些类型，可重复")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="显示解析路径与每步用时")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="输出 JSON")] = False,
    data: DataOption = None,
) -> None:
    """解析一个标识。

    退出状态：0 已找到；1 不存在（100、200 或没有路由）；2 用法不正确；3 没有应答或其他响应码。
    """
    from biaojie.client import resolver, terminal

    if protocol not in ("udp", "tcp", "http"):
        _usage("--protocol 只能是 udp、tcp 或 http")
    endpoint, web = _asked_server(server, protocol, data)
    try:
        found = resolver.resolve(
            identifier, server=endpoint, protocol=protocol, indexes=index or (), types=type_ or (), trace=trace, trace_url=web
        )
    except BiaojieError as error:
        if as_json:
            typer.echo(json.dumps({"identifier": identifier, "error": error.as_row()}, ensure_ascii=False))
        else:
            typer.echo(str(error), err=True)
        raise typer.Exit(resolver.exit_status_of(error)) from error
    if as_json:
        typer.echo(json.dumps(found.as_json(), ensure_ascii=False, indent=2))
    else:
        terminal.show(found)
    raise typer.Exit(found.exit_status)


@wire.command("decode")
def wire_decode(octets: Annotated[str, typer.Argument(metavar="HEX", help="十六进制报文；- 表示标准输入")]) -> None:
    """把一个 Handle 报文逐字段展开。

    退出状态：0 报文合法；1 报文有错误（HDL-1xx）。
    """
    from biaojie.handle import dump

    text = sys.stdin.read() if octets == "-" else octets
    try:
        data = bytes.fromhex("".join(text.split()))
    except ValueError:
        _usage("不是十六进制文本")
    typer.echo(dump.dump(data))
    fault = dump.problem(data)
    if fault is not None:
        _fail(fault)


@app.command("check-config")
def check_config() -> None:
    """列出每个配置项的值与来源；有配置项不正确时退出状态为 1。

    不设 BIAOJIE_CONFIG 时只显示默认值与环境变量；要看某个节点，令 BIAOJIE_CONFIG=数据目录/节点/node.toml。

    可能的错误：BASE-101、BASE-102。
    """
    from rich.console import Console
    from rich.table import Table

    from biaojie.base import settings

    settings.load()
    table = Table("配置项", "值", "单位", "来源", "说明")
    for found in settings.check():
        shown = "（已设置）" if found.setting.secret and found.value else _plain(found.value)
        origin = {"default": "默认", "environment": "环境变量"}.get(found.origin, found.origin)
        table.add_row(found.setting.name, shown, found.setting.unit, origin, found.setting.doc)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@app.command()
def doctor(node: Annotated[str | None, typer.Argument(help="只检查这个节点")] = None, data: DataOption = None) -> None:
    """自检：各节点的解析索引与注册数据是否逐条一致。

    退出状态：0 全部一致；1 有节点不一致或未能检查。可能的错误：PROC-103 没有在运行、PROC-105 没有这个节点。
    """
    from biaojie.processes import doctor as examination

    sound = examination.run(_directory(data), node=node, say=typer.echo)
    raise typer.Exit(0 if sound else 1)


@app.command()
def version() -> None:
    """显示版本。"""
    from importlib import metadata

    typer.echo(f"biaojie {metadata.version('biaojie')}")


def _command(command: str, node: str, process: str | None, data: Path | None) -> None:
    from biaojie.processes import control

    for row in control.call(_directory(data), command, node=node, process=process)["processes"]:
        typer.echo(f"{row['name']}：{'已停止' if row['pid'] is None else '运行中，进程 ' + str(row['pid'])}")


def _directory(data: Path | None) -> Path:
    return (data or Path(os.environ.get("BIAOJIE_DATA") or ".biaojie")).absolute()


def _asked_server(server: str | None, protocol: str, data: Path | None) -> tuple[str, str]:
    """The address to ask and, for a recursive node of ours, the URL at which it shows the path it took."""
    if server is not None:
        return server, ""
    path = _directory(data) / "nodes.json"
    try:
        nodes: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        _usage(
            f"没有找到 {path}；请先执行 biaojie up，若数据目录在别处，请用 --data 或 BIAOJIE_DATA 指明，也可用 --server 指定服务器"
        )
    except ValueError:
        _usage(f"{path} 不是合法的 JSON")
    for row in nodes.values():
        if row["role"] == "recursive":
            return row[f"handle_{protocol}"].removeprefix("http://"), row["http"]
    _usage(f"{path} 中没有递归节点；请用 --server 指定服务器")


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)


def _usage(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)


def _fail(error: BiaojieError) -> NoReturn:
    typer.echo(str(error), err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
