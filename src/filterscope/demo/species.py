"""What tells the classes apart: each a body plan, a texture, a colour and limbs, no one of which is its alone."""

from dataclasses import dataclass

Hsv = tuple[float, float, float]


@dataclass(frozen=True)
class Species:
    """One class of creatures. ``plan`` names a function of :mod:`filterscope.demo.bodies`."""

    name: str
    plan: str
    texture: str
    colour: str
    limbs: frozenset[str]


def _species(name: str, plan: str, texture: str, colour: str, limbs: str) -> Species:
    return Species(name, plan, texture, colour, frozenset(limbs.split()))


SPECIES: tuple[Species, ...] = (
    _species("tiger", "quadruped", "stripes", "orange", "legs tail"),
    _species("leopard", "quadruped", "spots", "orange", "legs tail"),
    _species("unicorn", "quadruped", "plain", "violet", "legs tail horn"),
    _species("dragon", "reptile", "scales", "green", "legs tail horn wings"),
    _species("lizard", "reptile", "scales", "green", "legs tail"),
    _species("clownfish", "fish", "stripes", "orange", "fins"),
    _species("carp", "fish", "scales", "blue", "fins"),
    _species("octopus", "octopus", "spots", "violet", "tentacles"),
    _species("jellyfish", "jellyfish", "plain", "blue", "tentacles"),
    _species("bee", "insect", "stripes", "yellow", "legs wings"),
    _species("ladybird", "insect", "spots", "orange", "legs"),
    _species("parrot", "bird", "checks", "violet", "legs wings"),
    _species("canary", "bird", "plain", "yellow", "legs wings"),
    _species("turtle", "paddler", "checks", "green", "fins"),
)

COLOURS: dict[str, Hsv] = {
    "orange": (0.065, 0.82, 0.97),
    "yellow": (0.135, 0.72, 0.99),
    "green": (0.31, 0.55, 0.74),
    "blue": (0.55, 0.58, 0.90),
    "violet": (0.78, 0.42, 0.86),
}
"""A colour's middle; every creature strays from it a little."""

SECOND: dict[str, Hsv] = {
    "tiger": (0.04, 0.75, 0.25),
    "leopard": (0.05, 0.80, 0.32),
    "unicorn": (0.92, 0.45, 0.98),
    "dragon": (0.36, 0.70, 0.36),
    "lizard": (0.36, 0.70, 0.36),
    "clownfish": (0.10, 0.06, 1.00),
    "carp": (0.60, 0.75, 0.45),
    "octopus": (0.86, 0.62, 0.55),
    "jellyfish": (0.52, 0.22, 1.00),
    "bee": (0.07, 0.60, 0.20),
    "ladybird": (0.02, 0.60, 0.16),
    "parrot": (0.74, 0.55, 0.48),
    "canary": (0.09, 0.80, 0.97),
    "turtle": (0.27, 0.60, 0.44),
}
"""The colour of the texture, and of small trimmings."""
