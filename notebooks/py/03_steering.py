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
# # 03 · Do these vectors cause toxic text?
#
# **Question.** A direction that reads toxicity and neurons that write along it are correlations.
# If the direction is taken out of the residual stream while the model writes, does it write less
# toxic text, and what else breaks?
#
# Paper A (§3.3, table 2) subtracts a vector at the last layer of GPT2-medium. It reports that
# toxicity falls from .453 to .245 (probe), .305 (one value vector) and .268 ($U_0$), and that
# [perplexity](00_start_here.ipynb#Glossary) rises from 21.7 to about 23.5. Here each subtraction is
# held against random directions, and every strength is chosen on one set of prompts and reported on
# another.

# %% [markdown]
# > **Content warning.** This notebook makes a model write toxic text on purpose, also more toxic
# > than by itself. Profanity and slurs are masked (`f***`) unless `UNMASK = True`.

# %% [markdown]
# **You will be able to**
#
# - edit the residual stream during generation, and check that the edit acts at every position and
#   leaves no trace,
# - trade toxicity against perplexity with a strength, and pick an operating point without peeking
#   at the test prompts,
# - hold an effect against random directions of equal length, with paired intervals,
# - tell "less toxic" from "broken" with fluency beside toxicity.
#
# | you need | how much |
# |---|---|
# | notebooks 01 and 02 | helpful; their probe and vectors are loaded, or made on the spot |
# | the bootstrap (notebook 00, exercise 2) | helpful |
# | time | in a run of all notebooks, `pocket`: 5 min (measured; the start panel says on what); `gpt2-medium`: 18 h 32 on two CPU cores, 11 min on a faster GPU (estimated; README shows the arithmetic) |
# | memory | `pocket`: 1.2 GB (measured); `gpt2-medium`: 3 GB (estimated) |

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
lab = Lab.start("03_steering", PROFILE, unmask=UNMASK)

# %%
import numpy as np
import torch

from helpers.teaching.figures import plots

model, last, seed = lab.base, lab.base.n_layers - 1, lab.profile.seed

# %% [markdown]
# ## 1 · One prompt, one subtraction, by hand
#
# $$x \leftarrow x - \alpha \hat W$$
#
# at the output of the last layer, at every position. A hook does it (notebook 01 has the map of
# hook points): a function that receives an activation during the forward pass and returns what
# should stand in its place. $\hat W$ has length one, so the strength $\alpha$ is the length of what
# is taken off.

# %%
prompt = lab.texts.eliciting("dev")[0]
tokens = model.tokenise([prompt.text])
direction = lab.measures.fit_probe().direction.to(model.device)
norms = lab.measures.measure_stream_norms()
stream_norm = norms[last].item()
alpha = 0.3 * stream_norm
print(f"mean length of the last residual stream: {stream_norm:.1f};  α = {alpha:.1f}")
lab.show.quote(prompt.text)

# %%
def minus_w(residual, hook):
    """Returns the residual stream with α·Ŵ taken off at every position."""
    return residual - alpha * direction


with torch.no_grad(), model.bridge.hooks(fwd_hooks=[(f"blocks.{last}.hook_resid_post", minus_w)]):
    by_hand = model.logits(tokens)
untouched = model.logits(tokens)
before, after = untouched[0, -1].softmax(-1), by_hand[0, -1].softmax(-1)
top = before.topk(8).indices
lab.show.table(
    [
        {"token": t, "before": before[i], "after": after[i]}
        for t, i in zip(model.token_strings(top), top)
    ],
    caption=f"The eight likeliest next tokens, before and after subtracting ({model.name})",
)

# %% [markdown]
# The helper `subtract_direction` makes the same edit for the length of a `with` block. It acts
# during cached generation and perplexity too, and takes the hook off again even if the block fails.
# We check that it does what we did, at every position, and that a failing block leaves nothing
# behind.

# %%
from helpers.mechanism.interventions import add_direction, subtract_direction

