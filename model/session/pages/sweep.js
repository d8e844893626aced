// SPDX-License-Identifier: Apache-2.0
"use strict";
const results = JSON.parse(document.getElementById("data").textContent);
const points = results.points;
// Half of a 95% interval in standard errors, windows taken as independent: Student's t for few of
// them (within .5% from four on). One window has no interval.
const quantile = (degrees) => degrees < 1 ? NaN : degrees === 1 ? 12.706 : degrees === 2 ? 4.303
  : 1.96 + 2.374 / degrees + 2.822 / degrees ** 2 + 2.556 / degrees ** 3 + 1.5 / degrees ** 4;
const z = (text) => quantile((text.windows || 0) - 1);

const rows = [];  // a point on a text
for (const point of points) {
  const texts = point.texts && point.texts.length ? point.texts : [null];
  for (const text of texts) rows.push({point, text});
}
const texts = [...new Set(rows.filter((r) => r.text).map((r) => r.text.text))];
const settings = [...new Set(points.flatMap((p) => Object.keys(p.set || {})))];
const several = (of) => new Set(points.map(of)).size > 1;
const severalModels = several((p) => p.model);
const methods = [...new Set(points.map((p) => severalModels ? p.model + " " + p.method : p.method))];
const family = (p) => severalModels ? p.model + " " + p.method : p.method;
const calibration = (p) => p.calibration ? [...p.calibration.text, ...p.calibration.chat].join(" ") + ", " + p.calibration.tokens + " tokens" : "";
const name = (p) => [family(p), known(p.bits) ? p.bits + " bits" : "", ...settings.filter((s) => p.set && known(p.set[s])).map((s) => s + "=" + p.set[s]), "seed=" + p.seed].filter(Boolean).join(" ");

const failed = points.filter((p) => p.error).length;
document.getElementById("summary").textContent = points.length + " of " + results.total + " points" +
  (failed ? ", of which " + failed + " failed" : "") + " \u00b7 " + [...new Set(points.map((p) => p.model))].join(", ");

const choice = document.getElementById("text");
choice.append(...texts.map((t) => element("option", {value: t}, t)));
if (texts.length < 2) document.getElementById("text-label").hidden = true;
const logarithmic = document.getElementById("log");

const plots = [
  {y: "kld_mean", error: "kld_stderr_windows", title: "KL divergence", unit: "nats a token"},
  {y: "perplexity", error: null, title: "Perplexity", unit: "perplexity"}
].flatMap((y) => [
  Object.assign({}, y, {x: "bits_per_weight", of: "bits a weight", axis: "bits a weight of the linear layers, everything counted"}),
  Object.assign({}, y, {x: "file_bytes", of: "bytes", axis: "whole file"})
]).filter((plot) => rows.some((r) => r.text && known(r.text[plot.y])));

const charts = plots.map((plot) => {
  const title = plot.title + " against " + plot.of;
  const {whole, canvas} = figure(title, title + ". The table below has the same figures.");
  document.getElementById("plots").append(whole);
  return {plot, canvas, chart: null};
});
if (plots.length === 0) document.getElementById("plots").textContent = "Nothing was evaluated.";

function half(plot, text) {
  // exp(mean +- e) is nearly mean (1 +- e) for errors as small as these.
  const error = plot.error ? text[plot.error] : text.perplexity * text.nll_stderr_windows;
  return z(text) * error || 0;
}
function front(all) {
  const line = [];
  for (const p of [...all].sort((a, b) => a.x - b.x || a.y - b.y))
    if (line.length === 0 || p.y < line[line.length - 1].y) line.push({x: p.x, y: p.y});
  return line;
}
function draw() {
  const chosen = choice.value || texts[0];
  for (const entry of charts) {
    const {plot, canvas} = entry;
    if (entry.chart) entry.chart.destroy();
    const of = (method) => rows.filter((r) => r.text && r.text.text === chosen && family(r.point) === method && !r.point.error)
      .map((r) => ({x: r.point[plot.x], y: r.text[plot.y], error: half(plot, r.text), name: name(r.point)}));
    const datasets = methods.map((method, i) => ({
      label: method, data: of(method), borderColor: palette[i % palette.length], backgroundColor: palette[i % palette.length],
      pointStyle: shapes[i % shapes.length], pointRadius: 5, pointHoverRadius: 7
    })).filter((set) => set.data.length > 0);
    datasets.push({label: "best of their size", data: front(datasets.flatMap((s) => s.data)), type: "line", borderColor: colour("--faint"),
                   borderWidth: 1.2, borderDash: [5, 4], pointRadius: 0, pointHitRadius: 0, pointStyle: "line", fill: false});
    const ends = datasets.flatMap((s) => s.data).flatMap((p) => p.error ? [p.y - p.error, p.y + p.error] : [p.y])
      .filter((y) => !logarithmic.checked || y > 0);
    const ink = colour("--ink");
    entry.chart = new Chart(canvas, {
      type: "scatter",
      data: {datasets},
      plugins: [ground, whiskers],
      options: {
        animation: false, responsive: true, maintainAspectRatio: false,
        scales: {x: axis(plot.axis, logarithmic.checked, plot.x === "file_bytes" ? megabytes : null),
                 y: Object.assign(axis(plot.unit, logarithmic.checked, null, plot.y === "kld_mean"),
                                  {suggestedMin: Math.min(...ends), suggestedMax: Math.max(...ends)})},
        plugins: {
          legend: {position: "bottom", labels: {color: ink, usePointStyle: true, boxWidth: 8, boxHeight: 8}},
          tooltip: {callbacks: {label: (item) => known(item.raw.name)
            ? [item.raw.name, (plot.x === "file_bytes" ? bytes(item.raw.x) : number(item.raw.x, 4) + " bits") + ", " + number(item.raw.y, 5) +
               (item.raw.error ? " \u00b1 " + number(item.raw.error, 5) : "")] : ""}}
        }
      }
    });
  }
}
choice.addEventListener("change", draw);
logarithmic.addEventListener("change", draw);

