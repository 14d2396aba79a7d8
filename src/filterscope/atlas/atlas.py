"""Reading an atlas: records, pandas frames and pictures. No torch, and nothing is ever written."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas import schema, views
from filterscope.atlas.previous import DATABASE
from filterscope.atlas.records import (
    ActivationMap,
    AnyRecord,
    BackProjection,
    ClassActivation,
    ClassImage,
    EffectiveKernel,
    Histogram,
    Image,
    Kernel,
    Label,
    Layer,
    MapImage,
    Node,
    Optimum,
    Patch,
    Record,
    Sheet,
)
from filterscope.errors import BadAtlas, UnknownName

if TYPE_CHECKING:
    import pandas

Drawn = Patch | BackProjection | Kernel | EffectiveKernel | Optimum | ClassImage | Image | MapImage
"""Records that say where their picture is."""


class Atlas:
    """Everything seen in one network: a folder with ``atlas.sqlite`` and picture sheets.

    Args:
        folder: the folder, ``NAME.atlas``.
    Raises:
        BadAtlas: if there is no atlas, or one of another version.
    Example:
        >>> atlas = Atlas("squeezenet.atlas")                       # doctest: +SKIP
        >>> atlas.units().sort_values("image_firing_rate").head()   # doctest: +SKIP
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / DATABASE).is_file():
            raise BadAtlas(
                f"no atlas at {folder}; make one with: filterscope inspect MODEL --images DIR --out {folder}"
            )
        self._roll_back()
        with self._connect() as connection:
            schema.check_version(connection, self.folder)

    def __repr__(self) -> str:
        return f"Atlas({str(self.folder)!r})"

    def _roll_back(self) -> None:
        """Undo what a writer that was killed had half written; reading alone may not do it."""
        if not (self.folder / f"{DATABASE}-journal").exists():
            return
        # A writer that is alive keeps its lock, and where nothing may be written the reader says what it can.
        with (
            suppress(sqlite3.OperationalError),
            closing(sqlite3.connect(self.folder / DATABASE, timeout=1)) as writable,
        ):
            writable.execute("SELECT count(*) FROM sqlite_master").fetchone()

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        address = f"{(self.folder / DATABASE).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=30)) as connection:
            yield connection

    def query(self, sql: str, parameters: tuple[Any, ...] = ()) -> "pandas.DataFrame":
        """Any SQL question, as a frame."""
        import pandas

        with self._connect() as connection:
            return pandas.read_sql_query(sql, connection, params=parameters)

    def rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Any SQL question, as plain rows: for those who do without pandas."""
        with self._connect() as connection:
            return connection.execute(sql, parameters).fetchall()

    def records(self, kind: type[AnyRecord], /, **where: Any) -> list[AnyRecord]:
        """The records of one table, in the order of their key; ``where`` gives values that columns must have."""
        condition = " AND ".join(f'"{name}" = ?' for name in where) or "1"
        order = ", ".join(kind.key)
        sql = f"SELECT * FROM {kind.table} WHERE {condition} ORDER BY {order}"
        with self._connect() as connection:
            return [schema.from_row(kind, row) for row in connection.execute(sql, tuple(where.values()))]

    def frame(self, kind: type[Record], /, **where: Any) -> "pandas.DataFrame":
        """The records of one table as a frame, one column a field."""
        import pandas

        names = list(schema.columns(kind))
        rows = [tuple(vars(record).values()) for record in self.records(kind, **where)]
        return pandas.DataFrame(rows, columns=names)

    @property
    def facts(self) -> dict[str, str]:
        """What the atlas is of: network, network_digest, images, images_digest, schema."""
        with self._connect() as connection:
            return dict(connection.execute("SELECT name, value FROM meta"))

    def layers(self) -> "pandas.DataFrame":
        """One row a layer, in execution order."""
        return self.frame(Layer).sort_values("position", ignore_index=True)

    def nodes(self) -> "pandas.DataFrame":
        """One row a node of the network's graph, in execution order; `inputs`: the ids of the nodes that it takes."""
        return self.frame(Node)

    def units(self, layer: str | None = None) -> "pandas.DataFrame":
        """One row a unit, in the order of the layers: activation statistics and kernel figures."""
        if layer is not None:
            self._check_layer(layer)
        sql = """
          SELECT layer.name AS layer, unit.unit,
            activation.images, firing_rate, image_firing_rate, max, mean, std, norm, chroma
          FROM (SELECT layer, unit FROM activation UNION SELECT layer, unit FROM kernel) AS unit
          JOIN layer ON layer.name = unit.layer
          LEFT JOIN activation ON activation.layer = unit.layer AND activation.unit = unit.unit
          LEFT JOIN kernel ON kernel.layer = unit.layer AND kernel.unit = unit.unit
          WHERE ? IS NULL OR layer.name = ? ORDER BY layer.position, unit.unit"""
        return self.query(sql, (layer, layer))

    def patches(self, layer: str | None = None, unit: int | None = None) -> "pandas.DataFrame":
        """One row a patch, strongest first, with the name of its image and its class."""
        if layer is not None:
            self._check_layer(layer)
        sql = """
          SELECT patch.*, image.source, image.label FROM patch JOIN image ON image.id = patch.image
          WHERE (? IS NULL OR layer = ?) AND (? IS NULL OR unit = ?) ORDER BY layer, unit, rank"""
        return self.query(sql, (layer, layer, unit, unit))

    def backprojections(self, layer: str | None = None, unit: int | None = None) -> "pandas.DataFrame":
        """One row a back-projection, in the order of the layers, the strongest patch first: see `patches`."""
        if layer is not None:
            self._check_layer(layer)
        sql = """
          SELECT back_projection.* FROM back_projection JOIN layer ON layer.name = back_projection.layer
          WHERE (? IS NULL OR layer = ?) AND (? IS NULL OR unit = ?) ORDER BY layer.position, unit, method, rank"""
        return self.query(sql, (layer, layer, unit, unit))

    def relations(self, layer: str | None = None) -> "pandas.DataFrame":
        """One row a pair of units of a layer that respond alike, in the order of the layers, the most alike first."""
        if layer is not None:
            self._check_layer(layer)
        sql = """
          SELECT relation.* FROM relation JOIN layer ON layer.name = relation.layer
          WHERE ? IS NULL OR layer = ? ORDER BY layer.position, unit, kind, similarity DESC, other"""
        return self.query(sql, (layer, layer))

    def histogram(self, layer: str, unit: int, of: str = "image") -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """How a unit's pre-activation is distributed, as `numpy.histogram` gives it: counts, and their one more edges.

        Args:
            layer: name of the layer.
            unit: index of the unit.
            of: "image", the largest value of each image, or "position", the values at some positions of each.
        Raises:
            UnknownName: if there is no such layer or unit, or ``of`` is neither.
            BadAtlas: if none was made, the images being not looked at (yet).
        """
        self._check_layer(layer)
        if of not in ("image", "position"):
            raise UnknownName.of("histogram of", of, ("image", "position"), "there are: image, position")
        channels = self.records(Layer, name=layer)[0].channels
        if not 0 <= unit < channels:
            raise UnknownName(f"no unit {layer}:{unit}; it has 0 to {channels - 1}")
        found = self.records(Histogram, layer=layer, unit=unit, of=of)
        if not found:
            raise BadAtlas(
                f"no histograms of {layer} in {self.folder}; make them with: filterscope inspect --images DIR"
            )
        one = found[0]
        edges = np.arange(one.first, one.first + len(one.counts) + 1, dtype=np.float64)
        return np.array(one.counts, np.int64), edges * one.width

    def images(self) -> "pandas.DataFrame":
        """One row an image; `problem` says why one was skipped."""
        return self.frame(Image)

    def optima(self, layer: str | None = None, unit: int | None = None) -> "pandas.DataFrame":
        """One row an optimum, in the order of the layers: how good it is, and how it was found."""
        if layer is not None:
            self._check_layer(layer)
        sql = """
          SELECT optimum.* FROM optimum JOIN layer ON layer.name = optimum.layer
          WHERE (? IS NULL OR layer = ?) AND (? IS NULL OR unit = ?) ORDER BY layer.position, unit, variant, rank"""
        return self.query(sql, (layer, layer, unit, unit))

    def classes(self) -> "pandas.DataFrame":
        """One row a class image, in the order of the network's outputs: what the network says to it."""
        return self.frame(ClassImage)

    def contributions(self, number: int | None = None) -> "pandas.DataFrame":
        """One row a unit that speaks for a class (None: for any), in the order of the layers, the strongest first."""
        sql = """
          SELECT contribution.*, class_image.name FROM contribution
          JOIN layer ON layer.name = contribution.layer
          JOIN class_image ON class_image.number = contribution.number
          WHERE ? IS NULL OR contribution.number = ?
          ORDER BY contribution.number, layer.position, value DESC, unit"""
        return self.query(sql, (number, number))

    def kernels(self) -> "pandas.DataFrame":
        """One row a kernel."""
        return self.frame(Kernel)

    def effective_kernels(self, layer: str | None = None) -> "pandas.DataFrame":
        """One row a unit, in the order of the layers: how far one linear filter of pixels describes it, and which."""
        if layer is not None:
            self._check_layer(layer)
        sql = """
          SELECT effective_kernel.* FROM effective_kernel JOIN layer ON layer.name = effective_kernel.layer
          WHERE ? IS NULL OR layer = ? ORDER BY layer.position, unit"""
        return self.query(sql, (layer, layer))

    def class_activations(self, layer: str) -> "pandas.DataFrame":
        """Mean pre-activation of every unit (rows) for every class (columns); empty where there are no labels."""
        import pandas

        self._check_layer(layer)
        names = [label.name for label in self.records(Label)]
        rows = {row.unit: np.frombuffer(row.means, "<f4") for row in self.records(ClassActivation, layer=layer)}
        return pandas.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis(
            index="unit", columns="class"
        )

    def map_images(self) -> "pandas.DataFrame":
        """One row an image whose activation maps are kept, see `maps`."""
        return self.frame(MapImage)

    def maps(self, layer: str, image: int) -> NDArray[np.float32]:
        """The activation maps (unit, row, column) of a layer for an image: pre-activations, in 255 steps a unit.

        Large maps are kept as averages, so there may be fewer rows and columns than the layer's own
        (`ActivationMap.size`). Where they lie on the image says `Layer.map_box(size)`.

        Args:
            layer: name of the layer.
            image: id of one of `map_images()`.
        Raises:
            UnknownName: if there is no such layer or image.
            BadAtlas: if no maps were made (yet).
        """
        self._check_layer(layer)
        images = [record.id for record in self.records(MapImage)]
        found = self.records(ActivationMap, layer=layer, image=image)
        if found:
            return found[0].maps()
        if images and image not in images:
            raise UnknownName(f"no maps of image {image!r}; there are those of {', '.join(map(str, images))}")
        raise BadAtlas(
            f"no activation maps of {layer} in {self.folder}; make them with: filterscope inspect MODEL --images DIR "
            f"--lens activations --out {self.folder}"
        )

    def runs(self) -> "pandas.DataFrame":
        """One row a run of `inspect`: settings, versions, times."""
        return self.query("SELECT * FROM run ORDER BY id")

    def tasks(self) -> "pandas.DataFrame":
        """The ledger: one row a finished task."""
        return self.query("SELECT * FROM task ORDER BY rowid")

    def lenses(self) -> dict[str, dict[str, Any]]:
        """The settings of every lens that has been at work."""
        with self._connect() as connection:
            return {name: json.loads(text) for name, text in connection.execute("SELECT name, settings FROM lens")}

    def sheets(self) -> list[Path]:
        """The picture sheets, in the order of the layers."""
        return [self.folder / sheet.file for sheet in self.records(Sheet)]

    def tile(self, record: Drawn) -> NDArray[np.uint8]:
        """The picture (height, width, 3) of a record that has one, such as a patch; of a kernel its strongest slice.

        Raises:
            BadAtlas: if no picture of it was drawn.
        """
        return self.tiles([record])[0]

    def tiles(self, records: Sequence[Drawn]) -> list[NDArray[np.uint8]]:
        """The pictures of records, each sheet opened once.

        Raises:
            BadAtlas: if of one no picture was drawn, or a sheet cannot be read.
        """
        known = {sheet.file: sheet for sheet in self.records(Sheet)}
        opened: dict[str, NDArray[np.uint8]] = {}
        tiles = []
        for record in records:
            sheet = known.get(record.sheet or "")
            if sheet is None or record.row is None or record.column is None:
                raise BadAtlas(f"no picture of {called(record)} in {self.folder}")
            if sheet.file not in opened:
                opened[sheet.file] = self._sheet(sheet.file)
            top, left = sheet.tops[record.row], sheet.lefts[record.column]
            # A copy: the tile alone is kept, not its sheet.
            tiles.append(opened[sheet.file][top : top + sheet.tile_height, left : left + sheet.tile_width].copy())
        return tiles

    def layer(self, name: str) -> views.LayerView:
        """A layer with all that was found of its units; a notebook shows it.

        Raises:
            UnknownName: if there is none of that name; the nearest are offered.
        """
        return views.layer_view(self, name)

    def unit(self, text: str) -> views.UnitView:
        """A unit, written LAYER:INDEX, with all that was found of it; a notebook shows it.

        Raises:
            UnknownName: if it is not written so, or there is no such layer or index.
        """
        return views.unit_view(self, text)

    def _repr_html_(self) -> str:
        from filterscope.atlas import notebook

        return notebook.atlas_html(self)

    def _sheet(self, file: str) -> NDArray[np.uint8]:
        from PIL import PngImagePlugin

        try:
            # Not Image.open: it takes the sheet of a large layer, with its many pixels, for an attack.
            with PngImagePlugin.PngImageFile(self.folder / file) as picture:
                return np.asarray(picture.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise BadAtlas(
                f"the sheet {self.folder / file} cannot be read ({error}); make the atlas anew with --force"
            ) from None

    def report(self, out: str | Path | None = None, *, single_file: bool = False, force: bool = False) -> Path:
        """Write a page of this atlas that opens from disk; see :func:`filterscope.write_report`."""
        # By the public door, and only when asked: the report knows of atlases, an atlas of no report.
        import filterscope

        return filterscope.write_report(self, out, single_file=single_file, force=force)

    def _check_layer(self, layer: str) -> None:
        names = [record.name for record in self.records(Layer)]
        if layer not in names:
            raise UnknownName.of("layer", layer, names, "the atlas holds them all under Atlas.layers()")


def called(record: Drawn) -> str:
    """What an error calls a record."""
    if isinstance(record, Image | MapImage):
        return f"image {record.source}"
    return f"class {record.name}" if isinstance(record, ClassImage) else f"{record.layer}:{record.unit}"