try:
    with subtract_direction(model, direction, alpha, layer=last):
        helper = model.logits(tokens)
        raise KeyError("a block that fails")
except KeyError:
    pass
assert torch.allclose(helper, by_hand, atol=1e-4), (
    "the helper must do what we did, at every position"
)
assert torch.equal(model.logits(tokens), untouched), "nothing may stay behind"
toxic = lab.measures.toxic_tokens.to(model.device)
print(
    f"probability of a toxic word next: {before[toxic].sum():.3f} before, "
    f"{after[toxic].sum():.3f} after"
)

# %% [markdown]
# One prompt and one token: an anecdote. What happens over whole continuations, and over many
# prompts?

# %% [markdown]
# ## 2 · The instruments
#
# Every condition is measured in the same way:
#
# - **toxicity** of the continuations, by two scorers,
# - **perplexity** on plain text: e to the mean loss per token (is it still a language model?),
# - **F1** of token bags: does it continue passages with the words that stand there?
# - **repetition**: the share of word pairs that a continuation has used before,
# - **[fluency](00_start_here.ipynb#Glossary)**: the *base* model's perplexity of what was written
#   (is it still text?). The name is the field's; mind that a **higher** figure is **worse**.
#
# Here are toxicity and fluency by hand, for one prompt.

# %%
from helpers.language.generation import continue_prompts

one = continue_prompts(model, [prompt], lab.profile.decoding, seed=seed, batch_size=1)
score = lab.scorers[0].score(one.texts)[0].item()
kept = one.ids[0][one.mask[0]]  # new tokens before an end-of-text token
asked = torch.tensor([*one.prompt_ids[0]])
whole = torch.cat([asked, kept]).to(model.device)
with torch.no_grad():
    log_p = model.bridge(whole[None])[0].log_softmax(dim=-1)
new = torch.arange(len(asked), len(whole))
losses = -log_p[new - 1, whole[new]]
surprise = losses.mean().exp().item()
print(f"toxicity {score:.2f}, fluency {surprise:.1f}: {lab.show.quote(one.texts[0])}")

# %%
from helpers.intervals import share
from helpers.language.evaluation import compare, table

base = lab.evaluate("base", split="dev")
ours = torch.tensor([score, surprise])
names = (base.toxicity_names[0], "fluency")
helper = torch.stack([base.measures[name].per_item[0] for name in names])
same = torch.allclose(helper.float(), ours, rtol=1e-3, equal_nan=True)
assert same or not one.texts[0].strip(), "the helper must measure what we did by hand"
lab.show.table(table([base]), caption=f"{len(base.prompt_ids)} development prompts ({model.name})")

# %% [markdown]
# `lab.evaluate` did the same for every development prompt, and the first row of its measures is
# what we had by hand. It adds bootstrap 95 % intervals over the prompts (over windows of text for
# perplexity). A perplexity that no number can hold is written as *overflow*.
#
# Strengths are chosen on these *development* prompts. The *evaluation* prompts are touched once, in
# section 4.

# %% [markdown]
# ## 3 · Strength sweeps
#
# Three directions of the paper, each of length one: the probe $\hat W$, the value vector nearest
# to it, and $U_0$ of notebook 02. Strength is in units of the residual stream's mean length.
#
# **Guess first.** At equal perplexity, which of the three lowers toxicity most? And how much does a
# *random* direction lower it?

# %%
guess_which = lab.guess(
    "03.1",
    "Which lowers toxicity most within the budget?",
    choices=("W", "best value vector", "U0"),
    value=None,
)
guess_random = lab.guess(
    "03.2", "Lowest toxicity of a random direction in the budget", low=0, high=1, value=None
)

# %%
from helpers.mechanism.vectors import cosines, svd_directions, top_neurons, vectors_of

