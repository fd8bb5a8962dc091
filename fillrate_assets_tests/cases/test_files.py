"""Files as people have them: each is read as it is meant, or one line says what is wrong and what to do."""
# ruff: noqa: E501 - rows and mappings of files are as wide as they are

from __future__ import annotations

import gzip
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import openpyxl
import polars as pl
import pytest

from fillrate_assets.cli import main
from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.fillrate.rules.pipeline import calculate
from fillrate_assets.fillrate.sources.contract_files import Contracts, read_directory
from fillrate_assets_tests.factories import directories

NOW = datetime(2024, 6, 1, tzinfo=UTC)
HEADER = "dc,ship_date,order_id,line_no,item,ordered_qty,shipped_qty"
ROW = "DC01,2024-05-16,O1,1,A,10,8"
OTHER = "DC01,2024-05-16,O2,1,A,5,5"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory without order lines."""
    directories.write_csv(tmp_path / "items.csv", [{"item": "A", "item_type": "STOCK", "pack_size": 12}])
    snapshot = {"dc": "DC01", "snapshot_date": "2024-05-16", "item": "A", "instock": "Y"}
    directories.write_csv(tmp_path / "instock_snapshots.csv", [snapshot])
    return tmp_path


def _read(folder: Path, mapping: str = "", **files: str | bytes) -> Contracts:
    """Read a folder after writing files into it, `__` in whose names is a point."""
    for name, content in files.items():
        file = folder / name.replace("__", ".")
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    if mapping:
        (folder / "mapping.toml").write_text(mapping, encoding="utf-8")
    return read_directory(folder, loaded_at=NOW)


def _sum_cases(contracts: Contracts) -> tuple[float, float]:
    """Cases that were ordered and shipped on lines that count."""
    lines = calculate(contracts.inputs).lines.filter(pl.col("disposition") == "COUNTED")
    return float(lines["ordered_cases"].sum()), float(lines["shipped_cases"].sum())


# Headers


@pytest.mark.parametrize("name", ["UOM", "Uom", " uom ", "U_O_M", "u o m", "UoM", "u-o-m"])
def test_a_header_matches_without_regard_to_case_blanks_and_underscores(name: str, folder: Path) -> None:
    contracts = _read(folder, order_lines__csv=f"{HEADER},{name}\nDC01,2024-05-16,O1,1,A,120,120,EA\n")
    assert _sum_cases(contracts) == (10, 10)


def test_a_whole_header_may_be_written_for_people(folder: Path) -> None:
    header = "DC,Ship Date,Order ID,Line No,Item,Ordered Qty,Shipped Qty"
    assert _sum_cases(_read(folder, order_lines__csv=f"{header}\n{ROW}\n")) == (10, 8)


def test_a_mapping_names_columns_without_regard_to_case_as_well(folder: Path) -> None:
    text = f"{HEADER.replace('item', 'Sku No')}\n{ROW}\n"
    assert _sum_cases(_read(folder, '[order_lines.columns]\nitem = "SKU_NO"\n', order_lines__csv=text)) == (10, 8)


@pytest.mark.parametrize(("near", "name"), [("uoms", "uom"), ("packsizes", "pack_size"), ("shiped_at", "shipped_at")])
def test_a_near_miss_is_asked_for_by_name(near: str, name: str, folder: Path) -> None:
    text = f"{HEADER},{near}\n{ROW},\n"
    with pytest.raises(ContractViolation, match=rf'order_lines.csv: column {near} is near to {name}: say {name} = "'):
        _read(folder, order_lines__csv=text)
    contracts = _read(folder, f'[order_lines]\nignore = "{near}"\n')
    assert _sum_cases(contracts) == (10, 8)


def test_a_required_column_that_is_misspelt_is_asked_for(folder: Path) -> None:
    with pytest.raises(ContractViolation, match="column orderd_qty is near to ordered_qty"):
        _read(folder, order_lines__csv=f"{HEADER.replace('ordered_qty', 'orderd_qty')}\n{ROW}\n")


def test_a_name_with_a_word_more_is_noted_and_not_read(folder: Path) -> None:
    contracts = _read(folder, order_lines__csv=f"{HEADER},customer_id\n{ROW},C1\n")
    assert contracts.order_lines["customer"].to_list() == [None]
    (note,) = contracts.notes
    assert "column customer_id is not read; if it is customer, name it in [order_lines.columns]" in note


@pytest.mark.parametrize(
    ("header", "name"),
    [
        *[(header, "uom") for header in ("unit", "Unit of Measure", "uom_code", "Sales UoM", "VRKME")],
        *[("Order Status", "status"), ("Status Code", "status"), ("Reason for Rejection", "cancel_reason")],
        *[("Delivered to Client Date", "delivered_at"), ("Case Pack", "pack_size"), ("ETENR", "schedule_line")],
    ],
)
def test_what_systems_call_a_column_that_changes_numbers_is_noted(header: str, name: str, folder: Path) -> None:
    (note,) = _read(folder, order_lines__csv=f"{HEADER},{header}\n{ROW},EA\n").notes
    assert f"column {header} is not read; if it is {name}, name it in [order_lines.columns]" in note
    assert not _read(folder, f'[order_lines]\nignore = "{header}"\n').notes


def test_a_header_that_is_a_column_written_otherwise_doubles_it(folder: Path) -> None:
    with pytest.raises(ContractViolation, match="shipped_qty and Shipped Qty are both shipped_qty"):
        _read(folder, order_lines__csv=f"{HEADER},Shipped Qty\n{ROW},3\n")


def test_two_headers_for_one_column_are_an_error(folder: Path) -> None:
    with pytest.raises(ContractViolation, match=r"UOM and U\.O\.M are both uom; name one in the mapping"):
        _read(folder, order_lines__csv=f"{HEADER},UOM,U.O.M\n{ROW},CS,CS\n")


def test_a_doubled_header_that_nothing_reads_blocks_nothing(folder: Path) -> None:
    contracts = _read(folder, order_lines__csv=f"{HEADER},Description,Description\n{ROW},x,y\n")
    assert _sum_cases(contracts) == (10, 8)


def test_a_doubled_header_that_is_read_is_an_error(folder: Path) -> None:
    text = f"{HEADER},Qty,Qty\n{ROW},1,2\n"
    with pytest.raises(ContractViolation, match=r"order_lines\.csv: the header names Qty more than once"):
        _read(folder, '[order_lines.columns]\nordered_qty = "Qty"\n', order_lines__csv=text)
    (folder / "mapping.toml").unlink()
    with pytest.raises(ContractViolation, match=r"order_lines\.csv: the header names item more than once"):
        _read(folder, order_lines__csv=f"{HEADER},item\n{ROW},B\n")


# Formats


def _pack(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


def _separate_by_tabs(text: str) -> str:
    return text.replace(",", "\t")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("order_lines.tsv", _separate_by_tabs(f"{HEADER}\n{ROW}\n").encode()),
        ("order_lines.txt", _separate_by_tabs(f"{HEADER}\n{ROW}\n").encode()),
        ("order_lines.csv.gz", _pack(f"{HEADER}\n{ROW}\n")),
        ("order_lines.tsv.gz", _pack(_separate_by_tabs(f"{HEADER}\n{ROW}\n"))),
        ("order_lines.CSV.GZ", _pack(f"{HEADER}\n{ROW}\n")),
    ],
)
def test_a_table_may_be_a_file_of_another_format(name: str, content: bytes, folder: Path) -> None:
    mapping = f'[order_lines]\nfile = "{name}"\n' if name.isupper() or "CSV" in name else ""
    (folder / name).write_bytes(content)
    assert _sum_cases(_read(folder, mapping)) == (10, 8)


def _write_workbook(file: Path, *rows: list[object], sheet: str = "Orders", before: int = 0) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Cover"
    page = book.create_sheet(sheet)
    for row in [["Printed 2024"]] * before + list(rows):
        page.append(row)
    book.save(file)


def test_a_workbook_is_read_as_its_cells_show(folder: Path) -> None:
    day = datetime(2024, 5, 16)  # noqa: DTZ001 - a cell has no zone
    _write_workbook(
        folder / "order_lines.xlsx",
        ["DC", "Ship date", "Order ID", "Line No", "Item", "Ordered Qty", "Shipped Qty", None],
        ["DC01", day, 4711, 1.0, "A", 10, 8.5],
        [None] * 8,
        ["DC01", "2024-05-16", "O2", "x", "A", 5, 5],
        ["DC01", "2024-05-16", "O3", "1", "A", 5, 5, "beyond"],
        before=2,
    )
    contracts = _read(folder, '[order_lines]\nsheet = "Orders"\nskip_lines = 2\n')
    (row,) = contracts.order_lines.select("ship_date", "order_id", "line_no", "ordered_qty").rows()
    assert row == (date(2024, 5, 16), "4711", 1, Decimal(10))
    assert contracts.shipment_lines["shipped_qty"].to_list() == [Decimal("8.5")]
    assert sorted(contracts.rejects["reason"]) == [
        "line_no 'x' is not a number",
        "row 7: a value beyond the 7 columns of the header",
    ]


def test_a_sheet_that_is_not_there_is_named(folder: Path) -> None:
    _write_workbook(folder / "order_lines.xlsx", ["dc"])
    with pytest.raises(ContractViolation, match="there is no sheet Lines; found Cover, Orders"):
        _read(folder, '[order_lines]\nsheet = "Lines"\n')


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04 and more", r"this is an Excel workbook or a zip file; a table of that kind is called .xlsx"),
        (b"\xd0\xcf\x11\xe0 and more", "this is a workbook of Excel before 2007"),
        (b"PAR1 and more", "this is a Parquet file; a table of that kind is called .parquet"),
        (_pack("dc"), "this is a file that gzip packed"),
        (b"%PDF-1.7", "this is a PDF"),
        (b" <HTML><table>", "this is a web page, as some systems export for Excel"),
        (b'\n[{"dc": "DC01"}]', "this is JSON; export it as CSV"),
        (b"<?xml version='1.0'?>", "this is XML; export it as CSV"),
        (b"sep=;\ndc;item\n", "its first line names the separator, for Excel: say skip_lines = 1"),
        (f"{HEADER}\nDC01,2024-05-16,O1,1,A\0,10,8\n".encode(), "line 2 has a NUL character"),
        (f"{HEADER}\n{ROW}\n".encode("utf-16-le"), 'may be UTF-16 without its mark: encoding = "utf-16-le"'),
        (f"{HEADER}\n{ROW}\n".encode("utf-16-be"), 'may be UTF-16 without its mark: encoding = "utf-16-be"'),
        (f"{HEADER}\n{ROW}\n".replace(",", ";").encode(), 'name its separator in the mapping: separator = ";"'),
        (f"{HEADER}\n{ROW}\n".replace(",", "\t").encode(), r'name its separator in the mapping: separator = "\\t"'),
        (f"{ROW}\n".encode(), "if the header is further down, say skip_lines; if there is none, header = false"),
        (b"dc\xe9,item\n1,2\n", 'line 1 is not utf-8; name its encoding in mapping.toml, e.g. encoding = "cp1252"'),
    ],
)
def test_a_wrong_file_gets_the_right_hint(content: bytes, said: str, folder: Path) -> None:
    with pytest.raises(ContractViolation, match=said):
        _read(folder, order_lines__csv=content)


@pytest.mark.parametrize("name", ["order_lines.parquet", "order_lines.xlsx", "order_lines.csv.gz"])
@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"PK\x03\x04", b"PAR1PAR1", b"\x1f\x8b\x08\0"])
def test_a_broken_file_is_one_line_that_names_it(name: str, content: bytes, folder: Path) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ContractViolation, match=name):
        _read(folder)


@pytest.mark.parametrize("separator", ["§", "€", "\\n", "\\u0000", "a", "1", '\\"'])
def test_a_separator_is_one_ascii_character(separator: str, folder: Path) -> None:
    with pytest.raises(ContractViolation, match=r"order_lines\.separator: .* is one ASCII character that is no letter"):
        _read(folder, f'[order_lines]\nseparator = "{separator}"\n', order_lines__csv=f"{HEADER}\n{ROW}\n")


@pytest.mark.parametrize("encoding", ["base64", "rot13", "hex", "zlib", "undefined", "klingon"])
def test_an_encoding_of_no_text_is_named(encoding: str, folder: Path) -> None:
    with pytest.raises(ContractViolation, match=f"order_lines.encoding: unknown encoding '{encoding}'"):
        _read(folder, f'[order_lines]\nencoding = "{encoding}"\n', order_lines__csv=f"{HEADER}\n{ROW}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 5_000, "not a TOML file"),
        ("[order_lines]\na = " + "{b = " * 5_000, "not a TOML file"),
        ("[order_lines.constants]\nship_date = 0000-01-01\n", "not a TOML file"),
        ("[order_lines]\nempty_dates = [2024-02-30]\n", "not a TOML file"),
    ],
)
def test_a_mapping_that_cannot_be_parsed_is_one_line(text: str, said: str, folder: Path) -> None:
    with pytest.raises(ContractViolation, match=said):
        _read(folder, text, order_lines__csv=f"{HEADER}\n{ROW}\n")


# Several files, lines before the header, no header, a second file


@pytest.mark.parametrize("mapping", ['file = ["may.csv", "june.csv"]', 'file = "*e.csv"\nignore = "x"', 'file = "all"'])
def test_a_table_may_be_several_files(mapping: str, folder: Path) -> None:
    (folder / "all").mkdir()
    for place in (folder, folder / "all"):
        (place / "june.csv").write_text(f"{HEADER}\n{ROW}\n")
        (place / "may.csv").write_text(f"{HEADER},x\n{OTHER},y\n")
    if "*" in mapping:
        (folder / "may.csv").rename(folder / "mae.csv")
    assert _sum_cases(_read(folder, f"[order_lines]\n{mapping}\n")) == (15, 13)


def test_a_folder_of_the_tables_name_is_the_table(folder: Path) -> None:
    (folder / "order_lines").mkdir()
    (folder / "order_lines" / "1.csv").write_text(f"{HEADER}\n{ROW}\n")
    (folder / "order_lines" / "2.tsv").write_text(_separate_by_tabs(f"{HEADER}\nDC01,2024-05-16\n{OTHER}\n"))
    pl.DataFrame({name: [value] for name, value in zip(HEADER.split(","), OTHER.split(","), strict=True)}).with_columns(
        pl.lit("O3").alias("order_id"), pl.lit(5).alias("ordered_qty")
    ).write_parquet(folder / "order_lines" / "3.parquet")
    contracts = _read(folder)
    assert _sum_cases(contracts) == (20, 18)
    assert contracts.rejects["reason"].to_list() == ["2.tsv, line 2: 2 fields, the header has 7"]


def test_a_pattern_that_meets_nothing_is_named(folder: Path) -> None:
    with pytest.raises(ContractViolation, match=r"orders_\*.csv, which the mapping names for order_lines, is missing"):
        _read(folder, '[order_lines]\nfile = "orders_*.csv"\n')


def test_lines_before_the_header_are_skipped_and_counted(folder: Path) -> None:
    text = f'Report "of May"\n\n{HEADER}\n{ROW}\nDC01\n'
    contracts = _read(folder, "[order_lines]\nskip_lines = 2\n", order_lines__csv=text)
    assert _sum_cases(contracts) == (10, 8)
    assert contracts.rejects["reason"].to_list() == ["line 5: 1 fields, the header has 7"]


def test_a_file_without_a_header_is_mapped_by_position(folder: Path) -> None:
    places = "\n".join(f"{name} = {place}" for place, name in enumerate(HEADER.split(","), start=1))
    mapping = f"[order_lines]\nheader = false\n[order_lines.columns]\n{places}\n"
    contracts = _read(folder, mapping, order_lines__csv=f"{ROW}\n{OTHER.replace('O2', chr(34) + 'O2' + chr(34))}\n")
    assert _sum_cases(contracts) == (15, 13)
    with pytest.raises(ContractViolation, match="the mapping names column 9; the file has 7"):
        _read(folder, mapping.replace("shipped_qty = 7", "shipped_qty = 9"))


def test_a_file_of_headers_is_joined_to_the_lines(folder: Path) -> None:
    lines = "VBELN;POSNR;item;ordered_qty;shipped_qty;ship_date\n0001;10;A;10;8;\n0002;10;A;5;5;\n0003;10;A;1;1;\n"
    heads = "VBELN;KUNNR;WADAT;item\n0001;C1;2024-05-16;not this\n0002;C2;2024-05-17;nor this\n"
    mapping = """
        [order_lines]
        separator = ";"
        [order_lines.join]
        file = "heads.csv"
        separator = ";"
        on = "VBELN"
        [order_lines.columns]
        order_id = "VBELN"
        line_no = "POSNR"
        customer = "KUNNR"
        ship_date = "WADAT"
        [order_lines.constants]
        dc = "DC01"
    """
    contracts = _read(folder, mapping, order_lines__csv=lines, heads__csv=heads)
    assert contracts.order_lines.select("order_id", "customer", "ship_date", "item").rows() == [
        ("0001", "C1", date(2024, 5, 16), "A"),
        ("0002", "C2", date(2024, 5, 17), "A"),
    ]
    assert contracts.rejects["reason"].to_list() == ["no ship_date"]
    with pytest.raises(ContractViolation, match=r"heads.csv: 2 rows share their VBELN, e.g. 0001"):
        _read(folder, heads__csv=f"{heads}0001;C9;2024-05-18;x\n")


def test_keys_of_a_join_may_have_different_names_and_types(folder: Path) -> None:
    pl.DataFrame({"id": [1.0, 2.0], "day": ["2024-05-16", "2024-05-17"]}).write_parquet(folder / "heads.parquet")
    mapping = (
        '[order_lines.join]\nfile = "heads.parquet"\non = {order_id = "id"}\n[order_lines.columns]\nship_date = "day"\n'
    )
    text = "dc,order_id,line_no,item,ordered_qty,shipped_qty\nDC01,1,1,A,10,8\nDC01,2,1,A,5,5\n"
    contracts = _read(folder, mapping, order_lines__csv=text)
    assert contracts.order_lines["ship_date"].to_list() == [date(2024, 5, 16), date(2024, 5, 17)]


# Rows and values


def test_rows_that_do_not_count_are_filtered(folder: Path) -> None:
    text = f"{HEADER},Type,Div\n{ROW},TA,01\n{OTHER},RE,01\n{OTHER.replace('O2', 'O3')},TA,02\n{OTHER.replace('O2', 'O4')},,01\n"
    mapping = '[order_lines.where]\nType = ["TA", ""]\n[order_lines.where_not]\nDiv = "02"\n'
    contracts = _read(folder, mapping, order_lines__csv=text)
    assert contracts.order_lines["order_id"].to_list() == ["O1", "O4"]
    assert (contracts.counts["order_lines"].read, contracts.counts["order_lines"].excluded) == (4, 2)


def test_a_default_stands_for_all_other_values(folder: Path) -> None:
    text = f"{HEADER},status\n" + "".join(
        f"DC01,2024-05-16,O{i},1,A,1,1,{value}\n" for i, value in enumerate(["C", "X", "", "SHIPPED"])
    )
    mapping = '[order_lines.values.status]\nC = "CANCELLED"\nSHIPPED = "SHIPPED"\n"*" = "OPEN"\n"" = "SHIPPED"\n'
    contracts = _read(folder, mapping, order_lines__csv=text)
    assert contracts.order_lines["status"].to_list() == ["CANCELLED", "OPEN", "SHIPPED", "SHIPPED"]


def test_null_tokens_are_empty(folder: Path) -> None:
    text = f"{HEADER},requested_date,customer\n{ROW},NULL,n/a\n"
    contracts = _read(folder, '[order_lines]\nnulls = ["NULL", "n/a"]\n', order_lines__csv=text)
    assert contracts.order_lines.select("requested_date", "customer", "problem").row(0) == (None, None, None)


@pytest.mark.parametrize(
    ("written", "instock"), [("5", "Y"), ("0", "N"), ("-3", "N"), ("0.5", "Y"), ("1,5", "1,5"), ("", None)]
)
def test_instock_may_be_a_quantity(written: str, instock: str | None, folder: Path) -> None:
    contracts = _read(
        folder,
        "[instock_snapshots]\ninstock_above = 0\n",
        order_lines__csv=f"{HEADER}\n{ROW}\n",
        instock_snapshots__csv=f'dc,snapshot_date,item,on_hand_cases\nDC01,2024-05-16,A,"{written}"\n',
    )
    assert contracts.instock_snapshots["instock"].to_list() == [instock]


def test_line_numbers_may_be_text(folder: Path) -> None:
    text = "dc,ship_date,order_id,line_no,item,ordered_qty\n" + "".join(
        f"DC01,2024-05-16,O1,{number},A,10\n" for number in ("1.1", "1.2", "A-7", "3", "4.0")
    )
    shipments = "dc,order_id,line_no,shipped_qty\n" + "".join(
        f"DC01,O1,{number},{quantity}\n" for quantity, number in enumerate(("1.1", "1.2", "A-7", "3", "4.0"), start=1)
    )
    mapping = '[order_lines]\nline_numbers = "text"\n[shipment_lines]\nline_numbers = "text"\n'
    contracts = _read(folder, mapping, order_lines__csv=text, shipment_lines__csv=shipments)
    lines = calculate(contracts.inputs).lines
    assert lines["line_no"].n_unique() == 5
    assert {3, 4} < set(lines["line_no"])
    assert _sum_cases(contracts) == (50, 15)
    again = _read(folder)
    assert again.order_lines["line_no"].equals(contracts.order_lines["line_no"])


def test_lines_without_a_number_may_be_counted(folder: Path) -> None:
    text = "dc,ship_date,order_id,item,ordered_qty,shipped_qty\n" + "".join(
        f"DC01,2024-05-16,{order},A,1,1\n" for order in ("O1", "O1", "O2", "O1")
    )
    contracts = _read(folder, '[order_lines]\nline_numbers = "count"\n', order_lines__csv=text)
    assert contracts.order_lines["line_no"].to_list() == [1, 2, 1, 3]


def test_one_file_may_be_orders_and_items_without_a_reject_per_repeat(folder: Path) -> None:
    text = f"{HEADER},vendor\n{ROW},Acme\n{OTHER},Acme\n{OTHER.replace('O2', 'O3')},Acme\n"
    mapping = '[items]\nfile = "order_lines.csv"\n[items.constants]\nitem_type = "STOCK"\n'
    contracts = _read(folder, mapping, order_lines__csv=text)
    assert contracts.items.select("item", "vendor").rows() == [("A", "Acme")]
    assert contracts.rejects.is_empty()
    assert contracts.counts["items"].superseded == 2


def test_rows_that_contradict_each_other_on_an_item_are_one_reject(folder: Path) -> None:
    rows = "".join(f"A,STOCK,{vendor}\n" for vendor in ("V1", "V2", "V2", "V3", "V4"))
    contracts = _read(folder, order_lines__csv=f"{HEADER}\n{ROW}\n", items__csv=f"item,item_type,vendor\n{rows}")
    assert contracts.items["vendor"].to_list() == ["V4"]
    assert contracts.rejects["reason"].to_list() == [
        "a later row of the file has the same item and valid_from; so have 2 more"
    ]


# Codes


@pytest.mark.parametrize("dc", ["A|B", "a...b", "x/../../../escaped", "..", "x" * 201, "倉" * 100])
def test_a_dc_that_no_store_can_hold_is_refused_in_words(dc: str, folder: Path) -> None:
    contracts = _read(folder, order_lines__csv=f"{HEADER}\n{ROW}\n{ROW.replace('DC01', dc)}\n")
    assert contracts.order_lines["dc"].to_list() == ["DC01"]
    # It names its DC, so that it casts doubt on no other.
    ((named, reason),) = contracts.rejects.select("dc", "reason").rows()
    assert named == dc[:200]
    assert {day.dc for day in calculate(contracts.inputs).doubtful} == {named}
    assert reason in {
        f"dc '{dc}' cannot be a DC: it has |, ..., .. as a folder or a control character, or is too long",
        "dc is longer than 200 characters",
    }


@pytest.mark.parametrize("code", ["x" * 201, "a\0b"])
def test_a_code_that_no_store_can_hold_is_refused_in_words(code: str, folder: Path) -> None:
    names = HEADER.split(",")
    row = dict(zip(names, ROW.split(","), strict=True))
    pl.DataFrame({**row, "order_id": code}).write_parquet(folder / "order_lines.parquet")
    assert _read(folder).rejects["reason"].item() in {
        "order_id is longer than 200 characters",
        "order_id has a NUL character",
    }


@pytest.mark.parametrize(
    ("table", "rows", "name"),
    [
        ("order_lines", "{header},customer\n{row},{code}\n", "customer"),
        ("shipment_lines", "dc,order_id,line_no,shipped_qty,shipment_id\nDC01,O1,1,8,{code}\n", "shipment_id"),
        ("items", "item,item_type,vendor\nA,STOCK,{code}\n", "vendor"),
        ("items", "item,item_type,department\nA,STOCK,{code}\n", "department"),
    ],
)
def test_codes_that_no_key_needs_have_the_same_length(table: str, rows: str, name: str, folder: Path) -> None:
    (folder / "order_lines.csv").write_text(f"{HEADER}\n{ROW}\n")
    for length, reasons in ((200, []), (201, [f"{name} is longer than 200 characters"])):
        (folder / f"{table}.csv").write_text(rows.format(header=HEADER, row=ROW, code="x" * length))
        calculation = calculate(read_directory(folder, loaded_at=NOW).inputs)
        assert calculation.rejects.filter(table=table)["reason"].to_list() == reasons


@pytest.mark.parametrize("code", ["a/b", "../../x", "*", "?", "[1]", "ü ß", "a=b", "100 %", "x" * 200, "\u202eabc"])
def test_any_other_code_is_read_as_it_is(code: str, folder: Path) -> None:
    contracts = _read(
        folder,
        order_lines__csv=f"{HEADER}\nDC01,2024-05-16,{code},1,{code},10,8\n",
        items__csv=f"item,item_type\n{code},STOCK\n",
    )
    assert contracts.order_lines.select("order_id", "item").row(0) == (code, code)


def test_control_characters_are_escaped_where_people_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dc = "D\u202eC\x1b[31m"
    (folder / "order_lines.csv").write_text(
        f"{HEADER}\n{ROW}\nDC01,2024-05-16,O2,\x1b[2J,A,1,1\n".replace("DC01", "D\u202eC1")
    )
    for command in (["report", "--input", str(folder)], ["check", str(folder)]):
        assert main.execute(command) == 0
        printed = "".join(capsys.readouterr())
        assert not set(printed) & {"\x1b", "\u202e"}
    assert "line_no '\\x1b[2J' is not a number" in printed
    (folder / "order_lines.csv").write_text(f"{dc},x\n1,2\n")
    assert main.execute(["check", str(folder)]) == 2
    assert "found D\\u202eC\\x1b[31m, x" in capsys.readouterr().err


def test_a_column_of_mixed_files_is_text(folder: Path) -> None:
    (folder / "order_lines").mkdir()
    row: Mapping[str, object] = dict(zip(HEADER.split(","), ROW.split(","), strict=True))
    for number, item in enumerate((10482, "10482", 10482.0), start=1):
        line = {**row, "order_id": number, "item": item}
        pl.DataFrame({name: [value] for name, value in line.items()}).write_parquet(
            folder / "order_lines" / f"{number}.parquet"
        )
    assert set(_read(folder).order_lines["item"]) == {"10482"}
