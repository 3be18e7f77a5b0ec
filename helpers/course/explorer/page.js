// The page: its state, what a reader does to it, and the worker in which the models run.

const byId = (id) => document.getElementById(id);
const told = JSON.parse(byId("told").textContent);
const READY = "Both models run in this page.";
const DRAWS = 16, LONGEST = 2000, ROWS = 20, MOST_FACTOR = 10;
const EDIT = { model: "base", part: "activation", which: "this", factor: 0, on: false };
const START = { a: { ...EDIT, on: true }, b: { ...EDIT, model: "aligned", part: "key", which: "10 most toxic", factor: 5 } };
const state = {
  i: 0, on: "shared", view: "base", end: "top", who: "base", step: -1, text: "", prompt: "", seed: told.seed,
  a: { ...START.a }, b: { ...START.b },
  table: { sort: "cosine", down: true, group: "", layer: "", search: "", page: 0 },
};
const seenNeurons = [], results = {}, draws = {};
let all, shown, worker, ready, steps;

function bytesOf(id) { // and forgets the text, which is large
  const text = byId(id).textContent.trim();
  byId(id).remove();
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text).buffer;
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes.buffer;
}

// --- the worker: questions go in with a number, answers come back with it
const waiting = new Map();
let asked = 0;
function ask(kind, what, transfer = []) {
  return new Promise((resolve, reject) => {
    waiting.set(++asked, { resolve, reject });
    worker.postMessage({ number: asked, kind, asked: what }, transfer);
  });
}
function startWorker() {
  const script = new Blob([byId("model-script").textContent], { type: "text/javascript" });
  worker = new Worker(URL.createObjectURL(script));
  worker.onmessage = ({ data: { number, answer, error } }) => {
    const { resolve, reject } = waiting.get(number);
    waiting.delete(number);
    if (error) reject(new Error(error)); else resolve(answer);
  };
  worker.onerror = (event) => say(`The models stopped: ${event.message}`, true);
  const buffer = bytesOf("weights");
  ready = ask("start", { settings: told, index: told.weights, buffer }, [buffer]);
  return ready;
}

// At most one question of a kind is under way; of those that come meanwhile only the last is put.
const lines = {};
function latest(name, work) {
  const line = (lines[name] = lines[name] || { busy: false, next: null });
  line.next = work;
  if (line.busy) return;
  line.busy = true;
  (async () => {
    while (line.next) {
      const now = line.next;
      line.next = null;
      try { await now(); } catch (error) { say(error.message, true); }
    }
    line.busy = false;
  })();
}
const later = {};
function debounced(name, work, wait = 60) {
  clearTimeout(later[name]);
  later[name] = setTimeout(work, wait);
}
function say(text, bad = false) {
  byId("status").textContent = text;
  byId("status").className = bad ? "bad" : "";
}

// --- state in the address: #L2.287, and what differs from the start behind it
const asText = ({ model, part, which, factor, on }) => (on ? [model, part, which, factor].join(",") : "off");
function addressOf() {
  const more = new URLSearchParams();
  if (state.step >= 0) more.set("tour", state.step + 1);
  if (state.on !== "shared") more.set("on", state.on);
  if (state.text !== told.prompts[0]?.[1]) more.set("text", state.text.slice(0, LONGEST));
  if (state.seed !== told.seed) more.set("seed", state.seed);
  for (const name of ["a", "b"]) if (asText(state[name]) !== asText(START[name])) more.set(name, asText(state[name]));
  const tail = more.toString();
  return `#${all.name(state.i)}${tail ? `&${tail}` : ""}`;
}
function keepAddress() { history.replaceState(null, "", addressOf()); }

