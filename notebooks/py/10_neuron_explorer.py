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
# # 10 · The neuron explorer
#
# **Question.** What does any one neuron do?
#
# The notebooks before this one count neurons by the thousand. Here you look at them one at a time,
# base beside aligned: what a neuron writes, where it fires, how tuning changed that, and what
# happens to the text when it is turned up or cut out. Then, as before: one view is made by hand,
# and a name that one has given to a neuron is put to the test.

# %% [markdown]
# > **Content warning.** The models were trained on, or continue, toxic text, and this notebook
# > shows it. Profanity and slurs are masked (`f***`) unless `UNMASK = True`.

# %% [markdown]
# **You will be able to**
#
# - read a neuron from three sides: what it promotes, where it fires, what an edit of it does,
# - say which part of its change is activation and which is value vector,
# - make a view of the explorer by hand, and turn any view into code,
# - tell a name that holds from one that only sounds right.
#
# | you need | how much |
# |---|---|
# | value vectors and the probe (notebooks 01 and 02) | necessary |
# | the four groups (notebook 07) | helpful |
# | the policies of notebook 05 | loaded, or trained on the spot |
# | time | in a run of all notebooks, `pocket`: 35 s (measured; the start panel says on what); `gpt2-medium`: 3 min on two CPU cores, 50 s on a faster GPU (estimated; README shows the arithmetic) |
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
lab = Lab.start("10_neuron_explorer", PROFILE, unmask=UNMASK)

# %%
import torch

from helpers.mechanism.vectors import Neuron
from helpers.teaching.explorer import NeuronExplorer

model, aligned = lab.base, lab.policies.load("matched")
seed = lab.profile.seed

# %% [markdown]
# ## 1 · Open it
#
# **Guess first.** Of all neurons, take the one that lowers the projection on the toxicity probe
# most. Of the ten words that its value vector promotes, how many are insults or oaths?

# %%
explorer = NeuronExplorer(lab)
explorer

# %% [markdown]
# With a kernel, controls stand above: *Tour* walks you through, *Neuron* jumps to any name
# (`L2.287` is neuron 287 of layer 2), the slider and ◀ ▶ go along the table, the tabs show the
# neuron, your own text, interventions, and the table to sort and filter. All can be reached by
# keyboard.
#
# Every view is a function of the explorer's state, so that it can be kept without a kernel. This is
# the one above as it opens:

# %%
explorer.snapshot("neuron")

# %% [markdown]
# Count the insults, then compare with your guess. If the words of *base* and *aligned* are the same
# in the same order, and both cosines are 1 to four places, tuning has left the vector alone. What
# moved is how it fires: compare the means, and the two lines of the histogram.
#
# **What this does not show.** The words are read off the vector as if it went straight into the
# last LayerNorm. Later layers read it too, and no list of words says what they make of it.

# %% [markdown]
# ## 2 · Five stops
#
# The tour's buttons set the state and ask one question each. Here are the five as text; in the
# explorer they are the row of buttons at the top. **Guess before you look at each.**
#
# ### Stop 1 · A name
#
# You have the picture above. Cover the contexts, and give the neuron a name from its words alone.
# Then uncover them: a name *holds* if the places at which it fires call for such a word. Mind where
# it fires: *before* a word it might write, or *on* one that was written?
#
# ### Stop 2 · Before and after
#
# Under each token stand the neuron's activation in base and in aligned, and the difference.

# %%
explorer.stop(2)

# %% [markdown]
# If the two models differ most just where an insult could come next, the neuron has not become
# weaker everywhere. Tuning has changed what it is told at these places.
#
# ### Stop 3 · The quiet ones
#
# Not every neuron that matters is loud. GELU lets activations go down to −.17, and a neuron that is
# slightly negative at nearly every token adds a little *minus* its value vector at each.

# %%
explorer.stop(3)

# %% [markdown]
# Two roads lower toxicity here. A toxic vector held below 0 subtracts toxicity, and more so if it
# is pushed further down (group TN). An anti-toxic vector held below 0 adds it, and less so as it
# comes up (AN). The ledger says which of activation and value vector did it.
#
# ### Stop 4 · Cut it out
#
# Both models as they are; then base with one neuron ablated, and with a whole group ablated. A row
# of the table has the same noise in every column; a continuation marked = is what the model wrote
# without the edit.

# %%
explorer.stop(4)

