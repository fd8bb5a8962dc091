"""Files in the layouts of SAP, SCMS and Superstore: a suggested mapping, hardly changed, gives what Python does."""
# ruff: noqa: E501 - rows of files are as wide as they are

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from fillrate_assets.cli import main
from fillrate_assets.fillrate.rules.pipeline import Calculation, calculate
from fillrate_assets.fillrate.sources.contract_files import Contracts, read_directory

_NOW = datetime(2024, 6, 1, tzinfo=UTC)

VBAK = """VBELN;ERDAT;AUART;KUNNR;VDATU
0000004711;20240514;TA;0000100001;20240516
0000004712;20240514;TA;0000100002;20240516
0000004713;20240515;TA;0000100001;20240517
"""

VBAP = """VBELN;POSNR;MATNR;WERKS;KWMENG;VRKME;UMVKZ;ABGRU;PSTYV
0000004711;000010;10482;0007;1.200,000;KAR;1;;TAN
0000004711;000020;10483;0007;48,000;ST;12;;TAN
0000004712;000010;10482;0007;10,500;KAR;1;;TAN
0000004712;000020;10484;0007;20,000;KAR;1;02;TAN
0000004713;000010;10483;0007;3,000-;KAR;1;;REN
"""

LIKP = """VBELN;WADAT_IST
0080000001;20240516
0080000002;20240516
"""

LIPS = """VBELN;POSNR;MATNR;WERKS;LFIMG;VRKME;VGBEL;VGPOS
0080000001;000010;10482;0007;900,000;KAR;0000004711;000010
0080000001;000020;10483;0007;48,000;ST;0000004711;000020
0080000002;000010;10482;0007;10,500;KAR;0000004712;000010
"""

SCMS = """ID,Project Code,PQ #,PO / SO #,ASN/DN #,Country,Managed By,Fulfill Via,Scheduled Delivery Date,Delivered to Client Date,Product Group,Vendor,Item Description,Unit of Measure (Per Pack),Line Item Quantity,Pack Price
1,100-CI-T01,Pre-PQ Process,SCMS-4,ASN-8,Côte d'Ivoire,PMO - US,Direct Drop,2-Jun-06,2-Jun-06,HRDT,RANBAXY,"HIV, Reveal G3 Rapid, 30 Tests",30,19,29
3,108-VN-T01,Pre-PQ Process,SCMS-13,ASN-85,Vietnam,PMO - US,Direct Drop,14-Nov-06,21-Nov-06,ARV,Aurobindo,"Nevirapine 10mg/ml, bottle, 240 ml",240,1000,6.2
4,100-CI-T01,Pre-PQ Process,SCMS-20,ASN-14,Côte d'Ivoire,PMO - US,Direct Drop,27-Aug-06,27-Aug-06,HRDT,Abbott,"HIV 1/2, Determine Kit, 100 Tests",100,500,80
15,108-VN-T01,Pre-PQ Process,SCMS-81,ASN-19,Vietnam,PMO - US,From RDC,1-Sep-06,Date Not Captured,ARV,Ranbaxy,"Lamivudine 150mg, tablets, 60 Tabs",60,16667,
"""

SUPERSTORE = """Row ID,Order ID,Order Date,Ship Date,Ship Mode,Customer ID,Customer Name,Segment,Country,City,State,Postal Code,Region,Product ID,Category,Sub-Category,Product Name,Sales,Quantity,Discount,Profit
1,CA-2016-152156,11/8/2016,11/11/2016,Second Class,CG-12520,Claire Gute,Consumer,United States,Henderson,Kentucky,42420,South,FUR-BO-10001798,Furniture,Bookcases,Bush Somerset Collection Bookcase,261.96,2,0,41.9136
2,CA-2016-152156,11/8/2016,11/11/2016,Second Class,CG-12520,Claire Gute,Consumer,United States,Henderson,Kentucky,42420,South,FUR-CH-10000454,Furniture,Chairs,"Hon Deluxe Chairs, Café",731.94,3,0,219.582
3,CA-2016-138688,6/12/2016,6/16/2016,Second Class,DV-13045,Darrin Van Huff,Corporate,United States,Los Angeles,California,90036,West,OFF-LA-10000240,Office Supplies,Labels,Self-Adhesive Labels,14.62,2,0,6.8714
4,US-2015-108966,10/11/2015,10/18/2015,Standard Class,SO-20335,Sean O'Donnell,Consumer,United States,Fort Lauderdale,Florida,33311,South,FUR-TA-10000577,Furniture,Tables,Bretford Tables,957.5775,5,0.45,-383.031
"""


