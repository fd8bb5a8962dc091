"""Buffers of warehouse floors: signals, operational units, recommendations, alerts, feedback."""