# %% [markdown]
# If one neuron changes few rows, it is no switch. If the group changes many, look at fluency too:
# it is base's own surprise at the text, and it rises when a model stops making sense.
#
# ### Stop 5 · Turn it up
#
# The keys of the aligned model, times ten: that is notebook 09's edit, on your text.

# %%
explorer.stop(5)

# %% [markdown]
# **What this does not show.** Eight continuations of one text are an illustration, and the text was
# *chosen*: of some development prompts it is the one after which tuning took away most, by a few
# draws of each. What an edit does on average is measured in notebooks 03, 08 and 09, on many
# prompts and beside a control: as many random neurons, scaled as far. Try it here: *Intervene*, and
# for *of* names you choose blindly.

# %% [markdown]
# ## 3 · One view by hand
#
# What is behind *mean*, *histogram* and *ledger*? One pass over the texts, and a little arithmetic.
# Base reads its own continuations; at every position from which a token was written (and never at
# position 0) the neuron's activation is kept.

# %%
neuron = Neuron.parse(explorer.state()["neuron"])
tokens, counted = lab.statistics.texts("base")
site = f"blocks.{neuron.layer}.mlp.hook_post"
fired = {}
for name, one in {"base": model, "aligned": aligned}.items():
    parts = []
    for start in range(0, len(tokens), 64):
        batch = tokens[start : start + 64].to(lab.device)
        with torch.no_grad():
            _, cache = one.bridge.run_with_cache(
                batch.ids, attention_mask=batch.mask.long(), names_filter=site
            )
        parts.append(cache[site][..., neuron.index].cpu())
    fired[name] = torch.cat(parts)[counted]
print(f"{neuron}: {len(fired['base']):,} positions in {len(tokens):,} texts")

# %% [markdown]
# The ledger's line is the reduction of the neuron's projection on the probe Ŵ, taken apart by what
# changed:
#
# $$m\,v\cdot\hat W - m'\,v'\cdot\hat W =
# \underbrace{(m-m')\,v\cdot\hat W}_{\text{fires otherwise}} +
# \underbrace{m\,(v-v')\cdot\hat W}_{\text{writes otherwise}} +
# \underbrace{(m-m')(v'-v)\cdot\hat W}_{\text{both}}$$

# %%
probe = lab.measures.fit_probe().direction.cpu().double()
along = {
    name: float(one.value_vector(neuron).cpu().double() @ probe / probe.norm())
    for name, one in {"base": model, "aligned": aligned}.items()
}
mean = {name: float(values.double().mean()) for name, values in fired.items()}
by_hand = {
    "activation": (mean["base"] - mean["aligned"]) * along["base"],
    "value": mean["base"] * (along["base"] - along["aligned"]),
    "whole": mean["base"] * along["base"] - mean["aligned"] * along["aligned"],
}
card = explorer.card()
for name, number in by_hand.items():
    shown = getattr(card, name)
    assert abs(number - shown) < 1e-5, f"{name}: {number} by hand, {shown} in the explorer"
    print(f"{name:>10}: {number:+.6f} by hand, {shown:+.6f} in the explorer")

# %% [markdown]
# The histogram is the same activations, counted in bins of a tenth. (Rounding may carry a value
# over a bin's edge; one position in a thousand is allowed for.)

# %%
edges = torch.tensor(card.edges)
for name, values in fired.items():
    place = (torch.bucketize(values, edges, right=True) - 1).clamp(0, len(edges) - 2)
    counts = place.bincount(minlength=len(edges) - 1) / len(values)
    apart = (counts - torch.tensor(card.histogram[name])).abs().sum().item()
    assert apart <= 2e-3 + 2 / len(values), "the bins must hold what the explorer shows"
    print(f"{name:>8}: mean {mean[name]:+.3f}, {(values > 0.1).double().mean():.1%} above 0.1")

# %% [markdown]
# ## 4 · The same neuron after other trainings
#
# A policy trained from another seed starts at the same base, so that its neurons can be compared by
# number. **Guess first.** Over all neurons, how much do the reductions of two DPO seeds agree? As a
# control, the same correlation with the neurons of one of them shuffled within each layer.

# %%
lab.guess("10.1", "Correlation of two seeds' reductions", low=-1, high=1, value=None)

# %%
from helpers.runtime import generator

seeds = explorer.read_seeds()
noise = generator(seed, "shuffled reductions")
reduction = {one: lab.attribution.attribute("matched", seed=one).whole for one in seeds}


