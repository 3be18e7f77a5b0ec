document.addEventListener("DOMContentLoaded", () => {
  for (const place of document.querySelectorAll(".plot")) {
    const figure = JSON.parse(document.getElementById(place.id + "-data").textContent);
    const layout = Object.assign({}, figure.layout);
    delete layout.width;  // the page decides how wide a figure can be
    Plotly.newPlot(place, figure.data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
  }
});
