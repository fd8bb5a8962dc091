"""The simulator of robotized warehouses: floors that overflow and starve, and feeds that show it imperfectly.

A detector of buffer trouble can only be judged against a truth, and no real warehouse writes one down. So the simulator
runs whole warehouses with SimPy: pick, induct, sorter, pack stations and dock lanes, with shifts, breaks and people.
Surges, dry spells, staffing gaps, jams and closed lanes are drawn and let loose on them; feeds lose rows, stall, repeat
themselves, are corrected later or read nonsense. The true state is stored apart from what the feeds show. An onset of
overflow or starvation is defined on the true state alone (`onsets`), by numbers that have nothing to do with the
detector's. Many troubles are mild and come to nothing: a detector that calls for them is wrong.

Scenarios have names and frozen seeds (`scenarios`): thresholds may be chosen on `TUNING`; precision and recall are
stated on `HELD_OUT`. The same scenario gives the same rows, whatever else was simulated before or beside it. The floor
does not react to alerts: what a detector recommends is never carried out.

`layout` says what a warehouse is, `events` what goes wrong, `physics` what then happens, `feeds` what is shown of it.
`detection` runs the pipeline over it and compares what it notifies.
`load` makes rows by the million without a simulation, for load tests.
"""
