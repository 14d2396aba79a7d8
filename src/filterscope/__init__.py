"""Open a trained convolutional network and see what every filter looks for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filterscope.ascent import Objective as Objective
    from filterscope.ascent import OptimalImage as OptimalImage
    from filterscope.ascent import Recipe as Recipe
    from filterscope.ascent import recipe as recipe
    from filterscope.ascent.objectives import class_evidence as class_evidence
    from filterscope.ascent.objectives import direction as direction
    from filterscope.ascent.objectives import diversity as diversity
    from filterscope.ascent.objectives import energy as energy
    from filterscope.ascent.objectives import likeness as likeness
    from filterscope.ascent.objectives import logit as logit
    from filterscope.ascent.objectives import neuron as neuron
    from filterscope.ascent.objectives import total_variation as total_variation
    from filterscope.ascent.objectives import unit as unit
    from filterscope.ascent.objectives import units as units
    from filterscope.ascent.optimum import diverse_optima as diverse_optima
    from filterscope.ascent.optimum import optimum as optimum
    from filterscope.atlas import Atlas as Atlas
    from filterscope.convolution import classic as classic
    from filterscope.diagnosis import Diagnosis as Diagnosis
    from filterscope.diagnosis import diagnose as diagnose
    from filterscope.errors import FilterscopeError as FilterscopeError
    from filterscope.findings.ablation import Ablated as Ablated
    from filterscope.findings.ablation import ablate as ablate
    from filterscope.findings.faces import Faces as Faces
    from filterscope.findings.faces import faces as faces
    from filterscope.findings.faces_file import faces_of as faces_of
    from filterscope.findings.functions import Functions as Functions
    from filterscope.findings.generalisation.generalised import Generalised as Generalised
    from filterscope.findings.generalisation.lens import Generalisation as Generalisation
    from filterscope.findings.generalisation.lens import generalisation as generalisation
    from filterscope.findings.kernels import identify_kernels as identify_kernels
    from filterscope.images import open_images as open_images
    from filterscope.images.preprocessing import Preprocessing as Preprocessing
    from filterscope.inspection import inspect as inspect
    from filterscope.lenses import Activations as Activations
    from filterscope.lenses import BackProjections as BackProjections
    from filterscope.lenses import EffectiveKernels as EffectiveKernels
    from filterscope.lenses import Kernels as Kernels
    from filterscope.lenses import Optima as Optima
    from filterscope.lenses import Patches as Patches
    from filterscope.lenses import Perturbations as Perturbations
    from filterscope.lenses import TuningCurves as TuningCurves
    from filterscope.lenses.activations import ActivationMaps as ActivationMaps
    from filterscope.lenses.activations import activations as activations
    from filterscope.lenses.backprojection import Projection as Projection
    from filterscope.lenses.backprojection import backproject as backproject
    from filterscope.lenses.reconstruction import Reconstruction as Reconstruction
    from filterscope.lenses.reconstruction import reconstruct as reconstruct
    from filterscope.model import Network as Network
    from filterscope.model import load as load
    from filterscope.model import tap as tap
    from filterscope.report import write_report as write_report
    from filterscope.report.figure import figure as figure
    from filterscope.surgery import Plan as Plan
    from filterscope.surgery import Proof as Proof
    from filterscope.surgery import Trimmed as Trimmed
    from filterscope.surgery import apply as apply
    from filterscope.surgery import plan as plan
    from filterscope.surgery import prove as prove
    from filterscope.surgery import trim as trim
    from filterscope.surgery.finetune import Finetuned as Finetuned
    from filterscope.surgery.finetune import Schedule as Schedule
    from filterscope.surgery.finetune import finetune as finetune

__version__ = "0.1.0"

PUBLIC = {
    "Ablated": "findings.ablation",
    "ActivationMaps": "lenses.activations",
    "Activations": "lenses",
    "Atlas": "atlas",
    "BackProjections": "lenses",
    "Diagnosis": "diagnosis",
    "EffectiveKernels": "lenses",
    "Faces": "findings.faces",
    "FilterscopeError": "errors",
    "Finetuned": "surgery.finetune",
    "Functions": "findings.functions",
    "Generalisation": "findings.generalisation.lens",
    "Generalised": "findings.generalisation.generalised",
    "Kernels": "lenses",
    "Network": "model",
    "Objective": "ascent",
    "Optima": "lenses",
    "OptimalImage": "ascent",
    "Patches": "lenses",
    "Perturbations": "lenses",
    "Plan": "surgery",
    "Preprocessing": "images.preprocessing",
    "Projection": "lenses.backprojection",
    "Proof": "surgery",
    "Recipe": "ascent",
    "Reconstruction": "lenses.reconstruction",
    "Schedule": "surgery.finetune",
    "Trimmed": "surgery",
    "TuningCurves": "lenses",
    "ablate": "findings.ablation",
    "activations": "lenses.activations",
    "apply": "surgery",
    "backproject": "lenses.backprojection",
    "class_evidence": "ascent.objectives",
    "classic": "convolution",
    "diagnose": "diagnosis",
    "direction": "ascent.objectives",
    "diverse_optima": "ascent.optimum",
    "diversity": "ascent.objectives",
    "energy": "ascent.objectives",
    "faces": "findings.faces",
    "faces_of": "findings.faces_file",
    "figure": "report.figure",
    "finetune": "surgery.finetune",
    "generalisation": "findings.generalisation.lens",
    "identify_kernels": "findings.kernels",
    "inspect": "inspection",
    "likeness": "ascent.objectives",
    "load": "model",
    "logit": "ascent.objectives",
    "neuron": "ascent.objectives",
    "open_images": "images",
    "optimum": "ascent.optimum",
    "plan": "surgery",
    "prove": "surgery",
    "recipe": "ascent",
    "reconstruct": "lenses.reconstruction",
    "tap": "model",
    "total_variation": "ascent.objectives",
    "trim": "surgery",
    "unit": "ascent.objectives",
    "units": "ascent.objectives",
    "write_report": "report",
}
"""Public name -> where it lives. Fetched on first use: neither help nor reading an atlas waits for torch."""

__all__ = [
    "Ablated",
    "ActivationMaps",
    "Activations",
    "Atlas",
    "BackProjections",
    "Diagnosis",
    "EffectiveKernels",
    "Faces",
    "FilterscopeError",
    "Finetuned",
    "Functions",
    "Generalisation",
    "Generalised",
    "Kernels",
    "Network",
    "Objective",
    "Optima",
    "OptimalImage",
    "Patches",
    "Perturbations",
    "Plan",
    "Preprocessing",
    "Projection",
    "Proof",
    "Recipe",
    "Reconstruction",
    "Schedule",
    "Trimmed",
    "TuningCurves",
    "ablate",
    "activations",
    "apply",
    "backproject",
    "class_evidence",
    "classic",
    "diagnose",
    "direction",
    "diverse_optima",
    "diversity",
    "energy",
    "faces",
    "faces_of",
    "figure",
    "finetune",
    "generalisation",
    "identify_kernels",
    "inspect",
    "likeness",
    "load",
    "logit",
    "neuron",
    "open_images",
    "optimum",
    "plan",
    "prove",
    "recipe",
    "reconstruct",
    "tap",
    "total_variation",
    "trim",
    "unit",
    "units",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'filterscope' has no attribute {name!r}")
    return getattr(import_module(f"filterscope.{PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *PUBLIC]
