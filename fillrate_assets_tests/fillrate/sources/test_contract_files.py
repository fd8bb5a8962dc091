from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.core.errors import ContractViolation, FillrateError, PermanentFailure
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.pipeline import calculate
from fillrate_assets.fillrate.sources.contract_files import Contracts, read_directory
from fillrate_assets.fillrate.sources.mapped_tables import read_table
from fillrate_assets.fillrate.sources.table_mapping import TableMapping
from fillrate_assets_tests.factories import directories

LOADED_AT = datetime(2024, 5, 17, 6, tzinfo=UTC)
ORDER_HEADER = "dc,ship_date,order_id,line_no,item,ordered_qty"
ORDER = "DC01,2024-05-16,O1,1,A,10"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return directories.write_minimal_directory(tmp_path / "in")


def _read_files(directory: Path) -> Contracts:
    return read_directory(directory, loaded_at=LOADED_AT)


def _read_orders(directory: Path, *lines: str, header: str = ORDER_HEADER) -> Contracts:
    (directory / "order_lines.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return _read_files(directory)


def _read_with_table(directory: Path, name: str, *lines: str) -> Contracts:
    (directory / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return _read_files(directory)


def _list_reasons(contracts: Contracts) -> list[str]:
    return contracts.rejects["reason"].to_list()


def test_frames_keep_their_contracts(directory: Path) -> None:
    contracts = _read_files(directory)
    for frame, contract in [
        (contracts.order_lines, schema.ORDER_LINES),
        (contracts.shipment_lines, schema.SHIPMENT_LINES),
        (contracts.instock_snapshots, schema.INSTOCK_SNAPSHOTS),
        (contracts.items, schema.ITEMS),
        (contracts.dcs, schema.DCS),
        (contracts.waivers, schema.WAIVERS),
        (contracts.rejects, schema.REJECTS),
    ]:
        contract.validate(frame)
    assert contracts.rejects.is_empty()


def test_absent_columns_take_their_defaults(directory: Path) -> None:
    contracts = _read_files(directory)
    for frame in (contracts.order_lines, contracts.shipment_lines):
        assert frame.select("processed_at", "source_seq").row(0) == (LOADED_AT, 0)
    assert contracts.items.select("valid_from", "contract_committed").row(0) == (date(1900, 1, 1), False)


def test_parquet_and_csv_of_the_same_rows_read_the_same(directory: Path) -> None:
    before = _read_files(directory)
    for name in ("order_lines", "shipment_lines", "instock_snapshots", "items"):
        frame = pl.read_csv(directory / f"{name}.csv", try_parse_dates=True)
        frame.write_parquet(directory / f"{name}.parquet")
        (directory / f"{name}.csv").unlink()
    after = _read_files(directory)
    assert after.order_lines.equals(before.order_lines)
    assert after.shipment_lines.equals(before.shipment_lines)
    assert after.instock_snapshots.equals(before.instock_snapshots)
    assert after.items.equals(before.items)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",2024-05-16,O1,2,A,10", "no dc"),
        ("DC01,,O1,2,A,10", "no ship_date"),
        ("DC01,2024-02-30,O1,2,A,10", "ship_date '2024-02-30' is not a date (YYYY-MM-DD)"),
        ("DC01,16.05.2024,O1,2,A,10", "ship_date '16.05.2024' is not a date (YYYY-MM-DD)"),
        ("DC01,2024-05-16,,2,A,10", "no order_id"),
        ("DC01,2024-05-16,O1,,A,10", "no line_no"),
        ("DC01,2024-05-16,O1,2.5,A,10", "line_no '2.5' is not a number"),
        (" ,yesterday,O1,2,A,10", "ship_date 'yesterday' is not a date (YYYY-MM-DD); no dc"),
    ],
)
def test_a_row_without_a_place_is_a_reject_with_its_reason(line: str, reason: str, directory: Path) -> None:
    contracts = _read_orders(directory, ORDER, line)
    assert contracts.order_lines.height == 1
    (reject,) = contracts.rejects.to_dicts()
    assert reject["reason"] == reason
    assert reject["table"] == "order_lines"
    assert list(json.loads(reject["raw"]).values()) == line.split(",")


def test_a_reject_keeps_the_day_and_key_that_could_be_read(directory: Path) -> None:
    (reject,) = _read_orders(directory, ORDER, "DC01,2024-05-16,O1,x,A,10").rejects.to_dicts()
    assert (reject["dc"], reject["ship_date"], reject["key"]) == ("DC01", date(2024, 5, 16), "O1")