ranked = top_neurons(cosines(model.value_vectors, direction), lab.profile.vectors.svd)
best_vector = model.value_vector(ranked[0])
directions = {
    "W": direction,
    "best value vector": best_vector / best_vector.norm(),
    "U0": svd_directions(vectors_of(model.value_vectors, ranked), direction, 1)[0],
}
how_many = lab.profile.steering.random_directions
drawn = torch.randn(how_many, model.d_model, generator=torch.Generator().manual_seed(seed))
randoms = (drawn / drawn.norm(dim=-1, keepdim=True)).to(model.device)
print(f"best value vector: {ranked[0]}")
for name, vector in directions.items():
    print(f"cosine of {name} with W: {vector @ direction:.2f}")

# %%
def steered(name, vector, strength, *, layer=last, split="dev", mode="sweep"):
    """Evaluation with `strength` × the stream's length × vector subtracted at one layer."""
    with subtract_direction(model, vector, strength * stream_norm, layer=layer):
        return lab.evaluate(f"− {strength:g} {name}", split=split, mode=mode)


strengths = lab.profile.steering.strengths
sweeps = {name: [steered(name, d, s) for s in strengths] for name, d in directions.items()}
# Random directions cost less perplexity than the three: longer ones are tried as well.
wider = [*strengths[1::2], strengths[-1], 1.5 * strengths[-1], 2 * strengths[-1]]
control = [[steered(f"random {i}", r, s) for s in wider] for i, r in enumerate(randoms)]

# %%
ceiling = 1.075 * base.perplexity.value
random_runs = [run for runs in control for run in runs]
inside = [
    run for runs in sweeps.values() for run in [base, *runs] if run.perplexity.value <= ceiling
]
lowest = min(inside, key=lambda run: run.toxicity.value)
random_inside = [run for run in [base, *random_runs] if run.perplexity.value <= ceiling]
lowest_random = min(run.toxicity.value for run in random_inside)
curves = {name: [base, *runs] for name, runs in sweeps.items()} | {"random": random_runs}
of_lowest = [name for name, runs in sweeps.items() if any(run is lowest for run in runs)]
lowers_most = of_lowest[0] if of_lowest else None
lab.answer("03.1", lowers_most)  # none of them where base itself is lowest
lab.answer("03.2", lowest_random)
finding = (
    f"Within the perplexity budget, “{lowest.label}” has toxicity {lowest.toxicity.value:.2f} "
    f"(base {base.toxicity.value:.2f}); no random direction goes below {lowest_random:.2f} within "
    f"it ({model.name})"
)
plots.line(
    {name: [e.perplexity.value for e in runs] for name, runs in curves.items()},
    {name: [e.toxicity.value for e in runs] for name, runs in curves.items()},
    points=("random",),
    limits={"base × 1.075": ceiling},
    reference=guess_random.mark,
    guess=guess_which,
    title=finding,
    x_label="perplexity on plain text",
    y_label=f"toxicity ({lab.scorers[0].unit})",
    alt="Toxicity against perplexity for growing strengths of three directions and random ones.",
)

# %% [markdown]
# Each curve starts at the base model and moves with strength; a good intervention goes down before
# it goes right. The random directions show how much of it is mere disturbance. Compare curves at
# one perplexity: which point is lowest within the budget also depends on where a curve's points
# happen to fall. **What this does not show:** the size of the effect on new prompts, because the
# best point of a curve is chosen on the prompts that it is drawn from.

# %% [markdown]
# ## 4 · The operating point, on fresh prompts
#
# In the paper perplexity rises to at most 1.09 times base's (23.6 to 21.7); we allow 1.075. For
# each direction, take the largest strength that stays within it on development text, and measure
# once on the evaluation prompts. A *report* reads other windows and passages than a sweep, so
# nothing below was chosen on what it is measured on.
#
# There are two controls, because a random direction of the same length may disturb the model less:
#
# - random directions of the **same length**,
# - the same random directions, each made longer until it has used up the same **perplexity** budget
#   (interpolated between strengths of the sweep; the largest of them if none uses it up).

# %%
def largest_within(runs):
    """The largest strength that keeps perplexity under the ceiling; the smallest if none does."""
    inside = [s for s, run in zip(strengths, runs) if run.perplexity.value <= ceiling]
    return max(inside, default=strengths[0])


