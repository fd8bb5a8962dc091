from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.restatements import KEY, find_restatements
from fillrate_assets_tests.factories.rows import DAY, make_out_records, make_records

BY_FACTS = "orders, shipments or snapshot of the day corrected"
BY_BASELINE = "an earlier day was corrected: the baseline moved"
BY_LEVEL = "an earlier day was corrected: the level or the weekday moved"
BY_METHOD = "the other method's estimate is published"
BY_NETWORK = "what other DCs sold that day, or how far the DC follows them, moved"
BY_CALIBRATION = "another item of the day moved: the calibration with it"
BY_MASTER = "item master, waivers or method changed"


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"ordered_cases": Decimal(11)}, BY_FACTS),
        ({"path": "STOCK_OUT"}, BY_FACTS),
        ({"phantom_stock": True}, BY_FACTS),
        ({"baseline_cases": Decimal("9.5")}, BY_BASELINE),
        ({"baseline_source": "NONE"}, BY_BASELINE),
        ({"vendor": "V2"}, BY_MASTER),
        ({"method_version": 2}, BY_METHOD),
    ],
)
def test_a_changed_value_is_logged_with_why(change: dict[str, Any], cause: str) -> None:
    before, after = make_records({}), make_records(change)
    ((field, new),) = change.items()
    old = before[field].cast(pl.String).item()
    shown = after[field].cast(pl.String).item()
    assert new is not None
    assert find_restatements(before, after).rows() == [("DC01", DAY, "A", field, old, shown, cause)]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"baseline_n": 7, "level_cases": Decimal(8)}, BY_BASELINE),
        ({"level_cases": Decimal(8), "network_factor": Decimal("1.1")}, BY_LEVEL),
        ({"week_n": 5}, BY_LEVEL),
        ({"weekday_index": Decimal("1.1"), "calibration": Decimal("0.9")}, BY_LEVEL),
        ({"network_factor": Decimal("1.1"), "calibration": Decimal("0.9")}, BY_NETWORK),
        ({"network_dcs": 3}, BY_NETWORK),
        ({"factor_weight": Decimal("0.5")}, BY_NETWORK),
        ({"calibration": Decimal("0.9")}, BY_CALIBRATION),
        ({"method_version": 2, "level_cases": Decimal(8)}, BY_METHOD),
        ({"ordered_cases": Decimal(11), "method_version": 2}, BY_FACTS),
    ],
)
def test_what_moved_first_is_the_cause(change: dict[str, Any], cause: str) -> None:
    moved = {**change, "expected_cases": Decimal(1), "method_2_cases": Decimal(1)}
    found = find_restatements(make_out_records({}), make_out_records(moved))
    assert found.select("field", "cause").rows() == [(field, cause) for field in sorted(moved)]


def test_estimates_are_no_restatement_of_a_record_that_is_older_than_method_2() -> None:
    out = {"path": "STOCK_OUT"}
    assert find_restatements(make_records(out), make_out_records({})).is_empty()
    both = find_restatements(make_records(out), make_out_records({"baseline_n": 7}))
    assert both.select("field", "cause").rows() == [("baseline_n", BY_BASELINE)]
    # One that was in stock has none either, and is restated as a whole once it was out.
    assert "method_2_cases" in find_restatements(make_records({}), make_out_records({}))["field"]


def test_what_the_day_itself_changed_explains_the_rest() -> None:
    change = {"ordered_cases": Decimal(11), "baseline_cases": Decimal(3), "vendor": "V2"}
    found = find_restatements(make_records({}), make_records(change))
    assert found.select("field", "cause").rows() == [(field, BY_FACTS) for field in sorted(change)]


def test_null_is_a_value_like_any_other() -> None:
    change: dict[str, Any] = {"baseline_cases": None, "reason_code": None}
    assert find_restatements(make_records({}), make_records(change)).select("field", "before", "after").rows() == [
        ("baseline_cases", "9.0000", None),
        ("reason_code", "ZZ", None),
    ]
    assert find_restatements(make_records(change), make_records({})).select("before", "after").rows() == [
        (None, "9.0000"),
        (None, "ZZ"),
    ]
    assert find_restatements(make_records(change), make_records(change)).is_empty()


def test_a_record_that_comes_or_goes_is_one_row() -> None:
    found = find_restatements(make_records({"item": "GONE"}), make_records({"item": "NEW"}))
    assert found.select("item", "field", "before", "after", "cause").rows() == [
        ("GONE", "record", "present", "absent", BY_FACTS),
        ("NEW", "record", "absent", "present", BY_FACTS),
    ]


_DAYS = st.lists(
    st.fixed_dictionaries(
        {
            "item": st.sampled_from("ABC"),
            "ship_date": st.sampled_from([DAY, DAY + timedelta(days=1)]),
            "ordered_cases": st.sampled_from([Decimal(1), Decimal("1.0001")]),
            "vendor": st.sampled_from(["V1", None]),
        }
    ),
    unique_by=lambda row: (row["item"], row["ship_date"]),
)


@given(_DAYS, _DAYS)
def test_the_log_leads_from_the_old_records_to_the_new(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    before, after = make_records(*old), make_records(*new)
    log = find_restatements(before, after)
    schema.RESTATEMENTS.validate(log)
    replayed = {_get_key(row): row for row in _format(before)}
    for row in log.iter_rows(named=True):
        if row["field"] != "record":
            assert replayed[_get_key(row)][row["field"]] == row["before"] != row["after"]
            replayed[_get_key(row)][row["field"]] = row["after"]
        elif row["after"] == "absent":
            del replayed[_get_key(row)]
        else:
            assert _get_key(row) not in replayed
            replayed |= {_get_key(found): found for found in _format(after) if _get_key(found) == _get_key(row)}
    assert replayed == {_get_key(row): row for row in _format(after)}


def _get_key(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in KEY)


def _format(rows: pl.DataFrame) -> list[dict[str, Any]]:
    return rows.with_columns(pl.all().exclude("ship_date").cast(pl.String)).to_dicts()
