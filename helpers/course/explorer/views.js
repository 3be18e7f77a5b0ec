// The views: from what is known of a neuron to HTML. They read and return; nothing here touches the page.

const MODELS = ["base", "aligned"];
const GROUP_NAMES = {
  TP: "on the probe’s side, mean above 0", TN: "on the probe’s side, mean below 0",
  AP: "on the other side, mean above 0", AN: "on the other side, mean below 0",
};

class Neurons {
  constructor(told, buffer) {
    const kinds = {
      float64: Float64Array, float32: Float32Array, uint32: Uint32Array, uint16: Uint16Array, int16: Int16Array, uint8: Uint8Array,
    };
    this.told = told;
    this.shape = told.shape;
    this.count = told.shape.layers * told.shape.neurons;
    this.arrays = {};
    for (const [name, [kind, shape, at]] of Object.entries(told.neurons)) {
      const size = shape.reduce((a, b) => a * b, 1);
      this.arrays[name] = { data: new kinds[kind](buffer, at, size), row: size / shape[0] };
    }
    this.ranks = {};
  }
  get(name, i) { return this.arrays[name].data[i]; }
  row(name, i) { const { data, row } = this.arrays[name]; return data.subarray(i * row, (i + 1) * row); }
  name(i) { return `L${Math.floor(i / this.shape.neurons)}.${i % this.shape.neurons}`; }
  place(i) { return { layer: Math.floor(i / this.shape.neurons), index: i % this.shape.neurons }; }
  group(i) { return this.told.all.groups[this.get("group", i) - 1] || "–"; }
  parse(text) {
    const found = /^\s*[Ll]?\s*(\d+)\s*[.,]\s*(\d+)\s*$/.exec(text), { layers, neurons } = this.shape;
    if (!found) return { error: `“${text.trim().slice(0, 30)}” names no neuron. Write L, layer, dot, number: L0.0 to L${layers - 1}.${neurons - 1}.` };
    const [layer, index] = [Number(found[1]), Number(found[2])];
    if (layer >= layers || index >= neurons)
      return { error: `There is no L${layer}.${index}: layers run from 0 to ${layers - 1}, neurons from 0 to ${neurons - 1}.` };
    return { i: layer * neurons + index };
  }
  order(name) { // all neurons, the largest first
    if (!this.ranks[name]) {
      const { data } = this.arrays[name], order = Array.from({ length: this.count }, (_, i) => i);
      order.sort((a, b) => data[b] - data[a] || a - b);
      const rank = new Uint32Array(this.count);
      order.forEach((i, at) => { rank[i] = at + 1; });
      this.ranks[name] = { order, rank };
    }
    return this.ranks[name];
  }
  rank(name, i) { return this.order(name).rank[i]; }
  moved(i, on) { return this.get(`after.${on}`, i) - this.get("before", i); }
}

const link = (all, i) => `<a href="#${all.name(i)}">${all.name(i)}</a>`;

function summaryView(all, i, on) {
  const cosine = all.get("cosine", i), fall = all.get(`whole.${on}`, i), gross = all.told.all.gross[on];
  const chance = 1.96 / Math.sqrt(all.shape.width); // 95 % of random vectors' cosines are nearer to 0
  const toward = Math.abs(cosine) <= chance ? `lies nearly across the toxicity probe (of random vectors, 95 % have a cosine within ±${plain(chance, 2)})` : `points ${cosine > 0 ? "toward" : "away from"} the toxicity probe`;
  const noise = 1.96 * all.get(`noise.${on}`, i), read = on === "shared" ? "both on base’s texts" : "each on its own texts";
  const part = fall / gross < 0.0005 ? "less than 0.1 %" : percent(fall / gross);
  const did = Math.abs(fall) <= noise
    ? "Tuning moved what it adds along the probe by no more than noise."
    : Math.abs(fall) < 0.5 / 10 ** PROJECTION
      ? `Tuning moved what it adds along the probe by less than ${plain(10 ** -PROJECTION, PROJECTION)}.`
    : fall > 0
      ? `Tuning <b>lowered</b> what it adds along the probe: number ${count(all.rank(`whole.${on}`, i))} of ${count(all.count)}, ${part} of all that lowers it.`
      : `Tuning <b>raised</b> what it adds along the probe.`;
  const fact = (name, value, note) => `<div><dt>${name}</dt><dd>${value}<small>${note}</small></dd></div>`;
  return `<h1>${all.name(i)}</h1>
    <p class="lead">Its value vector ${toward}, number ${count(all.rank("cosine", i))} of ${count(all.count)} by cosine.
    On average it is at ${digits(all.get("before", i))} in base and ${digits(all.get(`after.${on}`, i))} in aligned, ${read}. ${did}</p>
    <dl class="facts">
      ${fact("cosine to probe", digits(cosine), "of the value vector, in base")}
      ${fact("fall in projection", digits(fall, PROJECTION), `± ${plain(noise, PROJECTION)} by texts; above 0 is less toxic`)}
      ${fact("Δ activation", digits(all.moved(i, on)), "mean, aligned − base")}
      ${fact("group", all.group(i), GROUP_NAMES[all.group(i)] || "cosine or mean is exactly 0")}
    </dl>`;
}

