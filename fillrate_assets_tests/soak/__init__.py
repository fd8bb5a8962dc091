"""Soaks of fulfillment and of the inventory; `python -m fillrate_assets_tests.soak`."""