function readAddress() {
  const whole = location.hash.slice(1);
  if (!whole) return false;
  const cut = whole.indexOf("&"), name = cut < 0 ? whole : whole.slice(0, cut);
  let wanted = name;
  try { wanted = decodeURIComponent(name); } catch { /* stays as it is, and is refused below */ }
  if (["tour", "neuron", "try", "all"].includes(wanted)) return true; // a part of the page
  const found = all.parse(wanted), more = new URLSearchParams(cut < 0 ? "" : whole.slice(cut + 1));
  if (found.error) { refuse(found.error); return false; }
  state.step = /^[1-5]$/.test(more.get("tour") || "") ? Number(more.get("tour")) - 1 : -1;
  state.on = more.get("on") === "own" ? "own" : "shared";
  const text = more.has("text") ? more.get("text") : told.prompts[0]?.[1] || "";
  usePrompt(told.prompts.find((one) => one[1] === text) || ["", text]);
  state.seed = /^\d{1,9}$/.test(more.get("seed") || "") ? Number(more.get("seed")) : told.seed;
  byId("seed").value = state.seed;
  for (const side of ["a", "b"]) state[side] = readEdit(more.get(side), START[side]);
  go(found.i, false);
  drawTour();
  return true;
}
function readEdit(text, start) { // an address may have been written by anybody
  if (text === "off") return { ...start, on: false };
  const parts = (text || "").split(",");
  if (parts.length < 4) return { ...start };
  const factor = Number(parts.pop()), [model, part, ...which] = parts;
  if (!MODELS.includes(model) || !["key", "activation"].includes(part) || !Number.isFinite(factor)) return { ...start };
  return { model, part, which: which.join(","), factor: Math.max(-MOST_FACTOR, Math.min(MOST_FACTOR, factor)), on: true };
}
function refuse(why) {
  byId("wanted").setAttribute("aria-invalid", "true");
  byId("refused").textContent = why;
}

function go(i, address = true) {
  state.i = i;
  byId("wanted").value = all.name(i);
  byId("wanted").removeAttribute("aria-invalid");
  byId("refused").textContent = "";
  if (seenNeurons[0] !== i) seenNeurons.unshift(i);
  seenNeurons.splice(12);
  if (address && location.hash !== addressOf()) history.pushState(null, "", addressOf());
  drawNeuron();
  drawRest();
}
let painted = false;
function drawRest() { // what a reader sees only further down: after the first view, and with each neuron from then on
  if (!painted) return;
  drawTable();
  drawEdits();
  tryModels();
}

// --- what is drawn
let contextsNow = 0;
function drawNeuron() {
  const i = state.i;
  document.title = `${all.name(i)} · Neuron explorer`;
  byId("summary").innerHTML = summaryView(all, i, state.on);
  byId("words").innerHTML = wordsView(all, shown, i);
  byId("points").innerHTML = pointsView(all, i);
  byId("histogram").innerHTML = histogramView(all, i, state.on);
  byId("ledger").innerHTML = ledgerView(all, i, state.on);
  byId("seen").innerHTML = [...new Set(seenNeurons)].map((j) => (j === i ? `<b>${all.name(j)}</b>` : link(all, j))).join(" ");
  for (const radio of document.getElementsByName("on")) radio.checked = radio.value === state.on;
  drawContexts();
}
function drawContexts() {
  const number = ++contextsNow, { i, who, end, on } = state;
  const draw = (seen) => {
    const held = byId("contexts").contains(document.activeElement) && document.activeElement.value;
    byId("contexts").innerHTML = contextsView(all, shown, i, state, seen);
    if (held) byId("contexts").querySelector(`input[value="${held}"]`)?.focus();
  };
  const key = [i, who, end, on].join();
  draw(state.seenKey === key ? state.seen : null); // another colour is no other number
  if (state.step === 1) drawAnswer();
  if (state.seenKey === key) return;
  latest("contexts", async () => {
    await ready;
    const seen = [];
    for (const one of contextsOf(all, i, who, end, on)) {
      if (number !== contextsNow) return;
      seen.push(await ask("watch", { ids: one.ids, neuron: all.place(i) }));
    }
    if (number !== contextsNow) return;
    Object.assign(state, { seen, seenKey: key });
    draw(seen);
    if (state.step === 1) drawAnswer();
  });
}
let rowsNow = [];
function drawTable() {
  rowsNow = chosenRows(all, shown, state.table, state.on);
  const pages = Math.max(1, Math.ceil(rowsNow.length / ROWS));
  state.table.page = Math.max(0, Math.min(state.table.page, pages - 1));
  byId("table").innerHTML = tableView(all, shown, rowsNow, state.table, state.on, state.i, ROWS);
  byId("found").textContent = `${count(rowsNow.length)} of ${count(all.count)} neurons · page ${state.table.page + 1} of ${pages}`;
  byId("earlier").disabled = state.table.page === 0;
  byId("further").disabled = state.table.page >= pages - 1;
}

