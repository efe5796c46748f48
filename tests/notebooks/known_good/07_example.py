# ruff: noqa
"""The notebook that keeps the whole contract; `tests/notebooks/known_bad.py` builds it."""

# %% [markdown]
# # Judge a mean before you trust it
#
# A platform wants to show first what people watch longest. That sounds like one line of code: take
# the mean watch ratio of every category and sort. This notebook is about the three things that the
# one line hides.
#
# The data are small on purpose: three categories, a dozen videos and a few dozen users. Everything
# that is shown here works in the same way with millions of rows, but a small platform has one
# advantage for a reader. Chance is large in it, so its effects can be seen with the bare eye, and a
# habit that is learned on small data protects against mistakes on large data, where the same
# effects hide in the segments that nobody looks at.

# %% [markdown]
# ## At a glance
#
# **Question.** When does a higher mean watch ratio say that people like a category more?
#
# **You will be able to**
#
# - compare a mean with a baseline before calling it high;
# - attach an interval to a mean by resampling users;
# - rank categories by mean and say how stable the order is;
# - subtract two categories user by user, and read the interval of the difference.
#
# **Takes.** About 5 seconds and 200 MB of memory; the CPU is enough.
#
# **Needs.** Nothing from other notebooks.
#
# **Produces.** Nothing that is kept.
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
import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

from vidrec_utils import claims, datasets, exercises, plots, settings

library = datasets.load()

# %%
plots.use_style()
watched = library.interactions.join(library.videos["category"], on="video_id")

# %% [markdown]
# Each row of the table is one exposure: somebody was shown a video. The watch ratio is the part of
# the video that was watched. Where a source does not record it, the ratio is missing, which is
# something else than zero: a person who left at once has a ratio near zero, a person whose player
# sent no report has none. The two must not be confused: replacing a missing ratio by zero would turn
# a technical fault into a statement about taste.
#
# The same exposure also says who was shown the video. This matters more than it seems to. A user who
# watches everything to its end adds many high ratios, and a user who only browses adds many low
# ones. If the first kind of user happens to see more sport, then sport looks good for a reason that
# has nothing to do with sport. The last section comes back to this.

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
#
# Look at the histogram once more before you go on. A mean summarises such a distribution by a single
# number, and it does so well when the distribution has one hump. If it had two humps, one for videos
# that were skipped and one for videos that were finished, then hardly any exposure would lie near
# the mean, and a share (how many exposures reach the threshold) would describe the data better. The
# dashed line in the figure is such a threshold.

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

# %% tags=["check"]
assert means.iloc[0] > overall, "the best category must lie above the overall mean, by arithmetic"

# %% [markdown]
# **Interpret.** The best category always lies above the overall mean; arithmetic alone sees to
# that. So the question is never whether it does, but whether the gap is larger than the one that
# chance would produce. A number without its baseline carries no message, and the baseline that
# belongs to a mean over one group is the mean over all of them.
#
# The same thought holds for every other score in this course. An accuracy needs the accuracy of a
# constant answer next to it, a ranking needs the ranking by popularity, and a trained network needs
# the same network with random weights. In each case the baseline is cheap, and in each case it has
# surprised somebody who had not computed it. Make it a habit to print both numbers in one sentence,
# so that neither can be quoted without the other.

# %% [markdown]
# ## Attach an interval
#
# **Predict.** If the same users came back tomorrow, would the order of the categories be the same?
# Draw users with replacement a few hundred times, and think about which categories could swap.
#
# The method is called the bootstrap. It treats the users whom we have seen as a stand-in for all
# users who could have come, and it draws from them a new platform of the same size. Some users are
# drawn twice and some not at all, as it could have happened in reality. The mean is computed anew on
# each drawn platform, and the spread of these means shows how far chance alone can move it. The
# interval reported below reaches from the lower to the upper end of that spread, without the few
# most extreme draws on either side.

# %% [markdown] tags=["box-standard-error", "idea"]
# How wide should such an interval be? The mean of many independent values varies less than a single
# value does: its standard error shrinks with the square root of their number.
#
# $$\sigma_{\bar{x}} = \frac{s}{\sqrt{n}}$$
#
# | symbol | meaning |
# |---|---|
# | $\sigma_{\bar{x}}$ | standard error of the mean $\bar{x}$ |
# | $s$ | standard deviation of the values |
# | $n$ | number of values, here of users |
#
# For sixteen users whose means have a standard deviation of one fifth, the standard error is a
# quarter of that fifth.

# %% tags=["box-standard-error", "check"]
assert 0.2 / np.sqrt(16) == stats.sem(np.repeat([1, -1], 8) * 0.2, ddof=0), "s over the root of n"

# %%
rng = np.random.default_rng(settings.SEED)
users = watched["user_id"].unique()
table = watched.pivot_table(index="user_id", columns="category", values="watch_ratio")
draws = [table.loc[rng.choice(users, len(users))].mean() for _ in range(200)]
low, high = np.quantile(draws, [0.05, 0.95], axis=0)

