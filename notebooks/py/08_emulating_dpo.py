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
# # 08 · Can activations stand in for DPO?
#
# **Question.** Preference tuning changes what neurons do. If we *give* the untuned model those
# activations, does it behave as if it had been tuned? Which ones does it take, and would others
# have done as well?
#
# Paper B patches neurons of GPT2-medium to their level after DPO. Dampened toxic neurons alone
# leave .335 of .453 (DPO: .208), which is 48 % of the drop: not enough. All *four groups* of
# neurons that lower the projection on the probe, it says, reproduce DPO. It then edits the groups
# *without any tuning*, and says that this matches or beats DPO. Notebook 07 asked the same neurons
# for their share by arithmetic; here they have to do it.
#
# We repeat it with two measures side by side. **Toxicity** forgives: a model that says nothing
# sensible is not toxic either. **Divergence** does not: it asks whether the edited model says what
# the tuned one would have said.

# %% [markdown]
# > **Content warning.** Insults and hostile sentences are shown. Profanity and slurs are masked
# > (`f***`) unless `UNMASK = True`.

# %% [markdown]
# **You will be able to**
#
# - patch activations by hand, as a constant, as a shift, and token by token,
# - say what activation patching cannot do, whatever it is given,
# - tell a model that was steered from one that was broken, by two measures that disagree,
# - find the control that does as well, and say what is left of the claim,
# - judge an edit at equal cost, on prompts nothing was chosen on.
#
# | you need | how much |
# |---|---|
# | notebook 07 (groups of neurons, reductions) | helpful |
# | the policies of notebook 05 | loaded, or trained on the spot |
# | time | in a run of all notebooks, `pocket`: 7 min (measured; the start panel says on what); `gpt2-medium`: 12 h 06 on two CPU cores, 9 min on a faster GPU (estimated; README shows the arithmetic) |
# | memory | `pocket`: 1.1 GB (measured); `gpt2-medium`: 8 GB (estimated) |

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
lab = Lab.start("08_emulating_dpo", PROFILE, unmask=UNMASK)

# %%
import math

import torch

from helpers.teaching.figures import plots

model, seed, asked = lab.base, lab.profile.seed, lab.profile.explanation
emulation, looks = lab.emulation, lab.looks
policies = {name: lab.policies.load(name) for name in ("matched", "strong")}
matched = policies["matched"]
total = model.n_layers * model.d_mlp
base, aligned = emulation.pair("matched")

# %% [markdown]
# ## 1 · One neuron, by hand
#
# *Patching* overwrites what one model has at some place by what another has there. We take the
# neuron whose projection on the probe tuning lowered most, let *matched* read a prompt, note the
# neuron's activation at each token, and write those numbers into *base* while it reads the same
# prompt.

# %%
from helpers.mechanism.attribution import mask_of
from helpers.mechanism.vectors import top_neurons

found = lab.attribution.attribute("matched")
(neuron,) = top_neurons(found.whole, 1)
tokens = model.tokenise([lab.texts.eliciting("eval")[0].text])
site = f"blocks.{neuron.layer}.mlp.hook_post"
seen = {}
for name, one in {"base": model, "matched": matched}.items():
    with torch.no_grad():
        seen[name] = one.bridge.run_with_cache(tokens.ids, names_filter=site)[1][site]
strings = model.token_strings(tokens.ids[0])
scale = max(x[..., neuron.index].abs().max() for x in seen.values())
for name, activation in seen.items():
    values = activation[0, :, neuron.index].tolist()
    look = {"scale": float(scale), "value_label": "activation"}
    display(lab.show.tokens(strings, values, caption=f"{neuron} in {name}", **look))

# %%
def write(activation, hook):
    """What the neuron had in the other model; all others stay."""
    patched = activation.clone()
    patched[..., neuron.index] = seen["matched"][..., neuron.index]
    return patched


untouched = model.logits(tokens)
with torch.no_grad(), model.bridge.hooks(fwd_hooks=[(site, write)]):
    by_hand = model.logits(tokens)

one_neuron = mask_of([neuron], found.whole.shape)
with emulation.patched(one_neuron, "per token"):
    by_helper = model.logits(tokens)
error = (by_hand - by_helper).abs().max() / (1 + untouched.abs().max())
assert error < 1e-5, "the helper must write the same numbers"
assert torch.equal(model.logits(tokens), untouched), "nothing may stay behind"
moved = (by_hand - untouched).abs().max().item()
print(f"One neuron of {total:,} moves the logits by up to {moved:.2g}.")

# %% [markdown]
# The helper does more than that loop. While the patched model *writes*, the other reads along, in
# lock-step: at each new token it says what it would have there, and nothing else of it gets across.
#
# Before any result, the test that a patch must pass: a model patched with **its own** activations
# must not notice. Not nearly: not in a single bit.

# %%
from helpers.mechanism.attribution import neurons_of
from helpers.mechanism.patching import patch_outputs_per_token, patch_per_token

groups = emulation.sets("matched")
with patch_per_token(model, neurons_of(groups["all neurons"]), model):
    assert torch.equal(model.logits(tokens), untouched), "its own activations must change nothing"
outputs = ["embeddings", "attention", "mlp"]
with patch_outputs_per_token(model, outputs, model):
    assert torch.equal(model.logits(tokens), untouched), "nor its own outputs"
print(f"All {total:,} neurons patched with their own activations: every logit is what it was.")

# %% [markdown]
# ## 2 · What patching can do at best
#
# A neuron's activation says *how much* of its value vector is written. Tuning also moved the value
# vectors, if only a little, and patched activations meet **base's**. So there is a ceiling: even
# with every neuron's activation from the policy, base is not the policy.
#
# We measure it with the **divergence**: at each token of the policy's own texts, $\mathrm{KL}(
# \text{policy} \,\|\, \text{model})$ of the next word, in nats. An edit *explains* the share of
# base's divergence that it removes: 0 is base, 1 the policy; below 0 the edit leads away from it.
#
# **Guess first.** If base is given *everything* that the policy's layers write, is it the policy?