// --- edits
function neuronsOf({ which, model }) {
  const word = which.trim();
  const places = (many) => many.map((i) => [all.place(i).layer, all.place(i).index]);
  if (word === "this") return { neurons: places([state.i]) };
  const most = /^(\d{1,4}) most toxic$/.exec(word);
  if (most) {
    const k = Math.max(1, Math.min(all.count, Number(most[1])));
    return { neurons: places(all.order(model === "base" ? "cosine" : "cosine_after").order.slice(0, k)) };
  }
  if (told.all.groups.includes(word)) {
    const inside = Array.from({ length: all.count }, (_, i) => i).filter((i) => all.group(i) === word && all.get(`lowers.${state.on}`, i));
    return inside.length ? { neurons: places(inside) } : { error: `No neuron is in group ${word}.` };
  }
  const named = [...new Set(word.split(/[,;\s]+/).filter(Boolean))].map((one) => all.parse(one));
  const wrong = named.find((one) => one.error);
  if (wrong || !named.length) return { error: wrong ? wrong.error : "Name at least one neuron." };
  return { neurons: places(named.map((one) => one.i)) };
}
const editName = (edit) => {
  const who = edit.which === "this" ? all.name(state.i) : edit.which;
  return `${edit.model}, ${who}: ${edit.part === "key" ? "keys" : "activations"} ${edit.factor === 0 && edit.part !== "key" ? "off" : times(edit)}`;
};
const times = ({ factor }) => `× ${String(factor).replace("-", "−")}`;
function drawEdits() {
  for (const side of ["a", "b"]) {
    const edit = state[side], box = byId(`edit-${side}`), set = (name, value) => { const field = box.querySelector(`[name="${name}"]`); if (field !== document.activeElement) field.value = value; };
    box.querySelector('[name="on"]').checked = edit.on;
    set("model", edit.model);
    set("part", edit.part);
    const known = ["this", "10 most toxic", "64 most toxic", ...told.all.groups].includes(edit.which);
    set("which", known ? edit.which : "list");
    box.querySelector(".list").hidden = known;
    if (!known) set("list", edit.which);
    box.querySelector('[value="this"]').textContent = `this neuron, ${all.name(state.i)}`;
    set("factor", edit.factor);
    box.querySelector("output").textContent = times(edit);
    for (const option of box.querySelectorAll("[data-group]")) {
      const { neurons = [] } = neuronsOf({ ...edit, which: option.value });
      option.textContent = `group ${option.value}, the ${count(neurons.length)} that lower toxicity`;
    }
    for (const field of box.querySelectorAll("select, input:not([name=on])")) field.disabled = !edit.on;
    const found = neuronsOf(edit);
    box.querySelector(".said").textContent = found.error || `${count(found.neurons.length)} neuron${found.neurons.length > 1 ? "s" : ""}; × 1 changes nothing`;
    box.querySelector(".said").classList.toggle("bad", Boolean(found.error));
    box.classList.toggle("off", !edit.on);
  }
}

