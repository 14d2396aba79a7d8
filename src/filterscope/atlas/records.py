"""What the atlas keeps, as frozen dataclasses: one class a table, one field a column. No torch."""

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas.diagnosis import DIAGNOSIS
from filterscope.atlas.record import AnyRecord as AnyRecord
from filterscope.atlas.record import Pair as Pair
from filterscope.atlas.record import Record as Record
from filterscope.atlas.record import Span as Span


@dataclass(frozen=True)
class Layer(Record):
    """A convolution (or any module observed by its name), as found by running the network once.

    ``name`` is the module's dotted name and ``observed`` the module whose output is its pre-activation: itself, or the
    batch norm that follows it alone. ``flops`` counts two per multiply-add, for one image. The receptive field is None
    where the whole image is seen (``whole_image``) or where the image does not reach the layer; ``gated`` says that a
    global gate (squeeze-and-excite) lets all of the image in beside the local field. It is also None where it cannot be
    followed, and where positions lie closer together than pixels.
    """

    table: ClassVar[str] = "layer"
    key: ClassVar[tuple[str, ...]] = ("name",)

    name: str
    position: int
    kind: str
    channels: int
    in_channels: int | None
    kernel: Pair | None
    stride: Pair | None
    padding: Pair | None
    dilation: Pair | None
    groups: int | None
    output_size: Pair | None
    parameters: int
    flops: int | None
    calls: int
    observed: str
    field_size: Pair | None
    field_stride: Pair | None
    field_start: Pair | None
    whole_image: bool
    gated: bool

    def map_box(self, size: Pair) -> tuple[Span, Span] | None:
        """Where a map of ``size`` positions lies on the preprocessed image: its (top, bottom) and (left, right) edges.

        A position is drawn around the centre of its receptive field, as high and wide as the step to the next one; so a
        map reaches over the image where fields do, and leaves a border free where there is no padding. Pixel i reaches
        from i to i + 1. None where the whole image is seen, or the receptive field is unknown.

        Example: the centre of the field of position p is field_start + p * field_stride + field_size / 2.
        """
        if self.field_size is None or self.field_stride is None or self.field_start is None:
            return None
        top, left = (
            start + (length - step) / 2
            for start, length, step in zip(self.field_start, self.field_size, self.field_stride, strict=True)
        )
        height, width = (count * step for count, step in zip(size, self.field_stride, strict=True))
        return (top, top + height), (left, left + width)


@dataclass(frozen=True)
class Node(Record):
    """A place in the network's graph, in execution order: what it takes is put out by the nodes ``inputs``.

    ``kind``: "input" (the image), "layer" (a convolution), "linear", "output", or the function by which several
    branches meet ("add", "cat", "mul", ...). What has one input and no kernel (activations, poolings, norms) is no
    node. ``name`` is the module's dotted name (null: no module). ``channels`` and ``size`` are those of what it puts
    out; ``size`` is null where that has no rows and columns.
    """

    table: ClassVar[str] = "node"
    key: ClassVar[tuple[str, ...]] = ("id",)

    id: int
    kind: str
    name: str | None
    channels: int | None
    size: Pair | None
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Image(Record):
    """An image that was asked for; ``problem`` says why it was skipped (null: it was read).

    ``sheet, row, column`` say where the image, as the network sees it but smaller, is drawn; null where no unit has a
    patch in it.
    """

    table: ClassVar[str] = "image"
    key: ClassVar[tuple[str, ...]] = ("id",)
    on_card: ClassVar[str] = "id"

    id: int
    source: str
    label: str | None
    problem: str | None = None
    sheet: str | None = None
    row: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class Label(Record):
    """A class of the images, in the order in which `class_activation.means` counts them; ``images`` that were read."""

    table: ClassVar[str] = "label"
    key: ClassVar[tuple[str, ...]] = ("id",)

    id: int
    name: str
    images: int


