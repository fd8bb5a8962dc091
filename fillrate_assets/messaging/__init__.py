"""Messaging: jobs, their queues, retries, parking and dead letters. It knows no area, and not what a job does."""