def _write(folder: Path, encoding: str = "utf-8", **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding=encoding)
    return folder


def _suggest(folder: Path, *changes: tuple[str, str]) -> Contracts:
    """Read a folder by the mapping that is suggested for it, after at most five changed lines."""
    assert len(changes) <= 5
    assert main.execute(["mapping", "suggest", str(folder)]) == 0
    file = folder / "mapping.toml"
    text = file.read_text(encoding="utf-8")
    for before, after in changes:
        assert text.count(before) == 1, f"{before!r} is not a line of:\n{text}"
        text = text.replace(before, after)
    file.write_text(text, encoding="utf-8")
    return read_directory(folder, loaded_at=_NOW)


def _sum(calculation: Calculation, name: str) -> Decimal:
    counted = calculation.lines.filter(pl.col("disposition") == "COUNTED")
    return Decimal(str(counted[name].sum()))


def _read_rows(text: str, separator: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines(), delimiter=separator))


def _parse_european(number: str) -> Decimal:
    sign = -1 if number.endswith("-") else 1
    return sign * Decimal(number.rstrip("-").replace(".", "").replace(",", "."))


def _compute_sap_cases(row: dict[str, str], quantity: str) -> Decimal:
    pack = {(line["VBELN"], line["POSNR"]): line["UMVKZ"] for line in _read_rows(VBAP, ";")}
    order = (row.get("VGBEL") or row["VBELN"], row.get("VGPOS") or row["POSNR"])
    return _parse_european(row[quantity]) / (int(pack[order]) if row["VRKME"] == "ST" else 1)


def test_sap_order_items_and_deliveries_load_as_suggested(tmp_path: Path) -> None:
    contracts = _suggest(_write(tmp_path / "sap", VBAK=VBAK, VBAP=VBAP, LIKP=LIKP, LIPS=LIPS))
    calculation = calculate(contracts.inputs)
    wanted = [row for row in _read_rows(VBAP, ";") if not row["ABGRU"] and not row["KWMENG"].endswith("-")]
    # A line that was rejected in SAP is cancelled for no reason of the customer's: it counts, and shipped nothing.
    refused = [row for row in _read_rows(VBAP, ";") if row["ABGRU"]]
    assert _sum(calculation, "ordered_cases") == sum(_compute_sap_cases(row, "KWMENG") for row in [*wanted, *refused])
    assert _sum(calculation, "shipped_cases") == sum(_compute_sap_cases(row, "LFIMG") for row in _read_rows(LIPS, ";"))
    assert set(contracts.order_lines["dc"]) == {"0007"}
    assert set(contracts.order_lines["ship_date"]) == {date(2024, 5, 16), date(2024, 5, 17)}
    assert set(contracts.order_lines["customer"]) == {"0000100001", "0000100002"}
    assert contracts.rejects.is_empty()
    assert calculation.rejects["reason"].to_list() == [
        "negative quantity: a return or credit, never netted against demand"
    ]


