"""The page of benchmarks keeps what is not measured anew."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

KNOWN = ("chain", "index", "udp")


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("page")


def test_merged_one_section_measured_anew_leaves_the_others(page: ModuleType) -> None:
    old = {(name, title): page.block(name, f"## {title}\n\nold {title}\n", "then") for name, title in _TITLES}
    anew = page.block("index", "## Index of 2\n\nnew\n", "now")

    text = page.merged(page.merged("", old, KNOWN), {("index", "Index of 2"): anew}, KNOWN)

    assert text.count("<!-- bench ") == 4
    assert "old Index of 2" not in text
    assert anew in text
    assert all(block in text for key, block in old.items() if key != ("index", "Index of 2"))


def test_merged_sections_in_any_order_stand_in_the_page_order(page: ModuleType) -> None:
    blocks = {(name, title): page.block(name, f"## {title}\n", "now") for name, title in _TITLES}

    text = page.merged("", blocks, KNOWN)

    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## UDP",
        "## Index of 1",
        "## Index of 2",
        "## Chain",
    ]


def test_merged_benchmark_is_gone_its_block_goes(page: ModuleType) -> None:
    text = page.merged("", {("old", "Old"): page.block("old", "## Old\n", "then")}, (*KNOWN, "old"))

    assert "## Old" in text
    assert "## Old" not in page.merged(text, {}, KNOWN)


def test_merged_same_blocks_twice_changes_nothing(page: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "stamp", lambda: "now")
    blocks = {(name, title): page.block(name, f"## {title}\n\ntext\n", "now") for name, title in _TITLES}
    text = page.merged("", blocks, KNOWN)

    assert page.merged(text, blocks, KNOWN) == text


_TITLES = (("chain", "Chain"), ("index", "Index of 1"), ("index", "Index of 2"), ("udp", "UDP"))
