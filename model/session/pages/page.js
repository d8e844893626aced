// SPDX-License-Identifier: Apache-2.0
"use strict";
// What pages share: elements, numbers, tables that sort, plots in the colours of the page.
function element(name, properties, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
const known = (v) => v !== undefined && v !== null && v !== "";
function number(v, digits) {
  if (!known(v)) return "";
  return typeof v === "number" ? v.toFixed(digits) : String(v);
}
function bytes(v) {
  if (!known(v)) return "";
  if (v >= 1e9) return (v / 1e9).toFixed(2) + " GB";
  if (v >= 1e6) return (v / 1e6).toFixed(2) + " MB";
  return (v / 1e3).toFixed(1) + " kB";
}
const megabytes = (v) => Number((v / 1e6).toPrecision(4)) + " MB";
function duration(s) {
  if (!known(s)) return "";
  if (s < 60) return s.toFixed(1) + " s";
  const whole = Math.round(s);
  const two = (n) => String(n).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? minutes + ":" + two(whole % 60)
                      : Math.floor(minutes / 60) + ":" + two(minutes % 60) + ":" + two(whole % 60);
}
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// Okabe and Ito's colours, told apart by nearly everyone, and shapes for those who see none.
const palette = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d00", "#7f7f7f"];
const shapes = ["circle", "rect", "triangle", "rectRot", "star", "cross", "crossRot", "dash"];

// A table whose columns are {title, value, show, number}. show(row) gives text or an element.
// The whole of the rows stays; filtered(row) says which are seen.
function sortable(table, columns, rows, filtered, told) {
  let sorted = -1;
  let ascending = true;
  const body = element("tbody");
  const heads = columns.map((column, i) => element("th",
    {scope: "col", class: column.number ? "number" : ""},
    column.value ? element("button", {type: "button", onclick: () => order(i)}, column.title)
                 : column.title));
  table.replaceChildren(element("thead", {}, element("tr", {}, ...heads)), body);
  const lines = rows.map((row) => ({row, line: element("tr", {}, ...columns.map((column) => {
    const shown = column.show(row);
    return element("td", {class: [column.number ? "number" : "", column.kind ? column.kind(row) : ""].join(" ").trim()},
                   known(shown) ? shown : "");
  }))}));
  function draw() {
    const seen = lines.filter((l) => filtered(l.row));
    body.replaceChildren(...seen.map((l) => l.line));
    if (told) told(seen.length, lines.length);
  }
  function order(i) {
    ascending = sorted === i ? !ascending : true;
    sorted = i;
    heads.forEach((h, j) => j === i ? h.setAttribute("aria-sort", ascending ? "ascending" : "descending")
                                    : h.removeAttribute("aria-sort"));
    const of = columns[i].value;
    lines.sort((a, b) => {
      const x = of(a.row);
      const y = of(b.row);
      if (!known(x) || !known(y)) return known(y) - known(x);  // what is missing comes last
      const way = typeof x === "number" && typeof y === "number" ? x - y
        : String(x).localeCompare(String(y), "en", {numeric: true});
      return ascending ? way : -way;
    });
    draw();
  }
  draw();
  return draw;
}

// Whiskers: points of a dataset may have `error`, half of an interval of y.
const whiskers = {
  id: "whiskers",
  beforeDatasetsDraw(chart) {
    const context = chart.ctx;
    const {left, top, width, height} = chart.chartArea;
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    context.lineWidth = 1.2;
    chart.data.datasets.forEach((set, i) => {
      if (!chart.isDatasetVisible(i)) return;
      context.strokeStyle = set.borderColor;
      chart.getDatasetMeta(i).data.forEach((at, j) => {
        const error = set.data[j].error;
        if (!error) return;
        const scale = chart.scales.y;
        const bottom = set.data[j].y - error;
        const low = scale.type === "logarithmic" && bottom <= 0 ? scale.bottom : scale.getPixelForValue(bottom);
        const high = scale.getPixelForValue(set.data[j].y + error);
        context.beginPath();
        for (const y of [low, high]) {
          context.moveTo(at.x - 4, y);
          context.lineTo(at.x + 4, y);
        }
        context.moveTo(at.x, low);
        context.lineTo(at.x, high);
        context.stroke();
      });
    });
    context.restore();
  }
};
// Pictures for a paper have a ground of their own.
const ground = {
  id: "ground",
  beforeDraw(chart) {
    chart.ctx.save();
    chart.ctx.fillStyle = colour("--paper");
    chart.ctx.fillRect(0, 0, chart.width, chart.height);
    chart.ctx.restore();
  }
};
// A figure with a plot and a button that saves it; fill(chart) sets what it shows.
function figure(title, description) {
  const canvas = element("canvas", {role: "img", "aria-label": description});
  const save = element("button", {type: "button", onclick: () => {
    element("a", {href: canvas.toDataURL("image/png"), download: title.replace(/\W+/g, "-").toLowerCase() + ".png"}).click();
  }}, "PNG");
  save.setAttribute("aria-label", "Save \u201c" + title + "\u201d as PNG");
  const whole = element("figure", {}, element("figcaption", {}, element("span", {}, title), save),
                        element("div", {class: "plot"}, canvas));
  return {whole, canvas};
}
function axis(title, logarithmic, ticks, zero) {
  const ink = colour("--ink");
  return {
    type: logarithmic ? "logarithmic" : "linear",
    beginAtZero: Boolean(zero),
    grace: logarithmic || zero ? 0 : "5%",
    title: {display: true, text: title, color: ink},
    grid: {color: colour("--line"), borderColor: colour("--faint")},
    ticks: Object.assign({color: ink, maxRotation: 0, autoSkipPadding: 12}, ticks ? {callback: ticks} : {})
  };
}
function onRedraw(draw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", () => Object.values(Chart.instances).forEach((c) => c.resize()));
}
