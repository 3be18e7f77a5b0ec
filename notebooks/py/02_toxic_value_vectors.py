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
# # 02 · Which MLP neurons write it?
#
# **Question.** Notebook 01 found a direction from outside. Which of the model's own parts write
# along it, and what words do they promote?
#
# Paper A (§3.2) answers: MLP neurons whose **[value vectors](00_start_here.ipynb#Glossary)** have a
# high cosine with the probe. On GPT2-medium it lists seven, led by `L19.770`, whose top tokens are
# swear words. We rebuild the list from the definition, hold it against two controls, and ask what
# "toxic vector" means when the list grows.

# %% [markdown]
# > **Content warning.** Insults and hostile sentences are shown. Profanity and slurs are masked
# > (`f***`) unless `UNMASK = True`.

# %% [markdown]
# **You will be able to**
#
# - write an MLP layer as a sum over neurons, and check that it is one,
# - tell a neuron's key vector from its value vector, and what each is for,
# - rank all neurons by cosine with the probe and read their value vectors in words, both signs,
# - judge the list against random neurons and against vectors of the same cosines,
# - read the shared directions of a set of vectors off its SVD.
#
# | you need | how much |
# |---|---|
# | matrix products, cosine | necessary |
# | notebook 01 | helpful; the probe is loaded, or fitted on the spot |
# | time | in a run of all notebooks, `pocket`: 19 s (measured; the start panel says on what); `gpt2-medium`: 44 s on two CPU cores, 30 s on a faster GPU (estimated; README shows the arithmetic) |
# | memory | `pocket`: 0.7 GB (measured); `gpt2-medium`: 7 GB (estimated) |

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
# Your own text: section 1 takes its last token, section 6 reads it token by token.
TEXT = "You are such a kind neighbour, but your brother is such a fool and I am sick of him."

# %%
lab = Lab.start("02_toxic_value_vectors", PROFILE, unmask=UNMASK)

# %%
import torch

from helpers.teaching.figures import plots

model, probe, seed = lab.base, lab.measures.fit_probe(), lab.profile.seed
values, keys = model.value_vectors, model.key_vectors
direction = probe.direction.to(model.device)
print(f"{tuple(values.shape)=}  {tuple(keys.shape)=}  (layer, neuron, d_model)")

# %% [markdown]
# ## 1 · An MLP layer is a sum over neurons
#
# One MLP layer reads $x$ (the residual stream after its LayerNorm) and returns
#
# $$\text{MLP}(x) = \sum_i m_i\, v_i + b_{\text{out}}, \qquad m_i = \text{GELU}(x \cdot k_i + b_i)$$
#
# Neuron $i$ has a **key vector** $k_i$, which it holds against its input, and a **value vector**
# $v_i$, which it adds to the stream, scaled by its activation $m_i$. Paper A (§2, after Geva et al.
# 2021) calls this a key–value memory, and writes $\sigma$ for the GELU. Is the layer nothing but
# that sum?

# %%
layer = model.n_layers - 1
tokens = model.tokenise([TEXT], max_tokens=model.context)
with torch.no_grad():
    _, cache = model.bridge.run_with_cache(tokens.ids, attention_mask=tokens.mask.long())
mlp = model.bridge.blocks[layer].mlp
with torch.no_grad():
    x = model.bridge.blocks[layer].ln2(cache[f"blocks.{layer}.hook_resid_mid"])[0, -1]
    m = torch.nn.functional.gelu(keys[layer] @ x + mlp.b_in, approximate="tanh")
    by_hand = sum(m_i * v_i for m_i, v_i in zip(m, values[layer])) + mlp.b_out
written = cache[f"blocks.{layer}.hook_mlp_out"][0, -1]
error = ((by_hand - written).norm() / written.norm()).item()
assert error < 1e-4, "the sum over neurons must be the MLP's output"
print(f"{len(m):,} neurons, relative error of the sum: {error:.1e}")

# %% [markdown]
# The layer *is* that sum. So "what does the MLP write along the probe?" has one answer per neuron:
# how strongly it fires, times how far its value vector points that way. This notebook looks mostly
# at the second factor, $v_i$; later ones look at $m_i$.

