"""Everything that is measured, in its order. To add one: its module, and its name here."""

from benchmarks.measures.conversations import ATTACH, LONG_STREAM, PAUSE
from benchmarks.measures.crowds import FAN_OUT, LIVE, MANY_SESSIONS
from benchmarks.measures.idle import IDLE
from benchmarks.measures.model import CannotMeasure, Driver, Figure, Figures, Measure
from benchmarks.measures.parts import EXACT_PATH
from benchmarks.measures.streams import KIB_20, LIMIT, MIB_1, MIXED, STREAM
from benchmarks.measures.trips import FIRST, TRIPS

MEASURES = (
    *(LIMIT, STREAM, MIXED, EXACT_PATH, FAN_OUT, TRIPS, FIRST, KIB_20, MIB_1),
    *(MANY_SESSIONS, IDLE, LIVE, ATTACH, PAUSE, LONG_STREAM),
)

__all__ = ["MEASURES", "CannotMeasure", "Driver", "Figure", "Figures", "Measure"]
