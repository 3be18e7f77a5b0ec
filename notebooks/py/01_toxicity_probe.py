# ---
# jupyter:
#   jupytext:
#     formats: notebooks//ipynb,notebooks/py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · Is toxicity a direction?
#
# **Question.** The residual stream after the last layer is a vector. Is there one direction in it
# along which toxic texts lie on one side and clean texts on the other, and what does that
# direction say in words?
#
# Paper A begins here: a linear probe on the averaged last residual stream tells toxic comments
# from clean ones with 94 % accuracy on GPT2-medium (§3.1). Everything later in the series leans
# on the probe's direction, so this notebook asks not only *how well* it reads but *what* it
# reads.

# %% [markdown]
# > **Content warning.** Insults and hostile sentences are shown. Profanity and slurs are masked
# > (`f***`) unless `UNMASK = True`.

# %% [markdown]
# **You will be able to**
#
# - pool a residual stream into one vector per text, and find a direction by hand,
# - fit a probe with a fixed penalty and judge it against three controls, with intervals,
# - tell a probe for toxicity from one for the company that toxicity keeps,
# - say what layer, pooling and position 0 do to it,
# - explain why the probe of best accuracy is not the probe to keep,
# - name what a probe does not show.
#
# | you need | how much |
# |---|---|
# | dot products, logistic regression | necessary |
# | notebook 00, sections 4 and 5 | helpful |
# | time | `pocket`: about a minute on two CPU cores; `gpt2-medium`: about five hours on two CPU cores, minutes on a GPU (estimated; README shows the arithmetic) |
# | memory | `pocket`: about 1 GB; `gpt2-medium`: about 5 GB (estimated) |

# %% [markdown]
# ## Set-up

# %%
import os, sys
sys.path.insert(0, next(up for up in (".", "..", "../..") if os.path.isdir(f"{up}/helpers")))
import helpers.colab  # installs what is missing on Colab; does nothing elsewhere
from helpers.lab import Lab

# %% tags=["parameters"]
PROFILE = None  # "pocket", "gpt2-medium" or a TOML file; None: $TOXICITY_LAB_PROFILE, else "pocket"
UNMASK = False  # True shows profanity as it is

# %%
lab = Lab.start("01_toxicity_probe", PROFILE, unmask=UNMASK)

# %%
import torch

from helpers.teaching.figures import plots

model, last = lab.base, lab.base.n_layers - 1
train, test = lab.texts.comments_train, lab.texts.comments_test

# %% [markdown]
# ## 1 · Two sentences and a difference, by hand
#
# Take one toxic comment and one clean one. Each is run through the model; each token then carries
# a residual stream, a vector of `d_model` numbers. We average those vectors over the text and
# leave out position 0, for a reason that section 4 shows.

# %%
toxic_comment = next(comment for comment in train if comment.toxic)
clean_comment = next(comment for comment in train if not comment.toxic)
lab.show.table(
    [
        {"label": "toxic", "comment": toxic_comment.text},
        {"label": "clean", "comment": clean_comment.text},
    ],
    caption="One comment of each kind",
)

# %%
def pooled_by_hand(text: str):
    """The mean of the last layer's residual stream over positions 1, 2, … of one text."""
    name, tokens = (
        f"blocks.{last}.hook_resid_post",
        model.tokenise([text], max_tokens=model.context),
    )
    with torch.no_grad():
        _, cache = model.bridge.run_with_cache(tokens.ids, names_filter=name)
    return cache[name][0, 1:].mean(dim=0)


difference = pooled_by_hand(toxic_comment.text) - pooled_by_hand(clean_comment.text)
print(f"{tuple(difference.shape)=}")

# %% [markdown]
# `difference` points from the clean text to the toxic one. It is a direction found from *two*
# texts.
#
# **Guess first.** Project 200 other comments on it. Will toxic ones score higher than clean ones
# almost always (AUROC near 1), or is two too few (near .5)?

# %%
from helpers.mechanism.pooling import pooled_residuals
from helpers.mechanism.probe_scores import auroc

some, seed = test[:200], lab.profile.seed
labels = torch.tensor([comment.toxic for comment in some])
features = pooled_residuals(model, lab.measures.tokenise_comments(some), layers=[last])[:, 0]
by_hand = pooled_by_hand(some[0].text).cpu()
assert torch.allclose(features[0], by_hand, atol=1e-3), "the helper must pool as we did by hand"
print("AUROC of the two-text direction:", auroc(difference.cpu(), features, labels, seed=seed))