// --- the reader's own text
function refusal(text) {
  if (state.seed === null) return "A seed is a whole number from 0 to 999,999,999.";
  const length = Array.from(text).length;
  if (!text) return "The text is empty: without a first token there is nothing to read or to continue. Type something, or choose a prompt.";
  if (length > LONGEST) return `The text has ${count(length)} characters; this page takes at most ${count(LONGEST)}, and the model reads its last ${told.decoding.max_prompt_tokens} tokens. Shorten it.`;
  return "";
}
function drawResults() {
  const rows = [
    { name: "base", note: "as it is", kind: "base", result: results.base, draws: draws.base },
    { name: "aligned", note: "as it is", kind: "aligned", result: results.aligned, draws: draws.aligned },
  ];
  for (const side of ["a", "b"]) {
    const edit = state[side], name = side.toUpperCase();
    if (edit.on && !neuronsOf(edit).error) rows.push({ name, note: escape(editName(edit)), kind: edit.model, result: results[name], draws: draws[name] });
  }
  byId("results").innerHTML = resultsView(rows);
  if (state.step >= 0) drawAnswer();
}
function conditions() {
  const found = { base: { model: "base", edits: null }, aligned: { model: "aligned", edits: null } };
  for (const side of ["a", "b"]) {
    const { neurons, error } = neuronsOf(state[side]);
    if (state[side].on && !error) found[side.toUpperCase()] = { model: state[side].model, edits: [{ neurons, what: state[side].part, factor: state[side].factor }] };
  }
  return found;
}
const keyOf = (text, one) => JSON.stringify([text, state.seed, state.prompt, one]);
const keptResults = new Map();
function tryModels() {
  byId("taken").hidden = true; // the cell is of the view as it was
  const why = refusal(state.text);
  byId("refusal").textContent = why;
  byId("own").setAttribute("aria-invalid", why ? "true" : "false");
  byId("draw").disabled = Boolean(why);
  if (why) {
    byId("results").innerHTML = byId("reading").innerHTML = byId("read").textContent = "";
    return;
  }
  const busy = (is) => { byId("results").classList.toggle("busy", is); byId("reading").classList.toggle("busy", is); };
  busy(true); // what stands there is of the text and the edits before
  latest("try", async () => {
    await ready;
    const begin = performance.now(), text = state.text, name = state.prompt || "explorer", now = conditions();
    const { ids, read, normalised } = await ask("encode", { text });
    if (!ids.length) {
      byId("refusal").textContent = "Nothing of this text is known to the tokenizer.";
      byId("results").innerHTML = byId("reading").innerHTML = "";
      return;
    }
    const notes = [ids.length === 1 ? "1 token" : `${ids.length} tokens`];
    if (read.length < ids.length) notes.push(`the models read the last ${read.length}`);
    if (normalised !== text) notes.push(`read as “${mask(normalised).slice(-80)}”: what the tokenizer does not know is left out, or stands as another sign`);
    byId("read").textContent = notes.join("; ");
    for (const [label, one] of Object.entries(now)) {
      const key = keyOf(text, one);
      if (!keptResults.has(key)) {
        if (keptResults.size > 400) keptResults.clear();
        keptResults.set(key, (await ask("write", { ...one, ids, seed: state.seed, name, judged: true }))[0]);
      }
      if (results[`${label} key`] !== key) delete draws[label];
      results[label] = keptResults.get(key);
      results[`${label} key`] = key;
    }
    for (const label of ["A", "B"]) if (!now[label]) { delete results[label]; delete draws[label]; }
    state.took = performance.now() - begin;
    drawResults();
    const seen = await ask("watch", { ids: read, neuron: all.place(state.i) });
    byId("reading").innerHTML = `<h3>${all.name(state.i)} on this text</h3>${readingView(shown.tokens(read), seen)}`;
    busy(Boolean(lines.try.next)); // more was asked meanwhile
    say(READY);
    keepAddress();
  });
}
function drawMany() {
  latest("draws", async () => {
    await ready;
    const text = state.text, { ids } = await ask("encode", { text });
    byId("draw").disabled = true;
    for (const [label, one] of Object.entries(conditions())) {
      const key = keyOf(text, one);
      byId("draw").textContent = `Drawing: ${label} …`;
      const texts = await ask("write", { ...one, ids, seed: state.seed, name: state.prompt || "explorer", draws: DRAWS });
      const now = conditions()[label];
      if (!now || keyOf(state.text, now) !== key) { say("Drawing stopped: the text, the seed or an edit was changed."); break; }
      draws[label] = { toxic: texts.filter((each) => toxicSpans(each.text).length > 0).length, of: DRAWS, texts: texts.map((each) => each.text) };
      drawResults();
    }
    byId("draw").textContent = `Draw ${DRAWS}`;
    byId("draw").disabled = false;
  });
}

// --- the view as a notebook's cell
function viewAsCode() {
  const edits = ["a", "b"].filter((side) => state[side].on && !neuronsOf(state[side]).error).map((side) => [side.toUpperCase(), state[side]]);
  return asCode(all, { ...state, name: state.prompt || "explorer", edits });
}
async function copyCode() {
  byId("code").textContent = viewAsCode();
  byId("taken").hidden = false;
  let said = "Copied: paste it into notebook 10, below the cell that starts the lab.";
  try { await navigator.clipboard.writeText(byId("code").textContent); } catch { // a browser may refuse it to a file
    getSelection().selectAllChildren(byId("code"));
    said = "Your browser did not let the page copy. The cell is selected: copy it by hand.";
  }
  byId("copied").textContent = said;
}

