-- The rules from order lines to item-days for one DC, for benchmarks/year.py. $input and $dc are bound; quantities are
-- exact decimals.

create macro files(root, name, dc) as root || '/' || name || '/dc=' || dc || '/*/part-0.parquet';

-- the latest version of each line, in cases, with its item in force
create or replace temp table classified_lines as
with orders as (
    select * from read_parquet(files($input, 'orders', $dc), hive_partitioning = false)
    qualify row_number() over (partition by dc, order_id, line_no order by processed_at desc, source_seq desc) = 1
), shipped as (
    select * from read_parquet(files($input, 'shipments', $dc), hive_partitioning = false)
    qualify row_number() over (partition by dc, order_id, line_no order by processed_at desc, source_seq desc) = 1
), versions as (
    select *, lead(valid_from) over (partition by item order by valid_from) as next_from
    from read_parquet($input || '/items/part-0.parquet')
), joined as (
    select o.dc, o.ship_date, o.order_id, o.line_no, o.customer, o.item, i.item_type, i.vendor, i.department,
        i.contract_committed, s.reason_code, o.ordered_qty, o.status, o.cancel_reason,
        round(case when o.uom = 'EA' then o.ordered_qty::decimal(18, 6) / coalesce(o.pack_size, i.pack_size)
              else o.ordered_qty end, 4)::decimal(18, 4) as ordered,
        coalesce(round(case when s.uom = 'EA' then s.shipped_qty::decimal(18, 6) / coalesce(o.pack_size, i.pack_size)
              else s.shipped_qty end, 4), 0)::decimal(18, 4) as shipped,
        coalesce(s.delivered_at, s.shipped_at)::date <= coalesce(o.requested_date, o.ship_date) as arrived_in_time
    from orders o
    left join shipped s using (dc, order_id, line_no)
    left join versions i on o.item = i.item and o.ship_date >= i.valid_from
        and (i.next_from is null or o.ship_date < i.next_from)
)
select dc, ship_date, order_id, line_no, customer, item, item_type, vendor, department, contract_committed,
    case when ordered_qty < 0 or item_type is null then 'REJECTED'
        when status = 'CANCELLED' and cancel_reason like 'CUST%' then 'EXCLUDED'
        else 'COUNTED' end as disposition,
    ordered as ordered_cases, least(ordered, shipped) as shipped_cases, shipped - least(ordered, shipped) as over_cases,
    case when shipped < ordered then reason_code end as reason_code,
    coalesce(arrived_in_time, case when shipped = 0 then false end) as on_time
from joined;

-- one row per item and day
create or replace temp table item_days as
with summed as (
    select dc, ship_date, item, count(*) as lines, sum(ordered_cases) as ordered_cases, sum(shipped_cases) as shipped_cases,
        sum(over_cases) as over_cases, arg_max(reason_code, ordered_cases - shipped_cases) as reason_code
    from classified_lines where disposition = 'COUNTED' group by all
), snapshots as (
    select dc, ship_date, item, arg_max(instock, snapshot_at) as instock
    from read_parquet(files($input, 'instock_snapshots', $dc), hive_partitioning = false) group by all
), versions as (
    select *, lead(valid_from) over (partition by item order by valid_from) as next_from
    from read_parquet($input || '/items/part-0.parquet')
)
select dc, ship_date, item, i.item_type, i.vendor, i.department, i.contract_committed, coalesce(lines, 0) as lines,
    coalesce(ordered_cases, 0)::decimal(18, 4) as ordered_cases, coalesce(shipped_cases, 0)::decimal(18, 4) as shipped_cases,
    coalesce(over_cases, 0)::decimal(18, 4) as over_cases, reason_code, instock
from summed full join snapshots using (dc, ship_date, item)
join versions i using (item)
where ship_date >= i.valid_from and (i.next_from is null or ship_date < i.next_from);

-- the service metrics by DC, department, vendor and customer
create or replace temp table fill_rates as
with levels as (
    select *, unnest(['dc', 'department', 'vendor', 'customer']) as level,
        unnest([dc, department, vendor, customer]) as value
    from classified_lines where disposition = 'COUNTED'
), orders as (
    select dc, ship_date, level, value, order_id, count(*) as lines, sum(ordered_cases) as ordered_cases,
        sum(shipped_cases) as shipped_cases, count(*) filter (shipped_cases >= ordered_cases) as complete, bool_and(on_time) as on_time
    from levels where value is not null group by all
)
select dc, ship_date, level, value, sum(lines) as lines, count(*) as orders, sum(ordered_cases) as ordered_cases,
    sum(shipped_cases) as shipped_cases, sum(shipped_cases) / nullif(sum(ordered_cases), 0) as case_fill_rate,
    sum(complete) / sum(lines) as line_fill_rate, count(*) filter (complete = lines) / count(*) as order_fill_rate,
    count(*) filter (on_time) / count(*) as on_time_rate, count(*) filter (on_time and complete = lines) / count(*) as otif_rate
from orders group by all;
