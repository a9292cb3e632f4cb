// The picture itself: elements made from the layout, then painted from the norms that count now.

const SVG = "http://www.w3.org/2000/svg";
const FONT = "Helvetica,Arial,Liberation Sans,DejaVu Sans,Noto Sans,sans-serif";

function make(name, attributes, content, space) {
  const element = space ? document.createElementNS(space, name) : document.createElement(name);
  for (const key of Object.keys(attributes || {})) {
    if (attributes[key] !== null && attributes[key] !== undefined) element.setAttribute(key, attributes[key]);
  }
  if (content !== undefined && content !== null) element.textContent = content;
  return element;
}

const draw = (name, attributes, content) => make(name, attributes, content, SVG);
const set = (element, attributes) => Object.keys(attributes).forEach((key) => element.setAttribute(key, attributes[key]));
const tidy = (value) => String(Math.round(value * 10) / 10);

function curve(points, cut) {
  const last = points.length - 1;
  const [tip, before] = [points[last], points[last - 1]];
  const length = Math.hypot(tip[0] - before[0], tip[1] - before[1]) || 1;
  const part = Math.min(cut, 0.9 * length) / length;
  const end = [tip[0] - (tip[0] - before[0]) * part, tip[1] - (tip[1] - before[1]) * part];
  const all = [...points.slice(0, last), end].map(([x, y]) => `${tidy(x)},${tidy(y)}`);
  return `M${all[0]}C${all.slice(1).join(" ")}`;
}

function arrowHead(points, length, half) {
  const last = points.length - 1;
  const tip = points[last];
  let before = points[last - 1];
  if (Math.hypot(tip[0] - before[0], tip[1] - before[1]) < 0.5) before = points[Math.max(0, last - 2)];
  const size = Math.hypot(tip[0] - before[0], tip[1] - before[1]) || 1;
  const [dx, dy] = [(tip[0] - before[0]) / size, (tip[1] - before[1]) / size];
  const base = [tip[0] - dx * length, tip[1] - dy * length];
  const corners = [tip, [base[0] - dy * half, base[1] + dx * half], [base[0] + dy * half, base[1] - dx * half]];
  return corners.map(([x, y]) => `${tidy(x)},${tidy(y)}`).join(" ");
}

// The norm of the gradient at a node: of the chosen loss step, or by the routes that are on.
function nodeNorm(view, i) {
  const { P, state } = view;
  const N = P.nodes;
  if (N.isState[i] && (state.loss !== null || state.off.size)) {
    const key = laneKey(N.state[i], N.layer[i], N.reverse[i]);
    if (state.loss !== null) {
      const lane = P.loss.find((one) => one.key === key);
      const row = lane ? lane.loss.indexOf(P.lossSteps[state.loss]) : -1;
      return row >= 0 && lane.at.has(N.step[i]) ? lossNorm(lane, row, lane.at.get(N.step[i])) : null;
    }
    const lane = P.routes.find((one) => one.key === key);
    if (lane && lane.at.has(N.step[i])) return routesNorm(lane, lane.at.get(N.step[i]), state.off);
  } else if (state.loss !== null) return null;
  return N.gradient_norm[i];
}

// |sum of the parts that are on|, from their inner products.
function routesNorm(lane, row, off) {
  const products = lane.rows[row];
  let sum = 0;
  let place = 0;
  for (let i = 0; i < lane.names.length; i++) {
    for (let j = i; j < lane.names.length; j++, place++) {
      if (!off.has(lane.names[i]) && !off.has(lane.names[j])) sum += (i === j ? 1 : 2) * products[place];
    }
  }
  return Number.isNaN(sum) ? NaN : lane.scales[row] * Math.sqrt(Math.max(sum, 0));
}

// What one edge carries back; null where that is not known for the chosen step and routes.
function edgeNorm(view, e) {
  const { P, state } = view;
  const { nodes: N, edges: E } = P;
  if (state.off.has(E.route[e])) return null;
  const from = E.source[e];
  const to = E.target[e];
  // Only along a lane is it the gradient of the state itself that is on its way.
  const inTime = P.time && N.isState[from] && E.norm[e] !== null && N.step[to] !== null && N.step[to] !== N.step[from] && (N.layer[to] || 0) === (N.layer[from] || 0);
  const split = state.loss !== null || (state.off.size && P.routes.some((lane) => lane.key === laneKey(N.state[from], N.layer[from], N.reverse[from])));
  if (split && inTime) return nodeNorm(view, from);
  return state.loss !== null ? null : E.norm[e];
}

