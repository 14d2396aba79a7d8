"""The main job as a whole: interrupted and resumed, run again, run with something else."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hard_networks import Custom
from torch import nn

import filterscope as fs
from assassin import Assassin, Killed
from filterscope.ascent import recipes
from filterscope.atlas.ledger import DATABASE
from filterscope.atlas.records import BackProjection, EffectiveKernel
from filterscope.errors import BadAtlas, BadImages, BadModel, UnknownName
from filterscope.inspection import LENSES, usual
from filterscope.lenses import Perturbations, optima, scan

TABLES = (
    "layer", "image", "label", "activation", "histogram", "class_activation", "relation", "patch", "kernel", "optimum",
    "sheet", "lens",
)  # fmt: skip


def contents(folder: Path) -> dict[str, object]:
    """Every row that does not tell the time, and every picture."""
    connection = sqlite3.connect(folder / DATABASE)
    rows: dict[str, object] = {}
    for table in TABLES:
        names = [
            name
            for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")
            if name not in ("finished", "seconds")
        ]
        rows[table] = connection.execute(f"SELECT {', '.join(map(repr_name, names))} FROM {table}").fetchall()
    rows["task"] = sorted(connection.execute("SELECT digest, lens, title FROM task"))
    rows["partial"] = connection.execute("SELECT count(*) FROM partial").fetchall()
    connection.close()
    rows |= {sheet.name: sheet.read_bytes() for sheet in sorted((folder / "sheets").iterdir())}
    return rows


def repr_name(name: str) -> str:
    return f'"{name}"'


@pytest.fixture(autouse=True)
def short_ascents(monkeypatch):
    monkeypatch.setitem(recipes.PRESETS, "quick", lambda: replace(recipes.quick(), steps=2))


@pytest.fixture(autouse=True)
def few_parts_of_images(monkeypatch):
    monkeypatch.setitem(LENSES, "perturbations", partial(Perturbations, crops=12, scenes=12))


@pytest.fixture
def network() -> fs.Network:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2))
    return fs.Network(module, fs.Preprocessing((20, 20)), name="small")


@pytest.fixture
def photos() -> list[tuple[np.ndarray, int]]:
    rng = np.random.default_rng(0)
    return [(rng.integers(0, 256, (20, 20, 3), np.uint8), index % 3) for index in range(50)]


def test_interrupted_after_any_task_and_resumed_equals_uninterrupted(network, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "CHUNK", 16)
    monkeypatch.setattr(optima, "UNITS_A_TASK", 5)
    monkeypatch.setattr(fs.Patches, "groups", lambda self, layers: [(layer,) for layer in layers])
    fs.inspect(network, photos, tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    tasks = len(expected["task"])
    assert tasks == 2 + 4 + 2 + 1 + 2 * (2 + 1) + 3 + 2 * (1 + 1) + 2 * (1 + 1) + (3 + 1) + 2 * (1 + 3 + 1) + (4 + 2)
    # Every task would take minutes; of each stage one is met.
    for after in sorted({1, *range(2, tasks, 3), tasks}):
        with pytest.raises(Killed):
            fs.inspect(network, photos, tmp_path / f"cut{after}", watcher=Assassin(after))
        fs.inspect(network, photos, tmp_path / f"cut{after}")
        assert contents(tmp_path / f"cut{after}") == expected


RUNS = """
import os, sqlite3, sys
from dataclasses import replace

import numpy as np
import torch
from torch import nn

import filterscope as fs
from filterscope.ascent import recipes
from filterscope.lenses import scan

sys.path.insert(0, sys.argv[1])
from hasty import hasty