def at_the_ceiling(runs):
    """The strength whose perplexity meets the ceiling; it grows with the square of strength."""
    paid = np.maximum.accumulate([run.perplexity.value for run in [base, *runs]])
    return float(np.interp(ceiling, paid, np.square([0.0, *wider]))) ** 0.5


chosen = {name: largest_within(runs) for name, runs in sweeps.items()}
equal_perplexity = [at_the_ceiling(runs) for runs in control]
print({name: f"{strength:g}" for name, strength in chosen.items()}, "× the stream's length")
print("random directions, equal perplexity:", ", ".join(f"{s:.2f}" for s in equal_perplexity))

# %%
fresh = {"split": "eval", "mode": "report"}
report_base = lab.evaluate("base", **fresh)
report = {name: steered(name, d, chosen[name], **fresh) for name, d in directions.items()}
report_random = {
    s: [steered(f"random {i}", r, s, **fresh) for i, r in enumerate(randoms)]
    for s in set(chosen.values())
}
report_equal = [
    steered(f"random {i}", r, s, **fresh)
    for i, (r, s) in enumerate(zip(randoms, equal_perplexity))
]

# %%
lab.show.table(
    table([report_base, *report.values(), *report_random[chosen["W"]], *report_equal]),
    caption=f"{len(report_base.prompt_ids)} evaluation prompts ({model.name}), 95 % intervals",
)

# %%
paper = {
    "none": (0.453, 21.7),
    "W": (0.245, 23.56),
    "best value vector": (0.305, 23.30),
    "U0": (0.268, 23.48),
}
against = {name: compare(report_base, run) for name, run in report.items()}
rows = []
for name, change in against.items():
    toxicity, perplexity = (now / before for now, before in zip(paper[name], paper["none"]))
    rows.append(
        {
            "subtracted": name,
            "drop": change.drop,
            "share of base": share(change.drop.value, report_base.toxicity.value),
            "perplexity ratio": change.changes["perplexity"].value,
            "share of base, paper": 1 - toxicity,
            "perplexity ratio, paper": perplexity,
        }
    )
lab.show.table(
    rows,
    caption=f"Drop of toxicity ({lab.scorers[0].name} scorer, {model.name}) beside paper A, "
    "table 2 (GPT2-medium, Perspective)",
)

# %% [markdown]
# The drops are *paired*: both conditions continue the same prompts with the same random noise, so
# the interval is of the difference itself. Compare the paper's columns with ours in sign, not in
# digits: they are of another model and another scorer.

# %%
from helpers.intervals import band_over


def band_of(runs):
    """Mean drop under random directions; the band reaches over all of their 95 % intervals."""
    return band_over([compare(report_base, run).drop for run in runs])


held_against = {
    name: (band_of(report_random[strength]), band_of(report_equal))
    for name, strength in chosen.items()
}
largest = {name: max(band.high for band in bands) for name, bands in held_against.items()}
closest = min(against, key=lambda name: against[name].drop.low - largest[name])
finding = (
    f"The drop of “{closest}” is the nearest to its controls: its interval begins at "
    f"{against[closest].drop.low:.2f}, theirs end at {largest[closest]:.2f} ({model.name})"
)
plots.bar(
    list(against),
    {
        "the direction": [change.drop for change in against.values()],
        "random, equal length": [equal for equal, _ in held_against.values()],
        "random, equal perplexity": [equal for _, equal in held_against.values()],
    },
    title=finding,
    x_label="subtracted",
    y_label="paired drop of toxicity",
    alt="Paired drops of toxicity under three directions, and bands of random directions of equal "
    "length and at equal perplexity, with 95 % intervals.",
)

# %% [markdown]
# The claim asks for a drop whose interval lies above both bands, and for an F1 that falls by at
# most a tenth of base's. **What this does not show:** that no other direction would do as well. A
# few random ones stand for all.

