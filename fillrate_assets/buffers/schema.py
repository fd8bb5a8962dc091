"""Schemas of the buffer area: columns, dtypes, units, keys, nullability. No rule and no SQL belongs here.

Levels, capacities and flows are in packages, fractions are of a capacity, times are UTC. `snapshot_ts` is the tick that
a row belongs to, a point of the 5-minute grid.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema

ANY: Final = "*"
ROLES: Final = ("LEVEL", "IN", "OUT", "CAP")
UNIT_TYPES: Final = ("TOTAL", "INDUCT", "PACK", "LANE")
"""From widest to narrowest scope; PACK and LANE follow the same rules."""

FEEDS: Final = ("OCCUPANCY", "FLOW", "STAFFING", "LIMITS")
FUSIONS: Final = ("OBSERVED", "MEAN", "SUSPECT", "RECOUNT", "PREDICTED", "NONE")
"""How a level came to be: observed alone, the mean of observed and predicted, predicted against a doubtful one,
a doubtful one accepted the second time, predicted for want of one, or not at all."""

DOUBTS: Final = ("STUCK", "DRIFTING")
"""Why a level sensor is doubted: it repeats one number while packages flow, or parts from what flows."""

QUALITIES: Final = ("FRESH", "DEGRADED", "UNKNOWN")
DIRECTIONS: Final = ("OVERFLOW", "STARVATION", "DATA")
SEVERITIES: Final = ("WARN", "ACT", "EMERGENCY")
"""From least to most severe."""

VERDICTS: Final = (*SEVERITIES[::-1], "UNKNOWN", "HYSTERESIS", "CLEAR", "NOT_STAFFED")
"""What a unit is in one direction, the worst first (decision 0020). HYSTERESIS is neither bad enough to act nor good
enough to clear."""

WORST_FIRST: Final = pl.Enum(VERDICTS)
"""Sorts verdicts and severities; the least of a unit's verdicts is its state."""

ACTIONS: Final = ("MOVE_STAFF", "THROTTLE", "REBALANCE", "OPEN_LANE", "CHECK_DATA")
RESOLUTIONS: Final = ("KEPT", "CHANGED", "CAUSED_BY_ACTION", "OVERRIDDEN")
LABELS: Final = ("NEW", "ONGOING", "CLEARED", "SUPPRESSED")
REASONS: Final = (
    "HISTORY_GAP",
    "ESCALATED",
    "CHANGED",
    "REOPEN_IN_WINDOW",
    "FLAPPING",
    "WINDOW",
    "SUBSUMED_BY",
    "CONSEQUENCE_OF",
    "HYSTERESIS",
    "CLEARING",
    "NOT_STAFFED",
    "DATA_STALE",
    "EXPIRED_NO_DATA",
    "ACKNOWLEDGED",
    "SNOOZED",
    "MAINTENANCE",
    "UNACKNOWLEDGED",
)
"""HISTORY_GAP is why an alert is NEW, ESCALATED and CHANGED why it is sent again, UNACKNOWLEDGED why to those on call;
the others are why it is SUPPRESSED."""

ANSWERS: Final = ("CORRECT", "NO_PROBLEM", "WRONG_ACTION", "WRONG_QTY", "TOO_LATE", "ALREADY_KNOWN", "MISSED_PROBLEM")

EVIDENCE: Final = pl.List(
    pl.Struct({"name": pl.String(), "value": pl.Float64(), "threshold": pl.Float64(), "margin": pl.Float64()})
)
"""What a rule looked at: each input, what it was compared with if anything, and by how much it lies beyond."""

RECIPIENTS: Final = pl.List(pl.Struct({"unit_id": pl.String(), "quantity": pl.Float64(), "headroom": pl.Float64()}))
"""The units that packages are diverted to, and how many each gets and could take, in whole packages an hour."""