sqlite3.connect, scan.CHUNK = hasty, 8
short = replace(recipes.quick(), steps=2)
recipes.PRESETS["quick"] = lambda: short
torch.set_num_threads(1)
torch.manual_seed(0)
module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 64, 3))
photos = np.random.default_rng(0).integers(0, 256, (120, 40, 40, 3), np.uint8)
print("ready", flush=True)
for line in sys.stdin:
    process = os.fork()
    if not process:
        fs.inspect(fs.Network(module, fs.Preprocessing((40, 40))), photos, line.strip())
        os._exit(0)
    print(process, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""
"""A program that inspects into every folder that it is told, each time in a process of its own: it tells which, and
how that ended. Starting from scratch, each would import torch for four times as long as it works."""


def test_killed_with_signal_9_at_any_moment_and_resumed_equals_uninterrupted(tmp_path):
    script = tmp_path / "look.py"
    script.write_text(RUNS)
    with subprocess.Popen(
        [sys.executable, str(script), str(Path(__file__).parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as runs:
        assert runs.stdin is not None
        assert runs.stdout is not None
        told = runs.stdout

        def start(folder: str) -> int:
            print(tmp_path / folder, file=runs.stdin)
            return int(told.readline())

        assert told.readline() == "ready\n"
        begun = time.monotonic()
        start("whole")
        assert int(told.readline()) == 0
        length = time.monotonic() - begun
        kills = 0
        for share in (0.02, 0.1, 0.3):
            process = start("cut")
            time.sleep(share * length)
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            kills += int(told.readline()) == -signal.SIGKILL
        assert kills
        start("cut")
        assert int(told.readline()) == 0
        runs.stdin.close()
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_run_again_it_does_nothing(network, photos, tmp_path):
    atlas = fs.inspect(network, photos, tmp_path / "a")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*") if path.is_file()}
    ran = []

    class Spy(Assassin):
        def finished(self, task: object) -> None:
            ran.append(task)

    fs.inspect(network, photos, tmp_path / "a", watcher=Spy(0))
    assert not ran
    assert len(atlas.runs()) == 1
    unchanged = {path: path.stat().st_mtime_ns for path in before}
    assert {path for path in before if before[path] != unchanged[path]} <= {
        tmp_path / "a/writer.lock",
        tmp_path / "a/atlas.sqlite",
    }


def test_images_may_come_later_and_other_ones_are_refused(network, photos, tmp_path):
    fs.inspect(network, None, tmp_path / "a")
    atlas = fs.inspect(network, photos, tmp_path / "a")
    assert set(atlas.lenses()) == set(usual(with_images=True))
    with pytest.raises(BadAtlas, match="other images"):
        fs.inspect(network, photos[:20], tmp_path / "a")
    assert len(fs.inspect(network, photos[:20], tmp_path / "a", force=True).images()) == 20


def test_other_weights_and_other_settings_are_refused(network, photos, tmp_path):
    fs.inspect(network, photos, tmp_path / "a")
    with pytest.raises(BadAtlas, match="count was 9, now 4"):
        fs.inspect(network, photos, tmp_path / "a", lenses=[fs.Patches(count=4)])
    with torch.no_grad():
        network.module[0].weight[0, 0, 0, 0] += 1
    changed = fs.Network(network.module, network.preprocessing)
    with pytest.raises(BadAtlas, match="another network"):
        fs.inspect(changed, photos, tmp_path / "a")


def test_unreadable_images_are_skipped_counted_and_named(network, tmp_path):
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes(b"no picture")
    (folder / "7.png").write_bytes((folder / "6.png").read_bytes()[:200])
    atlas = fs.inspect(network, folder, tmp_path / "a")
    images = atlas.images()
    assert images[images.problem.notna()].source.tolist() == ["3.png", "7.png"]
    assert (atlas.units().images == 10).all()
    assert not set(atlas.patches().image) & {3, 7}


def test_no_readable_image_at_all_is_an_error(network, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"no picture")
    with pytest.raises(BadImages, match="none of the 1 images could be read"):
        fs.inspect(network, tmp_path / "photos", tmp_path / "a")


def test_wrong_names_are_answered_with_the_nearest(network, photos, tmp_path):
    with pytest.raises(UnknownName, match="no lens 'patch'; did you mean 'patches'"):
        fs.inspect(network, photos, tmp_path / "a", lenses=["patch"])
    with pytest.raises(UnknownName, match="layer"):
        fs.inspect(network, photos, tmp_path / "a", layers=["conv9"])
    assert not (tmp_path / "a").exists()


def test_layers_are_chosen_by_name_and_pattern(network, photos, tmp_path):
    atlas = fs.inspect(network, None, tmp_path / "a", layers=["2"])
    assert atlas.layers().name.tolist() == ["2"]


def test_a_network_without_convolution_and_a_refused_size_are_told(tmp_path, photos):
    plain = fs.Network(nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 20, 2)), fs.Preprocessing((20, 20)))
    with pytest.raises(BadModel, match="no 2-d convolution"):
        fs.inspect(plain, photos, tmp_path / "a")
    fixed = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 18 * 18, 2))
    with pytest.raises(BadModel, match="refuses an input of 1 x 3 x 30 x 30"):
        fs.inspect(fs.Network(fixed, fs.Preprocessing((30, 30))), photos, tmp_path / "a")


