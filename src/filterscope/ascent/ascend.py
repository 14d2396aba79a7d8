"""The ascent: many images at once, each with its own random numbers, its own age and its own end."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.fft import next_fast_len
from torch import Tensor

from filterscope.ascent.canvas import Canvas
from filterscope.ascent.dice import Dice, generator
from filterscope.ascent.memory import memory_kept, pixels_at_once, slots_that_fit
from filterscope.ascent.objectives import OUTPUT, Objective, Reading, Score, layers_of
from filterscope.ascent.optimisers import State
from filterscope.ascent.parametrisations import Parametrisation, Space
from filterscope.ascent.reading import maps_of, network_input
from filterscope.ascent.recipes import Recipe
from filterscope.ascent.threads import worthwhile_threads
from filterscope.ascent.transforms import centre_crop
from filterscope.atlas.records import Layer, Pair
from filterscope.errors import FilterscopeError
from filterscope.model import Network, tap
from filterscope.model.running import one_line

AGAIN = 2
"""How often an ascent that meets NaN is tried: as it is, and once more with other random numbers."""


# By identity: two jobs may differ in their start alone, and arrays do not compare to a single truth.
@dataclass(frozen=True, eq=False)
class Job:
    """One image to be made.

    ``key`` and ``seed`` determine its random numbers; ``item`` says which of the objective's items it is for; ``start``
    is an image (height, width, channel) of the canvas with its margin to begin with, None: noise.
    """

    key: str
    seed: int = 0
    item: int = 0
    start: UInt8[np.ndarray, "height width channel"] | None = None


@dataclass
class Ascent:
    """What became of a job. ``image`` is (height, width, channel) in 0 to 1, margin included.

    ``status``: "converged" (the score no longer grew), "steps" (it used them all), or "not finite" (NaN, twice; the
    image is then the last one before it).
    """

    job: Job
    image: Float[np.ndarray, "height width channel"]
    steps: int
    seconds: float
    status: str
    scores: list[float]
    frames: list[UInt8[np.ndarray, "height width channel"]] = field(default_factory=list)


@runtime_checkable
class Attempt(Protocol):
    """A dataclass that says what an ascent has cost."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def steps(self) -> int:
        """Steps made."""
        ...

    @property
    def seconds(self) -> float:
        """Processor time."""
        ...


AnyAttempt = TypeVar("AnyAttempt", bound=Attempt)


def better(one: AnyAttempt, other: AnyAttempt, value: Callable[[AnyAttempt], float]) -> AnyAttempt:
    """The one with the larger value; both have cost time."""
    chosen = other if value(other) > value(one) else one
    return replace(chosen, steps=one.steps + other.steps, seconds=one.seconds + other.seconds)