_WAREHOUSE: Final = Column("warehouse", pl.String, "Robotized warehouse")
_PATH: Final = Column("path", pl.String, "Physical path within the warehouse")
_POOL: Final = Column("pool", pl.String, "Work pool: the people and paths of one stage, e.g. PICK, INDUCT, PACK")
_UNIT_ID: Final = Column("unit_id", pl.String, "`{WAREHOUSE}_{WORKPOOL}_{PATH|TOTAL}`")
_UNIT_TYPE: Final = Column("unit_type", pl.String, "TOTAL, INDUCT, PACK or LANE", codes=UNIT_TYPES)
_SNAPSHOT_TS: Final = Column("snapshot_ts", TIMESTAMP, "The tick", "UTC")
_POLICY: Final = Column("policy_version", pl.String, "Version of the policy that made the row")
_PROBLEM: Final = Column(
    "problem", pl.String, "What could not be read of the row, if anything", nullable=True, derived=True
)
_BITEMPORAL: Final = (
    Column("event_ts", TIMESTAMP, "When it was so; of a flow, the end of its window", "UTC"),
    Column("ingest_ts", TIMESTAMP, "When the feed's table received it", "UTC"),
    Column("src_seq", pl.Int64, "Sequence of the source: of two rows for one time, the greater one wins"),
    _PROBLEM,
)


def _make_number(name: str, description: str, unit: str | None = None) -> Column:
    return Column(name, pl.Float64, description, unit, nullable=True)


def _make_text(name: str, description: str) -> Column:
    return Column(name, pl.String, description, nullable=True)


def _make_ticks(name: str, description: str) -> Column:
    return Column(name, pl.Int64, description, "ticks", nullable=True)


def _make_moment(name: str, description: str) -> Column:
    return Column(name, TIMESTAMP, description, "UTC", nullable=True)


# --- feeds

OCCUPANCY: Final = TableSchema(
    "buffer_occupancy", (), (_WAREHOUSE, _PATH, _make_number("level", "Packages on the path", "packages"), *_BITEMPORAL)
)
FLOW: Final = TableSchema(
    "buffer_flow",
    (),
    (
        _WAREHOUSE,
        _PATH,
        _make_moment("window_start", "Begin of the counted window"),
        _make_number("inflow", "Packages that came in during the window", "packages"),
        _make_number("outflow", "Packages that went out during the window", "packages"),
        *_BITEMPORAL,
    ),
)
STAFFING: Final = TableSchema(
    "buffer_staffing",
    (),
    (
        _WAREHOUSE,
        _POOL,
        _make_number("headcount", "Associates at work", "associates"),
        _make_number("headcount_planned", "Associates planned", "associates"),
        _make_number("units_per_hour", "What one associate does", "packages/hour"),
        _make_text("shift", "Shift that is on; empty between shifts"),
        _make_moment("break_from", "Begin of the scheduled break that is on or next"),
        _make_moment("break_to", "Its end"),
        *_BITEMPORAL,
    ),
)
LIMITS: Final = TableSchema(
    "buffer_limits",
    (),
    (
        _WAREHOUSE,
        _PATH,
        _make_number("capacity", "Packages that fit", "packages"),
        _make_number("max_rate", "Packages that its stations can take", "packages/hour"),
        Column("lane_open", pl.Boolean, "Whether the path takes packages", nullable=True),
        _make_number("backlog", "Packages that wait upstream", "packages"),
        _make_moment("critical_pull_ts", "When the next truck that matters leaves"),
        *_BITEMPORAL,
    ),
)

# --- what the platform itself stores: one SQL statement changes it, the next tick obeys

