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
# Paper A begins here: a linear [probe](00_start_here.ipynb#Glossary) on the averaged last residual
# stream tells toxic comments from clean ones with 94 % accuracy on GPT2-medium (§3.1). The rest of
# the series leans on the probe's direction. So this notebook asks how well the probe reads, and
# also *what* it reads.

# %% [markdown]
# > **Content warning.** Insults and hostile sentences are shown. Profanity and slurs are masked
# > (`f***`) unless `UNMASK = True`.

# %% [markdown]
# **You will be able to**
#
# - take any activation out of the model with TransformerLens, by the name of its hook point,
# - pool a residual stream into one vector per text, and find a direction by hand,
# - fit a probe with a fixed penalty and judge it against three controls, with intervals,
# - tell a probe that reads toxicity from one that reads the mood or topic around it,
# - say what the layer and position 0 do to it,
# - explain why the probe of best accuracy need not be the probe to keep,
# - name what a probe does not show.
#
# | you need | how much |
# |---|---|
# | dot products, logistic regression | necessary |
# | notebook 00, sections 4 and 5 | helpful |
# | time | in a run of all notebooks, `pocket`: 1 min (measured; the start panel says on what); `gpt2-medium`: 6 h 00 on two CPU cores, 8 min on a faster GPU (estimated; README shows the arithmetic) |
# | memory | `pocket`: 0.8 GB (measured); `gpt2-medium`: 6 GB (estimated) |

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
# To look inside the model we need its activations. **TransformerLens** is the library that names
# them: it wraps the model (here as `model.bridge`) so that every activation passes a **hook
# point**, where it can be read, or replaced by something else. `run_with_cache` runs the model
# once and returns the logits and a *cache*: each hook point's name with the activation that
# passed it. Here is the map of them, along the path through one layer `L`.

# %%
path = {
    "the residual stream as the layer finds it": "hook_resid_pre",
    "what attention adds to it": "hook_attn_out",
    "the stream after attention, before the MLP": "hook_resid_mid",
    "the MLP's neurons before the GELU": "mlp.hook_pre",
    "the MLP's neurons after it: the activations": "mlp.hook_post",
    "what the MLP adds to the stream": "hook_mlp_out",
    "the stream as the layer leaves it": "hook_resid_post",
}
tokens = model.tokenise(["You are such a kind neighbour."])
with torch.no_grad():
    _, cache = model.bridge.run_with_cache(tokens.ids)
shapes = {name: tuple(cache[f"blocks.0.{name}"].shape) for name in path.values()}
lab.show.table(
    [{"what": w, "hook point": f"blocks.L.{n}", "shape": str(shapes[n])} for w, n in path.items()],
    caption=f"{tokens.ids.shape[1]} tokens on their way through a layer ({model.name})",
)

# %% [markdown]
# The stream has `d_model` numbers for each token, and the MLP has one number for each neuron. Now
# take one toxic comment and one clean one. We read the stream after the last layer, and average
# it over the text. Position 0 is left out, for a reason that section 4 shows.

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
    name = f"blocks.{last}.hook_resid_post"
    tokens = model.tokenise([text], max_tokens=model.context)
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
# almost always (AUROC near 1), or is two too few (near .5)? Write your number in place of `None`
# (or into the box that a running notebook shows) *before* you run on.

# %%
guess = lab.guess("01.1", "AUROC of a direction found from two texts", low=0, high=1, value=None)

# %%
from helpers.mechanism.pooling import pooled_residuals
from helpers.mechanism.probe_scores import auroc

some, seed = test[:200], lab.profile.seed
labels = torch.tensor([comment.toxic for comment in some])
features = pooled_residuals(model, lab.measures.tokenise_comments(some), layers=[last])[:, 0]
by_hand = pooled_by_hand(some[0].text).cpu()
assert torch.allclose(features[0], by_hand, atol=1e-3), "the helper must pool as we did by hand"
of_two = auroc(difference.cpu(), features, labels, seed=seed)
print("AUROC of the two-text direction:", of_two)
lab.answer("01.1", of_two.value)

# %% [markdown]
# The helper `pooled_residuals` gives what we computed by hand, so from here on it does the work.
# AUROC is the chance that a toxic comment scores above a clean one; .5 is a coin's. Two texts
# differ in much besides toxicity; many texts average that away.

