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
# # 06 · What did DPO change inside?
#
# **Question.** Notebook 05 ends with two policies that write less toxic text. Which of the model's
# parts are different now, and which are still what they were?
#
# Paper A (§5) opens GPT2-medium before and after DPO and finds: the weights barely move; the toxic
# value vectors are all still there; their neurons fire less, because a small
# **[offset](00_start_here.ipynb#Glossary)**, added to the residual stream from below, carries it
# out of the regions in which they fire; and the offset itself is written by many tiny shifts of
# other value vectors. We measure each link of that chain, and next to it what would give the same
# number if the chain were wrong.

# %% [markdown]
# > **Content warning.** Insults and hostile sentences are shown. Profanity and slurs are masked
# > (`f***`) unless `UNMASK = True`.

# %% [markdown]
# **You will be able to**
#
# - say how far weights have moved, and why a cosine near 1 says little,
# - compare neurons of two models on their own texts and on shared ones, and know what differs,
# - read a model's next word at every depth (the logit lens),
# - split a change into parts that add up to it, and assert that they do,
# - judge an explanation by what it says of neurons that it is not about.
#
# | you need | how much |
# |---|---|
# | notebook 02 (value vectors, key vectors, the MLP as a sum) | necessary |
# | notebook 05 | helpful; its policies are loaded, or trained on the spot |
# | time | in a run of all notebooks, `pocket`: 2 min (measured; the start panel says on what); `gpt2-medium`: 2 h 42 on two CPU cores, 2 min on a faster GPU (estimated; README shows the arithmetic) |
# | memory | `pocket`: 1.1 GB (measured); `gpt2-medium`: 9 GB (estimated) |

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
lab = Lab.start("06_what_dpo_changed", PROFILE, unmask=UNMASK)

# %% [markdown]
# Two policies, *matched* (toxicity near the papers' 46 % of base's) and *strong* (the lowest that
# the ceiling of perplexity allows), and for each a control of notebook 05: *fine-tuned* on the
# chosen texts alone, for as many steps. Whatever fine-tuning changes as well is not special to DPO.

# %%
import torch

from helpers.teaching.figures import plots

base, probe, seed = lab.base, lab.measures.fit_probe(), lab.profile.seed
direction = probe.direction.to(base.device)
policies = {name: lab.policies.load(name) for name in ("matched", "strong")}
tuned = {name: lab.policies.load("fine-tuned", like=name) for name in policies}
report = {"base": lab.evaluate("base", split="eval", mode="report")}
for model in (*policies.values(), *tuned.values()):
    report[model.name] = lab.evaluate(model.name, model=model, split="eval", mode="report")
rows = [{"model": name, "toxicity": str(found.toxicity)} for name, found in report.items()]
lab.show.table(
    rows, caption=f"Who is compared ({lab.scorers[0].unit}, evaluation prompts, {base.name})"
)

# %% [markdown]
# ## 1 · The weights
#
# **Guess first.** Toxicity falls by half or more. What is the cosine between a weight matrix before
# and after? How long is the change, as a share of the matrix?

# %%
guess = lab.guess(
    "06.1", "Length of the change of the last value matrix", unit="%", low=0, value=None
)

# %%
layer = base.n_layers - 1
before = base.value_vectors[layer].flatten().double()
after = policies["matched"].value_vectors[layer].flatten().double()
cosine = (before @ after / (before.norm() * after.norm())).item()
way = ((after - before).norm() / before.norm()).item()
lab.answer("06.1", 100 * way)
print(f"value vectors of layer {layer}: cosine {cosine:.5f}, ‖Δ‖/‖W‖ {way:.4f}")

# %%
from helpers.mechanism.changes import row_changes, tensor_changes, weights_of

everyone = {"matched": policies["matched"], "strong": policies["strong"]}
everyone |= {model.name: model for model in tuned.values()}
moved = {name: tensor_changes(base, model) for name, model in everyone.items()}
by_name = {one.name: one for one in moved["matched"]}
helper = by_name[f"h.{layer}.mlp.c_proj.weight"]
assert abs(helper.cosine - cosine) < 1e-6 and abs(helper.relative - way) < 1e-6

# %%
import re

norms = {name: weight.double().norm().item() for name, weight in weights_of(base).items()}


def relative(changes, pattern=""):
    """‖Δ‖ / ‖W‖ over all tensors whose name matches, taken together."""
    chosen = [one for one in changes if re.search(pattern, one.name)]
    length = sum(one.length**2 for one in chosen) ** 0.5
    return length / sum(norms[one.name] ** 2 for one in chosen) ** 0.5


rows, cosines_of = [], {}
for name, model in everyone.items():
    # A tensor that was zero before has no direction to keep.
    some = torch.tensor([one.cosine for one in moved[name] if norms[one.name]])
    values = row_changes(base.value_vectors, model.value_vectors)
    keys = row_changes(base.key_vectors, model.key_vectors)
    cosines_of[name] = {
        "minimum": some.min().item(),
        "median_cosine": some.median().item(),
        "minimum_value_row": values.cosine.min().item(),
        "minimum_key_row": keys.cosine.min().item(),
        "relative_change": relative(moved[name]),
    }
    rows.append({"model": name, **{key: f"{c:.5f}" for key, c in cosines_of[name].items()}})
lab.show.table(rows, caption=f"Cosines with base over {len(norms)} tensors and all rows")

# %% [markdown]
# The paper reports a cosine above .99 for every parameter. Compare the last two rows before you
# make anything of it: a cosine near 1 is what *any* short training at a small learning rate leaves.
# Which tensors moved most?

# %%
kinds = {
    "embeddings": "^w[tp]e",
    "attention: in": "c_attn.weight",
    "attention: out": "attn.c_proj.weight",
    "keys": "c_fc.weight",
    "values": "mlp.c_proj.weight",
    "LayerNorm": r"ln_\w*\.weight",
}
shares = {
    name: [100 * relative(changes, kind) for kind in kinds.values()]
    for name, changes in moved.items()
    if name in ("matched", tuned["matched"].name)
}
most = max(zip(shares["matched"], kinds))
finding = (
    f"Matched moves its weights by {100 * relative(moved['matched']):.2f} % of their length; most "
    f"of all {most[1]}, by {most[0]:.2f} % ({base.name})"
)
plots.bar(
    list(kinds),
    shares,
    title=finding,
    x_label="kind of weight, all layers",
    y_label="‖Δ‖ / ‖W‖ (%)",
    alt="Relative change of each kind of weight, for the matched policy and the fine-tuned model.",
)

# %% [markdown]
# Is so small a step small in what it *does*? Take one of exactly the same length in every tensor,
# in a random direction.

