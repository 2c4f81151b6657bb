"""Amazon SageMaker's image API over real HTTP on loopback, for unmodified boto3 and AWS CLI programs.

Knows nothing of the connector: only the AWS API and its own admin interface.

    with Simulator(generate(seed=7), behaviour=Behaviour(tokens="offset")) as simulator:
        os.environ.update(simulator.environment())
"""

from image_history.simulator.behaviour import Behaviour, Rules
from image_history.simulator.clock import VirtualClock
from image_history.simulator.counters import Counters, CounterTotals, RequestRecord
from image_history.simulator.faults import KINDS, REPEATED, FaultRule, parse_faults, read_faults, storm
from image_history.simulator.generate import Shares, generate
from image_history.simulator.model import ImageTruth, Scope, VersionDetails, VersionRecord, VersionTruth
from image_history.simulator.runner import Simulator
from image_history.simulator.script import Script, Step
from image_history.simulator.server import Exchange, Fault
from image_history.simulator.world import World
from image_history.simulator.worldfile import load_world

__all__ = [
    "KINDS",
    "REPEATED",
    "Behaviour",
    "CounterTotals",
    "Counters",
    "Exchange",
    "Fault",
    "FaultRule",
    "ImageTruth",
    "RequestRecord",
    "Rules",
    "Scope",
    "Script",
    "Shares",
    "Simulator",
    "Step",
    "VersionDetails",
    "VersionRecord",
    "VersionTruth",
    "VirtualClock",
    "World",
    "generate",
    "load_world",
    "parse_faults",
    "read_faults",
    "storm",
]