# %% [markdown]
# ## 2 · Rank all neurons
#
# $$\cos(v_i, \hat W) = \frac{v_i \cdot \hat W}{\lVert v_i \rVert}$$
#
# **Guess first.** In a space of this many dimensions two random vectors have a cosine of about
# $\pm 1/\sqrt{d}$. How high is the best neuron's?

# %%
guess = lab.guess("02.1", "Highest cosine of any neuron", low=-1, high=1, value=None)

# %%
from helpers.mechanism.vectors import cosines, top_neurons

cosine = cosines(values, direction)
random_direction = torch.randn(model.d_model, generator=torch.Generator().manual_seed(seed))
control = cosines(values, random_direction.to(model.device))
toxic_neurons = top_neurons(cosine, lab.profile.vectors.top)
best = toxic_neurons[0]
lab.answer("02.1", cosine.max())
print(
    f"best neuron {best}: {cosine.max():.3f}; best for a random direction: {control.max():.3f}; "
    f"1/√d = {model.d_model**-0.5:.3f}"
)

# %%
beyond = int((cosine > control.max()).sum())
finding = (
    f"{best} has cosine {cosine.max():.2f} with the probe; {beyond} of {cosine.numel():,} neurons "
    f"exceed the best for a random direction, {control.max():.2f} ({model.name})"
)
plots.histogram(
    {"the probe": cosine.flatten(), "a random direction": control.flatten()},
    log_y=True,
    title=finding,
    x_label="cosine of the value vector with the direction",
    y_label="neurons per bin (log scale)",
    marks={str(neuron): cosine[neuron.layer, neuron.index] for neuron in toxic_neurons[:3]},
    guess=guess,
    alt="Counts, on a log axis, of all value vectors' cosines with the probe and with a random "
    "direction.",
)

# %% [markdown]
# Most neurons have nothing to do with the direction. If there is a tail on the right, no mark says
# where it begins: any cut-off is a choice (the paper takes 128 of 98,304 neurons; here it is the
# profile's `vectors.top`). Look at the left end too: a vector that points *away* from the probe
# writes toxicity when its activation is negative. Notebook 07 counts those.

# %% [markdown]
# ## 3 · What the best ten promote
#
# The vocabulary projection of a value vector (notebook 01, section 5) lists the tokens whose logits
# the neuron raises, and those it lowers, when it fires with $m_i > 0$. A negative activation swaps
# the columns. This is the neuron's *direct* path: what it writes stays in the stream to the end,
# which is why a vector of an early layer may be held against a probe of the last; what later
# layers make of it is left out.

# %%
from helpers.mechanism.vectors import project_to_vocabulary, top_tokens, vectors_of

logits_added = project_to_vocabulary(model, vectors_of(values, [best])[0])
up, down = (
    model.token_strings(top_tokens(logits_added, 10, lab.measures.used_tokens, largest=largest))
    for largest in (True, False)
)
lab.show.table(
    [{"raised": a, "lowered": b} for a, b in zip(up, down)],
    caption=f"What the value vector of {best} raises and lowers most ({model.name})",
)

# %% [markdown]
# `lab.measures.top_words` does the same for many vectors at once, `lab.measures.toxic_share`
# counts the toxic words among the raised ones.

# %%
ten, count = toxic_neurons[:10], lab.profile.vectors.shown_tokens
vectors = vectors_of(values, ten)
raises = lab.measures.top_words(vectors, count)
lowers = lab.measures.top_words(vectors, 5, largest=False)
rows = zip(ten, lab.measures.toxic_share(vectors), raises, lowers)
lab.show.table(
    [
        {
            "neuron": str(n),
            "cosine": cosine[n.layer, n.index],
            "toxic share": share,
            "raises": up,
            "lowers": down,
        }
        for n, share, up, down in rows
    ],
    caption=f"The ten value vectors nearest the probe ({model.name})",
)

# %% [markdown]
# Read the rows, not only the share. A vector can promote toxic words of one kind only, or words
# that often stand beside them. To lie *near the probe* and to *name toxic words* are two things;
# this series ranks by the first. When the neuron fires is a third: section 6.