# %%
from helpers.language.models import boot
from helpers.mechanism.changes import nudge

at_dev = {name: lab.evaluate(name, model=model) for name, model in policies.items()}
nudged = {}
for name in policies:
    plain = lab.load_plain()
    nudge(plain, {one.name: one.length for one in moved[name]}, seed=seed)
    label = f"random step as long as {name}'s"
    model = boot(plain, base.tokenizer, name=label, device=base.device)
    nudged[name] = lab.evaluate(label, model=model)
conditions = [lab.evaluate("base"), *at_dev.values(), *nudged.values()]
lab.show.table(
    [
        {"model": one.label, "toxicity": str(one.toxicity), "perplexity": str(one.perplexity)}
        for one in conditions
    ],
    caption=f"{len(conditions[0].prompt_ids)} development prompts ({base.name})",
)

# %%
from helpers.teaching.claims import Measurement

# Notebook 09 measures all of this for other training seeds: with `lab.inside`, held to these cells.
for name in policies:
    own, control = cosines_of[name], cosines_of[tuned[name].name]
    details = {key: value for key, value in own.items() if key != "minimum"}
    details |= {
        "fine_tuned_relative_change": control["relative_change"],
        "toxicity": at_dev[name].toxicity.value,
        "nudged_toxicity": nudged[name].toxicity.value,
    }
    found = Measurement(own["minimum"], None, "cosine", control["minimum"], details=details)
    assert found.is_like(lab.inside.measure_weights(name)["A7", ""])
    print(lab.claims.record("A7", found, policy=name))

# %% [markdown]
# If the random steps leave toxicity where it was, then it is not the length of the way that counts
# but its direction, and "barely move" must not be read as "barely change". **What this does not
# show:** anything of what changed. The claim can be true and say little; the rest of the notebook
# asks what the step does to what flows through the model.

# %% [markdown]
# ## 2 · The toxic vectors' words, before and after
#
# Notebook 02 ranked value vectors by their cosine with the probe. **Guess first.** How many of the
# ten words that each of them raises are still the same?

# %%
guess = lab.guess(
    "06.2", "Words of ten that stay the same, on average", unit="words", low=0, high=10, value=None
)

# %%
from helpers.mechanism.vectors import cosines, top_neurons, vectors_of

cosine = cosines(base.value_vectors, direction)
toxic = top_neurons(cosine, lab.profile.vectors.top)
ten, matched = toxic[:10], policies["matched"]
before, after = (vectors_of(model.value_vectors, ten) for model in (base, matched))
# Both are read by base's unembedding: what the vectors say, not who listens.
listed = [lab.measures.top_words(vectors, 6) for vectors in (before, after)]
words = zip(ten, row_changes(before, after).cosine, *listed)
lab.show.table(
    [
        {
            "neuron": str(neuron),
            "cosine with what it was": f"{c:.5f}",
            "base raises": was,
            "matched raises": now,
        }
        for neuron, c, was, now in words
    ],
    caption=f"The ten value vectors nearest the probe ({base.name})",
)

# %%
for name, model in policies.items():
    pair = [vectors_of(one.value_vectors, toxic) for one in (base, model)]
    ids = map(lab.measures.top_ids, pair)
    same = [len({*was.tolist()} & {*now.tolist()}) for was, now in zip(*ids)]
    if name == "matched":
        lab.answer("06.2", sum(same) / len(same))
    was, now = (lab.measures.toxic_share(vectors).mean() for vectors in pair)
    print(
        f"{name}: of each vector's ten words {sum(same) / len(same):.1f} are the same; toxic share "
        f"{was:.3f} before, {now:.3f} after ({len(toxic)} vectors)"
    )

# %% [markdown]
# After rows that moved so little it could hardly be otherwise. Where nearly all ten words are the
# same, DPO did not delete what these neurons would say. Either it changed how often they say it
# (section 3), or the work was done elsewhere: this table cannot tell. (Note also how few toxic
# words some of them raise: *toxic* is a rank by cosine with the probe.)

# %% [markdown]
# ## 3 · Activations
#
# A mean activation depends on *what is read*. Two choices, and this notebook makes both:
#
# - each model on its **own** continuations: what it does when it is used,
# - both on base's (**shared**): the same tokens, so all that differs is the model.
#
# (The paper's released code overwrites base's text, so it reads both models on the aligned one's.)
# Positions that count are those at which a new token is predicted.
#
# ### Why position 0 never counts

# %%
from helpers.language.tokens import Tokens

tokens, counted = lab.statistics.texts("base")
some = counted.any(dim=1).nonzero().flatten()[: lab.profile.counts.prompts_sweep]
texts, where = Tokens(tokens.ids[some], tokens.mask[some]), counted[some]
site, few = f"blocks.{layer}.hook_resid_mid", texts[:16]
streams = []
for model in (base, matched):
    with torch.no_grad():
        ids, mask = few.ids.to(model.device), few.mask.long().to(model.device)
        _, cache = model.bridge.run_with_cache(ids, attention_mask=mask, names_filter=site)
    streams.append(cache[site].cpu())
lengths, offsets = streams[0].norm(dim=-1), (streams[1] - streams[0]).norm(dim=-1)
lab.show.table(
    [
        {
            "position": name,
            "length of base's stream": f"{lengths[there].mean():.2f}",
            "length of the offset": f"{offsets[there].mean():.2f}",
        }
        for name, there in {
            "0, the first token": few.mask & (few.place == 0),
            "those that count": where[:16],
        }.items()
    ],
    caption=f"Before the last MLP, {len(few)} texts ({base.name})",
)

# %% [markdown]
# The first token can attend to nothing but itself. In GPT-2 its stream is dozens of times as long
# as any other's and hardly depends on the text; averaged in, it would drown the rest. Whether it
# stands out in this model too, the table says; it is left out either way, so that one rule serves
# both models.
#
# ### Own and shared text
#
# `lab.statistics.read` makes one pass and keeps the means of every neuron. By hand, for one
# neuron:

# %%
first, found = toxic[0], []
site = f"blocks.{first.layer}.mlp.hook_post"
for ids, mask, counts in zip(texts.ids[:8], texts.mask[:8], where[:8]):
    with torch.no_grad():
        _, cache = base.bridge.run_with_cache(ids[mask][None].to(base.device), names_filter=site)
    found.append(cache[site][0, :, first.index].cpu()[counts[mask]])
by_hand = torch.cat(found).double().mean().item()

# %%
from helpers.mechanism.statistics import measure_statistics