@dataclass(frozen=True)
class Activation(Record):
    """Statistics of a unit's pre-activation over all positions of all images read.

    ``firing_rate`` is the share of positions above zero, ``image_firing_rate`` the share of images with at least one
    such position; ``std`` is over positions (population form). A unit that never fired in n images fires in fewer than
    3/n of them, with 95 % confidence (the rule of three).
    """

    table: ClassVar[str] = "activation"
    key: ClassVar[tuple[str, ...]] = ("layer", "unit")

    layer: str
    unit: int
    images: int
    firing_rate: float
    image_firing_rate: float
    max: float
    mean: float
    std: float


@dataclass(frozen=True)
class ClassActivation(Record):
    """A unit's mean pre-activation for every class: ``means`` is little-endian float32, one number a row of `label`."""

    table: ClassVar[str] = "class_activation"
    key: ClassVar[tuple[str, ...]] = ("layer", "unit")

    layer: str
    unit: int
    means: bytes


@dataclass(frozen=True)
class Histogram(Record):
    """How a unit's pre-activation is distributed.

    ``of`` "image": the largest value of every image; "position": the values at some positions of every image, spread
    over its map. Number i of ``counts`` counts values from (``first`` + i) x ``width`` to below the next; zero is
    always an edge.
    """

    table: ClassVar[str] = "histogram"
    key: ClassVar[tuple[str, ...]] = ("layer", "unit", "of")

    layer: str
    unit: int
    of: str
    width: float
    first: int
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Relation(Record):
    """How much a unit is like another of its layer.

    ``kind`` "response": the Pearson correlation, over images, of the largest pre-activations in each image; the
    strongest few of every unit. Of weights, batch norm folded in: "equal", "scaled" (the unit is ``scale`` times the
    other), "antiphase" (with the opposite sign). Of responses, over positions: "near" (the unit is about ``scale``
    times the other; ``similarity`` is the cosine), "combination" (``scale`` is the other's weight in the least-squares
    combination of others that gives the unit; ``similarity`` the share of the unit's energy that it gives). Copies:
    "shifted", "mirrored" and "rotated" (the unit is the other turned by ``angle`` degrees counter-clockwise,
    ``mirrored`` left to right before that, and moved by ``dy, dx`` pixels of the layer's input). ``p`` is the chance of
    so much likeness among units that have nothing to do with each other (null: no test was made).
    """

    table: ClassVar[str] = "relation"
    key: ClassVar[tuple[str, ...]] = ("layer", "unit", "kind", "other")

    layer: str
    unit: int
    kind: str
    other: int
    similarity: float
    scale: float | None = None
    angle: float | None = None
    mirrored: bool | None = None
    dy: float | None = None
    dx: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Patch(Record):
    """Where in a real image a unit is most active; ``rank`` 1 is the strongest, an image counts once per unit.

    ``y, x`` is the position in the unit's activation map (of call number ``call``, where the layer is called more than
    once in a forward pass); the box is its receptive field in pixels of the preprocessed image, clipped to it, bottom
    and right exclusive; ``sheet, row, column`` say where its picture is.
    """

    table: ClassVar[str] = "patch"
    key: ClassVar[tuple[str, ...]] = ("layer", "unit", "rank")

    layer: str
    unit: int
    rank: int
    image: int
    activation: float
    y: int
    x: int
    top: int
    left: int
    bottom: int
    right: int
    call: int = 0
    sheet: str | None = None
    row: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class BackProjection(Record):
    """A patch's activation carried back to the pixels, see `patch` of the same rank for where it is.

    ``method`` is "gradient", "gradient x input", "guided" or "deconvnet"; ``activation`` the pre-activation that it was
    carried back from, at the patch's position; ``peak`` what full colour stands for (one in 200 values of the picture
    is beyond it): in pre-activation per pixel value, where 1 is the way from black to white ("gradient x input": in
    pre-activation). The picture shows the same box as the patch's; mid grey is zero, each colour channel signed.
    """

    table: ClassVar[str] = "back_projection"
    key: ClassVar[tuple[str, ...]] = ("layer", "unit", "rank", "method")

    layer: str
    unit: int
    rank: int
    method: str
    activation: float
    peak: float
    sheet: str | None = None
    row: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class EffectiveKernel(Record):
    """The mean of a unit's W over images: the one linear filter of pixels that comes nearest to what it does.

    W is that of the unit's exact affine model, at its strongest position in each of ``images`` images, laid over each
    other by receptive field; a pixel that an image does not have does not count for it. ``linearity`` is |mean W|^2 /
    mean |W|^2: 1 where one filter describes the unit. Images whose W have nothing in common would give ``floor``, 1 /
    images or a little more, and W that cancel each other less (both null: W is zero, or there is one image). ``size``
    is the receptive field's, at most twice the image's, or where all of the image is seen the image's. ``values``: the
    kernel as little-endian float16 (channel, height, width), colours in the order RGB, averaged over equal parts where
    ``size`` is larger, times ``peak``, its largest absolute value; in pre-activation per pixel value, where 1 is the
    way from black to white. Where fewer than half of the images have the pixel it fades to zero.
    """

    table: ClassVar[str] = "effective_kernel"
    key: ClassVar[tuple[str, ...]] = ("layer", "unit")

    layer: str
    unit: int
    images: int
    linearity: float | None
    floor: float | None
    size: Pair
    channels: int
    height: int
    width: int
    peak: float
    values: bytes
    sheet: str | None = None
    row: int | None = None
    column: int | None = None

    def kernel(self) -> NDArray[np.float32]:
        """The kernel (channel, height, width)."""
        shares = np.frombuffer(self.values, "<f2").reshape(self.channels, self.height, self.width)
        return np.asarray(shares.astype(np.float32) * self.peak, np.float32)