def agreement(one, other):
    """Pearson's correlation over all neurons."""
    pair = torch.stack([one.flatten(), other.flatten()])
    return float(torch.corrcoef(pair)[0, 1])


def shuffled(table):
    """The same numbers, dealt anew to the neurons of each layer."""
    return torch.stack([row[torch.randperm(len(row), generator=noise)] for row in table])


first = reduction[seeds[0]]
lab.answer("10.1", agreement(first, reduction[seeds[1]]) if len(seeds) > 1 else None)
lab.show.table(
    [
        {
            "DPO seed": one,
            "correlation with the first seed": agreement(first, reduction[one]),
            "shuffled within layers": agreement(first, shuffled(reduction[one])),
            f"reduction of {neuron}": float(reduction[one][neuron.layer, neuron.index]),
        }
        for one in seeds
    ],
    caption=f"Reductions of all neurons, each policy on its own texts ({model.name})",
)

# %% [markdown]
# A correlation near 1 means that DPO picks the same neurons whatever its seed: they were there in
# base to be picked. One near the control's means that it takes what comes. (Its first row is 1 by
# definition.)
#
# A model *trained* from another seed is another matter: neuron 287 of one has nothing to do with
# neuron 287 of another. There the explorer looks for the **twin**: the neuron whose value vector
# moves the same words most nearly. A best match out of thousands is always something, so the best
# match of a random neuron stands beside it.

# %%
family = explorer.read_family()
twins = explorer.card().twins
if twins:
    display(
        lab.show.table(
            [
                {
                    "model": twin.model,
                    "twin": twin.neuron,
                    "correlation": twin.correlation,
                    "of a random neuron's": twin.typical,
                    "promotes": " · ".join(twin.words),
                }
                for twin in twins
            ],
            caption=f"Twins of {neuron} by the words that value vectors move ({model.name})",
        )
    )
else:
    print("This model has no family here whose tokens it shares: there is no twin to look for.")

# %% [markdown]
# If a twin's words are of the same kind and its correlation is well above a random neuron's, the
# *role* is found again by training anew. If it is not above, the neuron is one of a kind.
#
# **What this does not show.** What tuning does to a twin: that takes a policy of the other model,
# which `make replicate` trains.

# %% [markdown]
# ## 5 · Take it away
#
# A finding that cannot be repeated is an anecdote. `explorer.state()` is the view as plain values,
# and `explorer.code()` a cell that makes it again: with the explorer, and without.

# %%
print(explorer.code())

# %% [markdown]
# `explorer.table()` is the table of all neurons as a DataFrame, filtered and sorted as the controls
# say; `explorer.save_csv()` and `explorer.save_html()` write it, and the view, to files. In a cell
# of your own, `explorer.circuitsvis()` draws your text on the neuron as that library does.

# %%
explorer.set(sort="cosine", lowers=True)
saved = [explorer.save_csv(), explorer.save_html()]
print("written:", ", ".join(path.name for path in saved))
explorer.snapshot("table")

# %% [markdown]
# ## Your turn
#
# Each exercise ships with its solution. To try it yourself, delete the lines between `### BEGIN
# SOLUTION` and `### END SOLUTION`, write your own, and run the cell: the check tries your
# function on fresh inputs and says what is off. The hint is folded below.
#
# ### Exercise 1 · A name from use
#
# **Goal:** name a neuron by what it fires *before*, then hold that against its value vector.
# **Difficulty:** ●●○○○ **Minutes:** 10
#
# You are given the neuron's activation at many positions, and the id of the token that follows
# each. Return the ids of the `k` tokens before which it fires most on average, strongest first.
# Leave out tokens that follow fewer than `least` positions.

# %%
from jaxtyping import Float, Int
from torch import Tensor

from helpers.teaching.exercises import check_fires_before


def fires_before(
    activation: Float[Tensor, " pos"], following: Int[Tensor, " pos"], least: int, k: int
) -> list[int]:
    """The k tokens before which a neuron fires most on average, strongest first."""
    ### BEGIN SOLUTION
    tokens, place = following.unique(return_inverse=True)
    counts = place.bincount()
    means = torch.zeros(len(tokens)).index_add(0, place, activation) / counts
    order = means.masked_fill(counts < least, -torch.inf).argsort(descending=True)
    return tokens[order[: min(k, int((counts >= least).sum()))]].tolist()
    ### END SOLUTION


check_fires_before(fires_before)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `following.unique(return_inverse=True)` numbers the tokens; `index_add` sums by that number.
# </details>
#
# Now the neuron's own: the words it fires before in base, beside the words that its vector
# promotes.

