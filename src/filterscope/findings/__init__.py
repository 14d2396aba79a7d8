"""Conclusions about units and layers, each with its evidence and its uncertainty."""
