"""TransformerLens's readings of raw weights, against slow obvious versions: what later notebooks rely on."""

import copy

import pytest
import torch
from transformer_lens.tools.analysis import direct_logit_attribution, logit_lens

from helpers.language.models import boot, load_hf
from helpers.mechanism.interventions import add_direction
from helpers.mechanism.vectors import project_to_vocabulary
from helpers.profiles import POCKET
from tests.language.builders import SENTENCES, tiny_hf, tiny_tokenizer

TEXTS = [SENTENCES[0], "You are", SENTENCES[20]]
CLOSE = {"atol": 2e-5, "rtol": 2e-5}


@pytest.fixture(scope="module", params=["random", "pocket"])
def both(request):
    """A plain model and its bridge; the random one has gains and biases far from 1 and 0."""
    if request.param == "pocket":
        hf, tokenizer = load_hf(POCKET.model)
    else:
        hf, tokenizer = tiny_hf(layers=3, width=16), tiny_tokenizer()
    return hf, boot(copy.deepcopy(hf), tokenizer, name=request.param)


@torch.no_grad()
def slow_lens(hf, ids):
    """What a plain model would say if it stopped before, inside and after each block (float64)."""
    streams = []
    keep = [
        module.register_forward_pre_hook(lambda module, args: streams.append(args[0][0].double()))
        for block in hf.transformer.h
        for module in (block.ln_1, block.ln_2)
    ] + [
        hf.transformer.ln_f.register_forward_pre_hook(
            lambda module, args: streams.append(args[0][0].double())
        )
    ]
    hf(ids[None])
    for handle in keep:
        handle.remove()
    norm, logits = hf.transformer.ln_f, []
    for stream in streams:
        centred = stream - stream.mean(dim=-1, keepdim=True)
        sigma = (centred.square().mean(dim=-1, keepdim=True) + norm.eps).sqrt()
        logits.append((centred / sigma * norm.weight + norm.bias) @ hf.lm_head.weight.double().T)
    return streams, torch.stack(logits)


def test_the_logit_lens_says_what_the_model_would_say_if_it_stopped_there(both):
    hf, model = both
    for text in TEXTS:
        ids = model.tokenise([text]).ids[0]
        _, slow = slow_lens(hf, ids)
        following = ids.roll(-1)
        seen = logit_lens(model.bridge, ids[None], positions=None, incl_mid=True, targets=following[None])
        assert len(seen.labels) == 2 * model.n_layers + 1 and seen.labels[-1] == "final_post"
        wanted = slow.gather(-1, following.expand(len(slow), -1)[..., None])
        torch.testing.assert_close(seen.values[:, 0].double(), wanted, **CLOSE)
        # A rank may differ only where rounding could turn it.
        near = ((slow - wanted).abs() < 1e-4).sum(dim=-1) - 1
        assert ((seen.rank_trajectory()[:, 0] - (slow > wanted).sum(dim=-1)).abs() <= near).all()
        whole = logit_lens(model.bridge, ids[None], positions=None, incl_mid=True, return_type="log_probs")
        torch.testing.assert_close(whole.values[:, 0].double(), slow.log_softmax(dim=-1), **CLOSE)
        entropy = -(slow.softmax(dim=-1) * slow.log_softmax(dim=-1)).sum(dim=-1)
        torch.testing.assert_close(whole.readout.entropy[:, 0].double(), entropy, **CLOSE)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_logit_lens_of_a_padded_batch_wants_a_cache_made_with_the_mask(both, side):
    hf, model = both
    tokens = model.tokenise(TEXTS, side=side)
    _, cache = model.bridge.run_with_cache(tokens.ids, attention_mask=tokens.mask.long())
    seen = logit_lens(model.bridge, cache=cache, positions=None, incl_mid=True).values
    for row, mask in enumerate(tokens.mask):
        torch.testing.assert_close(
            seen[:, row, mask].double(), slow_lens(hf, tokens.ids[row, mask])[1], **CLOSE
        )


def test_the_logit_lens_sees_interventions(both):
    _, model = both
    tokens = model.tokenise(TEXTS[:1])
    before = logit_lens(model.bridge, tokens.ids, positions=None).values
    step = torch.linspace(-1, 1, model.d_model)
    with add_direction(model, step, 3.0, layer=1):
        seen, logits = logit_lens(model.bridge, tokens.ids, positions=None).values, model.logits(tokens)
    torch.testing.assert_close(seen[-1], logits, **CLOSE)
    assert torch.equal(seen[:2], before[:2]) and not torch.allclose(seen[2], before[2], atol=1e-2)


def test_direct_attribution_of_raw_parts_adds_up_and_is_the_librarys_own(both):
    """The library refuses raw weights; on a copy made ready for it, it gives what two lines of ours give."""
    hf, model = both
    ids = model.tokenise(TEXTS[:1]).ids
    streams, slow = slow_lens(hf, ids[0])
    last, norm = streams[-1][-1], hf.transformer.ln_f
    right, wrong = int(slow[-1, -1].argmax()), int(slow[-1, -1].argmin())
    _, cache = model.bridge.run_with_cache(ids)
    parts, labels = cache.decompose_resid(apply_ln=False, pos_slice=-1, return_labels=True)
    torch.testing.assert_close(parts[:, 0].double().sum(dim=0), last, **CLOSE)

    sigma = (last.var(correction=0) + norm.eps).sqrt()
    ours = (project_to_vocabulary(model, parts[:, 0]) / sigma)[:, [right, wrong]]
    ours = (ours[:, 0] - ours[:, 1]).detach()
    bias = (hf.lm_head.weight[right] - hf.lm_head.weight[wrong]).double() @ norm.bias.double()
    torch.testing.assert_close(ours.double().sum() + bias, slow[-1, -1, right] - slow[-1, -1, wrong], **CLOSE)

    ready = boot(copy.deepcopy(hf), model.tokenizer, name="ready")
    ready.bridge.enable_compatibility_mode()
    theirs = direct_logit_attribution(ready.bridge, ids, right, wrong)
    assert theirs.labels[: len(labels)] == labels
    torch.testing.assert_close(theirs.attribution[: len(labels), 0].double(), ours.double(), **CLOSE)