# %% [markdown]
# ## 4 · Against random neurons, and down the list
#
# How many toxic words would *any* ten neurons have among their top tokens? The first control
# draws, for each neuron of the list, another one of the same layer.
#
# But the list was *picked* for pointing along $\hat W$. If $\hat W$ itself promotes toxic words,
# whatever points along it inherits some. Hence a second control, **cosine-matched**: each vector of
# the list keeps its part along $\hat W$, and the rest is exchanged,
#
# $$v' = (v \cdot \hat W)\,\hat W + c\, r'$$
#
# where $r'$ is what another neuron of the same layer has at right angles to $\hat W$, and $c$ makes
# the length that of $v$. Layer, length and cosine stay; what these particular vectors say besides
# $\hat W$ is gone.
#
# **Guess first.** The shares of the ten nearest vectors are in the table above. What is the mean
# share of the nearest 64? Of random neurons? And of cosine-matched vectors? (The box takes the
# first; write down the other two.)

# %%
guess = lab.guess("02.2", "Mean toxic share of the nearest 64", low=0, high=1, value=None)

# %%
from helpers.intervals import bootstrap, percentile_interval
from helpers.mechanism.vectors import cosine_matched, matched_random

DRAWS, results = 40, {}
for k in (10, 64):
    chosen, randoms = toxic_neurons[:k], []
    for draw in range(10):
        randoms += matched_random(
            chosen, d_mlp=model.d_mlp, seed=seed + draw, exclude=toxic_neurons
        )
    results[k] = [
        bootstrap(lab.measures.toxic_share(vectors_of(values, group)), seed=seed)
        for group in (chosen, randoms)
    ]

# %%
nulls = {}
for k in results:
    means = torch.tensor([
        lab.measures.toxic_share(
            cosine_matched(
                values, toxic_neurons[:k], direction, seed=seed + draw, exclude=toxic_neurons
            )
        ).mean()
        for draw in range(DRAWS)
    ])
    nulls[k] = percentile_interval(means.mean().item(), means)
lab.show.table(
    [
        {
            "neurons": f"top {k} by cosine",
            "toxic share": top,
            "cosine-matched": nulls[k],
            "random, same layers": rand,
        }
        for k, (top, rand) in results.items()
    ],
    caption=f"Toxic share of the top ten tokens: value [95 % interval over neurons; of "
    f"cosine-matched over {DRAWS} draws of the list], {model.name}",
)

# %%
parts = [
    f"top {k} {top.value:.2f}, cosines alone {nulls[k].value:.2f} (up to {nulls[k].high:.2f})"
    for k, (top, _) in results.items()
]
finding = f"Toxic share: {'; '.join(parts)} ({model.name})"
lab.answer("02.2", results[64][0].value)
plots.bar(
    [f"top {k}" for k in results],
    {
        "nearest the probe": [top for top, _ in results.values()],
        "cosine-matched": [nulls[k] for k in results],
        "random, same layers": [rand for _, rand in results.values()],
    },
    guess=guess,
    title=finding,
    x_label="list of value vectors",
    y_label="toxic share of top ten tokens",
    alt="Bars of the toxic share of the nearest value vectors' top tokens, of vectors with the "
    "same cosines and other remainders, and of random neurons, with 95 % intervals.",
)

# %% [markdown]
# The step from the third bar of a group to the second is what pointing along $\hat W$ brings by
# itself. Only a first bar above the *whole* whisker of the second says something of these neurons.

# %%
all_shares = lab.measures.toxic_share(vectors_of(values, toxic_neurons))
running = all_shares.cumsum(0) / torch.arange(1, len(all_shares) + 1)
finding = (
    f"A list of ten is {running[9]:.0%} toxic words, one of 64 {running[63]:.0%} ({model.name})"
)
plots.line(
    list(range(1, len(running) + 1)),
    {"top k by cosine": running},
    reference={"random": results[64][1].value},
    title=finding,
    x_label="length k of the list",
    y_label="toxic share of top ten tokens, mean over the list",
    alt="Mean toxic share of the k nearest value vectors' top tokens against k, and of random "
    "ones.",
)

