"""The blocks of a report as a page shows them: the same words, numbers and figures; what users wrote as plain text."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.components.layout.downloads import chart_config
from pages.components.layout.shell import is_dark
from untrac_core.report.blocks import Block, Code, Figure, Group, Heading, Listed, Paragraph, Table
from untrac_core.report.page import in_dark

ROWS_MOST = 12


def show(blocks: Iterable[Block], *, key: str) -> None:
    """Draw blocks one below the other. ``key``: what their elements are known by."""
    for number, block in enumerate(blocks):
        _show(block, f"{key}_{number}")


def _show(block: Block, key: str) -> None:
    if isinstance(block, Paragraph):
        st.text(f"{block.lead} {block.text}".strip())
    elif isinstance(block, Heading):
        st.text(block.text)
    elif isinstance(block, Listed):
        st.text("\n".join(f"• {text}" for text in block.texts))
    elif isinstance(block, Code):
        st.code(block.text, language=None, wrap_lines=True, height=200)
    elif isinstance(block, Table):
        _table(block, key)
    elif isinstance(block, Figure):
        _figure(block, key)
    elif isinstance(block, Group):
        _group(block, key)


def _figure(block: Figure, key: str) -> None:
    values = in_dark(block.values) if is_dark() else block.values
    st.plotly_chart(go.Figure(values), config=chart_config(block.name), key=key, alt=block.alt)
    told = " · ".join(words for _, words in block.key)
    for line in filter(None, [told, *block.caption]):
        st.text(line)
    with st.expander("The numbers of this figure"):
        _table(block.numbers, f"{key}_numbers")


def _table(block: Table, key: str) -> None:
    names = [column.heading for column in block.columns]
    unique = [f"{name} ({i})" if names.index(name) != i else name for i, name in enumerate(names)]
    rows = [["–" if cell is None else str(cell) for cell in row] for row in block.rows]
    frame = pd.DataFrame(rows, columns=unique, dtype=str)
    height = "content" if len(rows) <= ROWS_MOST else 420
    st.dataframe(frame, hide_index=True, height=height, key=key, alt=block.caption or "The numbers as a table")
    if block.caption:
        st.text(block.caption)


def _group(block: Group, key: str) -> None:
    if block.look.startswith("pair") and len(block.blocks) > 1:
        for column, (number, inner) in zip(st.columns(len(block.blocks)), enumerate(block.blocks), strict=True):
            with column:
                _show(inner, f"{key}_{number}")
        return
    if block.look in ("details", "folded", "box"):
        with st.container(border=True):
            if block.heading:
                st.text(block.heading)
            show(block.blocks, key=key)
        return
    if block.heading:
        st.text(block.heading)
    show(block.blocks, key=key)
