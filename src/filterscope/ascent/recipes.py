"""Presets: what each of the four parts is, by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from filterscope.ascent import regularisers, transforms
from filterscope.ascent.optimisers import Optimiser, adam, momentum, steepest
from filterscope.ascent.parametrisations import Parametrise, fourier, phases, pixels
from filterscope.ascent.regularisers import Regulariser
from filterscope.ascent.transforms import Transform
from filterscope.atlas.records import Pair
from filterscope.errors import FilterscopeError, UnknownName


@dataclass(frozen=True)
class Recipe:
    """How an ascent is made.

    Args:
        name: of the preset.
        steps: at most so many.
        parametrise: what is moved.
        transform: from the size that the network is to see, the random changes before each step.
        optimiser: how far and where to.
        regularisers: what is taken from the pixels after each step (parametrisation ``pixels`` alone).
        margin: pixels at every edge beyond what the network sees, for the transforms to move in.
        position: where units are driven: "centre", "mean" or "max".
        canvas: side in pixels of what the network sees; None: the receptive field.
        patience: an ascent has converged when the mean score of so many steps is less than ``tolerance`` (relative)
            above that of as many before; None: all steps are made.
        reduced: run the network in bfloat16 on a GPU.
    Raises:
        FilterscopeError: if a number is out of its range.
    """

    name: str
    steps: int
    parametrise: Parametrise
    transform: Callable[[Pair], Transform]
    optimiser: Optimiser
    regularisers: tuple[Regulariser, ...] = ()
    margin: int = 0
    position: str = "centre"
    canvas: int | None = None
    patience: int | None = None
    tolerance: float = 0.02
    reduced: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise FilterscopeError(f"steps: at least 1, not {self.steps}")


def quick() -> Recipe:
    """A few large steps: the sweep over all filters."""
    return Recipe(
        name="quick",
        steps=32,
        parametrise=fourier(),
        transform=transforms.crop,
        optimiser=momentum(1.0, keep=0.7, keep_size=0.9),
        margin=4,
        patience=8,
    )


def full() -> Recipe:
    """Smaller steps and more of them, held against scaling and turning as well."""
    return Recipe(
        name="full",
        steps=160,
        parametrise=fourier(),
        transform=lambda size: transforms.chain(
            transforms.scale(0.9, 1.1), transforms.rotate(6.0), transforms.crop(size)
        ),
        optimiser=momentum(0.5, keep=0.8, keep_size=0.9),
        margin=8,
        patience=24,
        tolerance=0.01,
        reduced=False,
    )


def keras2017() -> Recipe:
    """Pixels from grey noise, the gradient divided by its size, the mean over the map, and many steps.

    Source: Chollet (2016), How convolutional neural networks see the world, the Keras blog; its step is 1 of 255. Here
    pixels are held between black and white at every step, so that the picture is what the network saw.
    """
    return Recipe(
        name="keras2017",
        steps=200,
        parametrise=pixels(spread=20 / 255),
        transform=transforms.crop,
        optimiser=steepest(1 / 255),
        position="mean",
        canvas=128,
        reduced=False,
    )


YOSINSKI = (
    # decay, blur's width, blur every, percent clipped by norm, percent clipped by contribution
    (0.0, 0.5, 4, 50.0, 0.0),
    (0.3, 0.0, 0, 20.0, 0.0),
    (0.0001, 1.0, 4, 0.0, 0.0),
    (0.0, 0.5, 4, 0.0, 90.0),
)
"""The four settings of Yosinski et al. (2015), arXiv:1506.06579, table 1."""


def yosinski(setting: int) -> Recipe:
    """One of the four hand-picked settings, 1 to 4. Here with mid grey for the mean image, and 200 steps for each."""
    share, width, every, norm, contribution = YOSINSKI[setting - 1]
    steps: list[Regulariser] = []
    if share:
        steps.append(regularisers.decay(share))
    if width:
        steps.append(regularisers.blur(width, every))
    if norm:
        steps.append(regularisers.clip_small_norm(norm))
    if contribution:
        steps.append(regularisers.clip_small_contribution(contribution))
    return Recipe(
        name=f"yosinski-{setting}",
        steps=200,
        parametrise=pixels(spread=0.02),
        transform=transforms.crop,
        # A decay of 0.3 a step eats small steps: the second setting needs larger ones.
        optimiser=steepest(0.15 if share > 0.1 else 0.02),
        regularisers=tuple(steps),
        reduced=False,
    )


def lucid() -> Recipe:
    """What the library lucid does by default: Adam on Fourier variables, padding, jitter, scaling, turning.

    Source: lucid (Apache 2.0), optvis/render.py and transform.py: 512 steps of 0.05 at 128 pixels, pad 12, jitter 8,
    scale 0.9 to 1.1, turn by up to 10 degrees, jitter 4. Here the padding reflects the picture.
    """
    return Recipe(
        name="lucid",
        steps=512,
        # lucid divides the sum over frequencies by 4 and the frequency by the side: at 128 pixels that is 32 to 1.
        parametrise=fourier(colour=1.0, scale=32.0),
        transform=lambda size: transforms.chain(
            transforms.pad(12),
            transforms.jitter(8),
            transforms.scale(0.9, 1.1),
            transforms.rotate(10.0),
            transforms.crop(size),
        ),
        optimiser=adam(0.05),
        position="mean",
        canvas=128,
        reduced=False,
    )


def maco() -> Recipe:
    """Phases alone under a natural magnitude, many boxes a step.

    Source: Fel et al. (2023), arXiv:2306.06805: NAdam with a rate of 1, 256 steps, 32 boxes of 50 % to 5 % of the
    image, noise of 0.08, and a magnitude measured on ImageNet. Here 8 boxes a step, which cost a quarter, of 60 % to
    30 %, noise of 0.04, a magnitude of 1/frequency, and a rate of 0.1: phases are angles.
    """
    return Recipe(
        name="maco",
        steps=256,
        parametrise=phases(),
        transform=lambda size: transforms.chain(transforms.crops(8, 0.6, 0.3, size), transforms.noise(0.04)),
        optimiser=adam(0.1, nesterov=True),
        position="mean",
        canvas=224,
        reduced=False,
    )


PRESETS: dict[str, Callable[[], Recipe]] = {
    "quick": quick,
    "full": full,
    "keras2017": keras2017,
    # Of the four the most legible; the paper shows all of them side by side.
    "yosinski": lambda: yosinski(3),
    "yosinski-1": lambda: yosinski(1),
    "yosinski-2": lambda: yosinski(2),
    "yosinski-3": lambda: yosinski(3),
    "yosinski-4": lambda: yosinski(4),
    "lucid": lucid,
    "maco": maco,
}
"""Every preset by its name."""


def recipe(name: str, *, steps: int | None = None) -> Recipe:
    """The preset called ``name``, with another number of steps if wanted.

    Raises:
        UnknownName: if there is none; the nearest names are offered.
        FilterscopeError: if ``steps`` is below 1.
    """
    if name not in PRESETS:
        raise UnknownName.of("preset", name, PRESETS, f"there are: {', '.join(PRESETS)}")
    found = PRESETS[name]()
    return found if steps is None else replace(found, steps=steps)
