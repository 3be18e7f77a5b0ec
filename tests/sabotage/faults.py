"""The faults: one changed line each, with the test that must notice. Later work adds its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One line made wrong, the way a person might get it wrong.

    Attributes:
        name: what is wrong, in a few words.
        file: seen from the project's folder.
        old: text that stands in the file exactly once; `new` takes its place.
        test: the pytest node that must fail: `tests/…::test_…`, or `notebooks/NN_….ipynb` for the notebook's
            own assertions.
    """

    name: str
    file: str
    old: str
    new: str
    test: str


FAULTS = [
    Fault(
        "a damaged artifact is served because its checksum is not compared",
        "helpers/artifacts/store.py",
        "if _checksum(entry / name) != files[name]]",
        "if not files[name]]",
        "tests/store/test_faults.py::TestDamage::test_any_flipped_byte_is_noticed_and_mended",
    ),
    Fault(
        "a killed writer leaves an artifact that looks whole",
        "helpers/artifacts/store.py",
        'new = work / "new"',
        "new = entry",
        "tests/store/test_faults.py::TestKilledWriter::test_at_every_step_of_writing",
    ),
    Fault(
        "a rule is turned round: below the control counts as above it",
        "helpers/teaching/claims/lee.py",
        "grade(direction=m.low > m.against, agrees=beyond and m.low > 3 * m.against)",
        "grade(direction=m.low < m.against, agrees=beyond and m.low > 3 * m.against)",
        "tests/teaching/test_rules.py::test_each_verdict",
    ),
    Fault(
        "a ledger's value may drift out of its interval unnoticed",
        "helpers/teaching/claims/table.py",
        "same = low <= old_high and old_low <= high",
        "same = low <= old_high or old_low <= high",
        "tests/teaching/test_claims.py::test_compare_names_each_difference",
    ),
    Fault(
        "rows of two profiles stand in one ledger",
        "helpers/teaching/claims/ledger.py",
        'if fragment["profile"] != wanted:',
        'if fragment["profile"] != fragment["profile"]:',
        "tests/teaching/test_claims.py::test_rows_of_different_profiles_are_never_merged",
    ),
    Fault(
        "two runs work in one build folder",
        "helpers/course/holding.py",
        "        lock.acquire(timeout=0)\n",
        "        pass\n",
        "tests/course/test_run.py::test_two_runs_at_once_are_refused_and_the_second_learns_of_the_first",
    ),
    Fault(
        "a file of the hub's cache is used whatever is in it",
        "helpers/language/hub.py",
        "        if found != wanted:\n",
        "        if not found:\n",
        "tests/language/test_hub.py::test_every_damage_is_noticed_by_the_listing_or_by_the_blobs_name",
    ),
    Fault(
        "a damaged batch of attempts is taken for whole",
        "helpers/artifacts/files.py",
        "if seal(content).encode() != line:",
        "if not content:",
        "tests/alignment/test_pairs.py::test_a_damaged_batch_and_what_follows_is_made_again",
    ),
    Fault(
        "pairs depend on the machine's number of threads",
        "helpers/alignment/pairs.py",
        "with cpu_threads(settings.threads):",
        "with cpu_threads(1):",
        "tests/alignment/test_pairs.py::test_the_number_of_threads_is_the_profiles_whatever_it_is_outside",
    ),
    Fault(
        "the logits of a batch may take any memory",
        "helpers/language/metrics.py",
        "max(1, LOGITS_BYTES // widest))",
        "max(batch_size, LOGITS_BYTES // widest))",
        "tests/language/test_evaluation.py::test_a_batch_holds_no_more_logits_than_fit",
    ),
    Fault(
        "the attention mask is ignored, so padding is read",
        "helpers/language/models.py",
        "return self.bridge(tokens.ids, attention_mask=tokens.mask.long())",
        "return self.bridge(tokens.ids)",
        "tests/language/test_models.py::test_padding_makes_no_difference_to_real_positions",
    ),
    Fault(
        "value vectors are handed out in the wrong order of layers",
        "helpers/language/models.py",
        "return self.bridge.W_out.detach()",
        "return self.bridge.W_out.detach().flip(0)",
        "notebooks/00_start_here.ipynb",
    ),
    Fault(
        "generation counts positions through the padding",
        "helpers/language/generation.py",
        "mask, positions = grown.mask.long(), grown.place",
        "mask, positions = grown.mask.long(), torch.arange(grown.mask.shape[1]).expand_as(grown.mask)",
        "tests/language/test_generation.py::test_greedy_equals_hugging_face_token_for_token",
    ),
    Fault(
        "all prompts of a batch share one stream of noise",
        "helpers/language/generation.py",
        'streams = [generator(seed, "gumbel", name) for name in names]',
        'streams = [generator(seed, "gumbel")] * len(names)',
        "tests/language/test_generation.py::test_running_out_of_memory_changes_nothing_and_is_said",
    ),
    Fault(
        "overlapping splits are let through",
        "helpers/language/texts.py",
        "shared = left & right",
        "shared = left & set()",
        "tests/language/test_texts.py::test_overlap_is_refused",
    ),
    Fault(
        "masking forgets capitals",
        "helpers/language/words.py",
        "word.casefold()",
        "word",
        "tests/language/test_words.py::test_stems_are_caught_in_compounds_and_disguise",
    ),
    Fault(
        "the probe reads the first position, whose activations are huge",
        "helpers/mechanism/pooling.py",
        '"mean": mask & (place >= 1),',
        '"mean": mask & (place >= 0),',
        "tests/mechanism/test_probe.py::test_mean_leaves_out_the_first_position",
    ),
    Fault(
        "a batch that ran out of memory is counted twice",
        "helpers/mechanism/stream.py",
        "            parts[site] = reducers[site].read(activation, batch)\n",
        "            parts[site] = reducers[site].read(activation, batch)\n"
        "            reducers[site].add(parts[site], batch)\n",
        "tests/mechanism/test_stream.py::test_running_out_of_memory_halves_the_batch_and_counts_each_text_once",
    ),
    Fault(
        "padding is averaged with the text",
        "helpers/mechanism/stream.py",
        "return self.of(activation)[batch.counted].double()",
        "return self.of(activation).flatten(0, 1).double()",
        "tests/mechanism/test_stream.py::test_means_are_those_of_the_slow_way",
    ),
    Fault(
        "the probe's penalty is off by the number of texts",
        "helpers/mechanism/probe.py",
        "LogisticRegression(C=equivalent_C(penalty, len(z)),",
        "LogisticRegression(C=equivalent_C(penalty, 1),",
        "tests/mechanism/test_probe.py::test_the_fit_is_stationary_in_the_stated_objective",
    ),
    Fault(
        "subtracting a direction adds it",
        "helpers/mechanism/interventions.py",
        "return add_direction(model, direction, -strength, layer=layer, site=site)",
        "return add_direction(model, direction, strength, layer=layer, site=site)",
        "tests/mechanism/test_interventions.py::test_equals_plain_hooks_in_the_forward_pass",
    ),
    Fault(
        "scaling a key scales its bias too",
        "helpers/mechanism/interventions.py",
        "layer: (1 - row) * model.bridge.blocks[layer].mlp.b_in.detach() for layer",
        "layer: 0 * row * model.bridge.blocks[layer].mlp.b_in.detach() for layer",
        "tests/mechanism/test_interventions.py::test_scaled_keys_equal_the_edited_checkpoint",
    ),
    Fault(
        "prompt tokens enter the DPO loss",
        "helpers/alignment/loss.py",
        "torch.where(batch.response, token_logprobs",
        "torch.where(batch.mask, token_logprobs",
        "tests/alignment/test_loss.py::test_prompt_and_padding_contribute_exactly_zero",
    ),
    Fault(
        "chosen and rejected are swapped in the margin",
        "helpers/alignment/loss.py",
        "margin = chosen_reward - rejected_reward",
        "margin = rejected_reward - chosen_reward",
        "tests/alignment/test_loss.py::test_loss_is_the_published_formula",
    ),
    Fault(
        "a paired comparison forgets the pairing",
        "helpers/intervals.py",
        "return bootstrap(first - second, statistic, n=n, seed=seed, method=method)",
        "return bootstrap(first - np.sort(second), statistic, n=n, seed=seed, method=method)",
        "tests/test_intervals.py::test_pairing_removes_what_both_conditions_share",
    ),
    Fault(
        "an equation that cannot be typeset is shown raw",
        "helpers/course/mathml.py",
        "if unknown := UNKNOWN.search(markup):",
        "if False and (unknown := UNKNOWN.search(markup)):",
        "tests/course/test_pages.py::test_an_unknown_command_is_an_error_not_a_page",
    ),
    Fault(
        "a half-made environment passes for a finished one",
        "helpers/course/setup.py",
        "stamp(venv, UNFINISHED)",
        "pass",
        "tests/course/test_setup.py::test_an_interrupted_set_up_leaves_no_stamp_and_the_next_one_completes",
    ),
    Fault(
        "a path of the author's machine is stored",
        "helpers/course/outputs.py",
        "yield number, output.text",
        'yield number, ""',
        "tests/course/test_publish.py::test_a_path_of_the_machine_is_not_stored",
    ),
    Fault(
        "the DPO loss leaves the reference out of the rejected reward",
        "helpers/alignment/loss.py",
        "beta * (policy_rejected - reference_rejected)",
        "beta * policy_rejected",
        "tests/alignment/test_loss.py::test_loss_is_the_published_formula",
    ),
    Fault(
        "a response's log-probability is a mean, so short responses win",
        "helpers/alignment/loss.py",
        "token_logprobs(model, batch.ids, batch.mask), 0.0).sum(dim=1)",
        "token_logprobs(model, batch.ids, batch.mask), 0.0).mean(dim=1)",
        "tests/alignment/test_loss.py::test_sequence_logprobs_equal_one_token_at_a_time",
    ),
    Fault(
        "training teaches end-of-text after every response",
        "helpers/alignment/trl_adapter.py",
        "        return dataset\n\n    def _precompute_ref_logps",
        "        return super()._prepare_dataset(dataset, *args, **kwargs)\n\n    def _precompute_ref_logps",
        "tests/alignment/test_trl_adapter.py::test_trl_still_appends_end_of_text_and_the_adapter_does_not",
    ),
    Fault(
        "the rejected response sees the chosen one",
        "helpers/alignment/shared_prompts.py",
        "& self.real[:, None, :] & ~(self.second[:, :, None] & self.first[:, None, :])",
        "& self.real[:, None, :]",
        "tests/alignment/test_trl_adapter.py::test_shared_prompts_equal_the_loss_from_scratch",
    ),
    Fault(
        "PPLM walks away from the probe",
        "helpers/alignment/pplm.py",
        "layer.detach() - gradient * (",
        "layer.detach() + gradient * (",
        "tests/alignment/test_pplm.py::test_each_iteration_raises_the_attribute",
    ),
    Fault(
        "a text's PPLM step depends on the others in its batch",
        "helpers/alignment/pplm.py",
        "vector_norm(gradient, dim=(0, 2, 3, 4), keepdim=True)",
        "vector_norm(gradient, dim=(0, 1, 2, 3, 4), keepdim=True)",
        "tests/alignment/test_pplm.py::test_a_batch_equals_its_rows_one_by_one",
    ),
    Fault(
        "a toxic chosen side is kept",
        "helpers/alignment/pairs.py",
        'pair.scores["chosen"] > rules.most_chosen',
        'pair.scores["chosen"] < rules.most_chosen',
        "tests/alignment/test_pairs.py::test_each_dropped_pair_is_counted_once_under_its_reason",
    ),
    Fault(
        "policies are chosen whatever their perplexity",
        "helpers/alignment/policies.py",
        "        and look.perplexity <= limit",
        "        and look.perplexity <= look.perplexity + limit",
        "tests/alignment/test_policies.py::test_perplexity_beyond_the_ceiling_rules_a_look_out",
    ),
    Fault(
        "policies are chosen on evaluation prompts",
        "helpers/lab/policies.py",
        'self.at.bench.prompts["dev"][',
        'self.at.bench.prompts["eval"][',
        "tests/lab/test_pairs_and_policies.py::test_dev_figures_are_those_of_an_evaluation",
    ),
    Fault(
        "a verdict that one of the family lacks passes for the same",
        "helpers/teaching/claims/replication.py",
        "differ = sum(len(set(each)) > 1",
        "differ = sum(len(set(each) - {NOT_RUN}) > 1",
        "tests/teaching/test_replication.py::test_verdicts_are_compared_over_the_family",
    ),
    Fault(
        "a replicate run keeps what other code found",
        "helpers/course/replicate.py",
        'now = {"code": code,',
        'now = {"code": "",',
        "tests/course/test_replicate.py::test_what_is_finished_for_the_same_code_and_profile_is_kept",
    ),
    Fault(
        "the untrained model has the trained one's weights",
        "helpers/language/models.py",
        "if source.untrained is not None:",
        "if source.untrained == -1:",
        "tests/language/test_models.py::"
        "test_an_untrained_model_has_the_shape_and_the_weights_that_training_would_start_at",
    ),
    Fault(
        "activations are read at a token's own position, not where it was predicted",
        "helpers/mechanism/statistics.py",
        "(place >= starts) & (place < lengths - 1)",
        "(place > starts) & (place < lengths)",
        "tests/mechanism/test_statistics.py::test_a_token_is_predicted_one_position_before_its_own",
    ),
    Fault(
        "the offset's part of a change is read through the tuned model's LayerNorm",
        "helpers/mechanism/changes.py",
        "moved = mlp_input(before, read_after.standardised)",
        "moved = mlp_input(after, read_after.standardised)",
        "tests/mechanism/test_changes.py::test_the_parts_of_a_pre_activations_change_add_up_and_are_what_they_say",
    ),
    Fault(
        "a common offset is taken off before it is looked for",
        "helpers/mechanism/changes.py",
        "torch.linalg.svdvals(vectors.double())",
        "torch.linalg.svdvals((vectors - vectors.mean(dim=0)).double())",
        "tests/mechanism/test_changes.py::test_the_spectrum_of_one_direction_and_of_many",
    ),
    Fault(
        "an attack edits the policy it was lent, so that the next one starts from it",
        "helpers/alignment/unalign.py",
        "edited = copy.deepcopy(hf)\n    scale_keys_in_place",
        "edited = hf\n    scale_keys_in_place",
        "tests/alignment/test_unalign.py::"
        "test_a_copy_with_scaled_keys_equals_the_hooks_and_leaves_the_model_alone",
    ),
    Fault(
        "an attack that breaks the text is priced",
        "helpers/lab/looks.py",
        'return kept["perplexity"] <= room and',
        'return kept["perplexity"] <= room or',
        "tests/lab/test_unalign.py::test_either_bound_alone_rules_an_attack_out",
    ),
    Fault(
        "a share of no gap is a number",
        "helpers/alignment/unalign.py",
        "if not whole > 0 or clear.double().mean() < 0.975:",
        "if not whole:",
        "tests/alignment/test_unalign.py::test_a_gap_that_is_not_there_has_no_share",
    ),
    Fault(
        "an export is written over what was there",
        "helpers/alignment/unalign.py",
        "if folder.exists():",
        "if folder.is_file():",
        "tests/alignment/test_unalign.py::"
        "test_an_export_equals_the_hooks_carries_a_card_and_is_never_written_over",
    ),
    Fault(
        "another seed's drop is the first one's",
        "helpers/lab/drops.py",
        "policy = self._evaluated(part, name, seed=seed)",
        "policy = self._evaluated(part, name)",
        "tests/lab/test_verdicts.py::test_every_measurement_follows_the_seed",
    ),
    Fault(
        "a verdict that one seed lacks passes for the same",
        "helpers/lab/verdicts.py",
        "if key in each else NOT_RUN",
        'if key in each else "agrees"',
        "tests/lab/test_verdicts.py::test_verdicts_that_differ_are_counted_and_named",
    ),
]
