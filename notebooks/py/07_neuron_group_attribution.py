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
# # 07 · Which neurons account for the drop?
#
# **Question.** Tuning lowers toxicity, and notebook 06 saw toxic neurons fall with it. How much of
# the drop is theirs, and how much is owed to neurons that nobody would call toxic?
#
# The two papers disagree. Paper A: a small offset lets the stream *by-pass* the toxic neurons, so
# that they fire no more. Paper B: those neurons hold a **minor share**, and **four groups** do the
# work together: toxic neurons that fire less (*dampened* ones), anti-toxic ones that fire more, and
# two more groups whose mean activation is negative. Paper B's versions put the toxic share at
# 31.8 %, at 4.9 %, and at 2.5–24 %. We take one model and one set of instruments, compute all
# three, and ask of each what would give the same number if the explanation were wrong.

# %% [markdown]
# > **Content warning.** The toxicity measured here is that of insults and hostile sentences. The
# > few words shown are masked (`f***`) unless `UNMASK = True`.

# %% [markdown]
# **You will be able to**
#
# - say in one line what a neuron adds to toxicity, and split its change into parts that add up,
# - name the denominator of a share before you believe it,
# - build the null that makes "four groups do it" mean something,
# - tell neurons that tuning moved from neurons that only chance did,
# - close an account down to its last bias, and know what it still cannot show.
#
# | you need | how much |
# |---|---|
# | value vectors and the MLP as a sum (notebook 02) | necessary |
# | own and shared text, the offset (notebook 06) | helpful; its policies are loaded, or trained on the spot |
# | time | in a run of all notebooks, `pocket`: 2 min (measured; the start panel says on what); `gpt2-medium`: 2 h 34 on two CPU cores, 2 min on a faster GPU (estimated; README shows the arithmetic) |
# | memory | `pocket`: 1.2 GB (measured); `gpt2-medium`: 8 GB (estimated) |

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
lab = Lab.start("07_neuron_group_attribution", PROFILE, unmask=UNMASK)

# %%
import torch

from helpers.intervals import percentile_interval, share
from helpers.teaching.figures import plots

base, ask = lab.base, lab.attribution  # `ask` sums projections over neurons, texts, directions
policies = {name: lab.policies.load(name) for name in ("matched", "strong")}
matched, total = policies["matched"], base.n_layers * base.d_mlp
W = ask.direction.cpu().double()
unit = W / W.norm()

# %% [markdown]
# Two policies of notebook 05 are looked at: *matched*, as toxic beside its base as the papers'
# policy was beside GPT2-medium, and *strong*, the least toxic one within the same perplexity.
#
# **Commit to a guess.** Add up all that neurons write *less* along the probe. What share of it is
# owed to toxic neurons that used to fire? Write it down before anything is measured; sections 4
# and 5 come back to it.

# %%
guess = lab.guess(
    "07.1", "Firing toxic neurons' share of all reductions", low=0, high=1, value=None
)

# %% [markdown]
# ## 1 · One neuron, by hand
#
# A neuron's mean activation $\bar m$ times how far its value vector $v$ points along the probe's
# direction $\hat W$ (of length one) is its **projection**: what it adds to the stream along
# $\hat W$, on average.
#
# $$p = \bar m \,(v \cdot \hat W) \qquad\qquad \Delta = p_{\text{base}} - p_{\text{aligned}}$$
#
# Above zero, $\Delta$ is a *reduction*: the neuron writes less along the probe than it did. Take
# the neuron nearest the probe. The means are of `lab.statistics`: each model on its own
# continuations, at the positions that predict a new token, position 0 left out (notebook 06).

# %%
from helpers.mechanism.vectors import cosines, top_neurons, vectors_of

cosine = cosines(base.value_vectors, W.to(base.value_vectors)).cpu()
toxic = top_neurons(cosine, 5)
one = toxic[0]
start, after = ask.readings("matched")
m, new_m = (read.activations[one.layer, one.index].item() for read in (start, after))
v, new_v = (
    vectors_of(model.value_vectors, [one])[0].cpu().double() for model in (base, matched)
)
p, new_p = m * (v @ unit).item(), new_m * (new_v @ unit).item()
print(f"{one}: mean activation {m:.3f} → {new_m:.3f}, v · Ŵ {v @ unit:.4f} → {new_v @ unit:.4f}")
print(f"projection {p:.5f} → {new_p:.5f}, so Δ = {p - new_p:.5f}")

# %% [markdown]
# Look at the sign of its mean. The neuron nearest the probe need not be one that fires: below 0 it
# writes a little *against* its own value vector, and a Δ above 0 means that it went further down.
#
# Two factors have changed, so $\Delta$ has three parts: it *fires* otherwise, it *writes*
# otherwise, and both at once:
#
# $$\Delta = (m - m')\,v\cdot\hat W \;+\; m\,(v - v')\cdot\hat W \;+\; (m - m')(v' - v)\cdot\hat W$$
#
# Paper B asks of $\Delta$ itself; "the neuron was dampened" is a statement on its first part alone.

# %%
parts = {
    "fires otherwise": (m - new_m) * (v @ unit).item(),
    "writes otherwise": m * ((v - new_v) @ unit).item(),
    "both at once": (m - new_m) * ((new_v - v) @ unit).item(),
}
own = ask.attribute("matched")
place = one.layer, one.index
helper = [table[place].item() for table in (own.whole, own.activation, own.value, own.interaction)]
for mine, theirs in zip([p - new_p, *parts.values()], helper):
    assert abs(mine - theirs) < 1e-6 * own.gross(), "the helper must do what we did"