# %%
from helpers.teaching.claims import Measurement

again = lab.drops.measure_steering()  # which notebook 09 asks for the second scorer's word
for name, change in against.items():
    equal_norm, equal_cost = held_against[name]
    dev = sweeps[name][strengths.index(chosen[name])]
    found = Measurement.of(
        change.drop,
        "paired drop of toxicity",
        control=equal_norm,
        strength=chosen[name],
        dev_perplexity_ratio=dev.perplexity.value / base.perplexity.value,
        perplexity_ratio=change.changes["perplexity"].value,
        f1_fall=change.f1_fall.value,
        f1_fall_low=change.f1_fall.low,
        f1_fall_high=change.f1_fall.high,
        equal_perplexity=equal_cost.value,
        equal_perplexity_low=equal_cost.low,
        equal_perplexity_high=equal_cost.high,
    )
    assert found.is_like(again["A4", name]), "the helper must measure what we did step by step"
    print(lab.claims.record("A4", found, part=name))

# %% [markdown]
# ### Does the second scorer agree?
#
# The two scorers are built differently: the panel says how. In `pocket` the first knows the toxic
# words, and the second may not look at them. An intervention that only swaps words would convince
# the first alone.

# %%
lab.show.table(
    [
        {
            "subtracted": name,
            **{scorer: change.changes[scorer] for scorer in report_base.toxicity_names},
        }
        for name, change in against.items()
    ],
    caption="Change of toxicity (after − before) by both scorers, with paired 95 % intervals",
)

# %% [markdown]
# ### Subtracted, or taken out?
#
# A subtraction moves every token's stream by the same vector, whatever it had along $\hat W$
# before. To *take the direction out* is a projection, which leaves nothing along it:
#
# $$x \leftarrow x - (x \cdot \hat W)\,\hat W$$
#
# **Guess first.** Does a stream without any part along $\hat W$ write less toxic text than one that
# was pushed away from it?

# %%
guess = lab.guess(
    "03.3", "Which writes less toxic text?", choices=("taken out", "pushed away"), value=None
)

# %%
from helpers.mechanism.interventions import project_out

with project_out(model, direction, layer=last):
    taken_out = lab.evaluate("W taken out", split="dev")
pushed = sweeps["W"][strengths.index(chosen["W"])]
less = "taken out" if taken_out.toxicity.value < pushed.toxicity.value else "pushed away"
lab.answer("03.3", less)
lab.show.table(
    table([base, taken_out, pushed]),
    caption=f"{len(base.prompt_ids)} development prompts, after the last layer ({model.name})",
)

# %% [markdown]
# If the projection does less, an absent direction is not enough: the subtraction pushes past zero,
# to the clean side. The word *removed* would fit the projection alone.

# %% [markdown]
# ## 5 · Adding instead of subtracting
#
# If the direction causes toxicity, adding it should raise it. Random directions of the same length
# stand beside it.
#
# **Guess first.** On prompts that do not ask for it, does adding $\hat W$ make the model hostile,
# or only incoherent?

# %%
others = [*lab.texts.prompts_dev, *lab.texts.pair_prompts]
calm = [p for p in others if p.group not in ("hostile", "challenging")][:64]


def with_added(name, vector):
    """Evaluation of the calm prompts with W's chosen strength of a direction added."""
    with add_direction(model, vector, chosen["W"] * stream_norm, layer=last):
        return lab.evaluate(f"+ {chosen['W']:g} {name}", prompts=calm)


plain = lab.evaluate("base", prompts=calm)
added = with_added("W", direction)
added_random = [with_added(f"random {i}", r) for i, r in enumerate(randoms)]
lab.show.table(
    table([plain, added, *added_random]),
    caption=f"{len(calm)} prompts that do not ask for it ({model.name})",
)

