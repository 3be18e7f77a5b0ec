// Search in the reader's own browser: MiniSearch over the sections in search-data.js.
const form = document.querySelector("main form"), list = document.querySelector("#found");
const index = new MiniSearch({ fields: ["section", "title", "text"], idField: "id" });
index.addAll(window.BOOK.map((section, id) => ({ ...section, id })));
const escape = text => text.replace(/[&<>"]/g, sign => `&#${sign.charCodeAt(0)};`);
const excerpt = (text, terms) => {
  const places = terms.map(term => text.toLowerCase().indexOf(term)).filter(place => place >= 0);
  const from = Math.max(0, Math.min(...places, Infinity) - 60), near = isFinite(from) ? from : 0;
  const start = near ? text.indexOf(" ", near) + 1 : 0, end = text.indexOf(" ", start + 220);  // no word is cut
  const shown = escape((start ? "… " : "") + (end < 0 ? text.slice(start) : text.slice(start, end) + " …"));
  const words = terms.map(term => term.replace(/[^\p{L}\p{N}]/gu, ".")).filter(term => term.length > 1);
  return words.length ? shown.replace(new RegExp(`(${words.join("|")})`, "giu"), "<mark>$1</mark>") : shown;
};
const search = () => {
  const query = form.q.value.trim();
  const options = { prefix: true, fuzzy: 0.15, combineWith: "AND", boost: { section: 3, title: 2 } };
  const all = query ? index.search(query, options) : [], hits = all.slice(0, 40);
  const said = all.length > hits.length ? `The first ${hits.length} of ${all.length} places` : `${all.length} place${all.length === 1 ? "" : "s"}`;
  document.querySelector("#count").textContent = query ? said : "";
  list.innerHTML = hits.map(hit => {
    const one = window.BOOK[hit.id];
    return `<li><a href="${one.page}#${encodeURIComponent(one.anchor)}">${escape(one.section)}</a> <small>${escape(one.title)}</small>`
      + `<p>${excerpt(one.text, hit.terms)}</p></li>`;
  }).join("");
};
form.q.value = new URLSearchParams(location.search).get("q") || "";
form.addEventListener("input", search);
form.addEventListener("submit", event => { event.preventDefault(); search(); });
search();
