"""Convolution itself: the classic filters by name."""

from filterscope.convolution.classic import ClassicFilter as ClassicFilter
from filterscope.convolution.classic import bank as bank
from filterscope.convolution.classic import classic as classic