print({name: round(part, 5) for name, part in parts.items()})

# %% [markdown]
# ## 2 · All neurons, and a sum that must close
#
# An MLP's output is the sum of its neurons' $m v$ and a bias. So is its mean, and so is the mean
# along $\hat W$. The sum below uses means alone; no projection is ever made for a single token.

# %%
rows, largest_gap = [], 0.0
for layer in range(base.n_layers):
    line = {"layer": layer}
    for name, read, model in (("base", start, base), ("matched", after, matched)):
        values = model.value_vectors[layer].cpu().double()
        b_out = model.bridge.blocks[layer].mlp.b_out.detach().cpu().double()
        added = (read.activations[layer] @ (values @ unit) + b_out @ unit).item()
        output = (read.mlp[layer] @ unit).item()
        largest_gap = max(largest_gap, abs(added - output))
        line |= {f"{name}: neurons + bias": added, f"{name}: MLP output": output}
    rows.append(line)
gross, net = own.gross().item(), own.net().item()
assert largest_gap < 1e-4 * gross, "Σ p + b_out · Ŵ must be the MLP output's projection"
lab.show.table(rows, caption=f"Mean along Ŵ ({base.name}); largest gap {largest_gap:.1e}")

# %%
raising = (own.whole < 0).double().mean().item()
print(f"{total:,} neurons: gross reduction {gross:.3f} (all Δ above 0)")
print(f"            net reduction   {net:.3f} (all Δ), which is {share(net, gross):.0%} of gross")
print(f"            {raising:.0%} of neurons have Δ below 0: they write more along Ŵ than before")

# %% [markdown]
# **Gross and net are two denominators.** Whatever share you read from here on, ask of which.
#
# ## 3 · Four quadrants
#
# Paper B sorts neurons by two signs, both taken *before* tuning: **T** or **A**, the value vector
# points along $\hat W$ or against it; **P** or **N**, its mean activation is positive or negative.
# TP writes along $\hat W$ by firing. So does AN: *minus* times *minus*. TN and AP write against it.
#
# **Guess first.** Which of the four is the largest in number?

# %%
largest = lab.guess("07.2", "The largest quadrant", choices=("TP", "TN", "AP", "AN"), value=None)

# %%
quadrants = own.quadrants()
count = {name: int(inside.sum()) for name, inside in quadrants.items()}
lab.answer("07.2", max(count, key=count.get))
extreme = top_neurons(own.whole.abs(), min(6, total))
finding = (
    f"{', '.join(f'{name} {n / total:.0%}' for name, n in count.items())} of {total:,} neurons; "
    f"the largest change of all is {extreme[0]}'s ({base.name}, matched)"
)
plots.scatter(
    {"neurons": (own.cosine.flatten().numpy(), own.before.flatten().numpy())},
    outliers={
        f"{one} Δ {own.whole[one.layer, one.index]:+.3f}": (
            own.cosine[one.layer, one.index].item(), own.before[one.layer, one.index].item()
        )
        for one in extreme
    },
    title=finding,
    x_label="cosine of the value vector with Ŵ (left: A, right: T)",
    y_label="mean activation in base (N, then P)",
    alt="Density of all neurons by cosine with the probe and mean activation in base; the neurons "
    "of largest change along the probe are labelled.",
)  # fmt: skip

# %% [markdown]
# Which neurons of a quadrant "do their part" has two published definitions. The first version
# (*v1*) takes those whose mean **activation** moved the right way (T down, A up); the *final* paper
# those whose **projection** fell (Δ above 0). They differ because value vectors move a little too.

# %%
groups = {name: own.groups(name) for name in ("v1", "final")}
rows = []
for name, inside in quadrants.items():
    lowers = groups["final"][name]
    rows.append(
        {
            "group": name,
            "neurons": count[name],
            "Δ > 0 (final)": int(lowers.sum()),
            "of the quadrant": f"{share(int(lowers.sum()), count[name]):.0%}",
            "right way (v1)": int(groups["v1"][name].sum()),
            "Σ of Δ > 0": own.whole[lowers].sum().item(),
            "Σ of Δ < 0": own.whole[inside & ~lowers].sum().item(),
            "net": own.whole[inside].sum().item(),
        }
    )
lab.show.table(rows, caption=f"By quadrant ({base.name}, matched, own text)")

# %% [markdown]
# The last three columns are worth a second look. A group has losers as well as winners: where its
# net is below 0, it writes more along $\hat W$ after tuning than before, whatever its winners do.
#
# Does one number predict the other? A neuron that points at the probe might be moved more, or one
# that fires more:


# %%
def correlation(a, b):
    """Pearson's; 0 where one of them does not vary."""
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].nan_to_num().item()


change = own.before - own.after
print(f"corr(change of activation, cosine) = {correlation(change, own.cosine):.3f}")
print(f"corr(change of activation, m)      = {correlation(change, own.before):.3f}")
print("paper B, GPT2-medium:                0.004 and 0.263")

# %% [markdown]
# The first number is where the two papers meet: above 0, the more a neuron points at the probe the
# more it is dampened, which is paper A's picture; near 0, dampening knows nothing of the probe,
# which is paper B's. A linear correlation over thousands of neurons says nothing of the few dozen
# most toxic ones.
#
# ### By layer

