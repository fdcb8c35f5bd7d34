"""What was asked of a prefix on a day."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Router, Schema
from ninja.params.functions import Query
from pydantic import Field

from biaojie.base import clock
from biaojie.foundation.accounts.bearer import BearerAuth, require
from biaojie.foundation.ui.envelope import answers, ok
from biaojie.registry import usage
from biaojie.registry.errors import NotAllowed
from biaojie.registry.visibility import holds

router = Router(tags=["解析统计"], auth=BearerAuth())


class Source(Schema):
    """Requests of one source address; `*` stands for those beyond a resolver's limit."""

    ip: str = Field(title="来源 IP 地址")
    requests: int = Field(title="解析总量")


class Usage(Schema):
    """Figures of a day (表3/表8 #4–6, 附件2 #1–7)."""

    prefix: str = Field(title="标识前缀")
    day: date = Field(title="日期")
    requests: int = Field(title="单日解析请求量")
    answered: int = Field(title="单日解析成功响应量")
    latency_avg_ms: float | None = Field(title="解析平均响应时延（ms）")
    latency_max_at: datetime | None = Field(title="最大解析响应时延发生时间")
    latency_max_ms: float | None = Field(title="最大解析响应时延值（ms）")
    latency_min_at: datetime | None = Field(title="最小解析响应时延发生时间")
    latency_min_ms: float | None = Field(title="最小解析响应时延值（ms）")
    peak_qps: int = Field(title="最大每秒解析量（QPS）")
    peak_at: datetime | None = Field(title="最大每秒解析量发生时间")
    sources: list[Source] = Field(title="解析来源 IP 列表及解析量")


@router.get("/usage/{prefix}", response=answers(Usage), summary="解析统计", operation_id="usage_day")
def day_of(
    request: HttpRequest,
    prefix: str,
    day: Annotated[date | None, Query(title="日期", description="默认今日（北京时间）")] = None,
) -> dict[str, Any]:
    """Figures as loaded so far; the running minute is not in them yet."""
    user = require(request, "registry.read")
    if not holds(user, prefix):
        raise NotAllowed(pointer="prefix", name=prefix)
    figures = usage.day_figures(prefix, day or clock.shanghai_day(clock.now()))
    sources = [{"ip": ip, "requests": number} for ip, number in figures.sources]
    names = (name for name in Usage.model_fields if name != "sources")
    return ok({name: getattr(figures, name) for name in names} | {"sources": sources})