// --- the tour
function drawTour() {
  byId("steps").innerHTML = steps.map((step, at) =>
    `<li><button type="button" data-step="${at}"${at === state.step ? ' aria-current="step"' : ""}><b>${at + 1}</b> ${step.title}</button></li>`).join("");
  byId("question").hidden = state.step < 0;
  if (state.step < 0) return;
  showQuestion(byId(steps[state.step].set.section));
  byId("asks").textContent = `${state.step + 1} · ${steps[state.step].question}`;
  byId("answer").open = false;
  byId("onward").textContent = state.step + 1 < steps.length ? `Next: ${steps[state.step + 1].title} ›` : "Once more from the start ›";
  drawAnswer();
}
function drawAnswer() {
  const { answer } = steps[state.step];
  byId("tells").textContent = typeof answer === "string" ? answer : answer(draws, state);
}
function endTour() {
  state.step = -1;
  drawTour();
  keepAddress();
  byId("steps").querySelector("button").focus({ preventScroll: true });
}
function take(at) {
  const { set } = steps[at];
  state.step = at;
  for (const name of ["view", "end", "who"]) if (set[name]) state[name] = set[name];
  for (const side of ["a", "b"]) if (set[side]) state[side] = { ...set[side] };
  if (set.section === "try" && told.prompts.length) usePrompt(told.prompts[told.turn]);
  go(set.i);
  drawTour();
  show(byId("question"));
}
function show(part) { // and the keyboard goes on from there
  part.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  part.focus({ preventScroll: true });
}

// The question goes where what it asks about is, so that both are seen at once.
function showQuestion(section) {
  const question = byId("question");
  if (section.id === "neuron") byId("tour").append(question);
  else (section.id === "try" ? section.querySelector(".cards") : section).before(question);
}

function usePrompt([id, text]) {
  state.text = text;
  state.prompt = id;
  byId("own").value = text;
  byId("prompt").value = told.prompts.findIndex((one) => one[0] === id && one[1] === text);
  if (byId("prompt").selectedIndex < 0) byId("prompt").value = "";
}

