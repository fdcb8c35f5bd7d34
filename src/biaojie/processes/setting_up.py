"""Sets up a chain through the nodes' own API: enrolment, prefixes, routing, demonstration data; then announces it.

Nothing here uses a door that an operator would not have: it signs in as the staff of each node and calls `/api/v1/`.
Every step looks first whether it has been done, so that a start that was cut short is finished by the next one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2

from biaojie.codes.vaa import from_handle
from biaojie.processes import chain, demo_catalogue
from biaojie.processes.errors import SetupFailed

Say = Callable[[str], None]

OWN_PRODUCTS, HOSTED_PRODUCTS = 300, 60
HOSTED_PREFIX = "88.100.20260001"  # three and eight digits, so that it has a VAA form too

# One route of each other code system, so that the recursive node's page has an example of all six.
OTHER_SYSTEMS: Sequence[Mapping[str, str]] = (
    {"system": "OID", "coverage": "1.2.156.3001.501", "example": "1.2.156.3001.501.1001.1"},
    {"system": "DID:BID", "coverage": "byo1", "example": "did:bid:byo1:ef214PmkhKndUcArDQPgD5J4fFVwqJFPt"},
    {"system": "Ecode", "coverage": "10064", "example": "E=10064690123456789"},
    {"system": "GS1", "coverage": "6901234", "example": "https://id.example/01/06901234000016/21/SN-1"},
)


class NodeApi:
    """A signed-in member of a node's staff; a refusal becomes `SetupFailed` with the node's own words."""

    def __init__(self, node: chain.PlannedNode, users: Sequence[Mapping[str, str]], username: str) -> None:
        self.node = node
        self._password = next(user["password"] for user in users if user["username"] == username)
        self._username = username
        self._client = httpx2.Client(base_url=node.web_url, timeout=60.0, trust_env=False)
        self._token = ""

    def call(self, method: str, path: str, *, may_miss: bool = False, **options: Any) -> Any:
        """`data` of the answer; None when `may_miss` and the node answers 404."""
        if not self._token:
            body = {"username": self._username, "password": self._password}
            self._token = self._answer("POST", "/api/v1/token", json=body)["token"]
        return self._answer(method, path, may_miss=may_miss, headers={"Authorization": f"Bearer {self._token}"}, **options)

    def _answer(self, method: str, path: str, *, may_miss: bool = False, **options: Any) -> Any:
        try:
            answer = self._client.request(method, path, **options)
        except httpx2.TransportError as error:
            reason = str(error) or type(error).__name__
            raise SetupFailed(step=f"{self.node.row.name} {method} {path}", reason=reason) from error
        if may_miss and answer.status_code == 404:
            return None
        try:
            body = answer.json()
        except ValueError:
            body = {}
        if answer.status_code >= 400 or body.get("status") != 1:
            errors = "；".join(f"[{row['code']}] {row['message']}（{row['pointer']}）" for row in body.get("errors") or ())
            reason = errors or body.get("message") or answer.text[:500]
            raise SetupFailed(step=f"{self.node.row.name} {method} {path}", reason=f"{answer.status_code} {reason}")
        return body.get("data")


class Staff:
    """The signed-in staff of all nodes, by node and user name."""

    def __init__(self, nodes: Sequence[chain.PlannedNode], prepared: Mapping[str, Any]) -> None:
        self._nodes = {node.row.name: node for node in nodes}
        self._prepared = prepared
        self._signed_in: dict[tuple[str, str], NodeApi] = {}

    def __call__(self, node: str, username: str) -> NodeApi:
        key = (node, username)
        if key not in self._signed_in:
            self._signed_in[key] = NodeApi(self._nodes[node], self._prepared[node]["users"], username)
        return self._signed_in[key]


def run(
    nodes: Sequence[chain.PlannedNode], prepared: Mapping[str, Any], *, directory: Path, demo: bool, say: Say
) -> dict[str, Any]:
    """Bring the chain to its announced state; returns the content of `nodes.json`."""
    staff = Staff(nodes, prepared)
    for node in nodes:
        if node.row.parent:
            _enrol(staff, node, nodes)
            _obtain_prefix(staff, node)
            say(f"{node.row.name} 已入网，前缀 {'、'.join(node.row.prefixes)} 已生效")
    examples: dict[str, list[str]] = {}
    if demo:
        examples = _fill(staff, nodes, say)
        recursive = next(node for node in nodes if node.row.role == "recursive")
        chain.replace_file(recursive.directory / "examples.json", json.dumps(examples["recursive"]) + "\n")
    return _announcement(nodes, prepared, examples)


def write_nodes_file(directory: Path, announced: Mapping[str, Any]) -> None:
    """`DIR/nodes.json`: 0600, replaced in one step, complete."""
    chain.replace_file(directory / "nodes.json", json.dumps(announced, ensure_ascii=False, indent=2) + "\n")


def announced_before(directory: Path, nodes: Sequence[chain.PlannedNode]) -> dict[str, Any] | None:
    """What an earlier start wrote into `nodes.json`, if the nodes are still where it says."""
    try:
        held: dict[str, Any] = json.loads((directory / "nodes.json").read_text(encoding="utf-8"))
        places = {name: (row["http"], row["handle_udp"], row["handle_http"]) for name, row in held.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    now = {node.row.name: (node.web_url, node.handle, f"http://{node.handle_http}") for node in nodes}
    return held if places == now else None


def address_table(announced: Mapping[str, Any]) -> str:
    """The table of addresses and sign-ins that `biaojie up` prints."""
    lines = [f"{'节点':<14}{'Web 地址':<28}{'Handle UDP/TCP':<20}{'Handle HTTP':<28}前缀"]
    for name, row in announced.items():
        lines.append(
            f"{name:<16}{row['http']:<30}{row.get('handle_udp', ''):<20}{row.get('handle_http', ''):<28}{'、'.join(row['prefixes'])}"
        )
    lines.append("")
    lines.append(f"{'登录':<14}{'用户名':<14}{'密码':<22}角色")
    for name, row in announced.items():
        lines.extend(f"{name:<16}{user['username']:<16}{user['password']:<24}{user['role']}" for user in row["users"])
    return "\n".join(lines)


def _enrol(staff: Staff, node: chain.PlannedNode, nodes: Sequence[chain.PlannedNode]) -> None:
    parent = next(other for other in nodes if other.row.name == node.row.parent)
    known = staff(node.row.name, "admin").call("GET", "/api/v1/nodes")
    if any(peer["relation"] == "parent" for peer in known):
        return
    code = staff(parent.row.name, "admin").call(
        "POST", "/api/v1/nodes/codes", json={"role": node.row.role, "prefixes": list(node.row.prefixes)}
    )["code"]
    staff(node.row.name, "admin").call("POST", "/api/v1/nodes/parent", json={"url": parent.web_url, "code": code})


def _obtain_prefix(staff: Staff, node: chain.PlannedNode) -> None:
    """Apply, have it accepted by every level above, give it addresses; as an operator and two reviewers would."""
    name = node.row.prefixes[0]
    own = staff(node.row.name, "operator")
    if own.call("GET", f"/api/v1/prefixes/{name}", may_miss=True) is None:
        maker = demo_catalogue.QINGHE
        registrant = {
            "second": {"name": "演示装备标识服务有限公司", "credit_code": "91110000MA0DEM003G"},
            "enterprise": {"name": maker.name, "credit_code": maker.credit_code},
        }[node.row.role]
        own.call("POST", "/api/v1/prefixes", json={"name": name, "registrant": registrant})
    parent = node.row.parent
    _accept(staff, parent, name)
    if parent != "top":
        _accept(staff, "top", name)
        staff(parent, "operator").call("POST", f"/api/v1/prefixes/{name}/sync")
    own.call("POST", f"/api/v1/prefixes/{name}/sync")
    _route(staff, node, name)


def _accept(staff: Staff, node: str, name: str) -> None:
    reviewer = staff(node, "reviewer")
    state = reviewer.call("GET", f"/api/v1/prefixes/{name}")
    if state["status"] == 4:
        reviewer.call("POST", f"/api/v1/prefixes/{name}/review", json={"decision": "accept"})


def _route(staff: Staff, node: chain.PlannedNode, name: str) -> None:
    parent = node.row.parent
    host, _, port = node.handle.rpartition(":")
    http_port = node.handle_http.rpartition(":")[2]
    wanted = [
        {"ip_type": 4, "ip": host, "protocol": protocol, "port": int(number)}
        for protocol, number in (("UDP", port), ("TCP", port), ("HTTP", http_port))
    ]
    above = staff(parent, "reviewer2")
    held = above.call("GET", f"/api/v1/prefixes/{name}")["endpoints"]
    if _same(held, wanted):
        return
    change = staff(node.row.name, "operator").call("PUT", f"/api/v1/prefixes/{name}/routing", json={"endpoints": wanted})
    if change["state"] == "checked":
        above.call("POST", f"/api/v1/routing-changes/{change['change_id']}/approve")


def _same(held: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> bool:
    def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
        return (row["ip"], row["protocol"], row["port"])

    return {key(row) for row in wanted} <= {key(row) for row in held}


def _fill(staff: Staff, nodes: Sequence[chain.PlannedNode], say: Say) -> dict[str, list[str]]:
    """Register the demonstration's products and routes; returns some identifiers of each node that resolve."""
    examples: dict[str, list[str]] = {"enterprise": [], "second": []}
    own_prefix = next(node.row.prefixes[0] for node in nodes if node.row.role == "enterprise")
    examples["enterprise"] = _register_products(staff("enterprise", "operator"), own_prefix, demo_catalogue.QINGHE, OWN_PRODUCTS)
    _host_enterprise(staff)
    examples["second"] = _register_products(
        staff("second", "operator"), HOSTED_PREFIX, demo_catalogue.CHENGCHUAN, HOSTED_PRODUCTS
    )
    examples["second"] += _register_other_systems(staff)
    examples["top"] = ["0.NA/0.NA", "0.NA/88", "0.NA/88.100"]
    examples["recursive"] = [
        examples["enterprise"][0],
        from_handle(examples["second"][0]),
        *examples["second"][-len(OTHER_SYSTEMS) :],
    ]
    say(f"演示数据：{own_prefix} 下 {OWN_PRODUCTS} 个产品，{HOSTED_PREFIX}（托管）下 {HOSTED_PRODUCTS} 个产品")
    return examples


