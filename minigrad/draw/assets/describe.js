// What is known about a box or a line, in words: for the card, the panel and screen readers.

function placeText(view, i) {
  const N = view.P.nodes;
  const parts = [];
  if (N.layer[i] !== null) parts.push(`layer ${N.layer[i]}${N.reverse[i] ? " reverse" : ""}`);
  if (N.step[i] !== null) parts.push(stepsName(view.P, N.step[i], N.last[i]));
  return parts.join(", ");
}

function nodeName(view, i) {
  const N = view.P.nodes;
  const name = shorten(N.label[i], 60);
  const place = placeText(view, i);
  return place ? `${name} (${place})` : name;
}

function itemName(view, item) {
  const N = view.P.nodes;
  const i = item.nodes[0];
  if (item.cluster !== undefined) return `scope ${view.P.boxes.cluster_names[item.cluster]}, closed, ${item.nodes.length} boxes`;
  if (item.gap) return `${item.nodes.length} \u00d7 ${shorten(N.label[i], 60)}, ${stepsName(view.P, item.column.step, item.column.last)}, left out`;
  const kind = N.kind[i] === "op" || N.kind[i] === "group" ? "" : `${N.kind[i]} `;
  const norm = nodeNorm(view, i);
  return `${kind}${nodeName(view, i)}${norm === null ? "" : `, gradient norm ${numberText(norm)}`}`;
}

function statisticsText(N, part, i) {
  const parts = [];
  const get = (field) => N[`${part}_${field}`][i];
  if (get("norm") !== null) parts.push(`norm ${numberText(get("norm"))}`);
  if (get("minimum") !== null) parts.push(`from ${numberText(get("minimum"))} to ${numberText(get("maximum"))}`);
  if (get("mean") !== null) parts.push(`mean ${numberText(get("mean"))}`);
  if (get("finite") === 0) parts.push("holds NaN or Inf");
  return parts.join(", ") || (get("finite") === 1 ? "finite" : "");
}

// Pairs of a word and its text; the first pair is the heading.
function describeItem(view, item) {
  const { P, state } = view;
  const N = P.nodes;
  const i = item.nodes[0];
  if (item.gap || item.cluster !== undefined) {
    const rows = [["", itemName(view, item)]];
    const norms = item.nodes.map((k) => nodeNorm(view, k)).filter((norm) => norm !== null);
    if (norms.length) rows.push(["gradient norms", norms.some(Number.isNaN) ? "some are NaN" : rangeText(Math.min(...norms), Math.max(...norms))]);
    rows.push(["", item.gap ? "Click or press Enter to show more of these steps." : "Click or press Enter to open."]);
    return rows;
  }
  const rows = [["", N.kind[i] === "op" || N.kind[i] === "group" ? N.label[i] : `${N.kind[i]} ${N.label[i]}`]];
  if (N.name[i] && N.name[i] !== N.label[i]) rows.push(["name", N.name[i]]);
  if (N.scope[i]) rows.push(["scope", N.scope[i]]);
  if (placeText(view, i)) rows.push(["place", placeText(view, i)]);
  if (N.detail[i]) rows.push(["call", N.detail[i]]);
  if (N.type[i]) rows.push(["shape", N.type[i]]);
  if (timeText(N, i)) rows.push(["time", `${numberText(1000 * N.seconds[i])} ms, forward and backward`]);
  if (N.value_finite[i] !== null) rows.push(["value", statisticsText(N, "value", i)]);
  if (N.gradient_finite[i] !== null) rows.push(["gradient", statisticsText(N, "gradient", i)]);
  if (N.fault[i]) rows.push(["fault", N.fault[i]]);
  if (N.low[i] !== null) rows.push(["gradient norms", rangeText(N.low[i], N.high[i])]);
  if (N.isState[i] && state.loss !== null) rows.push([`of the loss at step ${stepName(P, P.lossSteps[state.loss])}`, `norm ${numberText(nodeNorm(view, i)) || "not measured"}`]);
  const lane = P.routes.find((one) => one.key === laneKey(N.state[i], N.layer[i], N.reverse[i]));
  if (N.isState[i] && lane && lane.at.has(N.step[i])) {
    const products = lane.rows[lane.at.get(N.step[i])];
    const total = Math.pow(routesNorm(lane, lane.at.get(N.step[i]), new Set()) / lane.scales[lane.at.get(N.step[i])], 2);
    lane.names.forEach((name, a) => {
      let along = 0;
      let place = 0;
      for (let p = 0; p < lane.names.length; p++) for (let q = p; q < lane.names.length; q++, place++) if (p === a || q === a) along += products[place];
      rows.push([`by ${shorten(name, 30)}`, total > 0 ? `share ${percent(along / total)}` : "share undefined: the gradient is 0"]);
    });
    if (state.off.size) rows.push(["by the routes shown", `norm ${numberText(nodeNorm(view, i))}`]);
  }
  return rows;
}

function describeLink(view, link) {
  const { nodes: N, edges: E } = view.P;
  const e = link.edges[0];
  const ends = `${link.a.opens ? itemName(view, link.a) : nodeName(view, E.source[e])} \u2192 ${link.b.opens ? itemName(view, link.b) : nodeName(view, E.target[e])}`;
  const rows = [["", ends]];
  const count = link.edges.reduce((sum, k) => sum + E.count[k], 0);
  rows.push(count > 1 ? ["edges", String(count)] : ["slot", String(E.slot[e])]);
  if (E.type[e]) rows.push(["shape", E.type[e]]);
  if (E.route[e]) rows.push(["route", E.route[e]]);
  const norm = linkNorm(view, link);
  if (norm !== null) {
    const chosen = view.state.loss !== null || (view.state.off.size && norm !== E.norm[e]);
    rows.push([chosen ? "gradient that arrives" : "adds a gradient", `norm ${numberText(norm)}`]);
  }
  if (link.edges.length === 1) {
    if (E.norm[e] !== null && E.share[e] !== null && view.state.loss === null) rows.push(["share of it", `${percent(E.share[e])} of the gradient of ${shorten(N.label[E.source[e]], 30)}`]);
    else if (E.norm[e] !== null && E.share[e] === null && N.gradient_norm[E.source[e]] === 0) rows.push(["share of it", "undefined: the gradient is 0"]);
    const middle = E.median[e] === null ? "" : `, median ${numberText(E.median[e])}`;
    if (E.low[e] !== null) rows.push(["single norms", `${rangeText(E.low[e], E.high[e])}${middle}`]);
  }
  rows.push(["", "Click to jump to the other end."]);
  return rows;
}

function fillCard(card, rows) {
  card.textContent = "";
  const [first, ...rest] = rows;
  card.appendChild(make("strong", { dir: "auto" }, shorten(first[1], 160)));
  const list = make("dl");
  rest.filter(([word]) => word).forEach(([word, text]) => list.append(make("dt", {}, word), make("dd", { dir: "auto" }, shorten(text, 200))));
  card.appendChild(list);
  rest.filter(([word]) => !word).forEach(([, text]) => card.appendChild(make("p", { class: "hint" }, text)));
}