# %%
by_layer = {
    "reduction": own.whole.clamp_min(0).sum(dim=1),
    "increase": own.whole.clamp_max(0).sum(dim=1),
    "net": own.whole.sum(dim=1),
}
most = int(by_layer["net"].argmax())
finding = (
    f"Layer {most} has the largest net reduction, {by_layer['net'][most]:.2f} of {net:.2f} in all, "
    f"and {by_layer['reduction'][most]:.2f} of a gross {gross:.2f} ({base.name}, matched)"
)
plots.bar(
    [str(layer) for layer in range(base.n_layers)],
    by_layer,
    title=finding,
    x_label="layer",
    y_label="sum of Δ along Ŵ",
    alt="Summed reduction, summed increase and net of the neurons' projections by layer.",
)

# %% [markdown]
# Every layer writes into the same stream, so a reduction counts alike wherever it is made. That a
# layer's neurons write less along $\hat W$ says nothing of *why*: those above react to what those
# below have changed. (In GPT2-medium the last layers have most, of reduction *and* of increase.)
# **What this does not show:** which of them would matter if the others stayed as they were.
#
# ## 4 · The shares
#
# Two definitions × two Δ's (the whole, or its activation part) × two kinds of text (each model on
# its **own** continuations, as published; both on base's, **shared**). Each row is a split of one
# denominator: *final*, all Δ above 0; *v1*, the sum over its own four groups.
#
# **Guess first.** How far apart can eight answers to one question be? (Two pairs must agree: of the
# activation part alone, the right way and above 0 are the same.)

# %%
apart = lab.guess("07.3", "TP's largest share less its smallest", low=0, high=1, value=None)

# %%
GROUPS = ("TP", "TN", "AP", "AN")
on_text = {"own": own, "shared": ask.attribute("matched", shared=True)}
rows, of_TP = [], []
for text, found in on_text.items():
    for definition in ("v1", "final"):
        for part in ("whole", "activation"):
            shares = found.shares(definition, part)
            of_TP.append(float(shares["TP"]))
            mine = found.groups(definition, part).values()
            rows.append(
                {
                    "text": text,
                    "definition": definition,
                    "Δ": part,
                    **{group: f"{shares[group]:.1%}" for group in GROUPS},
                    "denominator": sum(found.reduction(part)[one].sum() for one in mine).item(),
                    "net / gross": f"{found.net(part) / found.gross(part):.0%}",
                }
            )
rows.append(
    {
        "text": "paper B, GPT2-medium", "definition": "v1", "Δ": "whole", "TP": "31.8%",
        "TN": "23.9%", "AP": "7.0%", "AN": "37.3%", "denominator": 47.48, "net / gross": "15%",
    }
)  # fmt: skip
lab.answer("07.3", max(of_TP) - min(of_TP))
lab.show.table(rows, caption=f"Shares of the gross reduction ({base.name}, matched)")

# %%
kept = share(on_text["shared"].gross().item(), gross)
print(f"On shared text the gross reduction is {kept:.0%} of that on own text.")

# %% [markdown]
# What is missing on shared text comes with the *text*: a model that writes other words has other
# activations, whatever its weights would have done with the same words. All that follows is of own
# text, as published, unless it says otherwise. (As published up to two choices: we sample
# continuations, paper B takes the likeliest 20 tokens; and position 0 is left out.)
#
# ### Three published numbers, one phenomenon
#
# Paper B gives the toxic neurons 31.8 %, 4.9 % and 2.5–24 %. They answer three questions:
#
# - **the group**: all of TP that fire less, of the sum over the four groups (31.8 %);
# - **the top**: only those among the 128 most toxic that fired and fire less, of gross (4.9 %);
# - **the effect**: give base's most toxic neurons the policy's mean activation as a constant,
#   generate, and see what share of the *drop in toxicity* that makes (2.5–24 %, by model; by the
#   table of its first version, where *all* dampened toxic neurons of GPT2-medium are patched, .453
#   → .335 of .453 → .208, which is 48 %).
#
# The last is no longer about projections: it is an intervention, in another unit. And it hides a
# trap. A constant does two things at once: it sets the *mean* to the policy's, and it takes away
# everything by which the neuron responded to the text. The control is the same neurons held at
# **base's own mean**: nothing of DPO is in it.

# %%
by_policy = {name: lab.emulation.measure_shares(name) for name in policies}
patched = lab.measures.at_most(lab.profile.explanation.patched)
definitions = {
    "TP by v1, of its four groups": ("31.8 %", lambda found: found.value),
    "TP by final, of gross": ("32 %", lambda found: found.details["final_share"]),
    f"top {lab.profile.vectors.top} that fire less, of gross": (
        "4.9 % (top 128)", lambda found: found.details["top_128_share"]
    ),
    f"effect of the policy's means on {patched}, of the drop": (
        "2.5–24 %; 48 %", lambda found: found.details["effect_share"]
    ),
    f"effect of base's own means on {patched}, of the drop": (
        "not given", lambda found: found.details["own_mean_effect"]
    ),
}  # fmt: skip
counts = [int(own.groups(by)["TP"].sum()) for by in ("v1", "final")]
counts += [min(lab.profile.vectors.top, total), patched, patched]
sizes = {label: f"{count / total:.1%}" for label, count in zip(definitions, counts)}
rows = []
for label, (published, of) in definitions.items():
    line = {"share, and of what": label, "published": published, "of all neurons": sizes[label]}
    for name, found in by_policy.items():
        line[name] = f"{of(found['B3', 'whole Δ']):.1%}" if found else "undefined"
    rows.append(line)
lab.show.table(
    rows,
    caption=f"The toxic neurons' share, by definition ({base.name}). Paper B's tops are of 98,304 "
    "neurons or more: .1 % and less",
)