WAREHOUSES: Final = TableSchema(
    "warehouse",
    ("warehouse",),
    (
        _WAREHOUSE,
        Column("dc", pl.String, "Distribution centre that it belongs to"),
        Column("name", pl.String, "Name, for people"),
        Column("time_zone", pl.String, "IANA time zone"),
        Column("active", pl.Boolean, "Whether it is monitored"),
    ),
)
UNIT_MEMBERS: Final = TableSchema(
    "unit_member",
    ("unit_id", "path", "role", "valid_from"),
    (
        _UNIT_ID,
        _PATH,
        Column("role", pl.String, "LEVEL, IN, OUT or CAP: what of the path counts in the unit", codes=ROLES),
        Column("weight", pl.Float64, "How much of it counts"),
        Column("valid_from", TIMESTAMP, "From when", "UTC"),
        _make_moment("valid_to", "Until when, not included; empty: no end"),
    ),
)
WAREHOUSE_PATHS: Final = TableSchema(
    "warehouse_path",
    ("warehouse", "path"),
    (
        _WAREHOUSE,
        _POOL,
        _PATH,
        _make_number("capacity", "Packages that fit, for as long as the feed of limits has not said it", "packages"),
        _make_text("label", "What people on the floor call it"),
    ),
)
"""Paths that are monitored: warehouse, units and members follow from them by convention (`rules.unit_convention`)."""

ALERT_ROUTES: Final = TableSchema(
    "alert_route",
    ("warehouse", "pool", "unit_type", "min_severity", "channel", "active_from"),
    (
        Column("warehouse", pl.String, "Warehouse, or * for any"),
        Column("pool", pl.String, "Work pool, or * for any"),
        Column("unit_type", pl.String, "Unit type, or * for any"),
        Column("min_severity", pl.String, "Least severity that it takes: WARN, ACT or EMERGENCY", codes=SEVERITIES),
        Column("channel", pl.String, "Where to: slack:..., teams:..., webhook:..., email:..., sns:... or console"),
        Column("active_from", TIMESTAMP, "From when", "UTC"),
        _make_moment("active_to", "Until when, not included; empty: no end"),
        Column("updated_by", pl.String, "Who set it"),
    ),
)
SHIFTS: Final = TableSchema(
    "shift",
    ("warehouse", "pool", "weekday", "starts"),
    (
        _WAREHOUSE,
        _POOL,
        Column("weekday", pl.Int64, "ISO weekday on which it starts, 1 is Monday"),
        Column("starts", pl.Time, "Begin, at the warehouse's own time"),
        Column("ends", pl.Time, "End, at the warehouse's own time; not after `starts`: of the next day"),
    ),
)
MASTER_REJECTS: Final = TableSchema(
    "master_rejects",
    (),
    (
        Column("table", pl.String, "warehouse, warehouse_path, unit_member, alert_route, shift or on_call"),
        Column("key", pl.String, "Values of the row's key, comma separated"),
        Column("reason", pl.String, "What is wrong with the row, and what becomes of it"),
    ),
)

POLICY_ROLES: Final = ("CHAMPION", "CHALLENGER", "RETIRED")
"""The champion decides; a challenger runs beside it and sends nothing (champion/challenger)."""

POLICIES: Final = TableSchema(
    "buffer_policy",
    ("version",),
    (
        Column("version", pl.String, "Name and digest of every value"),
        Column("role", pl.String, "CHAMPION, CHALLENGER or RETIRED", codes=POLICY_ROLES),
        Column("changes", pl.String, "Values that differ from the platform's own policy, as JSON"),
        Column("since_ts", TIMESTAMP, "Since when it has this role", "UTC"),
        _make_text("replaced", "Version whose place a champion took"),
        _make_text("evidence", "What it was promoted on, as JSON"),
        Column("updated_by", pl.String, "Who set it"),
    ),
)

# --- what a tick makes

_TICK: Final = (
    Column("dc", pl.String, "Distribution centre"),
    Column("ship_date", pl.Date, "Operating day: the date at the warehouse's own time"),
    _SNAPSHOT_TS,
    _WAREHOUSE,
)

_LATEST_FLOW: Final = "the latest 5 minutes of the grid that are wholly known, which ended at most 12 minutes ago"

