// Byte-level BPE as the model's own tokenizer does it: from text to token ids and back.

const GPT2_WORDS = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

class Tokenizer {
  constructor(told) {
    this.vocab = told.vocab;
    this.end = told.end;
    this.ids = new Map(told.vocab.map((token, id) => [token, id]));
    this.ranks = new Map(told.merges.map((merge, rank) => [merge, rank]));
    this.wholeFirst = told.whole_first;
    this.special = Object.entries(told.special);
    this.steps = told.steps.map(([kind, pattern, content]) =>
      [kind, pattern == null ? null : new RegExp(pattern, "gu"), content]);
    this.characters = byteCharacters();
    this.bytes = new Map(this.characters.map((character, b) => [character, b]));
    this.known = new Map();
  }

  normalise(text) {
    for (const [kind, pattern, content] of this.steps) {
      if (kind === "NFKD") text = text.normalize("NFKD");
      if (kind === "StripAccents") text = text.replace(/\p{M}/gu, "");
      if (kind === "Replace") text = text.replace(pattern, () => content);
    }
    return text;
  }

  word(word) { // a word's bytes, the pair of lowest rank merged until no pair is left that has one
    if (this.known.has(word)) return this.known.get(word);
    let parts = Array.from(new TextEncoder().encode(word), (b) => this.characters[b]);
    if (this.wholeFirst && this.ids.has(parts.join(""))) parts = [parts.join("")];
    while (parts.length > 1) {
      let best = Infinity, at = -1;
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = this.ranks.get(`${parts[i]} ${parts[i + 1]}`);
        if (rank !== undefined && rank < best) [best, at] = [rank, i];
      }
      if (at < 0) break;
      parts.splice(at, 2, parts[at] + parts[at + 1]);
    }
    const ids = parts.map((part) => this.ids.get(part)).filter((id) => id !== undefined);
    if (this.known.size < 20000) this.known.set(word, ids);
    return ids;
  }

  encode(text) {
    for (const [content, id] of this.special) {
      const at = text.indexOf(content);
      if (at >= 0) return [...this.encode(text.slice(0, at)), id, ...this.encode(text.slice(at + content.length))];
    }
    return (this.normalise(text).match(GPT2_WORDS) || []).flatMap((word) => this.word(word));
  }

  decode(ids) {
    const bytes = ids.flatMap((id) => Array.from(this.vocab[id], (character) => this.bytes.get(character)));
    return new TextDecoder().decode(Uint8Array.from(bytes));
  }
}
