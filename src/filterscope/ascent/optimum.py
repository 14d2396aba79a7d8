"""One call to one image: the optimum of a unit, a class or any objective, and what it is worth."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

from filterscope.ascent.ascend import Ascent, Climber, Job, ascend, better, quantised, seen, with_margin
from filterscope.ascent.canvas import Canvas, fit_canvas
from filterscope.ascent.judge import Verdict, judge_class, judged_class, probabilities
from filterscope.ascent.objectives import (
    OUTPUT,
    Objective,
    Target,
    as_objective,
    class_number,
    diversity,
    layers_of,
)
from filterscope.ascent.objectives import unit as unit_objective
from filterscope.ascent.quality import measure
from filterscope.ascent.recipes import Recipe, recipe
from filterscope.ascent.transforms import centre_crop
from filterscope.errors import BadImages, FilterscopeError
from filterscope.images.preprocessing import fit
from filterscope.model import Network, load

CERTAIN = 0.99
"""Probability at which a class counts as reached."""

CLASS_TRIES = 3
"""Ascents to a class, each longer than the one before, until it is reached."""

FRAMES = 40
"""Pictures of an animation."""

SHOWN = 224
"""Smaller pictures are enlarged, in whole numbers, to at least half of it when they are saved or shown."""


@dataclass(frozen=True, eq=False)
class OptimalImage:
    """An image made by gradient ascent, as the network sees it, and what it is worth. A notebook shows it.

    Figures are measured on the bytes of ``picture`` in a clean forward pass. What does not apply is None.
    """

    target: str
    preset: str
    seed: int
    picture: UInt8[np.ndarray, "height width channel"]
    """At the network's own pixel scale."""
    score: float
    """Of the objective; for a unit its pre-activation at the centre, for a class what was climbed."""
    status: str
    """converged, steps (all were made), no stimulus found, not reached (a class), or not finite."""
    steps: int
    seconds: float
    """Of processor time."""
    selectivity_rank: int | None = None
    """Of a unit among its layer's units: 1 where no other is more active at the centre."""
    robustness: float | None = None
    """Share of a unit's activation left after a shift, a blur and a rescaling."""
    probability: float | None = None
    """Of a class, by the network's own softmax."""
    verdict: Verdict | None = None
    """What a second network says of a class image."""
    scores: Sequence[float] = ()
    """At every step."""
    frames: Sequence[NDArray[np.uint8]] = field(default=(), repr=False)

    def __repr__(self) -> str:
        return f"<OptimalImage {self.caption}>"

    @property
    def caption(self) -> str:
        """The figures in one line."""
        height, width = self.picture.shape[:2]
        parts = [f"{self.target}: {self.score:.4g}", f"{height} x {width} px"]
        if self.probability is not None:
            parts.insert(1, f"probability {self.probability:.4f}")
        if self.selectivity_rank is not None:
            parts.append(f"rank {self.selectivity_rank} in its layer")
        if self.robustness is not None:
            parts.append(f"{self.robustness:.0%} left when disturbed")
        if self.verdict is not None:
            parts.append(str(self.verdict))
        parts.append(f"{self.preset}, seed {self.seed}, {self.steps} steps, {self.seconds:.2g} CPU-s, {self.status}")
        return ", ".join(parts)

    def image(self) -> Image.Image:
        """As a Pillow image; small pictures with square pixels, enlarged."""
        return shown(self.picture)

    def save(self, path: str | Path) -> None:
        """Write the picture, in the format that the name asks for."""
        self.image().save(path)

    def save_animation(self, path: str | Path, *, seconds: float = 4.0) -> None:
        """Write the ascent as an animated GIF.

        Raises:
            FilterscopeError: if it was made without ``animate=True``.
        """
        if not self.frames:
            raise FilterscopeError("this image was made without frames; make it with animate=True")
        frames = [shown(frame) for frame in (*self.frames, self.picture)]
        each = round(1000 * seconds / len(frames))
        durations = [each] * (len(frames) - 1) + [1500]
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.image().save(buffer, format="PNG")
        return buffer.getvalue()


def shown(picture: UInt8[np.ndarray, "height width channel"]) -> Image.Image:
    """A picture of any number of channels as an image: grey for one or two, the first three of more."""
    picture = picture if picture.shape[2] == 3 else picture[..., :3] if picture.shape[2] > 3 else picture[..., 0]
    factor = max(1, math.ceil(SHOWN / 2 / max(picture.shape[:2])))
    return Image.fromarray(np.ascontiguousarray(picture.repeat(factor, 0).repeat(factor, 1)))


