"""Records hold what their code computes, and their summaries are those computed by hand."""

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import imbalance
from vidrec_utils.imbalance import comparison, figures, loop_trials, off_policy_trials, reranking


def test_a_row_of_the_off_policy_record_is_what_the_code_computes() -> None:
    record = off_policy_trials.recorded().set_index(["policy", "seed"]).loc[("EASE, soft", 0)]
    videos = off_policy_trials.catalogue()
    trial = off_policy_trials.LoggedTrial.run(0, videos)
    policy = off_policy_trials.target_policies(videos, trial.train)["EASE, soft"]
    slots = trial.first_slots(policy)
    assert (slots["timestamp"] >= trial.border).all()
    assert slots["logged"].between(0, 1, inclusive="right").all()
    named = record[record["estimate"] != "curve"].set_index("estimate")
    for name, estimate in off_policy_trials.estimates(slots).items():
        expected = named.at[name, "error"] + named.at[name, "true"]
        assert estimate.value == pytest.approx(expected, abs=0.01 + 0.02 * abs(expected)), name
    curve = record[record["estimate"] == "curve"].set_index("limit")["error"]
    clipped = off_policy_trials.clipped_estimates(slots)
    assert list(clipped) == curve.index.tolist()
    assert clipped[1.0].value < clipped[10.0].value < clipped[200.0].value


def test_errors_and_curves_by_hand() -> None:
    rows = [("IPS", np.nan, 0.1), ("IPS", np.nan, -0.3), ("curve", 2.0, -0.2), ("curve", 2.0, -0.4)]
    record = pd.DataFrame(rows, columns=["estimate", "limit", "error"])
    record = record.assign(policy="p", stated=0.1, sessions=[10, 20, 5, 5])
    table = off_policy_trials.error_table(record)
    assert table.loc[("p", "IPS"), "bias"] == pytest.approx(-0.1)
    assert table.loc[("p", "IPS"), "rmse"] == pytest.approx(np.sqrt((0.01 + 0.09) / 2))
    assert table.loc[("p", "IPS"), "sessions"] == 15
    curve = off_policy_trials.clipping_curve(record, "p")
    assert curve.index.tolist() == [2.0, np.inf]
    assert curve["bias"].tolist() == pytest.approx([-0.3, -0.1])
    assert curve.loc[2.0, "spread"] == pytest.approx(np.sqrt(0.02))


def test_the_record_of_the_loop_holds_all_days_of_all_policies() -> None:
    record = loop_trials.recorded()
    assert set(record["policy"]) == set(loop_trials.loop_policies(off_policy_trials.catalogue()))
    counts = record.groupby(["policy", "seed"]).size()
    assert (counts == loop_trials.DAYS).all()
    assert record["seed"].nunique() == 5
    shares = record[["head", "coverage", "newcomers"]].to_numpy()
    assert ((shares >= 0) & (shares <= 1)).all()


def test_gains_are_paired_over_seeds() -> None:
    rows = [("EASE", s, d, s + d / 100) for s in range(4) for d in range(28)]
    rows += [("new", s, d, s + d / 100 + 0.5 + 0.1 * (s % 2)) for s in range(4) for d in range(28)]
    record = pd.DataFrame(rows, columns=["policy", "seed", "day", "liking"])
    table = loop_trials.gains(record)
    assert table.loc[("EASE", "week 2"), "minus"] == 0
    row = table.loc[("new", "week 4")]
    assert row["minus"] == pytest.approx(0.55)
    # four values with a deviation of .0577: 3.182 * .0577 / 2
    assert row["high"] - row["minus"] == pytest.approx(3.182 * 0.05774 / 2, rel=1e-3)


def test_the_record_of_remedies_holds_both_data_sets() -> None:
    record = imbalance.recorded()
    sizes = record.groupby(["data", "ratio"])["remedy"].nunique().to_dict()
    assert sizes[("motions, small", 1)] == sizes[("motions, small", 10)] == len(comparison.REMEDIES)
    assert sizes[("genres, MovieLens", 100)] == len(comparison.REMEDIES) - 1  # no augmented texts
    inside = record["macro_f1"].between(record["macro_f1_low"], record["macro_f1_high"])
    assert inside.all()


def test_calibrated_lists_trade_worth_for_calibration() -> None:
    rng = np.random.default_rng(0)
    users, videos = [f"u{k}" for k in range(12)], [f"v{k}" for k in range(60)]
    scores = pd.DataFrame(rng.random((12, 60)), users, videos)
    kinds = pd.DataFrame(np.eye(3)[np.arange(60) % 3], videos)
    scores.iloc[:, ::3] += 0.5  # the first category is always ahead
    histories = pd.Series(dict.fromkeys(users[:10], videos[:6]))  # each category alike
    table = reranking.trade_off(scores, kinds, histories, scores, (0.0, 0.5, 0.97))
    assert table["miscalibration"].is_monotonic_decreasing
    assert table["worth"].is_monotonic_decreasing
    assert table.loc[0.97, "miscalibration"] < 0.05 < table.loc[0.0, "miscalibration"]


def test_hollow_points_are_those_that_cannot_tell() -> None:
    columns = [f"{m}_minus{end}" for m in figures.MEASURES for end in ("", "_low", "_high")]
    rows = {"plain": [0.0] * 6, "clear": [0.1, 0.05, 0.2] * 2, "unclear": [0.1, -0.1, 0.2] * 2}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    panel = figures.plot_gains({"motions": table}).axes[0]
    full, hollow = panel.lines[-3], panel.lines[-2]
    assert (len(full.get_xdata()), len(hollow.get_xdata())) == (1, 1)
    assert hollow.get_markerfacecolor() == "white"