SIGNALS: Final = TableSchema(
    "buffer_signals",
    ("warehouse", "path", "snapshot_ts"),
    (
        *_TICK,
        _PATH,
        _make_number("observed", "Latest usable observed level within its tolerance", "packages"),
        _make_moment("observed_ts", "When that was observed"),
        _make_number("predicted", "The last estimate plus what flowed since, if known", "packages"),
        _make_number("level", "The estimate; empty: none", "packages"),
        Column(
            "fusion",
            pl.String,
            "How the estimate came to be, one of `FUSIONS`",
            codes=FUSIONS,
        ),
        Column("suspect_sign", pl.Int64, "Of a SUSPECT: 1 if more was observed than predicted, -1 if less; else 0"),
        Column("predicted_ticks", pl.Int64, "Ticks in a row without an observed level", "ticks"),
        _make_number("inflow", f"Packages in during {_LATEST_FLOW}, pro-rated", "packages"),
        _make_number("outflow", f"Packages out during {_LATEST_FLOW}, pro-rated", "packages"),
        _make_number("inflow_rate", "Mean of what is known of the last 15 minutes", "packages/minute"),
        _make_number("outflow_rate", "Mean of what is known of the last 15 minutes", "packages/minute"),
        Column(
            "outflows",
            pl.List(pl.Float64),
            "Out in each 5 of the last 60 minutes, latest first",
            "packages",
            nullable=True,
        ),
        _make_number("capacity", "Packages that fit", "packages"),
        _make_number("max_rate", "Packages that its stations can take", "packages/hour"),
        Column("lane_open", pl.Boolean, "Whether the path takes packages", nullable=True),
        _make_number("backlog", "Packages that wait upstream", "packages"),
        _make_moment("critical_pull_ts", "When the next truck that matters leaves"),
        Column("level_fresh", pl.Boolean, "Whether the level is observed and fresh, or its prediction is allowed"),
        Column("flow_fresh", pl.Boolean, "Whether the flows are fresh"),
        Column("flow_expired", pl.Boolean, "Whether nothing is known of its flows any more", nullable=True),
        Column("limits_expired", pl.Boolean, "Whether its limits are not reported any more", nullable=True),
        Column(
            "observations",
            pl.List(pl.Float64),
            "New readings of its sensor at this tick and those before, latest first",
            "packages",
            nullable=True,
        ),
        Column(
            "gains",
            pl.List(pl.Float64),
            "In less out in each 5 minutes that these are held against, latest first",
            "packages",
            nullable=True,
        ),
        Column("doubt", pl.String, "Why its sensor is doubted, if so", nullable=True, codes=DOUBTS),
        Column("doubted_ticks", pl.Int64, "Ticks in a row that it is", "ticks", nullable=True),
        _make_number("flow_level", "What flows say, where what its sensor shows parts from it", "packages"),
        _make_number("least_level", "Of a doubted sensor: the lesser of what it shows and flows say", "packages"),
        _POLICY,
    ),
)
SIGNAL_REJECTS: Final = TableSchema(
    "buffer_signal_rejects",
    (),
    (
        _SNAPSHOT_TS,
        Column("feed", pl.String, "OCCUPANCY, FLOW, STAFFING or LIMITS", codes=FEEDS),
        _WAREHOUSE,
        _make_text("path", "Path, or pool of a staffing row"),
        Column("event_ts", TIMESTAMP, "When it was so", "UTC", nullable=True),
        Column("reason", pl.String, "Why the row cannot be used"),
        _make_number("ahead_minutes", "By how much it is dated after its arrival, if that is why", "minutes"),
    ),
)
UNIT_REJECTS: Final = TableSchema(
    "unit_member_rejects",
    (),
    (
        _SNAPSHOT_TS,
        _make_text("unit_id", "As `unit_member` has it"),
        _make_text("path", "Path of the member"),
        _make_text("role", "Its role"),
        Column("reason", pl.String, "Why the member cannot be used"),
    ),
)
POOLS: Final = TableSchema(
    "buffer_pools",
    ("warehouse", "pool", "snapshot_ts"),
    (
        *_TICK,
        _POOL,
        _make_number("headcount", "Associates at work", "associates"),
        _make_number("headcount_planned", "Associates planned", "associates"),
        _make_number("units_per_hour", "What one associate does", "packages/hour"),
        Column("staffed", pl.Boolean, "Someone is there and no break is on; empty: not known", nullable=True),
        Column("staffing_fresh", pl.Boolean, "Whether that is fresh"),
    ),
)
UNIT_TIMESERIES: Final = TableSchema(
    "unit_timeseries",
    ("unit_id", "snapshot_ts"),
    (
        *_TICK,
        _UNIT_ID,
        _POOL,
        _UNIT_TYPE,
        _make_text("consumers", "Work pool whose people take from it: that of its paths, which may be another"),
        _make_number("level", "Weighted sum of its paths' estimates; empty if one is missing", "packages"),
        _make_number("capacity", "Weighted sum of its paths' capacities", "packages"),
        _make_number("fill", "Fresh level / capacity of the paths that have one; empty if UNKNOWN", "of capacity"),
        _make_number(
            "proven_fill", "Fresh level alone over the whole capacity: the true fill is no less", "of capacity"
        ),
        _make_number("low_fill", "If of each path the lesser of sensor and flows is true", "of capacity"),
        _make_number("high_fill", "If of each path the greater of sensor and flows is true", "of capacity"),
        Column("coverage", pl.Float64, "Capacity of paths with a fresh level over the whole capacity"),
        Column("quality", pl.String, "FRESH, DEGRADED or UNKNOWN", codes=QUALITIES),
        _make_text("missing_feeds", "Feeds that are not fresh, comma separated"),
        Column("unknown_ticks", pl.Int64, "Staffed ticks in a row that it is UNKNOWN", "ticks"),
        _make_number("inflow", f"Packages in during {_LATEST_FLOW}", "packages"),
        _make_number("outflow", f"Packages out during {_LATEST_FLOW}", "packages"),
        _make_number("inflow_rate", "Mean of the last 15 minutes", "packages/minute"),
        _make_number("outflow_rate", "Mean of the last 15 minutes", "packages/minute"),
        _make_number(
            "outflow_median", "What usually leaves it: median of 60 minutes, never of a jam", "packages/minute"
        ),
        _make_number("slope", "Theil-Sen slope of the last 7 levels", "packages/minute"),
        _make_number("pace", "Change of level since the tick before; only of FRESH", "packages/minute"),
        Column("trend_agrees", pl.Boolean, "Slope and net flow have one sign; empty: one is missing", nullable=True),
        _make_number("minutes_to_overflow", "Until 95 % full at this slope; empty: it does not rise", "minutes"),
        _make_number("minutes_to_starvation", "Until 5 % full at this slope; empty: it does not fall", "minutes"),
        _make_number("headcount", "Associates at work who take from it", "associates"),
        _make_number("headcount_planned", "Associates planned for that", "associates"),
        _make_number("units_per_hour", "What one associate does", "packages/hour"),
        _make_number("service_rate", "headcount x units per hour, mu", "packages/minute"),
        Column("staffed", pl.Boolean, "Someone is there and no break is on; empty: not known", nullable=True),
        _make_number("max_rate", "Packages that its stations can take", "packages/hour"),
        Column("is_open", pl.Boolean, "Whether one of its paths takes packages", nullable=True),
        _make_number("backlog", "Packages that wait upstream", "packages"),
        _make_moment("critical_pull_ts", "When the next truck that matters leaves"),
        Column("paths", pl.List(pl.String), "Paths whose levels count in it, sorted", nullable=True),
        _make_text("doubted_paths", "Paths whose sensor is doubted, and why, comma separated"),
        _make_ticks("staffed_ticks", "Ticks in a row that someone is there, as far as that is known"),
        _make_ticks("empty_ticks", "Ticks in a row that it is as low as for starvation"),
        _make_ticks("flow_expired_ticks", "Staffed ticks in a row that nothing is known of its flows"),
        _make_ticks("staffing_expired_ticks", "Staffed ticks in a row that nothing is known of its people"),
        _make_ticks("limits_expired_ticks", "Staffed ticks in a row that its limits are not reported"),
        _POLICY,
    ),
)