# %%
toxic_words = (10 * all_shares[:64]).round().long()
finding = (
    f"Of the top 64, {(toxic_words > 5).sum()} have a toxic majority among their ten words and "
    f"{(toxic_words == 0).sum()} have no toxic word ({model.name})"
)
plots.bar(
    [str(number) for number in range(11)],
    {"top 64": toxic_words.bincount(minlength=11)},
    title=finding,
    x_label="toxic words among a vector's own top ten tokens",
    y_label="value vectors",
    alt="Number of the 64 nearest value vectors by how many of their top ten tokens are toxic.",
)

# %% [markdown]
# A list that reads 40 % toxic need not hold 64 vectors of four toxic words each; the bars show how
# the share divides. When a paper says "128 toxic vectors", it means 128 vectors *near the probe*.
# This series says **toxic neurons** for the list by cosine, and gives its length. **What this does
# not show:** that the others on the list do no harm. A vector may write along the probe without
# naming a toxic word.

# %%
from helpers.teaching.claims import Measurement


def with_null(null):
    """The details in which a claim's rule finds its cosine-matched null."""
    return {
        "cosine_matched": null.value,
        "cosine_matched_low": null.low,
        "cosine_matched_high": null.high,
    }


for k, (top, rand) in results.items():
    found = Measurement.of(top, "share of toxic tokens", control=rand, **with_null(nulls[k]))
    print(lab.claims.record("A2", found, part=f"top {k}"))
    print(f"   cosine-matched, which the rule asks for: {nulls[k]}")

# %% [markdown]
# ### Where do they sit?
#
# **Guess first.** Paper A's seven sit in layers 12 to 19 of 24. Where are these?

# %%
layer_names = [str(layer) for layer in range(model.n_layers)]
guess = lab.guess("02.3", "Layer with most toxic neurons", choices=layer_names, value=None)

# %%
from helpers.mechanism.vectors import layer_histogram

where = layer_histogram(toxic_neurons, model.n_layers)
lab.answer("02.3", layer_names[where.argmax()])
finding = (
    f"Layer {where.argmax()} holds {where.max()} of the top {len(toxic_neurons)}, the next "
    f"{sorted(where.tolist())[-2:][0]}; {(where > 0).sum()} of {model.n_layers} layers hold some "
    f"({model.name})"
)
plots.bar(
    layer_names,
    {"neurons": where},
    guess=guess,
    title=finding,
    x_label="layer",
    y_label=f"neurons among the top {len(toxic_neurons)}",
    reference={"even spread": len(toxic_neurons) / model.n_layers},
    alt="Number of the top neurons in each layer; a line marks an even spread.",
)

# %% [markdown]
# The dashed line is an even spread, and a lead of a neuron or two is none. A neuron that never
# fires counts here as much as any.

# %% [markdown]
# ## 5 · What they share: the SVD
#
# Stack the value vectors of the list, each scaled to length one. Which few directions explain most
# of them? The singular value decomposition (SVD) gives them in order. Paper A calls the first three
# $U_0, U_1, U_2$ and finds insults in $U_0$. The rows are not centred. A singular vector has no
# sign of its own, so each is turned toward the probe.

# %%
from helpers.mechanism.vectors import svd_directions

pool = top_neurons(cosine, lab.profile.vectors.svd)
shared = svd_directions(vectors_of(values, pool), direction, 3)
shared_share = lab.measures.toxic_share(shared)
raises = lab.measures.top_words(shared, count)
lowers = lab.measures.top_words(shared, 5, largest=False)
others = matched_random(pool, d_mlp=model.d_mlp, seed=seed, exclude=pool)
stack, loose = (
    torch.nn.functional.normalize(vectors_of(values, group), dim=-1) for group in (pool, others)
)
squares, of_random = (torch.linalg.svdvals(rows) ** 2 / len(rows) for rows in (stack, loose))
to_mean = torch.cosine_similarity(stack.mean(dim=0), shared[0], dim=0)
print(f"cosine of U0 with the mean of the {len(pool)} vectors: {to_mean:.3f}")
lab.show.table(
    [
        {
            "direction": f"U{i}",
            "of all squares": f"{squares[i]:.0%}",
            "of random neurons'": f"{of_random[i]:.0%}",
            "cosine with probe": shared[i] @ direction,
            "toxic share": shared_share[i],
            "raises": raises[i],
            "lowers": lowers[i],
        }
        for i in range(3)
    ],
    caption=f"The three strongest shared directions of the top {len(pool)} ({model.name})",
)

