"""Fill rate and lost cases for warehouse distribution networks, as Dagster assets."""