def test_the_scms_delivery_history_loads_with_one_changed_line(tmp_path: Path) -> None:
    contracts = _suggest(
        _write(tmp_path / "scms", "cp1252", SCMS_Delivery_History=SCMS),
        ('date_format = "%d-%b-%y"', 'date_format = "%d-%b-%y"\nnulls = "Date Not Captured"'),
    )
    calculation = calculate(contracts.inputs)
    rows = _read_rows(SCMS, ",")
    assert _sum(calculation, "ordered_cases") == sum(int(row["Line Item Quantity"]) for row in rows)
    late = {
        row["PO / SO #"]: datetime.strptime(row["Delivered to Client Date"], "%d-%b-%y")  # noqa: DTZ007 - a date
        > datetime.strptime(row["Scheduled Delivery Date"], "%d-%b-%y")  # noqa: DTZ007 - a date
        for row in rows
        if row["Delivered to Client Date"][0].isdigit()
    }
    on_time = calculation.lines.filter(pl.col("on_time").is_not_null()).select("order_id", "on_time")
    assert {order: not is_on_time for order, is_on_time in on_time.iter_rows()} == late
    assert contracts.rejects.is_empty()


def test_superstore_loads_as_suggested(tmp_path: Path) -> None:
    contracts = _suggest(_write(tmp_path / "superstore", "cp1252", Superstore=SUPERSTORE))
    calculation = calculate(contracts.inputs)
    rows = _read_rows(SUPERSTORE, ",")
    assert _sum(calculation, "ordered_cases") == sum(int(row["Quantity"]) for row in rows)
    assert set(contracts.order_lines["ship_date"]) == {
        datetime.strptime(row["Ship Date"], "%m/%d/%Y").date()  # noqa: DTZ007 - a date
        for row in rows
    }
    assert set(contracts.order_lines["dc"]) == {row["City"] for row in rows}
    assert set(contracts.items["item"]) == {row["Product ID"] for row in rows}
    assert contracts.rejects.is_empty()


@pytest.mark.parametrize("rename", [str.lower, str.upper, str.title])
def test_names_are_found_in_any_case(rename: Callable[[str], str], tmp_path: Path) -> None:
    header, _, rows = SUPERSTORE.partition("\n")
    contracts = _suggest(_write(tmp_path / "any", Superstore=f"{rename(header)}\n{rows}"))
    assert contracts.order_lines.height == 4


def test_a_mapping_that_is_there_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _write(tmp_path / "there", Superstore=SUPERSTORE)
    (folder / "mapping.toml").write_text("# ours\n")
    assert main.execute(["mapping", "suggest", str(folder)]) == 2
    assert "is there already; name another with --out" in capsys.readouterr().err
    assert (folder / "mapping.toml").read_text() == "# ours\n"