function wordsView(all, shown, i) {
  const list = (end, who) => {
    const ids = all.row(`words.${end}.${who}`, i), raised = all.row(`raised.${end}.${who}`, i);
    const others = new Set(all.row(`words.${end}.${who === "base" ? "aligned" : "base"}`, i));
    const words = shown.words(ids), toxic = words.filter(isToxicWord).length;
    const items = words.map((word, at) => {
      const kind = `${isToxicWord(word) ? "tox" : ""} ${others.has(ids[at]) ? "" : "only"}`.trim();
      return `<li><span${kind ? ` class="${kind}"` : ""}>${escape(word)}</span> <span class="num">${digits(raised[at], 2)}</span></li>`;
    });
    return `<td><ol class="words">${items.join("")}</ol><small>${toxic} of ${words.length} toxic</small></td>`;
  };
  const row = (end, name) => `<tr><th scope="row">${name}</th>${MODELS.map((who) => list(end, who)).join("")}</tr>`;
  return `<h2>What it writes</h2>
    <table class="plain"><thead><tr><td></td><th scope="col" class="base">base</th><th scope="col" class="aligned">aligned</th></tr></thead>
    <tbody>${row("up", "promotes")}${row("down", "suppresses")}</tbody></table>
    <p class="note">Tokens that the value vector raises and lowers most, and what one unit of activation adds to the logit, but for LayerNorm’s scale.
    <b class="tox">Underlined</b>: on the list of toxic words. <span class="only">Slanted</span>: among one model’s ten alone.
    Cosine of base’s vector with aligned’s: ${digits(all.get("turned", i), 5)}; of the key: ${digits(all.get("key_turned", i), 5)}.</p>`;
}

function barView(value, who) { // from −1 to 1, with the number beside it
  const width = Math.abs(value) * 50, from = value < 0 ? 50 - width : 50;
  return `<td class="bar"><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="8"/>
    <rect class="${who}" x="${from}" y="1" width="${width}" height="6"/><line x1="50" x2="50" y2="8"/></svg></td><td class="num">${digits(value)}</td>`;
}

function pointsView(all, i) {
  const axes = MODELS.map((who) => all.row(`axes.${who}`, i));
  const rows = [["probe Ŵ", all.get("cosine", i), all.get("cosine_after", i)], ...Array.from(axes[0], (one, u) => [`U${u}`, one, axes[1][u]])];
  const near = Array.from(all.row("near", i), (j, at) => `<li>${link(all, j)} <span class="num">${digits(all.row("near.cosine", i)[at])}</span></li>`);
  return `<h2>Where it points</h2>
    <table class="plain bars"><thead><tr><th scope="col">cosine to</th><th scope="col" colspan="2" class="base">base</th><th scope="col" colspan="2" class="aligned">aligned</th></tr></thead>
    <tbody>${rows.map(([name, a, b]) => `<tr><th scope="row">${name}</th>${barView(a, "base")}${barView(b, "aligned")}</tr>`).join("")}</tbody></table>
    <p class="note">U0–U${axes[0].length - 1}: what the ${all.told.all.pool} value vectors nearest the probe have most in common.
    Length ${plain(all.get("norm.base", i))} in base, ${plain(all.get("norm.aligned", i))} in aligned.</p>
    <h3>Nearest value vectors</h3><ul class="near">${near.join("")}</ul>`;
}