LIMITED_BY: Final = ("SETTLES", "NO_SURPLUS", "NO_STATIONS", "NO_UPSTREAM", "NO_ROOM", "IN_FORCE")
"""Why a number is not there, or why the usual action gave way to the next one: it settles by itself, no pool can spare
anyone, no station is free, no pool is known to fill it, no sibling has room, the measure in force stays as it is."""

_REASONED: Final = (
    _make_text("missing_inputs", "Inputs of the quantity that are not known, or feeds that are not fresh"),
    Column("limited_by", pl.String, "Why the usual action has no number, if so", nullable=True, codes=LIMITED_BY),
    _make_text("named_units", "Units within it that have the problem themselves, worst first, comma separated"),
)

_RECOMMENDED: Final = (
    *_TICK,
    _UNIT_ID,
    _POOL,
    _UNIT_TYPE,
    Column("direction", pl.String, "OVERFLOW, STARVATION or DATA", codes=DIRECTIONS),
    Column("verdict", pl.String, "EMERGENCY, ACT, WARN, HYSTERESIS, CLEAR, NOT_STAFFED or UNKNOWN", codes=VERDICTS),
    Column("rule_id", pl.String, "The rule that decided"),
    Column("quality", pl.String, "FRESH, DEGRADED or UNKNOWN: what the verdict rests on", codes=QUALITIES),
    _make_text("action", "MOVE_STAFF, THROTTLE, REBALANCE, OPEN_LANE or CHECK_DATA; empty: nothing to do"),
    _make_number("quantity", "How many; empty: not known"),
    _make_text("quantity_unit", "associates or packages/hour"),
    _make_text("source_unit", "Where it is taken from: a donor pool, or the unit that diverts"),
    _make_text("target_unit", "Where it goes: a pool, or the siblings with their shares"),
    Column("recipients", RECIPIENTS, "Of REBALANCE, the siblings with their shares", nullable=True),
    _make_moment("until_ts", "Until when"),
    _make_number(
        "minutes_left", "Until it overflows or starves, its own direction; 0: it does; empty: not within an hour"
    ),
    _make_number("surplus", "Associates that the donor can give", "associates"),
    _make_number("throttle_to", "What may come in for it to settle at its target", "packages/hour"),
    *_REASONED,
    Column("explanation", pl.String, "Why, in words with numbers"),
    Column("evidence", EVIDENCE, "Inputs, thresholds and margins of the rule"),
    _POLICY,
)
VERDICTS_OF_UNITS: Final = TableSchema("buffer_verdicts", ("unit_id", "direction", "snapshot_ts"), _RECOMMENDED)
"""Verdicts: each unit by itself, one row for each direction that its type can fail in."""

