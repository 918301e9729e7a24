"""How much accuracy is left when somebody changes pixels on purpose."""

from pipelines.robustness.attacks import Attacker
from pipelines.robustness.report import RobustnessSettings, Victim, failures, robustness

__all__ = ["Attacker", "RobustnessSettings", "Victim", "failures", "robustness"]
