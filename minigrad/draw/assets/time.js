// The layout of the picture of an unrolled network, for any choice of time steps.
// Heights come with the data; columns move as steps are left out or shown again. The y axis
// points up in here and is turned at the end.

function timeColumns(P, shown) {
  const T = P.time;
  if (!T.read) {
    const steps = unpack(T.columns, 0);
    const count = steps.length || 1;
    T.read = {
      steps: T.columns.all === undefined ? steps : [T.columns.all],
      lasts: unpack(T.lasts, count), elided: unpack(T.elided, count), widths: unpack(T.widths, count),
      slot: unpack(T.slot, P.nodes.n),
    };
    T.byStep = new Map(T.read.steps.map((step, i) => [step, i]));
  }
  const { steps, lasts, elided, widths } = T.read;
  const reverse = T.bands.some((band) => band.reverse);
  const columns = [];
  let x = T.start;
  for (let i = 0; i < steps.length; i++) {
    let to = i;
    const start = axisStart(P, steps[i]);
    while (to < steps.length && !shown.has(steps[to]) && axisStart(P, steps[to]) === start) to++;
    const isGap = to - i >= 2;
    const wide = isGap || elided[i];
    if (wide && columns.length) x += T.gap_room;
    else if (i && axisStart(P, steps[i - 1]) !== start) x += T.gap_room;
    const width = wide ? T.gap_width : widths[i];
    const end = isGap ? to - 1 : i;
    columns.push({
      step: steps[i], last: lasts[end], from: i, to: end, gap: isGap, wide, width, x: x + width / 2,
      key: isGap ? `gap${i}-${end}` : `s${steps[i]}`,
    });
    x += width + T.room + (wide && reverse ? T.gap_room : 0);
    i = end;
  }
  return columns;
}

function timeLayout(P, state) {
  const T = P.time;
  const N = P.nodes;
  const columns = timeColumns(P, state.shown);
  const columnOf = [];
  columns.forEach((column) => { for (let i = column.from; i <= column.to; i++) columnOf[i] = column; });
  const items = [];
  const byNode = new Array(N.n).fill(null);
  const gaps = new Map();
  const bars = [];
  const bandOf = (i) => T.bands.find((band) => band.layer === (N.layer[i] || 0) && band.reverse === N.reverse[i]);
  for (let i = 0; i < N.n; i++) {
    const slot = T.slots[T.read.slot[i]];
    if (!slot) continue;
    const [dx, y, w, h, bar] = slot;
    if (bar) { bars.push(i); continue; }
    const column = columnOf[T.byStep.get(N.step[i])];
    if (!column.gap) {
      byNode[i] = { key: `n${i}`, nodes: [i], x: column.x + dx, y, w, h, column, band: N.layer[i] === null && !N.isState[i] ? null : bandOf(i) };
      items.push(byNode[i]);
      continue;
    }
    const inBand = N.layer[i] !== null || N.isState[i];
    const lane = N.isState[i] ? laneKey(N.state[i], N.layer[i], N.reverse[i]) : inBand ? `${N.layer[i]}/${N.reverse[i]}` : y;
    const key = `${column.key}:${lane}`;
    if (!gaps.has(key)) {
      const item = { key, nodes: [], x: column.x, y, w: column.width, h, column, gap: true, band: inBand ? bandOf(i) : null };
      if (N.isState[i]) item.h = 18;
      gaps.set(key, item);
      items.push(item);
    }
    gaps.get(key).nodes.push(i);
    byNode[i] = gaps.get(key);
  }
  placeBars(P, bars, byNode, items, columns);
  placeParameters(P, byNode, items);
  const pills = new Map();
  items.forEach((item) => {
    if (N.kind[item.nodes[0]] === "state" && !item.gap) {
      const i = item.nodes[0];
      pills.set(laneKey(N.state[i], N.layer[i], N.reverse[i]) + N.step[i], item);
    }
  });
  const links = timeLinks(P, byNode, { T, columns, pills });
  const texts = timeTexts(P, columns);
  items.forEach((item) => { item.y = -item.y; });
  return { items, links, texts, byNode, columns, clusters: [] };
}

