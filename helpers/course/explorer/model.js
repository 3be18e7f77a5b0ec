// GPT-2 in plain script: a forward pass with a cache, under edits of single neurons, in single precision.

const HALVES = (() => { // every number that 16 bits can say
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, rest = bits & 1023;
    table[bits] = sign * (exponent === 0 ? rest * 2 ** -24 : (1 + rest / 1024) * 2 ** (exponent - 15));
  }
  return table;
})();

// `index`: name → [type, shape, where it begins]. Both models' weights, the second being the first's and more.
function unpackWeights(index, buffer, scale) {
  const models = { base: {}, aligned: {} };
  for (const [full, [, shape, at]] of Object.entries(index)) {
    if (!full.startsWith("base.")) continue;
    const name = full.slice(5), size = shape.reduce((a, b) => a * b, 1);
    const before = new Uint16Array(buffer, at, size);
    const added = new Uint16Array(buffer, index[`added.${name}`][2], size);
    const rest = index[`rest.${name}`] && new Uint16Array(buffer, index[`rest.${name}`][2], size);
    const base = new Float32Array(size), aligned = new Float32Array(size);
    for (let i = 0; i < size; i++) {
      const half = HALVES[before[i]];
      base[i] = rest ? half + HALVES[rest[i]] / scale : half;
      aligned[i] = half + HALVES[added[i]] / scale;
    }
    models.base[name] = base;
    models.aligned[name] = aligned;
  }
  return models;
}

// Rows of x (rows × inner) through a matrix (outer × inner) and a bias: four outputs at a time, and two rows
// where there are two, so that a number once read serves several sums.
function linear(x, matrix, bias, inner, outer) {
  const rows = x.length / inner, y = new Float32Array(rows * outer), whole = outer - (outer % 4);
  for (let r = 0; r < rows; r += 2) {
    const two = r + 1 < rows, from = r * inner, to = r * outer;
    for (let j = 0; j < whole; j += 4) {
      let p = j * inner, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
      if (two) {
        for (let i = from; i < from + inner; i++, p++) {
          const v = x[i], w = x[i + inner];
          const k = matrix[p], l = matrix[p + inner], m = matrix[p + 2 * inner], n = matrix[p + 3 * inner];
          a += v * k; b += v * l; c += v * m; d += v * n;
          e += w * k; f += w * l; g += w * m; h += w * n;
        }
        const on = to + outer + j;
        y[on] = e; y[on + 1] = f; y[on + 2] = g; y[on + 3] = h;
      } else {
        for (let i = from; i < from + inner; i++, p++) {
          const v = x[i];
          a += v * matrix[p]; b += v * matrix[p + inner]; c += v * matrix[p + 2 * inner]; d += v * matrix[p + 3 * inner];
        }
      }
      y[to + j] = a; y[to + j + 1] = b; y[to + j + 2] = c; y[to + j + 3] = d;
    }
    for (let row = r; row < r + 1 + two; row++)
      for (let j = whole; j < outer; j++)
        for (let i = 0, p = j * inner; i < inner; i++) y[row * outer + j] += x[row * inner + i] * matrix[p + i];
  }
  if (bias) for (let i = 0; i < y.length; i++) y[i] += bias[i % outer];
  return y;
}

function layerNorm(x, gain, bias, epsilon) {
  const width = gain.length, y = new Float32Array(x.length);
  for (let from = 0; from < x.length; from += width) {
    let mean = 0, square = 0;
    for (let i = 0; i < width; i++) mean += x[from + i];
    mean /= width;
    for (let i = 0; i < width; i++) square += (x[from + i] - mean) ** 2;
    const scale = 1 / Math.sqrt(square / width + epsilon);
    for (let i = 0; i < width; i++) y[from + i] = (x[from + i] - mean) * scale * gain[i] + bias[i];
  }
  return y;
}

const gelu = (x) => 0.5 * x * (1 + Math.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));

class Model {
  constructor(shape, weights) {
    this.shape = shape;
    this.weights = weights;
  }

  newCache() {
    const { layers, context, width } = this.shape;
    const room = () => Array.from({ length: layers }, () => new Float32Array(context * width));
    return { length: 0, keys: room(), values: room() };
  }

