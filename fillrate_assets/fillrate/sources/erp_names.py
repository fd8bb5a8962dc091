"""Names of tables and columns in the exports of common systems, for a first mapping. A name is a guess, never a rule.

SAP (VBAP, VBEP, LIPS, MARD, MARA), Oracle E-Business Suite (OE_ORDER_LINES_ALL, WSH_DELIVERY_DETAILS), Dynamics
(SALESLINE, CUSTPACKINGSLIPTRANS, INVENTSUM), NetSuite (saved searches), Odoo (sale.order.line, stock.quant) and ERPNext
(Sales Order Item, Delivery Note Item, Bin), and what people call columns in spreadsheets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_DC: Final = (
    *("Plant", "WERKS", "VSTEL", "LGNUM", "Warehouse", "Warehouse Code", "Warehouse ID", "DC Code", "Depot", "Site"),
    *("ORGANIZATION_CODE", "SHIP_FROM_ORG_ID", "ORGANIZATION_ID", "INVENTLOCATIONID", "INVENTSITEID", "Location"),
    *("warehouse_id", "location_id", "set_warehouse", "Distribution Center", "Distribution Centre", "Whse", "City"),
    *("Ship From", "Werk", "Lieferwerk", "Versandstelle", "Lager", "Lagerort", "Fulfill Via", "Managed By", "Region"),
)
_ITEM: Final = (
    *("MATNR", "Material", "Material Number", "SKU", "Item Number", "Item No", "Item Code", "Item ID", "ITEMID"),
    *("ORDERED_ITEM", "INVENTORY_ITEM_ID", "SEGMENT1", "product_id", "Product ID", "Product Code", "default_code"),
    *("StockCode", "Article", "Artikel", "Artikelnummer", "Materialnummer", "Part Number", "Item Description"),
    *("Product Name", "Product"),
)
_ORDER: Final = (
    *("Order ID", "Order Number", "Order No", "OrderNo", "Order", "Sales Order", "ORDER_NUMBER", "HEADER_ID"),
    *("SALESID", "Document Number", "tranid", "Order Reference", "order_id", "Sales Document", "PO / SO #"),
    *("Verkaufsbeleg", "Auftrag", "Auftragsnummer", "Kundenauftrag", "InvoiceNo", "parent", "ID"),
)
_LINE: Final = (
    *("Line", "Line No", "Line Number", "LINE_NUMBER", "LINENUM", "Order Line", "Pos", "Position", "Item (SD)"),
    *("Positionsnummer", "linesequencenumber", "LINE_ID", "idx", "Item", "Row ID", "ID"),
)
_UOM: Final = (
    *("VRKME", "Unit", "UoM", "Sales Unit", "SALESUNIT", "ORDER_QUANTITY_UOM", "product_uom", "stock_uom", "units"),
    *("MEINS", "Unit of Measure", "REQUESTED_QUANTITY_UOM", "Verkaufsmengeneinheit", "Mengeneinheit", "ME", "Einheit"),
    *("Basismengeneinheit", "Base Unit of Measure"),
)
_CHANGED: Final = (
    *("LAST_UPDATE_DATE", "MODIFIEDDATETIME", "write_date", "modified", "lastmodifieddate", "Last Modified", "AEDAT"),
    *("Last Change", "Updated At", "UPDATED_AT", "Geändert am", "Changed On"),
)

REJECTION_REASONS: Final = ("ABGRU", "Reason for Rejection", "Absagegrund")
"""What SAP calls the reason for which a line was rejected: a line that has one is cancelled."""

FILE_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "order_lines": (
        *("VBAP", "VBEP", "OE_ORDER_LINES_ALL", "SALESLINE", "sale.order.line", "Sales Order Item", "orders"),
        *("order_line", "sales", "sales_order_lines", "sales_orders", "transactionline", "VA05", "VA05N"),
        *("Auftragspositionen", "Kundenaufträge", "Aufträge"),
    ),
    "shipment_lines": (
        *("LIPS", "WSH_DELIVERY_DETAILS", "CUSTPACKINGSLIPTRANS", "stock.move", "Delivery Note Item", "shipments"),
        *("deliveries", "picks", "itemfulfillment", "VL06O", "VL06", "Lieferungen", "Lieferpositionen"),
    ),
    "instock_snapshots": (
        *("MARD", "MTL_ONHAND_QUANTITIES", "INVENTSUM", "stock.quant", "Bin", "stock", "inventory", "MB52", "Bestand"),
    ),
    "items": (
        *("MARA", "MARC", "MTL_SYSTEM_ITEMS_B", "INVENTTABLE", "product.product", "Item", "products", "materials"),
        *("MM60", "Materialstamm", "Artikelstamm"),
    ),
    "dcs": ("T001W", "MTL_PARAMETERS", "INVENTLOCATION", "stock.warehouse", "Warehouse", "plants", "depots"),
}
"""Contract table -> what its file may be called."""

HEADER_FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "order_lines": ("VBAK", "OE_ORDER_HEADERS_ALL", "SALESTABLE", "sale.order", "Sales Order", "order_headers"),
    "shipment_lines": ("LIKP", "WSH_NEW_DELIVERIES", "CUSTPACKINGSLIPJOUR", "stock.picking", "Delivery Note"),
}
"""Contract table -> what the file of its documents' headers may be called."""