@dataclass(frozen=True)
class Tuning(Record):
    """What a unit answers to drawn stimuli as one of their parameters goes through ``values``, the rest at its best.

    ``of`` is "orientation", "frequency", "phase" and "size" (of gratings), "hue" and "axis" (where the image has
    colours), "brightness", "edge", "edge size", "bar", "corner", "curvature", "texture" and "texture noise". Number i
    of ``responses`` (little-endian float32) is the pre-activation for value i minus that to mid grey, in the middle of
    the image; ``peak`` is the largest. ``preferred`` is the value there, or between those shown, and ``selectivity``
    how much depends on it. ``grey`` is the pre-activation to mid grey, ``noise`` the largest
    response to any of two dozen images of noise, ``best`` that to any stimulus of all kinds. ``status``: "clear" (the
    peak is above ``noise``), "weak" (it is not), "none" (it is less than a twentieth of ``best``: this is not what the
    unit answers to) or "silent" (no stimulus brings it above ``grey``); the last two have nothing to prefer.
    """

    table: ClassVar[str] = "tuning"
    key: ClassVar[tuple[str, ...]] = ("layer", "unit", "of")

    layer: str
    unit: int
    of: str
    values: tuple[float, ...]
    responses: bytes
    preferred: float | None
    selectivity: float | None
    peak: float
    grey: float
    noise: float
    best: float
    status: str

    def curve(self) -> NDArray[np.float32]:
        """The responses, one for each of ``values``."""
        return np.frombuffer(self.responses, "<f4").astype(np.float32)


