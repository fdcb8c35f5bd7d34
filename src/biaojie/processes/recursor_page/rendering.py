"""The page as text: form, answer, values and path, with everything from outside escaped."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from urllib.parse import quote, urlsplit

from biaojie.codes.errors import CodeError
from biaojie.codes.handle_names import HandleValue as HandleName
from biaojie.codes.parsing import parse, recognise
from biaojie.codes.systems import System
from biaojie.handle.codes import ResponseCode, response_title
from biaojie.handle.json_form import iso_time, value_to_json
from biaojie.handle.values import TTL_ABSOLUTE, HandleValue
from biaojie.resolution.questions import Outcome, Step

STATIC_TYPES: Mapping[str, str] = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
SECURITY_HEADERS: tuple[tuple[str, str], ...] = (
    ("content-security-policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
                                "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
)  # fmt: skip
TYPE_TITLES: Mapping[str, str] = {
    "URL": "网址", "EMAIL": "电子邮箱", "DESC": "说明", "HS_ADMIN": "管理员", "HS_VLIST": "管理员组", "HS_PUBKEY": "公钥",
    "HS_SITE": "解析站点", "HS_SITE.6": "解析站点（IPv6）", "HS_SITE.PREFIX": "下级前缀的站点", "HS_SERV": "解析服务",
    "HS_ALIAS": "别名", "HS_NAMESPACE": "命名空间", "HS_SIGNATURE": "签名", "HS_CERT": "证书",
    "PRODUCTNAME": "产品名称", "BRAND": "品牌", "MODEL": "型号", "SPECIFICATION": "规格", "MANUFACTURER": "生产企业",
    "PRODUCTIONDATE": "生产日期", "SERIALNUMBER": "序列号",
}  # fmt: skip
_OWNERS_WORD = (ResponseCode.HANDLE_NOT_FOUND, ResponseCode.VALUES_NOT_FOUND)


@functools.cache
def static(name: str) -> bytes:
    """The octets of a packaged file."""
    return resources.files(__package__).joinpath(name).read_bytes()


def recognised(text: str) -> str:
    """What the page says about a text while it is typed."""
    if not text.strip():
        return ""
    system = recognise(text)
    if system is None:
        return "无法识别编码类型，仍可按 Handle 查询"
    try:
        identifier = parse(text, system)
    except CodeError as error:
        return f"识别为 {system.value}：{error.message}"
    prefix = f"（前缀 {identifier.routing_key}）" if system in (System.HANDLE, System.VAA) else ""
    return f"识别为 {system.value}{prefix}"


def render(
    *, node: str, environment: str, examples: Sequence[str], identifier: str = "", outcome: Outcome | None = None, fault: str = ""
) -> str:
    """The whole page; `fault` is why an identifier could not even be asked for."""
    result = ""
    if outcome is not None:
        result = _result(identifier, outcome)
    elif fault:
        result = f'  <p class="verdict broken" role="alert"><strong>无法解析</strong> <span>{escape(fault)}</span></p>'
    offered = _examples(examples)
    return _template("page.html").substitute(
        title=escape(f"{identifier} · 标识解析 · 标解" if identifier else "标识解析 · 标解"),
        node=escape(node),
        environment='<span class="environment">测试环境</span>' if environment == "test" else "",
        identifier=escape(identifier),
        recognised=escape(recognised(identifier)),
        below=f"{result}\n{offered}" if result else offered,  # an answer comes first, also on a small screen
    )


def explain(identifier: str, outcome: Outcome) -> str:
    """One sentence on an outcome that is no plain success; empty for a success."""
    if outcome.error is not None:
        return outcome.message
    if outcome.response_code == ResponseCode.HANDLE_NOT_FOUND:
        return _absent(outcome.aliases[-1] if outcome.aliases else identifier)
    if outcome.response_code == ResponseCode.VALUES_NOT_FOUND:
        return "标识存在，但没有可公开的内容。（200）"
    if outcome.response_code != ResponseCode.SUCCESS:
        title = response_title(outcome.response_code).partition(" ")[2]
        return f"{outcome.node} 的答复：{title}（{outcome.response_code}）{outcome.message and '，' + outcome.message}"
    return ""


def _absent(text: str) -> str:
    """What is missing: of a handle, in whichever way it was written, what stands under which prefix."""
    with contextlib.suppress(CodeError):
        value = parse(text).value
        if isinstance(value, HandleName) and value.suffix is not None:
            return f"没有这个标识。前缀 {value.prefix} 存在，但其下没有 {value.suffix}。（100）"
    return "没有这个标识。（100）"


def _template(name: str) -> Template:
    return Template(static(name).decode("utf-8"))


def _link(identifier: str, **query: str) -> str:
    parameters = "&amp;".join(f"{key}={value}" for key, value in query.items())
    return f"/resolve/{quote(identifier, safe='')}?{parameters}"


def _examples(examples: Sequence[str]) -> str:
    """The row of examples; nothing where the node has none to offer."""
    if not examples:
        return ""
    items = "".join(map(_example, examples))
    return f'  <nav class="examples" aria-label="示例">\n    <span>试一试：</span>\n    <ul>{items}</ul>\n  </nav>'


def _example(identifier: str) -> str:
    system = recognise(identifier)
    label = f"<small>{escape(system.value)}</small> " if system else ""
    return f'<li>{label}<a class="mono" href="{_link(identifier, trace="1")}">{escape(identifier)}</a></li>'


def _result(identifier: str, outcome: Outcome) -> str:
    total_ms = sum(step.elapsed_ms for step in outcome.trace)
    parts = [f"用时 {total_ms:.1f} 毫秒"]
    last = next((step for step in reversed(outcome.trace) if step.protocol and not step.error), None)
    if outcome.cached:
        parts.append(f"应答方：缓存（来自{outcome.node}）")
    elif outcome.error is None and outcome.node:
        parts.append(f"应答方：{outcome.node}" + (f"（{last.protocol.upper()}）" if last else ""))
    if outcome.response_code == ResponseCode.SUCCESS:
        state, mark, word = "found", "✓", "已找到"
        parts.append(f"TTL {outcome.ttl_s} 秒")
    elif outcome.response_code in _OWNERS_WORD:
        state, mark, word = "absent", "△", "未找到"
    else:
        state, mark, word = "broken", "✕", "未能解析"
    messages = [explain(identifier, outcome)] if outcome.response_code != ResponseCode.SUCCESS else []
    if outcome.aliases:
        messages.append("按别名转到：" + " → ".join(outcome.aliases))
    return _template("result.html").substitute(
        state=state,
        mark=mark,
        word=word,
        summary=escape("　".join(parts)),
        json_link=_link(identifier, trace="1", format="json"),
        fresh_link=_link(identifier, trace="1", fresh="1"),
        copy=_link(identifier, trace="1"),
        message="".join(f'    <p class="message">{escape(message)}</p>\n' for message in messages),
        values=_template("values.html").substitute(rows="".join(map(_row, outcome.values))) if outcome.values else "",
        steps="".join(_step(step) for step in outcome.trace),
    )


def _row(value: HandleValue) -> str:
    type_ = value.readable_type
    ttl = iso_time(value.ttl) if value.ttl_type == TTL_ABSOLUTE else f"{value.ttl:,}"
    return (
        f'<tr><td class="number">{value.index}</td><td class="mono">{escape(type_)}</td>'
        f"<td>{escape(TYPE_TITLES.get(type_.upper(), '—'))}</td>"
        f'<td class="value">{_shown(value)}</td><td class="number">{ttl}</td></tr>'
    )


def _shown(value: HandleValue) -> str:
    """The value as text, never as markup; an http address becomes a link that says where it leads."""
    data = value_to_json(value)["data"]
    if data["format"] == "string":
        text = str(data["value"])
        host = _host(text)
        if host:
            link = f'<a href="{escape(text)}" rel="noopener noreferrer nofollow external">{escape(text)}</a>'
            return f"{link}<small>将离开本站：{escape(host)}</small>"
        return escape(text)
    if data["format"] == "site":
        lines = [
            f"{server['address']} {item['protocol']} {item['port']}"
            for server in data["value"]["servers"]
            for item in server["interfaces"]
        ]
        return escape("\n".join(lines)) or "—"
    if data["format"] == "admin":
        return escape(f"{data['value']['index']}:{data['value']['handle']}（权限 {data['value']['permissions']}）")
    if data["format"] == "vlist":
        return escape("\n".join(f"{item['index']}:{item['handle']}" for item in data["value"]))
    return f"{len(value.data):,} 字节<small>十六进制 {value.data[:24].hex()}{'…' if len(value.data) > 24 else ''}</small>"


def _host(text: str) -> str:
    if not text.lower().startswith(("http://", "https://")) or any(character <= " " for character in text):
        return ""
    try:
        return urlsplit(text).hostname or ""
    except ValueError:
        return ""


def _step(step: Step) -> str:
    facts = []
    if step.protocol:
        facts += [("地址", step.address), ("协议", step.protocol.upper())]
    if step.response_code is not None:
        title = response_title(step.response_code).partition(" ")[2]
        facts.append(("响应码", f"{step.response_code} {title}"))
    if step.octets:
        facts.append(("应答大小", f"{step.octets:,} 字节"))
    if step.note:
        facts.append(("说明", step.note))
    if step.error:
        facts.append(("失败原因", step.error))
    what = escape(step.reason) + (f'</span> <span class="why">失败：{escape(step.error)}' if step.error else "")
    if step.note and not step.error:
        what += f"，{escape(step.note)}"
    return _template("step.html").substitute(
        state="failed" if step.error else "done",
        open=" open" if step.error else "",
        node=escape(step.node),
        what=what,
        elapsed=f"{step.elapsed_ms:.1f} 毫秒" if step.protocol else "",
        facts="".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts),
    )