function histogramView(all, i, on) {
  const sources = ["base", on === "shared" ? "shared" : "aligned"];
  const [lowest, step, bins] = all.told.all.bins, rows = sources.map((who) => all.row(`histogram.${who}`, i));
  const totals = sources.map((who) => all.told.all.positions[who]);
  let last = 4;
  rows.forEach((row) => row.forEach((n, b) => { if (n) last = Math.max(last, b); }));
  const W = 420, H = 150, left = 44, bottom = 26, wide = (W - left - 8) / (last + 1);
  const floor = 5e-5, y = (part) => 8 + (H - bottom - 8) * (Math.log10(1) - Math.log10(Math.max(part, floor))) / -Math.log10(floor);
  const x = (value) => left + Math.min(last + 1, Math.max(0, (value - lowest) / step)) * wide, ground = H - bottom;
  const part = (m, b) => rows[m][b] / totals[m];
  const bars = Array.from(rows[0].subarray(0, last + 1), (n, b) =>
    n ? `<rect class="base" x="${(left + b * wide + 0.5).toFixed(1)}" width="${Math.max(1, wide - 1).toFixed(1)}" y="${y(part(0, b)).toFixed(1)}" height="${(ground - y(part(0, b))).toFixed(1)}"/>` : "");
  let path = `M${left} ${ground}`;
  for (let b = 0; b <= last; b++) path += `V${(rows[1][b] ? y(part(1, b)) : ground).toFixed(1)}H${(left + (b + 1) * wide).toFixed(1)}`;
  const ticks = [1, 0.1, 0.01, 0.001, 0.0001].map((p) => `<text x="${left - 5}" y="${y(p) + 3.5}" text-anchor="end">${100 * p}\u2009%</text><line class="grid" x1="${left}" x2="${W - 8}" y1="${y(p)}" y2="${y(p)}"/>`);
  const whole = lowest + step * (last + 1), every = whole > 2.5 ? 1 : whole > 1 ? 0.5 : 0.2, marks = [];
  for (let v = 0; v <= whole + 1e-9; v += every) marks.push(`<text x="${x(v)}" y="${H - 10}" text-anchor="middle">${plain(v, every < 1 ? 1 : 0)}</text>`);
  const mean = (m, who) => { const v = all.get(m, i); return `<line class="mean ${who}" x1="${x(v)}" x2="${x(v)}" y1="4" y2="${ground}"/>`; };
  const said = `Shares of positions by activation. Mean in base ${digits(all.get("before", i))}, in aligned ${digits(all.get(`after.${on}`, i))}.`;
  const table = Array.from({ length: last + 1 }, (_, b) => `<tr><td class="num">${b === 0 ? "below " + digits(lowest + step, 1) : b === bins - 1 ? "above " + digits(lowest + step * b, 1) : `${digits(lowest + step * b, 1)} to ${digits(lowest + step * (b + 1), 1)}`}</td><td class="num">${count(rows[0][b])}</td><td class="num">${count(rows[1][b])}</td></tr>`);
  return `<h2>How strongly it fires</h2>
    <svg class="histogram" viewBox="0 0 ${W} ${H}" role="img" aria-label="${said}">${ticks.join("")}${bars.join("")}<path class="aligned" d="${path}V${ground}"/>
    <line class="axis" x1="${left}" x2="${W - 8}" y1="${ground}" y2="${ground}"/>${mean("before", "base")}${mean(`after.${on}`, "aligned")}${marks.join("")}</svg>
    <p class="note"><span class="key base"></span> base, mean ${digits(all.get("before", i))} <span class="key aligned"></span> aligned, mean ${digits(all.get(`after.${on}`, i))} (dashed).
    Share of positions by activation, on a logarithmic scale.</p>
    <details><summary>The numbers</summary><table class="plain small"><thead><tr><th>activation</th><th class="num">base</th><th class="num">aligned</th></tr></thead><tbody>${table.join("")}</tbody></table></details>`;
}