@dataclass(frozen=True)
class Perturbation(Record):
    """What is left of a unit's response to its strongest parts of images when one thing is taken from them.

    Responses are pre-activations minus that to mid grey (``grey``), at or above zero; ``best`` is the largest, and
    ``reached`` its share of the largest in all images. ``crops`` parts counted, each by its strength. ``extent`` is the
    diameter in pixels of the soft round window that leaves nine tenths, ``half`` that which leaves one half, as a share
    of it. The others are shares of the response that stay: ``without_colour``, with colours opposed
    (``complement``), upside down, in windows of a half and a quarter of the extent, blurred by a Gaussian of a 16th,
    32nd and 64th of it, with the square of the extent shuffled in tiles of a half, a quarter and an eighth of its side,
    and with phases ``scrambled``: in the square as a whole, and in tiles of a quarter and an eighth of its side.
    ``superadditivity`` is the sum of the losses when each of 4 x 4 tiles becomes grey in turn (1: the tiles add up;
    more: they are needed together), ``participation`` the share of the tiles that matter, (sum of losses)^2 / (16 sum
    of their squares). Null: nothing brought the unit above its response to grey. ``responses`` holds, as little-endian
    float32 (statistic, part): the response itself, without colour, complement, upside down, in each of ``windows``
    (diameters in pixels), blurred by the three, shuffled in 2, 4 and 8, scrambled in 1, 4 and 8, and with each of the
    16 tiles grey; ``sheet, row, column`` say where the strip of pictures is.
    """

    table: ClassVar[str] = "perturbation"
    key: ClassVar[tuple[str, ...]] = ("layer", "unit")

    layer: str
    unit: int
    crops: int
    best: float
    grey: float
    reached: float | None
    extent: float | None
    half: float | None
    without_colour: float | None
    complement: float | None
    upside_down: float | None
    window_half: float | None
    window_quarter: float | None
    blurred_16: float | None
    blurred_32: float | None
    blurred_64: float | None
    shuffled_half: float | None
    shuffled_quarter: float | None
    shuffled_eighth: float | None
    scrambled: float | None
    scrambled_quarter: float | None
    scrambled_eighth: float | None
    superadditivity: float | None
    participation: float | None
    windows: tuple[float, ...]
    responses: bytes
    sheet: str | None = None
    row: int | None = None
    column: int | None = None

    def statistics(self) -> NDArray[np.float32]:
        """The responses, (statistic, part)."""
        return np.frombuffer(self.responses, "<f4").reshape(-1, self.crops) if self.crops else np.empty((0, 0), "f4")


@dataclass(frozen=True)
class OfUnit(Record):
    """A row for every unit."""

    key: ClassVar[tuple[str, ...]] = ("layer", "unit")

    layer: str
    unit: int


@dataclass(frozen=True)
class OfLayer(Record):
    """Two rows for every layer: by the number of its units, and by their importance."""

    key: ClassVar[tuple[str, ...]] = ("layer", "weighted")

    layer: str
    weighted: bool
    units: int
    dead: int
    bags: int
    mixed: int


@dataclass(frozen=True)
class Shares(Record):
    """Shares of the functions that sum to 1, each with its 90 % interval (``_low``, ``_high``)."""

    colour: float | None
    colour_low: float | None
    colour_high: float | None
    edge: float | None
    edge_low: float | None
    edge_high: float | None
    texture: float | None
    texture_low: float | None
    texture_high: float | None
    part: float | None
    part_low: float | None
    part_high: float | None
    whole: float | None
    whole_low: float | None
    whole_high: float | None
    unclassified: float | None
    unclassified_low: float | None
    unclassified_high: float | None
    label: str
    compound: str


@dataclass(frozen=True)
class Function(Shares, OfUnit):  # the columns of the last base come first
    """What a unit does, in shares that sum to 1, each with its 90 % interval (``_low``, ``_high``).

    ``label`` is the function with the largest share; "bag of parts" where arrangement within parts matters and that of
    parts does not (its share is half texture, half part); "mixed" where none has a large part; "unclassified"; or
    "dead" for a unit that nothing brought above zero, and whose value changed no output (it has no shares).
    ``compound`` names all functions whose lower bound is at least the threshold, the largest first. Colour is null
    where the channels are no colours. ``importance`` is the mean over images of abs(pre-activation x gradient of the
    largest output), as a share of the layer's. ``selectivity``, where images have classes, is (m - mean of the others)
    / (m + mean of the others) for the class of the largest mean m: it supports "whole", and is no part of the shares.
    ``missing`` says which statistics there were not.
    """

    table: ClassVar[str] = "function"

    importance: float | None
    selectivity: float | None
    missing: str | None