# %% [markdown]
# The helper `pooled_residuals` gives what we computed by hand, so from here it does the work at
# scale. AUROC is the chance that a random toxic comment scores above a random clean one; .5 is
# coin flipping. **What this does not show:** how many texts make a direction trustworthy. More
# texts average away what two texts happen to differ in besides toxicity.

# %% [markdown]
# ## 2 · The probe at scale
#
# The probe is logistic regression on the pooled vectors $\bar x$:
#
# $$P(\text{toxic}) = \sigma(w \cdot z + b), \qquad z = (\bar x - \text{mean}) / \text{one common standard deviation}$$
#
# It minimises mean cross-entropy $+\ \lambda \lVert w \rVert^2$ with $\lambda$ fixed beforehand
# (the profile says 1). Section 5 shows why the penalty must not be chosen by accuracy. Its
# direction, in raw residual units and scaled to length one, is $\hat W$.

# %%
data = lab.measures.read_comments()
print(f"{tuple(data.train.shape)=}  (comments, layers, d_model)")
for name, labels in {"train": data.toxic_train, "test": data.toxic_test}.items():
    print(f"{name}: {len(labels)} comments, {labels.float().mean():.0%} toxic")

# %%
from helpers.mechanism.probe import equivalent_C, fit_probe

penalty = lab.profile.probe.penalty
probe = fit_probe(data.train[:, last], data.toxic_train, penalty=penalty, layer=last)
print(f"λ = {penalty:g}, or C = {equivalent_C(penalty, len(train)):.2g} in scikit-learn's terms")
print(f"length of the direction: {probe.direction.norm():.4f}")

# %% [markdown]
# **Guess first.** The test comments were held out. What accuracy do you expect, and what would a
# *useless* method reach on the same comments?

# %%
from helpers.intervals import bootstrap, paired_bootstrap
from helpers.mechanism.probe_scores import accuracy, group_baseline, shuffled_control

seen, held_out, truth = data.train[:, last], data.test[:, last], data.toxic_test
probe_accuracy = accuracy(probe, held_out, truth, seed=seed)
probe_auroc = auroc(probe, held_out, truth, seed=seed)
shuffled = shuffled_control(seen, data.toxic_train, held_out, truth, seed=seed, penalty=penalty)
alone = {}
for name, groups, test_groups in (
    ("commonest label", [""] * len(train), [""] * len(test)),
    ("group alone", [c.group for c in train], [c.group for c in test]),
):
    alone[name] = group_baseline(groups, data.toxic_train, test_groups, truth, seed=seed)

right = (probe.logit(held_out) > 0) == truth
gains = {name: paired_bootstrap(right, hits, seed=seed) for name, (hits, _) in alone.items()}

# %%
lab.show.table(
    [
        {"method": "probe", "accuracy": probe_accuracy, "AUROC": probe_auroc, "probe gains": None},
        {
            "method": "shuffled labels, 20 probes",
            "accuracy": shuffled.accuracy,
            "AUROC": shuffled.auroc,
            "probe gains": None,
        },
    ]
    + [
        {
            "method": name,
            "accuracy": bootstrap(hits, seed=seed),
            "AUROC": area,
            "probe gains": gains[name],
        }
        for name, (hits, area) in alone.items()
    ],
    caption=f"Held-out comments, {model.name}: value [95 % interval]",
)

# %%
logits = probe.logit(held_out)
finding = (
    f"{probe_accuracy.value:.0%} of held-out comments fall on the right side of zero ({model.name})"
)
plots.histogram(
    {"toxic": logits[truth], "clean": logits[~truth]},
    title=finding,
    x_label="probe logit (log-odds of toxic)",
    y_label="density of comments",
    alt="Densities of the probe's logit on held-out comments, toxic and clean.",
)

# %% [markdown]
# The probe reads something if it beats every row below it. The shuffled probes see the same
# vectors and as many dimensions, so what they reach (the range is over 20 probes) is what
# dimensions alone can buy. *Commonest label* gives every comment the same answer. *Group alone*
# never sees the text: it is told the comment's group (in `pocket` the mood of the text around it;
# nothing where comments carry no group, so that it equals the row above) and answers with that
# group's commonest label. These two answer the same comments as the probe, so the last column
# compares comment by comment: the accuracy that the probe gains, with its interval. Claim A1 asks
# for an accuracy of .85 besides; a probe below it that beats its controls earns *direction only*.
# **What this does not show:** that the model *uses* this direction. A probe is fitted from outside.