# %%
for name, found in by_policy.items():
    if not found:
        print(f"{name}: no clear gap to base on these prompts, so a share of it is undefined.")
        continue
    details = found["B3", "whole Δ"].details
    print(
        f"{name}, {details['patched']:.0f} neurons held constant: {details['effect_share']:.0%} of "
        f"the drop at the policy's means, {details['own_mean_effect']:.0%} at base's own"
    )

# %% [markdown]
# Where the last two rows are near each other, the effect is mostly that of a *constant*, and says
# little of what DPO did to these neurons. Only what lies between them can be owed to DPO's means.
#
# ## 5 · What any direction would give
#
# Is a group's share much? Tuning moves nearly every activation, so along **any** direction
# some neurons fall, and they fall into the same four quadrants. So draw directions that have
# nothing to do with toxicity and do the same sum. Two nulls:
#
# - **any**: random directions, each turned so that tuning lowered the sum along it, as it did along
#   $\hat W$ (a random direction has no sign of its own);
# - **as near the offset**: random, but with the same cosine to the mean offset of the last stream
#   as $\hat W$ has (below 0 where tuning moved the stream against it). Along these tuning moved
#   the model about as far; nothing else is in them.
#
# **Guess first.** Will the toxicity probe stand out? Of the four groups, how many will have a share
# that neither kind of random direction gives?

# %%
outside = lab.guess("07.4", "Groups outside both", choices=(*"01234",), value=None)

# %%
from helpers.mechanism.attribution import random_directions

offset = after.post[-1] - start.post[-1]
near = random_directions(500, W, seed=lab.profile.seed, offset=offset)
cosine_with_offset = (unit @ offset / offset.norm()).item()
assert (near @ offset / offset.norm() - cosine_with_offset).abs().max() < 1e-6
print(f"cosine of Ŵ with the offset: {cosine_with_offset:.3f}; these have it too.")
print(f"Their cosine with Ŵ itself: {(near @ unit).mean():.3f} on average")

# %%
bars = {}
bars["along Ŵ"] = [
    ask.interval(lambda found, g=group: found.shares("final")[g]) for group in GROUPS
]
for label, is_near in {"along any direction": False, "as near the offset": True}.items():
    columns = ask.null(near_offset=is_near).T
    bars[label] = [percentile_interval(column.mean().item(), column) for column in columns]
beyond = [
    group
    for group, along, *nulls in zip(GROUPS, *bars.values())
    if all(null.excludes(along.value) for null in nulls)
]
lab.answer("07.4", str(len(beyond)))
bars = {"along Ŵ": bars["along Ŵ"]} | {
    f"control: {label}": one for label, one in bars.items() if label != "along Ŵ"
}
finding = (
    f"Outside what both kinds of random direction give: {', '.join(beyond) or 'no group'} "
    f"({base.name}, matched, {lab.profile.explanation.directions} directions)"
)
plots.bar(
    list(GROUPS),
    bars,
    title=finding,
    x_label="group (final definition)",
    y_label="share of the gross reduction",
    alt="Shares of four groups along the probe with intervals over texts, and the 95 % bands of "
    "random directions and of random directions as near the offset.",
)

# %% [markdown]
# Whiskers are over texts for $\hat W$, and over directions for the other two. Read each group's
# first bar against those *bands*. If it lies inside the third one's, then the split into four is
# what tuning does along any direction that it moved the model along: true, and no property of
# toxicity.
#
# The second null has a limit, printed above the figure. Where $\hat W$ lies close to the offset,
# directions as near the offset lie close to $\hat W$ too, and could hardly differ from it. Then the
# honest reading is: *here one cannot tell the direction of toxicity from the direction that tuning
# took*. A group outside the first null and inside the second means no more than that, and *not
# reproduced* under N2 may mean no more either.
#
# Now the claims, with the same figures. B4 asks of what *falls*, so a group whose net is below 0
# can still pass; it is printed beside. N2's *distance* is that of all four shares together from
# the mean of the random directions'; where it is within what most of those have themselves, four
# groups of such sizes are what any direction gives (the rule stands in the claims table).

# %%
measured = ask.measure("matched")
for group in GROUPS:
    of_helper = measured["B4", "final groups"].details[group]
    assert abs(of_helper - own.shares("final")[group]) < 1e-9, "the same share twice"
for name, found in by_policy.items():
    for (claim, part), measurement in found.items():  # B3
        print(lab.claims.record(claim, measurement, part=part, policy=name))
for claim, part in (("B4", "v1 groups"), ("B4", "final groups"), ("N2", "")):
    print(lab.claims.record(claim, measured[claim, part], part=part))
rising = [group for group in GROUPS if own.whole[quadrants[group]].sum() < 0]
print("groups that write more along Ŵ in sum:", ", ".join(rising) or "none")

# %%
toxic_null, close = (ask.null(near_offset=near_by)[:, 0] for near_by in (False, True))
mine = own.shares("final")["TP"].item()
lab.answer("07.1", mine)
lab.show.table(
    [
        {"TP's share (final, of gross)": label, "value": value}
        for label, value in {
            **guess.mark,
            "along Ŵ": mine,
            "along any direction, mean": toxic_null.mean().item(),
            "as near the offset, mean": close.mean().item(),
            "any directions with a larger share": (toxic_null > mine).double().mean().item(),
            "near ones with a larger share": (close > mine).double().mean().item(),
        }.items()
    ],
    caption=f"{base.name}, matched",
)

# %% [markdown]
# This is the answer to your guess (by the final definition, of gross), and what random directions
# would have answered. Do the groups fall alike if DPO is run again with another seed?