// Boxes that belong to no single step reach over all that they read.
function placeBars(P, bars, byNode, items, columns) {
  const { nodes: N, edges: E, time: T } = P;
  const slot = (i) => T.slots[T.read.slot[i]];
  const first = columns.length ? columns[0].x : 0;
  const last = columns.length ? columns[columns.length - 1].x : 0;
  bars.sort((a, b) => slot(a)[1] - slot(b)[1]).forEach((i) => {
    const [, y, , h] = slot(i);
    const near = N.into[i].map((e) => byNode[E.source[e]]).filter((item) => item);
    const left = near.length ? Math.min(...near.map((item) => item.x - item.w / 2)) : first - T.cell_width / 2;
    const right = near.length ? Math.max(...near.map((item) => item.x + item.w / 2)) : last + T.cell_width / 2;
    const w = Math.max(right - left, 2 * T.cell_width);
    byNode[i] = { key: `n${i}`, nodes: [i], x: (left + right) / 2, y, w, h, bar: true, column: null, band: null };
    items.push(byNode[i]);
  });
}

// Parameters are lines of text at the left of the band that uses them.
function placeParameters(P, byNode, items) {
  const T = P.time;
  const add = (list, top) => list.forEach((i, row) => {
    byNode[i] = { key: `n${i}`, nodes: [i], x: -76, y: top - 14 * row, w: 132, h: 13, tag: true, column: null, band: null };
    items.push(byNode[i]);
  });
  T.bands.forEach((band) => add(band.parameters, band.bottom + band.height / 2 + 7 * (band.parameters.length - 1) - 12));
  add(T.free_parameters, T.top - 6);
}

function timeTexts(P, columns) {
  const { time: T, nodes: N } = P;
  const texts = columns.map((column) => ({
    key: column.key, x: column.x, y: -T.axis + 4, size: 10, anchor: "middle", faint: true, column,
    text: `${stepsName(P, column.step, column.last)}${column.last === column.step && P.readings[column.step] ? `: ${P.readings[column.step]}` : ""}`,
  }));
  texts.forEach((text) => {
    if (text.column.width > 0) return;
    // A column of initial states alone has its states beside its centre.
    text.x += T.room / 2;
  });
  T.bands.forEach((band) => {
    const cell = N.kind.findIndex((kind, i) => !N.isState[i] && N.layer[i] === band.layer && N.reverse[i] === band.reverse && kind !== "parameter");
    const any = N.isState.findIndex((yes, i) => yes && (N.layer[i] || 0) === band.layer && N.reverse[i] === band.reverse && N.type[i]);
    const lines = [band.title];
    if (cell >= 0 || any >= 0) lines.push([cell >= 0 ? shorten(N.label[cell], 14) : "", any >= 0 ? N.type[any] : ""].join(" ").trim());
    const top = -(band.bottom + band.height / 2) - 7 * band.parameters.length - 5 * lines.length + 4;
    lines.forEach((line, row) => texts.push({ x: -142, y: top + 14 * row, size: row ? 9 : 12, anchor: "start", faint: row > 0, text: line, bold: !row }));
  });
  return texts;
}

function timeLinks(P, byNode, grid) {
  const { edges: E } = P;
  const merged = new Map();
  for (let e = 0; e < E.n; e++) {
    const [a, b] = [byNode[E.source[e]], byNode[E.target[e]]];
    if (!a || !b || a === b || a.tag || b.tag) continue;
    const key = a.gap || b.gap ? `${a.key}>${b.key}` : `e${e}`;
    if (!merged.has(key)) merged.set(key, { key, a, b, edges: [] });
    merged.get(key).edges.push(e);
  }
  const siblings = new Map();
  const links = [];
  for (const link of merged.values()) {
    const ends = `${link.a.key}>${link.b.key}`;
    const sibling = siblings.get(ends) || 0;
    siblings.set(ends, sibling + 1);
    const way = routeInTime(P, link.a, link.b, sibling, grid);
    if (way) links.push(Object.assign(link, way));
  }
  const flip = (points) => points.map(([x, y]) => [x, -y]);
  links.forEach((link) => {
    link.fore = flip(link.fore);
    link.back = flip(link.back);
    if (link.at) link.at = [link.at[0], -link.at[1]];
  });
  return links;
}