# %%
from helpers.teaching.claims import Measurement

found = Measurement(
    probe_accuracy.value,
    probe_accuracy.bounds,
    "accuracy",
    shuffled.accuracy.high,
    shuffled.accuracy.bounds,
    {
        "above_majority_low": gains["commonest label"].low,
        "above_grouping_low": gains["group alone"].low,
        "grouping_auroc": alone["group alone"][1].value,
        "auroc": probe_auroc.value,
        "auroc_low": probe_auroc.low,
        "auroc_high": probe_auroc.high,
    },
)
print(lab.claims.record("A1", found, part="as found"))

# %% [markdown]
# ### Toxic against clean in the same mood
#
# If toxic comments keep other company than clean ones (angry texts, certain topics), a probe may
# read the company. So take comments of which as many are toxic as clean *within every group*: the
# group then says nothing, and what the probe still tells apart is something else.
#
# **Guess first.** The AUROC as found is in the table above. Within one group, will it stay, drop
# a little, or go to .5?

# %%
matched = lab.texts.comments_matched
if matched:
    within, truth_within = data.matched[:, last], data.toxic_matched
    matched_auroc = auroc(probe, within, truth_within, seed=seed)
    matched_shuffled = shuffled_control(
        seen, data.toxic_train, within, truth_within, seed=seed, penalty=penalty
    )
    false_alarms = bootstrap(probe.logit(within[~truth_within]) > 0, seed=seed)
    print(f"{len(matched)} comments, groups: {', '.join(sorted({c.group for c in matched}))}")
    print(f"AUROC within groups {matched_auroc}; as found {probe_auroc}")
    print(f"clean comments called toxic: {false_alarms}")
else:
    print("These comments carry no group, or too few of one: this part of A1 is not run.")

# %%
if matched:
    finding = (
        f"AUROC is {probe_auroc.value:.2f} as found and {matched_auroc.value:.2f} within a group "
        f"({model.name})"
    )
    by_label = {"toxic": within[truth_within], "clean": within[~truth_within]}
    figure = plots.histogram(
        {label: probe.logit(rows) for label, rows in by_label.items()},
        title=finding,
        x_label="probe logit (log-odds of toxic)",
        y_label="density of comments",
        alt="Densities of the probe's logit on toxic and clean comments of the same groups.",
    )
    display(figure)

# %% [markdown]
# What AUROC loses from the first table to this figure is what the probe owed to the group. A
# clean comment right of zero is called toxic for the company it keeps. **What this does not
# show:** that the rest is toxicity. It is whatever else differs inside a group, and only the
# groupings that somebody wrote down can be matched.

# %%
if matched:
    found = Measurement.of(matched_auroc, "AUROC", control=matched_shuffled.auroc)
    print(lab.claims.record("A1", found, part="matched"))

# %% [markdown]
# ### Comments of a kind the probe never saw
#
# A test set drawn from the same recipe as the training set flatters any probe. Where the comments
# name the family of their toxicity, or say what of it no training comment shows (as in `pocket`),
# the accuracy can be read kind by kind.

# %%
kinds = [
    f"unseen {c.held_out}, {'toxic' if c.toxic else 'clean'}" if c.held_out else c.family
    for c in test
]
right = (logits > 0) == truth
by_group = {}
for kind in sorted(set(kinds)):
    rows = torch.tensor([each == kind for each in kinds])
    if rows.sum() >= 10:
        by_group[kind] = bootstrap(right[rows], seed=seed)
lowest = min(by_group, key=lambda kind: by_group[kind].value)
highest = max(by_group, key=lambda kind: by_group[kind].value)
finding = (
    f"Accuracy runs from {by_group[lowest].value:.2f} ({lowest}) to "
    f"{by_group[highest].value:.2f} "
    f"({highest}), {model.name}"
)
plots.bar(
    list(by_group),
    {"accuracy": list(by_group.values())},
    title=finding,
    x_label="kind of comment",
    y_label="share on the right side",
    alt="Bars of the probe's held-out accuracy for each kind of comment, with 95 % intervals.",
)

# %% [markdown]
# Every bar is of one label: a low bar of clean comments means false alarms, a low bar of toxic
# ones means misses. **What this does not show:** why. Fewer training examples, other words, or a
# different mechanism would all look like this.

# %% [markdown]
# ## 3 · Which layer?
#
# The paper reads the last layer. Is that where toxicity becomes readable?
#
# **Guess first.** Sketch AUROC against layer: flat, rising, or a hump?

