"""Ways of looking: each turns a network (and images) into records and pictures."""

from filterscope.lenses.classes import Classes as Classes
from filterscope.lenses.effective_kernel import EffectiveKernels as EffectiveKernels
from filterscope.lenses.kept_maps import Activations as Activations
from filterscope.lenses.kernels import Kernels as Kernels
from filterscope.lenses.lens import Lens as Lens
from filterscope.lenses.lens import Stage as Stage
from filterscope.lenses.lens import Stages as Stages
from filterscope.lenses.lens import Workbench as Workbench
from filterscope.lenses.lens import digest as digest
from filterscope.lenses.moments import Moments as Moments
from filterscope.lenses.optima import Optima as Optima
from filterscope.lenses.patches import Patches as Patches
from filterscope.lenses.perturbations import Perturbations as Perturbations
from filterscope.lenses.projected_patches import BackProjections as BackProjections
from filterscope.lenses.tuning import TuningCurves as TuningCurves
