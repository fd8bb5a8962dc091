-- The rules from item-days to lost cases for one DC, for benchmarks/year.py; quantities are exact decimals.

-- the baselines
create or replace temp table rolling_averages as
with ship_days as (
    select dc, ship_date from item_days group by all having sum(shipped_cases) > 0
), observed as (
    select dc, ship_date, item, ordered_cases from item_days join ship_days using (dc, ship_date)
    where item_type = 'STOCK' and (instock = 'Y' or (instock is null and shipped_cases > 0))
), grid as (
    select dc, item, ship_date, ordered_cases
    from (select distinct dc, item from observed) cross join (select distinct ship_date from item_days)
    left join observed using (dc, item, ship_date)
), windows as (
    select dc, item, ship_date, ordered_cases,
        count(ordered_cases) over week as n_week, sum(ordered_cases) over week as total_week,
        least(count(ordered_cases) over reach, 7) as n_latest,
        count(ordered_cases) over ever as n, coalesce(sum(ordered_cases) over ever, 0) as total
    from grid
    window week as (partition by dc, item order by ship_date
            range between interval 7 days preceding and interval 1 day preceding),
        reach as (partition by dc, item order by ship_date
            range between interval 28 days preceding and interval 1 day preceding),
        ever as (partition by dc, item order by ship_date rows between unbounded preceding and 1 preceding)
), first_k as (
    select dc, item, n + 1 as k, total + ordered_cases as first_total from windows where ordered_cases is not null
)
select w.dc, w.ship_date, w.item,
    case when n_week >= 3 then 'W7' when n_latest >= 3 then 'EXT28' else 'NONE' end as baseline_source,
    case when n_week >= 3 then n_week else n_latest end as baseline_n,
    case when n_week >= 3 then (2 * (total_week * 10000)::bigint + n_week) // (2 * n_week)
        when n_latest >= 3 then (2 * ((total - coalesce(first_total, 0)) * 10000)::bigint + n_latest) // (2 * n_latest)
        end::decimal(18, 0) * 0.0001 as baseline_cases
from windows w
left join first_k f on f.dc = w.dc and f.item = w.item and f.k = w.n - w.n_latest
where n_latest > 0;

-- the lost cases
create or replace temp table lost_cases as
with judged as (
    select d.*, case when item_type <> 'FLOW' then baseline_cases end as baseline_cases, baseline_n, baseline_source,
        case when item_type = 'FLOW' then 'FLOW' when instock is null then 'MISSING'
            when instock = 'Y' then 'STOCK_IN' else 'STOCK_OUT' end as path
    from item_days d left join rolling_averages using (dc, ship_date, item)
    where lines > 0 or (item_type = 'STOCK' and instock = 'N')
), parted as (
    select *, ordered_cases - shipped_cases as confirmed_cases,
        path = 'MISSING' and shipped_cases = 0 and ordered_cases > 0 as imputed,
        case when path = 'STOCK_OUT' or (path = 'MISSING' and shipped_cases = 0 and ordered_cases > 0)
            then greatest(coalesce(baseline_cases, 0) - ordered_cases, 0) else 0 end::decimal(18, 4) as estimated_cases
    from judged
)
select *, confirmed_cases + estimated_cases as lost_cases,
    round(shipped_cases / nullif(ordered_cases, 0), 4) as fill_rate,
    round(shipped_cases / nullif(shipped_cases + confirmed_cases + estimated_cases, 0), 4) as demand_fill_rate,
    case when contract_committed and (path in ('STOCK_OUT', 'FLOW') or imputed)
        then confirmed_cases + estimated_cases else 0 end as contract_lost_cases,
    path = 'STOCK_IN' and shipped_cases = 0 and ordered_cases > 0 as phantom_stock,
    path = 'STOCK_OUT' and shipped_cases >= ordered_cases and ordered_cases > 0 as flag_conflict
from parted;
