// Draws the figures of a page. On a narrow screen titles are broken anew, since they were broken for a wide one.
const broken = (text, most) => {
  const lines = [""];
  for (const word of text.replace(/<br>/g, " ").split(" ")) {
    const longer = (lines[lines.length - 1] + " " + word).trim();
    if (longer.length > most && lines[lines.length - 1]) lines.push(word); else lines[lines.length - 1] = longer;
  }
  return lines;
};
const narrowed = (layout, data, width) => {
  const title = broken(layout.title.text, Math.floor(width / 7.4)), across = layout.xaxis?.title?.text;
  const named = data.filter(trace => trace.showlegend !== false && trace.name).map(trace => trace.name);
  const rows = text => Math.ceil(text.reduce((sum, name) => sum + 7 * name.length + 60, 0) / (width - 40));
  const under = across ? broken(across, Math.floor(width / 6.6)) : [], legend = layout.showlegend === false ? 0 : rows(named);
  layout.title = { ...layout.title, text: title.join("<br>"), font: { size: 14 }, yref: "container", yanchor: "top", y: 0.98 };
  layout.margin = { ...layout.margin, l: 56, r: 10, t: 20 + 19 * title.length, b: 54 + 17 * (under.length - 1) + 22 * legend };
  if (across) layout.xaxis = { ...layout.xaxis, title: { ...layout.xaxis.title, text: under.join("<br>"), font: { size: 13 } } };
  if (layout.height) layout.height = Math.max(layout.height, 300 + layout.margin.t + layout.margin.b);
  layout.font = { ...layout.font, size: 12 };
};
const drawn = [];
document.addEventListener("DOMContentLoaded", () => {
  for (const place of document.querySelectorAll(".plot")) {
    const figure = JSON.parse(document.getElementById(place.id + "-data").textContent);
    const layout = Object.assign({}, figure.layout), width = place.clientWidth;
    delete layout.width;  // the page decides how wide a figure can be
    if (width < 560 && layout.title?.text) narrowed(layout, figure.data, width);
    Plotly.newPlot(place, figure.data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
    drawn.push(place);
  }
});
// Paper is narrower than a screen: figures are fitted to it before the browser prints, and back afterwards.
addEventListener("beforeprint", () => drawn.forEach(place => Plotly.relayout(place, { autosize: false, width: 660 })));
addEventListener("afterprint", () => drawn.forEach(place => Plotly.relayout(place, { autosize: true, width: null })));