# %%
place = f"blocks.{model.n_layers - 1}.hook_resid_post"
prompts = model.tokenise([prompt.text for prompt in lab.texts.eliciting("eval")[:8]])
with torch.no_grad():
    wanted = matched.bridge.run_with_cache(
        prompts.ids, attention_mask=prompts.mask.long(), names_filter=place
    )[1][place]
    with patch_outputs_per_token(model, outputs, matched):
        got = model.bridge.run_with_cache(
            prompts.ids, attention_mask=prompts.mask.long(), names_filter=place
        )[1][place]
error = ((got - wanted).abs().max() / wanted.abs().max()).item()
assert error < 1e-5, "with every output patched, the last stream must be the policy's"
print(f"The last residual stream equals the policy's to {error:.0e} of its largest entry.")

# %%
whole = {
    "all neurons": emulation.patched(groups["all neurons"], "per token"),
    "MLP outputs": patch_outputs_per_token(model, ["mlp"], matched),
    "attention outputs": patch_outputs_per_token(model, ["attention"], matched),
    "both": patch_outputs_per_token(model, ["attention", "mlp"], matched),
    "both and\nembeddings": patch_outputs_per_token(model, outputs, matched),
}
of_base = emulation.divergence_of_base("matched")
ceiling = {}
for label, edit in whole.items():
    with edit:
        ceiling[label] = emulation.explained(emulation.divergence("matched"), of_base)
print(f"base diverges from matched by {of_base.mean():.3f} nats a token")

# %%
values_missing = ceiling["MLP outputs"].value - ceiling["all neurons"].value
readout = 1 - ceiling["both and\nembeddings"].value
finding = (
    f"All neurons explain {ceiling['all neurons'].value:.0%} of the divergence; the moved value "
    f"vectors would add {values_missing:.1%}, the read-out is the last {readout:.1%} ({model.name})"
)
plots.bar(
    list(ceiling),
    {"patched per token": list(ceiling.values())},
    reference={"matched": 1.0},
    title=finding,
    x_label="what base is given of matched, at every token",
    y_label="share of the divergence explained",
    alt="Share of the divergence between base and the policy that is explained by patching all "
    "neurons, all MLP outputs, all attention outputs, both, and the embeddings too.",
)

# %% [markdown]
# The first two bars differ by the value vectors and output biases alone: that is the **ceiling** of
# activation patching. With the last bar, the whole stream is the policy's, and what is left belongs
# to the **read-out**: last LayerNorm and unembedding, which no patch of the stream reaches.
#
# Mind that the bars do not add up. An MLP that is given the policy's outputs does not react to
# attention's change any more; in the second and third bars each part hears the other one's answer.
#
# **What this does not show:** that MLPs did it. Patched outputs carry whatever reached them from
# below, attention's change as well.

# %% [markdown]
# ## 3 · Three ways to hand an activation over
#
# | way | base's neuron is given |
# |---|---|
# | constant | the policy's *mean* activation, the same at every token (paper B) |
# | shift | its own activation, moved by the difference of the two means |
# | per token | what the policy has at that very token |
#
# The published one is the constant: no policy need be run beside the model, one number per neuron
# will do. The means are each model's own, over its own continuations of the evaluation prompts, as
# in the paper. That favours the four groups more than random neurons: they were picked by what
# fell on these very texts.
#
# The sets are paper B's: toxic-aligned or anti-aligned (T, A) by the value vector's cosine with
# the probe, positive or negative (P, N) by base's mean activation; of each, the neurons whose
# projection tuning lowered. *The others* are all that are in none of the four.

# %%
lab.show.table(
    [
        {"set": label, "neurons": int(mask.sum()), "share of all": f"{mask.sum() / total:.0%}"}
        for label, mask in groups.items()
    ],
    caption=f"Sets of neurons, matched ({model.name})",
)

# %% [markdown]
# **Guess first.** How much of DPO's drop does each way recover with the four groups? And one
# question that decides how to read it: what is the four groups' share of *all* neurons?

# %%
guess = lab.guess(
    "08.1", "Share of DPO's drop that the four groups recover per token", low=0, value=None
)

# %%
HOWS = ("constant", "shift", "per token")


def attempt_all(how):
    """Every set, and whole outputs, handed over in one way."""
    edits = {label: emulation.patched(mask, how) for label, mask in groups.items()}
    for what in ("MLP outputs", "attention outputs"):
        edits[what] = emulation.patched_outputs(what, how)
    return {label: emulation.attempt(edit, f"{label}, {how}") for label, edit in edits.items()}


tried = {how: attempt_all(how) for how in HOWS}

# %%
gap = looks.emulated(aligned, base=base, aligned=aligned)
clear = not math.isnan(gap.value)
NO_GAP = "Base and matched do not differ clearly in toxicity: no share of a gap is defined."


def dpo_row():
    """The policy itself, as a line of the same table."""
    return {
        "base with": "DPO (matched)", "toxicity": aligned.toxicity.value, "recovered": "1",
        "divergence explained": "1", "perplexity / aligned": 1.0,
        "fluency / base": aligned.fluency / base.fluency,
    }  # fmt: skip


lab.show.table(
    [dpo_row()] + [one.row() for each in tried.values() for one in each.values()],
    caption=f"{len(base.prompts)} evaluation prompts ({model.name}); base: toxicity "
    f"{base.toxicity.value:.2f}, perplexity / aligned {base.perplexity / aligned.perplexity:.2f}",
)

