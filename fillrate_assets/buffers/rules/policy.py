"""Every threshold and window of the buffer rules, in one frozen and versioned object; no rule belongs here.

The defaults are version 1 of the algorithm. Fractions are of a unit's capacity, minutes and ticks are named so.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, Final

from fillrate_assets.core.errors import PermanentFailure

TICK_MINUTES: Final = 5
"""The grid of every rule; windows that are counted in ticks count these."""

CONFIDENCE: Final = 0.95
"""Of every interval."""


@dataclass(frozen=True)
class Freshness:
    """Age of a feed's latest row, in minutes: fresh up to `fresh`, stale up to `expired`, then unusable."""

    fresh: float
    expired: float


@dataclass(frozen=True)
class Overflow:
    """When a kind of unit overflows: fractions of capacity, and minutes until it does."""

    emergency: float
    act: float
    act_soon: float
    act_soon_minutes: float
    warn: float
    warn_minutes: float
    clear: float
    """Below it, the unit is clear of overflow."""


@dataclass(frozen=True)
class Jam:
    """An INDUCT unit this full whose outflow is below this share of what usually leaves it is jammed."""

    fill: float = 0.90
    outflow_share: float = 0.20
    staffed_ticks: int = 3
    """Staffed ticks in a row before a stop counts: the flows known until then are those of the break."""


@dataclass(frozen=True)
class Lane:
    """When a PACK or LANE unit overflows, which its siblings may relieve."""

    emergency: float = 0.97
    act: float = 0.85
    gap: float = 0.25
    """How much fuller than its group's median it must be to be out of balance."""

    sibling: float = 0.60
    """A sibling at or below this can take packages."""

    full: float = 0.95
    """Act from here on if a closed sibling could be opened, or no sibling is open; else from `emergency` on."""

    warn: float = 0.70
    warn_minutes: float = 30
    clear: float = 0.70


@dataclass(frozen=True)
class Starvation:
    """When a buffer starves: fractions of capacity, minutes until it does, and how slow its consumers must be."""

    dry: float = 0.04
    """At or below it there is nothing to take, whatever was taken in the quarter of an hour before."""

    act: float = 0.06
    act_soon: float = 0.15
    act_soon_minutes: float = 3
    """At the pace of the last 5 minutes."""

    warn: float = 0.25
    warn_minutes: float = 30
    clear: float = 0.20
    """Above it, the unit is clear of starvation."""

    blind_ticks: int = 3
    """Ticks in a row as low as for ACT after which the level alone decides, if it is not known what consumers take."""

    outflow_share: float = 0.85
    """Act only while consumers have less than this share of what they could take: it may be low on purpose."""

    soon_outflow_share: float = 0.70
    """The same where it is not as low yet: what lies ahead has to be clearer."""


@dataclass(frozen=True)
class Fusion:
    """How an observed level and the one that flows predict become one estimate."""

    tolerance_share: float = 0.08
    tolerance_packages: float = 6
    max_predicted_ticks: int = 2
    max_level_share: float = 1.2
    """A level above this share of capacity is rejected."""


@dataclass(frozen=True)
class Sensor:
    """When a level sensor is doubted: it repeats one number, or drifts away from what flows."""

    stuck_ticks: int = 6
    """Readings in a row that are the same to the digit."""

    stuck_share: float = 0.05
    """Of capacity, what must have come in or gone out meanwhile; at least `Fusion.tolerance_packages`."""

    drift_ticks: int = 6
    drift_share: float = 0.20
    """Of capacity: how far levels and flows may part, the greatest step left out."""

    drift_flow_share: float = 0.05
    """Of what came in and went out: flows are miscounted, too."""

    parting_share: float = 0.03
    """Of capacity: from here on neither of them alone shows that a problem, or a doubt, is over."""

    confirmed_ticks: int = 2
    """Ticks in a row that a sensor is doubted before its level does not count."""


@dataclass(frozen=True)
class Quality:
    """When a unit has a verdict."""

    degraded_coverage: float = 0.9
    data_alert_ticks: int = 3
    """Staffed ticks in a row that a unit is UNKNOWN, or a feed of it expired, before the feed alerts."""


