// Draws each chart of a page from its own table of values. The words in tooltips are the table's; arrow keys read it.
"use strict";
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  // A canvas knows no light-dark(): a probe element resolves the colour for it.
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const resolved = (name) => { probe.style.color = colour(name); return getComputedStyle(probe).color; };

  const compact = new Intl.NumberFormat([], { notation: "compact", maximumFractionDigits: 1 });
  const seconds = (v) => (v >= 60 ? `${+(v / 60).toFixed(1)} min` : v >= 1 || v === 0 ? `${+v.toFixed(1)} s` : `${Math.round(v * 1000)} ms`);
  const AXES = { seconds, rate: (v) => compact.format(v), count: (v) => (Number.isInteger(v) ? compact.format(v) : "") };

  function read(figure) {
    const rows = [...figure.querySelectorAll("tbody tr")];
    const heads = [...figure.querySelectorAll("thead th")].slice(1);
    return {
      at: rows.map((row) => Number(row.cells[0].dataset.at)),
      names: heads.map((head) => head.textContent),
      tones: heads.map((head) => head.dataset.tone),
      values: heads.map((_, i) => rows.map((row) => ("value" in row.cells[i + 1].dataset ? Number(row.cells[i + 1].dataset.value) : null))),
      words: rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim())),
    };
  }

  const stacked = (values) => values.map((_, i) => values[0].map((__, x) => values.slice(0, i + 1).reduce((sum, one) => sum + (one[x] ?? 0), 0)));

  function draw(figure) {
    const plot = figure.querySelector(".plot");
    if (!plot) return;
    const kind = figure.dataset.chart;
    const told = read(figure);
    const drawn = kind === "stack" ? stacked(told.values) : told.values;
    const order = drawn.map((_, i) => i).reverse(); // the tallest of a stack is drawn first
    const bars = kind !== "line" && uPlot.paths.bars({ size: [0.78, 40], radius: 0.15 });
    const ink = resolved("ink-3");
    const axis = { stroke: ink, font: "11px Inter, sans-serif", grid: { stroke: resolved("line-soft"), width: 1 }, ticks: { show: false } };
    const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
    const say = figure.querySelector("[data-say]");
    const step = Number(figure.dataset.step);

    function show(u) {
      const at = u.cursor.idx;
      tip.hidden = at == null;
      if (tip.hidden) return;
      const [when, ...words] = told.words[at];
      const lines = words.map((word, i) => `${told.names[i]} ${word}`);
      tip.replaceChildren(...[when, ...lines].map((line) => Object.assign(document.createElement("span"), { textContent: line })));
      const left = u.valToPos(told.at[at], "x") + u.bbox.left / devicePixelRatio;
      tip.style.left = `${Math.min(Math.max(left, tip.offsetWidth / 2), plot.clientWidth - tip.offsetWidth / 2)}px`;
      if (document.activeElement === plot) say.textContent = [when, ...lines].join(", ");
    }

    const options = {
      width: plot.clientWidth, height: 190, legend: { show: false },
      cursor: { y: false, points: { show: kind === "line" }, drag: { x: false, y: false } },
      padding: [8, 8, 0, 0],
      ...(step >= 86400 && { tzDate: (epoch) => uPlot.tzDate(new Date(epoch * 1000), "Etc/UTC") }), // days are UTC's
      scales: {
        x: { range: () => [told.at[0] - step / 2, told.at[told.at.length - 1] + step / 2] },
        y: { range: (_, __, most) => [0, Math.max(most ?? 0, 1e-9) * 1.08] },
      },
      axes: [{ ...axis, grid: { show: false } }, { ...axis, size: 54, values: (_, marks) => marks.map(AXES[figure.dataset.unit]) }],
      series: [{}, ...order.map((i) => {
        const stroke = resolved(told.tones[i]);
        return kind === "line"
          ? { stroke, width: 2, fill: order.length === 1 ? stroke.replace(/\)$/, " / 0.12)") : undefined, spanGaps: false, points: { size: 4, fill: stroke } }
          : { stroke, fill: stroke, width: 0, paths: bars, points: { show: false } };
      })],
      hooks: { setCursor: [show] },
    };
    plot.replaceChildren();
    const u = new uPlot(options, [told.at, ...order.map((i) => drawn[i])], plot);
    u.over.append(tip);
    const move = (at) => u.setCursor({ left: u.valToPos(told.at[at], "x"), top: 0 });
    plot.onkeydown = (event) => {
      const last = told.at.length - 1;
      const now = u.cursor.idx ?? (event.key === "ArrowLeft" ? last + 1 : -1);
      const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      move(Math.min(Math.max(next, 0), last));
    };
    plot.onblur = () => u.setCursor({ left: -10, top: -10 });
    return u;
  }

  const all = new Map();
  const redraw = (figure) => { all.get(figure)?.destroy(); all.set(figure, draw(figure)); };
  const figures = [...document.querySelectorAll("[data-chart]")];
  document.fonts.ready.then(() => figures.forEach(redraw));
  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const u = all.get(target.closest("[data-chart]"));
      if (u && Math.abs(u.width - target.clientWidth) > 1) u.setSize({ width: target.clientWidth, height: 190 });
    }
  });
  for (const figure of figures) if (figure.querySelector(".plot")) sizes.observe(figure.querySelector(".plot"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => figures.forEach(redraw));
})();