def test_a_full_disk_is_told_and_room_made_the_same_call_goes_on(network, photos, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=260k", "tmpfs", str(disk)], capture_output=True)
    if mount.returncode:
        pytest.skip("making a small disk needs the right to mount")
    try:
        with pytest.raises(BadAtlas, match=r"disk is full.*run the same command again"):
            fs.inspect(network, photos, disk / "a")
        finished = len(fs.Atlas(disk / "a").tasks())
        assert finished >= 1
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        fs.inspect(network, photos, disk / "a")
        fs.inspect(network, photos, tmp_path / "b")
        assert contents(disk / "a") == contents(tmp_path / "b")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_force_keeps_the_old_atlas_until_the_new_one_is_whole(network, photos, tmp_path):
    fs.inspect(network, photos, tmp_path / "a")
    before = contents(tmp_path / "a")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.jpg").write_bytes(b"no picture")
    with pytest.raises(BadImages, match="none of the 1 images"):
        fs.inspect(network, tmp_path / "bad", tmp_path / "a", force=True)
    assert contents(tmp_path / "a") == before
    # Killed before its first result: the old one comes back; after it: the new one goes on.
    for after, images in ((1, 20), (4, 20)):
        with pytest.raises(Killed):
            fs.inspect(network, photos[:images], tmp_path / "a", force=True, watcher=Assassin(after))
        fs.inspect(network, photos[:images], tmp_path / "a")
        assert len(fs.Atlas(tmp_path / "a").images()) == images
        assert not (tmp_path / "a/previous").exists()


def test_a_forced_run_that_was_killed_at_once_gives_the_old_atlas_back(network, photos, tmp_path):
    from filterscope.atlas.previous import set_aside

    fs.inspect(network, photos, tmp_path / "a")
    before = contents(tmp_path / "a")
    set_aside(tmp_path / "a")
    fs.inspect(network, photos, tmp_path / "a")
    assert contents(tmp_path / "a") == before


def test_images_of_which_none_could_be_read_do_not_bind_the_atlas(network, photos, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.jpg").write_bytes(b"no picture")
    with pytest.raises(BadImages, match="none of the 1 images"):
        fs.inspect(network, tmp_path / "bad", tmp_path / "a")
    assert len(fs.inspect(network, photos, tmp_path / "a").images()) == len(photos)


def test_weights_that_are_no_numbers_are_told_with_their_unit(network, tmp_path):
    network.module[2].weight.data[5, 0, 0, 0] = float("nan")
    with pytest.raises(BadModel, match=r"weights of 2:5 hold NaN"):
        fs.inspect(network, None, tmp_path / "a")


def test_pictures_that_no_memory_holds_are_refused_before_the_scan(network, photos, tmp_path):
    network = fs.Network(nn.Conv2d(3, 2000, 3), fs.Preprocessing((20, 20)))
    with pytest.raises(fs.FilterscopeError, match="fewer --patches or a smaller --tile"):
        fs.inspect(network, photos, tmp_path / "a", lenses=[fs.Patches(count=100, tile=512)])


def test_a_network_without_convolution_is_observed_by_name(photos, tmp_path):
    plain = fs.Network(nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 20, 2)), fs.Preprocessing((20, 20)))
    assert len(fs.inspect(plain, photos, tmp_path / "a", layers=["1"]).units()) == 2
    with pytest.raises(UnknownName, match="no layer ''"):
        fs.inspect(plain, photos, tmp_path / "a", layers=[""])


class Caching(nn.Module):
    """Keeps a tensor of its forward pass, and branches on what it sees: it cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mask = nn.Conv2d(3, 4, 3), None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        if self.mask is None or self.mask.shape != y.shape:
            self.mask = torch.ones(y.shape)
        return y * self.mask if float(x.mean()) > 0.1 else y


def test_a_network_that_keeps_tensors_and_branches_can_be_trained_afterwards(photos, tmp_path):
    module = Caching()
    fs.inspect(fs.Network(module, fs.Preprocessing((20, 20))), photos, tmp_path / "a", batch_size=50)
    module(torch.ones(50, 3, 20, 20)).sum().backward()
    assert module.conv.weight.grad is not None


def test_a_position_that_sees_only_padding_has_an_empty_box(photos, tmp_path):
    from filterscope.atlas.records import Patch

    conv = nn.Conv2d(3, 1, 1, padding=3)
    conv.weight.data.fill_(-1)
    conv.bias.data.zero_()
    atlas = fs.inspect(fs.Network(nn.Sequential(conv), fs.Preprocessing((20, 20))), photos, tmp_path / "a")
    for patch in atlas.records(Patch):
        assert 0 <= patch.top <= patch.bottom <= 20
        assert 0 <= patch.left <= patch.right <= 20


def test_a_network_whose_gates_cannot_be_replayed_is_inspected_all_the_same(photos, tmp_path):
    atlas = fs.inspect(fs.Network(Custom(), fs.Preprocessing((20, 20))), photos, tmp_path / "a")
    assert set(atlas.lenses()) == set(usual(with_images=True))
    # What comes before the operation has its W; what comes after it has a gradient in place of it, and none.
    assert {record.layer for record in atlas.records(EffectiveKernel)} == {"first"}
    methods = {(one.layer, one.method) for one in atlas.records(BackProjection)}
    assert methods == {("first", "guided"), ("last", "gradient")}
    atlas.report()
    assert (tmp_path / "a.report/index.html").is_file()