@dataclass(frozen=True)
class Trend:
    """What slopes, means and horizons are measured over."""

    points: int = 7
    min_points: int = 5
    net_minutes: int = 15
    outflow_median_minutes: int = 60
    full: float = 0.95
    empty: float = 0.05
    named_within: float = 0.05
    """A unit so near to full, or to empty, is named in the notice of a TOTAL that it is part of."""
    horizon_minutes: float = 60
    """What lies further ahead is not reported as minutes left."""


@dataclass(frozen=True)
class Quantities:
    """What an action aims for."""

    settle_minutes: float = 30
    total_target: float = 0.5
    induct_target: float = 0.7
    lane_target: float = 0.6
    throttle_step: float = 50
    """Packages an hour that a throttle is floored to."""

    release_share: float = 0.2
    """How much a throttle may be raised per tick."""

    recipient_limit: float = 0.85
    recipient_minutes: float = 15
    """No sibling may be above `recipient_limit` within so many minutes of taking packages."""

    max_recipients: int = 3
    """Lanes that packages of one lane are diverted to, those with the most room."""


@dataclass(frozen=True)
class Suppression:
    """How often the floor is notified (dedup windows, hysteresis, flapping), in ticks unless minutes are named."""

    move_staff: int = 3
    throttle: int = 4
    rebalance: int = 6
    """Of OPEN_LANE too, which takes its place where no sibling can help."""

    data: int = 12
    emergency: int = 0
    changed: int = 2
    """Until another action than the last is sent, so that two that take turns are not sent at every tick."""

    acknowledge_ticks: int = 3
    """Without an acknowledgement before each step of who is on call; 0 takes none."""

    clear_ticks: int = 2
    flapping_openings: int = 3
    flapping_minutes: int = 60
    flapping_window_factor: int = 2
    flapping_clear_ticks: int = 6
    history_minutes: int = 60
    """Without rows for longer, or without data for longer, nothing is known of an episode."""

    consequence_minutes: int = 30
    consequence_slack: float = 0.2
    """A throttle is at work while what comes in lies within this share of what it lets in."""

    max_send_minutes: int = 10


@dataclass(frozen=True)
class Policy:
    """One version of the algorithm; stored on every row that it made."""

    name: str = "v1"
    occupancy: Freshness = Freshness(10, 15)
    flow: Freshness = Freshness(12, 20)
    staffing: Freshness = Freshness(30, 60)
    capacity: Freshness = Freshness(24 * 60, 24 * 60)
    backlog: Freshness = Freshness(30, 60)
    flow_correction_minutes: int = 30
    """How long a flow's window may still be corrected."""

    max_clock_ahead_minutes: float = 1
    """How far a source's clock may run ahead; a row that is dated later than that after its arrival never counts."""

    total: Overflow = Overflow(0.97, 0.93, 0.85, 5, 0.75, 30, 0.80)
    induct: Overflow = Overflow(0.97, 0.92, 0.80, 5, 0.70, 30, 0.70)
    jam: Jam = field(default_factory=Jam)
    lane: Lane = field(default_factory=Lane)
    starvation: Starvation = field(default_factory=Starvation)
    fusion: Fusion = field(default_factory=Fusion)
    sensor: Sensor = field(default_factory=Sensor)
    quality: Quality = field(default_factory=Quality)
    trend: Trend = field(default_factory=Trend)
    pool_order: tuple[str, ...] = ("PICK", "INDUCT", "SORT", "PACK")
    """Pools in the order in which a package meets them; a pool that is not named has no neighbours."""

    quantities: Quantities = field(default_factory=Quantities)
    suppression: Suppression = field(default_factory=Suppression)

    @cached_property
    def version(self) -> str:
        """The name and a digest of every value: two policies with one version decide alike."""
        digest = hashlib.sha256(repr(sorted(asdict(self).items())).encode()).hexdigest()
        return f"{self.name}-{digest[:8]}"


def override_policy(policy: Policy, values: Mapping[str, Any]) -> Policy:
    """Return a policy with other values, each within its range.

    Args:
        policy: what the others stay as in.
        values: by name, those of a part nested: `{"total": {"act": 0.9}}`.

    Raises:
        PermanentFailure: there is no such value, it is not of its kind, or the policy cannot be: see `check_policy`.

    """
    if not isinstance(values, Mapping):
        msg = f"policy: {values!r} names no values"
        raise PermanentFailure(msg)
    made: Policy = _override_values(policy, values, "")
    check_policy(made)
    return made


def list_changes(policy: Policy) -> dict[str, Any]:
    """List the values that differ from the platform's own, as `override_policy` takes them."""
    return _list_changes(policy, Policy())