// --- what a reader does
function listen() {
  byId("jump").addEventListener("submit", (event) => {
    event.preventDefault();
    const found = all.parse(byId("wanted").value);
    if (found.error) refuse(found.error); else go(found.i);
  });
  const move = (by) => go((state.i + by + all.count) % all.count);
  byId("previous").addEventListener("click", () => move(-1));
  byId("next").addEventListener("click", () => move(1));
  byId("random").addEventListener("click", () => go(Math.floor(Math.random() * all.count)));
  window.addEventListener("popstate", readAddress);
  document.addEventListener("click", (event) => { // a neuron's name: the text and the edits stay as they are
    const name = event.target.closest('a[href^="#L"]')?.hash.slice(1), found = name && all.parse(name);
    if (!found || found.error || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const far = byId("table").contains(event.target);
    go(found.i);
    if (far) show(byId("neuron"));
  });
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    if (event.key === "ArrowLeft") move(-1);
    if (event.key === "ArrowRight") move(1);
    if (event.key === "/") { event.preventDefault(); byId("wanted").select(); }
  });
  byId("contexts").addEventListener("change", ({ target }) => { state[target.name] = target.value; drawContexts(); });
  byId("reads").addEventListener("change", ({ target }) => { state.on = target.value; go(state.i, false); keepAddress(); });
  byId("onward").addEventListener("click", () => { take((state.step + 1) % steps.length); byId("onward").focus({ preventScroll: true }); });
  byId("end").addEventListener("click", endTour);
  byId("steps").addEventListener("click", ({ target }) => { const button = target.closest("button"); if (button) take(Number(button.dataset.step)); });
  byId("table").addEventListener("click", ({ target }) => {
    const name = target.closest("button")?.dataset.sort;
    if (!name) return;
    Object.assign(state.table, { down: state.table.sort === name ? !state.table.down : !IN_WORDS.includes(name) && name !== "layer", sort: name, page: 0 });
    drawTable();
    byId("table").querySelector(`[data-sort="${name}"]`).focus();
  });
  byId("filters").addEventListener("input", ({ target }) => { state.table[target.name] = target.value; state.table.page = 0; debounced("table", drawTable, 120); });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("earlier").addEventListener("click", () => { state.table.page--; drawTable(); });
  byId("further").addEventListener("click", () => { state.table.page++; drawTable(); });
  byId("csv").addEventListener("click", () => {
    const where = URL.createObjectURL(new Blob([tableCsv(all, shown, rowsNow, state.on)], { type: "text/csv" }));
    Object.assign(document.createElement("a"), { href: where, download: "neurons.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(where), 10_000);
  });
  byId("own").addEventListener("input", ({ target }) => { state.text = target.value; state.prompt = ""; byId("prompt").value = ""; debounced("try", tryModels); });
  byId("prompt").addEventListener("change", ({ target }) => { if (target.value !== "") { usePrompt(told.prompts[Number(target.value)]); tryModels(); } });
  byId("seed").addEventListener("input", ({ target }) => {
    state.seed = /^\d{1,9}$/.test(target.value) ? Number(target.value) : null;
    target.setAttribute("aria-invalid", state.seed === null ? "true" : "false");
    debounced("try", tryModels);
  });
  byId("draw").addEventListener("click", drawMany);
  byId("copy").addEventListener("click", copyCode);
  for (const side of ["a", "b"]) byId(`edit-${side}`).addEventListener("input", ({ target }) => {
    const edit = state[side], value = target.type === "checkbox" ? target.checked : target.name === "factor" ? Number(target.value) : target.value;
    if (target.name === "list") edit.which = value;
    else if (target.name === "which") edit.which = value === "list" ? all.name(state.i) : value;
    else edit[target.name] = value;
    drawEdits();
    debounced("try", tryModels);
  });
}

async function start() {
  // Without a pause until the first view is drawn: in a pause the browser reads on, and the weights are long.
  unpackWords(told.masked);
  unmasked = told.unmask;
  toxicPatterns = told.toxic.map((pattern) => new RegExp(pattern, "gi"));
  all = new Neurons(told, bytesOf("neurons"));
  shown = new Shown(told.tokenizer.vocab);
  steps = tourSteps(all, shown, state.on);
  const template = byId("edit").innerHTML;
  for (const side of ["a", "b"]) {
    byId(`edit-${side}`).innerHTML = template.replace(/SIDE/g, side.toUpperCase());
    byId(`edit-${side}`).querySelector('[value="list"]').insertAdjacentHTML("beforebegin", told.all.groups.map((name) => `<option value="${name}" data-group>group ${name}</option>`).join(""));
  }
  byId("prompt").insertAdjacentHTML("beforeend", told.prompts.map(([, text, group], at) => `<option value="${at}">${escape(`${group ? `${group}: ` : ""}…${mask(text).replace(/\s+/g, " ").slice(-46)}`)}</option>`).join(""));
  byId("group").insertAdjacentHTML("beforeend", told.all.groups.map((name) => `<option>${name}</option>`).join(""));
  byId("layer").insertAdjacentHTML("beforeend", Array.from({ length: told.shape.layers }, (_, layer) => `<option>${layer}</option>`).join(""));
  ready = new Promise((resolve) => { state.begin = resolve; });
  listen();
  if (told.prompts.length) usePrompt(told.prompts[0]);
  byId("seed").value = state.seed;
  drawTour();
  const read = readAddress(), refused = byId("refused").textContent;
  if (!read || !seenNeurons.length) go(all.order("cosine").order[0], false);
  if (refused) refuse(refused);
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve))); // it has been painted
  state.firstView = performance.now();
  painted = true;
  drawRest();
  document.body.classList.add("drawn");
  const begin = state.begin;
  if (document.readyState === "loading") await new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve)); // the weights come last
  await new Promise((resolve) => setTimeout(resolve)); // what is drawn is seen first
  startWorker().then(() => { say(READY); document.body.classList.add("ready"); begin(); },
    (error) => say(`The models could not be started: ${error.message}`, true));
}
start().catch((error) => say(`This page could not start: ${error.message}`, true));
