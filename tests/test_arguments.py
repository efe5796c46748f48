"""Each check passes what is allowed, limits included, and names the argument that is not."""

import math
import re

import pytest

from vidrec_utils import arguments


def test_limits_pass():
    arguments.at_least(1, k=1, epochs=2.5)
    arguments.at_least(0, events=0)
    arguments.positive(rate=1e-9)
    arguments.share(balance=0, other=1)
    arguments.one_of({"mean": 1, "median": 2}, method="median")


def test_none_is_no_number():
    for check in (lambda: arguments.at_least(1, k=None), lambda: arguments.share(balance=None)):
        with pytest.raises(TypeError):
            check()
    with pytest.raises(TypeError):
        arguments.positive(rate=None)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: arguments.at_least(1, k=3, epochs=0), "epochs is 0; it must be at least 1."),
        (lambda: arguments.at_least(0, b=math.nan), "b is nan; it must be at least 0."),
        (lambda: arguments.positive(rate=0), "rate is 0; it must be positive."),
        (lambda: arguments.share(b=-0.1), "b is -0.1; it must be between 0 and 1."),
        (lambda: arguments.share(b=math.nan), "b is nan; it must be between 0 and 1."),
        (
            lambda: arguments.one_of(("mean", "median"), method=None),
            "method is None; choose from 'mean', 'median'.",
        ),
    ],
)
def test_the_message_names_the_argument(check, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check()