helper = measure_statistics(base, texts[:8], counted=where[:8])
apart = abs(helper.activations[first.layer, first.index].item() - by_hand)
assert apart < 1e-5, "the pass must find what the loop does"
own, shared = {"base": lab.statistics.read("base")}, {}
for name in policies:
    own[name], shared[name] = lab.statistics.read(name), lab.statistics.read(name, on="base")
    own[tuned[name].name] = lab.statistics.read("fine-tuned", like=name)
    shared[tuned[name].name] = lab.statistics.read("fine-tuned", on="base", like=name)
start = own["base"]
negative = (start.activations < 0).double().mean().item()
print(f"{first}: {by_hand:.4f} on average over {len(torch.cat(found))} positions of a few texts")
print(f"{int(start.counts.sum()):,} positions: {negative:.0%} of all neurons have a negative mean")


# %%
def at(means, neurons):
    """The entries of some neurons in a (layer, neuron) table."""
    return means[[one.layer for one in neurons], [one.index for one in neurons]]


five = toxic[:5]
finding = (
    f"Mean activation of the five nearest the probe: base {at(start.activations, five).mean():.3f},"
    f" matched {at(own['matched'].activations, five).mean():.3f} on its own text and "
    f"{at(shared['matched'].activations, five).mean():.3f} on base's ({base.name})"
)
plots.bar(
    [str(neuron) for neuron in five],
    {
        "base": at(start.activations, five),
        "matched, own text": at(own["matched"].activations, five),
        "matched, base's text": at(shared["matched"].activations, five),
    },
    title=finding,
    x_label="neuron, nearest the probe first",
    y_label="mean activation",
    alt="Mean activations of five toxic neurons in base, in the matched policy on its own text and "
    "on base's text.",
)

# %% [markdown]
# Read the bars, not the mean in the title: one neuron may carry all of it, and another may rise. A
# mean below zero says that a neuron is mostly off, not that it never fires.
#
# Five neurons are what the paper plots. How many of all the toxic ones fall, and how many would
# anyway? The neurons were chosen for where they *write*, not for falling: that helps. Two controls,
# each drawn ten times: for every toxic neuron another of its layer with a value vector of nearly
# the same **length**, and another with nearly the same **mean activation** in base (what fires much
# has far to fall).
#
# **Guess first.** What share of each falls? And in the fine-tuned model?

# %%
guess = lab.guess(
    "06.3", "Share of toxic neurons that fall on shared text", low=0, high=1, value=None
)

# %%
from helpers.mechanism.vectors import matched_random


def control_of(table):
    """Ten draws of neurons of the same layers, near in the table's entry."""
    drawn = []
    for draw in range(10):
        drawn += matched_random(
            toxic, d_mlp=base.d_mlp, seed=seed + draw, exclude=toxic, norms=table
        )
    return drawn


lists = {
    "toxic": toxic,
    "random, same length": control_of(base.value_vectors.norm(dim=-1).cpu()),
    "random, same activation": control_of(start.activations.float()),
}

# %%
from helpers.intervals import bootstrap, resampling_weights, share

draws = lab.profile.counts.bootstrap


def falls(read, neurons):
    """Share of neurons whose mean activation is below base's; interval over neurons."""
    lower = at(read.activations, neurons) < at(start.activations, neurons)
    return bootstrap(lower, n=draws, seed=seed)


conditions = {}
for name in policies:
    conditions |= {f"{name}, own": own[name], f"{name}, shared": shared[name]}
shares = {
    label: [falls(read, neurons) for read in conditions.values()]
    for label, neurons in lists.items()
}
lab.answer("06.3", shares["toxic"][1].value)
control = tuned["matched"].name
after_tuning = falls(shared[control], toxic)
finding = (
    f"{shares['toxic'][1].value:.0%} of toxic neurons fall on shared text, of random ones "
    f"{shares['random, same length'][1].value:.0%}; in the fine-tuned model "
    f"{after_tuning.value:.0%} of the toxic ones fall too ({base.name})"
)
plots.bar(
    list(conditions),
    shares,
    reference={"half": 0.5},
    guess=guess,
    title=finding,
    x_label="policy, and whose text it reads",
    y_label="share of neurons that fall",
    alt="Share of neurons whose mean activation falls: toxic ones, random ones of equal length and "
    "random ones of equal activation, for two policies on own and shared text.",
)

# %% [markdown]
# If a control stands clearly above one half, a fall by itself is cheap. If the fine-tuned model's
# toxic neurons fall as often, then *that* they fall is not special to DPO. But a share counts a
# neuron that falls by a hair like one that falls silent: look also at the summed positive
# activation.

# %%
weights = resampling_weights(len(start.counts), n=draws, seed=seed)
was = start.resampled(weights, toxic)


def beyond_noise(read):
    """Share of toxic neurons whose fall is beyond what redrawing the texts would do."""
    change = read.resampled(weights, toxic) - was
    return (change.quantile(0.975, dim=0) < 0).double().mean().item()


def positive(read):
    """Mean activations summed over the toxic neurons that are positive."""
    return at(read.activations, toxic).clamp_min(0).sum().item()


rows = []
for label, found in {"own": own, "shared": shared}.items():
    for name in everyone:
        rows.append(
            {
                "model": name,
                "text": label,
                "toxic neurons that fall": str(falls(found[name], toxic)),
                "beyond noise": beyond_noise(found[name]),
                "summed positive activation": positive(found[name]),
                "of base's": share(positive(found[name]), positive(start)),
            }
        )
lab.show.table(rows, caption=f"{len(toxic)} toxic neurons; base sums to {positive(start):.2f}")

# %%
for name in policies:
    changed = row_changes(base.value_vectors, policies[name].value_vectors).cosine
    again = lab.inside.measure_falls(name)
    for label, found in {"own": own, "shared": shared}.items():
        read, tuning = found[name], found[tuned[name].name]
        claim = Measurement.of(
            falls(read, toxic),
            "share of neurons",
            control=falls(read, lists["random, same length"]),
            activation_matched=falls(read, lists["random, same activation"]).value,
            beyond_noise=beyond_noise(read),
            fine_tuned=falls(tuning, toxic).value,
            activation_before=positive(start),
            activation_after=positive(read),
            fine_tuned_activation=positive(tuning),
            minimum_cosine=at(changed, toxic).min().item(),
        )
        assert claim.is_like(again["A8", f"{label} continuations"])
        print(lab.claims.record("A8", claim, part=f"{label} continuations", policy=name))

# %% [markdown]
# By the *share*, does the fine-tuned model differ from its policy? If not, "agrees" says only that
# toxic neurons fall more often than random ones, under whatever training. By the *amount* (last
# column of the table above) the two may still differ: that is where to look for DPO.
#
# On shared text nothing but the model can have lowered them. On its own text the policy also meets
# fewer hostile words, to which these neurons respond. **What this does not show:** that the fall
# *causes* the drop in toxicity. Notebook 07 asks how much of it these neurons can account for.