HEADER_KEYS: Final = (
    "VBELN",
    "HEADER_ID",
    "SALESID",
    "PACKINGSLIPID",
    "DELIVERY_ID",
    "order_id",
    "picking_id",
    "parent",
)
"""Columns by which a line names its document."""

COLUMN_NAMES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "order_lines": {
        "dc": _DC,
        "ship_date": (
            # Dynamics has 1900-01-01 as the confirmed date of what is not confirmed.
            *("WADAT", "MBDAT", "EDATU", "SCHEDULE_SHIP_DATE", "SHIPPINGDATEREQUESTED", "SHIPPINGDATECONFIRMED"),
            *("Goods Issue Date", "Planned GI Date", "Warenausgangsdatum", "WA-Datum", "Bereitstellungsdatum"),
            *("Lieferdatum", "Versanddatum"),
            *("Ship Date", "ShipDt", "Planned Ship Date", "Scheduled Ship Date", "Scheduled Delivery Date"),
            *("commitment_date", "delivery_date", "Delivery Date", "Due Date", "VDATU", "Order Date", "InvoiceDate"),
        ),
        "order_id": ("VBELN", *_ORDER),
        "line_no": ("POSNR", *_LINE),
        "schedule_line": ("ETENR", "Schedule Line", "SHIPMENT_NUMBER", "Einteilung"),
        "customer": (
            *(
                "KUNNR",
                "KUNAG",
                "Sold-to Party",
                "Customer ID",
                "Customer",
                "Customer No",
                "CUSTACCOUNT",
                "SOLD_TO_ORG_ID",
            ),
            *("partner_id", "entity", "Customer Name", "Auftraggeber", "Kunde", "Kundennummer", "Store", "Country"),
        ),
        "item": _ITEM,
        "ordered_qty": (
            *("KWMENG", "WMENG", "ORDERED_QUANTITY", "QTYORDERED", "SALESQTY", "product_uom_qty", "Order Quantity"),
            *("Order Qty", "Ordered", "Quantity Ordered", "Qty", "Quantity", "Line Item Quantity", "Menge"),
            *("Auftragsmenge", "Bestellmenge", "Kumulierte Auftragsmenge", "Cumulative Order Quantity"),
            *("Ordered Quantity", "Order Quantity (Item)"),
        ),
        "shipped_qty": (
            *("SHIPPED_QUANTITY", "qty_delivered", "delivered_qty", "quantityshiprecv", "Quantity Fulfilled"),
            *("Shipped", "Shipped Quantity", "Qty Shipped", "Delivered Quantity", "Quantity Shipped", "Delivered Qty"),
            *("Quantity Fulfilled/Received", "Delivery Quantity", "Gelieferte Menge", "Liefermenge"),
        ),
        "uom": _UOM,
        "pack_size": (
            *("UMVKZ", "conversion_factor", "Per Case", "PerCase", "Case Pack", "Unit of Measure (Per Pack)"),
            *("Numerator", "Umrechnungszähler", "Zähler"),
        ),
        "status": ("FLOW_STATUS_CODE", "SALESSTATUS", "state", "Order Status", "Line Status"),
        "cancel_reason": (
            *(*REJECTION_REASONS, "CANCEL_REASON_CODE", "Cancellation Reason", "Reason for Cancellation"),
        ),
        "line_type": ("LINE_CATEGORY_CODE", "PSTYV", "Line Type", "SALESTYPE", "Item Category", "Positionstyp"),
        "requested_date": (
            *("VDATU", "REQUEST_DATE", "PROMISE_DATE", "RECEIPTDATEREQUESTED", "Requested Delivery Date"),
            *("Requested deliv.date", "Wunschlieferdatum"),
        ),
        "processed_at": _CHANGED,
        "shipped_at": ("ACTUAL_SHIPMENT_DATE", "Actual Ship Date"),
        "delivered_at": ("Delivered to Client Date", "Actual Delivery Date", "Delivered", "ACTUAL_ARRIVAL_DATE"),
    },
    "shipment_lines": {
        "dc": _DC,
        "order_id": (
            "VGBEL",
            "SOURCE_HEADER_NUMBER",
            "against_sales_order",
            "ORIGSALESID",
            "origin",
            "Created From",
            *("Reference Document", "Vorgängerbeleg", "Originating Document", "Source Document", "Vorlagebeleg"),
            *_ORDER,
        ),
        "line_no": (
            *("VGPOS", "SOURCE_LINE_NUMBER", "SOURCE_LINE_ID", "so_detail", "Reference Item", "Vorgängerposition"),
            *("INVENTTRANSLINENUM", *_LINE),
        ),
        "shipment_id": (
            "VBELN",
            "DELIVERY_ID",
            "PACKINGSLIPID",
            "picking_id",
            "Delivery",
            "Shipment",
            "Shipment Number",
            "ASN",
            "Lieferung",
            "Lieferschein",
        ),
        "shipped_qty": (
            *("LFIMG", "SHIPPED_QUANTITY", "quantity_done", "DELIVEREDQTY", "Picked", "Quantity", "Qty", "Shipped"),
            *(
                "Delivered Quantity",
                "Actual Quantity Delivered",
                "Delivery Quantity",
                "Liefermenge",
                "Gelieferte Menge",
            ),
        ),
        "uom": _UOM,
        "shipped_at": (
            "WADAT_IST",
            "ACTUAL_SHIPMENT_DATE",
            "LeftAt",
            "DELIVERYDATE",
            "Actual GI Date",
            *("Actual Goods Issue Date", "Ist-Warenausgangsdatum", "Ist-WA-Datum", "Warenausgangsdatum"),
            "date",
            "Ship Date",
        ),
        "delivered_at": ("PODAT", "Delivered At", "Delivery Date"),
        "reason_code": ("Reason", "Reason Code"),
        "processed_at": _CHANGED,
    },
    "instock_snapshots": {
        "dc": _DC,
        "snapshot_date": ("Date", "Day", "Snapshot Date", "BUDAT", "Stock Date", "in_date", "Datum", "Stichtag"),
        "item": _ITEM,
        "instock": ("Available", "In Stock", "Instock"),
        "on_hand_cases": (
            *(
                "LABST",
                "PRIMARY_TRANSACTION_QUANTITY",
                "PHYSICALINVENT",
                "AVAILPHYSICAL",
                "actual_qty",
                "qty_available",
            ),
            *("quantityonhand", "On Hand", "Quantity on Hand", "quantity", "Stock", "Unrestricted", "Frei verwendbar"),
            *("Bestand", "Available Quantity"),
        ),
        "snapshot_at": ("Taken At", "Snapshot Time"),
    },
    "items": {
        "item": _ITEM,
        "item_type": ("Kind",),
        "description": (
            "MAKTX",
            "Description",
            "Item Description",
            "Product Name",
            "item_name",
            "Material Description",
            "Materialkurztext",
            "Bezeichnung",
        ),
        "vendor": (
            "LIFNR",
            "Vendor",
            "Supplier",
            "PRIMARYVENDORID",
            "default_supplier",
            "Manufacturing Site",
            "Brand",
            "Lieferant",
        ),
        "department": (
            "MATKL",
            "Department",
            "Category",
            "Sub-Category",
            "item_group",
            "categ_id",
            "Product Group",
            "Warengruppe",
            "Material Group",
        ),
        "pack_size": (
            *("UMREZ", "Per Case", "PerCase", "Case Pack", "Pack Size", "Unit of Measure (Per Pack)"),
            *("Numerator", "Umrechnungszähler", "Zähler"),
        ),
        "contract_committed": ("FSA",),
    },
    "dcs": {
        "dc": _DC,
        "name": ("NAME1", "Name", "Warehouse Name"),
        "time_zone": ("Time Zone", "TZONE", "Timezone"),
    },
}
"""Contract table -> column -> names, the most telling first."""

UNITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("ST", "STK", "PCE", "PZ", "UND", "Units", "Unit(s)", "Nos", "Stück", "H87"), "EA"),
    **dict.fromkeys(("KAR", "CAR", "KRT", "CT", "CTN", "BX", "Box", "KI", "Carton"), "CS"),
}
"""Units as systems write them -> as the contract does."""

STATUSES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("ENTERED", "BOOKED", "AWAITING_SHIPPING", "PICKED", "sale", "draft", "sent", "Draft"), "OPEN"),
    **dict.fromkeys(
        ("To Deliver and Bill", "To Deliver", "Open order", "Pending Fulfillment", "Partially Fulfilled"), "OPEN"
    ),
    **dict.fromkeys(
        ("CLOSED", "done", "Completed", "Delivered", "Invoiced", "Billed", "Closed", "FULFILLED"), "SHIPPED"
    ),
    **dict.fromkeys(("Sales Order", "Quotation", "Quotation Sent", "Locked", "Open", "Backorder", "Confirmed"), "OPEN"),
    **dict.fromkeys(("cancel", "Cancelled", "Canceled", "CANCELED"), "CANCELLED"),
}
"""Statuses as systems write them -> as the contract does."""

LINE_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("ORDER", "TAN", "TANN", "TAX", "Journal", "Sales"), "NORMAL"),
    **dict.fromkeys(("RETURN", "Returned order"), "CREDIT"),
    "TAS": "DROP_SHIP",
}
"""Line types as systems write them -> as the contract does."""