RECOMMENDATIONS: Final = TableSchema(
    "buffer_recommendations",
    ("unit_id", "direction", "snapshot_ts"),
    (
        *_RECOMMENDED,
        Column("resolution", pl.String, "KEPT, CHANGED, CAUSED_BY_ACTION or OVERRIDDEN", codes=RESOLUTIONS),
        _make_text("resolution_rule", "R1 to R8, if one applied"),
        _make_text("winner", "unit_id and direction of the row that it lost to or follows from"),
        _make_text("original_action", "Action before conflicts were resolved"),
        _make_number("original_quantity", "Quantity before"),
        _make_text("original_verdict", "Verdict before"),
        _make_text("original_explanation", "Explanation before"),
    ),
)
"""Recommendations: the same rows, conflicts inside a warehouse resolved; nothing is deleted."""

ALERTS: Final = TableSchema(
    "buffer_alerts",
    ("unit_id", "direction", "snapshot_ts"),
    (
        *_TICK,
        _UNIT_ID,
        _POOL,
        _UNIT_TYPE,
        Column("direction", pl.String, "OVERFLOW, STARVATION or DATA", codes=DIRECTIONS),
        Column("action", pl.String, "What is requested now; else what the floor was last notified of", codes=ACTIONS),
        Column(
            "notified_action", pl.String, "What the floor was last notified of, if it was", nullable=True, codes=ACTIONS
        ),
        Column("severity", pl.String, "WARN, ACT or EMERGENCY", nullable=True, codes=SEVERITIES),
        Column("label", pl.String, "NEW, ONGOING, CLEARED or SUPPRESSED", codes=LABELS),
        Column("reason", pl.String, "Why it is suppressed, or why it is sent again", nullable=True, codes=REASONS),
        Column("is_open", pl.Boolean, "Whether an episode is open after this tick"),
        Column("episode", pl.Int64, "Number of the key's episode: it grows, and is never used again"),
        _make_moment("opened_ts", "When the episode opened"),
        _make_moment("last_notified_ts", "When the floor was last notified, in this episode or the one before"),
        _make_text(
            "peak_notified_severity", "The greatest severity notified in the episode; of the one before, if none yet"
        ),
        Column("clear_count", pl.Int64, "Clear ticks in a row", "ticks"),
        Column("openings", pl.List(TIMESTAMP), "Openings of the last 60 minutes"),
        Column("seq", pl.Int64, "Count of notices in the episode"),
        _make_moment("unknown_since_ts", "Since when nothing is known of the unit, if so"),
        _POLICY,
    ),
)
"""Alerts: what is sent, and what is suppressed and why; its state rides along."""

