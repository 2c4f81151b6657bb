"""The version of the project, written once: the package, the wheel and every record of a run read it here.

Imports nothing, so that every package can import it.
"""

from __future__ import annotations

__version__ = "0.1.0"
