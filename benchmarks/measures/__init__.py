"""Everything that is measured, in its order. To add one: its module, and its name here."""

from benchmarks.measures.crowds import FAN_OUT, LIVE, MANY_SESSIONS
from benchmarks.measures.model import CannotMeasure, Driver, Figure, Figures, Measure
from benchmarks.measures.streams import KIB_20, MIB_1, MIXED, STREAM
from benchmarks.measures.trips import FIRST, TRIPS

MEASURES = (STREAM, MIXED, FAN_OUT, TRIPS, FIRST, KIB_20, MIB_1, MANY_SESSIONS, LIVE)

__all__ = ["MEASURES", "CannotMeasure", "Driver", "Figure", "Figures", "Measure"]