# %% [markdown]
# *Of all squares* is how much of the vectors lies along each; beside it, what the first three
# directions of as many random neurons hold (one draw): only what exceeds that is shared. If $U_0$'s
# cosine with the mean is near 1, the SVD adds little to averaging. Where the cosine with the probe
# is near 0, the sign says nothing, and the words lowered are as good a reading as those raised.
#
# That $U_0$ lies near $\hat W$ is nearly a tautology. These vectors were picked for pointing along
# $\hat W$; so they have $\hat W$ in common, and the SVD returns it. The cosine-matched vectors show
# how much of it is selection: they were given the same cosines and other remainders. $U_1$ and
# $U_2$ stand at right angles to $U_0$; where that lies near $\hat W$, they owe $\hat W$ little.
#
# **Guess first.** What cosine with $\hat W$ will $U_0$ of the cosine-matched vectors have? And
# which of the three directions will have a higher toxic share than theirs?

# %%
guess = lab.guess("02.4", "Cosine with Ŵ of their U0", low=-1, high=1, value=None)


# %%
def over_draws(found):
    """Mean and 95 % band, over draws, of one figure of each of the three directions."""
    return [percentile_interval(each.mean().item(), each) for each in found.T]


random_U, matched_U = [], []
for draw in range(DRAWS):
    drawn = {"seed": seed + draw, "exclude": pool}
    sample = vectors_of(values, matched_random(pool, d_mlp=model.d_mlp, **drawn))
    random_U.append(svd_directions(sample, direction, 3))
    same = cosine_matched(values, pool, direction, **drawn)
    matched_U.append(svd_directions(same, direction, 3))
random_shares, matched_shares = (
    over_draws(torch.stack([lab.measures.toxic_share(each) for each in drawn]))
    for drawn in (random_U, matched_U)
)
U0, *_ = over_draws((torch.stack(matched_U) @ direction).cpu())
lab.answer("02.4", U0.value)
print(f"cosine with Ŵ: of U0 {shared[0] @ direction:.2f}; of U0 from cosine-matched vectors {U0}")

# %%
finding = (
    f"U0's top ten tokens are {shared_share[0]:.0%} toxic; the same SVD gives "
    f"{matched_shares[0].value:.0%} for the same cosines on other remainders and "
    f"{random_shares[0].value:.0%} for random neurons ({model.name})"
)
plots.bar(
    ["U0", "U1", "U2"],
    {
        "toxic neurons": shared_share,
        "cosine-matched": matched_shares,
        "random neurons": random_shares,
    },
    title=finding,
    x_label="shared direction",
    y_label="toxic share of top ten tokens",
    alt="Toxic share of the top ten tokens of U0, U1, U2, beside forty draws each of "
    "cosine-matched vectors and of random neurons, with 95 % bands.",
)

# %% [markdown]
# Two readings. *Nearness:* within the matched band, selection alone brings $U_0$ so near to
# $\hat W$; below it, the toxic vectors have something besides $\hat W$ in common, and the SVD goes
# after that (what it is, the words above and the families below say as far as words can: a mood,
# such as *hostile*, is in no list of toxic words). *Words:* a matched band that ends at ten of ten
# cannot be exceeded, so *agrees* is out of reach there whatever is true. Then the claim says
# little, and the null says why.

# %%
for i, (null, same_cosines) in enumerate(zip(random_shares, matched_shares)):
    found = Measurement(
        shared_share[i],
        None,
        "share of toxic tokens",
        null.value,
        null.bounds,
        {**with_null(same_cosines), "cosine_with_probe": (shared[i] @ direction).item()},
    )
    print(lab.claims.record("A3", found, part=f"U{i}"))
    print(f"   cosine-matched, which the rule asks for: {matched_shares[i]}")