# %% [markdown]
# ## 4 · Where inside is the toxic word averted?
#
# Take base's *greedy* text, cut it just before its first toxic word, and ask both models for the
# probability of that word at every depth: final LayerNorm and unembedding applied to what the
# residual stream holds so far. This is the **[logit lens](00_start_here.ipynb#Glossary)**
# (TransformerLens has it; a test of this repository holds it against a slow version).
#
# What would make that probability fall without any averting? The word was picked *because base
# found it likeliest*. Any change of the model, even noise, lowers a quantity that was picked for
# being highest. So the control is picked the same way: places of base's greedy text whose next
# word is not toxic, matched one by one in base's probability.

# %%
from helpers.language.generation import continue_prompts
from helpers.mechanism.readout import next_token_by_depth, next_token_probabilities
from helpers.mechanism.statistics import predicting_positions

prompts = lab.texts.eliciting("eval")[: lab.profile.counts.prompts_eval]
greedy = lab.profile.decoding.model_copy(update={"method": "greedy"})
written = continue_prompts(
    base, prompts, greedy, seed=seed, batch_size=lab.profile.batches.generate
)
read, predicted = predicting_positions(written, base.tokenizer.eos_token_id)
follows = read.ids.roll(-1, dims=1)
is_toxic = lab.measures.toxic_tokens[follows] & predicted
first_toxic = is_toxic & (is_toxic.cumsum(dim=1) == 1)
unspoilt = predicted & (is_toxic.cumsum(dim=1) == 0)
print(f"{int(is_toxic.any(dim=1).sum())} of {len(prompts)} greedy texts hold a toxic word")

# %%
from scipy.optimize import linear_sum_assignment

forward = lab.profile.batches.forward
says = next_token_probabilities(base, read, first_toxic | unspoilt, batch_size=forward)
# Each toxic place gets the clean place nearest in base's probability, none twice.
distance = (says[first_toxic][:, None] - says[unspoilt][None]).abs()
mine, nearest = linear_sum_assignment(distance.numpy())
enough = len(mine) >= 16  # few places may be one and the same text
places = {
    "toxic": first_toxic.nonzero()[torch.from_numpy(mine)],
    "control": unspoilt.nonzero()[torch.from_numpy(nearest)],
}
if not enough:
    print("Too few greedy texts hold a toxic word: A9 is not run, and section 4 has no figure.")


# %%
def by_depth(model, kind):
    """Probability at each residual point, place by place."""
    rows = [
        (read.ids[row, : at_place + 1].tolist(), int(follows[row, at_place]))
        for row, at_place in places[kind].tolist()
    ]
    cut, following = zip(*rows)
    return next_token_by_depth(model, cut, following, batch_size=forward)


if enough:
    compared = {"base": base, **policies}
    depth = {kind: {} for kind in places}
    for kind in places:
        for name, model in compared.items():
            points, depth[kind][name] = by_depth(model, kind)

# %%
if enough:
    mean = {name: probability.mean(dim=1) for name, probability in depth["toxic"].items()}
    calm = {name: probability.mean(dim=1) for name, probability in depth["control"].items()}
    finding = (
        f"The first toxic word ends at {mean['base'][-1]:.2f} in base, {mean['matched'][-1]:.2f} in"
        f" matched, {mean['strong'][-1]:.2f} in strong; the control at {calm['base'][-1]:.2f}, "
        f"{calm['matched'][-1]:.2f} and {calm['strong'][-1]:.2f} ({base.name})"
    )
    figure = plots.line(
        list(range(len(points))),
        {
            **mean,
            "control, base": calm["base"],
            "control, matched": calm["matched"],
            "control, strong": calm["strong"],
        },
        title=finding,
        x_label="residual point: before layer 0, before its MLP, after it …, the end",
        y_label="probability of the word",
        alt="Probability of base's first toxic word at every residual point, in base and in two "
        "policies, and of control words matched in probability.",
    )
    display(figure)

# %% [markdown]
# Read a policy's curve against base's, and both gaps against the control's. The largest gap may lie
# before the end: later layers can take back part of what earlier ones did. Next, the claim's two
# questions: is the final drop beyond the control's, and is half of it written in the last half of
# the layers?

# %%
import math

if enough:
    middle, drops = points.index(f"{base.n_layers // 2}_pre"), {}
    for name in policies:
        gap = {kind: depth[kind]["base"] - depth[kind][name] for kind in places}
        final = {kind: bootstrap(gap[kind][-1], n=draws, seed=seed) for kind in places}
        curve = gap["toxic"].mean(dim=1)
        late = 1 - share(curve[middle].item(), curve[-1].item())
        drops[name] = Measurement.of(
            final["toxic"],
            "drop in probability",
            control=final["control"],
            base_probability=mean["base"][-1].item(),
            aligned_probability=mean[name][-1].item(),
            late_share=0.0 if math.isnan(late) else late,
            layer_of_largest_gap=curve.argmax().item() / 2,
            prompts=len(mine),
        )
        print(
            f"{name}: drop {final['toxic']}, control {final['control']}; "
            f"{late:.0%} of it in the last half; largest gap at {points[curve.argmax()]}"
        )
    assert drops["matched"].is_like(lab.inside.measure_aversion()["A9", ""])
    print(lab.claims.record("A9", drops["matched"]))

# %% [markdown]
# The claim is judged on *matched*; *strong* stands beside it. Mind what "written in the last half"
# counts: the gap at the end against the gap half-way, so what late layers take back counts against
# it. And the paper's curve is flat for fifteen layers of 24; a model of few layers whose curve has
# risen half-way is a weak test of *late*. What if the drop at the toxic word is
# small, although the policy's whole texts are much less toxic? Then it must turn away *earlier*.
# Let both models read the same greedy texts: how much less likely than base does a policy make the
# words *before* the cut, and how much less the toxic word itself, once it has come that far?

# %%
def in_nats(name, kind):
    """log p under a policy minus under base, place by place: words before the cut, and the next."""
    ratio = (chance[name] / chance["base"]).log()
    row, place = places[kind].T
    columns = torch.arange(ratio.shape[1])
    earlier = unspoilt[row] & (columns < place[:, None])
    return torch.where(earlier, ratio[row], 0.0).sum(dim=1), ratio[row, place]


if enough:
    seen = first_toxic | unspoilt
    chance = {
        name: next_token_probabilities(model, read, seen, batch_size=forward)
        for name, model in compared.items()
    }
    rows = []
    for name in policies:
        for kind in places:
            parts = in_nats(name, kind)
            before, at_word = (bootstrap(part, n=draws, seed=seed) for part in parts)
            what = "first toxic word" if kind == "toxic" else "matched clean word"
            rows.append(
                {
                    "policy": name,
                    "the cut is before the": what,
                    "words before the cut (nats)": str(before),
                    "the word itself (nats)": str(at_word),
                }
            )
    table = lab.show.table(
        rows, caption=f"How much likelier than base, mean over {len(mine)} texts ({base.name})"
    )
    display(table)