class Climber:
    """A network opened for the ascent of one objective. A context manager; leaves no trace on the network.

    Weights take no part: gradients are asked for the images alone, so that flags and ``.grad`` stay as they are.
    """

    def __init__(self, network: Network, objective: Objective, canvas: Canvas, recipe: Recipe) -> None:
        self.network, self.objective, self.canvas, self.recipe = network, objective, canvas, recipe
        # Looking them up goes through all weights: at every step it would take a fifth of the time of small images.
        self.device, self.dtype = network.device, network.dtype
        self.score: Score = objective.bind(network)
        self.layers: list[Layer] = layers_of(network, objective)
        self.whole_pass = OUTPUT in objective.layers
        preprocessing = network.preprocessing
        self.space = Space(
            with_margin(canvas.size, recipe),
            preprocessing.channel_count,
            preprocessing.channels in ("RGB", "BGR"),
            self.device,
        )
        self.parametrisation: Parametrisation = recipe.parametrise(self.space)
        self.transform = recipe.transform(canvas.size)
        self.undo = ExitStack()

    def __enter__(self) -> "Climber":
        calls = {layer.observed: layer.calls for layer in self.layers}
        names = [*calls, OUTPUT] if self.whole_pass else [*calls]
        # The root module's output comes last: nothing is cut off before it.
        self.undo.enter_context(memory_kept())
        self.read = self.undo.enter_context(
            tap(self.network.module, names, calls={**calls, OUTPUT: 1} if self.whole_pass else calls)
        )
        return self

    def __exit__(self, *error: object) -> None:
        self.undo.close()

    def scores(self, images: Tensor, items: Tensor) -> Float[Tensor, "item"]:
        """Score images (item, channel, height, width) in 0 to 1 of the size that the network is to see."""
        copies = len(images) // len(items)
        reading = Reading(self.maps(images), self.canvas.centres, images, items.repeat(copies))
        scores = self.score(reading).float()
        return scores.reshape(copies, len(items)).mean(0)

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """The responses of the layers that the objective reads, in float32."""
        x = network_input(images, self.network.preprocessing, self.dtype)
        with self.precision():
            try:
                outputs = self.read(x) if self.layers or self.whole_pass else {}
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                size = " x ".join(map(str, x.shape))
                raise FilterscopeError(f"the network refuses an input of {size}: {one_line(error)}") from error
        maps = {layer.name: maps_of(outputs, layer) for layer in self.layers}
        if self.whole_pass:
            answer = outputs[OUTPUT]
            assert isinstance(answer, Tensor)
            maps[OUTPUT] = (answer.flatten(2).mean(2) if answer.ndim > 2 else answer).float()
        return maps

    def precision(self) -> AbstractContextManager[object]:
        """Reduced where the recipe allows it and the device gains by it."""
        if self.recipe.reduced and self.device.type == "cuda" and self.dtype == torch.float32:
            return torch.autocast("cuda", dtype=torch.bfloat16)
        return nullcontext()

    def check_regularisers(self) -> None:
        """Refuse to regularise what is no pixels.

        Raises:
            FilterscopeError: if the recipe does.
        """
        if not self.recipe.regularisers:
            return
        shape = self.parametrisation.start(Dice([generator("shape", 0)])).shape[1:]
        if tuple(shape) != (self.space.channels, *self.space.size):
            raise FilterscopeError("regularisers change pixels: give the recipe the parametrisation pixels()")

    def slots(self) -> int:
        """How many images can ascend at once in the memory there is."""
        height, width = self.space.size

        def step(count: int) -> Tensor:
            noise = Dice([generator("memory", number) for number in range(count)])
            variables = self.parametrisation.start(noise).to(self.device).requires_grad_()
            images = self.transform(self.parametrisation.image(variables), noise, torch.zeros(count))
            with torch.enable_grad():
                return self.scores(images, torch.zeros(count, dtype=torch.long, device=images.device))

        with torch.enable_grad():
            return slots_that_fit(step, self.device, (height, width))