# %%
# Notebook 01 judged each penalty's probe so, with a helper that does the steps above.
again = lab.measures.measure_nearest(probe.direction, draws=DRAWS)
assert abs(again["A2", "top 10"].value - results[10][0].value) < 1e-6
assert abs(again["A3", "U0"].details["cosine_matched"] - matched_shares[0].value) < 1e-6

# %% [markdown]
# ### Do the directions divide the families?
#
# Toxicity comes in kinds, or *families*, one column each. (Threats, made of harmless words, have no
# token of their own.) If $U_0, U_1, U_2$ divide the kinds, their top tokens belong to different
# families.

# %%
rows = []
for i, ids in enumerate(lab.measures.top_ids(shared, count)):
    counts = {
        family: int(words[ids].sum()) for family, words in lab.measures.toxic_families.items()
    }
    rows.append(
        {
            "direction": f"U{i}",
            **counts,
            "none of them": int((~lab.measures.toxic_tokens[ids]).sum()),
        }
    )
lab.show.table(
    rows, caption=f"Families among the top {count} tokens of each direction ({model.name})"
)

# %% [markdown]
# Read along the rows: a direction with one non-zero family has specialised; a direction without any
# toxic word has nothing to divide.

# %% [markdown]
# ## 6 · The other side: when does it fire?
#
# The value vector says what a neuron writes *if* it fires; the key vector says when. Below is the
# activation of the best neuron on your own text, token by token. Change `text` or `neuron` here.

# %%
from helpers.mechanism.activations import neuron_activations

neuron, text = best, TEXT  # try others: Neuron.parse("L3.17"), "a text of your own"
tokens = model.tokenise([text], max_tokens=model.context)
fired = neuron_activations(model, tokens, [neuron])[0, :, 0]
lab.show.tokens(
    model.token_strings(tokens.ids[0]),
    fired.tolist(),
    value_label="activation",
    caption=f"Activation of {neuron} ({model.name})",
)

# %% [markdown]
# At every token the model is about to write the *next* one. So look for a neuron of insults at the
# token *before* an insult, not on it. Means over all tokens, as in the next figure, hide what
# happens at a few.

# %%
from helpers.mechanism.activations import mean_activations

prompts = [prompt.text for prompt in lab.texts.eliciting("dev")[:64]]
prompt_tokens = model.tokenise(prompts, max_tokens=lab.profile.decoding.max_prompt_tokens)
average = mean_activations(model, prompt_tokens, toxic_neurons[:64])
finding = (
    f"{(average > 0).sum()} of the 64 nearest neurons are active on average on the prompts "
    f"({model.name})"
)
plots.histogram(
    {"top 64": average},
    bins=24,
    title=finding,
    x_label="mean activation m on the prompts",
    y_label="share of neurons per unit (density)",
    alt="Distribution of the mean activation of the 64 nearest neurons over the prompts' tokens.",
)

# %% [markdown]
# A neuron near the probe whose activation is *negative* writes **against** it: the GELU reaches
# down to −0.17, and $m_i v_i$ then points the other way. On GPT2-medium, paper B finds a positive
# mean in 36 of the top 128. Whether a vector "promotes toxicity" depends on both factors, and here
# the two papers begin to part. **What this does not show:** an effect on the text. For that,
# something has to be changed; notebook 03 begins with directions.

# %% [markdown]
# ## Your turn
#
# Each exercise ships with its solution. To try it yourself, delete the lines between `### BEGIN
# SOLUTION` and `### END SOLUTION`, write your own, and run the cell: the check tries your
# function on fresh inputs and says what is off. The hint is folded below.
#
# ### Exercise 1 · Rank by cosine
#
# **Goal:** compare directions, not lengths. **Difficulty:** ●○○○○ **Minutes:** 5
#
# Return the cosine of each value vector with `direction`. `weights.W_out` holds value vectors,
# `weights.W_in` key vectors, both as (layer, neuron, d_model). Leave the weights as they are.

