"""The stream gives every readable image once, in order, whoever decodes it, and leaves nothing behind."""

import gc
import os
import signal
import statistics
import subprocess
import sys
import time
import tracemalloc
import warnings
from contextlib import closing

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from filterscope.errors import BadImages, FilterscopeError
from filterscope.images import Preprocessing, fit, open_images, stream

TINY = Preprocessing((8, 8))


class Counting:
    """Endless images without labels, each filled with its number; those in ``broken`` cannot be read."""

    digest = "counting"
    labels = ()

    def __init__(self, length, size=8, broken=()):
        self.length, self.size, self.broken = length, size, frozenset(broken)

    def __len__(self):
        return self.length

    def name(self, index):
        return f"index {index}"

    def label(self, index):
        return None

    def load(self, index):
        if index in self.broken:
            raise BadImages(f"no {index}")
        return np.full((self.size, self.size, 3), index % 256, np.uint8)


class Deadly(Counting):
    """Image 5 kills the process that reads it, as a decoder's fault would, or the system for want of memory."""

    def load(self, index):
        if index == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().load(index)


class Buggy(Counting):
    def load(self, index):
        raise ZeroDivisionError("a fault in the source itself")


def own_children() -> list[psutil.Process]:
    """The processes started from here, but for the one that multiprocessing keeps until the end."""
    return [child for child in psutil.Process().children() if "resource_tracker" not in " ".join(child.cmdline())]


@pytest.fixture(autouse=True)
def nothing_stays_behind():
    """After every test: no process, no interrupt held back, no random number drawn."""
    before, state = own_children(), torch.get_rng_state()
    yield
    gc.collect()
    assert own_children() == before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert torch.equal(torch.get_rng_state(), state)


def flat(batches):
    return [(batch.ids, batch.pixels.tobytes(), batch.problems) for batch in batches]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_cover_the_indices_in_order_and_name_what_they_miss(workers):
    source = Counting(11, broken=(1, 4, 5, 6, 7, 10))
    batches = list(stream(source, range(11), TINY, batch_size=4, workers=workers))
    assert [batch.ids for batch in batches] == [(0, 2, 3), (), (8, 9)]
    assert [batch.problems for batch in batches] == [
        ((1, "no 1"),),
        ((4, "no 4"), (5, "no 5"), (6, "no 6"), (7, "no 7")),
        ((10, "no 10"),),
    ]
    for batch in batches:
        assert batch.pixels.shape == (len(batch.ids), 8, 8, 3)
        assert batch.pixels.dtype == np.uint8
        assert batch.pixels[:, 0, 0, 0].tolist() == list(batch.ids)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("indices", [[7, 3, 3, 0], range(9, 0, -2), np.array([4, 2]), []])
def test_any_indices_are_read_as_they_stand(indices, workers):
    found = [
        index for batch in stream(Counting(10), indices, TINY, batch_size=3, workers=workers) for index in batch.ids
    ]
    assert found == [int(index) for index in indices]
    assert all(type(index) is int for index in found)


def odd_folder(folder):
    rng = np.random.default_rng(0)
    for index, size in enumerate([(30, 40), (40, 30), (8, 8), (9, 200), (64, 64), (3, 3), (25, 24)] * 3):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    (folder / "4.png").write_bytes((folder / "4.png").read_bytes()[:900])
    (folder / "11.png").write_text("no picture")
    return open_images(folder)


def test_batches_do_not_depend_on_the_number_of_workers(tmp_path):
    source = odd_folder(tmp_path)
    alone = flat(stream(source, range(len(source)), TINY, batch_size=5))
    for workers in (1, 3):
        assert flat(stream(source, range(len(source)), TINY, batch_size=5, workers=workers)) == alone
    read = [index for ids, _, _ in alone for index in ids]
    assert read == [index for index in range(21) if index not in (4, 11)]


def test_pixels_are_the_fitted_images(tmp_path):
    source = odd_folder(tmp_path)
    for batch in stream(source, range(len(source)), TINY, batch_size=4, workers=2):
        for index, pixels in zip(batch.ids, batch.pixels, strict=True):
            assert np.array_equal(pixels, fit(source.load(index), TINY))


def test_images_that_do_not_fit_the_network_are_problems():
    many = Preprocessing((8, 8), (0.0,) * 24, (1.0,) * 24, channels="")
    (batch,) = stream(Counting(2), range(2), many)
    assert batch.pixels.shape == (0, 8, 8, 24)
    assert batch.problems == tuple((index, "the image has 3 channels, the network takes 24") for index in range(2))


def peak_of(images):
    tracemalloc.start()
    for _ in stream(Counting(images, size=64), range(images), Preprocessing((64, 64)), batch_size=16):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_peak_memory_does_not_grow_with_the_number_of_images():
    few = max(peak_of(64), peak_of(64))  # the first run imports what the others need
    assert peak_of(4096) < few + 100_000  # 4096 images are 50 MB


