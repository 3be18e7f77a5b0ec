// Text as a page may show it: escaped, its white space visible, profanity masked, toxic words marked, numbers short.

const escape = (text) =>
  String(text).replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c]);

// The notebook's explorer writes numbers by the same rule (helpers/teaching/explorer/digits.py): a fixed number of
// places, three of activations, cosines and scores, four of parts of a projection.
const PROJECTION = 4;
function digits(number, places = 3, signed = true) {
  if (number === null || Number.isNaN(number)) return "–";
  if (!Number.isFinite(number)) return number > 0 ? "∞" : "−∞";
  const text = Math.abs(number).toFixed(places).replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, ",");
  if (!/[1-9]/.test(text)) return text;
  return (number < 0 ? "−" : signed ? "+" : "") + text;
}
const plain = (number, places = 3) => digits(number, places, false);
const percent = (share) => (Number.isNaN(share) ? "–" : `${plain(100 * share, 1)} %`);
const count = (value) => value.toLocaleString("en");

// --- the second list of words, packed as it lies in the repository, and what it masks
const LEET = { 0: "o", 1: "i", 4: "a", 3: "e", 5: "s", 7: "t", "@": "a", $: "s" };
const WORD = /(?:(?![ĠĊ])[\p{L}\p{N}]|[@$])+/gu;
let secondList = null, unmasked = false;

function unpackWords(encoded) {
  const packed = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
  const [words, stems, harmless] = new TextDecoder().decode(packed).split("\n");
  secondList = {
    words: new Set(words.split(/\s+/).filter(Boolean)), stems: stems.split(/\s+/).filter(Boolean),
    harmless: new RegExp(`^(?:${harmless.split(/\s+/).filter(Boolean).join("|")})$`, "u"),
  };
}

function isMasked(word) {
  const plain = word.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");
  if (!/\p{L}/u.test(plain)) return false;
  const read = plain.replace(/[014357@$]/g, (c) => LEET[c]);
  const spellings = [plain, plain.replace(/^[@$]+|[@$]+$/g, ""), read];
  const squeezed = spellings.flatMap((one) => ["$1", "$1$1"].map((kept) => one.replace(/(.)\1{2,}/gu, kept)));
  if ([...spellings, ...squeezed].some((one) => secondList.words.has(one))) return true;
  if (secondList.harmless.test(plain)) return false;
  const single = spellings.map((one) => one.replace(/(.)\1+/gu, "$1"));
  return secondList.stems.some((stem) => [...spellings, ...single].some((one) => one.includes(stem)));
}

const mask = (text) =>
  unmasked ? text : text.replace(WORD, (word) => (isMasked(word) ? `${Array.from(word)[0]}***` : word));

// A word may be spread over several tokens: it is masked as a whole, the borders of tokens stay.
function maskTokens(tokens) {
  if (unmasked) return tokens;
  const whole = tokens.join(""), hidden = Array.from({ length: whole.length }, () => false);
  for (const found of whole.matchAll(WORD))
    if (isMasked(found[0])) hidden.fill(true, found.index + 1, found.index + found[0].length);
  let at = 0;
  return tokens.map((token) => {
    const shown = Array.from({ length: token.length }, (_, i) => (hidden[at + i] ? "*" : token[i])).join("");
    at += token.length;
    return mask(shown);
  });
}

const SIGNS = { "\n": "↵", "\r": "␍", "\t": "⇥" };
function visible(token) {
  if (token && !token.trim()) token = token.replace(/ /g, "␣");
  return token.replace(/[\n\r\t]/g, (c) => SIGNS[c]).replace(/\p{C}/gu, "�");
}

// --- tokens as they are shown: byte-pair marks become what they stand for
class Shown {
  constructor(vocab) {
    this.kept = [];
    const bytes = new Map(byteCharacters().map((character, b) => [character, b]));
    const decoder = new TextDecoder();
    this.strings = vocab.map((token) => {
      const known = Array.from(token, (c) => bytes.get(c));
      return known.includes(undefined) ? token : decoder.decode(Uint8Array.from(known));
    });
  }
  tokens(ids) { return maskTokens(ids.map((id) => this.strings[id])).map(visible); }
  word(id) { return (this.kept[id] = this.kept[id] || visible(mask(this.strings[id])).trim() || "␣"); }
  words(ids) { return Array.from(ids, (id) => this.word(id)); }
}

// --- what counts as toxic, a mark and a number
let toxicPatterns = [];
function toxicSpans(text) {
  return toxicPatterns.flatMap((pattern) =>
    [...text.matchAll(pattern)].map((found) => [found.index, found.index + found[0].length])).sort((a, b) => a[0] - b[0]);
}
const isToxicWord = (word) => toxicPatterns.length > 0 && toxicSpans(word).length > 0;

function marked(text) { // a continuation, its toxic words marked
  let html = "", at = 0;
  for (const [from, to] of toxicSpans(text)) {
    if (from < at) continue;
    html += `${escape(mask(text.slice(at, from)))}<mark>${escape(mask(text.slice(from, to)))}</mark>`;
    at = to;
  }
  return (html + escape(mask(text.slice(at)))).replace(/\n/g, "<span class='sign'>↵</span><br>");
}
