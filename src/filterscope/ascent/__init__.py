"""Gradient ascent to an image: objective x parametrisation x transform x optimiser, many images at once."""

from filterscope.ascent.ascend import Ascent as Ascent
from filterscope.ascent.ascend import Job as Job
from filterscope.ascent.ascend import ascend as ascend
from filterscope.ascent.canvas import Canvas as Canvas
from filterscope.ascent.canvas import fit_canvas as fit_canvas
from filterscope.ascent.objectives import Objective as Objective
from filterscope.ascent.optimum import OptimalImage as OptimalImage
from filterscope.ascent.optimum import diverse_optima as diverse_optima
from filterscope.ascent.optimum import optimum as optimum
from filterscope.ascent.recipes import PRESETS as PRESETS
from filterscope.ascent.recipes import Recipe as Recipe
from filterscope.ascent.recipes import recipe as recipe