# --- what is sent and answered

_NOTICE: Final = (
    *_TICK,
    _UNIT_ID,
    _POOL,
    _UNIT_TYPE,
    Column("direction", pl.String, "OVERFLOW, STARVATION or DATA", codes=DIRECTIONS),
    Column("action", pl.String, "MOVE_STAFF, THROTTLE, REBALANCE, OPEN_LANE or CHECK_DATA", codes=ACTIONS),
    Column("episode", pl.Int64, "Number of the key's episode"),
    Column("seq", pl.Int64, "Count of notices in the episode"),
    Column("notice_id", pl.String, "What makes it this notice and no other: nothing is sent twice to one channel"),
    Column("rec_id", pl.String, "The alert that an answer is about: unit, direction, episode and seq"),
    Column("label", pl.String, "NEW, ONGOING, CLEARED or SUPPRESSED", codes=LABELS),
    Column("reason", pl.String, "Why it is suppressed, or why it is sent again", nullable=True, codes=REASONS),
    Column("severity", pl.String, "WARN, ACT or EMERGENCY; of an end, the greatest notified", codes=SEVERITIES),
    _make_number("quantity", "How many; empty: not known"),
    _make_text("quantity_unit", "associates or packages/hour"),
    _make_text("source_unit", "Where it is taken from"),
    _make_text("target_unit", "Where it goes"),
    _make_moment("until_ts", "Until when"),
    _make_number(
        "minutes_left", "Until it overflows or starves, its own direction; 0: it does; empty: not within an hour"
    ),
    _make_text("explanation", "Why, in words with numbers"),
    _make_text("winner", "unit_id and direction of the row that its own action gave way to"),
    *_REASONED,
    _POLICY,
)
NOTICES: Final = TableSchema(
    "buffer_notices",
    ("notice_id", "channel"),
    (*_NOTICE, Column("channel", pl.String, "Where it is sent")),
)
"""Notices by channel: what the outbox stores before it is sent."""