def _list_changes(part: Any, own: Any) -> dict[str, Any]:  # noqa: ANN401 - a policy or a part of one
    changes = {}
    for each in fields(part):
        value, before = getattr(part, each.name), getattr(own, each.name)
        if value != before:
            changes[each.name] = _list_changes(value, before) if is_dataclass(value) else value
    return changes


def _override_values(part: Any, values: Mapping[str, Any], where: str) -> Any:  # noqa: ANN401 - a policy or a part of one
    known = {each.name: each.type for each in fields(part)}
    overridden = {}
    for name, value in values.items():
        if name not in known:
            msg = f"policy: there is no {where}{name}; there are {', '.join(sorted(known))}"
            raise PermanentFailure(msg)
        before = getattr(part, name)
        if is_dataclass(before):
            if not isinstance(value, Mapping):
                msg = f"policy: {where}{name} has parts: {', '.join(each.name for each in fields(before))}"
                raise PermanentFailure(msg)
            overridden[name] = _override_values(before, value, f"{where}{name}.")
        elif isinstance(before, tuple) and isinstance(value, list | tuple):
            overridden[name] = tuple(value)
        elif isinstance(value, bool) or not isinstance(value, _KINDS.get(str(known[name]), ())):
            msg = f"policy: {where}{name} is {before!r}, it cannot be {value!r}"
            raise PermanentFailure(msg)
        else:
            overridden[name] = value
    return replace(part, **overridden)


_KINDS: Final[dict[str, tuple[type, ...]]] = {"int": (int,), "float": (int, float), "str": (str,)}
"""What a value may be, by how its field is declared."""

# --- what a policy can be

_MAX_NAME: Final = 64
_SHARE: Final = (0, 1)
_HOURS: Final = (0, 120)
_TICKS: Final = (0, 288)
_RANGES: Final[dict[str, tuple[float, float]]] = {
    **dict.fromkeys(("occupancy.fresh", "flow.fresh"), (1, 60)),
    **dict.fromkeys(("occupancy.expired", "flow.expired", "staffing.fresh", "backlog.fresh"), (1, 240)),
    **dict.fromkeys(("staffing.expired", "backlog.expired"), (1, 24 * 60)),
    **dict.fromkeys(("capacity.fresh", "capacity.expired"), (60, 7 * 24 * 60)),
    "flow_correction_minutes": (0, 240),
    "max_clock_ahead_minutes": (0, 5),
    **{
        f"{part}.{name}": _HOURS if name.endswith("minutes") else _SHARE
        for part, kind in (("total", Overflow), ("induct", Overflow), ("lane", Lane), ("starvation", Starvation))
        for name in (each.name for each in fields(kind))
    },
    "starvation.blind_ticks": (1, 12),
    "jam.fill": _SHARE,
    "jam.outflow_share": _SHARE,
    "jam.staffed_ticks": (1, 12),
    "fusion.tolerance_share": _SHARE,
    "fusion.tolerance_packages": (0, 1000),
    "fusion.max_predicted_ticks": (0, 6),
    "fusion.max_level_share": (1, 2),
    "sensor.stuck_ticks": (3, 12),
    "sensor.drift_ticks": (3, 12),
    **dict.fromkeys(
        ("sensor.stuck_share", "sensor.drift_share", "sensor.drift_flow_share", "sensor.parting_share"), _SHARE
    ),
    "sensor.confirmed_ticks": (1, 6),
    "quality.degraded_coverage": _SHARE,
    "quality.data_alert_ticks": (1, 24),
    "trend.points": (3, 13),
    "trend.min_points": (2, 13),
    "trend.net_minutes": (5, 60),
    "trend.outflow_median_minutes": (15, 240),
    "trend.full": _SHARE,
    "trend.empty": _SHARE,
    "trend.named_within": (0, 0.5),
    "trend.horizon_minutes": (1, 240),
    "quantities.settle_minutes": (5, 240),
    **dict.fromkeys(
        tuple(
            f"quantities.{name}"
            for name in ("total_target", "induct_target", "lane_target", "release_share", "recipient_limit")
        ),
        _SHARE,
    ),
    "quantities.throttle_step": (1, 1000),
    "quantities.recipient_minutes": (1, 120),
    "quantities.max_recipients": (1, 20),
    **{f"suppression.{each.name}": _TICKS for each in fields(Suppression) if not each.name.endswith("minutes")},
    "suppression.emergency": (0, 12),
    "suppression.clear_ticks": (1, 24),
    "suppression.flapping_clear_ticks": (1, 48),
    "suppression.flapping_openings": (2, 24),
    "suppression.flapping_window_factor": (1, 12),
    "suppression.consequence_slack": _SHARE,
    "suppression.flapping_minutes": (15, 240),
    "suppression.history_minutes": (60, 240),
    "suppression.consequence_minutes": (5, 60),
    "suppression.max_send_minutes": (5, 60),
}
"""The least and greatest of every value, by its name."""

