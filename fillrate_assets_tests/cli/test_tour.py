"""The tour of every area: one screen says what each demo found, and a demo that fails says what it printed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fillrate_assets import settings
from fillrate_assets.cli import launcher, main, tour
from fillrate_assets.cli.order_explanation import read_explanation
from fillrate_assets.cli.tour import PARTS, Findings, Part, PartFailedError
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fillrate.network_store import NetworkStore
from fillrate_assets.sample.fillrate_loader import EmbeddedSystems
from fillrate_assets.storage.database import Database

LONG = "22,814,361 cases ordered, 22,285,220 shipped: case fill 97.7 %, and why the rest did not, in so many words." * 2


def test_what_every_demo_found_is_on_one_screen(tmp_path: Path) -> None:
    found = Findings([LONG, LONG, "Nothing."], dict.fromkeys(("What?", "Why?", "How?"), "report --by dc"))
    lines = [*tour.describe([(part, found) for part in PARTS], tmp_path, "fillrate", 243)]
    assert lines[0] == "5 areas ran from end to end in 4 min 3 s. What each found:"
    assert len(lines) <= 66
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 100
    assert not any(line.strip().startswith("%") for line in lines)
    assert f"  What?                           FILLRATE_HOME={tmp_path}/orders fillrate report --by dc" in lines
    assert "  What?                           fillrate report --by dc" in lines


def test_one_order_is_followed_through_the_areas_below_them(tmp_path: Path) -> None:
    order = ["Fulfillment: BACKORDERED.", LONG, "Fill rate, line 3: 46 ordered, 0 shipped."]
    parts = [(PARTS[0], Findings(["One."], order_id="O1", order=order)), (PARTS[1], Findings(["Two."]))]
    lines = [*tour.describe(parts, tmp_path, "fillrate", 243)]
    begins = lines.index("ONE ORDER ACROSS THE AREAS: why was O1 short?")
    assert lines[begins + 1] == "  Fulfillment: BACKORDERED."
    assert f"  Its other items                 FILLRATE_HOME={tmp_path}/orders fillrate explain-order O1" in lines


def test_what_was_found_comes_back_as_it_was_written(tmp_path: Path) -> None:
    found = Findings(["One."], {"Why?": "explain DC01"})
    found.write(tmp_path / "found.json")
    assert Findings.read(tmp_path / "found.json") == found
    found.write(None)


@pytest.mark.slow
def test_a_demo_that_fails_says_what_it_printed_and_stops_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = Part("Orders", "a demo that takes a minute", ("fulfillment", "demo"), "orders")
    failing = Part("Nothing", "a demo that there is not", ("demo", "--days", "0"))
    after = Part("After", "not begun", ("demo",))
    with pytest.raises(PartFailedError, match=r"Nothing: the demo ended with 2; the last of .*nothing\.txt"):
        tour.Demos(tmp_path, {}).run([long, failing, after])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "[2/3] Nothing: a demo that there is not ...\n" in printed.err
    assert "Nothing: fillrate: error: Invalid value for '--days': 0 is not in the range 1<=x<=3660." in printed.err
    assert "[1/3] Orders: done" not in printed.err
    assert "After" not in printed.err


@pytest.mark.sweep
@pytest.mark.slow
def test_orders_go_from_their_events_to_fill_rates(dagster_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = dagster_home / "found.json"
    options = ["fulfillment", "demo", "--fill-rates", *tour.SMALL["Fulfillment"], "--findings", str(found)]
    assert main.execute(options) == 0
    ordered, shipped = read_cases(capsys.readouterr().out)
    assert ordered[0] == ordered[1] != "0"
    assert shipped[0] == shipped[1] != "0"
    sentences = json.loads(found.read_text())["sentences"]
    assert f"{ordered[0]} cases ordered and {shipped[0]} shipped by the events; fill rates say the same" in sentences[2]
    assert "done twice: 0, lost: 0" in sentences[1]
    # The same order in every area: its state, what its DC had then, and its line in the fill rates.
    state, counts, line = json.loads(found.read_text())["order"]
    assert "as the inventory answered InventoryShort" in state
    assert re.search(
        r"\d+ wanted; .* free by seq \d+: \d+ short; .*the copy of DC0\d: equal at .*snapshot of the day", counts
    )
    assert re.search(r"ordered, 0 shipped: (STOCK_IN, in stock, yet short|STOCK_OUT, out of stock|FLOW)", line)
    assert main.execute(["explain-order", json.loads(found.read_text())["order_id"]]) == 0
    assert "What fill rates say of it, in cases:" in capsys.readouterr().out
    # Its DCs were compared before their records were published, as `fillrate run` does.
    known = NetworkStore(Database.from_settings(settings.load())).read(["DC01", "DC02"])
    assert known["dc"].n_unique() == len({"DC01", "DC02"})
    assert known["compared_version"].equals(known["usual_version"])
    assert launcher.choose_unfollowed(settings.load()) == []
    elsewhere = settings.load(fulfillment_aws__table="orders")
    with pytest.raises(PermanentFailure, match="the log of O1 is in DynamoDB"):
        read_explanation(elsewhere, "O1")
    with pytest.raises(PermanentFailure, match="orders come from fulfillment, and cannot be loaded"):
        EmbeddedSystems.from_settings(settings.load())


def read_cases(printed: str) -> tuple[list[str], list[str]]:
    """Read what events and fill rates add up to."""
    lines = {line.strip().split("  ")[0]: line.split()[-2:] for line in printed.splitlines() if line.strip()}
    return lines["left: ordered"], lines["shipped"]
