"""What callers give: a place on a map is two whole numbers within it, however they are held."""

import numpy as np
import pytest

from filterscope.errors import FilterscopeError
from filterscope.lenses.given import as_place


@pytest.mark.parametrize("given", [(1, 4), [1, 4], np.array([1, 4]), np.unravel_index(9, (2, 5))])
def test_a_place_is_a_pair_of_whole_numbers(given):
    assert as_place(given, (2, 5), "a place is (row, column)") == (1, 4)


@pytest.mark.parametrize("given", ["1,4", (1,), (1, 2, 3), (1.0, 4.0), (True, False), None])
def test_anything_else_is_refused_with_what_is_allowed(given):
    with pytest.raises(FilterscopeError, match=r"a place is \(row, column\), not "):
        as_place(given, (2, 5), "a place is (row, column)")


@pytest.mark.parametrize("given", [(2, 0), (0, 5), (-1, 0), (0, -1)])
def test_a_place_beside_the_map_is_refused_with_its_size(given):
    with pytest.raises(FilterscopeError, match="the map has rows 0 to 1 and columns 0 to 4"):
        as_place(given, (2, 5), "a place is (row, column)")