_STEPS: Final = (("clear", "act"), ("act", "emergency"))
_ASCENDING: Final = (
    *((f"{feed}.fresh", f"{feed}.expired") for feed in ("occupancy", "flow", "staffing", "capacity", "backlog")),
    *((f"{part}.{low}", f"{part}.act_soon") for part in ("total", "induct") for low in ("clear", "warn")),
    *((f"{part}.act_soon", f"{part}.act") for part in ("total", "induct")),
    ("lane.clear", "lane.act"),
    ("lane.warn", "lane.act"),
    ("lane.act", "lane.full"),
    ("lane.full", "lane.emergency"),
    ("starvation.act", "starvation.act_soon"),
    ("starvation.act_soon", "starvation.warn"),
    ("starvation.soon_outflow_share", "starvation.outflow_share"),
    ("starvation.clear", "total.clear"),
    ("sensor.parting_share", "sensor.drift_share"),
    ("trend.empty", "trend.full"),
    ("trend.min_points", "trend.points"),
)
"""The first is not above the second."""

_STRICTLY_ASCENDING: Final = (
    *((f"{part}.{low}", f"{part}.{high}") for part in ("total", "induct") for low, high in _STEPS),
    *((f"lane.{low}", f"lane.{high}") for low, high in _STEPS),
    ("starvation.act", "starvation.clear"),
)
"""The first is below the second: what clears at the limit at which it acts would come and go at every tick."""


def check_policy(policy: Policy) -> None:
    """Check that every value is within its range, and that limits are in their order.

    A warning needs a trend, so its limit may be below the one that clears (decision 0186).

    Raises:
        PermanentFailure: they are not; it names each.

    """
    values = dict(_list_values(policy, ""))
    problems = [
        f"{name} is {value!r}, expected {low:g} to {high:g}"
        for name, (low, high) in _RANGES.items()
        if not low <= (value := values[name]) <= high
    ]
    for pairs, word in ((_ASCENDING, "above"), (_STRICTLY_ASCENDING, "not below")):
        problems += [
            f"{low} is {word} {high}: {values[low]!r} and {values[high]!r}"
            for low, high in pairs
            if (values[low] > values[high] if word == "above" else not values[low] < values[high])
        ]
    if not re.fullmatch(r"[A-Za-z0-9._-]+", policy.name) or len(policy.name) > _MAX_NAME:
        problems.append(f"name is {policy.name!r}, expected up to {_MAX_NAME} letters, digits, '.', '_' and '-'")
    if not all(isinstance(pool, str) for pool in policy.pool_order) or len(set(policy.pool_order)) < len(
        policy.pool_order
    ):
        problems.append(f"pool_order is {policy.pool_order!r}, expected names of pools, each once")
    if problems:
        msg = f"policy: {'; '.join(problems)}"
        raise PermanentFailure(msg)


def _list_values(part: Any, where: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - a policy or a part of one
    """List every value with its name."""
    for each in fields(part):
        value = getattr(part, each.name)
        if is_dataclass(value):
            yield from _list_values(value, f"{where}{each.name}.")
        else:
            yield f"{where}{each.name}", value


@dataclass(frozen=True)
class Promotion:
    """When a challenger takes the champion's place, and when it must give it back. Of no one policy, so not in it."""

    min_days: int = 14
    min_episodes: int = 200
    max_unit_type_loss: float = 0.05
    """How much worse its F1 may be for one unit type."""

    max_message_growth: float = 0.10
    confidence: float = CONFIDENCE
    resamples: int = 2000
    before_minutes: int = 30
    after_minutes: int = 5
    """An alert counts from so long before the onset of a problem to so long after it."""

    rollback_days: int = 7
    min_rollback_answers: int = 20
    """Fewer answers in these days prove nothing."""
