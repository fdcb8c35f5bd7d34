"""The reference page of the wire protocol: every layout and every code, as Markdown, from the rows the code runs on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from biaojie.handle.body_layouts import LAYOUTS, OPERATIONS
from biaojie.handle.challenges import DERIVED_ANSWER, SIGNED_ANSWER
from biaojie.handle.codes import FLAG_ROWS, OP_CODE_ROWS, RESPONSE_CODE_ROWS, http_status, op_title
from biaojie.handle.credentials import CREDENTIAL, SIGNED_INFO
from biaojie.handle.envelope import ENVELOPE
from biaojie.handle.header import HEADER
from biaojie.handle.key_files import ENCRYPTED_FILE, PLAIN_FILE, PRIVATE_KEY
from biaojie.handle.keys import PUBLIC_KEY
from biaojie.handle.layout import Layout
from biaojie.handle.sessions import EXCHANGE
from biaojie.handle.sites import ATTRIBUTE, INTERFACE, SERVER, SITE
from biaojie.handle.system_values import ADMIN, RIGHTS, SYSTEM_TYPES, VALUE_LIST
from biaojie.handle.values import REFERENCE, VALUE

CHAPTERS: tuple[tuple[str, tuple[Layout[Any], ...]], ...] = (
    ("报文", (ENVELOPE, HEADER, CREDENTIAL, SIGNED_INFO)),
    ("标识值", (VALUE, REFERENCE)),
    ("系统类型的数据", (ADMIN, VALUE_LIST, SITE, ATTRIBUTE, SERVER, INTERFACE, PUBLIC_KEY)),
    ("消息体", LAYOUTS),
    ("质询与会话", (DERIVED_ANSWER, SIGNED_ANSWER, EXCHANGE)),
    ("私钥文件", (PRIVATE_KEY, PLAIN_FILE, ENCRYPTED_FILE)),
)


def all_layouts() -> list[Layout[Any]]:
    """Every layout of the package, in the order of the page."""
    return [layout for _, layouts in CHAPTERS for layout in layouts]


def render() -> str:
    """The whole page; the same input always gives the same text."""
    parts = ["# Handle 协议报文参考\n\n整数一律大端。`bytes`、`string` 前有 4 字节长度，`list<…>` 前有 4 字节个数。\n"]
    for title, layouts in CHAPTERS:
        parts.append(f"\n## {title}\n")
        parts += [_layout(layout) for layout in layouts]
    parts.append("\n## 操作码\n")
    parts.append(_table(("编号", "名称", "含义", "English", "备注"), OP_CODE_ROWS))
    parts.append("\n各操作的请求与成功应答：\n")
    rows = ((op_title(row.op_code), row.request.__name__, row.response.__name__) for row in OPERATIONS)
    parts.append(_table(("操作", "请求", "应答"), rows))
    parts.append("\n## 响应码\n")
    responses = ((*row[:4], http_status(row.number) if row.number else "", row.note) for row in RESPONSE_CODE_ROWS)
    parts.append(_table(("编号", "名称", "含义", "English", "HTTP 状态", "备注"), responses))
    parts.append("\n解析时没有所要的值（200）仍答 HTTP 200；创建成功答 201。\n")
    parts.append("\n## 操作标志\n")
    flags = ((f"0x{row.number:08x}", *row[1:]) for row in FLAG_ROWS)
    parts.append(_table(("位", "名称", "含义", "English", "备注"), flags))
    parts.append("\n## 管理员权限\n")
    parts.append(_table(("位", "名称", "含义"), ((f"0x{row.bit:04x}", row.name, row.title) for row in RIGHTS)))
    parts.append("\n## 系统类型\n")
    parts.append(_table(("类型", "含义"), ((row.type, row.title) for row in SYSTEM_TYPES)))
    return "".join(parts)


def _layout(layout: Layout[Any]) -> str:
    source = f"\n来源：{layout.source}\n" if layout.source else ""
    rows = layout.describe()
    body = _table(("偏移", "长度", "字段", "形式", "含义"), rows) if rows else "\n无内容。\n"
    return f"\n### {layout.title or layout.name} `{layout.name}`\n{source}{body}"


def _table(titles: tuple[str, ...], rows: Iterable[Iterable[object]]) -> str:
    lines = ["| " + " | ".join(titles) + " |", "|" + " --- |" * len(titles)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n" + "\n".join(lines) + "\n"