  copyCache(cache) {
    const copy = (rows) => rows.map((row) => row.slice());
    return { length: cache.length, keys: copy(cache.keys), values: copy(cache.values) };
  }

  attend(qkv, layer, cache, rows) {
    const { heads, width } = this.shape, size = width / heads, start = cache.length;
    const keys = cache.keys[layer], values = cache.values[layer], mixed = new Float32Array(rows * width);
    for (let r = 0; r < rows; r++) {
      const at = r * 3 * width;
      keys.set(qkv.subarray(at + width, at + 2 * width), (start + r) * width);
      values.set(qkv.subarray(at + 2 * width, at + 3 * width), (start + r) * width);
    }
    const score = new Float64Array(start + rows);
    for (let r = 0; r < rows; r++) {
      for (let head = 0; head < heads; head++) {
        const from = r * 3 * width + head * size, seen = start + r + 1;
        let highest = -Infinity, total = 0;
        for (let p = 0; p < seen; p++) {
          let dot = 0;
          for (let i = 0, k = p * width + head * size; i < size; i++) dot += qkv[from + i] * keys[k + i];
          score[p] = dot / Math.sqrt(size);
          highest = Math.max(highest, score[p]);
        }
        for (let p = 0; p < seen; p++) total += score[p] = Math.exp(score[p] - highest);
        for (let p = 0; p < seen; p++) {
          const weight = score[p] / total;
          for (let i = 0, v = p * width + head * size, to = r * width + head * size; i < size; i++)
            mixed[to + i] += weight * values[v + i];
        }
      }
    }
    return mixed;
  }

  // Reads further tokens. `edits`: {layer: {key, act}}, a factor per neuron for its key, without its bias, and
  // for its activation. `watch`: {layer, index}, a neuron whose activation at every token is wanted.
  read(ids, cache, { edits = null, watch = null, logits = "last" } = {}) {
    const { layers, width, neurons, vocab, epsilon, context } = this.shape, W = this.weights, rows = ids.length;
    if (cache.length + rows > context) throw new RangeError(`The model reads at most ${context} tokens.`);
    const x = new Float32Array(rows * width), seen = new Float32Array(watch ? rows : 0);
    for (let r = 0; r < rows; r++)
      for (let i = 0; i < width; i++)
        x[r * width + i] = W["wte.weight"][ids[r] * width + i] + W["wpe.weight"][(cache.length + r) * width + i];
    const add = (more) => { for (let i = 0; i < x.length; i++) x[i] += more[i]; };
    for (let layer = 0; layer < layers; layer++) {
      const part = (name) => [W[`h.${layer}.${name}.weight`], W[`h.${layer}.${name}.bias`]];
      const first = layerNorm(x, ...part("ln_1"), epsilon);
      const qkv = linear(first, ...part("attn.c_attn"), width, 3 * width);
      add(linear(this.attend(qkv, layer, cache, rows), ...part("attn.c_proj"), width, width));
      const [keys, bias] = part("mlp.c_fc"), edit = edits && edits[layer];
      const inner = linear(layerNorm(x, ...part("ln_2"), epsilon), keys, bias, width, neurons);
      for (let i = 0; i < inner.length; i++) {
        const n = i % neurons;
        const before = edit ? edit.key[n] * (inner[i] - bias[n]) + bias[n] : inner[i];
        inner[i] = gelu(before) * (edit ? edit.act[n] : 1);
      }
      if (watch && watch.layer === layer) {
        for (let r = 0; r < rows; r++) seen[r] = inner[r * neurons + watch.index];
        if (logits === "none") return { seen }; // what follows is not looked at
      }
      add(linear(inner, ...part("mlp.c_proj"), neurons, width));
    }
    cache.length += rows;
    const wanted = logits === "all" ? x : x.subarray((rows - 1) * width);
    const last = layerNorm(wanted, W["ln_f.weight"], W["ln_f.bias"], epsilon);
    return { seen, logits: logits === "none" ? null : linear(last, W["wte.weight"], null, width, vocab) };
  }
}
