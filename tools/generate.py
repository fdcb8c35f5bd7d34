"""Writes docs/reference/ from the declarations; with --check, fails when a file is stale.

python tools/generate.py [--check]
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
# The application objects of a running web process; they insist on its settings.
NOT_IMPORTED = frozenset({"biaojie.site.wsgi", "biaojie.processes.web_app"})
NOTE = "<!-- Written by `make generate`; edit the declarations, not this file. -->\n\n"


def main() -> int:
    """Write or check every page; returns the exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "biaojie.site.settings")
    os.environ.setdefault("BIAOJIE_DATABASE_URL", "postgresql:///unused")
    django.setup()
    check = "--check" in sys.argv[1:]
    stale = []
    for name, render in PAGES.items():
        path = REFERENCE / name
        text = NOTE + render().rstrip() + "\n"
        if check:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                stale.append(path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in stale:
        sys.stderr.write(f"stale: {path.relative_to(ROOT)}; run `make generate`\n")
    return 1 if stale else 0


def settings_page() -> str:
    """Every setting with its environment variable, default, limits and meaning."""
    from biaojie.base.settings import PREFIX, SETTINGS

    rows = ["# 配置项\n", "| 名称 | 环境变量 | 类型 | 默认值 | 范围 | 单位 | 说明 |", "|---|---|---|---|---|---|---|"]
    for row in SETTINGS:
        default = ", ".join(row.default) if isinstance(row.default, tuple) else str(row.default)
        limits = "、".join(row.choices) or _span(row.low, row.high)
        rows.append(
            f"| `{row.name}` | `{PREFIX}{row.name.upper()}` | {row.kind} | {f'`{default}`' if default else ''} | {limits} "
            f"| {row.unit} | {row.doc} |"
        )
    return "\n".join(rows)


def errors_page() -> str:
    """Every error class with its code and default message, by package."""
    from biaojie.base.errors import BiaojieError

    for _ in _modules():
        pass
    classes: dict[str, list[type[BiaojieError]]] = {}
    for error in _subclasses(BiaojieError):
        classes.setdefault(error.__module__, []).append(error)
    lines = ["# 错误码\n"]
    for module in sorted(classes):
        lines += [f"## `{module}`\n", "| 错误码 | 类 | 默认消息 |", "|---|---|---|"]
        for error in sorted(classes[module], key=lambda item: (item.code, item.__name__)):
            message = (error.__doc__ or "").strip().split("\n", 1)[0].replace("|", "\\|")
            lines.append(f"| `{error.code}` | `{error.__name__}` | {message} |")
        lines.append("")
    return "\n".join(lines)


def commands_page() -> str:
    """Every command with its options, from the command itself."""
    import typer

    from biaojie.cli import app

    lines = ["# 命令\n"]
    for path, command in _walk_commands("biaojie", typer.main.get_command(app)):
        lines += [f"## `{path}`\n", (command.help or "").strip(), ""]
        for parameter in command.params:
            if parameter.name == "help":
                continue
            names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
            lines.append(f"- {names}：{getattr(parameter, 'help', '') or '参数'}")
        lines.append("")
    return "\n".join(lines)


def wire_page() -> str:
    """The layouts and code tables of the Handle protocol."""
    from biaojie.handle import reference

    return reference.render()


def workflows_page() -> str:
    """Every declared life cycle: its states, who moves next, its transitions and its chart."""
    from biaojie.base.roles import PERSON_ROLES
    from biaojie.foundation.workflow.diagram import mermaid
    from biaojie.registry import workflows

    lines = ["# 业务流程\n"]
    for workflow in (workflows.PREFIX, workflows.HOSTING, workflows.ROUTING):
        lines += [f"## {workflow.title}\n", "```mermaid", mermaid(workflow).rstrip(), "```\n"]
        lines += ["| 状态 | 名称 | 待谁办理 |", "|---|---|---|"]
        lines += [f"| `{state.code}` | {state.title} | {state.mover or '—'} |" for state in workflow.states]
        lines += ["", "| 事件 | 名称 | 从 | 到 | 由谁 | 期限 | 依据 |", "|---|---|---|---|---|---|---|"]
        for row in workflow.transitions:
            who = "、".join(sorted(PERSON_ROLES[role].title for role in row.roles)) or "系统"
            source, target = workflow.state(row.source).title, workflow.state(row.target).title
            lines.append(f"| `{row.event}` | {row.title} | {source} | {target} | {who} | {row.deadline or ''} | {row.clause} |")
        lines.append("")
    return "\n".join(lines)


def _span(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    return f"{'' if low is None else f'{low:g}'} – {'' if high is None else f'{high:g}'}"


def _modules() -> Iterator[object]:
    import biaojie

    for found in pkgutil.walk_packages(biaojie.__path__, "biaojie."):
        if ".migrations" not in found.name and found.name not in NOT_IMPORTED:
            yield importlib.import_module(found.name)


def _subclasses(root: type) -> Iterator[type]:
    seen: set[type] = set()
    waiting = [root]
    while waiting:
        for child in waiting.pop().__subclasses__():
            if child not in seen:
                seen.add(child)
                waiting.append(child)
                if "code" in vars(child):
                    yield child


def _walk_commands(path: str, command: object) -> Iterator[tuple[str, object]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name in sorted(children):
        yield from _walk_commands(f"{path} {name}", children[name])


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "commands.md": commands_page,
    "wire.md": wire_page,
    "workflows.md": workflows_page,
}

if __name__ == "__main__":
    sys.exit(main())