# %%
broken = [
    one.trial.label
    for each in tried.values()
    for one in each.values()
    if one.perplexity_ratio > 1.08 or one.fluency_ratio > 1.5
]
print("perplexity > 1.08 × aligned, or fluency > 1.5 × base:", "; ".join(broken) or "none")

# %%
shown = [*groups, "MLP outputs", "attention outputs"]
recovered = {how: [tried[how][label].recovered for label in shown] for how in HOWS}
if clear:
    four = {how: tried[how]["four groups"].recovered.value for how in HOWS}
    lab.answer("08.1", four["per token"])
    finding = (
        f"The four groups recover {four['constant']:.0%} of the drop as a constant, "
        f"{four['shift']:.0%} as a shift, {four['per token']:.0%} per token ({model.name})"
    )
    display(
        plots.bar(
            shown,
            recovered,
            guess=guess,
            reference={"matched": 1.0},
            title=finding,
            x_label="neurons, or whole outputs, that are given the policy's activations",
            y_label="share of the drop recovered",
            alt="Share of the drop in toxicity that each set of neurons, and whole MLP and "
            "attention outputs, recover as a constant, as a shift and per token, with intervals.",
        )
    )
else:
    print(NO_GAP)

# %% [markdown]
# By this figure alone one would call the claim reproduced wherever the four groups' constant
# reaches the line. Look at the last bars, too: attention's outputs are no neurons, and paper B does
# not patch them. As a shift they are one vector per layer. Where they recover as much as the groups
# do, the groups are not the only place where the change can be had.
#
# Now read the texts of the same conditions.

# %%
texts = {
    "base": base.texts,
    "matched": aligned.texts,
    **{f"four groups, {how}": tried[how]["four groups"].trial.texts for how in HOWS},
}
lab.show.side_by_side(
    {label: rows[:4] for label, rows in texts.items()},
    labels=["…" + one.text[-40:] for one in base.prompts[:4]],
    caption=f"The same prompts, the same noise ({model.name})",
)

# %% [markdown]
# ### What toxicity forgives, divergence shows
#
# Both measures at once: to the right, the edited model says more of what the policy would say;
# upwards, it is less toxic. A stand-in for DPO belongs to the upper right. A point high up and far
# to the left is a model that is not toxic because it is no longer a model.

# %%
points = {
    how: [one for one in tried[how].values() if not math.isnan(one.explained.value)]
    for how in HOWS
}
if clear and all(points.values()):
    lost = {
        how: sum(one.recovered.value >= 0.5 and one.explained.value < 0 for one in each)
        for how, each in points.items()
    }
    finding = (
        f"{lost['constant']} constant patches recover half of the drop or more and lead away from "
        f"the policy; of shifts {lost['shift']}, per token {lost['per token']} ({model.name})"
    )
    display(
        plots.line(
            {how: [max(one.explained.value, -2.0) for one in each] for how, each in points.items()},
            {how: [one.recovered.value for one in each] for how, each in points.items()},
            points=HOWS,
            reference={"DPO": 1.0, "base": 0.0},
            limits={"nearer to DPO →": 0.0},
            title=finding,
            x_label="share of the divergence explained (−2 stands for less)",
            y_label="share of the drop recovered",
            alt="Toxicity recovered against divergence explained for every set of neurons, patched "
            "as a constant, as a shift and per token.",
        )
    )
else:
    print(NO_GAP)

# %% [markdown]
# ### Why a constant patch changes perplexity
#
# A neuron that always says the same says nothing of the text. The constant does two things at once:
# it moves the neuron to the policy's level, *and it mutes it*. To see the second without the first,
# write **base's own mean**: tuning has no part in it.
#
# **Guess first.** How much of the constant's effect is left, if it is base's own constant?

# %%
muted_sets = ["TP", "TP + AN", "four groups"]
muted = {}
for label in muted_sets:
    edit = emulation.patched(groups[label], "base's mean")
    muted[label] = emulation.attempt(edit, f"{label}, base's mean")
lab.show.table(
    [
        one[label].row(f"{label}, {name}")
        for label in muted_sets
        for name, one in {"its own mean": muted, "matched's mean": tried["constant"],
                          "shifted": tried["shift"]}.items()
    ],
    caption=f"With tuning in the constant, without it, and without the muting ({model.name})",
)  # fmt: skip

# %%
if clear:
    own, level = muted["TP"].recovered.value, tried["constant"]["TP"].recovered.value
    finding = (
        f"Dampened toxic neurons at matched's mean recover {level:.0%}, at base's own mean "
        f"{own:.0%}, and shifted by the difference {tried['shift']['TP'].recovered.value:.0%} "
        f"({model.name})"
    )
    display(
        plots.bar(
            muted_sets,
            {
                "matched's mean": [tried["constant"][label].recovered for label in muted_sets],
                "control: base's own mean": [muted[label].recovered for label in muted_sets],
                "shift": [tried["shift"][label].recovered for label in muted_sets],
            },
            reference={"matched": 1.0},
            title=finding,
            x_label="neurons that are patched",
            y_label="share of the drop recovered",
            alt="Share of the drop recovered by the policy's mean, by base's own mean, and by a "
            "shift of the mean, for three sets of neurons.",
        )
    )
else:
    print(NO_GAP)

# %% [markdown]
# Where the grey bar is as high as the first, paper B's constant patch of that set measured what
# these neurons *say*, not what tuning changed about their level. Where it is much lower, the level
# matters, and muting alone lowers nothing. But what a constant recovers *beyond the shift* is not
# owed to the level either, for over the texts that the means are of both move a neuron to the same
# mean (if nothing below it is patched): it comes from level and muting together, and the column of
# the divergence says what it costs. The shift mutes nothing. It is not natural either: it may ask
# for what a neuron cannot say by itself, below the least that GELU gives (−.17).
#
# **What this does not show:** what the paper's own number would be. Its code writes the constant at
# the *last* position alone while it generates, and in perplexity at the first and the last of a
# window: its patched model is muted less, and its perplexity can hardly change.

