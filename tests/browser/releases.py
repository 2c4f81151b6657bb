"""A report of a real release history: every release of Amazon SageMaker Distribution up to August 2026.

releases.csv has an image for each major version, a version for each release, and the aliases that AWS would give:
3.4.1, 3.4, 3 and latest. A release's date is the date at which its files (build_artifacts/) were added to
aws/sagemaker-distribution. Must not know HTML.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from image_history.simulator import Simulator, load_world

RELEASES = Path(__file__).with_name("releases.csv")


def released(folder: Path) -> str:
    """The report after one sync of the release history; sync and report run in `folder`."""
    with Simulator(load_world(RELEASES)) as simulator:
        environment = {
            **os.environ,
            **simulator.environment(),
            "IMAGE_HISTORY_DETAILS": "true",
            "IMAGE_HISTORY_RATE__LIST_PER_SECOND": "1000",
            "IMAGE_HISTORY_RATE__DESCRIBE_PER_SECOND": "1000",
        }
        for verb in ("sync", "report"):
            command = [sys.executable, "-m", "image_history", verb]
            subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=120)
    return Path(folder, "report.html").read_text(encoding="utf-8")