# %%
rows = []
for seed in lab.profile.dpo.seeds:
    found = ask.attribute("matched", seed=seed)
    v1, final = (found.shares(definition) for definition in ("v1", "final"))
    rows.append(
        {
            "DPO seed": seed,
            **{f"{group}, final": f"{final[group]:.1%}" for group in GROUPS},
            "TP, v1": f"{v1['TP']:.1%}",
            "smallest": f"{min(final.values()):.1%}",
            "net / gross": f"{found.net() / found.gross():.0%}",
        }
    )
lab.show.table(rows, caption=f"The same policy by {len(rows)} seeds ({base.name}, matched)")

# %% [markdown]
# If the rows are alike, the split is a property of model, text and loss, not of one run. **What
# this does not show:** that it must be so. All seeds start at the same base.
#
# ## 6 · Noise, and a balance
#
# Paper B: 40,801 of 98,302 neurons *raise* toxicity, and the net is a small balance (7.2 of a gross
# 48.0): DPO is **noisy**. What would make that come out without DPO being noisy?
#
# - *Chance.* A mean over some hundred texts has an error, and half of all errors are negative.
#   So: only Δ's beyond 1.96 standard errors (texts drawn anew, in the groups that `lab.statistics`
#   sums them in) count. Beside it the same count after the names *base* and *policy* were
#   **exchanged** on a random half of the texts: of DPO nothing is left in that, only chance.
# - *Geometry.* Along any direction many neurons go the other way. So: the same figures along random
#   directions, turned so that tuning lowered the sum along them.

# %%
from helpers.lab.attribution import SURE

error = ask.noise("matched")
up, down = own.whole < -SURE * error, own.whole > SURE * error


def balance(found):
    """Share of neurons below 0, and net / gross."""
    below = (found.whole < 0).double().mean(dim=(-2, -1))
    return torch.stack([below, found.net() / found.gross()], dim=-1)

# %%
rows = []
tuned = {name: ask.attribute(name) for name in policies}
for name, found in tuned.items():
    sure = found.whole < -SURE * ask.noise(name)
    below, ratio = balance(found).tolist()
    rows.append(
        {
            "whose change": name, "along": "Ŵ", "Δ < 0": f"{below:.1%}",
            "beyond noise": f"{sure.double().mean():.1%}", "net / gross": f"{ratio:.2f}",
        }
    )  # fmt: skip
for label, is_near in {"any direction": False, "as near the offset": True}.items():
    drawn = ask.over_directions(balance, near_offset=is_near)
    below, ratio = (percentile_interval(c.mean().item(), c) for c in drawn.T)
    rows.append(
        {
            "whose change": "matched", "along": label,
            "Δ < 0": f"{below.value:.1%} [{below.low:.1%}, {below.high:.1%}]",
            "beyond noise": "–", "net / gross": str(ratio),
        }
    )  # fmt: skip
rows.append(
    {
        "whose change": "paper B, GPT2-medium", "along": "Ŵ", "Δ < 0": f"{40_801 / 98_302:.1%}",
        "beyond noise": "not asked", "net / gross": f"{7.2 / 48.0:.2f}",
    }
)  # fmt: skip
rows.append(
    {
        "whose change": "names exchanged", "along": "Ŵ", "Δ < 0": "–",
        "beyond noise": f"{measured['B5', ''].control:.1%}",
        "net / gross": f"{measured['B6', 'whole Δ'].control:.2f}",
    }
)  # fmt: skip
lab.show.table(rows, caption=f"Who raises toxicity ({base.name}; mean and 95 % of random draws)")

# %%
given_back = share(-own.whole[up].sum().item(), gross)
print(f"beyond noise: {up.double().mean():.1%} of neurons raise toxicity and give back")
print(f"{given_back:.0%} of gross; {down.double().mean():.1%} lower it")
for claim, part in (("B5", ""), ("B6", "whole Δ"), ("B6", "activation Δ")):
    print(lab.claims.record(claim, measured[claim, part], part=part))

# %% [markdown]
# Hold the first row against the one *as near the offset*. Where they are alike, so many neurons go
# the other way because a step that moves the model that far along a direction moves so many against
# it, toxic direction or not; "noise" is then a name for what the question did not ask about. And a
# balance depends on size: of many neurons that each move a little, chance alone cancels more.
#
# ### How many neurons does it take?
#
# Sort by Δ, largest first, and add up. The curve climbs to gross, then falls to net as the raising
# ones come in. Few neurons *reach the net* where net is small: a small denominator again.

# %%
reached = {
    (of, part): own.to_reach(part, of=of) for of in ("net", "gross") for part in (0.5, 0.75, 0.99)
}
some = torch.linspace(0, total - 1, min(total, 200)).long()
exchanged = next(ask.exchanged("matched"))[0]
curves = {"matched": own.whole, "names exchanged": exchanged}
heights = {
    name: table.flatten().sort(descending=True).values.cumsum(dim=0)[some]
    for name, table in curves.items()
}
finding = (
    f"Half of the net is reached by {reached['net', 0.5]} neurons, half of the gross by "
    f"{reached['gross', 0.5]}, 99 % of the gross by {reached['gross', 0.99]} of {total:,} "
    f"({base.name})"
)
plots.line(
    (100 * (some + 1) / total).tolist(),
    heights,
    reference={"net": net, "gross": gross},
    title=finding,
    x_label="neurons counted, largest reduction first (%)",
    y_label="summed Δ along Ŵ",
    alt="Cumulative reduction over neurons sorted by their own, with gross and net as lines, and "
    "the same where the two models' names were exchanged on half of the texts.",
)