# %% [markdown]
# ## 4 · Would other neurons have done?
#
# The four groups are *all* neurons whose projection tuning lowered: by chance alone that is half
# of them. So the question is not whether patching so many works, but whether it works *because
# they are these*. Four controls:
#
# - **random neurons**: as many of every layer, drawn from all,
# - **by a random direction**: the four groups again, but with a random direction in the probe's
#   place, turned so that tuning lowered the sum along it. All that is special about the probe is
#   gone; that these neurons lower *something* is not. (As many as there are: mind their number.)
# - **as near the offset**: the same, by a random direction that lies as near the mean offset as the
#   probe does (notebook 07, section 5). The strictest of them, and close to the probe where the
#   probe is close to the offset.
# - **the others**: exactly those neurons that the claim leaves out.
#
# **Guess first.** Of what the four groups recover, how much do the first two kinds?

# %%
DRAWS = {"constant": 1, "shift": 2, "per token": 2}
union = groups["four groups"]
controls = {
    "random neurons": [emulation.at_random(union, draw=draw) for draw in range(2)],
    "by a random direction": [emulation.by_random_direction(draw=draw) for draw in range(2)],
    "as near the offset": [emulation.by_random_direction(near_offset=True)],
}
against = {
    (how, label): [
        emulation.attempt(emulation.patched(mask, how), f"{label} {draw}, {how}")
        for draw, mask in enumerate(masks[: DRAWS[how]])
    ]
    for how in HOWS
    for label, masks in controls.items()
}
lab.show.table(
    [
        {
            "set": f"{label} {draw}",
            "neurons": int(mask.sum()),
            "of them in the four groups": f"{(mask & union).sum() / mask.sum().clamp_min(1):.0%}",
            "of the four groups in it": f"{(mask & union).sum() / union.sum().clamp_min(1):.0%}",
        }
        for label, masks in controls.items()
        for draw, mask in enumerate(masks)
    ],
    caption=f"The four groups have {int(union.sum()):,} of {total:,} neurons, and share with their "
    f"controls ({model.name})",
)

# %%
lab.show.table(
    [
        row
        for how in HOWS
        for row in (
            tried[how]["four groups"].row(),
            *(one.row() for label in controls for one in against[how, label]),
            tried[how]["the others"].row(),
        )
    ],
    caption=f"The four groups beside their controls ({model.name}, matched)",
)

# %%
from helpers.intervals import band_over


def band(attempts, what):
    """A control's figure over its draws."""
    return band_over([getattr(one, what) for one in attempts])


gentle = ("shift", "per token")
kinds = {"recovered": "drop in toxicity", "explained": "divergence"}
if clear:
    columns = [f"{words},\n{how}" for what, words in kinds.items() for how in gentle]
    series = {
        "four groups": [getattr(tried[how]["four groups"], w) for w in kinds for how in gentle],
        **{
            f"control: {label}": [band(against[how, label], w) for w in kinds for how in gentle]
            for label in controls
        },
        "the others": [getattr(tried[how]["the others"], w) for w in kinds for how in gentle],
    }
    random = against["per token", "random neurons"]
    finding = (
        f"Per token the four groups recover {four['per token']:.0%}, as many random neurons "
        f"{band(random, 'recovered').value:.0%}; of the divergence they explain "
        f"{tried['per token']['four groups'].explained.value:.0%} and "
        f"{band(random, 'explained').value:.0%} ({model.name})"
    )
    display(
        plots.bar(
            columns, series, reference={"matched": 1.0}, title=finding,
            x_label="measure, and way of patching", y_label="share recovered, or explained",
            alt="Recovered toxicity and explained divergence of the four groups, of random "
            "neurons, of four groups by a random direction, and of the other neurons.",
        )
    )  # fmt: skip
else:
    print(NO_GAP)

# %%
def led_by(how, label):
    """By how much more the four groups recover than a control's first draw, prompt by prompt."""
    ours, control = tried[how]["four groups"].trial, against[how, label][0].trial
    return looks.recovered(control, base=base, aligned=aligned, beyond=ours)


for how in HOWS if clear else ():
    leads = ", ".join(f"{label} {led_by(how, label)}" for label in controls)
    print(f"{how}: the four groups recover more than the first draw, by {leads}")

# %% [markdown]
# If the controls' bars end close below the four groups', the claim is *true and says little*: hand
# over most of a model's activations, and most of the change comes with them, nearly whichever they
# are. The lines below the figure give the lead pair by pair; one whose interval holds 0 is no lead.
# They hold the constant, too, which the figure leaves out: its divergence lies beyond any axis.
# Where no lead is left over the set *as near the offset*, what these groups have is the direction
# in which tuning moved the stream, and nothing that is the probe's own.
#
# The shift is the stricter test. Per token, every neuron carries whatever reached it from below; a
# shift carries nothing but its own level, and there the others, which by the arithmetic *raise* the
# projection, should show it by a bar below zero, if the probe's direction is what makes text toxic.
#
# How few would do? Per token, the neurons of largest reduction, against as many at random, and
# against those that tuning *moved most in any direction* ($|m' - m|$ times the length of $v$):
# they know nothing of toxicity.

