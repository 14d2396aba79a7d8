"""Surgery: cut out what a network does not need, and prove that nothing was lost."""

from filterscope.surgery.apply import apply
from filterscope.surgery.levels import trim
from filterscope.surgery.plan import Plan, Step, plan
from filterscope.surgery.proof import Proof, prove
from filterscope.surgery.trimmed import Outcome, Trimmed

__all__ = ["Outcome", "Plan", "Proof", "Step", "Trimmed", "apply", "plan", "prove", "trim"]
