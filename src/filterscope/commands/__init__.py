"""The command line: one file per command, each thin over one public function. Help does not import torch."""

from filterscope.commands.main import main as main