// Parts of different sources are one long vector; two into one source add as vectors, unknown.
function linkNorm(view, link) {
  const norms = link.edges.map((e) => edgeNorm(view, e));
  if (norms.length === 1) return norms[0];
  const sources = new Set(link.edges.map((e) => view.P.edges.source[e]));
  if (norms.some((norm) => norm === null) || sources.size !== norms.length) return null;
  return norms.some(Number.isNaN) ? NaN : Math.hypot(...norms);
}

// The number that a line shows: its norm, or its share where shares are shown.
function linkMeasure(view, link) {
  const norm = linkNorm(view, link);
  if (view.state.measure === "norm" || norm === null || norm === 0 || !Number.isFinite(norm)) return norm;
  return link.edges.length === 1 && view.state.loss === null && !view.state.off.size ? view.P.edges.share[link.edges[0]] : null;
}

function boxText(view, item) {
  const N = view.P.nodes;
  const i = item.nodes[0];
  const name = N.label[i];
  if (item.cluster !== undefined) return [shorten(view.P.boxes.cluster_names[item.cluster], 40), `${item.nodes.length} boxes`];
  if (!view.P.time) {
    const lines = [N.kind[i] === "elided" ? `${N.count[i]} \u00d7 ${name}` : name];
    if (N.kind[i] === "op" || N.kind[i] === "group") if (N.name[i] && N.name[i] !== name) lines.push(N.name[i]);
    lines.push(N.detail[i], N.type[i], timeText(N, i));
    if (N.fault[i]) lines.push(N.fault[i]);
    else if (N.value_finite[i] === 0) lines.push("value holds NaN or Inf");
    else if (N.gradient_finite[i] === 0) lines.push("gradient holds NaN or Inf");
    return lines.filter((line) => line).map((line) => shorten(line, 40));
  }
  if (item.tag) {
    const norm = numberText(nodeNorm(view, i));
    return [`${shorten(name, norm ? 15 : 22)} ${norm}`.trim()];
  }
  if (item.gap || N.kind[i] === "elided") {
    const norms = item.nodes.map((k) => nodeNorm(view, k));
    const count = item.nodes.reduce((sum, k) => sum + N.count[k], 0);
    if (!N.isState[i]) {
      const alike = item.nodes.every((k) => N.label[k] === name);
      return [shorten(`${count} \u00d7 ${alike ? name : N.kind[i]}`, 20)];
    }
    if (N.kind[i] === "elided" && item.nodes.length === 1) return [`${N.state[i].slice(0, 4)}: ${rangeText(N.low[i], N.high[i])}`];
    const known = norms.filter((norm) => norm !== null);
    const text = known.length ? (known.some(Number.isNaN) ? "NaN" : rangeText(Math.min(...known), Math.max(...known))) : "";
    return [`${N.state[i].slice(0, 4)}${text ? `: ${text}` : ""}`];
  }
  if (N.kind[i] === "state") return [`${N.state[i].slice(0, 4)}${N.step[i] === null ? "" : stepName(view.P, N.step[i])}`];
  return [shorten(name, Math.max(4, Math.floor((item.w - 6) / 6.2)))];
}

// Elements for a layout, in layers: frames, forward lines, gradients, boxes, numbers.
function build(view) {
  const { layout, world } = view;
  world.textContent = "";
  const layers = {};
  // In time, the lanes run over the cells; elsewhere boxes hide the ends of lines.
  const order = view.P.time ? ["items", "fore", "back"] : ["fore", "back", "items"];
  for (const name of ["clusters", ...order, "texts", "numbers"]) {
    layers[name] = draw("g", { class: name });
    world.appendChild(layers[name]);
  }
  layout.clusters.forEach((box) => buildCluster(view, box, layers.clusters));
  layout.texts.forEach((text) => {
    text.element = draw("text", { x: tidy(text.x), y: tidy(text.y), "text-anchor": text.anchor, "font-size": text.size, "font-weight": text.bold ? "bold" : null }, text.text);
    if (text.column) set(text.element, { class: "step", "data-key": text.key });
    layers.texts.appendChild(text.element);
  });
  layout.links.forEach((link) => buildLink(view, link, layers));
  layout.items.forEach((item) => buildItem(view, item, layers.items));
  const boxes = layout.items.map((item) => [item.x - item.w / 2, item.y - item.h / 2, item.x + item.w / 2, item.y + item.h / 2]);
  layout.clusters.forEach((box) => boxes.push([box.x0, box.y0, box.x1, box.y1]));
  layout.texts.forEach((text) => boxes.push([text.x - (text.column ? 24 : 4), text.y - 12, text.x + 24, text.y + 4]));
  const least = (k) => boxes.reduce((low, box) => Math.min(low, box[k]), Infinity);
  const most = (k) => boxes.reduce((high, box) => Math.max(high, box[k]), -Infinity);
  view.bounds = boxes.length ? [least(0) - 12, least(1) - 12, most(2) + 12, most(3) + 10] : [0, 0, 100, 100];
}