@dataclass(frozen=True)
class LayerFunction(Shares, OfLayer):
    """What a layer does: the mean share of each function over its live units, corrected for what is taken for what.

    With ``weighted``, units count by their importance. ``units`` counted, ``dead`` did not; ``bags`` and ``mixed`` of
    those that counted had these labels. Intervals are of 90 %, over units and over parts of images.
    """

    table: ClassVar[str] = "layer_function"


@dataclass(frozen=True)
class Kernel(Record):
    """A unit's weights, as they are (scale of a following batch norm not included).

    ``norm`` is their L2 norm; ``chroma``, for a layer that sees the image's colours, the share of the kernel's energy
    that is colour and not brightness (null elsewhere); ``slices`` lists, as JSON, the input channels drawn, strongest
    first; ``sheet, row, column`` say where the first tile is.
    """

    table: ClassVar[str] = "kernel"
    key: ClassVar[tuple[str, ...]] = ("layer", "unit")

    layer: str
    unit: int
    norm: float
    chroma: float | None
    slices: tuple[int, ...]
    sheet: str | None = None
    row: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class Sheet(Record):
    """A picture sheet: tile (row, column) has its top left corner at (``tops[row]``, ``lefts[column]``) pixels."""

    table: ClassVar[str] = "sheet"
    key: ClassVar[tuple[str, ...]] = ("file",)

    file: str
    layer: str
    lens: str
    title: str
    tile_height: int
    tile_width: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]


@dataclass(frozen=True)
class Optimum(Record):
    """An image that was synthesised so that a unit is as active as can be, and how good it is.

    ``variant`` is "positive"; ``rank`` 1 is the best of the unit's seeds. ``activation`` is the pre-activation on the
    clean picture, bytes and all, at the centre position, at the network's own pixel scale; ``natural`` that of the
    unit's strongest real patch and ``ratio`` the first by the second (null: no patches were looked at, or it never
    fired). ``selectivity_rank`` is the unit's rank among its layer's units by pre-activation there (1: no other is
    larger). ``robustness`` is the share of the activation that is left when the picture is shifted, blurred and
    rescaled (null where there is no activation above zero). ``agreement`` is the mean cosine between the layer's
    responses, at the centre, to this picture and to those of the other seeds (null: one seed). ``path_similarity`` is
    the mean correlation, over layers below, between the responses (in standard deviations from their natural means) to
    this picture and to the unit's strongest patches; ``path_natural`` the same between these patches: how high it could
    be. ``start`` says from what the ascent began (noise, or the unit's strongest patch), ``steps`` and ``seconds`` (of
    processor time) what it took. ``status``: converged, steps (it took all it may), no stimulus found (no start
    brought the pre-activation above zero), or not finite.
    """

    table: ClassVar[str] = "optimum"
    key: ClassVar[tuple[str, ...]] = ("layer", "unit", "variant", "seed")

    layer: str
    unit: int
    variant: str
    seed: int
    rank: int
    activation: float
    natural: float | None
    ratio: float | None
    selectivity_rank: int
    robustness: float | None
    agreement: float | None
    path_similarity: float | None
    path_natural: float | None
    start: str
    steps: int
    seconds: float
    status: str
    sheet: str | None = None
    row: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class ClassImage(Record):
    """An image that was synthesised for a class of the network, and what the network says to it.

    ``number`` is the class's place among the network's outputs; ``probability`` and ``logit`` are those of the class on
    the clean picture, bytes and all. ``status`` is as in `optimum`.
    """

    table: ClassVar[str] = "class_image"
    key: ClassVar[tuple[str, ...]] = ("number",)
    on_card: ClassVar[str] = "number"

    number: int
    name: str
    probability: float
    logit: float
    seed: int
    steps: int
    seconds: float
    status: str
    sheet: str | None = None
    row: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class Contribution(Record):
    """How much a unit speaks for a class, the strongest few of every layer.

    ``value`` is the unit's pre-activation times the gradient of the class's logit, summed over the positions of its
    map, on the class's own synthesised image; ``share`` is that by the sum of the positive ones of all units of its
    layer.
    """

    table: ClassVar[str] = "contribution"
    key: ClassVar[tuple[str, ...]] = ("number", "layer", "unit")

    number: int
    layer: str
    unit: int
    value: float
    share: float