# %%
first = plain.toxicity_names[0]
rise = {run.label: compare(plain, run).changes[first] for run in (added, *added_random)}
highest = max(change.value for change in list(rise.values())[1:])
finding = (
    f"Adding Ŵ changes toxicity by {rise[added.label].value:+.2f}, random directions of the same "
    f"length by at most {highest:+.2f} ({model.name})"
)
plots.bar(
    list(rise),
    {"change": list(rise.values())},
    title=finding,
    x_label="added",
    y_label="paired change of toxicity",
    alt="Paired changes of toxicity, with 95 % intervals, when the probe's direction or a random "
    "direction of the same length is added.",
)

# %%
lab.show.side_by_side(
    {"base": plain.continuations.texts[:6], "plus W": added.continuations.texts[:6]},
    labels=["…" + p.text[-40:] for p in calm[:6]],
    caption="The same prompts, the same noise, with and without the direction",
)

# %% [markdown]
# Read the pairs as text before you read the numbers. (Where a model ends the text at once, the
# table has a column *empty*; such continuations have no score and no part in the mean.) **What
# this does not show:** that toxicity is *one* direction. Another direction might do the same.

# %% [markdown]
# ## 6 · Which layer?
#
# The paper subtracts at the last layer, where only the unembedding is left to read the stream.
# After an earlier layer, the rest of the network can answer.
#
# **Guess first.** Will the same relative strength do more, or less, when other layers still follow?

# %%
guess = lab.guess("03.4", "Toxicity when layer 0 is edited", low=0, high=1, value=None)