function ledgerView(all, i, on) {
  const along = [all.get("before", i) * all.get("along", i), all.get(`after.${on}`, i) * all.get("along_after", i)];
  const fall = all.get(`whole.${on}`, i), gross = all.told.all.gross[on], part = (name) => digits(all.get(`${name}.${on}`, i), PROJECTION);
  const row = (name, value, note, kind = "") => `<tr${kind}><th scope="row">${name}</th><td class="num">${value}</td><td><small>${note}</small></td></tr>`;
  const seeds = [["own", all.told.all.first_seed], ...all.told.all.seeds.map((seed) => [seed, seed])].map(([end, seed]) =>
    `<tr><th scope="row">${seed}</th><td class="num">${digits(all.get(`after.${end}`, i))}</td><td class="num">${digits(all.get(`whole.${end}`, i), PROJECTION)}</td><td class="num">${digits(all.get(end === "own" ? "cosine_after" : `cosine_after.${end}`, i))}</td></tr>`);
  return `<h2>Its line in the ledger</h2>
    <div class="halves"><div><table class="plain"><tbody>
      ${row("projection in base", digits(along[0], PROJECTION), "mean activation × (value vector · Ŵ)")}
      ${row("projection in aligned", digits(along[1], PROJECTION), "")}
      ${row("fall, whole", part("whole"), fall > 0 ? `${percent(fall / gross)} of gross, number ${count(all.rank(`whole.${on}`, i))}` : "– : it raises the projection", ' class="sum"')}
      ${row("fires otherwise", part("activation"), "activation part")}
      ${row("writes otherwise", part("value"), "value-vector part")}
      ${row("both at once", part("interaction"), "interaction")}
    </tbody></table>
    <p class="note">Group ${all.group(i)}: ${GROUP_NAMES[all.group(i)] || "none"}; it ${all.get(`lowers.${on}`, i) ? "is" : "is not"} among those that lower toxicity.</p></div>
    <div><h3>In the other DPO seeds</h3>
    <table class="plain"><thead><tr><th scope="col">seed</th><th class="num" scope="col">mean, aligned</th><th class="num" scope="col">fall</th><th class="num" scope="col">cosine to probe</th></tr></thead><tbody>${seeds.join("")}</tbody></table>
    <p class="note">${all.told.all.seeds.length ? `Each on its own texts. The aligned model of this page is seed ${all.told.all.first_seed}.` : "Other seeds stand here once their policies and statistics are in the cache."}</p></div></div>`;
}

// --- tokens on a coloured ground, with the number below them where there is room
function tokenHtml(token, value, full, extra = "") {
  const weight = full > 0 ? Math.min(1, Math.abs(value) / full) : 0;
  return `<span class="tok ${value < 0 ? "minus" : "plus"} ${extra}" style="--w:${(70 * weight).toFixed(0)}%" title="${digits(value)}">${escape(token)}</span>`;
}

const valueOf = (seen, view, p) => (view === "difference" ? seen.aligned[p] - seen.base[p] : seen[view][p]);

// One place at which a neuron is extreme. `seen`: what the page's models compute there, or null until they have.
function contextView(tokens, { at, value, who }, seen, view, full) {
  const from = Math.max(0, at - 11), to = Math.min(tokens.length, at + 6);
  const show = (p) => tokenHtml(tokens[p], seen ? valueOf(seen, view, p) : p === at && view !== "difference" ? value : 0, full, p === at ? "peak" : "");
  const run = (a, b) => Array.from({ length: b - a }, (_, k) => show(a + k)).join("");
  const numbers = seen ? [seen.base[at], seen.aligned[at], seen.aligned[at] - seen.base[at]].map((one) => digits(one)) : [...MODELS.map((one) => (one === who ? digits(value) : "…")), "…"];
  return `<tr><td class="left"><div>${from > 0 ? "…" : ""}${run(from, at)}</div></td><td class="centre">${show(at)}</td>
    <td class="right"><div>${run(at + 1, to)}${to < tokens.length ? "…" : ""}</div></td>${numbers.map((one) => `<td class="num">${one}</td>`).join("")}</tr>`;
}

function contextsOf(all, i, who, end, on) {
  const source = who === "aligned" && on === "shared" ? "shared" : who, writer = source === "aligned" ? "aligned" : "base";
  const texts = all.row(`${end}.texts.${source}`, i), positions = all.row(`${end}.positions.${source}`, i), values = all.row(`${end}.values.${source}`, i);
  return Array.from(texts, (text, k) => ({ text, at: positions[k], value: values[k] })).filter((one) => one.text >= 0)
    .map((one) => ({ ...one, who, ids: Array.from(all.row(`texts.${writer}`, one.text).subarray(0, all.get(`lengths.${writer}`, one.text))) }));
}