function commands(row) {
  const lines = [row.point.command, row.text && row.text.command].filter(Boolean).join("\n");
  if (!lines) return "";
  const copy = element("button", {type: "button", onclick: (event) => {
    const button = event.currentTarget;
    navigator.clipboard.writeText(lines).then(() => { button.textContent = "Copied"; }, () => { button.textContent = "Select and copy"; });
  }}, "Copy");
  return element("details", {}, element("summary", {}, "show"), element("pre", {}, lines), copy);
}
const plain = (title, value, digits) => ({title, value, number: digits !== undefined, show: (r) => digits === undefined ? value(r) : number(value(r), digits)});
const ofText = (key) => (r) => r.text ? r.text[key] : null;
const withError = (title, key, error, digits) => ({title, value: ofText(key), number: true,
  show: (r) => r.text && known(r.text[key]) ? number(r.text[key], digits) + (error(r.text) > 0 ? " \u00b1 " + number(error(r.text), digits) : "") : ""});
const columns = [
  severalModels ? plain("model", (r) => r.point.model) : null,
  plain("method", (r) => r.point.method),
  {title: "asked bits", value: (r) => r.point.bits, number: true, show: (r) => number(r.point.bits === null ? "" : String(r.point.bits))},
  several((p) => p.hessians) ? plain("Hessians", (r) => r.point.hessians) : null,
  several(calibration) ? plain("calibration", (r) => calibration(r.point)) : null,
  ...settings.map((s) => plain(s, (r) => r.point.set ? r.point.set[s] : "")),
  plain("seed", (r) => r.point.seed, 0),
  texts.length > 1 ? plain("text", ofText("text")) : null,
  plain("true bits", (r) => r.point.bits_per_weight, 4),
  {title: "file", value: (r) => r.point.file_bytes, number: true, show: (r) => bytes(r.point.file_bytes)},
  rows.some((r) => known(ofText("kld_mean")(r))) ? withError("KL", "kld_mean", (t) => z(t) * t.kld_stderr_windows, 5) : null,
  texts.length ? withError("perplexity", "perplexity", (t) => z(t) * t.perplexity * t.nll_stderr_windows, 4) : null,
  rows.some((r) => known(ofText("top1_agreement")(r))) ? {title: "same top token", value: ofText("top1_agreement"), number: true,
    show: (r) => r.text && known(r.text.top1_agreement) ? (100 * r.text.top1_agreement).toFixed(2) + "%" : ""} : null,
  {title: "output error", value: (r) => r.point.rel_proxy, number: true, show: (r) => number(r.point.rel_proxy, 5)},
  {title: "time", value: (r) => r.point.quantize_seconds, number: true, show: (r) => duration(r.point.quantize_seconds)},
  {title: "memory", value: (r) => r.point.peak_rss_bytes, number: true, show: (r) => bytes(r.point.peak_rss_bytes)},
  failed ? {title: "error", value: (r) => r.point.error, show: (r) => r.point.error, kind: () => "error"} : null,
  {title: "commands", show: commands}
].filter(Boolean);
const filter = document.getElementById("filter");
const searched = (r) => [name(r.point), r.point.model, r.text ? r.text.text : "", r.point.error || "", calibration(r.point)].join(" ").toLowerCase();
const redraw = sortable(document.getElementById("points"), columns, rows,
  (r) => filter.value.toLowerCase().split(/\s+/).every((word) => searched(r).includes(word)),
  (seen, all) => { document.getElementById("shown").textContent = seen === all ? all + " rows" : seen + " of " + all + " rows"; });
filter.addEventListener("input", redraw);

const about = document.getElementById("about");
for (const [title, value] of [["program", "vqkit " + results.vqkit], ["command", results.command], ["precision", results.precision],
                              ["instruction set", results.instruction_set]])
  about.append(element("dt", {}, title), element("dd", {}, known(value) ? String(value) : ""));
document.getElementById("description").textContent = JSON.stringify(results.sweep, null, 2);
draw();
onRedraw(draw);