def test_what_a_suggestion_cannot_say_is_a_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _write(tmp_path / "open", orders="Order No,SKU,Qty,Unit\n4711,10482,20,PAL\n")
    assert main.execute(["mapping", "suggest", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "no column names the DC" in printed
    assert "which column is ship_date?" in printed
    assert "is the unit PAL cases (CS) or eaches (EA)?" in printed


def test_a_folder_without_orders_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _write(tmp_path / "none", readme="a,b\n1,2\n")
    assert main.execute(["mapping", "suggest", str(folder)]) == 2
    assert "no file has the columns of order lines" in capsys.readouterr().err


VA05 = """Verkaufsbeleg;Position;Material;Bezeichnung;Werk;Auftragsmenge;Verkaufsmengeneinheit;Wunschlieferdatum;Warenausgangsdatum;Auftraggeber;Absagegrund
0000004711;000010;10482;Kekse;0007;1.200,000;KAR;16.05.2024;16.05.2024;0000100001;
0000004711;000020;10483;Müsli;0007;48,000;ST;16.05.2024;16.05.2024;0000100001;
0000004712;000010;10482;Kekse;0007;10,500;KAR;16.05.2024;16.05.2024;0000100002;
0000004712;000020;10482;Kekse;0007;2,000;KAR;16.05.2024;16.05.2024;0000100002;61
"""

VL06O = """Lieferung;Position;Material;Werk;Liefermenge;Verkaufsmengeneinheit;Vorgängerbeleg;Vorgängerposition;Ist-Warenausgangsdatum
0080000001;000010;10482;0007;900,000;KAR;0000004711;000010;16.05.2024
0080000001;000020;10483;0007;48,000;ST;0000004711;000020;16.05.2024
0080000002;000010;10482;0007;10,500;KAR;0000004712;000010;17.05.2024
"""

MARA = """Material;Materialkurztext;Warengruppe;Lieferant;Umrechnungszähler
10482;Kekse;SUESS;L1;1
10483;Müsli;MUESLI;L2;12
"""

MB52 = """Material;Werk;Frei verwendbar;Basismengeneinheit;Datum
10482;0007;300,000;KAR;16.05.2024
10483;0007;0,000;ST;16.05.2024
"""

OE_ORDER_LINES_ALL = """HEADER_ID,LINE_ID,LINE_NUMBER,SHIPMENT_NUMBER,ORDERED_ITEM,SHIP_FROM_ORG_ID,ORDERED_QUANTITY,SHIPPED_QUANTITY,ORDER_QUANTITY_UOM,SCHEDULE_SHIP_DATE,REQUEST_DATE,ACTUAL_SHIPMENT_DATE,FLOW_STATUS_CODE,LINE_CATEGORY_CODE,LAST_UPDATE_DATE
9001,501,1,1,AS54888,204,10,6,CS,16-MAY-2024 00:00:00,16-MAY-2024 00:00:00,16-MAY-2024 14:00:00,CLOSED,ORDER,16-MAY-2024 15:00:00
9001,502,1,2,AS54888,204,4,0,CS,17-MAY-2024 00:00:00,16-MAY-2024 00:00:00,,AWAITING_SHIPPING,ORDER,16-MAY-2024 15:00:00
9003,504,1,1,AS54888,204,3,3,CS,16-MAY-2024 00:00:00,16-MAY-2024 00:00:00,16-MAY-2024 14:00:00,CLOSED,RETURN,16-MAY-2024 15:00:00
"""

MTL_SYSTEM_ITEMS_B = "INVENTORY_ITEM_ID,SEGMENT1,DESCRIPTION\n1,AS54888,Desktop\n2,AS54999,Laptop\n"

SALESLINE = """SALESID,LINENUM,ITEMID,INVENTLOCATIONID,QTYORDERED,SALESUNIT,SHIPPINGDATEREQUESTED,SHIPPINGDATECONFIRMED,RECEIPTDATEREQUESTED,SALESSTATUS,CUSTACCOUNT,MODIFIEDDATETIME
SO-001,1.0000000000000000,A0001,24,100.0000000000000000,Box,2024-05-16 00:00:00.000,1900-01-01 00:00:00.000,2024-05-17 00:00:00.000,3,US-001,2024-05-16 10:11:12.000
SO-001,2.0000000000000000,A0002,24,20.0000000000000000,Box,2024-05-16 00:00:00.000,2024-05-16 00:00:00.000,2024-05-17 00:00:00.000,1,US-001,2024-05-16 10:11:12.000
"""

CUSTPACKINGSLIPTRANS = """PACKINGSLIPID,LINENUM,ORIGSALESID,ITEMID,ORDERED,QTY,SALESUNIT,DELIVERYDATE,INVENTLOCATIONID
PS-1,1.0000000000000000,SO-001,A0001,100.0000000000000000,80.0000000000000000,Box,2024-05-16 00:00:00.000,24
PS-2,1.0000000000000000,SO-001,A0001,100.0000000000000000,20.0000000000000000,Box,2024-05-18 00:00:00.000,24
"""

NETSUITE = """Document Number,Line ID,Name,Item,Location,Quantity,Quantity Fulfilled/Received,Units,Ship Date,Status,Date
SO100,1,Cust A,WIDGET,DC East,10,6,Case,5/16/2024,Partially Fulfilled,5/14/2024
SO100,2,Cust A,GADGET,DC East,5,5,Case,5/16/2024,Partially Fulfilled,5/14/2024
SO101,1,Cust B,WIDGET,DC East,4,0,Case,5/17/2024,Pending Fulfillment,5/15/2024
"""

ODOO = """id,order_id/name,order_id/commitment_date,order_id/warehouse_id/name,product_id/default_code,product_uom_qty,qty_delivered,product_uom/name,state
__export__.line_1,S00012,2024-05-16 08:00:00,WH,FURN_6666,10.0,6.0,Box,sale
__export__.line_2,S00012,2024-05-16 08:00:00,WH,FURN_7777,5.0,5.0,Box,sale
__export__.line_3,S00013,2024-05-16 08:00:00,WH,FURN_7777,5.0,0.0,Box,cancel
"""

ERPNEXT = """name,parent,idx,item_code,warehouse,qty,delivered_qty,uom,conversion_factor,delivery_date,modified
a1,SAL-1,1,ITM-1,Stores - C,10,6,Box,12,2024-05-16,2024-05-16 10:00:00.123456
a2,SAL-1,2,ITM-2,Stores - C,24,24,Nos,12,2024-05-16,2024-05-16 10:00:00.123456
"""


@pytest.mark.parametrize(
    ("files", "totals", "on_time"),
    [
        pytest.param(
            {"VA05": VA05, "VL06O": VL06O, "MARA": MARA, "MB52": MB52},
            ("0007", Decimal("1216.5"), Decimal("914.5")),
            {True: 2, False: 2},
            id="SAP's lists in German",
        ),
        pytest.param(
            {"OE_ORDER_LINES_ALL": OE_ORDER_LINES_ALL, "MTL_SYSTEM_ITEMS_B": MTL_SYSTEM_ITEMS_B},
            ("204", Decimal(14), Decimal(6)),
            {True: 1, False: 1},
            id="Oracle E-Business Suite",
        ),
        pytest.param(
            {"SalesLine": SALESLINE, "CustPackingSlipTrans": CUSTPACKINGSLIPTRANS},
            ("24", Decimal(120), Decimal(100)),
            {False: 2},
            id="Dynamics",
        ),
        pytest.param({"SavedSearch": NETSUITE}, ("DC East", Decimal(19), Decimal(11)), {False: 1}, id="NetSuite"),
        pytest.param({"sale.order.line": ODOO}, ("WH", Decimal(20), Decimal(11)), {False: 1}, id="Odoo"),
        pytest.param({"Sales Order Item": ERPNEXT}, ("Stores - C", Decimal(12), Decimal(8)), {}, id="ERPNext"),
    ],
)
def test_exports_of_other_systems_load_as_suggested(
    files: dict[str, str], totals: tuple[str, Decimal, Decimal], on_time: dict[bool, int], tmp_path: Path
) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="cp1252")
    contracts = _suggest(folder)
    calculation = calculate(contracts.inputs)
    assert contracts.rejects.is_empty()
    assert calculation.rejects.filter(pl.col("reason") != "a credit: never netted against demand").is_empty()
    assert (*set(calculation.lines.drop_nulls("ordered_cases")["dc"]),) == (totals[0],)
    assert (_sum(calculation, "ordered_cases"), _sum(calculation, "shipped_cases")) == totals[1:]
    known = calculation.lines.filter(disposition="COUNTED")["on_time"].drop_nulls()
    assert {value: known.to_list().count(value) for value in set(known)} == on_time


def test_quantities_of_an_order_file_are_no_stock(tmp_path: Path) -> None:
    folder = _write(tmp_path / "search", SavedSearch=NETSUITE)
    assert _suggest(folder).instock_snapshots.is_empty()


def test_eaches_without_a_pack_size_and_unknown_statuses_are_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = SALESLINE.replace("Box", "ea")
    assert main.execute(["mapping", "suggest", str(_write(tmp_path / "ax", SalesLine=lines))]) == 0
    printed = capsys.readouterr().out
    assert "how many ea are a case? Say pack_size in [order_lines.constants]" in printed
    assert "is SALESSTATUS a status? It is not read" in printed


def test_a_suggestion_of_what_shipped_needs_what_was_ordered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _write(tmp_path / "few", orders="Order No,SKU,Wanted\n4711,10482,20\n")
    assert main.execute(["mapping", "suggest", str(folder)]) == 0
    assert "which column is ordered_qty?" in capsys.readouterr().out
    assert 'shipped_qty = ""' not in (folder / "mapping.toml").read_text()