@pytest.mark.parametrize("moment", ["", "last night"])
def test_a_row_whose_version_cannot_be_read_is_a_reject(moment: str, directory: Path) -> None:
    contracts = _read_orders(
        directory, f"{ORDER},2024-05-16T08:00:00Z", f"{ORDER},{moment}", header=f"{ORDER_HEADER},processed_at"
    )
    assert contracts.order_lines["processed_at"].to_list() == [datetime(2024, 5, 16, 8, tzinfo=UTC)]
    assert contracts.rejects.height == 1
    assert "processed_at" in _list_reasons(contracts)[0]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("A,12x,,", "ordered_qty '12x' is not a number"),
        ("A,nan,,", "ordered_qty 'nan' is not a number"),
        ("A,,,", "no ordered quantity"),
        ("B,10,,", "item B is not in force on the ship date"),
        (",10,,", "no item"),
        ("A,10,EA,", "unit is not cases and there is no pack size"),
        ("A,10,EA,-12", "pack size is not positive"),
        ("A,10,EA,dozen", "pack_size 'dozen' is not a number"),
    ],
)
def test_a_row_with_a_place_is_left_to_the_rules(values: str, reason: str, directory: Path) -> None:
    contracts = _read_orders(directory, f"DC01,2024-05-16,O1,1,{values}", header=f"{ORDER_HEADER},uom,pack_size")
    assert contracts.rejects.is_empty()
    assert calculate(contracts.inputs).rejects.filter(table="order_lines")["reason"].to_list() == [reason]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("DC01,2024-05-16,O1,2,A", "line 3: 5 fields, the header has 6"),
        ("DC01,2024-05-16,O1,2,A,10,surplus", "line 3: 7 fields, the header has 6"),
        ('DC01,2024-05-16,O1,2,"A"B,10', "line 3: a quote closes before its field ends"),
        ('DC01,"2024\n05",O1', "line 3-4: 3 fields, the header has 6"),
    ],
)
def test_a_ragged_row_is_a_reject_with_its_text(line: str, message: str, directory: Path) -> None:
    contracts = _read_orders(directory, ORDER, line, "DC01,2024-05-16,O1,3,A,10")
    assert contracts.order_lines["line_no"].to_list() == [1, 3]
    (reject,) = contracts.rejects.to_dicts()
    assert reject["reason"] == message
    assert json.loads(reject["raw"]) == {"text": line}


@pytest.mark.parametrize(
    "encode",
    [
        pytest.param(lambda text: text.encode("utf-8"), id="utf-8"),
        pytest.param(lambda text: text.encode("utf-8-sig"), id="byte order mark"),
        pytest.param(lambda text: text.encode("utf-16"), id="utf-16"),
        pytest.param(lambda text: b"\xfe\xff" + text.encode("utf-16-be"), id="utf-16, big-endian"),
        pytest.param(lambda text: text.replace("\n", "\r\n").encode(), id="CRLF"),
        pytest.param(lambda text: text.replace("\n", "\r").encode(), id="CR"),
        pytest.param(lambda text: text.replace("\n", "\r\n", 1).encode(), id="CRLF, then LF"),
        pytest.param(lambda text: text.replace("\n", "\r", 2).encode(), id="CR, then LF"),
        pytest.param(lambda text: text.replace("\n", "\n\n").encode(), id="blank lines"),
        pytest.param(lambda text: text.removesuffix("\n").encode(), id="no last line end"),
        pytest.param(lambda text: text.replace("Crème", '"Crème"').encode(), id="quoted"),
        pytest.param(lambda text: text.replace("item,", " item ,").encode(), id="spaces in the header"),
        pytest.param(lambda text: text.replace("\n", ",\n").encode(), id="a column without a name"),
    ],
)
def test_how_a_file_is_written_does_not_matter(encode: Callable[[str], bytes], directory: Path) -> None:
    (directory / "items.csv").write_bytes(encode("item,item_type,description\nA,STOCK,Crème\nB,FLOW,Ñame\n"))
    assert _read_files(directory).items["description"].to_list() == ["Crème", "Ñame"]