# %%
lab.show.table(
    [
        {"of": of, **{f"{part:.0%}": reached[of, part] for part in (0.5, 0.75, 0.99)}}
        for of in ("net", "gross")
    ]
    + [{"of": "net, paper B", "50%": 45, "75%": 96, "99%": 172}],
    caption=f"Neurons needed, of {total:,} (paper B: of 98,302, two having no sign; 0: the net is "
    "not a reduction)",
)

# %% [markdown]
# **What this does not show:** that the first few hundred *would do*. They were sorted by the very
# quantity that is added up, so they look as good as they can. Only an intervention can tell
# (section 8, and notebook 08).
#
# ## 7 · The whole account
#
# Neurons are not all. The last stream is a sum of embeddings, every attention head, every neuron,
# and biases. Along $\hat W$ each has its own reduction, and they must add up to what the stream
# itself shows. Then the read-out, in a unit of its own: how far *toxic words' logit* falls because
# the stream has moved, and how far because last LayerNorm and unembedding have.

# %%
account = ask.account("matched")
assert abs(account.residue) < 1e-4, "the account must close"
by_row = account.rows()
named = {
    "embeddings": by_row["embedding"],
    "attention heads": by_row["heads"],
    "attention biases": by_row["attention_bias"],
    "neurons fire otherwise": by_row["activation"],
    "neurons write otherwise": by_row["value"],
    "both at once": by_row["interaction"],
    "MLP biases": by_row["mlp_bias"],
}
parts_of_stream = {name: share(part, account.stream) for name, part in named.items()}
largest = max(named, key=named.get)
finding = (
    f"The last stream moves by {-account.stream:+.2f} along Ŵ. Largest reduction: {largest}, "
    f"{named[largest]:.2f}; attention heads {named['attention heads']:.2f} ({base.name}, matched)"
)
plots.bar(
    list(named),
    {"reduction": list(named.values())},
    title=finding,
    x_label="who writes it",
    y_label="reduction along Ŵ",
    alt="Reduction of the last residual stream along the probe by source.",
)

# %%
print(lab.claims.record("N1", measured["N1", ""]))
lab.show.table(
    [
        {"source": name, "reduction": part, "of the stream's": f"{parts_of_stream[name]:.1%}"}
        for name, part in named.items()
    ]
    + [
        {"source": "sum", "reduction": sum(named.values()), "of the stream's": ""},
        {"source": "stream, as read", "reduction": account.stream, "of the stream's": ""},
        {
            "source": "in logits: the stream moved",
            "reduction": account.read_by_stream,
            "of the stream's": "another unit",
        },
        {
            "source": "in logits: the read-out did",
            "reduction": account.read_by_readout,
            "of the stream's": "another unit",
        },
    ],
    caption=f"The account; residue {account.residue:.1e} of gross ({base.name}, matched)",
)

# %% [markdown]
# Which heads?

# %%
heads = account.heads
strongest = divmod(int(heads.argmax()), heads.shape[1])
second = heads.flatten().sort(descending=True).values[min(1, heads.numel() - 1)].item()
finding = (
    f"Head {strongest[1]} of layer {strongest[0]} gives {heads[strongest]:.3f} of the heads' "
    f"{heads.sum():.3f}, the next one {second:.3f} ({base.name}, matched)"
)
plots.heatmap(
    heads.numpy(),
    title=finding,
    x_label="head",
    y_label="layer",
    value_label="reduction along Ŵ",
    x_names=list(range(heads.shape[1])),
    y_names=list(range(heads.shape[0])),
    alt="Reduction along the probe that each attention head writes, by layer and head.",
)

# %% [markdown]
# Shares of *neurons* leave the attention's part out of their denominator, in paper B and in
# sections 4 to 6. The account closes whatever the truth is: it is arithmetic, and a test of our
# instruments. **What it does not show:** causes. A head may write otherwise because neurons below
# it do.
#
# ## 8 · Take them out
#
# Now an intervention. **Ablate** toxic neurons in base (multiply their value vectors by 0), and
# see how near the text comes to the policy's. Paper B ablates by cosine with the probe, and by
# cosine among those that fire; we add the largest Δ, which needs the tuned model to be known, and
# as many **random** neurons of the layers that the choice by cosine takes (so they are the control
# of that curve; the claim below draws one for its own choice).
#
# **Guess first.** How many must go until the text is as clean as *matched*'s, and what will it cost
# in perplexity?

# %%
needed = lab.guess("07.5", "Share of all neurons that must go", low=0, high=1, value=None)

# %%
dev = {name: lab.looks.take(name, model=policy) for name, policy in policies.items()}
dev_base = lab.looks.take("base")
tried = {name: lab.emulation.ablations(name) for name in policies}
looks = {
    "by cosine": ("matched", "cosine"),
    "by cosine, of those that fire": ("matched", "positive and cosine"),
    "by Δ of matched": ("matched", "reduction"),
    "by Δ of strong": ("strong", "reduction"),
    "random": ("matched", "random"),
}
rows, across, heights, cost = [], {}, {}, {}
for label, (name, by) in looks.items():
    found = [pair for (way, _), pair in tried[name].items() if way == by]
    across[label] = [len(neurons) for neurons, _ in found]
    heights[label] = [trial.toxicity.value for _, trial in found]
    cost[label] = [trial.perplexity / dev_base.perplexity for _, trial in found]
    for neurons, trial in found:
        rows.append(
            {
                "chosen": label,
                "ablated": len(neurons),
                "of all neurons": f"{len(neurons) / total:.1%}",
                "toxicity": trial.toxicity.value,
                "by the second scorer": trial.toxicities[1].value,
                "perplexity / base": trial.perplexity / dev_base.perplexity,
                "fluency / base": trial.fluency / dev_base.fluency,
            }
        )