# %%
after = torch.roll(tokens.ids, -1, dims=1)[counted]
found = fires_before(fired["base"], after, 5, 10) or []
promoted = {word.text for word in card.promoted}
used = explorer.words(found)
lab.show.table(
    [
        {
            "fires before (base)": used[place] if place < len(used) else "",
            "promotes": word.text,
            "in both lists": "yes" if place < len(used) and used[place] in promoted else "",
        }
        for place, word in enumerate(card.promoted)
    ],
    caption=f"{neuron}: a name from its use and a name from its weights ({model.name})",
)

# %% [markdown]
# If most words are in both lists, the name holds from two sides. If few are, then either it fires
# where *another* word follows, or few positions were read: say which, before you name it.
#
# ### Exercise 2 · Not what its name says
#
# **Goal:** find a reduction that no toxic name explains. **Difficulty:** ●○○○○ **Minutes:** 6
#
# For each neuron you are given its reduction, and the share of toxic words among the ten that its
# vector promotes. Return the neuron of largest reduction among those with *no* toxic word, or −1 if
# none of these lowers toxicity.

# %%
from helpers.teaching.exercises import check_unexpected_neuron


def unexpected_neuron(whole: Float[Tensor, " neuron"], share: Float[Tensor, " neuron"]) -> int:
    """The neuron that lowers toxicity most without a toxic word to its name; −1 if none."""
    ### BEGIN SOLUTION
    kept = torch.where((share == 0) & (whole > 0), whole, 0.0)
    return int(kept.argmax()) if kept.any() else -1
    ### END SOLUTION


check_unexpected_neuron(unexpected_neuron)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Give each neuron that does not qualify a reduction that cannot win, and keep the places.
# </details>

# %%
explorer.set(sort="whole", lowers=False)
leading = explorer.table().head(200)
neurons = [Neuron.parse(name) for name in leading.index]
vectors = torch.stack([model.value_vector(one) for one in neurons])
share = lab.measures.toxic_share(vectors).double().cpu()
place = unexpected_neuron(torch.tensor(leading["whole"].to_numpy()), share)
quiet = share == 0
print(
    f"Of the {len(neurons)} neurons that lower the projection most, {int(quiet.sum())} promote no "
    f"listed word among ten."
)
if place is not None and place >= 0:
    explorer.set(neuron=str(neurons[place]))
    display(explorer.snapshot("neuron"))

# %% [markdown]
# If a neuron with an innocent name lowers the projection a good deal, naming neurons by their words
# and switching off the bad ones would have missed it. That is paper B's point, seen in one neuron.
#
# **What this does not show.** That this neuron is *about* toxicity. Its vector has a part along the
# probe, as nearly every vector has; a large change of any neuron then counts.

# %% [markdown]
# ### Open task · Does a name predict an effect?
#
# **Minutes:** 20 to 40. There is no check: nobody here knows the answer.
#
# Name ten neurons from the places where they fire, before you look at their words. Then ablate each
# in base and see whether the continuations change as its name says they should.
#
# Start with `explorer.set(neuron=…)`, `explorer.snapshot("neuron")`, `ablate(…)` and
# `lab.looks.take(…)`. Ten neurons of the same layers that you did not name are one control. Write
# down your guess and what the result does not show.

# %% [markdown]
# ## What the explorer does not show
#
# - **One neuron is not one meaning.** A neuron may fire in unlike places, and a meaning may be
#   spread over many neurons. The explorer shows the axis that the weights have, which need not be
#   the one the model uses.
# - **The most extreme places are not the usual ones.** Look at the histogram: how much of the
#   neuron's work is done at places that no list of contexts would show?
# - **A projection is not an effect.** The ledger adds up what is written along one direction. What
#   later layers do with it is another question, which notebook 08 answers by patching.
# - **Names are hypotheses.** Exercise 1 is a test of one; an edit is a stronger one.
#
# ## What this notebook settles
#
# It measures no claim: it is for looking. This is what the notebooks before it found.

# %%
lab.claims_table()

# %% [markdown]
# ## Where to go next
#
# Go back with a neuron of your own: its key in
# [06 · What did DPO change?](06_what_dpo_changed.ipynb), its price in
# [09 · How cheaply is it undone?](09_unalignment.ipynb). Or run this notebook with another model:
# `PROFILE` in the second cell takes a TOML file of yours.
