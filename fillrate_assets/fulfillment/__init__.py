"""Fulfillment: order events -> queues -> idempotent workers -> transition log -> replay."""
