"""Memory: how many images fit, what is said when none does, and that the C library is left as it chooses to be."""

import ctypes

import psutil
import pytest
import torch
from small_networks import short, small
from torch import Tensor, nn

import filterscope as fs
from filterscope.ascent import Job, ascend, fit_canvas, memory
from filterscope.ascent.ascend import Climber
from filterscope.ascent.memory import SLOTS, bytes_kept, free_memory, memory_kept, slots_that_fit
from filterscope.ascent.threads import worthwhile_threads
from filterscope.errors import FilterscopeError

CPU = torch.device("cpu")


def pass_through(module: nn.Module, side: int):
    """A step of `slots_that_fit`: one forward pass of so many images."""

    def step(count: int) -> Tensor:
        images = torch.zeros(count, 3, side, side, requires_grad=True)
        return module(images * 1.0).flatten(1).sum(1)

    return step


@pytest.fixture
def layers() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Sigmoid(), nn.Conv2d(8, 8, 3, padding=1), nn.Sigmoid())


def test_bytes_kept_are_the_tensors_that_gradients_need_and_not_the_weights(layers):
    # Kept in float32: the input of the first convolution (3 maps), both sigmoids' outputs (8 each).
    assert bytes_kept(pass_through(layers, 20)) == 4 * 20 * 20 * (3 + 8 + 8)


def test_bytes_kept_grow_with_the_area_of_the_image(layers):
    one, other = (bytes_kept(pass_through(layers, side)) for side in (16, 64))
    assert other == 16 * one


@pytest.mark.parametrize(("images", "slots"), [(1.01, 1), (3.5, 3), (15.9, 15), (16.1, 16), (1e6, 16)])
def test_as_many_slots_as_half_of_the_free_memory_holds_twice_over(layers, monkeypatch, images, slots):
    step = pass_through(layers, 20)
    monkeypatch.setattr(memory, "free_memory", lambda device: int(images * 4 * bytes_kept(step)))
    assert SLOTS["cpu"] == 16
    assert slots_that_fit(step, CPU, (20, 20)) == slots


def test_where_not_even_one_fits_a_line_says_so_with_the_size(layers, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 1000)
    with pytest.raises(FilterscopeError, match=r"one image of 20 x 24 needs about .* GB .*free; choose") as caught:
        slots_that_fit(pass_through(layers, 20), CPU, (20, 24))
    assert "\n" not in str(caught.value)


def test_an_ascent_uses_no_more_slots_than_fit_and_makes_the_same_images(monkeypatch):
    network = small()
    objective, canvas = fs.units("body", range(5)), fit_canvas(network, [network.layer("body")])
    jobs = [Job(str(number), 0, number) for number in range(5)]
    sizes: list[int] = []
    handle = network.module.norm.register_forward_hook(lambda m, i, out: sizes.append(len(out)))
    plenty = {made.job: made.image for made in ascend(network, objective, jobs, canvas, short())}
    assert max(sizes) == 5
    with Climber(network, objective, canvas, short()) as climber:
        needed = []
        monkeypatch.setattr(memory, "bytes_kept", lambda step: needed.append(bytes_kept(step)) or needed[0])
        climber.slots()
    monkeypatch.setattr(memory, "free_memory", lambda device: 4 * needed[0] * 2.5)
    sizes.clear()
    tight = {made.job: made.image for made in ascend(network, objective, jobs, canvas, short())}
    handle.remove()
    assert max(sizes) == 2
    assert all(abs(tight[job] - plenty[job]).max() < 1e-3 for job in jobs)


def test_free_memory_is_what_the_system_says():
    assert free_memory(CPU) == pytest.approx(psutil.virtual_memory().available, rel=0.2)


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(("pixels", "threads"), [(1, 1), (2**16, 1), (2**17, 2), (10**9, 4)])
def test_no_more_threads_run_than_there_is_work_for_and_afterwards_as_many_as_before(pixels, threads):
    inside: list[int] = []

    def work() -> None:
        with worthwhile_threads(pixels):
            inside.append(torch.get_num_threads())
            raise KeyError("on the way")

    with pytest.raises(KeyError):
        work()
    assert inside == [threads]
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_an_ascent_that_is_abandoned_gives_its_threads_back():
    network = small()
    canvas = fit_canvas(network, [network.layer("body")])
    running = ascend(network, fs.unit("body:0"), [Job("a"), Job("b")], canvas, short(1), slots=1)
    next(running)
    assert torch.get_num_threads() == 1
    running.close()
    assert torch.get_num_threads() == 4


class Library:
    """Takes down what it is told, in place of the C library."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []

    def mallopt(self, name: int, value: int) -> int:
        self.calls.append(("mallopt", name, value))
        return 1

    def malloc_trim(self, value: int) -> int:
        self.calls.append(("trim", 0, value))
        return 1


def test_the_c_library_keeps_memory_inside_and_has_its_own_limits_back_afterwards(monkeypatch):
    library = Library()
    monkeypatch.setattr(memory, "glibc", lambda: library)
    inside: dict[int, int] = {}

    def work() -> None:
        with memory_kept():
            inside.update({name: value for _, name, value in library.calls})
            library.calls.clear()
            raise KeyError("on the way")

    with pytest.raises(KeyError):
        work()
    # malloc.h: M_TRIM_THRESHOLD is -1, M_MMAP_THRESHOLD -3; both as large as an int may be, or a GiB.
    assert set(inside) == {-1, -3}
    assert min(inside.values()) >= 2**30
    assert max(inside.values()) < 2**31
    # mallopt(3): the dynamic thresholds grow up to 32 MiB, and to twice as much for trimming.
    assert sorted(library.calls) == [("mallopt", -3, 2**25), ("mallopt", -1, 2**26), ("trim", 0, 0)]


def test_without_glibc_nothing_is_done(monkeypatch):
    def refuse(name: object) -> None:
        raise AssertionError("no C library is asked for")

    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert memory.glibc() is None
    with memory_kept():
        pass