def optimum(
    network: Network | str | Path,
    target: Target,
    *,
    preset: str | Recipe = "quick",
    steps: int | None = None,
    seed: int = 0,
    negative: bool = False,
    start: UInt8[np.ndarray, "height width channel"] | None = None,
    animate: bool = False,
    judge: Network | None = None,
) -> OptimalImage:
    """Make the image that drives a unit, a class or any objective as far as can be.

    Args:
        network: a network, or what :func:`filterscope.load` takes.
        target: a unit ``LAYER:INDEX``, or an objective: ``fs.class_evidence("goldfish")``, ``fs.unit(...)``, sums of
            them, ...
        preset: quick, full, keras2017, yosinski (1 to 4: yosinski-2), lucid, maco, or a recipe of your own.
        steps: at most so many; None: as the preset has it.
        seed: the same seed gives the same image.
        negative: as far down as can be.
        start: an image to begin with instead of noise; it is fitted to the network.
        animate: keep the ascent, for `OptimalImage.save_animation`.
        judge: a second network with the same class names; its verdict on a class image stands beside the picture.
    Raises:
        FilterscopeError: with one line on what cannot be used.
    Source: Erhan, Bengio, Courville, Vincent (2009), Visualizing higher-layer features of a deep network; Olah,
        Mordvintsev, Schubert (2017), doi:10.23915/distill.00007.
    """
    network = network if isinstance(network, Network) else load(network)
    how = as_recipe(preset, steps)
    if judge is not None and (isinstance(target, str) or as_objective(target).class_name is None):
        raise FilterscopeError("a judge is asked about class images: give fs.class_evidence(NAME) as the target")
    single = target if isinstance(target, str) else None
    # A preset may drive the mean over the map: a unit given by name follows it.
    objective = unit_objective(single, how.position) if single else as_objective(target)
    wanted = -objective if negative else objective
    canvas = canvas_for(network, wanted, how)
    jobs = [Job(wanted.name, seed, 0, on_canvas(network, canvas, how, start))]
    if objective.class_name is not None and not negative:
        return reach_class(network, objective, objective.class_name, canvas, how, jobs[0], animate, judge)
    image = climb_to(network, wanted, canvas, how, jobs, animate)[0]
    if image.score <= 0 and start is None and not negative and single:
        # Noise may leave every gate below closed: other noise may not.
        again = [replace(jobs[0], key=f"{wanted.name}|second start")]
        other = climb_to(network, wanted, canvas, how, again, animate)[0]
        image = better(image, other, lambda tried: tried.score)
    if single and not negative:
        return with_unit_figures(network, single, canvas, image)
    return replace(image, picture=seen(image.picture[None], canvas.size)[0])


def diverse_optima(
    network: Network | str | Path,
    target: str,
    count: int,
    *,
    weight: float = 0.5,
    preset: str | Recipe = "quick",
    steps: int | None = None,
    seed: int = 0,
    animate: bool = False,
) -> list[OptimalImage]:
    """Make several images for one unit that differ from each other as much as they can: what else does it answer to?

    Args:
        network: a network, or what :func:`filterscope.load` takes.
        target: a unit ``LAYER:INDEX``.
        count: how many.
        weight: of the difference, as a share of the activation that a single ascent reaches.
        preset: as for `optimum`.
        steps: as for `optimum`.
        seed: as for `optimum`.
        animate: as for `optimum`.
    Raises:
        FilterscopeError: if ``count`` is not 2 to 32; and as for `optimum`.
    Source: Olah et al. (2017), doi:10.23915/distill.00007, section on diversity.
    """
    if not 2 <= count <= 32:
        raise FilterscopeError(f"diverse images: 2 to 32, not {count}")
    network = network if isinstance(network, Network) else load(network)
    how = as_recipe(preset, steps)
    plain = unit_objective(target, how.position)
    canvas = canvas_for(network, plain, how)
    alone = climb_to(network, plain, canvas, how, [Job(target, seed)], False)[0]
    scale = weight * max(abs(alone.score), 1e-6)
    objective = plain + scale * diversity(network.unit(target)[0].name)
    jobs = [Job(f"{target}|{number}", seed) for number in range(count)]
    images = climb_to(network, objective, canvas, how, jobs, animate)
    return [with_unit_figures(network, target, canvas, replace(image, target=target)) for image in images]


def as_recipe(preset: str | Recipe, steps: int | None) -> Recipe:
    """A recipe from its name, or the one given."""
    if isinstance(preset, str):
        return recipe(preset, steps=steps)
    return preset if steps is None else replace(preset, steps=steps)


def canvas_for(network: Network, objective: Objective, how: Recipe) -> Canvas:
    """What the network sees while it climbs."""
    layers = layers_of(network, objective)
    whole = objective.whole or OUTPUT in objective.layers
    return fit_canvas(network, layers, size=how.canvas, whole=whole)