# %% [markdown]
# Minus one nat is 37 % as likely. The first column sums over all words before the cut, the second
# is one word; and any change of the model lowers base's greedy words, so subtract the rows of the
# matched clean word first. Is what remains larger before the cut, or at the word? The two policies
# need not agree: one may mostly avoid *coming to* the place where the toxic word would follow, the
# other mostly avert the word itself. (A mean of probabilities is ruled by the likely places, a mean
# of logs by all: the figure and this table may order the policies alike and differ in size.)
#
# **What this does not show:** why. The lens reads the stream as if the model stopped there; what a
# later layer would still have done to it is not seen.

# %% [markdown]
# ## 5 · The offset
#
# $$\delta_x = x^{\text{aligned}} - x^{\text{base}}$$
#
# at one place of one text, where $x$ is the stream just before an MLP (`hook_resid_mid`). If it is
# nearly the *same vector* everywhere, DPO has added a constant. **Guess first.** How long is it,
# beside the stream? What is the cosine of one text's offset with the mean of all? With $-\hat W$,
# the direction that notebook 03 subtracted by hand?

# %%
from helpers.mechanism.changes import spectrum, text_streams

sites = [f"blocks.{one}.hook_resid_mid" for one in range(base.n_layers)]


def read_at(model, texts, where):
    """Each text's mean stream before each MLP, over the positions that count."""
    return text_streams(model, texts, where, sites=sites, batch_size=forward)


of_base, offset, spectra = read_at(base, texts, where), {}, {}
for name, model in everyone.items():
    offset[name] = read_at(model, texts, where) - of_base
    spectra[name] = [spectrum(vectors) for vectors in offset[name]]
rows = []
for name in everyone:
    mean_offset = offset[name][layer].mean(dim=0)
    to_mean = spectra[name][layer].to_mean
    rows.append(
        {
            "model": name,
            "length": mean_offset.norm().item(),
            "of a stream's": (mean_offset.norm() / lengths[where[:16]].mean()).item(),
            "texts' cosine to the mean": f"{to_mean.median():.3f} "
            f"(lowest {to_mean.min():.3f})",
            "cosine to −W": -(mean_offset.to(direction) @ direction / mean_offset.norm()).item(),
        }
    )
by_place = (streams[1] - streams[0])[where[:16]]
together = (by_place.mean(dim=0).norm() / by_place.norm(dim=-1).mean()).item()
print(f"matched, place by place: the mean offset is {together:.2f} as long as the offsets are")
lab.show.table(rows, caption=f"Before the last MLP, {len(some)} of base's texts ({base.name})")

# %% [markdown]
# A cosine near 1 with the mean says: one offset for all texts. (Unrelated vectors of so many
# dimensions have a cosine near 0.) But each row of the cosine is one text's *mean* over its places,
# which hides what differs from place to place; the line above the table does not average first. It
# is 1 if the offset is one vector everywhere. A high cosine with $-\hat W$ says that DPO has
# *learned* much of what notebook 03 did by hand. Compare the fine-tuned rows in all of it: a common
# offset alone is not special to DPO.
#
# ### Does it explain why the neurons fall?
#
# A neuron's input to the GELU is $k \cdot (\gamma n + \beta) + b$, with $n$ the stream after
# centring and scaling, $\gamma, \beta$ the LayerNorm's gains and biases, and $k, b$ the neuron's
# key and bias. Its change is a sum of four parts, each with one factor changed at a time:
#
# | part | formula | what it says |
# |---|---|---|
# | stream | $k \cdot \gamma (n' - n)$ | the offset, as *base's* LayerNorm and key read it |
# | LayerNorm | $k \cdot ((\gamma' - \gamma) n' + \beta' - \beta)$ | its own weights |
# | key | $(k' - k) \cdot (\gamma' n' + \beta')$ | the key; what both change together stands here |
# | bias | $b' - b$ | |

# %%
from helpers.mechanism.changes import split_pre_activations

PARTS = ("stream", "norm", "key", "bias")
split = {
    name: split_pre_activations(base, model, start, shared[name])
    for name, model in everyone.items()
}
gap = split["matched"].total - (shared["matched"].pre_activations - start.pre_activations)
assert gap.abs().max() < 1e-3, "the parts must add up to the change that was read"
print(f"largest error of the sum: {gap.abs().max():.1e}")


# %%
def explained(found, neurons, part):
    """Σ part × change / Σ change²: how much of the changes a part explains; adds up to 1."""
    total = at(found.total, neurons)
    return (at(getattr(found, part), neurons) @ total / total.square().sum()).item()


groups = {"toxic": toxic, "random": lists["random, same length"]}
rows = []
for name in policies:
    for label, neurons in groups.items():
        total = at(split[name].total, neurons)
        rows.append(
            {
                "policy": name,
                "neurons": label,
                **{part: at(getattr(split[name], part), neurons).mean().item() for part in PARTS},
                "explained by stream": f"{explained(split[name], neurons, 'stream'):.1%}",
                "pushed down": f"{(total < 0).double().mean():.0%}",
            }
        )
lab.show.table(
    rows, caption=f"Change before the GELU by part, mean over neurons, shared text ({base.name})"
)

# %%
from helpers.intervals import bootstrap_statistic


def explained_by_stream(name, neurons):
    """The stream's part of the changes, with its interval over neurons."""
    part, total = at(split[name].stream, neurons), at(split[name].total, neurons)
    return bootstrap_statistic(
        lambda part, total: (part * total).sum() / (total * total).sum(),
        part,
        total,
        n=draws,
        seed=seed,
    )


for name in policies:
    total = at(split[name].total, toxic)
    falling = bootstrap(total < 0, n=draws, seed=seed)
    mean_offset = offset[name][layer].mean(dim=0).to(direction)
    details = {f"{part}_share": explained(split[name], toxic, part) for part in PARTS[1:]}
    found = Measurement.of(
        explained_by_stream(name, toxic),
        "share of the change",
        control=explained_by_stream(name, groups["random"]),
        share_of_sum=share(at(split[name].stream, toxic).sum().item(), total.sum().item()),
        falling=falling.value,
        falling_low=falling.low,
        falling_control=(at(split[name].total, groups["random"]) < 0).double().mean().item(),
        cosine_to_mean=spectra[name][layer].to_mean.median().item(),
        cosine_to_minus_W=-(mean_offset @ direction / mean_offset.norm()).item(),
        **details,
    )
    assert found.is_like(lab.inside.measure_push(name)["A10", ""])
    print(lab.claims.record("A10", found, policy=name))