const FLOOR = -0.1695; // GELU's least value is −0.170

function contextsView(all, shown, i, { who, view, end, on }, seen) {
  const found = contextsOf(all, i, who, end, on);
  const tops = ["base", on === "shared" ? "shared" : "aligned"].flatMap((one) => [...all.row(`top.values.${one}`, i), ...all.row(`low.values.${one}`, i)]);
  const full = Math.max(1e-9, ...tops.filter(Number.isFinite).map(Math.abs));
  const choice = (group, value, name, now) => `<label><input type="radio" name="${group}" value="${value}"${now === value ? " checked" : ""}><span>${name}</span></label>`;
  const choices = (group, title, now, pairs) => `<fieldset><legend>${title}</legend>${pairs.map(([value, name]) => choice(group, value, name || value, now)).join("")}</fieldset>`;
  const rows = found.map((one, k) => contextView(shown.tokens(one.ids), one, seen && seen[k], view, full));
  return `<h2>Where it is extreme</h2>
    <div class="choices">${choices("view", "colour by", view, [["base"], ["aligned"], ["difference"]])}${choices("end", "places", end, [["top", "highest"], ["low", "lowest"]])}${choices("who", "of", who, [["base"], ["aligned"]])}</div>
    ${rows.length ? `<div class="wide"><table class="plain contexts"><thead><tr><th colspan="3"></th><th class="num">base</th><th class="num">aligned</th><th class="num">Δ</th></tr></thead><tbody>${rows.join("")}</tbody></table></div>` : "<p>No place is kept.</p>"}
    ${end === "low" && found.every((one) => one.value < FLOOR) ? `<p class="note">GELU is never below −0.170. At all these places it is at that floor, and which of the many they are means nothing.</p>` : ""}
    <p class="note">One colour scale for both models and for the difference, full at ±${plain(full)}: <span class="tok plus" style="--w:30%">orange</span> above 0, <span class="tok minus" style="--w:30%">blue</span> below.
    The numbers are those at the framed token. ${seen ? "Both models computed them in this page." : "The models in this page are at work on them."}</p>`;
}

// --- the table
const COLUMNS = [ // name, title, what it is sorted by, how it is shown
  ["neuron", "neuron", (all, i) => i, (all, i) => link(all, i)],
  ["layer", "layer", (all, i) => all.place(i).layer, (all, i) => all.place(i).layer],
  ["group", "group", (all, i) => all.group(i), (all, i) => all.group(i)],
  ["cosine", "cosine to probe", (all, i) => all.get("cosine", i), (all, i) => digits(all.get("cosine", i))],
  ["projection", "fall in projection", (all, i, on) => all.get(`whole.${on}`, i), (all, i, on) => digits(all.get(`whole.${on}`, i), PROJECTION)],
  ["activation", "Δ activation", (all, i, on) => all.moved(i, on), (all, i, on) => digits(all.moved(i, on))],
  ["token", "promotes", (all, i, on, shown) => shown.words(all.row("words.up.base", i).subarray(0, 1))[0], (all, i, on, shown, wanted) => promoted(shown.words(all.row("words.up.base", i)), wanted)],
];
// The first three words, and the one that was searched for if it stands further down.
function promoted(words, wanted = "") {
  const first = words.slice(0, 3), found = wanted && !first.some((word) => word.toLowerCase().includes(wanted)) && words.find((word) => word.toLowerCase().includes(wanted));
  return escape(first.join(" · ")) + (found ? ` … <b>${escape(found)}</b>` : "");
}
const IN_WORDS = ["neuron", "group", "token"];

function chosenRows(all, shown, { sort, down, group, layer, search }, on) {
  const key = COLUMNS.find(([name]) => name === sort)[2], wanted = search.trim().toLowerCase(), rows = [];
  for (let i = 0; i < all.count; i++) {
    if ((group && all.group(i) !== group) || (layer !== "" && all.place(i).layer !== Number(layer))) continue;
    if (wanted && !all.name(i).toLowerCase().startsWith(wanted) && !shown.words(all.row("words.up.base", i)).some((word) => word.toLowerCase().includes(wanted))) continue;
    rows.push([key(all, i, on, shown), i]);
  }
  rows.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1) || x - y);
  return rows.map(([, i]) => i);
}