def _register_products(api: NodeApi, prefix: str, maker: demo_catalogue.Maker, count: int) -> list[str]:
    rows = [{"handle": f"{prefix}/{suffix}", "values": values} for suffix, values in demo_catalogue.products(maker, count)]
    held = api.call("GET", "/api/v1/identifiers", params={"prefix": prefix, "limit": 1})
    if not held["items"]:
        body = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        api.call(
            "POST",
            "/api/v1/identifiers/bulk",
            params={"prefix": prefix, "format": "ndjson", "mode": "create"},
            content=body,
        )
    return [str(row["handle"]) for row in rows[:4]]


def _host_enterprise(staff: Staff) -> None:
    """A small enterprise without a node of its own: applied for at the second level's desk, hosted there."""
    operator = staff("second", "operator")
    if operator.call("GET", f"/api/v1/prefixes/{HOSTED_PREFIX}", may_miss=True) is None:
        maker = demo_catalogue.CHENGCHUAN
        registrant = {"name": maker.name, "credit_code": maker.credit_code}
        operator.call("POST", "/api/v1/prefixes", json={"name": HOSTED_PREFIX, "registrant": registrant, "hosted": True})
    _accept(staff, "second", HOSTED_PREFIX)
    _accept(staff, "top", HOSTED_PREFIX)
    operator.call("POST", f"/api/v1/prefixes/{HOSTED_PREFIX}/sync")