# %%
layers = range(model.n_layers)
fits = [fit_probe(data.train[:, i], data.toxic_train, penalty=penalty, layer=i) for i in layers]
areas = [auroc(fits[i], data.test[:, i], truth, seed=seed) for i in layers]
finding = (
    f"AUROC is {areas[0].value:.2f} after layer 0 and {areas[last].value:.2f} after the "
    f"last ({model.name})"
)
plots.line(
    list(layers),
    {"probe": areas},
    title=finding,
    x_label="layer whose output is read",
    y_label="AUROC on held-out comments",
    alt="AUROC of a probe fitted on each layer's output, with a bootstrap 95 % band.",
)

# %%
turn = [(fit.direction @ fits[last].direction).item() for fit in fits]
finding = f"Layer 0's probe has cosine {turn[0]:.2f} with the last layer's ({model.name})"
plots.line(
    list(layers),
    {"cosine": turn},
    title=finding,
    x_label="layer whose output is read",
    y_label="cosine with the last layer's probe",
    alt="Cosine between each layer's probe direction and the last layer's.",
)

# %% [markdown]
# If the first layer already reads well, single words carry the label: layer 0 has hardly mixed
# positions yet. The second figure shows that *readable everywhere* is not *the same direction
# everywhere*. **What this does not show:** in which layer the model itself uses toxicity. That
# takes interventions (notebook 03).

# %% [markdown]
# ## 4 · Which pooling, and why position 0 is left out
#
# GPT-2 parks large activations on its first token, whatever that token is. How large here?

# %%
from einops import reduce

tokens, name = lab.measures.tokenise_comments(test[:64]), f"blocks.{last}.hook_resid_post"
with torch.no_grad():
    _, cache = model.bridge.run_with_cache(
        tokens.ids, attention_mask=tokens.mask.long(), names_filter=name
    )
norms = cache[name].norm(dim=-1).masked_fill(~tokens.mask, 0)
by_position = (reduce(norms, "text pos -> pos", "sum") / tokens.mask.sum(dim=0)).cpu()[:16]

# %%
times = by_position[0] / by_position[1:].mean()
finding = f"At position 0 the stream is {times:.1f} times as long as after it ({model.name})"
plots.line(
    list(range(len(by_position))),
    {"mean length": by_position},
    title=finding,
    x_label="position in the text (0 = first token)",
    y_label="length of the residual stream",
    alt="Mean norm of the last residual stream at each of the first sixteen positions.",
)

# %% [markdown]
# **Guess first.** If position 0 is averaged in, its weight is 1/(number of tokens). What could a
# probe then read off the average that has nothing to do with toxicity?

# %%
import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_score

few, few_toxic = lab.measures.tokenise_comments(train[:500]), data.toxic_train[:500]
one_over_length = 1 / few.mask.sum(dim=1).cpu().float()
rows = []
for pooling in ("mean", "mean_all", "last", "first"):
    read = lab.measures.read_comments(pooling)
    x, x_test = read.train[:500, -1], read.test[:, -1]
    found = auroc(fit_probe(x, few_toxic, penalty=penalty), x_test, truth, seed=seed)
    length = cross_val_score(
        RidgeCV(np.logspace(-2, 4, 7)), x.numpy(), one_over_length.numpy(), cv=5
    )
    rows.append(
        {"pooling": pooling, "AUROC for toxicity": found, "R² for 1/length": float(length.mean())}
    )
lab.show.table(
    rows, caption="What each pooling lets a linear read-out see (500 comments; R² cross-validated)"
)

# %% [markdown]
# `mean` leaves position 0 out and is what the series uses; `mean_all` keeps it; `last` and
# `first` take one token. The right-hand column says how much of the text's *length* a linear
# read-out can find. The difference between the rows `mean` and `mean_all` is what position 0
# alone adds: expect much where the figure above shows a tall first point, little where it does
# not. Leaving position 0 out costs nothing here and guards against models where it is tall.
# **What this does not show:** that length did any harm here. It shows that a read-out could use
# it, and a probe takes whatever separates its labels.

# %% [markdown]
# ## 5 · The penalty: better accuracy, worse direction?
#
# A probe has as many weights as the stream has dimensions. A small penalty lets it use all of
# them; a large one turns it toward the plain difference of means. We judge every penalty twice:
# by held-out **accuracy**, and by its **direction**, as the share of toxic words among the ten
# tokens that it promotes most, and the same share for the ten MLP value vectors that lie closest
# to it (notebook 02 explains those).
#
# **Guess first.** Will the probe with the best accuracy have the most toxic-reading direction?