# %% [markdown]
# Read the control first. Keys hardly move, so the stream should explain nearly all of the change in
# *any* neuron; where random ones have the same share, it says nothing of toxic ones. What may set
# them apart is the *sign*: the rule asks as well that more of them be pushed down than of the
# random ones.
#
# ### The picture: out of the region in which a neuron fires
#
# Paper A's figure 4 puts prompts into a plane: across, how far the stream at the prompt's last
# token lies along the mean offset; upward, the first principal component of what remains. The
# published code colours points by a stand-in (no LayerNorm, no bias), in which a neuron fires at 26
# where its true activation is .25. Here the colour is the true activation, of the toxic neuron
# whose firing at these places falls most. (It is *chosen for falling*: the picture shows the
# mechanism, not how common it is.)

# %%
from helpers.language.tokens import pad
from helpers.mechanism.changes import pre_activation

asked = [list(ids) for ids in lab.statistics.written("base").prompt_ids if len(ids) > 1]
asked = pad(asked[: lab.profile.counts.prompts_sweep], base.tokenizer.eos_token_id)
ends = asked.mask & (asked.place == asked.mask.sum(dim=1, keepdim=True) - 1)
streams = {name: read_at(model, asked, ends) for name, model in {"base": base, **policies}.items()}


def activation(model, neuron, stream):
    """A neuron's true activation where this is the stream before its MLP."""
    before_gelu = pre_activation(model, neuron, stream)
    return torch.nn.functional.gelu(before_gelu, approximate="tanh").cpu()


fall = torch.stack([
    (
        activation(base, one, streams["base"][one.layer])
        - activation(matched, one, streams["matched"][one.layer])
    ).mean()
    for one in toxic
])
shown = toxic[fall.argmax()]
points = {name: found[shown.layer] for name, found in streams.items()}
fires = {
    name: activation(model, shown, points[name]) > 0
    for name, model in {"base": base, **policies}.items()
}
print(f"{shown}, number {toxic.index(shown) + 1} of the toxic ones, falls by {fall.max():.2f}")

# %%
moved_by = (points["matched"] - points["base"]).mean(dim=0)
along = moved_by / moved_by.norm()
pooled = torch.cat([points["base"], points["matched"]])
centre = pooled.mean(dim=0)
rest = pooled - centre
rest = rest - torch.outer(rest @ along, along)
upward = torch.linalg.svd(rest, full_matrices=False).Vh[0]
plane = {
    name: ((found - centre) @ along, (found - centre) @ upward) for name, found in points.items()
}


def boundary(height, across):
    """Where base's neuron turns on or off along a line of the plane; None where it does not."""
    line = centre + across[:, None] * along + height * upward
    before_gelu = pre_activation(base, shown, line).cpu()
    turns = (before_gelu[1:].sign() != before_gelu[:-1].sign()).nonzero().flatten()
    return None if len(turns) == 0 else across[turns[0]].item()


wide = torch.cat([x for x, _ in plane.values()])
across = torch.linspace(wide.min().item(), wide.max().item(), 200)
tall = torch.cat([plane[name][1] for name in ("base", "matched")])
heights = torch.linspace(tall.min().item(), tall.max().item(), 20).tolist()
edge = [(boundary(height, across), height) for height in heights]
edge = [(x, height) for x, height in edge if x is not None]
flat = torch.cat([
    centre + torch.outer(x, along) + torch.outer(y, upward)
    for x, y in (plane["base"], plane["matched"])
])
sorted_right = (pre_activation(base, shown, flat).cpu() > 0) == torch.cat(
    [fires["base"], fires["matched"]]
)
firing = torch.cat([fires["base"], fires["matched"]]).double().mean()
print(
    f"the boundary sorts {sorted_right.double().mean():.0%} of the points as the neuron does; "
    f"one answer for all points sorts {max(firing, 1 - firing):.0%}"
)

# %%
groups_of = {}
for name in ("base", "matched"):
    for word, chosen in {"fires": fires[name], "silent": ~fires[name]}.items():
        if chosen.any():
            groups_of[f"{name}: {word}"] = tuple(part[chosen] for part in plane[name])
if edge:
    groups_of["boundary"] = tuple(map(list, zip(*edge)))
number = {name: int(found.sum()) for name, found in fires.items()}
finding = (
    f"{shown} fires at the end of {number['base']} of {len(asked)} prompts in base, "
    f"{number['matched']} in matched and {number['strong']} in strong ({base.name})"
)
plots.line(
    {name: x for name, (x, _) in groups_of.items()},
    {name: y for name, (_, y) in groups_of.items()},
    points=[name for name in groups_of if ":" in name],
    title=finding,
    x_label="stream along the mean offset of matched",
    y_label="first principal component of the rest",
    alt="Prompts in the plane of the mean offset and the first principal component of the rest, by "
    "model and by whether the neuron fires, with the line at which it begins to fire.",
)

# %% [markdown]
# From base to matched, prompts move to the right on average; the question is how many cross the
# line. It is exact in this plane. A point also differs from the centre in all other directions, so
# some lie on the wrong side: hold the share that the line sorts as the neuron does against the
# share that one answer for all points gets. Where the two are near, what silences the neuron lies
# mostly outside the plane. **What this does not show:** that any one neuron matters. It is one,
# picked from many.

# %% [markdown]
# ## 6 · Who writes the offset?
#
# The stream before the last MLP is a sum: embeddings, and what every attention and every MLP below
# has added. So the mean offset is a sum of their changes, and an MLP's change has three parts:
#
# $$m'v' - m v = (m' - m)\,v \;+\; m\,(v' - v) \;+\; (m' - m)(v' - v)$$
#
# neurons fire otherwise; they *write* otherwise; both at once. Paper A says the offset comes from
# the second: value vectors shift **against** the offset, and most activations are slightly
# negative, so the products point **along** it. **Guess first.** Which source is largest?

# %%
guess = lab.guess(
    "06.4",
    "Which source writes most of the offset?",
    choices=("attention", "neurons fire otherwise", "neurons write otherwise"),
    value=None,
)

# %%
from helpers.mechanism.changes import offset_sources

sources = {
    name: offset_sources(base, model, start, shared[name]) for name, model in everyone.items()
}
written_by = {name: found.along() for name, found in sources.items()}
for name, parts in written_by.items():
    assert abs(sum(parts.values()) - 1) < 1e-3, "the sources must add up to the offset"
lab.show.table(
    [
        {"model": name, **{source: f"{part:.1%}" for source, part in parts.items()}}
        for name, parts in written_by.items()
    ],
    caption="Part of the mean offset, along the offset, by source; rows add up to 100 %",
)