def _register_other_systems(staff: Staff) -> list[str]:
    operator = staff("second", "operator")
    for row in OTHER_SYSTEMS:
        _claim_route(staff, row["system"], row["coverage"])
        if operator.call("GET", "/api/v1/identifiers/one", may_miss=True, params={"identifier": row["example"]}) is None:
            values = [
                {"index": 1, "type": "URL", "data": {"format": "string", "value": "https://demo.example/other"}, "ttl": 300},
                {"index": 2000, "type": "productName", "data": {"format": "string", "value": f"{row['system']} 编码演示产品"}},
            ]
            operator.call("POST", "/api/v1/identifiers", json={"identifier": row["example"], "values": values})
    return [row["example"] for row in OTHER_SYSTEMS]


def _claim_route(staff: Staff, system: str, coverage: str) -> None:
    """Claim a coverage at the second level's desk and have the top's reviewer approve it."""
    operator, top = staff("second", "operator"), staff("top", "reviewer")
    held = [row for row in operator.call("GET", "/api/v1/routes/claims")["items"] if row["system"] == system]
    if any(row["state"] == "active" for row in held):
        return
    claim = next((row for row in held if row["state"] != "refused"), None)
    if claim is None:
        body = {"system": system, "coverage": coverage, "final": True}
        claim = operator.call("POST", "/api/v1/routes", json=body)
    for row in top.call("GET", "/api/v1/routes/claims", params={"state": "proposed"})["items"]:
        if (row["system"], row["coverage"]) == (claim["system"], claim["coverage"]):
            top.call("POST", f"/api/v1/routes/claims/{row['id']}/approve")
    operator.call("POST", f"/api/v1/routes/claims/{claim['id']}/sync")


def _announcement(
    nodes: Sequence[chain.PlannedNode], prepared: Mapping[str, Any], examples: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    announced: dict[str, Any] = {}
    for node in nodes:
        announced[node.row.name] = {
            "role": node.row.role,
            "http": node.web_url,
            "handle_udp": node.handle,
            "handle_tcp": node.handle,
            "handle_http": f"http://{node.handle_http}",
            "prefixes": list(node.row.prefixes),
            "examples": list(examples.get(node.row.name, ())),
            "users": [
                {"username": user["username"], "password": user["password"], "role": user["role"]}
                for user in prepared.get(node.row.name, {}).get("users", ())
            ],
        }
    return announced