# %%
frame = table.mean().to_frame("mean").assign(low=low, high=high).sort_values("mean")
figure = plots.bars_with_intervals(frame, "mean", "low", "high", title="Watch ratio by category")
plots.show(figure, alt="Mean watch ratio of each category with its interval; sport is the highest")

# %% tags=["check"]
claims.check((frame["high"] > frame["low"]).all(), "an interval without width means no resampling")

# %% [markdown]
# **Interpret.** Whole users are drawn, not single exposures, because the exposures of one person
# resemble each other; drawing exposures would make the intervals too narrow and the conclusion too
# bold. Where two intervals overlap, this data does not decide between the categories, however
# clearly the means differ on paper. Where they do not, the order would very likely survive another
# day of the same traffic.
#
# An interval does not cover every kind of doubt. It says how far the mean would move if other users
# of the same kind had come. It says nothing about users of another kind, about another season, or
# about a fault in the logging that affected all users alike. Those doubts have to be named in words,
# because no amount of resampling makes them visible.

# %% [markdown]
# ## Rank, and say how stable the order is
#
# **Predict.** In which share of the draws is the category with the highest mean the same as in the
# full data? In all of them, in most, or in about half?

# %%
best = [draw.idxmax() for draw in draws]
share = np.mean([name == means.index[0] for name in best])
print(f"{means.index[0]} is first in {share:.0%} of {len(draws)} resampled platforms")

# %% tags=["check"]
assert share > 1 / len(means), "less often first than by drawing lots: the order is not stable"

# %% [markdown]
# **Interpret.** The share is the honest form of the statement that a category is the best one. A
# ranking that is reported without it invites decisions that the next week will take back. Compare
# it with one divided by the number of categories, which is what drawing lots would give.

# %% [markdown]
# ## Subtract user by user
#
# The intervals above answer how uncertain each mean is. They do not answer directly how uncertain
# the difference between two categories is, because the same users stand behind both means: a user
# who finishes every video raises them together. If the two values of each user are subtracted
# before anything is averaged, then what the user adds to both of them cancels. Statisticians call
# this a paired comparison.
#
# **Predict.** Take the two categories with the highest means. Will the interval of their paired
# difference exclude zero, although people differ so much in how long they watch?

# %% [markdown] tags=["box-paired-difference", "idea"]
# Subtract first, and average afterwards. What a user adds to both values cancels in the difference,
# so the differences of many users spread less than the values themselves.
#
# $$\bar{d} = \frac{1}{n} \sum_{u=1}^{n} (a_u - b_u), \qquad t = \frac{\bar{d}}{s / \sqrt{n}}$$
#
# | symbol | meaning |
# |---|---|
# | $a_u, b_u$ | mean watch ratio of user $u$ in the first and in the second category |
# | $\bar{d}$ | mean difference, `()` |
# | $s$ | standard deviation of the differences |
# | $n$ | number of users who saw both categories |
# | $t$ | the difference in units of its own standard error |

# %% tags=["box-paired-difference", "drawing"]
first, second = table.mean().sort_values(ascending=False).index[:2]
pairs = table[[first, second]].dropna()
figure, axes = plt.subplots(figsize=(4, 4))
axes.plot(pairs[second], pairs[first], "o", markersize=4)
axes.axline((0, 0), slope=1, color="grey")
axes.set(xlabel=second, ylabel=first, title="One point for each user")
plots.show(figure, alt="Users' means in two categories; most points lie above the diagonal")

# %% [markdown]
# A point above the diagonal is a user who watched the first category longer. In code, the whole
# method is one subtraction, one mean and one division:


# %% tags=["box-paired-difference", "scratch"]
def paired(a, b):
    """Return the mean difference and how many standard errors it lies from zero."""
    gap = a - b  # a_u - b_u, (n,)
    error = gap.std(ddof=1) / np.sqrt(len(gap))  # s / sqrt(n)
    return gap.mean(), gap.mean() / error


mean_gap, t = paired(pairs[first], pairs[second])
print(f"{first} minus {second}: {mean_gap:.2f}, which is {t:.1f} standard errors")

# %% tags=["box-paired-difference", "check"]
reference = stats.ttest_rel(pairs[first], pairs[second])
assert np.isclose(t, reference.statistic), "the paired t statistic is the mean over its error"

# %% [markdown]
# How far could this mean have moved by chance? Draw the users again, each with one difference.

# %% tags=["box-paired-difference", "look"]
gap = pairs[first] - pairs[second]
gaps = [rng.choice(gap, len(gap)).mean() for _ in range(200)]
gap_low, gap_high = np.quantile(gaps, [0.05, 0.95])
figure, axes = plt.subplots(figsize=(5, 3))
axes.hist(gaps, bins=20)
axes.axvline(0, color="grey")
axes.set(xlabel="mean difference", ylabel="draws")
plots.show(figure, alt="Histogram of the mean differences of the draws, all of them above zero")
print(f"{first} minus {second}: {gap.mean():.2f} [{gap_low:.2f}, {gap_high:.2f}], {len(gap)} users")