# %% [markdown]
# ## 2 · The probe at scale
#
# The probe is logistic regression on the pooled vectors $\bar x$:
#
# $$P(\text{toxic}) = \text{sigmoid}(w \cdot z + b), \qquad z = (\bar x - \text{mean}) / \text{one common standard deviation}$$
#
# The weights $w$ minimise mean cross-entropy $+\ \lambda \lVert w \rVert^2$. The penalty $\lambda$
# is fixed beforehand in the profile; section 6 shows what choosing it by accuracy would do. The
# direction of $w$, in raw residual units and scaled to length one, is $\hat W$.

# %%
data = lab.measures.read_comments()  # pooled as above: every comment, every layer
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
guess_accuracy = lab.guess("01.2", "The probe's held-out accuracy", low=0, high=1, value=None)

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


def gains_of(one):
    """How much accuracy a probe gains over each baseline, comment by comment."""
    right = (one.logit(held_out) > 0) == truth
    return {name: paired_bootstrap(right, hits, seed=seed) for name, (hits, _) in alone.items()}


gains = gains_of(probe)
lab.answer("01.2", probe_accuracy.value)

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
# The probe reads something if it beats every row below it.
#
# - *Shuffled labels*: 20 probes on the same vectors, with labels dealt out at random. What they
#   reach is what so many dimensions, and labels of which so many are alike, can buy alone.
# - *Commonest label*: the same answer for every comment.
# - *Group alone*: the commonest label of the comment's group, without the text. In `pocket` the
#   group is the mood of the text around; comments without groups give the row above once more.
#
# The last two answer the same comments as the probe. So the last column compares comment by
# comment: the accuracy that the probe gains over them, with its interval.
#
# Accuracy asks for the right side of *zero*. Where most labels are alike, the penalty can push
# nearly every logit to their side: then the probe gains nothing over the commonest label, though
# its AUROC says that it ranks the comments well.
#
# Claim A1 asks for an accuracy of .85 besides. A probe that beats its controls and stays below
# .85 earns *direction only*. **What this does not show:** that the model *uses* this direction.
# The probe was fitted from outside.

# %%
from helpers.teaching.claims import Measurement


def as_found(one, right, area):
    """What claim A1 is judged by: a probe's accuracy and AUROC, and the three controls."""
    gained = gains_of(one)
    details = {
        "above_majority_low": gained["commonest label"].low,
        "above_grouping_low": gained["group alone"].low,
        "grouping_auroc": alone["group alone"][1].value,
        "auroc": area.value,
        "auroc_low": area.low,
        "auroc_high": area.high,
    }
    control = shuffled.accuracy
    return Measurement(right.value, right.bounds, "accuracy", control.high, control.bounds, details)


claim = as_found(probe, probe_accuracy, probe_auroc)
print(lab.claims.record("A1", claim, part="as found"))

# %% [markdown]
# ### Toxic against clean in the same mood
#
# Toxic comments may stand in angry texts, or come with certain topics. A probe could then read the
# anger or the topic. So take as many toxic as clean comments *from every group*: the group says
# nothing now, and what the probe still tells apart is something else.
#
# **Guess first.** The AUROC as found is in the table above. Within groups, will it stay, drop a
# little, or go to .5?

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
# What AUROC loses from the first table to this figure, the probe owed to the group. **What this
# does not show:** that the rest is toxicity. It is whatever else differs inside a group, and only
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
    f"{by_group[highest].value:.2f} ({highest}), {model.name}"
)
plots.bar(
    list(by_group),
    {"accuracy": list(by_group.values())},
    guess=guess_accuracy,
    title=finding,
    x_label="kind of comment",
    y_label="share on the right side",
    alt="Bars of the probe's held-out accuracy for each kind of comment, with 95 % intervals.",
)

# %% [markdown]
# Every bar is of one label: a low bar of clean comments means false alarms, a low bar of toxic
# comments means misses.

# %% [markdown]
# ## 3 · Which layer?
#
# The paper reads the last layer. Is that where toxicity becomes readable?
#
# **Guess first.** Sketch AUROC against layer: flat, rising, or a hump? Where does it begin?

# %%
guess = lab.guess("01.3", "AUROC of a probe after layer 0", low=0, high=1, value=None)

