"""The Django app of this chapter."""

from __future__ import annotations

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Label `registry`."""

    name = "biaojie.registry"
    label = "registry"
    verbose_name = "注册"

    def ready(self) -> None:
        """Hands over error rows, planned jobs and the publish loop to the rooms that keep them."""
        from biaojie.foundation.jobs import lanes, schedule
        from biaojie.foundation.ui.answers import add_answers
        from biaojie.registry import jobs
        from biaojie.registry.answers import ANSWERS

        add_answers(ANSWERS)
        lanes.attach(lanes.Loop(lane="publish", name="publication", run=jobs.publish))
        for row in (
            schedule.ScheduleRow(
                name="registry-verdicts",
                title="取回上级对前缀的结论",
                task="registry.sync_verdicts",
                cadence="every 1 minute",
                lane="realtime",
                roles=frozenset({"second", "enterprise"}),
            ),
            schedule.ScheduleRow(
                name="registry-routing", title="完成路由变更", task="registry.routing", cadence="every 1 minute", lane="realtime"
            ),
            schedule.ScheduleRow(
                name="registry-usage", title="装载解析计数", task="registry.load_usage", cadence="every 1 minute"
            ),
            schedule.ScheduleRow(
                name="registry-usage-purge",
                title="清理过期的每秒解析量",
                task="registry.purge_usage",
                cadence="daily 03:40",
                lane="bulk",
            ),
        ):
            schedule.declare(row)