UNDELIVERED_NOTICES: Final = TableSchema(
    "buffer_undelivered_notices", ("notice_id",), (*_NOTICE, Column("problem", pl.String, "Why it is not sent"))
)

FEEDBACK: Final = TableSchema(
    "buffer_feedback",
    ("rec_id", "responder", "answered_at"),
    (
        Column("rec_id", pl.String, "The alert that is answered, or the missed problem's own id"),
        Column("responder", pl.String, "Who answered"),
        Column("answered_at", TIMESTAMP, "When", "UTC"),
        Column(
            "answer",
            pl.String,
            "The answer, one of `ANSWERS`",
        ),
        _make_number("actual_quantity", "What the quantity should have been"),
        _make_text("note", "In the responder's words"),
        _WAREHOUSE,
        _UNIT_ID,
        _UNIT_TYPE,
        Column("direction", pl.String, "OVERFLOW, STARVATION or DATA", codes=DIRECTIONS),
        _make_text("episode_key", "Unit, direction and episode; of one alert all notices share it"),
        Column("episode_ts", TIMESTAMP, "When the episode opened, or when the problem was missed", "UTC"),
        _POLICY,
    ),
)
SCORECARD: Final = TableSchema(
    "algorithm_scorecard",
    ("warehouse", "unit_type", "policy_version"),
    (
        _WAREHOUSE,
        _UNIT_TYPE,
        _POLICY,
        Column("episodes", pl.Int64, "Episodes that were notified"),
        Column("answered", pl.Int64, "Of these, answered with a majority"),
        Column("true_positives", pl.Int64, "Real problems"),
        Column("false_positives", pl.Int64, "Answered NO_PROBLEM"),
        Column("wrong_actions", pl.Int64, "Real problems with a wrong action or quantity"),
        Column("missed", pl.Int64, "Missed problems that were reported or found by an audit"),
        _make_number("detection_precision", "Real problems / answered"),
        _make_number("detection_low", "Lower end of its 95 % Wilson interval"),
        _make_number("detection_high", "Upper end"),
        _make_number("action_precision", "Right action and quantity / answered"),
        _make_number("action_low", "Lower end of its 95 % Wilson interval"),
        _make_number("action_high", "Upper end"),
        _make_number("recall", "Real problems that were notified / all that are known; as far as misses are reported"),
        _make_number("recall_low", "Lower end of its 95 % Wilson interval"),
        _make_number("recall_high", "Upper end"),
        _make_number("response_rate", "answered / episodes"),
    ),
)
_OF_DAY: Final = _TICK[:2]
ANSWERS_OF_DAY: Final = TableSchema("buffer_feedback", FEEDBACK.key, (*_OF_DAY, *FEEDBACK.columns))
"""The answers that were given on an operating day."""

SCORECARD_OF_DAY: Final = TableSchema(
    "algorithm_scorecard", ("dc", "ship_date", *SCORECARD.key), (*_OF_DAY, *SCORECARD.columns)
)
"""How right the alerts of the days up to an operating day were."""

LABELLED: Final = TableSchema(
    "buffer_labelled",
    ("event",),
    (
        Column("event", pl.String, "Episode that was answered, or missed problem"),
        _WAREHOUSE,
        _UNIT_ID,
        _UNIT_TYPE,
        Column("direction", pl.String, "OVERFLOW or STARVATION", codes=DIRECTIONS),
        Column("onset_ts", TIMESTAMP, "When it was first notified, or when the problem was missed", "UTC"),
        Column("real", pl.Boolean, "Whether there was a problem, by the floor's answers"),
        Column("champion", pl.Boolean, "Whether the champion notified it"),
        Column("challenger", pl.Boolean, "Whether the challenger would have"),
    ),
)
"""What the floor answered, and which of two policies notified it."""
