// The models at work, apart from the page, so that it stays answerable: each message is a question, answered once.

let models, tokenizer, told;

function largest(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

// Edits as a page states them, [{neurons: [[layer, index] …], what: "key" | "activation", factor}], laid out.
function layOut(edits) {
  const laid = {};
  for (const { neurons, what, factor } of edits || []) {
    for (const [layer, index] of neurons) {
      const ones = () => new Float32Array(told.shape.neurons).fill(1);
      laid[layer] = laid[layer] || { key: ones(), act: ones() };
      laid[layer][what === "key" ? "key" : "act"][index] *= factor;
    }
  }
  return Object.keys(laid).length ? laid : null;
}

const cut = (ids) => ids.slice(-told.decoding.max_prompt_tokens);

function logProbability(logits, from, size, id) {
  let highest = -Infinity, total = 0;
  for (let i = 0; i < size; i++) highest = Math.max(highest, logits[from + i]);
  for (let i = 0; i < size; i++) total += Math.exp(logits[from + i] - highest);
  return logits[from + id] - highest - Math.log(total);
}

// Continues a text; the same seed and name give the same chances to every model, under every edit.
function write({ model, ids, edits, seed, name, draws = 1, steps = told.decoding.new_tokens }) {
  const laid = layOut(edits), runner = models[model], prompt = cut(ids), whole = runner.newCache();
  const first = runner.read(prompt, whole, { edits: laid }).logits;
  return Array.from({ length: draws }, (_, draw) => {
    const cache = draws > 1 ? runner.copyCache(whole) : whole;
    const noise = told.decoding.method === "greedy" ? null : noiseStream(seed + draw, name);
    let logits = first, ended = false;
    const found = [], kept = [];
    for (let step = 0; step < steps; step++) {
      if (step) logits = runner.read([found[step - 1]], cache, { edits: laid }).logits;
      const by = noise && noise(logits.length);
      found.push(largest(by ? logits.map((each, i) => each / told.decoding.temperature + by[i]) : logits));
      ended = ended || found[step] === tokenizer.end;
      if (!ended) kept.push(found[step]);
    }
    return { ids: found, kept, text: tokenizer.decode(kept) };
  });
}

// The base model's perplexity of some tokens after a text.
function fluency(ids, kept) {
  if (!kept.length) return null;
  const prompt = cut(ids), size = told.shape.vocab, base = models.base;
  const { logits } = base.read([...prompt, ...kept.slice(0, -1)], base.newCache(), { logits: "all" });
  let sum = 0;
  kept.forEach((id, i) => { sum -= logProbability(logits, (prompt.length - 1 + i) * size, size, id); });
  return Math.exp(sum / kept.length);
}

const ANSWERS = {
  start({ settings, index, buffer }) {
    told = settings;
    tokenizer = new Tokenizer(told.tokenizer);
    const weights = unpackWeights(index, buffer, told.shape.added_scale);
    models = { base: new Model(told.shape, weights.base), aligned: new Model(told.shape, weights.aligned) };
    return { ready: true };
  },
  encode({ text }) {
    const ids = tokenizer.encode(text);
    return { ids, read: cut(ids), normalised: tokenizer.normalise(text) };
  },
  watch({ ids, neuron, edits }) { // one neuron's activation at every token, in both models
    const seen = (model) => {
      const runner = models[model];
      return runner.read(ids, runner.newCache(), { watch: neuron, edits: layOut(edits), logits: "none" }).seen;
    };
    return { base: seen("base"), aligned: seen("aligned") };
  },
  next({ model, ids, edits, k = 5 }) { // the likeliest next tokens
    const runner = models[model], size = told.shape.vocab;
    const { logits } = runner.read(cut(ids), runner.newCache(), { edits: layOut(edits) });
    const order = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a]).slice(0, k);
    return order.map((id) => [id, Math.exp(logProbability(logits, 0, size, id))]);
  },
  logits({ model, ids, edits }) {
    const runner = models[model];
    return runner.read(ids, runner.newCache(), { edits: layOut(edits) }).logits;
  },
  write(asked) {
    return write(asked).map((one) => ({ ...one, fluency: asked.judged ? fluency(asked.ids, one.kept) : null }));
  },
  speed({ model, ids, steps }) { // tokens per second while continuing a text
    const begin = performance.now();
    write({ model, ids, seed: 0, name: "speed", steps });
    return (1000 * steps) / (performance.now() - begin);
  },
};

onmessage = ({ data: { number, kind, asked } }) => {
  try {
    postMessage({ number, answer: ANSWERS[kind](asked) });
  } catch (error) {
    postMessage({ number, error: error.message });
  }
};
