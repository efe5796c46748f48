"""The exponent of growth: powers that were planted above a fixed cost are found."""

import math

import pytest

from benchmarks.side_by_side import exponent

SIZES = [5, 20, 43, 93, 200]


@pytest.mark.parametrize("power", [0.5, 1.0, 1.1, 2.0, 3.0])
@pytest.mark.parametrize("fixed", [0.0, 1.0])
def test_a_planted_power_is_found_whatever_the_fixed_cost(power, fixed):
    seconds = [fixed + 0.01 * n**power for n in SIZES]
    assert exponent(SIZES, seconds) == pytest.approx(power, abs=0.011)


def test_noise_that_hides_the_growth_has_no_exponent():
    assert math.isnan(exponent(SIZES, [1.0, 1.1, 0.9, 1.3, 1.5]))
    assert exponent(SIZES, [1.0, 1.04, 0.98, 1.02, 1.05]) == 0
