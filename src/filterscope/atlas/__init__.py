"""The store of everything seen in one network. Read without torch; written by one process at a time."""

from filterscope.atlas.atlas import Atlas as Atlas
from filterscope.atlas.ledger import Identity as Identity
from filterscope.atlas.ledger import Ledger as Ledger
from filterscope.atlas.ledger import open_ledger as open_ledger