# %%
from helpers.mechanism.probe import equivalent_penalty, common_scale, mean_difference
from helpers.mechanism.probe_scores import penalty_sweep
from helpers.mechanism.vectors import cosines, top_neurons, vectors_of

penalties = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0]
sweep = penalty_sweep(seen, data.toxic_train, held_out, truth, penalties, seed=seed)
values = model.value_vectors.cpu()


def reads_toxic(direction):
    """Toxic share of the top ten tokens: the direction's, and its ten nearest value vectors'."""
    nearest = vectors_of(values, top_neurons(cosines(values, direction), 10))
    return lab.measures.toxic_share(direction[None]).item(), lab.measures.toxic_share(
        nearest
    ).mean().item()


directions = [reads_toxic(row.probe.direction) for row in sweep]

# %%
best, fixed = max(range(len(sweep)), key=lambda i: sweep[i].accuracy.value), penalties.index(1.0)
finding = (
    f"Accuracy is best at λ = {penalties[best]:g}, {sweep[best].accuracy.value:.3f}, with "
    f"a toxic share of "
    f"{directions[best][0]:.0%}; at λ = 1 it is {sweep[fixed].accuracy.value:.3f} with "
    f"{directions[fixed][0]:.0%} ({model.name})"
)
plots.line(
    penalties,
    {
        "held-out accuracy": [row.accuracy for row in sweep],
        "toxic share of the direction's words": [own for own, _ in directions],
        "toxic share of its ten nearest value vectors'": [near for _, near in directions],
    },
    log_x=True,
    title=finding,
    x_label="penalty λ (log scale)",
    y_label="share",
    alt="Held-out accuracy and two measures of how toxic the direction reads, against the penalty.",
)

# %%
default = equivalent_penalty(1.0, len(train), common_scale(seen))
untuned = mean_difference(seen, data.toxic_train)
three = {
    "scikit-learn's default": fit_probe(seen, data.toxic_train, penalty=default).direction,
    "mean difference, nothing tuned": untuned,
    "λ = 1, the series' choice": probe.direction,
}
rows = []
for name, d in three.items():
    own, near = reads_toxic(d)
    rows.append(
        {
            "direction": name,
            "AUROC": auroc(d, held_out, truth, seed=seed),
            "toxic share": own,
            "nearest vectors' share": near,
            "cosine with mean difference": d @ untuned,
        }
    )
lab.show.table(rows, caption=f"Three ways to get a direction ({model.name})")

# %% [markdown]
# Accuracy asks whether *some* combination of dimensions separates the labels; a direction that is
# to be compared with neurons must also point where toxic text *lies*. The two wishes can rank
# penalties in opposite order, so the penalty was fixed before any of this was computed and the
# mean difference, which has nothing to tune, stands beside it. **What this does not show:** that
# λ = 1 is right. It is one fixed choice among those that read alike.

# %% [markdown]
# ## 6 · The direction in words
#
# Added to the residual stream, a vector raises the logit of some tokens and lowers others.
# Reading off the extremes is the **vocabulary projection**: through the final LayerNorm's gain to
# the unembedding.

# %%
from helpers.mechanism.vectors import project_to_vocabulary, top_tokens

logits_added = project_to_vocabulary(model, probe.direction.to(model.device))
up, down = (
    model.token_strings(top_tokens(logits_added, 12, lab.measures.used_tokens, largest=largest))
    for largest in (True, False)
)
lab.show.table(
    [{"toward toxic": a, "away from it": b} for a, b in zip(up, down)],
    caption=f"Tokens that the probe direction raises and lowers most ({model.name})",
)

# %% [markdown]
# The left column is what the probe would have the model say. The right one is worth a second
# look: is the opposite of *toxic* here *kind*, or just anything else? **What this does not
# show:** that the model's toxic text comes from this direction. Notebook 03 adds and subtracts it
# to find out.

# %% [markdown]
# ## 7 · What a probe does not show
#
# The same recipe may find directions for things nobody would call a concept. Here the labels are
# "longer than the median" and "has an even number of tokens"; the second, which no speaker cares
# about, tells whether the recipe finds just anything.