function buildCluster(view, box, parent) {
  box.element = draw("g", { class: "cluster", role: "button", tabindex: "-1", "data-key": `c${box.id}`, "aria-expanded": "true", "aria-label": `scope ${box.name}, open` });
  box.frame = draw("rect", { x: tidy(box.x0), y: tidy(box.y0), width: tidy(box.x1 - box.x0), height: tidy(box.y1 - box.y0), rx: 6 });
  box.label = draw("text", { x: tidy(box.x0 + 7), y: tidy(box.y0 + 12), "font-size": 10 }, `\u2212 ${box.name}`);
  box.element.append(box.frame, box.label);
  parent.appendChild(box.element);
}

function buildLink(view, link, layers) {
  if (link.fore.length) {
    link.line = draw("path", { d: curve(link.fore, 4.5), fill: "none", "stroke-width": 0.8 });
    link.head = draw("polygon", { points: arrowHead(link.fore, 4.5, 1.7) });
    layers.fore.append(link.line, link.head);
  }
  if (link.back.length) {
    link.flow = draw("path", { fill: "none", "stroke-linecap": "butt" });
    link.inner = draw("path", { fill: "none" });
    link.tip = draw("polygon", {});
    layers.back.append(link.flow, link.inner, link.tip);
  }
  const points = link.back.length ? link.back : link.fore;
  link.element = draw("path", { d: curve(points, 0), fill: "none", stroke: "transparent", "stroke-width": 13, "pointer-events": "stroke", class: "edge", "data-key": link.key });
  layers.back.appendChild(link.element);
  if (link.at && link.back.length) {
    link.number = draw("text", { x: tidy(link.at[0]), y: tidy(link.at[1] + (view.P.time ? 3 : 0)), "font-size": 9, "text-anchor": "middle", "pointer-events": "none" });
    layers.numbers.appendChild(link.number);
  }
}

function buildItem(view, item, parent) {
  const N = view.P.nodes;
  const i = item.nodes[0];
  const kind = item.cluster !== undefined ? "group" : item.gap ? "elided" : N.kind[i];
  item.kind = kind;
  item.opens = item.gap || item.cluster !== undefined;
  item.element = draw("g", { class: `item ${kind}`, role: "button", tabindex: "-1", "data-key": item.key, "aria-expanded": item.opens ? "false" : null });
  const [x, y] = [item.x - item.w / 2, item.y - item.h / 2];
  const round = kind === "state" || (kind === "input" && !view.P.time);
  const lane = item.gap && N.isState[i];
  item.frame = draw("rect", { x: tidy(x), y: tidy(y), width: tidy(item.w), height: tidy(item.h), rx: item.tag ? 2 : round ? Math.min(item.h / 2, 18) : kind === "parameter" ? 1 : 5 });
  item.element.appendChild(item.frame);
  if (lane) {
    // One short line for each share of the steps that are left out.
    const count = Math.min(24, item.nodes.length);
    item.strip = [];
    for (let k = 0; k < count; k++) {
      const part = draw("path", { d: `M${tidy(x + 3 + (k * (item.w - 6)) / count)},${tidy(item.y)}h${tidy((item.w - 6) / count + 1)}`, fill: "none", "shape-rendering": "crispEdges" });
      item.strip.push({ part, nodes: item.nodes.slice(Math.floor((k * item.nodes.length) / count), Math.floor(((k + 1) * item.nodes.length) / count)) });
      item.element.appendChild(part);
    }
  }
  item.lines = [];
  const lines = boxText(view, item);
  const inBand = view.P.time && item.band && !N.isState[i];
  const size = view.P.time ? (N.isState[i] ? 9 : item.tag ? 9 : 10) : 11;
  const step = size + 2;
  let top = item.y - ((lines.length - 1) * step) / 2 + size * 0.36;
  if (inBand && item.band.lanes.length !== 2) top = y + 16;
  if (lane) top = item.y + (item.band.lanes.indexOf(N.state[i]) || item.band.lanes.length < 2 ? 17 : -10);
  lines.forEach((line, row) => {
    const text = draw("text", { x: tidy(item.tag ? x : item.x), y: tidy(top + row * step), "text-anchor": item.tag ? "start" : "middle", "font-size": view.P.time || !row ? size : size - 1, "pointer-events": "none" }, line);
    item.lines.push(text);
    item.element.appendChild(text);
  });
  parent.appendChild(item.element);
}