# %% tags=["check"]
assert gap_low > 0, "the interval of the difference reaches zero: the two cannot be told apart"

# %% [markdown] tags=["box-paired-difference", "read"]
# **Interpret.** The interval excludes zero, so for users like these the first category is watched
# longer than the second. Notice what was resampled: again whole users, now with one difference
# each. Users who saw only one of the two categories have no difference and are left out, and the
# printed sentence says how many remained, because a paired comparison on a handful of users would
# look the same and mean much less. Whether a difference of this size matters is a question for the
# platform and not for the statistics: an interval can exclude zero and still hold only differences
# that nobody would act on.

# %% [markdown]
# One warning belongs here. With two categories there is a single difference to test. With many
# categories there are many pairs, and among many pairs some interval will exclude zero by chance,
# just as some ticket wins in every lottery. Decide which pair is of interest before looking at the
# data, or use a correction for the number of pairs.

# %% [markdown]
# ## Exercises
#
# Each check answers in a sentence. Compare with one right answer by printing
# `exercises.solution("example", "mean_watch")`.
#
# **By hand.** Compute one mean on paper. Think of the corner case before you start: which of the
# ratios are known?

# %% exercise-mean_by_hand

# %%
exercises.check("example", "mean_by_hand", mean_by_hand)

# %% [markdown]
# **In code.** Write the function that the cells above leaned on. What is the mean of nothing?

# %% exercise-mean_watch

# %%
exercises.check("example", "mean_watch", mean_watch)

# %% [markdown]
# **Change and observe.** Write the quantity that the dashed line in the first figure stands for,
# then move the threshold and observe which exposures leave first.

# %% exercise-share_watched

# %%
exercises.check("example", "share_watched", share_watched)

# %% [markdown]
# **On your own data.** Write a function that answers the chapter's question for any library, then
# call it with your own.

# %% exercise-longest_watched

# %%
exercises.check("example", "longest_watched", longest_watched)

# %% [markdown] tags=["quiz"]
# ## Quiz
#
# **Question.** Why are whole users drawn, and not single exposures?
#
# 1. Exposures of one user resemble each other.
# 2. There are fewer users, so that it is faster.
# 3. A user may be drawn only once.
#
# <details><summary>Answer</summary>
#
# **1.** Drawing exposures would count one habit many times. *2* is true and no reason. *3* is wrong:
# users are drawn with replacement.
#
# </details>
#
# **Question.** What does a missing watch ratio count as?
#
# 1. As zero.
# 2. As unknown.
# 3. As the mean of all others.
#
# <details><summary>Answer</summary>
#
# **2.** A player that sent no report says nothing about taste. *1* would turn a fault into a
# judgement, and *3* invents an observation.
#
# </details>

# %% [markdown] tags=["quiz"]
# **Question.** The best of three categories lies above the mean over all. What follows?
#
# 1. It is liked best.
# 2. The sample is large enough.
# 3. Nothing, because the best one always does.
#
# <details><summary>Answer</summary>
#
# **3.** Arithmetic alone sees to that. *1* needs an interval of the difference, and *2* has nothing
# to do with the order of means.
#
# </details>
#
# **Question.** Two intervals of means overlap. What about their paired difference?
#
# 1. Its interval includes zero.
# 2. Its interval may still exclude zero.
# 3. It cannot be computed.
#
# <details><summary>Answer</summary>
#
# **2.** What a user adds to both values cancels in the difference. *1* overlooks that, and *3*
# would be true only if no user had seen both categories.
#
# </details>
#
# **Question.** Four times as many users come. What happens to the standard error?
#
# 1. It becomes half as large.
# 2. It becomes a quarter as large.
# 3. It stays as it is.
#
# <details><summary>Answer</summary>
#
# **1.** The number of users stands under a square root. *2* forgets the root, and *3* confuses the
# error of a mean with the spread of single users.
#
# </details>

# %% [markdown]
# ## Recap
#
# - A mean is high only when compared with a baseline, such as the mean over all exposures.
# - Resampling whole users attaches an interval to each mean that respects their habits.
# - Categories that rank first in few of the draws should not be called the best.
# - To subtract user by user removes what both means share, and the difference gets its own interval.

# %% [markdown]
# ## In practice
#
# At production scale nobody resamples millions of users for each dashboard: the interval comes from
# sums that are kept per user bucket, and the buckets are resampled instead. The logging changes
# more often than the taste does, so every mean is watched beside the volume that it rests on. The
# comparison with a baseline stays exactly as it is here.
#
# Paired comparisons become experiments there: the same user is shown both categories in random
# order, so that neither position nor time of day favours one of them. What this notebook did with
# logged data is the weaker version of it, because on a real platform somebody, or some model, chose
# what each user was shown. A difference in logged data is therefore a reason to run an experiment,
# and seldom a reason to skip it.

# %% [markdown]
# ## Further reading
#
# - Efron and Tibshirani, *An Introduction to the Bootstrap*, Chapman and Hall, 1993.
# - Kohavi, Tang and Xu, *Trustworthy Online Controlled Experiments*, Cambridge University Press, 2020.
