// Turns the numbers of a chart into what Chart.js draws: axes, colours, words, and lines that it has not by itself.
const chartConfig = (() => {
  "use strict";
  const dashes = [[], [7, 4], [2, 3], [9, 3, 2, 3]];

  // A variable of the page's style, which has another shade of each for a dark page.
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  // Of each series of a point: its heading in the table, and its text there.
  const wordsOf = (figure, spec, point) => {
    const table = figure.querySelector("table");
    const cells = table.tBodies[0].rows[point].cells;
    const heads = table.tHead.rows[0].cells;
    const rest = Array.from(cells).slice(1);
    return {
      name: cells[0].textContent,
      series: spec.series.map((each) => {
        const texts = [rest[each.column].textContent];
        if (each.low.length && texts[0]) {
          texts.push(`(95 %: ${rest[each.column + 1].textContent} to ${rest[each.column + 2].textContent})`);
        }
        return texts[0] ? `${each.name}: ${texts.join(" ")}` : "";
      }),
      all: rest.map((cell, place) => (cell.textContent ? `${heads[place + 1].textContent}: ${cell.textContent}` : "")),
    };
  };

  const threshold = {
    id: "threshold",
    afterDatasetsDraw(chart, _, { spec }) {
      if (!spec.threshold) return;
      const { ctx, chartArea, scales } = chart;
      const x = scales.x.getPixelForValue(spec.threshold.value);
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = color("ink");
      ctx.lineWidth = 1.5;
      ctx.setLineDash(dashes[1]);
      ctx.beginPath();
      ctx.moveTo(x, chartArea.top);
      ctx.lineTo(x, chartArea.bottom);
      ctx.stroke();
      ctx.font = `12px ${Chart.defaults.font.family}`;
      const isLeft = x > (chartArea.left + chartArea.right) / 2;
      ctx.textAlign = isLeft ? "right" : "left";
      ctx.fillText(spec.threshold.text, x + (isLeft ? -6 : 6), chartArea.top + 12);
      ctx.restore();
    },
  };

  const intervals = {
    id: "intervals",
    beforeDatasetsDraw(chart, _, { spec }) {
      const { ctx, scales } = chart;
      spec.series.forEach((series, number) => {
        if (!series.low.length || !chart.isDatasetVisible(number)) return;
        ctx.save();
        ctx.strokeStyle = color(series.color);
        ctx.lineWidth = 2;
        chart.getDatasetMeta(number).data.forEach((element, point) => {
          if (series.low[point] === null || series.high[point] === null) return;
          const ends = [scales.x.getPixelForValue(series.low[point]), scales.x.getPixelForValue(series.high[point])];
          ctx.beginPath();
          ctx.moveTo(ends[0], element.y);
          ctx.lineTo(ends[1], element.y);
          for (const end of ends) {
            ctx.moveTo(end, element.y - 5);
            ctx.lineTo(end, element.y + 5);
          }
          ctx.stroke();
        });
        ctx.restore();
      });
    },
  };

  // A long name in two lines at most, that leaves most of a narrow page to the chart.
  const wrap = (name, width) => {
    const most = Math.max(18, Math.floor(width / 22));
    const shorten = (text) => {
      const letters = Array.from(text);
      return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : text;
    };
    const letters = Array.from(name);
    if (letters.length <= most) return name;
    const pair = name.split(" → ");
    if (pair.length === 2) return [shorten(pair[0]), shorten(`→ ${pair[1]}`)];
    const ends = letters.slice(0, most).map((letter) => " -_./".includes(letter));
    const end = ends.lastIndexOf(true) + 1;
    const cut = end > most / 3 ? end : most;
    return [letters.slice(0, cut).join(""), shorten(letters.slice(cut).join("").trim())];
  };

  const dataset = (spec, series) => {
    const shade = color(series.color);
    const lies = spec.kind === "bars" || spec.kind === "intervals";
    // One image among thousands is a bar of two pixels, none is no bar.
    const isBar = spec.kind === "bars" || spec.kind === "histogram";
    const values = isBar ? series.values.map((value) => value || null) : series.values;
    const found = {
      label: series.name,
      data: lies ? values : values.map((value, point) => ({ x: spec.places[point], y: value })),
      minBarLength: isBar ? 2 : undefined,
      backgroundColor: shade,
      borderColor: shade,
    };
    if (spec.kind === "bars") return { ...found, maxBarThickness: 22, categoryPercentage: 0.8, barPercentage: 1 };
    if (spec.kind === "histogram") {
      return { ...found, grouped: false, categoryPercentage: 1, barPercentage: 0.94, yAxisID: `y${series.panel}` };
    }
    if (spec.kind === "intervals") {
      return {
        ...found,
        type: "line",
        showLine: false,
        pointRadius: series.low.length ? 5 : 6,
        pointHoverRadius: 7,
        pointStyle: series.low.length ? "circle" : "rectRot",
        clip: false,
      };
    }
    return {
      ...found,
      borderWidth: 2,
      clip: 3,
      borderDash: dashes[series.dash],
      pointRadius: spec.points.length > 1 ? 0 : 4,
      pointHoverRadius: 5,
      yAxisID: `y${series.panel}`,
    };
  };

  const scalesOf = (spec) => {
    const grid = { color: color("line") };
    const title = (text) => ({ display: Boolean(text), text });
    if (spec.kind === "bars" || spec.kind === "intervals") {
      const isNumber = spec.logarithmic ? "logarithmic" : "linear";
      return {
        x: {
          type: isNumber,
          stacked: spec.kind === "bars",
          beginAtZero: spec.kind === "bars",
          grid,
          title: title(spec.logarithmic ? `${spec.axis} (logarithmic)` : spec.axis),
          min: spec.logarithmic ? 0.5 : undefined,
          ticks: {
            maxTicksLimit: 6,
            maxRotation: 0,
            precision: spec.kind === "bars" ? 0 : undefined,
            ...(spec.logarithmic && { callback: (value) => value.toLocaleString("en") }),
          },
          afterBuildTicks(axis) {
            if (spec.logarithmic) axis.ticks = axis.ticks.filter(({ value }) => Math.log10(value) % 1 === 0);
          },
          // The ends of the intervals are no values of a series.
          suggestedMin: Math.min(...spec.series.flatMap((each) => each.low.filter((end) => end !== null))),
          suggestedMax: Math.max(...spec.series.flatMap((each) => each.high.filter((end) => end !== null))),
        },
        y: {
          type: "category",
          labels: spec.points,
          offset: true,
          stacked: spec.kind === "bars",
          grid: { display: false },
          ticks: {
            autoSkip: false,
            crossAlign: "far",
            callback(value) {
              return wrap(this.getLabelForValue(value), this.chart.width);
            },
          },
        },
      };
    }
    const scales = {
      x: {
        type: "linear",
        min: spec.limits[0],
        max: spec.limits[1],
        offset: false,
        grid: { display: spec.kind === "lines", ...grid },
        title: title(spec.axis),
        ticks: { maxTicksLimit: 8, maxRotation: 0, includeBounds: false, precision: spec.limits[1] > 2 ? 0 : undefined },
      },
    };
    spec.panels.forEach((text, number) => {
      scales[`y${number}`] = {
        type: "linear",
        position: "left",
        axis: "y",
        stack: "panels",
        weight: spec.panels.length - number,
        offset: false,
        beginAtZero: true,
        max: spec.top ?? undefined,
        grid,
        title: title(text),
        ticks: {
          maxTicksLimit: 5,
          precision: spec.kind === "histogram" ? 0 : undefined,
          // The end of a panel stands where the next begins.
          callback(value, place, ticks) {
            const isEnd = number > 0 && place === ticks.length - 1;
            return isEnd ? "" : Chart.Ticks.formatters.numeric.call(this, value, place, ticks);
          },
        },
      };
    });
    return scales;
  };

  const heightOf = (spec) => {
    if (spec.kind === "bars") return 90 + 30 * spec.points.length;
    if (spec.kind === "intervals") return 100 + 36 * spec.points.length;
    return spec.panels.length > 1 ? 70 + 120 * spec.panels.length : 300;
  };

  const configOf = (figure, spec) => {
    const lies = spec.kind === "bars" || spec.kind === "intervals";
    return {
      type: spec.kind === "bars" || spec.kind === "histogram" ? "bar" : "line",
      data: { labels: lies ? spec.points : undefined, datasets: spec.series.map((each) => dataset(spec, each)) },
      plugins: [threshold, intervals],
      options: {
        indexAxis: lies ? "y" : "x",
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        interaction: { mode: "index", axis: lies ? "y" : "x", intersect: false },
        layout: { padding: { right: 12 } },
        scales: scalesOf(spec),
        plugins: {
          threshold: { spec },
          intervals: { spec },
          legend: {
            display: spec.series.length > 1 && spec.kind !== "histogram",
            align: "start",
            onClick: null,
            labels: {
              usePointStyle: spec.kind !== "bars",
              boxHeight: 8,
              pointStyleWidth: spec.kind === "lines" ? 28 : undefined,
              generateLabels(chart) {
                const found = Chart.defaults.plugins.legend.labels.generateLabels(chart);
                found.forEach((each, number) => {
                  each.text = spec.series[number].legend;
                  if (spec.kind !== "lines") return;
                  each.pointStyle = "line";
                  each.lineDash = chart.data.datasets[number].borderDash;
                });
                return found.filter((each, number) => found.findIndex(({ text }) => text === each.text) === number);
              },
            },
          },
          tooltip: {
            backgroundColor: color("ink"),
            titleColor: color("card"),
            bodyColor: color("card"),
            footerColor: color("card"),
            callbacks: {
              title: ([item]) => (item ? wordsOf(figure, spec, item.dataIndex).name : ""),
              label: (item) => wordsOf(figure, spec, item.dataIndex).series[item.datasetIndex],
            },
          },
        },
      },
    };
  };

  return { color, configOf, heightOf, wordsOf };
})();