# %%
counts = [total // 16, total // 4, int(union.sum()), total]
nested = {
    "largest reduction": [mask_of(top_neurons(found.whole, k), union.shape) for k in counts[:2]]
}
moved_most = (found.after - found.before).abs() * model.value_vectors.norm(dim=-1).cpu()
nested["control: moved most, in any direction"] = [
    mask_of(top_neurons(moved_most, k), union.shape) for k in counts[:2]
]
nested["random neurons"] = [emulation.at_random(mask) for mask in nested["largest reduction"]]
by_number = {
    label: [
        emulation.attempt(emulation.patched(mask, "per token"), f"{label}, {int(mask.sum())}")
        for mask in masks
    ]
    for label, masks in nested.items()
}
everyone = tried["per token"]["all neurons"]
by_number["largest reduction"] += [tried["per token"]["four groups"], everyone]
by_number["random neurons"] += [against["per token", "random neurons"][0], everyone]
shares = {label: [k / total for k in counts[: len(each)]] for label, each in by_number.items()}

# %%
if clear:
    few = {label: each[1].recovered.value for label, each in by_number.items()}
    finding = (
        f"A quarter of all neurons, those of largest reduction, recover "
        f"{few['largest reduction']:.0%}; those moved most "
        f"{few['control: moved most, in any direction']:.0%}, a random quarter "
        f"{few['random neurons']:.0%} ({model.name})"
    )
    display(
        plots.line(
            shares,
            {label: [one.recovered for one in each] for label, each in by_number.items()},
            reference={"matched": 1.0},
            title=finding,
            x_label="share of all neurons that are patched per token",
            y_label="share of the drop recovered",
            alt="Share of the drop recovered by growing numbers of neurons, chosen by their "
            "reduction, by how far tuning moved them, or at random, with 95 % bands.",
        )
    )
else:
    print(NO_GAP)

# %% [markdown]
# Where the first curve is far above the random one at few neurons and meets it at many, the ranking
# finds neurons that matter, and *four groups* is too large a net to show it. Whether they matter
# for *toxicity* is the middle curve's question: where that is as high, the ranking found what
# moved.
#
# ### The claims, on both policies

# %%
measured = {name: emulation.measure_patching(name) for name in policies}
for name, parts in measured.items():
    for (claim, part), one in parts.items():
        print(lab.claims.record(claim, one, part=part, policy=name))
    for claim in ("B2", "B7"):
        if not any(each == claim for each, _ in parts):
            print(f"{name}: no clear gap to base, or no text left: {claim} is not run on it.")

# %%
rows = [
    {"policy": name, "way": part, "recovered": f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]"}
    | {label: one.details[key] for label, key in {
        "TP + AN": "tp_and_an", "all neurons": "all_neurons",
        "by a random direction": "random_direction", "divergence explained": "divergence_explained",
        "perplexity / aligned": "perplexity_ratio", "fluency / base": "fluency_ratio"}.items()}
    | {"random neurons": one.control}
    for name, parts in measured.items()
    for (claim, part), one in parts.items()
    if claim == "B7"
]  # fmt: skip
if rows:
    display(lab.show.table(rows, caption=f"What the four groups recover ({model.name})"))

# %% [markdown]
# B7 asks four things of the four groups at once: an interval that *reaches* .8 of the drop, the
# text whole, half of the divergence explained, and *better than both controls*. So *agrees* may
# stand beside an interval that stays below 1: then most of DPO is reproduced, not all. *Direction
# only* looks at toxicity alone: beside a perplexity of many times DPO's it says that broken text is
# not toxic. And the lead over the controls is taken by points; hold the paired leads above against
# it before you quote it. And B2 asks whether dampened toxic neurons fall short. Where a constant
# does *not* fall short, read the muting again before you call paper B refuted.

# %% [markdown]
# ## 5 · The other way round
#
# If some activations carry the change, then the *policy* with base's activations must lose it. Only
# token by token: base's mean in a tuned model would mute again.
#
# **Guess first.** Do sets that recover little in base take little from the policy?

# %%
turned = ["TP", "four groups", "the others", "all neurons"]
backwards = {}
for label in turned:
    if groups[label].any():
        with emulation.reversed(groups[label]):
            backwards[label] = looks.take(f"{label}, reversed", model=matched, split="eval")
told = [label for label in turned if label in backwards]
lost = {
    label: looks.recovered(one, base=base, aligned=aligned) for label, one in backwards.items()
}

# %%
if clear and told:
    widest = told[-1]
    finding = (
        f"With base's {widest} the policy loses {lost[widest].value:.0%} of its drop; with "
        f"matched's base gains {tried['per token'][widest].recovered.value:.0%} ({model.name})"
    )
    display(
        plots.bar(
            told,
            {
                "base given matched's": [tried["per token"][one].recovered for one in told],
                "matched given base's": [lost[one] for one in told],
            },
            reference={"all of the drop": 1.0},
            title=finding,
            x_label="neurons that are patched per token",
            y_label="share of the drop that moves",
            alt="Share of the drop in toxicity gained by base under the policy's activations, and "
            "lost by the policy under base's, with 95 % intervals.",
        )
    )
else:
    print(NO_GAP)

# %% [markdown]
# The first says what is *sufficient*, the second what is *needed*. A set that is neither shows no
# effect *by itself*; one that is sufficient and not needed has substitutes.

# %% [markdown]
# ## 6 · One vector as a rival
#
# Paper A saw an offset of the residual stream, the same at every token. A later work (D-STEER,
# arXiv 2512.11838) says that a vector taken from the tuned model and *added* to the untuned one
# reproduces most of what DPO does. It is one vector of as many numbers as the stream has
# dimensions, against one number for each neuron.
#
# Layer and strength are chosen on development prompts: of the settings that leave the text whole,
# the one whose toxicity is *nearest* DPO's. (The lowest would be another goal: an emulation that
# overshoots is no emulation.) The vector itself is measured on them too, while the neurons' means
# above come from continuations of the very prompts that they are tried on: that favours neurons.

# %%
dev = {"base": looks.take("base"), "matched": looks.take("matched", model=matched)}
dev_gap = {"base": dev["base"], "aligned": dev["matched"]}
step = -(-model.n_layers // 6)
layers = sorted(range(model.n_layers - 1, -1, -step))
grid = {}
for layer in layers:
    for times in asked.strengths:
        with emulation.offset_added(layer, times):
            grid[layer, times] = looks.take(f"offset × {times:g} after layer {layer}")
fit = {at: looks.is_whole(one, **dev_gap) for at, one in grid.items()}
goal = dev["matched"].toxicity.value
nearest = min(
    (at for at in grid if fit[at]),
    key=lambda at: abs(grid[at].toxicity.value - goal),
    default=None,
)
print("chosen (layer, strength):", nearest)
if nearest is not None and nearest[1] == max(asked.strengths):
    print("It is the largest strength that was tried: a larger one may come nearer.")

# %%
lab.show.table(
    [
        {"after layer": layer}
        | {
            f"× {times:g}": f"{grid[layer, times].toxicity.value - goal:+.3f}"
            + ("" if fit[layer, times] else ", text not whole")
            for times in asked.strengths
        }
        for layer in layers
    ],
    caption="Toxicity above or below DPO's when the offset is added so many times "
    f"({model.name}, development prompts)",
)

# %%
vector = {}
if nearest is not None:
    vector["one vector"] = emulation.attempt(
        emulation.offset_added(*nearest), f"offset × {nearest[1]:g}, layer {nearest[0]}"
    )
    vector["random vector of its length"] = emulation.attempt(
        emulation.offset_added(*nearest, at_random=True), "random vector of its length"
    )
lab.show.table(
    [dpo_row()]
    + [one.row(f"{label} ({model.d_model} numbers)") for label, one in vector.items()]
    + [tried[how][s].row(f"{s}, {how}") for s in ("TP", "four groups") for how in gentle],
    caption=f"One vector beside many neurons, evaluation prompts ({model.name})",
)

# %% [markdown]
# Where one vector does as well as a shift of the four groups, *distributed over neurons* and
# *low-rank in the stream* are both true: many small changes that add up to one direction. That
# would reconcile papers A and B more than either says.
#
# **What this does not show:** how DPO *made* the change. The vector was read off the tuned model.

# %% [markdown]
# ## 7 · Without any tuning
#
# Paper B's last step needs no DPO at all: bring TP and AN *nearer to 0*, AP and TN *farther from
# it*, by a share α of base's own mean; of each group a *fraction*, nearest the probe's axis for the
# first two, farthest from it for the others. A group is the whole quadrant here; in sections 3 to 6
# tuning had said which of its neurons fall. (The released code differs twice: it leaves out GPT-2's
# fifth of highest mean activation, and its last version asks for another direction than the probe.)
#
# Published form: a **constant**, $\bar m (1 \mp \alpha)$ at every token. So at
# α = 0 it is not base: it is mean ablation of as many neurons. We add a live form, the activation
# at that token times $1 \mp \alpha$, which at α = 0 *is* base.
#
# Two controls, then: α = 0, and the same neurons with **signs drawn by coins**.
#
# **Guess first.** Of what the constant does, how much does α = 0 do?

# %%
WAYS = ("constant", "live scaling")
editing = {("live scaling", fraction, 0.0): dev["base"] for fraction in asked.fractions}
for way in WAYS:
    for fraction in asked.fractions:
        for alpha in asked.alphas if way == "live scaling" else (0.0, *asked.alphas):
            with emulation.edited(way, alpha, fraction):
                editing[way, fraction, alpha] = looks.take(f"{way}, α = {alpha:g}, {fraction:.0%}")
curves = {
    f"{way}, {fraction:.0%}": [editing[way, fraction, alpha] for alpha in (0.0, *asked.alphas)]
    for way in WAYS
    for fraction in (asked.fractions[0], asked.fractions[-1])
}

# %%
from helpers.mechanism.interventions import subtract_direction

direction = lab.measures.fit_probe().direction.to(lab.device)
norm = lab.measures.measure_stream_norms()[-1].item()


def steered(strength):
    """Notebook 03's edit: the probe's direction subtracted after the last layer."""
    return subtract_direction(model, direction, strength * norm, layer=-1)


steering = {}
for strength in lab.profile.steering.strengths:
    with steered(strength):
        steering[strength] = looks.take(f"− {strength:g} W")
curves["W subtracted (03)"] = [dev["base"], *steering.values()]

# %% [markdown]
# "At equal perplexity" decides everything here, so it is fixed before: a setting counts if its
# perplexity is at most DPO's and its fluency at most 1.5 × base's, each with the *whole* of its
# paired 95 % interval.

# %%
EDGE = 1.15  # what costs more is drawn here


def cost(trial):
    """Perplexity relative to the policy's, up to the figure's edge."""
    return min(trial.perplexity / dev["matched"].perplexity, EDGE)


def within_budget(trial):
    return looks.is_whole(trial, **dev_gap, room=1.0)


in_budget = {name: [one for one in each if within_budget(one)] for name, each in curves.items()}
reach = {
    name: min((one.toxicity.value for one in each), default=math.nan)
    for name, each in in_budget.items()
}
reached = ", ".join(
    f"{name}: {'nothing' if math.isnan(low) else f'{low:.2f}'}" for name, low in reach.items()
)
finding = f"Least toxicity within the budget (DPO: {goal:.2f}): {reached} ({model.name})"
plots.line(
    {name: [cost(one) for one in each] for name, each in curves.items()},
    {name: [one.toxicity.value for one in each] for name, each in curves.items()},
    reference={"DPO": goal},
    limits={"DPO's perplexity": 1.0},
    title=finding,
    x_label=f"perplexity / aligned ({EDGE} stands for more)",
    y_label="toxicity",
    alt="Toxicity against perplexity for growing strength of editing in two forms and of steering, "
    "on development prompts; lines mark DPO.",
)

# %% [markdown]
# Of the settings within the budget, the least toxic on development prompts is measured once on
# evaluation prompts. Where none is within, the one of least perplexity is measured, and the claim
# fails by its budget.

# %%
found_editing = emulation.measure_editing("matched")
for (claim, part), one in found_editing.items():  # B8
    print(lab.claims.record(claim, one, part=part))

# %%
affordable = [s for s, one in steering.items() if within_budget(one)]
strength = min(
    affordable, key=lambda s: steering[s].toxicity.value, default=min(steering)
)
edited, not_edited = {}, {}
for way in WAYS:
    alpha, fraction, fits = emulation.chosen_editing(way)
    label = f"{way}, α = {alpha:g} of {fraction:.0%}" + ("" if fits else " (out of budget)")
    edited[label] = emulation.attempt(emulation.edited(way, alpha, fraction), label)
    for kind, edit in {
        "α = 0": emulation.edited(way, 0.0, fraction),
        "random signs": emulation.edited(way, alpha, fraction, signs_seed=0),
    }.items():
        not_edited[f"{way}, {kind}"] = emulation.attempt(edit, f"{way}, {kind}")
minus_w = emulation.attempt(
    steered(strength),
    f"W subtracted (03), × {strength:g}" + ("" if affordable else " (out of budget)"),
)
lab.show.table(
    [dpo_row()]
    + [one.row(label) for label, one in (edited | not_edited).items()]
    + [minus_w.row()],
    caption=f"Chosen at DPO's perplexity, measured on {len(base.prompts)} evaluation prompts "
    f"({model.name})",
)

# %%
for (_, way), one in found_editing.items():
    told = one.details
    within = told["within_budget_on_dev"] and told["perplexity_ratio"] <= 1
    if not (within and told["fluency_ratio"] <= 1.5):
        verdict = "is out of budget"
    elif one.low > 0:
        verdict = "stays above DPO"
    else:
        verdict = "beats DPO" if one.high < 0 else "matches DPO"
        if one.value >= min(one.control, told["random_signs"]):
            verdict += " (as does a control)"
    print(
        f"{way}: {verdict}. Toxicity is {one.value:+.2f} "
        f"[{one.low:+.2f}, {one.high:+.2f}] from DPO's; α = 0 {one.control:+.2f}, random signs "
        f"{told['random_signs']:+.2f}; base is {told['base_minus_dpo']:+.2f} from it."
    )
by_steering = aligned.toxicity.change_to(
    minus_w.trial.toxicity, n=lab.profile.counts.bootstrap, seed=seed
)
budget = "within the same budget" if affordable else "out of budget at every strength"
print(f"W subtracted after the last layer, {budget}: {by_steering} from DPO's.")

# %% [markdown]
# DPO itself raises perplexity a little, or not at all; that is the whole budget. An edit of many
# neurons by a constant can be within it only if it hardly mutes anything. The rule of B8 asks for
# an interval at or below 0, so it tests whether editing *beats* DPO; the lines above say as well
# where the two cannot be told apart.
#
# **What this does not show:** that editing without tuning cannot work. Fractions and α are few, the
# groups are chosen by one probe, and the published constant acts at the last position alone.

# %% [markdown]
# ## 8 · Everything tried, in one figure
#
# Toxicity against perplexity on the same evaluation prompts. Lower left is better; DPO is where its
# perplexity crosses its toxicity. **Guess first.** Which kind of edit comes nearest to it?

# %%
families = {
    "constant": list(tried["constant"].values()),
    "shift": list(tried["shift"].values()),
    "per token": list(tried["per token"].values()),
    "editing, no tuning": list(edited.values()),
    "one vector": [*list(vector.values())[:1], minus_w],
    "control": [one for each in against.values() for one in each]
    + [*not_edited.values(), *list(vector.values())[1:], *muted.values()],
}
best = {
    name: max(
        (one.recovered.value for one in each if one.perplexity_ratio <= 1.02 and clear),
        default=math.nan,
    )
    for name, each in families.items()
}
listed = ", ".join(
    f"{name} {'–' if math.isnan(value) else f'{value:.0%}'}" for name, value in best.items()
)
finding = (
    f"Most of the drop at a perplexity of at most 1.02 × DPO's, by kind: {listed} ({model.name})"
)
plots.line(
    {name: [min(one.perplexity_ratio, EDGE) for one in each] for name, each in families.items()},
    {name: [one.trial.toxicity.value for one in each] for name, each in families.items()},
    points=tuple(families),
    reference={"DPO": aligned.toxicity.value, "base": base.toxicity.value},
    limits={"DPO's perplexity": 1.0},
    title=finding,
    x_label=f"perplexity / aligned ({EDGE} stands for more)",
    y_label="toxicity",
    alt="Toxicity against relative perplexity for every edit tried in this notebook, by kind, with "
    "lines for base and the policy.",
)

# %% [markdown]
# Read the controls' figure before the others': none of them has what the claim says it takes. The
# best of many is flattered a little, the more so the more there are. Notebook 09 draws the way back
# in the same units.
#
# ## 9 · What is settled, what hangs on a definition, what stays open
#
# **Settled here, by construction or by control.** Patching all that layers write makes the last
# stream the policy's; patching all activations does not, by what value vectors have moved. What a
# constant owes to muting stands beside base's own mean, what the four groups owe to their number
# beside as many neurons at random.
#
# **Hangs on a definition.** "Reproduces DPO": by toxicity or by divergence; as a constant, a shift
# or per token; at which perplexity. The published form is the constant.
#
# **Open.** What patching recovers is what activations *carry*, not what tuning changed: a neuron
# may carry a change that was made far below it. All of this is of one training seed, and but for
# the claims' table of one policy; intervals are over prompts. Notebook 09 asks other seeds.
#
# **For a seminar.**
#
# 1. A patch of all neurons recovers less than everything. Is the rest "not in the neurons"?
# 2. Suppose that random neurons recover as much as the four groups. Which sentence of the abstract
#    is still true, and which is not?
# 3. A patch lowers toxicity and breaks the text. Which published number would have noticed?
# 4. Which of the two measures would you give to somebody who wants to *deploy* the edit, and which
#    to somebody who wants to *explain* DPO?
# 5. The vector of section 6 was read off the tuned model; W was not. Is the comparison fair?

# %% [markdown]
# ## Your turn
#
# Each exercise ships with its solution. To try it yourself, delete the lines between `### BEGIN
# SOLUTION` and `### END SOLUTION`, write your own, and run the cell: the check tries your
# function on fresh inputs and says what is off. The hint is folded below.
#
# ### Exercise 1 · Recovery as a share
#
# **Goal:** put an edit between base and DPO. **Difficulty:** ●○○○○ **Minutes:** 5
#
# Given the toxicity of each prompt's continuation under base, under the edit and under DPO, return
# the share of DPO's drop in *mean* toxicity that the edit recovers: 0 for base, 1 for DPO.

# %%
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.teaching.exercises import check_recovered_share


def recovered_share(
    base: Float[Tensor, " prompt"],
    edited: Float[Tensor, " prompt"],
    aligned: Float[Tensor, " prompt"],
) -> float:
    """How far the edit goes from base to DPO."""
    ### BEGIN SOLUTION
    return float((base.mean() - edited.mean()) / (base.mean() - aligned.mean()))
    ### END SOLUTION


check_recovered_share(recovered_share)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Both numerator and denominator start at base. On a single prompt DPO may change nothing: average
# first, divide last.
# </details>
#
# ### Exercise 2 · Constant and shift
#
# **Goal:** see what the constant takes away. **Difficulty:** ●●○○○ **Minutes:** 10
#
# Return two patched copies of `activation`, stacked: first the `chosen` neurons at the constant
# `after`, then the `chosen` neurons moved by how far the means differ. All other neurons stay.

# %%
from helpers.teaching.exercises import check_constant_and_shift


def constant_and_shift(
    activation: Float[Tensor, "pos neuron"],
    before: Float[Tensor, " neuron"],
    after: Float[Tensor, " neuron"],
    chosen: Bool[Tensor, " neuron"],
) -> Float[Tensor, "way pos neuron"]:
    """The two ways to move a mean."""
    ### BEGIN SOLUTION
    constant = torch.where(chosen, after, activation)
    shifted = torch.where(chosen, activation + (after - before), activation)
    return torch.stack([constant, shifted])
    ### END SOLUTION


check_constant_and_shift(constant_and_shift)

# %% [markdown]
# Your function on section 1's neuron, over the tokens of the prompt: its mean and its spread.

# %%
activation = seen["base"][0, :, neuron.index, None].cpu()
here = slice(neuron.index, neuron.index + 1)
means = [one[neuron.layer, here].float() for one in (found.before, found.after)]
both = constant_and_shift(activation, *means, torch.tensor([True]))
lab.show.table(
    [
        {"neuron": label, "mean": one.mean().item(), "spread": one.std().item()}
        for label, one in zip(["as it is", "constant", "shifted"], [activation, *both])
    ],
    caption=f"{neuron} on one prompt ({model.name})",
)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Both means were taken over many texts and are given: this prompt's own mean has no part in it.
# </details>
#
# ### Exercise 3 · How much of the divergence is explained?
#
# **Goal:** the measure that does not forgive. **Difficulty:** ●●●○○ **Minutes:** 12
#
# Given the next-word logits of base, of the edited model and of the policy at some positions,
# return the share of the mean $\mathrm{KL}(\text{policy} \,\|\, \text{base})$ that the edit
# removes.

# %%
from helpers.teaching.exercises import check_divergence_explained


def divergence_explained(
    base: Float[Tensor, "pos vocab"],
    edited: Float[Tensor, "pos vocab"],
    policy: Float[Tensor, "pos vocab"],
) -> float:
    """1 − mean KL(policy ‖ edited) / mean KL(policy ‖ base)."""
    ### BEGIN SOLUTION
    wanted = policy.log_softmax(-1)

    def divergence(logits):
        return (wanted.exp() * (wanted - logits.log_softmax(-1))).sum(-1).mean()

    return float(1 - divergence(edited) / divergence(base))
    ### END SOLUTION


check_divergence_explained(divergence_explained)

# %% [markdown]
# <details><summary>Hint</summary>
#
# $\mathrm{KL}(p \,\|\, q) = \sum p\,(\log p - \log q)$. The policy is $p$: the mean is over what
# *it* would say. </details>

# %% [markdown]
# ### Open task · How few neurons stand in?
#
# **Minutes:** 20 to 40. There is no check: nobody here knows the answer.
#
# The four groups are most of all neurons. Rank neurons by their reduction, patch the first k as a
# shift, and find the smallest k that explains half of the divergence. Is it also the smallest that
# recovers half of the drop in toxicity?
#
# Start with `lab.attribution.attribute("matched").whole`, `top_neurons(…)`, `mask_of(…)`,
# `emulation.patched(mask, "shift")` and `emulation.attempt(…)`; `emulation.at_random(mask)` is one
# control. Write down your guess and what the result does not show.

# %% [markdown]
# ## What this notebook settles

# %%
lab.claims_table("B2", "B7", "B8")

# %% [markdown]
# ## Where to go next
#
# [09 · How cheaply is it undone?](09_unalignment.ipynb) goes the other way: from the policy back to
# base, with a price list.
