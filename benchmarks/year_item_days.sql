-- The item-days of one DC as they are stored, for benchmarks/year.py. $input and $dc are bound.

create temp table item_days as
select * from read_parquet($input || '/item_days/dc=' || $dc || '/*/part-0.parquet', hive_partitioning = false);