def test_another_encoding_is_named_in_the_mapping(directory: Path) -> None:
    (directory / "items.csv").write_bytes("item,item_type,description\nA,STOCK,Crème\n".encode("cp1252"))
    with pytest.raises(ContractViolation, match=r"items.csv: line 2 is not utf-8; name its encoding in mapping.toml"):
        _read_files(directory)
    (directory / "mapping.toml").write_text('[items]\nencoding = "cp1252"\n')
    assert _read_files(directory).items["description"].to_list() == ["Crème"]


def test_a_quoted_field_may_hold_lines_separators_and_quotes(directory: Path) -> None:
    description = 'Soup, "hot"\r\nand sour'
    directories.write_csv(directory / "items.csv", [{"item": "A", "item_type": "STOCK", "description": description}])
    assert _read_files(directory).items["description"].to_list() == [description]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "order_lines.csv: the file is empty, without even a header"),
        (b"\r\n \n", "order_lines.csv: the file is empty, without even a header"),
        (b"dc,dc,item\n", "order_lines.csv: the header names dc more than once"),
        (b"dc;ship_date\n1;2\n", "order_lines: column dc, ship_date, .* is missing; found dc;ship_date"),
        (b'dc,item\n"x,1\ny,2\n', "order_lines.csv: a quote opened on line 2 is never closed"),
        ("dc,item\n1,2\n".encode("utf-16-le"), "order_lines.csv: line 1 is not utf-8"),
    ],
)
def test_a_file_that_is_no_table_is_an_error_that_names_it(content: bytes, message: str, directory: Path) -> None:
    (directory / "order_lines.csv").write_bytes(content)
    with pytest.raises(ContractViolation, match=message):
        _read_files(directory)


def test_a_header_alone_is_a_table_without_rows(directory: Path) -> None:
    contracts = _read_orders(directory)
    assert contracts.order_lines.is_empty()
    assert _list_reasons(contracts) == ["no order line for this shipment"]


def test_a_parquet_file_that_is_none_is_an_error_that_names_it(directory: Path) -> None:
    (directory / "items.csv").rename(directory / "items.parquet")
    with pytest.raises(ContractViolation, match=r"items.parquet: not a Parquet file"):
        _read_files(directory)


@pytest.mark.parametrize("name", ["order_lines", "items"])
def test_a_required_table_that_is_absent_is_named_with_what_is_there(name: str, directory: Path) -> None:
    (directory / f"{name}.csv").unlink()
    with pytest.raises(ContractViolation, match=rf"{name}.csv \(or .parquet\) is missing; found .*shipment_lines.csv"):
        _read_files(directory)


def test_a_directory_that_is_absent_is_a_permanent_failure(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure, match="absent is not a directory"):
        _read_files(tmp_path / "absent")


def test_two_files_for_one_table_are_an_error(directory: Path) -> None:
    (directory / "items.parquet").write_bytes(b"")
    with pytest.raises(ContractViolation, match=r"both items.csv and items.parquet exist"):
        _read_files(directory)


# Shipments


def test_a_shipment_without_a_date_ships_when_the_latest_version_of_its_order_line_does(directory: Path) -> None:
    contracts = _read_orders(
        directory,
        "DC01,2024-05-16,O1,1,A,10,2024-05-15 09:00:00",
        "DC01,2024-05-17,O1,1,A,10,2024-05-16 09:00:00",
        header=f"{ORDER_HEADER},processed_at",
    )
    assert contracts.shipment_lines["ship_date"].to_list() == [date(2024, 5, 17)]


def test_a_shipment_without_an_order_line_has_the_date_on_which_it_left_or_none(directory: Path) -> None:
    contracts = _read_with_table(
        directory,
        "shipment_lines",
        "dc,order_id,line_no,shipped_qty,shipped_at",
        "DC01,O7,1,5,2024-05-16 22:00:00",
        "DC01,O8,1,5,",
    )
    assert contracts.shipment_lines.select("order_id", "ship_date").rows() == [("O7", date(2024, 5, 16))]
    assert contracts.rejects.select("key", "reason").rows() == [("O8/1", "no order line for this shipment")]


def test_order_lines_may_hold_what_was_shipped(directory: Path) -> None:
    (directory / "shipment_lines.csv").unlink()
    contracts = _read_orders(
        directory,
        f"{ORDER},8,2024-05-16 20:00:00,01",
        "DC01,2024-05-16,O1,2,A,5,,,",
        "DC01,2024-05-16,O1,3,A,-5,-5,,",
        header=f"{ORDER_HEADER},shipped_qty,delivered_at,reason_code",
    )
    schema.SHIPMENT_LINES.validate(contracts.shipment_lines)
    shipped = contracts.shipment_lines.select("line_no", "shipped_qty", "ship_date", "reason_code").rows()
    day = date(2024, 5, 16)
    assert shipped == [(1, Decimal(8), day, "01"), (2, Decimal(0), day, None)]
    calculation = calculate(contracts.inputs)
    assert calculation.rejects.height == 1
    assert calculation.records["shipped_cases"].to_list() == [Decimal(8)]


