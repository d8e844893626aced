// SPDX-License-Identifier: Apache-2.0
"use strict";
const store = JSON.parse(document.getElementById("data").textContent);
// "model.layers.12.mlp.experts.3.up_proj.weight": layer 12, kind "mlp.experts.*.up_proj".
const tensors = store.tensors.map((t) => {
  const parts = t.name.replace(/\.weight$/, "").split(".");
  const at = parts.findIndex((p) => /^\d+$/.test(p));
  const coded = known(t.rel_mse);
  return Object.assign({coded, layer: at < 0 ? null : Number(parts[at]),
    kind: (at < 0 ? parts : parts.slice(at + 1)).map((p) => /^\d+$/.test(p) ? "*" : p).join(".")}, t);
});
const inBlocks = tensors.filter((t) => t.coded && t.layer !== null);
const layers = [...new Set(inBlocks.map((t) => t.layer))].sort((a, b) => a - b);
const kinds = [...new Set(inBlocks.map((t) => t.kind))];
const measures = [
  {key: "bits_per_weight", title: "bits a weight", digits: 3},
  {key: "rel_proxy", title: "relative error of outputs", digits: 5},
  {key: "rel_mse", title: "relative error of weights", digits: 5}
];
for (const measure of measures) {
  const values = inBlocks.map((t) => t[measure.key]).filter((v) => v > 0);
  measure.logarithmic = Math.max(...values) > 10 * Math.min(...values);
}
document.getElementById("summary").textContent = store.store + " \u00b7 " + number(store.bits_per_weight, 4) + " bits a weight in " +
  (store.quantized_weights / 1e6).toFixed(1) + " million weights of layers \u00b7 " + bytes(store.file_bytes);

// Means over weights, for experts are many tensors of one kind.
function mean(list, key) {
  let sum = 0;
  let weights = 0;
  for (const t of list) {
    sum += t[key] * t.rows * t.cols;
    weights += t.rows * t.cols;
  }
  return weights ? sum / weights : null;
}
const charts = measures.map((measure) => {
  const {whole, canvas} = figure(measure.title + " by layer", measure.title + " by layer. The map below has the same figures.");
  document.getElementById("plots").append(whole);
  return {measure, canvas, chart: null};
});
function draw() {
  for (const entry of charts) {
    if (entry.chart) entry.chart.destroy();
    const {measure, canvas} = entry;
    entry.chart = new Chart(canvas, {
      type: "line",
      data: {labels: layers, datasets: kinds.map((kind, i) => ({
        label: kind, borderColor: palette[i % palette.length], backgroundColor: palette[i % palette.length],
        pointStyle: shapes[i % shapes.length], pointRadius: 3, borderWidth: 1.5,
        data: layers.map((layer) => mean(inBlocks.filter((t) => t.kind === kind && t.layer === layer), measure.key))
      }))},
      plugins: [ground],
      options: {animation: false, responsive: true, maintainAspectRatio: false,
        scales: {x: Object.assign(axis("layer", false), {type: "category"}), y: axis(measure.title, measure.logarithmic)},
        plugins: {legend: {position: "bottom", labels: {color: colour("--ink"), usePointStyle: true, boxWidth: 8, boxHeight: 8}}}}
    });
  }
  map();
}
const choice = document.getElementById("measure");
choice.append(...measures.map((m, i) => element("option", {value: i}, m.title)));
function map() {
  const measure = measures[Number(choice.value) || 0];
  const cells = kinds.map((kind) => layers.map((layer) => mean(inBlocks.filter((t) => t.kind === kind && t.layer === layer), measure.key)));
  const all = cells.flat().filter((v) => v !== null && (!measure.logarithmic || v > 0));
  const of = measure.logarithmic ? Math.log : (v) => v;
  const low = Math.min(...all);
  const high = Math.max(...all);
  const share = (v) => high > low ? Math.max(0, (of(Math.max(v, low)) - of(low)) / (of(high) - of(low))) : 0.5;
  document.getElementById("scale").textContent = "From " + number(low, measure.digits) + " (light) to " + number(high, measure.digits) + " (dark).";
  document.getElementById("map").replaceChildren(
    element("thead", {}, element("tr", {}, element("th", {scope: "col"}, "layer"), ...layers.map((l) => element("th", {scope: "col", class: "number"}, String(l))))),
    element("tbody", {}, ...kinds.map((kind, i) => element("tr", {}, element("th", {scope: "row"}, kind),
      ...cells[i].map((v) => {
        if (v === null) return element("td");
        const cell = element("td", {class: "number", title: kind + ": " + number(v, 6)}, number(v, measure.key === "bits_per_weight" ? 2 : 4));
        cell.style.background = "rgb(0 114 178 / " + (0.08 + 0.82 * share(v)).toFixed(3) + ")";
        if (share(v) > 0.55) cell.style.color = "#fff";
        return cell;
      })))));
}
choice.addEventListener("change", map);

const columns = [
  {title: "tensor", value: (t) => t.name, show: (t) => t.name},
  {title: "rows", value: (t) => t.rows, number: true, show: (t) => String(t.rows)},
  {title: "columns", value: (t) => t.cols, number: true, show: (t) => String(t.cols)},
  {title: "code", value: (t) => t.spec && t.spec.code, show: (t) => t.spec && t.spec.code ? String(t.spec.code) : ""},
  {title: "bits", value: (t) => t.bits_per_weight, number: true, show: (t) => number(t.bits_per_weight, 4)},
  {title: "bytes", value: (t) => t.bits_per_weight * t.rows * t.cols / 8, number: true, show: (t) => bytes(t.bits_per_weight * t.rows * t.cols / 8)},
  {title: "error of weights", value: (t) => t.rel_mse, number: true, show: (t) => number(t.rel_mse, 5)},
  {title: "error of outputs", value: (t) => t.rel_proxy, number: true, show: (t) => number(t.rel_proxy, 5)}
];
const filter = document.getElementById("filter");
const redraw = sortable(document.getElementById("tensors"), columns, tensors,
  (t) => filter.value.toLowerCase().split(/\s+/).every((word) => t.name.toLowerCase().includes(word)),
  (seen, all) => { document.getElementById("shown").textContent = seen === all ? all + " tensors" : seen + " of " + all + " tensors"; });
filter.addEventListener("input", redraw);
for (const [title, value] of [["command", store.provenance && store.provenance.command], ["program", store.provenance && store.provenance.vqkit && "vqkit " + store.provenance.vqkit],
                              ["fingerprint", store.fingerprint]])
  if (known(value)) document.getElementById("about").append(element("dt", {}, title), element("dd", {}, String(value)));
draw();
onRedraw(draw);
