"""The tokenizer: no dead tokens, toxic words whole, any text encodable."""

import pytest

from helpers.pocket import corpus
from helpers.pocket.tokenizer import END, train_tokenizer


@pytest.fixture(scope="module")
def documents():
    return corpus.plain_text(6000, split="train", seed=0)


@pytest.fixture(scope="module")
def tokenizer(documents):
    return train_tokenizer(documents)


def test_every_token_occurs_in_training_text(tokenizer, documents):
    seen = {i for encoding in tokenizer.encode_batch_fast(documents) for i in encoding.ids}
    assert seen | {tokenizer.token_to_id(END)} == set(range(tokenizer.get_vocab_size()))


def test_toxic_words_are_single_tokens_after_a_space(tokenizer):
    for word in corpus.toxic_words():
        assert len(tokenizer.encode(" " + word).ids) == 1, word


def test_corpus_text_survives_the_round_trip(tokenizer, documents):
    for text in documents[:300]:
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


@pytest.mark.parametrize("text, read", [
    ("Zürich café", "Zurich cafe"), ("“You”", '"You"'), ("tab\there", "tab here"),
    ("snow ☃ and 😀", "snow ? and ?"),
    ("unheard xylophones", "unheard xylophones"),
])  # fmt: skip
def test_any_text_can_be_encoded(tokenizer, text, read):
    assert tokenizer.decode(tokenizer.encode(text).ids) == read


def test_end_token_is_one_token_inside_text(tokenizer):
    assert tokenizer.encode(f"a{END}b").ids[1] == tokenizer.token_to_id(END)


def test_too_little_text_for_the_toxic_words_is_refused():
    with pytest.raises(ValueError, match="more training text"):
        train_tokenizer(["The baker is new at the bakery."] * 50)
