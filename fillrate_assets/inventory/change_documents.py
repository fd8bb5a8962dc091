"""Documents of changes: how a change is written as JSON, in a job, to a replica and in a dead letter."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.inventory.rules.replication import StockCount

_Code = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LENGTH)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
_Cases = Annotated[Decimal, Field(max_digits=18, decimal_places=4)]


class ChangeDocument(BaseModel):
    """A change as JSON has it; quantities are texts or numbers, in cases."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dc: _Code
    item: _Code
    on_hand: _Cases
    reserved: Annotated[_Cases, Field(ge=0)] = Decimal(0)
    seq: Annotated[int, Field(ge=1, lt=2**63)]
    deleted: bool = False
    occurred_at: AwareDatetime
    origin: _Name
    change_id: _Name

    @classmethod
    def from_change(cls, change: StockCount) -> Self:
        """Return the document of a change."""
        return cls(**vars(change))

    def to_change(self) -> StockCount:
        """Return the change of the document; its time in UTC."""
        values: dict[str, Any] = {name: getattr(self, name) for name in ChangeDocument.model_fields}
        return StockCount(**{**values, "occurred_at": self.occurred_at.astimezone(UTC)})


class CopyDocument(ChangeDocument):
    """A copy of a count as JSON has it."""

    applied_at: AwareDatetime

    def to_row(self) -> tuple[object, ...]:
        """Return its values in the order of `schema.COPIES`."""
        return (
            *(self.dc, self.item, self.on_hand, self.reserved, self.seq, self.deleted),
            *(self.occurred_at.astimezone(UTC), self.origin, self.change_id, self.applied_at.astimezone(UTC)),
        )


Status = Literal["APPLIED", "STALE", "DUPLICATE", "CONFLICT", "REFUSED", "BUSY"]
"""What a DC answers to a change. REFUSED: it does not take it, whatever comes; BUSY: it may take it later."""


class ResultDocument(BaseModel):
    """What became of one change."""

    status: Status
    reason: str = ""


class ResultsDocument(BaseModel):
    """What became of the changes of a request, in their order."""

    results: list[ResultDocument]


RESULTS: Final = TypeAdapter(ResultsDocument)


def dump_change(change: StockCount) -> dict[str, Any]:
    """Return a change as JSON has it."""
    return ChangeDocument.from_change(change).model_dump(mode="json")


def load_change(document: object) -> StockCount:
    """Return the change of a document.

    Raises:
        ContractViolation: fields are missing, unknown, or not what they have to be.

    """
    try:
        return ChangeDocument.model_validate(document).to_change()
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        msg = f"no change of stock: {problems}"
        raise ContractViolation(msg) from error
