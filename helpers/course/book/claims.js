// Filters of the claims table: a row shows when it meets all of them.
const form = document.querySelector("form.filters"), rows = [...document.querySelectorAll("table.claims tbody tr")];
const filter = () => {
  const asked = Object.fromEntries(new FormData(form)), words = asked.words.toLowerCase().split(/\s+/);
  for (const row of rows) {
    row.hidden = ["paper", "verdict", "notebook"].some(name => asked[name] && asked[name] !== row.dataset[name])
      || !words.every(word => row.textContent.toLowerCase().includes(word));
  }
  form.querySelector("output").textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length} rows`;
};
form.hidden = false;
form.addEventListener("input", filter);
form.addEventListener("submit", event => event.preventDefault());
filter();
