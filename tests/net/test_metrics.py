from __future__ import annotations

from biaojie.net.metrics import Metric, render


def test_render_with_labels_gives_the_text_form() -> None:
    metrics = [
        Metric("a_total", "counter", "甲", [({"node": 'x"y\n'}, 3), ({"node": "z"}, 1_234_567_890_123)]),
        Metric("b", "gauge", "乙", [({}, 0.5)]),
    ]

    text = render(metrics).decode()

    assert text.splitlines() == [
        "# HELP a_total 甲",
        "# TYPE a_total counter",
        'a_total{node="x\\"y\\n"} 3',
        'a_total{node="z"} 1234567890123',
        "# HELP b 乙",
        "# TYPE b gauge",
        "b 0.5",
    ]
