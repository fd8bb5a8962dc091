from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from fillrate_assets import settings
from fillrate_assets.cli import main
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.rules import line_classification, shipments, units_of_measure
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories import directories
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS


def _run_failing(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 2) -> str:
    """Run a command that must fail and return its one line on stderr."""
    assert main.execute([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("fillrate: error: ")
    return lines[0].removeprefix("fillrate: error: ")


def _read_rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def _compare(written: str, expected: str) -> bool:
    return written == expected if "" in {written, expected} else Decimal(written) == Decimal(expected)


def test_calculate_writes_the_golden_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lost.csv"
    arguments = [
        "calculate",
        str(directories.write_golden_directory(tmp_path / "in")),
        "--out",
        str(out),
        "--from",
        "2024-05-16",
    ]
    assert main.execute(arguments) == 0
    records = {row["item"]: row for row in _read_rows(out)}
    assert records.keys() == directories.GOLDEN_RECORDS.keys() | {"FILL"}
    for item, (path, *expected) in directories.GOLDEN_RECORDS.items():
        record = records[item]
        written = [
            record[f"{name}_cases"] for name in ("ordered", "shipped", "baseline", "confirmed", "estimated", "lost")
        ]
        written += [record["fill_rate"], record["contract_lost_cases"]]
        assert record["path"] == path, item
        assert all(map(_compare, written, expected)), (item, written, expected)
    assert (records["6"]["baseline_source"], records["6"]["baseline_n"]) == ("EXT28", "5")
    assert records["11"]["over_cases"] == "4.0000"
    assert records["10"]["imputed"] == "true"
    (reject,) = _read_rows(tmp_path / "lost.rejects.csv")
    assert reject["reason"].startswith("negative quantity")
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "15 records of 1 ship day of 1 DC" in captured.out


def test_a_csv_record_is_exact_text_in_the_order_of_its_key(tmp_path: Path) -> None:
    out = tmp_path / "lost.csv"
    assert main.execute(["calculate", str(directories.write_golden_directory(tmp_path / "in")), "--out", str(out)]) == 0
    header, *lines = out.read_text().splitlines()
    assert header.split(",") == schema.LOST_CASES.names
    keys = [tuple(line.split(",")[:3]) for line in lines]
    assert keys == sorted(keys)
    assert lines[keys.index(("DC01", "2024-05-16", "3"))] == (
        "DC01,2024-05-16,3,STOCK,,,STOCK_OUT,0.0000,0.0000,0.0000,0.0000,38.0000,6,W7,0.0000,38.0000,38.0000,,,0.0000,"
        "false,0.0000,false,01,false,false,1,38.0000,6,6,1.0170,1.0000,0,0.0000,38.6460,1.0000,38.0000,38.6460"
    )


def test_parquet_holds_the_same_records_as_csv(tmp_path: Path) -> None:
    directory = str(directories.write_golden_directory(tmp_path / "in"))
    for name in ("lost.csv", "lost.parquet"):
        assert main.execute(["calculate", directory, "--out", str(tmp_path / name)]) == 0
    records = pl.read_parquet(tmp_path / "lost.parquet")
    schema.LOST_CASES.validate(records)
    schema.REJECTS.validate(pl.read_parquet(tmp_path / "lost.rejects.parquet"))
    assert records.equals(pl.read_csv(tmp_path / "lost.csv", schema=schema.LOST_CASES.polars))


def test_days_before_the_scope_are_look_back_and_not_written(tmp_path: Path) -> None:
    directory = str(directories.write_golden_directory(tmp_path / "in"))
    whole, day = tmp_path / "whole.parquet", tmp_path / "day.parquet"
    assert main.execute(["calculate", directory, "--out", str(whole)]) == 0
    scope = ["--from", "2024-05-16", "--to", "2024-05-16", "--dc", "DC01"]
    assert main.execute(["calculate", directory, "--out", str(day), *scope]) == 0
    assert pl.read_parquet(day).equals(pl.read_parquet(whole).filter(ship_date=directories.GOLDEN_DAY))


def test_a_day_without_a_snapshot_is_held_and_has_no_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    (directory / "instock_snapshots.csv").unlink()
    assert main.execute(["calculate", str(directory), "--out", str(tmp_path / "lost.csv")]) == 0
    assert _read_rows(tmp_path / "lost.csv") == []
    assert capsys.readouterr().err == "held: DC01, 2024-05-16: no instock snapshot for the day\n"


def test_rows_that_cannot_be_typed_count_against_their_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    with (directory / "order_lines.csv").open("a") as handle:
        handle.write("DC01,2024-05-16,O1,one,A,10\n")
    assert main.execute(["calculate", str(directory), "--out", str(tmp_path / "lost.csv")]) == 0
    assert capsys.readouterr().err == "doubtful: DC01, 2024-05-16: 1 of 2 order lines were rejected\n"
    (reject,) = _read_rows(tmp_path / "lost.rejects.csv")
    assert reject["reason"] == "line_no 'one' is not a number"


def test_what_was_written_before_stays_when_writing_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    out = tmp_path / "lost.csv"
    (tmp_path / "lost.rejects.csv").mkdir()
    out.write_text("yesterday")
    assert "lost.rejects.csv" in _run_failing(capsys, "calculate", directory, "--out", out, code=1)
    assert out.read_text() == "yesterday"
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing command"),
        (["calculat"], "No such command 'calculat'"),
        (["calculate", "."], "Missing option '--out'"),
        (["calculate", "--out", "x.csv"], "Missing argument 'DIR'"),
        (["calculate", ".", "--out", "x.txt"], "records are written as .csv or .parquet"),
        (["calculate", ".", "--out", "nowhere/x.csv"], "nowhere is not a directory"),
        (["calculate", ".", "--out", "x.csv", "--from", "16.5.2024"], "'16.5.2024' is not a date; write YYYY-MM-DD"),
        (["calculate", ".", "--out", "x.csv", "--from", "2024-05-02", "--to", "2024-05-01"], "is after --to"),
        (["calculate", "nowhere", "--out", "x.csv"], "nowhere is not a directory"),
        (["report", "--by", "region", "--input", "."], "cannot group by 'region'; choose from dc, department, vendor"),
        (["report", "--format", "pdf"], "'pdf' is not one of 'table', 'csv', 'xlsx'"),
        (["report", "--format", "xlsx", "--input", "."], "a workbook needs --out FILE"),
        (["report", "--out", "nowhere/x.csv", "--input", "."], "nowhere is not a directory"),
        (["report", "--format", "parquet", "--input", "."], "Parquet needs --out FILE"),
        (
            ["report", "--out", "x.pdf", "--input", "."],
            "--out x.pdf: a report is written as .csv, .parquet, .txt",
        ),
        (["report", "--out", "report", "--input", "."], "--out report: a report is written as .csv, .parquet, .txt"),
        (["report", "--format", "csv", "--out", "x.xlsx"], "--out x.xlsx is a file for --format xlsx, not csv"),
        (["report", "--sort", "lost:down", "--input", "."], "'lost:down': write COLUMN, COLUMN:asc or COLUMN:desc"),
        (["report", "--top", "0", "--input", "."], "0 is not in the range x>=1"),
        (["report", "--compare", "year", "--input", "."], "--compare needs --from and --to"),
        (["report", "--mapping", "ours.toml"], "--mapping is about the files of --input DIR"),
        (["report", "--targets", "absent.csv", "--input", "."], "targets absent.csv does not exist"),
        (["explain", "DC01", "yesterday", "A"], "'yesterday' is not a date; write YYYY-MM-DD"),
        (["load", "nowhere"], "nowhere is not a directory"),
    ],
)
def test_bad_usage_is_one_line_that_says_what_to_do(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in _run_failing(capsys, *arguments)


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        (["--dc", "DC01", "--dc", "DC9"], "the files hold nothing of DC DC9; there are DC01"),
        (["--from", "2024-06-01"], "the files hold nothing of those ship dates; there are 2024-05-16 to 2024-05-16"),
    ],
)
def test_a_scope_without_order_lines_says_what_there_is(
    scope: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    assert _run_failing(capsys, "calculate", directory, "--out", tmp_path / "x.csv", *scope) == message


def test_files_without_a_usable_order_line_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    (directory / "order_lines.csv").write_text("dc,ship_date,order_id,line_no,item,ordered_qty\nDC01,,O1,1,A,5\n")
    message = _run_failing(capsys, "report", "--input", directory)
    assert message == "the files hold no order line that can be used: 1 rejected, the first because: no ship_date"


@pytest.mark.parametrize("command", ["calculate", "report", "explain", "load", "upgrade"])
def test_help_of_every_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.execute([command, "--help"]) == 0
    assert f"  fillrate {command}" in capsys.readouterr().out


def test_a_report_of_files_is_a_table_with_a_total(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = str(directories.write_golden_directory(tmp_path / "in"))
    day = ["--from", "2024-05-16"]
    assert main.execute(["report", "--input", directory, "--by", "dc,ship_date", *day]) == 0
    captured = capsys.readouterr()
    header, _, group, _, total, methods, rejected = (line.split() for line in captured.out.splitlines() if line.strip())
    assert header[:4] == ["DC", "Ship", "date", "Lines"]
    assert group[:2] == ["DC01", "2024-05-16"]
    assert total[0] == "TOTAL"
    # Lost, confirmed, estimated, on contract.
    assert group[-4:] == total[-4:] == ["323", "183", "140", "104"]
    reason = "100.00 % negative quantity: a return or credit, never netted against demand"
    assert " ".join(rejected) == f"rejected: 1 of 18 order lines (5.56 %): {reason}"
    assert captured.err.splitlines() == [" ".join(rejected)]
    assert " ".join(methods) == "Estimated by method 1, on 8 item-days; method 1 makes 140 cases, method 2 146.0"


def test_a_report_as_csv_is_exact_and_has_no_total(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory, out = str(directories.write_minimal_directory(tmp_path / "in")), tmp_path / "report.csv"
    expected = (
        "dc,lines,orders,ordered_cases,shipped_cases,case_fill_rate,line_fill_rate,order_fill_rate,on_time_rate,"
        "otif_rate,orders_timed,lost_cases,confirmed_cases,estimated_cases,contract_lost_cases\n"
        "DC01,1,1,10.0000,8.0000,0.8000,0.0000,0.0000,,,0,2.0000,2.0000,0.0000,0.0000\n"
    )
    assert main.execute(["report", "--input", directory, "--format", "csv"]) == 0
    assert capsys.readouterr().out == expected
    assert main.execute(["report", "--input", directory, "--out", str(out)]) == 0
    assert out.read_text() == expected


def _add_order_lines(directory: Path, *rows: str) -> None:
    with (directory / "order_lines.csv").open("a") as handle:
        handle.writelines(f"{row}\n" for row in rows)


def test_a_report_names_doubtful_days_on_stderr_and_below_its_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    _add_order_lines(directory, "DC01,2024-05-16,O1,2,A,ten")
    expected = [
        "rejected: 1 of 2 order lines (50.00 %): 100.00 % ordered_qty 'ten' is not a number",
        "doubtful: DC01, 2024-05-16: 1 of 2 order lines were rejected",
    ]
    assert main.execute(["report", "--input", str(directory), "--by", "dc"]) == 0
    captured = capsys.readouterr()
    assert captured.err.splitlines() == expected
    assert captured.out.splitlines()[-2:] == expected
    assert main.execute(["report", "--input", str(directory), "--format", "csv"]) == 0
    captured = capsys.readouterr()
    assert captured.err.splitlines() == expected
    assert len(captured.out.splitlines()) == 2
    for name in ("report.csv", "report.txt", "report.parquet", "report.xlsx"):
        out = tmp_path / name
        assert main.execute(["report", "--input", str(directory), "--out", str(out)]) == 0
        captured = capsys.readouterr()
        assert (captured.out, captured.err.splitlines()) == (f"wrote {out}\n", expected)
    assert (tmp_path / "report.txt").read_text().splitlines()[-2:] == expected


def test_a_report_counts_the_lines_that_no_day_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    _add_order_lines(directory, "DC01,,O1,2,A,10", "DC01,,O1,3,A,10")
    assert main.execute(["report", "--input", str(directory)]) == 0
    assert "rejected: 2 of 3 order lines (66.67 %): 100.00 % no ship_date\n" in capsys.readouterr().err


def test_calculate_names_the_commonest_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    _add_order_lines(directory, "DC01,,O1,2,A,10")
    assert main.execute(["calculate", str(directory), "--out", str(tmp_path / "lost.csv")]) == 0
    assert "rejected: 1 of 2 order lines (50.00 %): 100.00 % no ship_date\n" in capsys.readouterr().out


def test_files_are_judged_by_the_shares_of_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    _add_order_lines(directory, "DC01,2024-05-16,O1,2,,10")
    commands = {
        "calculate": ["calculate", str(directory), "--out", str(tmp_path / "lost.csv")],
        "check": ["check", str(directory)],
        "report": ["report", "--input", str(directory)],
    }

    def run(command: str) -> str:
        assert main.execute(commands[command]) == 0
        return "".join(capsys.readouterr())

    gate = (
        "quality gate: a day is in doubt above {} rejected rows, 20.0 % credits, 20.0 % items without a snapshot ({})\n"
    )
    for command in ("calculate", "check"):
        found = run(command)
        assert "1 of 2 order lines were rejected" in found
        assert gate.format("5.0 %", "the defaults") in found
    monkeypatch.setenv("FILLRATE_HEALTH__MAX_REJECT_SHARE", "0.5")
    for command in commands:
        found = run(command)
        assert "1 of 2 order lines were rejected" not in found
        assert gate.format("50.0 %", "FILLRATE_HEALTH__MAX_REJECT_SHARE") in found


@pytest.mark.parametrize("command", ["calculate", "report"])
def test_a_sum_that_has_no_room_is_one_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for rules in (line_classification, shipments, units_of_measure):
        monkeypatch.setattr(rules, "MAX_QUANTITY", 10**18)
    directory = directories.write_minimal_directory(tmp_path / "in")
    _add_order_lines(directory, *[f"DC01,2024-05-16,O1,{line},A,{6 * 10**13}" for line in (2, 3)])
    arguments = [str(directory), "--out", str(tmp_path / "x.csv")]
    error = _run_failing(capsys, command, *(["--input"] if command == "report" else []), *arguments)
    assert "adds up to 120,000,000,000,0" in error
    assert error.endswith("below 100,000,000,000,000 cases; most is ordered by DC DC01 on 2024-05-16 of item A")


def test_a_report_as_parquet_is_that_of_csv(tmp_path: Path) -> None:
    directory = str(directories.write_golden_directory(tmp_path / "in"))
    for name in ("report.csv", "report.parquet"):
        assert main.execute(["report", "--input", directory, "--by", "item,week", "--out", str(tmp_path / name)]) == 0
    rows = pl.read_parquet(tmp_path / "report.parquet")
    assert rows.equals(pl.read_csv(tmp_path / "report.csv", schema=rows.schema))
    assert rows.columns[-5:] == [
        "lost_cases",
        "confirmed_cases",
        "estimated_cases",
        "contract_lost_cases",
        "order_basis",
    ]


def test_a_report_is_sorted_cut_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = str(directories.write_golden_directory(tmp_path / "in"))
    day = ["--from", "2024-05-16", "--to", "2024-05-16", "--input", directory, "--format", "csv"]
    assert main.execute(["report", "--by", "item", "--top", "2", *day]) == 0
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == ["item", "13", "4"]
    assert main.execute(["report", "--by", "item", "--sort", "lost:asc", "--item", "1", "--item", "2", *day]) == 0
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == ["item", "1", "2"]
    assert main.execute(["report", "--by", "dc", "--compare", "previous", *day]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    # The day before: 48 of H_A for 8 items, 30 of H_B, 36 of H_C and H_D, 1 that always sells.
    assert Decimal(row["ordered_cases_before"]) == 48 * 8 + 30 + 36 + 36 + 1
    assert Decimal(row["ordered_cases_change"]) == Decimal(row["ordered_cases"]) - Decimal(row["ordered_cases_before"])
    assert main.execute(["report", "--compare", "year", *day]) == 2
    assert "the files hold nothing of those ship dates" in capsys.readouterr().err


def test_a_target_without_a_row_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory, targets = directories.write_minimal_directory(tmp_path / "in"), tmp_path / "targets.csv"
    targets.write_text("dc,case_fill_rate\nDC1,0.95\n")
    assert main.execute(["report", "--input", str(directory), "--targets", str(targets), "--format", "csv"]) == 0
    assert capsys.readouterr().err == "target: DC1 meets no row of the report; the nearest is DC01\n"


@pytest.mark.parametrize("target", ["0.95", "95", "95%", "95 %"])
def test_a_target_is_the_same_as_a_share_and_in_percent(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, targets = directories.write_minimal_directory(tmp_path / "in"), tmp_path / "targets.csv"
    targets.write_text(f"dc,case_fill_rate\nDC01,{target}\n")
    arguments = ["report", "--input", str(directory), "--targets", str(targets), "--format", "csv"]
    assert main.execute(arguments) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith(",0.9500,-15.00")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dc\nDC01\n", "at least one of case_fill_rate"),
        ("dc,region,otif_rate\nDC01,N,90\n", "columns are dc, region, otif_rate"),
        ("dc,otif_rate\nDC01,high\n", "otif_rate 'high' is not a number"),
        ("dc,otif_rate\nDC01,90\nDC01,91\n", "the same dc is there twice"),
        ("otif_rate\n90\n91\n", "targets for all are one row"),
        ("customer,otif_rate\nC1,90\n", "the targets are by customer, which the report is not grouped by (dc)"),
    ],
)
def test_wrong_targets_are_one_line(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, targets = directories.write_minimal_directory(tmp_path / "in"), tmp_path / "targets.csv"
    targets.write_text(text)
    assert message in _run_failing(capsys, "report", "--input", directory, "--targets", targets)


def test_a_report_as_a_workbook_is_written_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory, out = directories.write_minimal_directory(tmp_path / "in"), tmp_path / "report.xlsx"
    assert main.execute(["report", "--input", str(directory), "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"PK")
    assert capsys.readouterr().out == f"wrote {out}\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in", "report.xlsx"]


def test_an_empty_lake_says_what_fills_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILLRATE_HOME", str(tmp_path))
    assert "holds nothing at all; `fillrate run` fills the lake" in _run_failing(capsys, "report")
    assert "holds nothing at all; `fillrate run` fills the lake" in _run_failing(
        capsys, "explain", "DC01", "2024-05-16", "A"
    )


def test_explain_answers_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = str(directories.write_minimal_directory(tmp_path / "in"))
    assert main.execute(["explain", "DC01", "2024-05-16", "A", "--input", directory]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == ("DC01, 2024-05-16, item A (Tomato soup, 12 x 400 g): 10 ordered, 8 shipped, in stock; lost 2.")
    message = _run_failing(capsys, "explain", "DC01", "2024-05-16", "B", "--input", directory)
    assert message == "DC01 knows no item B, on 2024-05-16 or any other day from 2024-05-16 to 2024-05-16"


def test_load_prints_what_was_loaded_and_what_was_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILLRATE_HOME", str(tmp_path / "home"))
    directory = directories.write_minimal_directory(tmp_path / "in")
    with (directory / "order_lines.csv").open("a") as handle:
        handle.write("DC01,someday,O1,2,A,10\n")
    assert main.execute(["load", str(directory)]) == 0
    captured = capsys.readouterr().out
    assert re.search(r"^order_lines +1 rows$", captured, re.MULTILINE)
    assert re.search(r"^ +1  order_lines: ship_date 'someday' is not a date", captured, re.MULTILINE)
    assert main.execute(["load", str(directory)]) == 0
    assert re.search(r"^order_lines +0 rows$", capsys.readouterr().out, re.MULTILINE)


def test_upgrade_makes_a_record_store_and_leaves_one_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILLRATE_HOME", str(tmp_path))
    assert main.execute(["upgrade"]) == 0
    store = RecordStore(Database(settings.load().storage.record_store_url))
    store.add_dcs(pl.DataFrame({"dc": ["DC01"], "name": ["x"], "time_zone": ["UTC"], "active": [True]}))
    assert main.execute(["upgrade"]) == 0
    assert store.read_dcs()["dc"].to_list() == ["DC01"]
    assert capsys.readouterr().out == "the record store is up to date\n" * 2


@pytest.fixture
def fillrate() -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        code = "from fillrate_assets.cli.main import main; main()"
        command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)  # noqa: S603 - our own command

    return run


def test_the_command_works_as_a_process(
    fillrate: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = fillrate("calculate", directories.write_minimal_directory(tmp_path / "in"), "--out", tmp_path / "lost.csv")
    assert (done.returncode, done.stderr) == (0, "")
    failed = fillrate("calculate", tmp_path / "absent", "--out", tmp_path / "lost.csv")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr == f"fillrate: error: {tmp_path / 'absent'} is not a directory\n"


def test_calculate_loads_no_dagster(tmp_path: Path) -> None:
    directory, out = directories.write_minimal_directory(tmp_path / "in"), tmp_path / "lost.csv"
    code = (
        "import sys; from fillrate_assets.cli import main as cli\n"
        f"assert cli.execute(['calculate', {str(directory)!r}, '--out', {str(out)!r}]) == 0\n"
        "assert not {'dagster', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=PATIENCE_SECONDS)  # noqa: S603 - our own code
