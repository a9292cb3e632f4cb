// The charts of a film: the gates over the time steps, and the loss over the steps of training.

function filmRange(film) {
  const [low, high] = film.range;
  return high - low < 1 ? [(low + high - 1) / 2, (low + high + 1) / 2] : [Math.max(low, high - 30), high];
}

function addCharts(view) {
  document.documentElement.classList.add("film");
  if (view.gates) return;
  const add = (name, label) => {
    const chart = make("div", { class: `chart ${name}` });
    const svg = draw("svg", { id: name, role: "img", "aria-label": label });
    chart.appendChild(svg);
    view.charts.appendChild(chart);
    return svg;
  };
  view.gates = add("gates", "gates over all time steps");
  view.training = add("training", "loss over the steps of training");
  view.training.addEventListener("click", (event) => {
    if (!view.frameAt) return;
    view.stopFilm();
    showFrame(view, view.frameAt(event.clientX - view.training.getBoundingClientRect().left));
  });
}

// A chart's paper: its size, and functions that draw on it.
function chartPaper(view, svg, right) {
  const { theme } = view;
  svg.textContent = "";
  const width = Math.max(140, svg.parentNode.clientWidth || 300);
  const height = chartHeight();
  set(svg, { viewBox: `0 0 ${width} ${height}`, width, height });
  const box = { left: 34, right: width - right, top: 14, bottom: height - 22, height };
  const line = (d, look) => svg.appendChild(draw("path", Object.assign({ d, fill: "none", stroke: theme.cluster_line, "stroke-width": 0.7 }, look)));
  const text = (x, y, content, anchor, look) => svg.appendChild(draw("text", Object.assign({ x: tidy(x), y: tidy(y), "font-size": 9, "text-anchor": anchor, fill: theme.faint_text }, look), content));
  const level = (y, content) => { line(`M${box.left},${tidy(y)}H${box.right}`, {}); text(box.left - 5, y + 3, content, "end"); };
  return { box, line, text, level };
}

function drawFilm(view) {
  drawGates(view);
  drawTraining(view);
}

function drawGates(view) {
  const { P } = view;
  const { film } = P;
  const shown = film.gates.map((gate, g) => ({ gate, g })).filter(({ gate }) => gate.cell === film.cell && gate.at.length > 1);
  view.gates.parentNode.classList.toggle("none", !shown.length);
  if (!shown.length) return;
  const colors = film.colors[view.themeName];
  const { box, line, text, level } = chartPaper(view, view.gates, 86);
  const { left, right, top, bottom, height } = box;
  const steps = shown[0].gate.at;
  const [first, last] = [Math.min(...steps), Math.max(...steps)];
  const x = (step) => left + ((step - first) / (last - first)) * (right - left);
  const y = (value) => bottom - clamp(value, 0, 1) * (bottom - top);
  [0, 0.5, 1].forEach((value) => level(y(value), String(value)));
  text(left, height - 4, `t = ${first}`, "start");
  text(right, height - 4, String(last), "end");
  const points = (at, values) => values.map((value, k) => `${tidy(x(at[k]))},${tidy(y(value))}`);
  const begun = frameOf(P, 0).gates;
  const now = frameOf(P, film.number).gates;
  const ends = [];
  shown.forEach(({ gate, g }, k) => {
    const color = colors[k % colors.length];
    const dash = DASHES[k % 4];
    if (now[g] && gate.memory) line(`M${points(gate.at, now[g][1]).join("L")}L${points(gate.at, now[g][2]).reverse().join("L")}Z`, { fill: color, "fill-opacity": 0.15, stroke: "none" });
    if (begun[g] && film.number) line(`M${points(gate.at, begun[g][0]).join("L")}`, { stroke: color, "stroke-width": 0.8, "stroke-opacity": 0.55, "stroke-dasharray": dash });
    if (!now[g]) return;
    line(`M${points(gate.at, now[g][0]).join("L")}`, { stroke: color, "stroke-width": 1.9, "stroke-dasharray": dash, "stroke-linejoin": "round" });
    const at = gate.at.indexOf(last);
    ends.push({ y: y(now[g][0][at]), name: shorten(gate.name, 14), color, dash, width: 1.9 });
    if (!gate.memory) return;
    // A few open units are enough to remember by, and the mean does not show them.
    line(`M${points(gate.at, now[g][3]).join("L")}`, { stroke: color, "stroke-width": 2.8, "stroke-linejoin": "round" });
    ends.push({ y: y(now[g][3][at]), name: "most open unit", color, dash: "none", width: 2.8 });
  });
  ends.sort((a, b) => a.y - b.y);
  ends.forEach((end, k) => { end.y = Math.max(end.y, k ? ends[k - 1].y + 11 : top); });
  const over = ends.length ? Math.max(0, ends[ends.length - 1].y - bottom) : 0;
  ends.forEach((end) => {
    line(`M${right + 4},${tidy(end.y - over)}h10`, { stroke: end.color, "stroke-width": end.width, "stroke-dasharray": end.dash });
    text(right + 17, end.y - over + 3, end.name, "start", { fill: end.color });
  });
  text(left, 8, `gates${film.cells.length > 1 ? ` of ${shorten(film.cell, 24)}` : ""}: means over units and batch; band: 10 to 90 %`, "start");
}

function drawTraining(view) {
  const { film } = view.P;
  const { theme } = view;
  const known = film.losses.filter((loss) => loss > 0 && Number.isFinite(loss));
  view.training.parentNode.classList.toggle("none", film.steps.length < 2 || !known.length);
  if (film.steps.length < 2 || !known.length) return;
  const { box, line, text, level } = chartPaper(view, view.training, 12);
  const { left, right, top, bottom, height } = box;
  const [lowest, highest] = [Math.min(...known), Math.max(...known)];
  const wide = highest > 1.001 * lowest;
  const size = (loss) => Math.log10(loss);
  const [low, high] = wide ? [size(lowest), size(highest)] : [size(lowest) - 0.5, size(lowest) + 0.5];
  const y = (loss) => bottom - ((size(loss) - low) / (high - low)) * (bottom - top);
  const [first, last] = [film.steps[0], film.steps[film.steps.length - 1]];
  const x = (step) => left + ((step - first) / (last - first)) * (right - left);
  (wide ? [lowest, Math.sqrt(lowest * highest), highest] : [lowest]).forEach((loss) => level(y(loss), numberText(Number(loss.toPrecision(2)))));
  text(left, height - 4, `step ${first}`, "start");
  text(right, height - 4, String(last), "end");
  text(left, 8, "loss over training", "start");
  let path = "";
  let open = false;
  film.losses.forEach((loss, k) => {
    const good = loss > 0 && Number.isFinite(loss);
    if (good) path += `${open ? "L" : "M"}${tidy(x(film.steps[k]))},${tidy(y(loss))}`;
    open = good;
  });
  line(path || "M0,0", { stroke: theme.text, "stroke-width": 1.6, "stroke-linejoin": "round" });
  const at = x(film.steps[film.number]);
  line(`M${tidy(at)},${top}V${bottom}`, { stroke: theme.alarm, "stroke-width": 1.4 });
  const loss = film.losses[film.number];
  if (loss > 0 && Number.isFinite(loss)) view.training.appendChild(draw("circle", { cx: tidy(at), cy: tidy(y(loss)), r: 3.2, fill: theme.alarm }));
  view.frameAt = (px) => {
    const wanted = first + clamp((px - left) / (right - left), 0, 1) * (last - first);
    return film.steps.reduce((best, step, k) => (Math.abs(step - wanted) < Math.abs(film.steps[best] - wanted) ? k : best), 0);
  };
}