def test_a_directory_that_says_nothing_of_shipments_is_an_error(directory: Path) -> None:
    (directory / "shipment_lines.csv").unlink()
    with pytest.raises(ContractViolation, match="what was shipped is unknown"):
        _read_files(directory)


# Items, DCs, waivers


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("B,pallet,12,,", "item_type PALLET is neither STOCK nor FLOW"),
        ("B,,12,,", "item_type empty is neither STOCK nor FLOW"),
        (",STOCK,12,,", "no item"),
        ("B,STOCK,dozen,,", "pack_size 'dozen' is not a number"),
        ("B,STOCK,12,2024-13-01,", "valid_from '2024-13-01' is not a date (YYYY-MM-DD)"),
        ("B,STOCK,12,,perhaps", "contract_committed 'perhaps' is not Y or N"),
    ],
)
def test_an_item_that_cannot_be_used_is_a_reject(line: str, reason: str, directory: Path) -> None:
    header = "item,item_type,pack_size,valid_from,contract_committed"
    contracts = _read_with_table(directory, "items", header, "A,flow,12,,Y", line)
    assert contracts.items.select("item", "item_type").rows() == [("A", "FLOW")]
    assert _list_reasons(contracts) == [reason]


def test_the_last_row_of_an_item_and_day_holds(directory: Path) -> None:
    contracts = _read_with_table(
        directory,
        "items",
        "item,item_type,vendor,valid_from",
        "A,STOCK,first,",
        "A,STOCK,last,",
        "A,STOCK,later,2024-01-01",
        "A,PALLET,wrong,",
    )
    assert contracts.items["vendor"].to_list() == ["last", "later"]
    assert contracts.rejects.height == 2
    assert "a later row of the file has the same item and valid_from" in _list_reasons(contracts)


def test_fsa_is_another_name_for_contract_committed(directory: Path) -> None:
    assert _read_with_table(directory, "items", "item,item_type,fsa", "A,STOCK,Y").items[
        "contract_committed"
    ].to_list() == [True]


def test_a_dc_has_a_time_zone_and_takes_part_unless_the_file_says_otherwise(directory: Path) -> None:
    contracts = _read_with_table(directory, "dcs", "dc,time_zone,active", "DC01,Europe/Berlin,N", "DC02,,")
    assert contracts.dcs.rows() == [("DC01", "DC01", "Europe/Berlin", False), ("DC02", "DC02", "UTC", True)]
    assert contracts.time_zones == {"DC01": "Europe/Berlin", "DC02": "UTC"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["DC01,Mars/Olympus,Y"], "time_zone 'Mars/Olympus' of DC01 is not an IANA time zone"),
        (["DC01,,Y", "DC01,,Y"], "dc DC01 is there twice"),
        ([",UTC,Y"], "1 rows have no dc"),
        (["DC01,UTC,perhaps"], "active 'perhaps' is not Y or N"),
    ],
)
def test_a_wrong_dc_is_an_error(lines: list[str], message: str, directory: Path) -> None:
    with pytest.raises(ContractViolation, match=message):
        _read_with_table(directory, "dcs", "dc,time_zone,active", *lines)


def test_a_waiver_without_a_first_day_always_held(directory: Path) -> None:
    contracts = _read_with_table(
        directory, "waivers", "reason_code,valid_to", "12,2024-12-31", ",2024-12-31", "17,never"
    )
    assert contracts.waivers.rows() == [("12", date(1900, 1, 1), date(2024, 12, 31))]
    assert _list_reasons(contracts) == ["no reason_code", "valid_to 'never' is not a date (YYYY-MM-DD)"]


# The mapping


