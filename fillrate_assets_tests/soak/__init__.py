"""A soak of fulfillment; `python -m fillrate_assets_tests.soak`."""