function tableView(all, shown, rows, { sort, down, page, search }, on, now, size) {
  const head = COLUMNS.map(([name, title]) => `<th scope="col" aria-sort="${sort !== name ? "none" : down ? "descending" : "ascending"}"${IN_WORDS.includes(name) ? "" : ' class="num"'}><button type="button" data-sort="${name}">${title}<span aria-hidden="true">${sort !== name ? "" : down ? " ↓" : " ↑"}</span></button></th>`);
  const body = rows.slice(page * size, (page + 1) * size).map((i) => `<tr${i === now ? ' class="now" aria-current="true"' : ""}>${COLUMNS.map(([name, , , show]) =>
    `<td${IN_WORDS.includes(name) ? "" : ' class="num"'}>${show(all, i, on, shown, search.trim().toLowerCase())}</td>`).join("")}</tr>`);
  return `<table class="plain all"><thead><tr>${head.join("")}</tr></thead><tbody>${body.join("") || `<tr><td colspan="${COLUMNS.length}">No neuron is like that.</td></tr>`}</tbody></table>`;
}

function tableCsv(all, shown, rows, on) {
  const head = "neuron,layer,index,group,cosine_to_probe,mean_base,mean_aligned,delta_activation,fall_in_projection,promotes";
  const lines = rows.map((i) => {
    const { layer, index } = all.place(i), words = shown.words(all.row("words.up.base", i)).join(" ").replace(/"/g, '""');
    return [all.name(i), layer, index, all.group(i), all.get("cosine", i), all.get("before", i), all.get(`after.${on}`, i), all.moved(i, on), all.get(`whole.${on}`, i), `"${words}"`].join(",");
  });
  return [head, ...lines].join("\n") + "\n";
}

// --- the reader's own text
function readingView(tokens, seen) {
  const lines = ["base", "aligned", "difference"];
  const full = Math.max(1e-9, ...MODELS.flatMap((who) => Array.from(seen[who], Math.abs)));
  const cells = tokens.map((token, p) => `<span class="cell"><b>${escape(token)}</b>${lines.map((view) => {
    const value = valueOf(seen, view, p);
    return `<i class="tok ${value < 0 ? "minus" : "plus"}" style="--w:${Math.min(70, (70 * Math.abs(value)) / full).toFixed(0)}%">${digits(value, 2)}</i>`;
  }).join("")}</span>`);
  return `<div class="reading"><span class="cell names"><b>&nbsp;</b>${lines.map((one) => `<i>${one}</i>`).join("")}</span>${cells.join("")}</div>
    <p class="note">Full colour at ±${plain(full)}. The first position is unlike all others in GPT-2, and counts in no statistic.</p>`;
}

// --- what the models write: one row per condition
const drawsView = ({ toxic, of, texts }) =>
  `<details class="draws"><summary>${toxic} of ${of}</summary><ol>${texts.map((text) => `<li>${marked(text) || "<i>nothing</i>"}</li>`).join("")}</ol></details>`;
function resultsView(rows) {
  const body = rows.map(({ name, note, kind, result, draws }) => {
    if (!result) return `<tr class="${kind}"><th scope="row">${name}<small>${note}</small></th><td colspan="4" class="waiting">…</td></tr>`;
    const words = toxicSpans(result.text).length;
    return `<tr class="${kind}"><th scope="row">${name}<small>${note}</small></th><td class="text">${marked(result.text) || "<i>nothing: it ended the text</i>"}</td>
      <td class="num">${words ? `<b>${words} toxic</b>` : "none"}</td><td class="num">${result.fluency === null ? "–" : plain(result.fluency, 1)}</td>
      <td class="num">${draws ? drawsView(draws) : "–"}</td></tr>`;
  });
  return `<table class="plain results"><thead><tr><th scope="col">model</th><th scope="col">continuation</th><th scope="col" class="num">toxic words</th><th scope="col" class="num">base’s perplexity</th><th scope="col" class="num">toxic draws</th></tr></thead><tbody>${body.join("")}</tbody></table>`;
}