lab.show.table(
    rows,
    caption=f"{len(dev_base.prompts)} development prompts, {lab.scorers[0].unit} ({base.name}); "
    f"base {dev_base.toxicity.value:.2f}, "
    + ", ".join(f"{name} {trial.toxicity.value:.2f}" for name, trial in dev.items()),
)

# %%
ways = [label for label in looks if label != "random"]
written = int((dev_base.measures[f"toxicity ({lab.scorers[0].name})"].weights > 0).sum())
print(f"{written} texts that are not empty: a level is known to about", end=" ")
draws = {"n": lab.profile.counts.bootstrap, "seed": lab.profile.seed}
print(f"± {dev_base.toxicity.interval(**draws).width / 2:.2f}")
lowest = min((min(heights[label]), label) for label in ways if heights[label])
enough = [
    count / total
    for label in ways
    for count, height in zip(across[label], heights[label])
    if height <= dev["matched"].toxicity.value
]
lab.answer("07.5", min(enough, default=None))
finding = (
    f"Lowest by ablation: {lowest[0]:.2f} ({lowest[1]}); matched has "
    f"{dev['matched'].toxicity.value:.2f}, strong {dev['strong'].toxicity.value:.2f} ({base.name}, "
    f"development prompts)"
)
plots.line(
    across,
    heights,
    reference={"base": dev_base.toxicity.value}
    | {name: trial.toxicity.value for name, trial in dev.items()},
    title=finding,
    x_label="neurons ablated",
    y_label="toxicity",
    log_x=True,
    alt="Toxicity against the number of neurons ablated, by four ways of choosing them and at "
    "random, with base's and both policies' levels.",
)

# %%
inside = [
    (height, label)
    for label in ways
    for height, ratio in zip(heights[label], cost[label])
    if ratio <= 1.08
]
finding = (
    f"With perplexity at most 1.08 × base's, ablation reaches "
    f"{min(inside)[0] if inside else dev_base.toxicity.value:.2f}; matched stands at "
    f"{dev['matched'].toxicity.value:.2f} ({base.name}, development prompts)"
)
plots.line(
    cost | {"tuned": [trial.perplexity / dev_base.perplexity for trial in dev.values()]},
    heights | {"tuned": [trial.toxicity.value for trial in dev.values()]},
    points=(*looks, "tuned"),
    reference={"base": dev_base.toxicity.value},
    limits={"1.08 × base": 1.08},
    title=finding,
    x_label="perplexity / base",
    y_label="toxicity",
    alt="Toxicity against relative perplexity for every ablation and for the two policies, with "
    "the budget of perplexity as a line.",
)

# %% [markdown]
# The claim asks for the *best* ablation: of all numbers and ways, the least toxic one within the
# budget on development prompts, measured once on evaluation prompts and compared with the policy
# pair by pair. Its control ablates as many random neurons of the same layers.

# %%
rows = []
for name in policies:
    measurement = lab.emulation.measure_ablation(name)
    details = measurement.details
    start_look, tuned_look = lab.emulation.pair(name)
    print(lab.claims.record("B1", measurement, policy=name))
    rows.append(
        {
            "policy": name,
            "ablated": details["ablated"],
            "of all neurons": f"{details['ablated'] / total:.1%}",
            "toxicity − the policy's": measurement.value,
            "95 %": "[{:.3f}, {:.3f}]".format(*measurement.interval),
            "random − the policy's": measurement.control,
            "base − the policy's": details["base_minus_dpo"],
            "perplexity / base": details["perplexity_ratio"],
            "the policy's": tuned_look.perplexity / start_look.perplexity,
            "fluency / base": details["fluency_ratio"],
            "the policy's own": tuned_look.fluency / start_look.fluency,
        }
    )
lab.show.table(rows, caption=f"The best ablation on evaluation prompts ({base.name})")

# %% [markdown]
# An interval around 0 says that the best ablation comes as low as the policy. Before that is called
# *emulation*, read three more numbers. **How many** neurons had to go: paper B removes at most 2 %
# of GPT2-medium's, so a result at a larger share answers another question. **What it cost**:
# fluency and perplexity beside the policy's own. And **how they were chosen**: by Δ, DPO has
# already told which neurons to take. An interval above 0 is the paper's finding; then check that
# the random neurons leave more, or the ablation did nothing. (Random neurons may leave more than
# *base* does: taking out neurons at large can make text more toxic, not less.)
#
# ### At paper B's size

# %%
rows = []
for label in looks:
    name, by = looks[label]
    kept = [
        (trial, len(neurons))
        for (way, _), (neurons, trial) in tried[name].items()
        if way == by and len(neurons) <= max(0.021 * total, min(lab.profile.explanation.ablated))
    ]
    if kept:
        trial, n = min(kept, key=lambda one: one[0].toxicity.value)
        drop = lab.looks.emulated(trial, base=dev_base, aligned=dev["matched"])
        rows.append(
            {
                "chosen": label, "ablated": n, "toxicity": trial.toxicity.value,
                "perplexity / base": trial.perplexity / dev_base.perplexity,
                "share of matched's drop": str(drop),
            }
        )  # fmt: skip
lab.show.table(
    rows,
    caption="About 2 % of the neurons at most: the best of the numbers tried, also for the random "
    f"row ({len(dev_base.prompts)} development prompts; 95 % intervals over prompts)",
)

