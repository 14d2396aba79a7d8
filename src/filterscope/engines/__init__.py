"""Where tasks are run: in this process, or (later) on a cluster. An engine knows nothing of what is in a task."""

from filterscope.engines.local import Engine as Engine
from filterscope.engines.local import LocalEngine as LocalEngine