# %%
places = sorted({0, model.n_layers // 3, 2 * model.n_layers // 3, last})
by_layer = {}
for layer in places:
    with subtract_direction(model, direction, chosen["W"] * norms[layer].item(), layer=layer):
        by_layer[layer] = lab.evaluate(f"layer {layer}", split="dev")

# %%
first, end = (by_layer[layer] for layer in (places[0], last))
lab.answer("03.4", first.toxicity.value)
finding = (
    f"Subtracting Ŵ after layer 0 leaves toxicity {first.toxicity.value:.2f} at perplexity "
    f"{first.perplexity}; after the last, {end.toxicity.value:.2f} at {end.perplexity} "
    f"({model.name})"
)
plots.line(
    places,
    {"toxicity": [run.toxicity for run in by_layer.values()]},
    reference={"base": base.toxicity.value},
    guess=guess,
    title=finding,
    x_label="layer after which Ŵ is subtracted",
    y_label=f"toxicity ({lab.scorers[0].unit})",
    alt="Toxicity when the probe direction is subtracted after different layers, with 95 % bands.",
)

# %% [markdown]
# The strength is the same share of each layer's own stream length, and the direction is the last
# layer's probe. A lower point at an earlier layer means that the later layers carried the change
# further instead of undoing it; read it beside the perplexity in the title. **What this does not
# show:** the best that could be done at each layer, with that layer's own direction and strength.

# %% [markdown]
# ## 7 · What steering breaks
#
# **Guess first.** At twice the chosen strength, what do the continuations look like?

# %%
strong = steered("W", direction, 2 * chosen["W"])
chosen_run = sweeps["W"][strengths.index(chosen["W"])]
runs = {"base": base, "at the operating point": chosen_run, "at twice that": strong}
lab.show.side_by_side(
    {name: run.continuations.texts[:6] for name, run in runs.items()},
    labels=["…" + p.text[-40:] for p in base.continuations.prompts[:6]],
    caption=f"The same prompts and the same noise, growing strength ({model.name})",
)

# %%
by_strength = dict(
    sorted({0.0: base, **dict(zip(strengths, sweeps["W"])), 2 * chosen["W"]: strong}.items())
)
ratio = compare(base, strong).changes["fluency"]
finding = (
    f"At twice the operating point toxicity is {strong.toxicity.value:.2f}; fluency, which is "
    f"better when lower, is {ratio} times base's ({model.name})"
)
plots.line(
    list(by_strength),
    {
        "toxicity / base": [
            share(run.toxicity.value, base.toxicity.value) for run in by_strength.values()
        ],
        "perplexity / base": [
            run.perplexity.value / base.perplexity.value for run in by_strength.values()
        ],
        "fluency / base": [
            run.fluency.value / base.fluency.value for run in by_strength.values()
        ],
    },
    log_y=True,
    title=finding,
    x_label="strength (in lengths of the residual stream)",
    y_label="ratio to base (log scale)",
    alt="Toxicity, perplexity and fluency relative to base on a log axis, against the strength of "
    "subtraction.",
)

# %% [markdown]
# A toxicity of 0 has no place on a log axis, and its point is left out. A scorer can be satisfied
# by text that no one would read; so fluency stands beside toxicity wherever a condition is
# measured. Perplexity and fluency count surprises, not sense.

# %% [markdown]
# ## Your turn
#
# Each exercise ships with its solution. To try it yourself, delete the lines between `### BEGIN
# SOLUTION` and `### END SOLUTION`, write your own, and run the cell: the check tries your
# function on fresh inputs and says what is off. The hint is folded below.
#
# ### Exercise 1 · Subtract at every position
#
# **Goal:** an edit that acts where it should and nowhere else. **Difficulty:** ●●○○○ **Minutes:**
# 8
#
# Return the residual stream with `strength` × the *unit* direction subtracted at every position:
# the same vector everywhere, however much of the direction the stream holds. (To take out just
# what it holds would be a projection.) The stream given to you must stay as it was.

# %%
from jaxtyping import Float
from torch import Tensor

from helpers.teaching.exercises import check_subtract_everywhere


def subtract_everywhere(
    resid: Float[Tensor, "batch pos d_model"], direction: Float[Tensor, " d_model"], strength: float
) -> Float[Tensor, "batch pos d_model"]:
    """The stream minus strength × direction / ‖direction‖, as a new tensor."""
    ### BEGIN SOLUTION
    return resid - strength * direction / direction.norm()
    ### END SOLUTION


check_subtract_everywhere(subtract_everywhere)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Broadcasting adds the last axis to all positions. During cached generation the stream has one
# position only, so an index such as `[:, 5]` would miss it.
# </details>
#
# ### Exercise 2 · Perplexity by tokens
#
# **Goal:** weight windows by what they hold. **Difficulty:** ●●●○○ **Minutes:** 10
#
# Given the mean loss of each window and its number of predicted tokens, return the perplexity of
# the whole text.

# %%
from helpers.teaching.exercises import check_perplexity


def perplexity_of_windows(
    mean_losses: Float[Tensor, " window"], counts: Float[Tensor, " window"]
) -> float:
    """Perplexity over all tokens: the exponential of the mean loss per token."""
    ### BEGIN SOLUTION
    return ((mean_losses * counts).sum() / counts.sum()).exp().item()
    ### END SOLUTION


check_perplexity(perplexity_of_windows)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A mean of perplexities is not the perplexity of the whole: average the *losses*, weighted by
# tokens, and exponentiate last.
# </details>
#
# ### Open task · A direction that knows no toxic label
#
# **Minutes:** 20 to 40. There is no check: nobody here knows the answer.
#
# Toxic comments stand in certain moods. Take *clean* comments alone, and the direction from one
# group's mean to another's (`comment.group`). Does subtracting it lower toxicity as $\hat W$ does,
# at equal perplexity? And what is left of the effect when its part along $\hat W$ is taken off?
#
# Start with `lab.measures.read_comments()`, `mean_difference(…)` of `helpers.mechanism.probe`, and
# this notebook's `steered(…)` and `at_the_ceiling(…)`. The random directions are here already.
# Write down your guess, your control, and what the result does not show.

# %% [markdown]
# ## What this notebook settles

# %%
lab.claims_table("A4")

# %% [markdown]
# ## Where to go next
#
# Subtraction edits the model from outside, at every token. Preference tuning edits its weights.
# [04 · How are pairs crafted?](04_preference_pairs.ipynb) makes the data for it: pairs of a
# continuation to prefer and one to reject.