# %% [markdown]
# ## 9 · What is settled, what hangs on a definition, what stays open
#
# **Settled here, by construction or by control.** The account closes: every share is a share of
# something real. Random directions give four groups too; whether the probe's sizes lie outside
# theirs is in section 5's figure. What of the raising neurons is chance is in section 6's.
#
# **Hangs on a definition.** "The toxic neurons' share": group, top or effect; gross or net;
# neurons alone or the whole stream; and, for the effect, whether the neuron's own mean does it too.
# No one of these numbers refutes another.
#
# **Open.** Whether what accounts for the drop also *produces* it. Sums over means cannot tell, and
# ablation removes what DPO only turns down. Notebook 08 gives base the policy's activations, group
# by group.

# %% [markdown]
# ## Your turn
#
# Each exercise ships with its solution. To try it yourself, delete the lines between `### BEGIN
# SOLUTION` and `### END SOLUTION`, write your own, and run the cell: the check tries your
# function on fresh inputs and says what is off. The hint is folded below.
#
# ### Exercise 1 · A group's share
#
# **Goal:** TP's share of the gross reduction by the final definition. **Difficulty:** ●●○○○
# **Minutes:** 8
#
# One entry per neuron: mean activation before and after, $v \cdot \hat W$ before and after. TP is
# decided *before*: $v \cdot \hat W$ above 0 and activation above 0. Its members are those whose
# whole $\Delta$ is above 0.

# %%
from jaxtyping import Float
from torch import Tensor

from helpers.teaching.exercises import check_toxic_share


def toxic_share(
    m: Float[Tensor, " neuron"],
    new_m: Float[Tensor, " neuron"],
    along: Float[Tensor, " neuron"],
    new_along: Float[Tensor, " neuron"],
) -> float:
    """TP's share of the gross reduction, final definition."""
    ### BEGIN SOLUTION
    reduction = (m * along - new_m * new_along).clamp(min=0)
    inside = (along > 0) & (m > 0)
    return (reduction[inside].sum() / reduction.sum()).item()
    ### END SOLUTION


check_toxic_share(toxic_share)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The neurons with Δ below 0 are neither in the group nor in the denominator: set them to 0 first.
# </details>
#
# ### Exercise 2 · The wrong denominator
#
# **Goal:** how many neurons reach half of the *net*, and how many half of the *gross*?
# **Difficulty:** ●●○○○ **Minutes:** 8
#
# Given every neuron's Δ, take the largest first and count until the sum reaches the half (the one
# that reaches it counts). Return both counts. The net is above 0 in every round.

# %%
from helpers.teaching.exercises import check_neurons_for_half


def neurons_for_half(reduction: Float[Tensor, " neuron"]) -> tuple[int, int]:
    """How many of the largest reductions add up to half of net, and to half of gross."""
    ### BEGIN SOLUTION
    largest = reduction.sort(descending=True).values.clamp(min=0).cumsum(dim=0)
    net, gross = reduction.sum(), largest[-1]
    return tuple(int((largest < goal / 2).sum()) + 1 for goal in (net, gross))
    ### END SOLUTION


check_neurons_for_half(neurons_for_half)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `cumsum` of the sorted Δ's; count the entries that are still below the half, and one more. Mind
# that a sum over all Δ's falls again at the end.
# </details>
#
# ### Exercise 3 · The null that makes a share mean something
#
# **Goal:** a random direction that lies exactly as near the offset as the probe does.
# **Difficulty:** ●●●○○ **Minutes:** 10
#
# Given a random vector, the offset and a cosine, return a vector of length one that has this cosine
# with the offset, and for the rest points where the random vector does.

# %%
from helpers.teaching.exercises import check_as_near


def as_near(
    noise: Float[Tensor, " d_model"], offset: Float[Tensor, " d_model"], cosine: float
) -> Float[Tensor, " d_model"]:
    """A direction of length one, with a given cosine to the offset, random besides."""
    ### BEGIN SOLUTION
    axis = offset / offset.norm()
    rest = noise - (noise @ axis) * axis
    return cosine * axis + (1 - cosine**2) ** 0.5 * rest / rest.norm()
    ### END SOLUTION


check_as_near(as_near)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Take from the random vector what lies along the offset. Two unit vectors at right angles, with
# weights $c$ and $\sqrt{1 - c^2}$, add up to a unit vector.
# </details>

# %% [markdown]
# ### Open task · Whose share by another direction?
#
# **Minutes:** 20 to 40. There is no check: nobody here knows the answer.
#
# All shares hang on one direction, the probe's. Take another that claims to be toxicity: U0 or U1
# of notebook 02, or the mean difference of notebook 01. Do the four groups keep their shares, and
# are the same neurons in them?
#
# Start with `lab.attribution.attribute("matched", direction=…)`, `.groups()`, `.shares()` and
# `lab.attribution.null(…)`. Which overlap of two groups would two random directions have? Write
# down your guess and what the result does not show.

# %% [markdown]
# ## What this notebook settles

# %%
lab.claims_table("B1", "B3", "B4", "B5", "B6", "N1", "N2")

# %% [markdown]
# [Notebook 00](00_start_here.ipynb) shows the same claims over several models. Read *agrees* and
# *not reproduced* as answers for this model: how large a balance is, or how many neurons must go,
# depends on how many there are.

# %% [markdown]
# ## Where to go next
#
# Accounts and ablations ask what could be taken out. Can base be made to *act* like the policy by
# being given its activations, one group at a time? That is notebook 08's question. To see tuning
# taken back: [09 · How cheaply is it undone?](09_unalignment.ipynb)
