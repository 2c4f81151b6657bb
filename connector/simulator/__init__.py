"""Amazon SageMaker's image API over real HTTP on loopback, for unmodified boto3 and AWS CLI programs.

Knows nothing of the connector: only the AWS API and its own admin interface.

    with Simulator(generate(seed=7), behaviour=Behaviour(tokens="offset")) as simulator:
        os.environ.update(simulator.environment())
"""

from connector.simulator.behaviour import Behaviour, Rules
from connector.simulator.clock import VirtualClock
from connector.simulator.counters import Counters, CounterTotals, RequestRecord
from connector.simulator.faults import KINDS, REPEATED, FaultRule, parse_faults, read_faults, storm
from connector.simulator.generate import Shares, generate
from connector.simulator.model import ImageTruth, Scope, VersionDetails, VersionRecord, VersionTruth
from connector.simulator.runner import Simulator
from connector.simulator.script import Script, Step
from connector.simulator.server import Exchange, Fault
from connector.simulator.world import World
from connector.simulator.worldfile import load_world

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