def test_a_mapping_renames_translates_and_adds(directory: Path) -> None:
    (directory / "order_lines.csv").unlink()
    (directory / "Aufträge.csv").write_text(
        "Lager;Versanddatum;Auftrag;Pos;Artikel;Menge;Stand;item\nDC01;16/05/2024;O1;1;A;10;STORNO;not this\n",
        encoding="utf-8",
    )
    (directory / "mapping.toml").write_text(
        """
        [order_lines]
        file = "Aufträge.csv"
        separator = ";"
        date_format = ["%d/%m/%Y %H:%M", "%d/%m/%Y"]

        [order_lines.columns]
        dc = "Lager"
        ship_date = "Versanddatum"
        order_id = "Auftrag"
        line_no = "Pos"
        item = "Artikel"
        ordered_qty = "Menge"
        status = "Stand"

        [order_lines.values.status]
        STORNO = "CANCELLED"

        [order_lines.constants]
        uom = "EA"
        pack_size = 12
        """,
        encoding="utf-8",
    )
    row = _read_files(directory).order_lines.row(0, named=True)
    assert (row["dc"], row["ship_date"], row["item"], row["line_no"]) == ("DC01", date(2024, 5, 16), "A", 1)
    assert (row["status"], row["uom"], row["pack_size"], row["problem"]) == ("CANCELLED", "EA", Decimal(12), None)


def test_a_mapping_may_lie_elsewhere(directory: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "ours.toml"
    mapping.write_text('[items.constants]\nitem_type = "FLOW"\n')
    contracts = read_directory(directory, mapping, loaded_at=LOADED_AT)
    assert contracts.items["item_type"].to_list() == ["FLOW"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[order_lines", "not a TOML file"),
        ("[orders]", r"unknown table orders \(tables: order_lines, shipment_lines"),
        ('[items]\ncolums = "x"', r"items.colums: unknown key \(keys: file, columns"),
        ('[items.columns]\nsku = "SKU"', r"items has no column sku \(columns: item, description"),
        ('[items.values.kind]\nS = "STOCK"', "items has no column kind"),
        ('[items.columns]\nitem = "SKU"', r"items.csv: column SKU of the mapping is missing; found item, item_type"),
        ('[items]\nfile = "master.csv"', r"master.csv, which the mapping names for items, is missing; found"),
        ('[items]\nfile = "mapping.toml"', r"a table is a .csv or a .parquet file"),
        ('[items]\nencoding = "klingon"', "items.encoding: unknown encoding 'klingon'"),
        ('[items]\nseparator = "||"', "items.separator: String should have at most 1 character"),
        ('[items.columns]\nvendor = "V"\n[items.constants]\nvendor = "W"', "items.vendor is both a column and a const"),
    ],
)
def test_a_wrong_mapping_is_an_error_that_says_what_is_right(text: str, message: str, directory: Path) -> None:
    (directory / "mapping.toml").write_text(text)
    with pytest.raises(ContractViolation, match=message):
        _read_files(directory)


def test_a_mapping_that_is_named_must_exist(directory: Path) -> None:
    with pytest.raises(PermanentFailure, match=r"mapping .*ours.toml does not exist"):
        read_directory(directory, directory / "ours.toml", loaded_at=LOADED_AT)


# Invariants

_FIELDS = st.text(st.sampled_from('ab1 ,"\n\r;é\t'), max_size=4)


@given(rows=st.lists(st.lists(_FIELDS, min_size=1, max_size=4), max_size=6), line_end=st.sampled_from(["\n", "\r\n"]))
def test_every_row_of_any_text_is_read_or_rejected(
    rows: list[list[str]], line_end: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("any")
    (directory / "t.csv").write_bytes(line_end.join(["x,y", *map(",".join, rows)]).encode())
    try:
        table = read_table(directory, "t", TableMapping(), {})
    except FillrateError:
        return
    assert table is not None
    assert table.original.columns == table.mapped.columns == ["x", "y"]
    assert table.original.height == table.mapped.height


@given(rows=st.lists(st.lists(st.text(st.sampled_from("ab1 é;\t'#"), max_size=4), min_size=3, max_size=3), max_size=6))
def test_the_fast_reader_reads_what_the_careful_one_does(
    rows: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("both")
    plain = "\n".join(map(",".join, [["x", "y", "z"], *rows]))
    (directory / "plain.csv").write_text(plain)
    (directory / "quoted.csv").write_text(plain.replace("x,y,z", '"x",y,z'))
    fast, careful = (read_table(directory, name, TableMapping(), {}) for name in ("plain", "quoted"))
    assert fast is not None
    assert careful is not None
    assert fast.original.equals(careful.original)
    assert fast.original.rows() == [tuple(row) for row in rows]
