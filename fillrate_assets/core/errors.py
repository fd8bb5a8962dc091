"""Errors by what the caller should do about them; no error of one system or library belongs here."""


class FillrateError(Exception):
    """Base of every error this package raises on purpose; the message says what, where and what to do."""


class PermanentFailure(FillrateError):
    """Retrying cannot help: wrong settings, missing tables, a request that makes no sense."""


class SourceUnavailable(FillrateError):
    """An outside system did not answer; the same call may pass later, so it is retried."""


class ContractViolation(FillrateError):
    """Data breaks its contract: the partition is held and the last good records stay."""