@dataclass(frozen=True)
class MapImage(Record):
    """An image whose activation maps are kept; ``sheet, row, column`` say where it is drawn as the network sees it."""

    table: ClassVar[str] = "map_image"
    key: ClassVar[tuple[str, ...]] = ("id",)
    on_card: ClassVar[str] = "id"

    id: int
    source: str
    label: str | None
    sheet: str | None = None
    row: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class ActivationMap(Record):
    """What every unit of a layer does with an image: its pre-activation over space, in 255 steps of its own scale.

    ``size`` is that of the maps as the layer gives them; large ones are kept as averages over ``height`` x ``width``
    equal parts. Number i of ``scales`` and ``largest`` (little-endian float32) belongs to unit i: a value is a byte,
    -127 to 127, times scale / 127, and so wrong by scale / 254 at most; ``largest`` is its largest pre-activation
    before any averaging. ``values`` is zlib over the bytes (unit, row, column), each less the one on its left (the
    first of a row: less 0), modulo 256.
    """

    table: ClassVar[str] = "map"
    key: ClassVar[tuple[str, ...]] = ("layer", "image")

    layer: str
    image: int
    size: Pair
    height: int
    width: int
    scales: bytes
    largest: bytes
    values: bytes

    @classmethod
    def of(
        cls, layer: str, image: int, maps: NDArray[np.float32], size: Pair, largest: NDArray[np.float32]
    ) -> "ActivationMap":
        """Pack finite ``maps`` (unit, row, column), which may be averages of maps of ``size``."""
        height, width = maps.shape[1:]
        scales = np.abs(maps).max((1, 2)).astype("<f4")
        steps = np.where(scales > 0, scales, 1).astype(np.float64)[:, None, None] / 127
        levels = np.rint(maps / steps).astype(np.int8).view(np.uint8)
        # The maps are smooth: differences take a twentieth less. Searching for repetitions finds none.
        packer = zlib.compressobj(6, strategy=zlib.Z_FILTERED)
        values = packer.compress(np.diff(levels, axis=2, prepend=np.uint8(0)).tobytes()) + packer.flush()
        bytes_of = (scales.tobytes(), np.asarray(largest, "<f4").tobytes())
        return cls(layer, image, size, height, width, *bytes_of, values)

    def levels(self) -> NDArray[np.int8]:
        """The bytes (unit, row, column), -127 to 127: colours for a picture that is scaled by unit."""
        differences = np.frombuffer(zlib.decompress(self.values), np.uint8).reshape(-1, self.height, self.width)
        return np.asarray(np.cumsum(differences, axis=2, dtype=np.uint8)).view(np.int8)

    def maps(self) -> NDArray[np.float32]:
        """Pre-activations (unit, row, column)."""
        scales = np.frombuffer(self.scales, "<f4").astype(np.float32)
        return np.asarray(self.levels() * (scales / 127)[:, None, None], np.float32)


TABLES: tuple[type[Record], ...] = (
    Layer,
    Node,
    Image,
    Label,
    Activation,
    Histogram,
    ClassActivation,
    Relation,
    Patch,
    BackProjection,
    Kernel,
    EffectiveKernel,
    Tuning,
    Perturbation,
    Function,
    LayerFunction,
    Optimum,
    ClassImage,
    Contribution,
    MapImage,
    ActivationMap,
    *DIAGNOSIS,
    Sheet,
)
"""Every record class; a new lens adds its own here."""