# %%
layers = range(model.n_layers)
fits = [fit_probe(data.train[:, i], data.toxic_train, penalty=penalty, layer=i) for i in layers]
areas = [auroc(fits[i], data.test[:, i], truth, seed=seed) for i in layers]
lab.answer("01.3", areas[0].value)
finding = (
    f"AUROC is {areas[0].value:.2f} after layer 0 and {areas[last].value:.2f} after the "
    f"last ({model.name})"
)
plots.line(
    list(layers),
    {"probe": areas},
    guess=guess,
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
# If a probe after layer 0 reads well, single words carry the label: that layer has hardly mixed
# the positions yet. The second figure says whether *readable in every layer* means *the same
# direction in every layer*: a cosine near 0 says no. In which layer the model itself *uses*
# toxicity is another question, which takes interventions (notebook 03).

# %% [markdown]
# ## 4 · Why position 0 is left out
#
# The published GPT-2 models park large activations on their first token, whatever that token is;
# the first line below says whether this model does. Averaged in with weight 1/length, such a token
# tells a probe how *long* the text is. How much of 1/length can a linear read-out find, without
# position 0 and with it?

# %%
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_score

some = lab.measures.tokenise_comments(train[:500])
one_over_length = 1 / some.mask.sum(dim=1).cpu().numpy()
read = {
    pooling: pooled_residuals(model, some, layers=[last], pooling=pooling)[:, 0]
    for pooling in ("first", "mean", "mean_all")
}
times = read["first"].norm(dim=1).mean() / lab.measures.measure_stream_norms()[last]
print(f"at position 0 the stream is {times:.1f} times as long as after it ({model.name})")
for pooling, what in {"mean": "without position 0", "mean_all": "with it"}.items():
    ridge = RidgeCV(torch.logspace(-2, 4, 7).numpy())
    found = cross_val_score(ridge, read[pooling].numpy(), one_over_length, cv=5).mean()
    print(f"R² for 1/length, {what}: {found:.2f}")

# %% [markdown]
# Where the two R² differ, position 0 made the difference. Where they do not, leaving it out has
# cost nothing.

# %% [markdown]
# ## 5 · The direction in words
#
# Added to the residual stream, a vector raises the logits of some tokens and lowers others. Its
# **vocabulary projection** says which: the vector goes through the final LayerNorm's gain to the
# unembedding.

# %%
from helpers.mechanism.vectors import project_to_vocabulary, top_tokens

used = lab.measures.used_tokens  # the tokens that the profile's own texts use
logits_added = project_to_vocabulary(model, probe.direction.to(model.device))
up, down = (top_tokens(logits_added, 10, used, largest=largest) for largest in (True, False))
lab.show.table(
    [
        {"toward toxic": a, "away from it": b}
        for a, b in zip(model.token_strings(up), model.token_strings(down))
    ],
    caption=f"Tokens that the probe's direction raises and lowers most ({model.name})",
)

# %%
toxic_words = lab.measures.toxic_tokens  # True for tokens that spell a word of the toxic list
by_hand = toxic_words[up.cpu()].float().mean().item()
share = lab.measures.toxic_share(probe.direction[None]).item()
assert abs(by_hand - share) < 1e-6, "the helper must count as we did by hand"
print(f"toxic share of the ten tokens raised most: {share:.0%}")

# %% [markdown]
# The left column is what the probe would have the model say. Look at the right one, too: is the
# opposite of *toxic* here *kind*, or anything else? From here on, `toxic_share` counts for us: the
# **toxic share** of a vector is the share of toxic words among the ten tokens that it raises most.

# %% [markdown]
# ## 6 · The penalty: better accuracy, worse direction?
#
# A small penalty $\lambda$ lets the probe use every dimension of the stream; a large one turns it
# toward the plain difference of means. We judge each penalty twice: by **accuracy**, and by how
# **legible** its direction is. A direction is legible if its own toxic share is high, and if the
# value vectors of the MLP that lie nearest to it promote toxic words, which claims A2 and A3 state
# (notebook 02 takes them step by step).
#
# **Guess first.** Will the probe with the best accuracy have the most legible direction?

# %%
guess = lab.guess(
    "01.4", "Is the most accurate probe the most legible?", choices=("yes", "no"), value=None
)

# %%
from helpers.mechanism.probe_scores import penalty_sweep
from helpers.teaching.claims import judge

penalties = [1e-5, 1e-3, 1e-2, 1e-1, 1.0, 100.0]
sweep = penalty_sweep(seen, data.toxic_train, held_out, truth, penalties, seed=seed)
directions = torch.stack([row.probe.direction for row in sweep])
own = lab.measures.toxic_share(directions)
near = [lab.measures.measure_nearest(direction) for direction in directions]

# %%
best, clearest = max(range(len(sweep)), key=lambda i: sweep[i].accuracy.value), int(own.argmax())
lab.answer("01.4", "yes" if own[best] == own[clearest] else "no")
finding = (
    f"Accuracy is best at λ = {penalties[best]:g}, where the direction's toxic share is "
    f"{own[best]:.0%}; that share is highest, {own[clearest]:.0%}, at λ = {penalties[clearest]:g} "
    f"({model.name})"
)
plots.line(
    penalties,
    {
        "held-out accuracy": [row.accuracy for row in sweep],
        "toxic share of the direction": own,
        "toxic share of its ten nearest value vectors": [m["A2", "top 10"].value for m in near],
    },
    log_x=True,
    title=finding,
    x_label="penalty λ (log scale)",
    y_label="share",
    alt="Held-out accuracy and two measures of how toxic the direction reads, against the penalty.",
)

# %%
lab.show.table(
    [
        {
            "λ": f"{row.probe.penalty:g}",
            "accuracy": f"{row.accuracy.value:.3f}",
            "A1 as found": judge(
                "A1", as_found(row.probe, row.accuracy, row.auroc), part="as found"
            ),
            **{f"{claim} {part}": judge(claim, m, part=part) for (claim, part), m in found.items()},
        }
        for row, found in zip(sweep, near)
    ],
    caption=f"What the rules of A1, A2 and A3 would say of each penalty's probe ({model.name}; "
    "A1's shuffled control is that of section 2)",
)

# %% [markdown]
# Read down each column: does the verdict change with the penalty? Whoever reads A1 alone would pick
# the row of best accuracy; whoever reads A2 and A3 may have to pick another. Accuracy asks whether
# *some* combination of dimensions separates the labels. A direction that is to be compared with
# neurons must also point where toxic text *lies*. So the penalty was fixed before any of this was
# computed. The mean difference, in the last row below, has no penalty at all.

# %%
from helpers.mechanism.probe import common_scale, equivalent_penalty, mean_difference

default = equivalent_penalty(1.0, len(train), common_scale(seen))
untuned = mean_difference(seen, data.toxic_train)
three = {
    f"scikit-learn's default, λ = {default:.2g}": fit_probe(
        seen, data.toxic_train, penalty=default
    ).direction,
    f"this series' choice, λ = {penalty:g}": probe.direction,
    "mean difference, nothing tuned": untuned,
}
lab.show.table(
    [
        {
            "direction": name,
            "AUROC": auroc(d, held_out, truth, seed=seed),
            "toxic share": lab.measures.toxic_share(d[None]).item(),
            "cosine with mean difference": d @ untuned,
        }
        for name, d in three.items()
    ],
    caption=f"Three ways to get a direction ({model.name})",
)

# %% [markdown]
# ## 7 · What a probe does not show
#
# The same recipe may find directions for things that nobody would call a concept. Here the labels
# are "longer than the median" and "has an even number of tokens". No speaker cares about the
# second: if the recipe reads that, it reads anything.

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
# A property that can be read from the stream is there. **What this does not show:** that the model
# acts on it, that the direction is unique, or that moving along it changes the text. Those are
# causal questions, and they begin in notebook 03.

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
#
# `features` holds one pooled vector for each text, `toxic` is True for the toxic ones. Return the
# unit vector that points from the mean of the clean texts to the mean of the toxic ones.

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
#
# ### Open task · Does the probe know a family it never saw?
#
# **Minutes:** 20 to 40. There is no check: nobody here knows the answer.
#
# Toxic comments come in families (`comment.family`). Fit the probe without one of them, and ask
# how well it reads that one. Is what the families share one direction, or does each have its own?
# (Comments of your own may carry no family: divide them by a word that you choose.)
#
# Start with `data.train[:, last]`, a mask of the rows to keep, `fit_probe(…)` and `auroc(…)`; then
# look at the cosines between the probes of single families. Shuffled labels (`shuffled_control`)
# are one control. Write down your guess, your control, and what the result does not show.

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
