"""A network as something to look into: Network, its layers, their receptive fields, and tap to read them."""

from filterscope.model.gates import Gates, record, replay
from filterscope.model.network import Network
from filterscope.model.receptive_field import ReceptiveField, Window, receptive_field
from filterscope.model.sources import load
from filterscope.model.tap import Outputs, Reader, Visitor, tap

__all__ = [
    "Gates",
    "Network",
    "Outputs",
    "Reader",
    "ReceptiveField",
    "Visitor",
    "Window",
    "load",
    "receptive_field",
    "record",
    "replay",
    "tap",
]