def with_margin(size: Pair, recipe: Recipe) -> Pair:
    """What the network sees with the margin around it: never more than a sixteenth of the side.

    A filter of 3 x 3 that is shifted by 4 pixels at every step learns nothing. Lengths are rounded up to those of which
    the Fourier transform is fast: 191 takes five times as long as 192.
    """
    margin = min(recipe.margin, min(size) // 16)
    if not margin:
        return size
    return next_fast_len(size[0] + 2 * margin, real=True), next_fast_len(size[1] + 2 * margin, real=True)


@dataclass
class Slots:
    """The images that are ascending now: tensors with one row each."""

    jobs: list[Job]
    variables: Tensor
    state: State
    age: Tensor
    dice: list[torch.Generator]
    tries: list[int]
    scores: list[list[float]]
    seconds: list[float]
    frames: list[list[UInt8[np.ndarray, "height width channel"]]]

    def keep(self, rows: Sequence[int]) -> None:
        """Let all others go."""
        index = torch.tensor(list(rows), dtype=torch.long)
        there = index.to(self.variables.device)
        self.variables, self.age = self.variables[there], self.age[index]
        self.state = {name: values[there] for name, values in self.state.items()}
        for name in ("jobs", "dice", "tries", "scores", "seconds", "frames"):
            values = getattr(self, name)
            setattr(self, name, [values[row] for row in rows])


def ascend(
    network: Network,
    objective: Objective,
    jobs: Iterable[Job],
    canvas: Canvas,
    recipe: Recipe,
    *,
    slots: int | None = None,
    record: int = 0,
) -> Iterator[Ascent]:
    """Make the image of every job; each is given as soon as it is finished, and its slot goes to the next.

    Same job, same network, same recipe: same image (but for rounding), whatever else is in the batch.

    Args:
        network: the network; it is left as it was.
        objective: what to maximise. If it is coupled, all jobs ascend together to the last step.
        jobs: the images to be made.
        canvas: what the network sees.
        recipe: how.
        slots: images at a time; None: as many as are useful and fit into memory.
        record: keep every so many steps a frame; 0: none.
    Raises:
        FilterscopeError: if the objective does not fit the network, or not even one image fits into memory.
    """
    waiting = list(jobs)
    if not waiting:
        return
    pixels = pixels_at_once(network.device, canvas.size, len(waiting))
    with worthwhile_threads(pixels), Climber(network, objective, canvas, recipe) as climber:
        climber.check_regularisers()
        room = len(waiting) if objective.coupled else min(slots or climber.slots(), len(waiting))
        while waiting:
            try:
                yield from climb(climber, waiting, room, record)
                return
            except torch.OutOfMemoryError:
                if room == 1 or objective.coupled:
                    raise FilterscopeError(
                        f"{room} image(s) of {canvas.size[0]} x {canvas.size[1]} do not fit into the memory of "
                        f"{network.device}; choose an earlier layer or another --device"
                    ) from None
                room //= 2


def climb(climber: Climber, waiting: list[Job], room: int, record: int) -> Iterator[Ascent]:
    """Fill the slots, make steps, hand out what is finished; a job leaves ``waiting`` when its image is handed out."""
    queue = list(waiting)
    active = opened(climber, [queue.pop(0) for _ in range(min(room, len(queue)))])
    while active.jobs:
        begun = time.process_time()
        before = active.variables
        good = make_step(climber, active)
        if record:
            note_frames(climber, active, record)
        share = (time.process_time() - begun) / len(active.jobs)
        active.seconds = [seconds + share for seconds in active.seconds]
        ended = [verdict(climber, active, row, bool(good[row])) for row in range(len(active.jobs))]
        for row in [row for row, end in enumerate(ended) if end == "again"]:
            restart(climber, active, row)
        over = [row for row, end in enumerate(ended) if end not in ("", "again")]
        for row in over:
            kept = active.variables if good[row] else before
            ascent = finished(climber, active, row, kept[row : row + 1], ended[row])
            waiting.remove(active.jobs[row])
            yield ascent
        if over:
            active.keep([row for row in range(len(ended)) if row not in over])
            refill(climber, active, [queue.pop(0) for _ in range(min(len(over), len(queue)))])


def make_step(climber: Climber, active: Slots) -> Tensor:
    """One step for all that are ascending; returns which of them (item) have met only finite numbers."""
    parametrisation, recipe = climber.parametrisation, climber.recipe
    device = active.variables.device
    items = torch.tensor([job.item for job in active.jobs], device=device)
    active.age = active.age + 1
    progress = (active.age - 1) / max(recipe.steps - 1, 1)
    with torch.enable_grad():
        variables = active.variables.detach().requires_grad_()
        images = climber.transform(parametrisation.image(variables), Dice(active.dice), progress.to(device))
        scores = climber.scores(images, items)
        if not scores.requires_grad:
            raise FilterscopeError(
                f"no gradient of {climber.objective} reaches the image; the network has to run without torch.no_grad()"
            )
        (gradient,) = torch.autograd.grad(scores.sum(), [variables])
    good = scores.isfinite() & gradient.flatten(1).isfinite().all(1)
    if not good.all():
        gradient = torch.where(good.reshape(-1, *[1] * (gradient.ndim - 1)), gradient, torch.zeros_like(gradient))
    moved = recipe.optimiser(active.variables, gradient, active.state, active.age)
    for regularise in recipe.regularisers:
        moved = regularise(moved, gradient, active.age)
    active.variables = parametrisation.clip(moved)
    for trace, score in zip(active.scores, scores.tolist(), strict=True):
        trace.append(score)
    return good.cpu()


def verdict(climber: Climber, active: Slots, row: int, good: bool) -> str:
    """Whether a row is over: "" not yet, "again", or its status."""
    if not good:
        return "again" if active.tries[row] < AGAIN else "not finite"
    if len(active.scores[row]) >= climber.recipe.steps:
        return "steps"
    if not climber.objective.coupled and converged(active.scores[row], climber.recipe):
        return "converged"
    return ""


def converged(scores: Sequence[float], recipe: Recipe) -> bool:
    """Whether the score has stopped to grow; means, since every step sees the image changed at random."""
    patience = recipe.patience
    if patience is None or len(scores) < 2 * patience:
        return False
    late, early = np.mean(scores[-patience:]), np.mean(scores[-2 * patience : -patience])
    return bool(late - early <= recipe.tolerance * abs(early))


def opened(climber: Climber, jobs: Sequence[Job]) -> Slots:
    """Slots for jobs that begin."""
    dice = [generator(job.key, job.seed) for job in jobs]
    count = len(jobs)
    return Slots(
        jobs=list(jobs),
        variables=beginnings(climber, jobs, dice),
        state={},
        age=torch.zeros(count),
        dice=dice,
        tries=[1] * count,
        scores=[[] for _ in jobs],
        seconds=[0.0] * count,
        frames=[[] for _ in jobs],
    )


def beginnings(climber: Climber, jobs: Sequence[Job], dice: Sequence[torch.Generator]) -> Tensor:
    """The variables with which jobs begin."""
    parametrisation = climber.parametrisation
    variables = parametrisation.start(Dice(dice))
    for row, job in enumerate(jobs):
        if job.start is not None:
            image = torch.from_numpy(np.ascontiguousarray(job.start)).movedim(2, 0)[None].float() / 255
            variables[row] = parametrisation.variables(image)[0]
    return variables.to(climber.device)


def refill(climber: Climber, active: Slots, jobs: Sequence[Job]) -> None:
    """Give free slots to the next jobs."""
    if not jobs:
        return
    new = opened(climber, jobs)
    active.variables = torch.cat([active.variables, new.variables])
    active.age = torch.cat([active.age, new.age])
    active.state = {
        name: torch.cat([values, values.new_zeros(len(jobs), *values.shape[1:])])
        for name, values in active.state.items()
    }
    for name in ("jobs", "dice", "tries", "scores", "seconds", "frames"):
        getattr(active, name).extend(getattr(new, name))


def restart(climber: Climber, active: Slots, row: int) -> None:
    """Begin a job anew with other random numbers."""
    job = active.jobs[row]
    active.dice[row] = generator(f"{job.key}|again", job.seed)
    active.variables[row] = beginnings(climber, [job], [active.dice[row]])[0]
    for values in active.state.values():
        values[row] = 0
    active.age[row] = 0
    active.tries[row] += 1
    active.scores[row] = []
    active.frames[row] = []


def finished(climber: Climber, active: Slots, row: int, variables: Tensor, status: str) -> Ascent:
    """What became of a row."""
    return Ascent(
        active.jobs[row],
        picture(climber.parametrisation, variables),
        len(active.scores[row]),
        active.seconds[row],
        status,
        active.scores[row],
        active.frames[row],
    )


def picture(parametrisation: Parametrisation, variables: Tensor) -> Float[np.ndarray, "height width channel"]:
    """The image of one row's variables."""
    with torch.no_grad():
        image = parametrisation.image(variables)[0].float().clamp(0, 1).nan_to_num(0.5)
    return image.movedim(0, 2).cpu().numpy()


def note_frames(climber: Climber, active: Slots, every: int) -> None:
    """Keep the images of this step."""
    for row, frames in enumerate(active.frames):
        if (len(active.scores[row]) - 1) % every == 0:
            frames.append(quantised(picture(climber.parametrisation, active.variables[row : row + 1])))


def quantised(image: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Numbers in 0 to 1 as bytes."""
    return np.asarray(np.rint(image * 255), np.uint8)


def seen(images: UInt8[np.ndarray, "item height width channel"], size: Pair) -> UInt8[np.ndarray, "item h w channel"]:
    """What the network sees of images with a margin."""
    cropped = centre_crop(torch.from_numpy(images).movedim(3, 1), size)
    return cropped.movedim(1, 3).numpy()
