"""Tables of text."""

from __future__ import annotations

import pytest

from fillrate_assets.core.text_table import format_table


def test_columns_are_as_wide_as_their_content_and_numbers_align_to_the_right() -> None:
    assert format_table(["dc", "cases", ""], [["DC01", "1,250", "why"], ["D2", "38", ""]], numbers=["cases"]) == [
        "dc    cases",
        "────────────────",
        "DC01  1,250  why",
        "D2       38",
    ]


def test_what_a_terminal_would_act_on_is_escaped_in_cells() -> None:
    *_, row = format_table(["dc", "item"], [["D\u202eC", "\x1b[2Ja\u200bb\0"]])
    assert row == "D\\u202eC  \\x1b[2Ja\\u200bb\\x00"


def test_a_total_is_below_a_rule_and_a_title_above_the_table() -> None:
    rows = [["DC01", "7"], ["DC02", "30"]]
    assert format_table(["dc", "n"], rows, numbers=["n"], title="By DC", total=["TOTAL", "37"]) == [
        "By DC",
        "dc      n",
        "─────────",
        "DC01    7",
        "DC02   30",
        "─────────",
        "TOTAL  37",
    ]


def test_a_heading_may_have_several_lines() -> None:
    heading = "Case fill\ntarget"
    assert format_table([heading, "dc"], [["97 %", "DC01"]], numbers=[heading]) == [
        "Case fill  dc",
        "   target",
        "───────────────",
        "     97 %  DC01",
    ]


def test_a_table_without_rows_has_its_headings() -> None:
    assert format_table(["dc", "cases"], []) == ["dc  cases", "─────────"]


def test_nothing_is_cut_off() -> None:
    wide = "x" * 5000
    assert format_table(["a", "b"], [[wide, "1"]])[-1] == f"{wide}  1"


@pytest.mark.parametrize("name", ["東京", "Zu\u0308rich", "Zürich"])
def test_letters_of_any_script_line_up(name: str) -> None:
    *_, first, second = format_table(["name", "n"], [[name, "1"], ["Zürich", "2"]])
    wide = {"東京": 2, "Zu\u0308rich": -1}.get(name, 0)
    assert first.index("1") + wide == second.index("2")