def family_sizes():
    """Bytes that this process and its workers hold for themselves, while they read."""
    process, sizes = psutil.Process(), []
    images = stream(Counting(6400, size=128), range(6400), Preprocessing((128, 128)), batch_size=32, workers=2)
    for count, _ in enumerate(images):
        if count % 5 == 4:
            family = [process, *process.children()]
            sizes.append(sum(member.memory_full_info().uss for member in family))
            time.sleep(0.01)  # a reader slower than the workers: nothing may pile up
    return sizes


def test_memory_with_workers_does_not_grow_with_the_number_of_images():
    # In a process of its own: what a large one shares with its workers becomes its own when it is touched.
    load = f"import runpy; print(*runpy.run_path({__file__!r})['family_sizes']())"
    answer = subprocess.run([sys.executable, "-c", load], capture_output=True, text=True, check=True)
    sizes = [int(size) for size in answer.stdout.split()]
    # Medians, since how full the pipes are varies by 10 MB; a half of the images is 157 MB.
    assert statistics.median(sizes[20:]) < statistics.median(sizes[:20]) + 15e6


def test_workers_do_not_run_ahead_of_a_slow_reader(tmp_path):
    class Noting(Counting):
        def load(self, index):
            (tmp_path / str(index)).touch()
            return super().load(index)

    with closing(stream(Noting(200), range(200), TINY, batch_size=1, workers=2)) as batches:
        for count in range(1, 4):
            next(batches)
            time.sleep(0.2)
            assert len(list(tmp_path.iterdir())) <= count + 2 * 2


@pytest.mark.parametrize("how", ["close", "forget", "raise"])
def test_an_iterator_abandoned_halfway_leaves_no_process(how):
    batches = stream(Counting(10_000, size=224), range(10_000), Preprocessing((224, 224)), workers=2)
    next(batches)
    started = time.monotonic()
    assert len(own_children()) == 2
    if how == "close":
        batches.close()
    elif how == "forget":
        del batches
    else:
        with pytest.raises(KeyboardInterrupt):
            batches.throw(KeyboardInterrupt)
    assert own_children() == []
    assert time.monotonic() - started < 4  # a worker that does not go by itself is killed after 5


def test_a_dead_worker_is_one_clear_line_and_the_others_end():
    with pytest.raises(
        FilterscopeError, match=r"a process that decodes images died \(DataLoader worker .*use fewer workers"
    ) as caught:
        list(stream(Deadly(50), range(50), TINY, batch_size=2, workers=2))
    assert "\n" not in str(caught.value)
    assert own_children() == []  # although the exception is still held


def test_workers_leave_ctrl_c_to_the_process_that_reads():
    with closing(stream(Counting(400), range(400), TINY, batch_size=2, workers=2)) as batches:
        found = list(next(batches).ids)
        for worker in own_children():
            worker.send_signal(signal.SIGINT)
        found += [index for batch in batches for index in batch.ids]
    assert found == list(range(400))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_fault_of_the_source_itself_is_not_hidden(workers):
    with pytest.raises(ZeroDivisionError, match="a fault in the source itself"):
        list(stream(Buggy(9), range(9), TINY, workers=workers))


def test_more_workers_than_cores_and_threads_beside_them_warn_of_nothing():
    torch.ones(300, 300) @ torch.ones(300, 300)  # starts torch's threads, where it has several
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        workers = (os.cpu_count() or 1) + 2
        found = [
            index
            for batch in stream(Counting(40), range(40), TINY, batch_size=3, workers=workers)
            for index in batch.ids
        ]
    assert found == list(range(40))


def test_settings_that_make_no_sense_are_refused_at_once():
    for wrong in ({"batch_size": 0}, {"workers": -1}):
        with pytest.raises(ValueError, match="batch_size is at least 1 and workers at least 0"):
            stream(Counting(1), range(1), TINY, **wrong)


INTERRUPTED = """
import signal, sys, time
import numpy as np
from filterscope.images import Preprocessing, open_images, stream

# Whatever started the tests may have told them to ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
source = open_images(np.zeros((5000, 64, 64, 3), np.uint8))
for batch in stream(source, range(5000), Preprocessing((64, 64)), batch_size=8, workers=2):
    print(batch.ids[0], flush=True)
    time.sleep(0.1)
"""


def test_ctrl_c_ends_every_process_with_one_traceback():
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        assert process.stdout.readline() == "0\n"
        workers = psutil.Process(process.pid).children()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        _, errors = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert len(workers) == 2
    assert not any(worker.is_running() for worker in workers)


def test_the_real_photographs_stream_equally_with_and_without_workers(shared):
    source = open_images(shared / "images" / "imagenet_samples")
    imagenet = Preprocessing((224, 224), resize=256)
    chosen = range(0, 700, 7)
    alone = flat(stream(source, chosen, imagenet))
    assert flat(stream(source, chosen, imagenet, workers=2)) == alone
    assert [index for ids, _, _ in alone for index in ids] == list(chosen)
    assert not any(problems for _, _, problems in alone)
