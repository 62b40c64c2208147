// Draws each figure's chart with Chart.js from the numbers beside it, anew where the page turns dark or light.
// The words of a point are those of its row in the figure's table; arrow keys move over the points and read them.
(() => {
  "use strict";
  const page = document.documentElement;
  const { color, configOf, heightOf, wordsOf } = chartConfig;

  const draw = (figure, spec) => {
    const plot = figure.querySelector(".plot");
    const canvas = document.createElement("canvas");
    canvas.setAttribute("aria-hidden", "true"); // what it shows is said by the plot and the table
    plot.replaceChildren(canvas);
    plot.style.height = `${heightOf(spec)}px`;
    return new Chart(canvas, configOf(figure, spec));
  };

  // Makes a point the active one, as if the pointer stood there; none for -1.
  const point = (chart, place) => {
    const active = chart.data.datasets
      .map((_, datasetIndex) => ({ datasetIndex, index: place }))
      .filter(({ datasetIndex }) => {
        const element = place < 0 ? null : chart.getDatasetMeta(datasetIndex).data[place];
        return element && !element.skip && Number.isFinite(element.x) && Number.isFinite(element.y);
      });
    chart.setActiveElements(active);
    const first = active.length ? chart.getDatasetMeta(active[0].datasetIndex).data[place] : { x: 0, y: 0 };
    chart.tooltip.setActiveElements(active, { x: first.x, y: first.y });
    chart.update("none");
  };

  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10 };

  const listen = (shown) => {
    const { figure, spec } = shown;
    const plot = figure.querySelector(".plot");
    const reading = figure.querySelector(".reading");
    const last = spec.points.length - 1;
    let place = -1;
    const move = (to) => {
      place = to;
      point(shown.chart, place);
      const words = place < 0 ? null : wordsOf(figure, spec, place);
      reading.textContent = words ? [words.name, ...words.all.filter(Boolean)].join(" · ") : "";
    };
    plot.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === "Escape") move(-1);
      else if (event.key === "Home") move(0);
      else if (event.key === "End") move(last);
      else if (event.key in steps) move(Math.min(Math.max(place + steps[event.key], 0), last));
      else return;
      event.preventDefault();
    });
    plot.addEventListener("blur", () => move(-1));
  };

  const all = Array.from(document.querySelectorAll("figure.chart"), (figure) => ({
    figure,
    spec: JSON.parse(figure.querySelector("script").textContent),
    chart: null,
  }));

  const drawAll = () => {
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.font.size = 12;
    Chart.defaults.locale = "en"; // as the tables
    Chart.defaults.color = color("ink");
    Chart.defaults.borderColor = color("line");
    for (const shown of all) {
      shown.chart?.destroy();
      shown.chart = draw(shown.figure, shown.spec);
    }
  };

  for (const shown of all) {
    const plot = shown.figure.querySelector(".plot");
    plot.hidden = false;
    listen(shown);
  }
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  // Paper is white.
  addEventListener("beforeprint", () => {
    page.classList.add("paper");
    drawAll();
  });
  addEventListener("afterprint", () => {
    page.classList.remove("paper");
    drawAll();
  });
})();
