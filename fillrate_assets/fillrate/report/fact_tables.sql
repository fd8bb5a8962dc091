-- The facts that reports add up, of the relations `lines` (CLASSIFIED_LINES) and `records` (LOST_CASES) of some days.
counted AS (
    SELECT
        l.dc, l.ship_date, l.item, l.vendor, l.department, l.customer, l.order_id, r.path, r.reason_code AS reason,
        l.ordered_cases, l.shipped_cases, l.shipped_cases >= l.ordered_cases AS complete, l.on_time
    FROM lines AS l
    LEFT JOIN records AS r ON r.dc = l.dc AND r.ship_date = l.ship_date AND r.item = l.item
    WHERE l.disposition = 'COUNTED'
),
-- A held day retains older records: lines and records are added up apart, each under its own vendor and path.
apart AS (
    SELECT
        dc, ship_date, item, vendor, department, path, reason,
        1 AS lines, complete::INTEGER AS lines_complete, ordered_cases, shipped_cases,
        0 AS records, 0 AS item_days,
        0.0000 AS lost_cases, 0.0000 AS confirmed_cases, 0.0000 AS estimated_cases, 0.0000 AS contract_lost_cases,
        0 AS days_estimated, 0 AS days_by_method_2, 0 AS days_by_both, 0.0000 AS method_1_cases,
        0.0000 AS method_2_cases
    FROM counted
    UNION ALL
    SELECT
        dc, ship_date, item, vendor, department, path, reason_code,
        0, 0, 0.0000, 0.0000,
        1, (lost_cases > 0)::INTEGER, lost_cases, confirmed_cases, estimated_cases, contract_lost_cases,
        (path = 'STOCK_OUT' OR imputed)::INTEGER,
        ((path = 'STOCK_OUT' OR imputed) AND method_version IN (SELECT version FROM versions_of_method_2))::INTEGER,
        (method_1_cases IS NOT NULL AND method_2_cases IS NOT NULL)::INTEGER,
        coalesce(method_1_cases, 0.0000), coalesce(method_2_cases, 0.0000)
    FROM records
),
item_facts AS (
    SELECT
        dc, ship_date, item, vendor, department, path, reason,
        sum(lines)::BIGINT AS lines,
        sum(lines_complete)::BIGINT AS lines_complete,
        sum(ordered_cases)::DECIMAL(18, 4) AS ordered_cases,
        sum(shipped_cases)::DECIMAL(18, 4) AS shipped_cases,
        sum(records)::BIGINT AS records,
        sum(item_days)::BIGINT AS item_days,
        sum(lost_cases)::DECIMAL(18, 4) AS lost_cases,
        sum(confirmed_cases)::DECIMAL(18, 4) AS confirmed_cases,
        sum(estimated_cases)::DECIMAL(18, 4) AS estimated_cases,
        sum(contract_lost_cases)::DECIMAL(18, 4) AS contract_lost_cases,
        sum(days_estimated)::BIGINT AS days_estimated,
        sum(days_by_method_2)::BIGINT AS days_by_method_2,
        sum(days_by_both)::BIGINT AS days_by_both,
        sum(method_1_cases)::DECIMAL(18, 4) AS method_1_cases,
        sum(method_2_cases)::DECIMAL(18, 4) AS method_2_cases
    FROM apart
    GROUP BY ALL
),
day_facts AS (
    SELECT
        dc, ship_date, vendor, department, path, reason,
        sum(lines)::BIGINT AS lines,
        sum(lines_complete)::BIGINT AS lines_complete,
        sum(ordered_cases)::DECIMAL(18, 4) AS ordered_cases,
        sum(shipped_cases)::DECIMAL(18, 4) AS shipped_cases,
        sum(records)::BIGINT AS records,
        sum(item_days)::BIGINT AS item_days,
        sum(lost_cases)::DECIMAL(18, 4) AS lost_cases,
        sum(confirmed_cases)::DECIMAL(18, 4) AS confirmed_cases,
        sum(estimated_cases)::DECIMAL(18, 4) AS estimated_cases,
        sum(contract_lost_cases)::DECIMAL(18, 4) AS contract_lost_cases,
        sum(days_estimated)::BIGINT AS days_estimated,
        sum(days_by_method_2)::BIGINT AS days_by_method_2,
        sum(days_by_both)::BIGINT AS days_by_both,
        sum(method_1_cases)::DECIMAL(18, 4) AS method_1_cases,
        sum(method_2_cases)::DECIMAL(18, 4) AS method_2_cases
    FROM apart
    GROUP BY ALL
),
item_months AS (
    SELECT
        dc, date_trunc('month', ship_date)::DATE AS month, item, vendor, department, path, reason,
        max(ship_date) FILTER (lines > 0) AS lines_until,
        max(ship_date) FILTER (records > 0) AS records_until,
        sum(lines)::BIGINT AS lines,
        sum(lines_complete)::BIGINT AS lines_complete,
        sum(ordered_cases)::DECIMAL(18, 4) AS ordered_cases,
        sum(shipped_cases)::DECIMAL(18, 4) AS shipped_cases,
        sum(records)::BIGINT AS records,
        sum(item_days)::BIGINT AS item_days,
        sum(lost_cases)::DECIMAL(18, 4) AS lost_cases,
        sum(confirmed_cases)::DECIMAL(18, 4) AS confirmed_cases,
        sum(estimated_cases)::DECIMAL(18, 4) AS estimated_cases,
        sum(contract_lost_cases)::DECIMAL(18, 4) AS contract_lost_cases,
        sum(days_estimated)::BIGINT AS days_estimated,
        sum(days_by_method_2)::BIGINT AS days_by_method_2,
        sum(days_by_both)::BIGINT AS days_by_both,
        sum(method_1_cases)::DECIMAL(18, 4) AS method_1_cases,
        sum(method_2_cases)::DECIMAL(18, 4) AS method_2_cases
    FROM apart
    GROUP BY ALL
),
order_parts AS (
    SELECT
        dc, ship_date, order_id, customer, item, vendor, department, path, reason,
        count(*)::BIGINT AS lines,
        count(*) FILTER (complete)::BIGINT AS lines_complete,
        count(*) FILTER (NOT on_time)::BIGINT AS lines_late,
        count(*) FILTER (on_time IS NULL)::BIGINT AS lines_untimed,
        sum(ordered_cases)::DECIMAL(18, 4) AS ordered_cases,
        sum(shipped_cases)::DECIMAL(18, 4) AS shipped_cases
    FROM counted
    GROUP BY ALL
),
order_facts AS (
    SELECT
        dc, ship_date, order_id, customer,
        count(*)::BIGINT AS lines,
        count(*) FILTER (complete)::BIGINT AS lines_complete,
        count(*) FILTER (NOT on_time)::BIGINT AS lines_late,
        count(*) FILTER (on_time IS NULL)::BIGINT AS lines_untimed,
        sum(ordered_cases)::DECIMAL(18, 4) AS ordered_cases,
        sum(shipped_cases)::DECIMAL(18, 4) AS shipped_cases
    FROM counted
    GROUP BY ALL
),
line_counts AS (
    SELECT
        dc, ship_date, source_table, disposition, CASE WHEN disposition = 'REJECTED' THEN reason END AS reason,
        count(*)::BIGINT AS rows
    FROM lines
    GROUP BY ALL
)