# %%
found, parts = sources["matched"], written_by["matched"]
choice_of = dict(zip(("attention", "activation", "value"), guess.choices))
largest = max(parts, key=parts.get)
lab.answer("06.4", choice_of.get(largest))  # none of them where embeddings or biases write most
unit = found.offset / found.offset.square().sum()
by_source = {
    "attention": found.attention @ unit,
    "MLP: fire otherwise (m′ − m) v": found.activation @ unit,
    "MLP: write otherwise m (v′ − v)": found.value @ unit,
}
# The last MLP stands above the offset: it has no bar.
heights = {
    label: [*(100 * part).tolist(), *[None] * (base.n_layers - len(part))]
    for label, part in by_source.items()
}
finding = (
    f"Attention writes {parts['attention']:.0%} of the offset before the last MLP, neurons that "
    f"fire otherwise {parts['activation']:.0%}, shifted value vectors {parts['value']:.0%} "
    f"({base.name}, matched)"
)
plots.bar(
    [str(one) for one in range(base.n_layers)],
    heights,
    title=finding,
    x_label="layer",
    y_label="part of the offset (%)",
    alt="Part of the mean offset written by each layer's attention, by its neurons firing "
    "otherwise, and by its value vectors' shifts.",
)

# %% [markdown]
# In layer 0 attention reads embeddings, which have hardly changed (first column of the table): what
# it writes otherwise there comes from its own weights. All above mixes changed weights with changed
# input.
#
# ### The paper's figure 5
#
# The value vectors' part may be small and still be as the paper describes it. Each shift's cosine
# with the offset, and the sign of what it is multiplied by:

# %%
matched_sources = sources["matched"]
below = len(matched_sources.cosine)
picked = sorted({round(one) for one in torch.linspace(0, below - 1, min(below, 4)).tolist()})
by_layer = matched_sources.cosine.mean(dim=1)
finding = (
    f"The shifts of value vectors have a mean cosine of {by_layer[0]:.2f} with the offset in layer "
    f"0, of {by_layer[-1]:.2f} in layer {below - 1} ({base.name}, matched)"
)
plots.histogram(
    {f"layer {one}": matched_sources.cosine[one] for one in picked},
    title=finding,
    x_label="cosine of a value vector's shift with the mean offset",
    alt="Densities of the cosine between value vectors' shifts and the offset, layer by layer.",
)

# %%
lab.show.table(
    [
        {
            "layer": one,
            "mean cosine": by_layer[one].item(),
            "shifts against the offset": f"{(matched_sources.cosine[one] < 0).double().mean():.0%}",
            "activations below 0": f"{(start.activations[one] < 0).double().mean():.0%}",
            "products along it": f"{(matched_sources.neurons[one] > 0).double().mean():.0%}",
            "part of the offset": f"{matched_sources.neurons[one].sum():.1%}",
        }
        for one in range(below)
    ],
    caption=f"m (v′ − v) along the offset, neuron by neuron ({base.name}, matched)",
)

# %% [markdown]
# A shift against the offset, times an activation below zero, points along it: that is the paper's
# account. What would give a positive sum *without* each neuron's shift fitting its own activation?
# Two means of equal sign would do. So the control pairs activations and shifts anew within each
# layer: what is left is what the means alone give. (And any gradient step fits shifts to
# activations, as the gradient of $v_i$ is a sum of $m_i$ times something: compare the fine-tuned
# models above.)

# %%
from helpers.intervals import percentile_interval

DRAWS = 40
for name in policies:
    found, parts = sources[name], written_by[name]
    contributions = found.neurons.flatten()
    value = bootstrap(contributions * len(contributions), n=draws, seed=seed)
    anew = found.shuffled(DRAWS, seed)
    control = percentile_interval(anew.mean().item(), anew)
    both = torch.stack([torch.arange(below).double(), -found.cosine.mean(dim=1)])
    trend = torch.corrcoef(both)[0, 1] if below > 1 else torch.zeros(())
    largest_first = contributions.sort(descending=True).values.cumsum(dim=0)
    half = int((largest_first < contributions.sum() / 2).sum()) + 1
    close = sum(parts.values()) - 1
    measured = Measurement.of(
        value,
        "part of the offset",
        control=control,
        shift_cosine=found.cosine.mean().item(),
        depth_trend=trend.nan_to_num().item(),
        negative_share=(found.activations < 0).double().mean().item(),
        activation_part=parts["activation"],
        interaction_part=parts["interaction"],
        attention_part=parts["attention"],
        embedding_part=parts["embedding"],
        bias_part=parts["bias"],
        residue=close,
        neurons_for_half=half / len(contributions),
        fine_tuned=written_by[tuned[name].name]["value"],
    )
    print(f"{name}: value vectors {value}, paired anew {control}; {half} neurons give half of it")
    assert measured.is_like(lab.inside.measure_writers(name)["A11", ""])
    print(lab.claims.record("A11", measured, policy=name))

# %% [markdown]
# The figure's mechanism and its *size* are two things. Does the cosine grow with every layer? How
# much of the sum is left when pairs are drawn anew, and how much does fine-tuning have? "The offset
# is written by" it only if no other source writes more, which is what the rule asks. **What this
# does not show:** what would happen if one source were taken away. Sources above layer 0 react to
# those below; parts of a sum are not causes.

# %% [markdown]
# ## 7 · Two looks the papers did not take
#
# ### How deep into the text does the change reach?
#
# For refusals of chat models, Qi et al. (2024, arXiv 2406.05946) find that alignment is *shallow*:
# it changes the first few tokens of an answer and little after. Here: how far the next-token
# distributions of policy and base are apart, at each token of *base's* continuation (the
# Kullback–Leibler divergence, in nats). **Guess first.** Level, or falling?

# %%
from helpers.mechanism.readout import divergences

first_place = where.int().argmax(dim=1)
new = lab.profile.decoding.new_tokens
apart = {}
for name in ("matched", "strong", tuned["matched"].name):
    found = divergences(base, everyone[name], texts, where, batch_size=forward)
    columns = [found[where & (texts.place - first_place[:, None] == n)] for n in range(new)]
    apart[name] = [
        bootstrap(column, n=draws, seed=seed) for column in columns if len(column) > 1
    ]
early = {
    name: sum(one.value for one in found[:2]) / sum(one.value for one in found)
    for name, found in apart.items()
}
finding = (
    f"The first two of {len(apart['matched'])} tokens hold {early['matched']:.0%} of matched's "
    f"divergence from base, {early['strong']:.0%} of strong's ({base.name})"
)
plots.line(
    list(range(1, len(apart["matched"]) + 1)),
    apart,
    title=finding,
    x_label="token of base's continuation",
    y_label="divergence from base (nats)",
    alt="Divergence of two policies and the fine-tuned model from base by token of base's text.",
)

