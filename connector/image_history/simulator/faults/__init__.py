"""Faults of a server, each injected by a rule: broken answers, broken connections, and false answers.

Knows nothing of the clients that are tested with them.
"""

from image_history.simulator.faults.injector import Injector
from image_history.simulator.faults.kinds import KINDS, REPEATED, Kind
from image_history.simulator.faults.rules import FaultRule, parse_faults, read_faults, storm

__all__ = ["KINDS", "REPEATED", "FaultRule", "Injector", "Kind", "parse_faults", "read_faults", "storm"]
