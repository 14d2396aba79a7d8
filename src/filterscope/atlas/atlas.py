"""Reading an atlas: records, pandas frames and pictures. No torch, and nothing is ever written."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas import schema
from filterscope.atlas.previous import DATABASE
from filterscope.atlas.records import ClassActivation, Image, Kernel, Label, Layer, Optimum, Patch, Record, Sheet
from filterscope.errors import BadAtlas, UnknownName

if TYPE_CHECKING:
    import pandas


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

    def records(self, kind: type[schema.AnyRecord], **where: Any) -> list[schema.AnyRecord]:
        """The records of one table, in the order of their key; ``where`` gives values that columns must have."""
        condition = " AND ".join(f'"{name}" = ?' for name in where) or "1"
        order = ", ".join(kind.key)
        sql = f"SELECT * FROM {kind.table} WHERE {condition} ORDER BY {order}"
        with self._connect() as connection:
            return [schema.from_row(kind, row) for row in connection.execute(sql, tuple(where.values()))]

    def frame(self, kind: type[Record], **where: Any) -> "pandas.DataFrame":
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

    def kernels(self) -> "pandas.DataFrame":
        """One row a kernel."""
        return self.frame(Kernel)

    def class_activations(self, layer: str) -> "pandas.DataFrame":
        """Mean pre-activation of every unit (rows) for every class (columns); empty where there are no labels."""
        import pandas

        self._check_layer(layer)
        names = [label.name for label in self.records(Label)]
        rows = {row.unit: np.frombuffer(row.means, "<f4") for row in self.records(ClassActivation, layer=layer)}
        return pandas.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis(
            index="unit", columns="class"
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

    def tile(self, record: Patch | Kernel | Optimum) -> NDArray[np.uint8]:
        """The picture (height, width, 3) of a patch, an optimum, or of a kernel's strongest slice.

        Raises:
            BadAtlas: if no picture of it was drawn.
        """
        from PIL import Image as PillowImage

        found = self.records(Sheet, file=record.sheet)
        if not found or record.row is None or record.column is None:
            raise BadAtlas(f"no picture of {record.layer}:{record.unit} in {self.folder}")
        sheet = found[0]
        top, left = sheet.tops[record.row], sheet.lefts[record.column]
        with PillowImage.open(self.folder / sheet.file) as picture:
            return np.asarray(picture.crop((left, top, left + sheet.tile_width, top + sheet.tile_height)))

    def _check_layer(self, layer: str) -> None:
        names = [record.name for record in self.records(Layer)]
        if layer not in names:
            raise UnknownName.of("layer", layer, names, "the atlas holds them all under Atlas.layers()")