# %% [markdown]
# Where the curve falls, most of what the policy does otherwise it does at the *beginning*; compare
# the fine-tuned curve, for the first tokens may just be where base has most choice. And divergence
# does not say *what* is objected to: section 4 does, and there one policy may go along with a
# hostile text that has begun while the other does not. What happens to an attacker who writes the
# first words himself is a question for notebook 09.
#
# ### How near is the offset to one direction?
#
# Raina et al. (D-STEER, arXiv 2512.11838) hold that DPO acts as a low-rank steering of activations.
# Take the offsets of many texts as rows: what share of their squared length lies along the first
# singular direction? (Rows are not centred: a common offset is the point.)

# %%
depths = sorted({0, base.n_layers // 2, layer})
lab.show.table(
    [
        {
            "model": name,
            **{f"before MLP {one}": f"{found[one].shares[0]:.1%}" for one in depths},
            "as spread as so many equal ones": f"{found[layer].directions:.2f}",
            "if all were equal": f"{1 / len(found[layer].shares):.1%}",
        }
        for name, found in spectra.items()
    ],
    caption=f"Share of the first direction in the offsets of {len(some)} texts ({base.name})",
)

# %% [markdown]
# (*As spread as so many equal ones* is 1 if all offsets lie along one direction.) A common offset
# and section 6 do not contradict each other: many writers can add up to one direction. Where the
# share falls with depth, the offset meets on its way up what texts differ in.
#
# ### Could you tell from the offset alone what the model was trained on?
#
# Differences of activations on the first tokens of *unrelated* text give away what a model was
# tuned on (arXiv 2510.13900). So take plain text, no prompt of ours; average the offset after the
# last layer; read it in words (notebook 02's projection).

# %%
window = 8
plain = base.tokenise(lab.texts.passages[:64], max_tokens=window).to("cpu")
last_site = [f"blocks.{layer}.hook_resid_post"]
after_all = {
    name: text_streams(model, plain, plain.place >= 1, sites=last_site, batch_size=forward)[0]
    for name, model in {"base": base, **everyone}.items()
}
rows = []
for name in everyone:
    mean_offset = (after_all[name] - after_all["base"]).mean(dim=0, keepdim=True)
    raised = lab.measures.top_words(mean_offset, 8)[0]
    lowered = lab.measures.top_words(mean_offset, 8, largest=False)[0]
    toxic_words = lab.measures.toxic_share(-mean_offset).item()
    rows.append(
        {"model": name, "raises": raised, "lowers": lowered, "toxic among lowered": toxic_words}
    )
lab.show.table(
    rows, caption=f"Mean offset on the first {window} tokens of {len(plain)} plain passages"
)

# %% [markdown]
# If the lowered words are insults, the offset names its own training on text that has none.

# %% [markdown]
# ## Your turn
#
# Each exercise ships with its solution. To try it yourself, delete the lines between `### BEGIN
# SOLUTION` and `### END SOLUTION`, write your own, and run the cell: the check tries your
# function on fresh inputs and says what is off. The hint is folded below.
#
# ### Exercise 1 · Parts that add up
#
# **Goal:** split a change into three parts whose sum is the change. **Difficulty:** ●●○○○
# **Minutes:** 8
#
# A neuron's input to the GELU is `keys[i] @ x + biases[i]`. Keys, input and biases all change.
# Return three rows, one entry per neuron: what the *input* explains, read by the old keys; what the
# *keys* explain, on the new input; what the *biases* explain.

# %%
from jaxtyping import Float
from torch import Tensor

from helpers.teaching.exercises import check_split_change


def split_change(
    keys: Float[Tensor, "neuron d_model"],
    new_keys: Float[Tensor, "neuron d_model"],
    x: Float[Tensor, " d_model"],
    new_x: Float[Tensor, " d_model"],
    biases: Float[Tensor, " neuron"],
    new_biases: Float[Tensor, " neuron"],
) -> Float[Tensor, "3 neuron"]:
    """The change of each neuron's pre-activation by input, key and bias."""
    ### BEGIN SOLUTION
    by_input = keys @ (new_x - x)
    by_key = (new_keys - keys) @ new_x
    return torch.stack([by_input, by_key, new_biases - biases])
    ### END SOLUTION


check_split_change(split_change)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Change one factor at a time: old keys with old input, old keys with new input, new keys with new
# input. Each step is a part.
# </details>
#
# ### Exercise 2 · How near to one direction?
#
# **Goal:** turn "nearly one vector for all texts" into a number. **Difficulty:** ●●○○○
# **Minutes:** 8
#
# Each row is one text's offset. Return the share of the summed squared lengths that lies along the
# first singular direction. The mean stays in: a common offset is what we look for.

# %%
from helpers.teaching.exercises import check_first_direction_share


def first_direction_share(offsets: Float[Tensor, "text d_model"]) -> float:
    """Share of the squared length along the first singular direction."""
    ### BEGIN SOLUTION
    squares = torch.linalg.svdvals(offsets).square()
    return (squares[0] / squares.sum()).item()
    ### END SOLUTION


check_first_direction_share(first_direction_share)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The squared singular values add up to the summed squared lengths of the rows.
# </details>
#
# ### Open task · Toxicity or mood?
#
# **Minutes:** 20 to 40. There is no check: nobody here knows the answer.
#
# The offset points along $-\hat W$ to some degree. But $\hat W$ holds something of the mood that
# toxic text stands in. Take the direction between two groups of *clean* comments, at the same
# place of the stream: does the offset lie nearer to it, or to $\hat W$ with that part taken off?
#
# Start with `offset["matched"][layer].mean(dim=0)`, `lab.texts.comments_train`, `comment.group`,
# `pooled_residuals(…)` and `mean_difference(…)`. The fine-tuned model's offset is one control.
# Write down your guess and what the result does not show.

# %% [markdown]
# ## What this notebook settles

# %%
lab.claims_table("A7", "A8", "A9", "A10", "A11")

# %% [markdown]
# [Notebook 00](00_start_here.ipynb) shows the same claims over several models, one of them with
# random weights. What agrees there as well comes of training with this loss, not of anything that
# the model knew before.

# %% [markdown]
# ## Where to go next
#
# The toxic neurons fall; but so do thousands of others. Which of them is the drop in toxicity owed
# to? [07 · Which neurons account for the drop?](07_neuron_group_attribution.ipynb) To see the toxic
# neurons turned on again: [09 · How cheaply is it undone?](09_unalignment.ipynb)
