# ruff: noqa
"""The notebook that keeps the whole contract; `tests/notebooks/known_bad.py` builds it."""

# %% [markdown]
# # Judge a mean before you trust it
#
# A platform wants to show first what people watch longest. That sounds like one line of code: take
# the mean watch ratio of every category and sort. This notebook is about the three things that the
# one line hides.

# %% [markdown]
# ## At a glance
#
# **Question.** When does a higher mean watch ratio say that people like a category more?
#
# **You will be able to**
#
# - compare a mean with a baseline before calling it high;
# - attach an interval to a mean by resampling users;
# - rank categories by mean and say how stable the order is.
#
# **Takes.** About 5 seconds and 200 MB of memory; the CPU is enough.
#
# **Needs.** Nothing from other notebooks.
#
# **Makes.** Nothing that is kept.
#
# **Previous.** none
#
# **Next.** none

# %% [markdown]
# ## Set-up
#
# The first cell imports what is used below and fixes the seed; the second loads the library of
# videos that the course runs on. Point `VIDREC_DATASET` at a folder of your own to run the same
# cells on your own platform.

# %%
import numpy as np

from vidrec_utils import claims, datasets, exercises, plots, settings

library = datasets.load()

# %%
plots.use_style()
watched = library.interactions.join(library.videos["category"], on="video_id")

# %% [markdown]
# Each row of the table is one exposure: somebody was shown a video. The watch ratio is the part of
# the video that was watched. Where a source does not record it, the ratio is missing, which is
# something else than zero: a person who left at once has a ratio near zero, a person whose player
# sent no report has none.

# %% [markdown]
# ## First result: how long people watch
#
# Before any modelling, look at the quantity itself.

# %%
figure = plots.watch_time(watched, threshold=0.5, title="Watch ratios and daily volume")
plots.show(figure, alt="Histogram of watch ratios, and exposures for each day, both fairly even")

# %% [markdown]
# The left half shows how the ratios spread, the right half how many exposures each day brought.
# A volume that jumps would be a reason to look for a change in logging before looking for a change
# in taste. Nothing of the kind is to be seen here.

# %% [markdown]
# ## Compare with a baseline
#
# **Predict.** Sport is the category that people here seem to love. By how much do you expect its
# mean watch ratio to lie above the mean over all exposures: by a hair, or by a lot? Decide before
# you run the next cell.

# %%
means = watched.groupby("category")["watch_ratio"].mean().sort_values(ascending=False)
overall = watched["watch_ratio"].mean()
print(f"The mean over all exposures is {overall:.2f}; {means.index[0]} reaches {means.iloc[0]:.2f}")

# %%
assert means.iloc[0] > overall, "the best category must lie above the overall mean, by arithmetic"

# %% [markdown]
# **Interpret.** The best category always lies above the overall mean; arithmetic alone sees to
# that. So the question is never whether it does, but whether the gap is larger than the one that
# chance would produce. A number without its baseline carries no message, and the baseline that
# belongs to a mean over one group is the mean over all of them.

# %% [markdown]
# ## Attach an interval
#
# **Predict.** If the same users came back tomorrow, would the order of the categories be the same?
# Draw users with replacement a few hundred times, and think about which categories could swap.

# %%
rng = np.random.default_rng(settings.SEED)
users = watched["user_id"].unique()
table = watched.pivot_table(index="user_id", columns="category", values="watch_ratio")
draws = [table.loc[rng.choice(users, len(users))].mean() for _ in range(200)]
low, high = np.quantile(draws, [0.05, 0.95], axis=0)

# %%
frame = table.mean().to_frame("mean").assign(low=low, high=high).sort_values("mean")
claims.check((frame["high"] > frame["low"]).all(), "an interval without width means no resampling")
figure = plots.bars_with_intervals(frame, "mean", "low", "high", title="Watch ratio by category")
plots.show(figure, alt="Mean watch ratio of each category with its interval; sport is the highest")

# %% [markdown]
# **Interpret.** Whole users are drawn, not single exposures, because the exposures of one person
# resemble each other; drawing exposures would make the intervals too narrow and the conclusion too
# bold. Where two intervals overlap, this data does not decide between the categories, however
# clearly the means differ on paper. Where they do not, the order would very likely survive another
# day of the same traffic.

# %% [markdown]
# ## Rank, and say how stable the order is
#
# **Predict.** In which share of the draws is the category with the highest mean the same as in the
# full data? In all of them, in most, or in about half?

# %%
best = [draw.idxmax() for draw in draws]
share = np.mean([name == means.index[0] for name in best])
print(f"{means.index[0]} is first in {share:.0%} of {len(draws)} resampled platforms")

# %%
assert share > 1 / len(means), "less often first than by drawing lots: the order is not stable"

# %% [markdown]
# **Interpret.** The share is the honest form of the statement that a category is the best one. A
# ranking that is reported without it invites decisions that the next week will take back. Compare
# it with one divided by the number of categories, which is what drawing lots would give.

# %% [markdown]
# ## Exercises
#
# Write the two functions that the cells above leaned on. Each check answers in a sentence. Compare
# with one right answer by printing `exercises.solution("example", "mean_watch")`.

# %% exercise-mean_watch

# %%
exercises.check("example", "mean_watch", mean_watch)

# %% [markdown]
# The second one is the quantity that the dashed line in the first figure stands for.

# %% exercise-share_watched

# %%
exercises.check("example", "share_watched", share_watched)

# %% [markdown]
# ## Recap
#
# - A mean is high only when compared with a baseline, such as the mean over all exposures.
# - Resampling whole users attaches an interval to each mean that respects their habits.
# - Categories that rank first in few of the draws should not be called the best.

# %% [markdown]
# ## In practice
#
# At production scale nobody resamples millions of users for each dashboard: the interval comes from
# sums that are kept per user bucket, and the buckets are resampled instead. The logging changes
# more often than the taste does, so every mean is watched beside the volume that it rests on. The
# comparison with a baseline stays exactly as it is here.

# %% [markdown]
# ## Further reading
#
# - Efron and Tibshirani, *An Introduction to the Bootstrap*, Chapman and Hall, 1993.
# - Kohavi, Tang and Xu, *Trustworthy Online Controlled Experiments*, Cambridge University Press, 2020.
