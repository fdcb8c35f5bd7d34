from __future__ import annotations

import importlib
import pkgutil

import biaojie.handle
from biaojie.handle import reference
from biaojie.handle.codes import FLAG_ROWS, OP_CODE_ROWS, RESPONSE_CODE_ROWS
from biaojie.handle.layout import Layout
from biaojie.handle.system_values import SYSTEM_TYPES


def test_page_names_every_declared_layout_code_and_type() -> None:
    page = reference.render()

    for module in pkgutil.iter_modules(biaojie.handle.__path__):
        declared = vars(importlib.import_module(f"biaojie.handle.{module.name}")).values()
        for layout in (value for value in declared if isinstance(value, Layout)):
            assert f"`{layout.name}`" in page, layout.name
    for row in (*OP_CODE_ROWS, *RESPONSE_CODE_ROWS, *FLAG_ROWS):
        assert f"| {row.name} | {row.title} |" in page
    assert all(f"| {row.type} |" in page for row in SYSTEM_TYPES)


def test_page_is_the_same_each_time() -> None:
    assert reference.render() == reference.render()


def test_every_field_of_every_layout_has_a_chinese_title() -> None:
    untitled = [(layout.name, field.name) for layout in reference.all_layouts() for field in layout.fields if not field.title]

    assert untitled == []


def test_layout_names_are_unique() -> None:
    names = [layout.name for layout in reference.all_layouts()]

    assert len(names) == len(set(names))