def on_canvas(
    network: Network, canvas: Canvas, how: Recipe, start: NDArray[np.uint8] | None
) -> NDArray[np.uint8] | None:
    """An image to begin with, cut or padded to the canvas with its margin."""
    if start is None:
        return None
    if start.ndim == 2:
        start = start[..., None]
    if start.ndim != 3 or start.dtype != np.uint8:
        raise BadImages(f"a start is an image of bytes (height, width, channel), not {start.dtype} {start.shape}")
    image = fit(start, network.preprocessing)
    size = with_margin(canvas.size, how)
    pads = [max(0, wanted - length) for wanted, length in zip(size, image.shape[:2], strict=True)]
    image = np.pad(image, [(pads[0] // 2, -(-pads[0] // 2)), (pads[1] // 2, -(-pads[1] // 2)), (0, 0)], mode="edge")
    return centre_crop(torch.from_numpy(image).movedim(2, 0)[None], size)[0].movedim(0, 2).contiguous().numpy()


def climb_to(
    network: Network, objective: Objective, canvas: Canvas, how: Recipe, jobs: Sequence[Job], animate: bool
) -> list[OptimalImage]:
    """Images of jobs with the objective's score of each; pictures keep their margin."""
    every = max(1, math.ceil(how.steps / FRAMES)) if animate else 0
    numbers = {(job.key, job.seed): number for number, job in enumerate(jobs)}
    made = list(ascend(network, objective, jobs, canvas, how, record=every))
    made.sort(key=lambda ascent: numbers[ascent.job.key, ascent.job.seed])
    pictures = np.stack([quantised(ascent.image) for ascent in made])
    scores = score(network, objective, canvas, how, seen(pictures, canvas.size))
    return [
        as_image(objective, how, canvas, ascent, picture, value)
        for ascent, picture, value in zip(made, pictures, scores, strict=True)
    ]


def as_image(
    objective: Objective, how: Recipe, canvas: Canvas, ascent: Ascent, picture: NDArray[np.uint8], value: float
) -> OptimalImage:
    """What became of an ascent, as the user gets it; the picture keeps its margin."""
    return OptimalImage(
        target=objective.name,
        preset=how.name,
        seed=ascent.job.seed,
        picture=picture,
        score=value,
        status=ascent.status,
        steps=ascent.steps,
        seconds=ascent.seconds,
        scores=tuple(ascent.scores),
        frames=tuple(seen(frame[None], canvas.size)[0] for frame in ascent.frames),
    )


def score(
    network: Network, objective: Objective, canvas: Canvas, how: Recipe, pictures: UInt8[np.ndarray, "i h w c"]
) -> list[float]:
    """The objective on clean pictures."""
    images = torch.from_numpy(pictures).to(network.device).movedim(3, 1).float() / 255
    with Climber(network, objective, canvas, replace(how, reduced=False)) as climber, torch.no_grad():
        return [float(value) for value in climber.scores(images, torch.zeros(len(images), dtype=torch.long))]


def with_unit_figures(network: Network, unit: str, canvas: Canvas, image: OptimalImage) -> OptimalImage:
    """With rank and robustness; the score is the pre-activation at the centre, whatever was climbed."""
    layer, index = network.unit(unit)
    quality = measure(network, layer, canvas, image.picture[None], [index])
    activation = float(quality.activation[0])
    status = image.status
    if status != "not finite" and not activation > 0:
        status = "no stimulus found"
    return replace(
        image,
        target=unit,
        picture=seen(image.picture[None], canvas.size)[0],
        score=activation,
        status=status,
        selectivity_rank=int(quality.rank[0]),
        robustness=None if math.isnan(quality.robustness[0]) else float(quality.robustness[0]),
    )


def reach_class(
    network: Network,
    objective: Objective,
    name: str | int,
    canvas: Canvas,
    how: Recipe,
    job: Job,
    animate: bool,
    judge: Network | None,
) -> OptimalImage:
    """Climb to a class until the network is certain of it, each time further."""
    number = class_number(network, name)
    label = network.classes[number] if network.classes else str(number)
    if judge is not None:
        # Before the work: a judge of other classes is of no use after it.
        judged_class(judge, label)
    best: OptimalImage | None = None
    for again in range(CLASS_TRIES):
        longer = replace(how, steps=how.steps * (again + 1))
        tried = replace(job, key=job.key if not again else f"{job.key}|start {again + 1}")
        image = climb_to(network, objective, canvas, longer, [tried], animate)[0]
        image = replace(image, picture=seen(image.picture[None], canvas.size)[0], target=label)
        image = replace(image, probability=float(probabilities(network, image.picture)[number]))
        best = image if best is None else better(best, image, lambda tried: tried.probability or 0)
        if (best.probability or 0) >= CERTAIN:
            break
    assert best is not None
    # Without a majority the picture is not one of that class.
    status = "not reached" if (best.probability or 0) < 0.5 and best.status != "not finite" else best.status
    verdict = judge_class(judge, label, best.picture) if judge is not None else None
    return replace(best, status=status, verdict=verdict)