# %%
count, count_test = (
    lab.measures.tokenise_comments(part).mask.sum(dim=1).cpu() for part in (train, test)
)
median = count.float().median()
labels = {
    "toxic": (data.toxic_train, truth),
    "longer than the median": (count > median, count_test > median),
    "even number of tokens": (count % 2 == 0, count_test % 2 == 0),
}
readable = {
    name: auroc(fit_probe(seen, y, penalty=penalty), held_out, y_test, seed=seed)
    for name, (y, y_test) in labels.items()
}

# %%
finding = (
    f"The same recipe reads “longer than the median” with AUROC "
    f"{readable['longer than the median'].value:.2f} and parity with "
    f"{readable['even number of tokens'].value:.2f} ({model.name})"
)
plots.bar(
    list(readable),
    {"AUROC": list(readable.values())},
    title=finding,
    x_label="label",
    y_label="AUROC on held-out comments",
    reference={"chance": 0.5},
    alt="AUROC of probes for toxicity, text length and parity of the token count, with intervals.",
)

# %% [markdown]
# That a property can be read from the stream says that the information is there. **It does not
# say** that the model acts on it, that the direction is unique, or that moving along it changes
# the text. Those are causal questions, and they begin in notebook 03.

# %% [markdown]
# ## Your turn
#
# Each exercise ships with its solution. To try it yourself, delete the lines between `### BEGIN
# SOLUTION` and `### END SOLUTION`, write your own, and run the cell: the check tries your
# function on fresh inputs and says what is off. The hint is folded below.
#
# ### Exercise 1 · Pool without padding
#
# **Goal:** average only what is real. **Difficulty:** ●●○○○ **Minutes:** 8
#
# Return the mean residual stream of each text over its real positions from 1 on. Texts are padded
# on the right; `mask` is True on real tokens.

# %%
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.teaching.exercises import check_masked_mean


def masked_mean(
    resid: Float[Tensor, "batch pos d_model"], mask: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch d_model"]:
    """Mean over the real positions >= 1 of each text."""
    ### BEGIN SOLUTION
    weights = mask.to(resid.dtype).clone()
    weights[:, 0] = 0
    total = torch.einsum("bpd,bp->bd", resid, weights)
    return total / weights.sum(dim=1, keepdim=True)
    ### END SOLUTION


check_masked_mean(masked_mean)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Turn the mask into weights, set the weight of position 0 to zero, and divide the weighted sum by
# the sum of the weights, not by the number of columns.
# </details>
#
# ### Exercise 2 · The untuned direction
#
# **Goal:** the difference of means, with the right sign and length. **Difficulty:** ●○○○○
# **Minutes:** 5

# %%
from helpers.teaching.exercises import check_mean_difference_direction


def mean_difference_direction(
    features: Float[Tensor, "text d_model"], toxic: Bool[Tensor, " text"]
) -> Float[Tensor, " d_model"]:
    """Unit vector from the mean of the clean texts to the mean of the toxic ones."""
    ### BEGIN SOLUTION
    difference = features[toxic].mean(dim=0) - features[~toxic].mean(dim=0)
    return difference / difference.norm()
    ### END SOLUTION


check_mean_difference_direction(mean_difference_direction)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A boolean tensor indexes rows: `features[toxic]`. The direction must point *toward* toxic.
# </details>
#
# ### Exercise 3 · AUROC by counting
#
# **Goal:** know what the number means. **Difficulty:** ●●○○○ **Minutes:** 10
#
# Among all pairs of one toxic and one clean text, return the share in which the toxic one scores
# higher; a tie counts one half.

# %%
from helpers.teaching.exercises import check_auroc


def auroc_by_counting(scores: Float[Tensor, " text"], toxic: Bool[Tensor, " text"]) -> float:
    """Share of (toxic, clean) pairs that the scores put in the right order."""
    ### BEGIN SOLUTION
    gap = scores[toxic][:, None] - scores[~toxic][None, :]
    return ((gap > 0).double() + 0.5 * (gap == 0).double()).mean().item()
    ### END SOLUTION


check_auroc(auroc_by_counting)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Subtract a row of clean scores from a column of toxic scores: broadcasting makes the table of
# all pairs.
# </details>

# %% [markdown]
# ## What this notebook settles

# %%
lab.claims_table("A1")

# %% [markdown]
# The published column is GPT2-medium's; the measured one is the model named in the panel, and the
# verdict follows a rule that was fixed before the measurement.
#
# ## Where to go next
#
# [02 · Which MLP neurons write it?](02_toxic_value_vectors.ipynb) looks for neurons whose value
# vectors point along this direction.