# %%
from jaxtyping import Float
from torch import Tensor

from helpers.teaching.exercises import check_cosine_to_probe


def cosine_to_probe(weights, direction: Float[Tensor, " d_model"]) -> Float[Tensor, "layer neuron"]:
    """Cosine of every value vector with the direction, sign kept."""
    ### BEGIN SOLUTION
    vectors = weights.W_out
    return vectors @ direction / (vectors.norm(dim=-1) * direction.norm())
    ### END SOLUTION


check_cosine_to_probe(cosine_to_probe)

# %% [markdown]
# <details><summary>Hint</summary>
#
# What the neuron *writes* is its value vector. Divide by both lengths; a large vector is not a
# close one.
# </details>
#
# ### Exercise 2 · The layer as a sum
#
# **Goal:** rebuild the MLP's output from its neurons. **Difficulty:** ●○○○○ **Minutes:** 5
#
# Given the activations after the GELU, the value vectors (rows of `W_out`) and the layer's output
# bias, return what the MLP adds to the stream at each position.

# %%
from helpers.teaching.exercises import check_mlp_as_sum


def mlp_as_sum(
    activations: Float[Tensor, "pos neuron"],
    W_out: Float[Tensor, "neuron d_model"],
    b_out: Float[Tensor, " d_model"],
) -> Float[Tensor, "pos d_model"]:
    """The MLP's output at each position, from the activations after the GELU."""
    ### BEGIN SOLUTION
    return torch.einsum("pn,nd->pd", activations, W_out) + b_out
    ### END SOLUTION


check_mlp_as_sum(mlp_as_sum)

# %% [markdown]
# <details><summary>Hint</summary>
#
# One term of the formula in section 1 belongs to no neuron.
# </details>
#
# ### Exercise 3 · A direction with a sign
#
# **Goal:** the first shared direction, turned the right way. **Difficulty:** ●●●○○ **Minutes:**
# 12
#
# Give every row of `vectors` length one, and leave their mean in. Return their first right singular
# vector, with the sign that makes its product with `toward` positive.

# %%
from helpers.teaching.exercises import check_first_svd_direction


def first_svd_direction(
    vectors: Float[Tensor, "n d_model"], toward: Float[Tensor, " d_model"]
) -> Float[Tensor, " d_model"]:
    """First right singular vector of the unit-length, uncentred rows, turned toward `toward`."""
    ### BEGIN SOLUTION
    rows = vectors / vectors.norm(dim=-1, keepdim=True)
    first = torch.linalg.svd(rows, full_matrices=False).Vh[0]
    return first if first @ toward > 0 else -first
    ### END SOLUTION


check_first_svd_direction(first_svd_direction)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Scale each *row* to length one, leave the mean in, take the first row of `Vh`, and compare its
# sign with `toward`.
# </details>
#
# ### Open task · Who writes another word list?
#
# **Minutes:** 20 to 40. There is no check: nobody here knows the answer.
#
# Write down twenty words of another kind (kind words, food, places) that the model's texts use.
# Are there value vectors that promote them as the toxic neurons promote toxic words? Is there a
# direction that finds them, and do its nearest vectors beat vectors with the same cosines?
#
# Start with `model.token_strings(torch.arange(…))` and `lab.measures.used_tokens` for a mask of
# your words, `project_to_vocabulary(…)` and `top_tokens(…)` for a share like `toxic_share`, and
# `cosine_matched(…)` for the control. Write down your guess and what the result does not show.

# %% [markdown]
# ## What this notebook settles

# %% [markdown]
# Where *bred for* stands beside a verdict, the embedded model's corpus and size were chosen by what
# the claim measures (by a rule fixed beforehand): *agrees* is the weaker for it, and *not
# reproduced* is not.

# %%
lab.claims_table("A2", "A3")

# %% [markdown]
# ## Where to go next
#
# A direction that reads toxicity, and neurons that write along it: both are correlations so far.
# [03 · Do these vectors cause toxic text?](03_steering.ipynb) subtracts them from the stream
# while the model writes.
