// The picture of single boxes: positions from the data, with scopes that close into one box.
// What a closed scope leaves empty is taken out, so the rest moves together and stays in order.

function insideClosed(P, state, cluster) {
  let closed = -1;
  for (let c = cluster; c >= 0; c = P.boxes.cluster_parents[c]) if (state.closed.has(c)) closed = c;
  return closed;
}

function boxesLayout(P, state) {
  const B = P.boxes;
  const N = P.nodes;
  const items = [];
  const byNode = new Array(N.n).fill(null);
  const closed = new Map();
  for (let i = 0; i < N.n; i++) {
    const c = insideClosed(P, state, B.cluster[i]);
    const [x, y, w, h] = B.places[i];
    if (c < 0) {
      byNode[i] = { key: `n${i}`, nodes: [i], x, y, w, h };
      items.push(byNode[i]);
    } else {
      if (!closed.has(c)) closed.set(c, { key: `c${c}`, nodes: [], cluster: c, extent: [x, x, y, y] });
      const item = closed.get(c);
      item.nodes.push(i);
      item.extent = [Math.min(item.extent[0], x - w / 2), Math.max(item.extent[1], x + w / 2), Math.min(item.extent[2], y - h / 2), Math.max(item.extent[3], y + h / 2)];
      byNode[i] = item;
    }
  }
  for (const item of closed.values()) {
    const [left, right, top, bottom] = item.extent;
    const name = shorten(B.cluster_names[item.cluster], 40);
    Object.assign(item, { x: (left + right) / 2, y: (top + bottom) / 2, w: Math.max(84, 6.4 * name.length + 34), h: 36 });
    items.push(item);
  }
  let clusters = openClusters(P, state, items);
  let [mapX, mapY] = [(x) => x, (y) => y];
  if (closed.size) {
    mapX = closing(items, clusters, 0, 26);
    mapY = closing(items, clusters, 1, 46);
    items.forEach((item) => { [item.x, item.y] = [mapX(item.x), mapY(item.y)]; });
    clusters = openClusters(P, state, items);
  }
  return { items, links: boxLinks(P, byNode, mapX, mapY), texts: [], byNode, columns: [], clusters };
}

// Boxes around the visible nodes of every open scope, inner ones inside outer ones.
function openClusters(P, state, items) {
  const B = P.boxes;
  const found = new Map();
  const widen = (c, x0, x1, y0, y1) => {
    if (!found.has(c)) found.set(c, { id: c, x0, x1, y0, y1 });
    const box = found.get(c);
    Object.assign(box, { x0: Math.min(box.x0, x0), x1: Math.max(box.x1, x1), y0: Math.min(box.y0, y0), y1: Math.max(box.y1, y1) });
  };
  items.forEach((item) => {
    const c = item.cluster === undefined ? B.cluster[item.nodes[0]] : B.cluster_parents[item.cluster];
    if (c >= 0) widen(c, item.x - item.w / 2, item.x + item.w / 2, item.y - item.h / 2, item.y + item.h / 2);
  });
  // Parents come before their children in the data, so the last ones are the innermost.
  for (let c = B.cluster_names.length - 1; c >= 0; c--) {
    const box = found.get(c);
    if (!box) continue;
    const name = shorten(B.cluster_names[c], 44);
    Object.assign(box, { name, x0: box.x0 - 7, x1: box.x1 + 7, y0: box.y0 - 17, y1: box.y1 + 7 });
    box.x1 = Math.max(box.x1, box.x0 + 5.4 * name.length + 30);
    const parent = B.cluster_parents[c];
    if (parent >= 0) widen(parent, box.x0, box.x1, box.y0, box.y1);
  }
  return [...found.values()].sort((a, b) => a.id - b.id);
}

// A map of one axis that keeps what is filled, and shortens what is empty to `most`.
function closing(items, clusters, axis, most) {
  const spans = items.map((item) => (axis ? [item.y - item.h / 2, item.y + item.h / 2] : [item.x - item.w / 2, item.x + item.w / 2]));
  if (axis) clusters.forEach((box) => spans.push([box.y0, box.y0 + 17]));
  spans.sort((a, b) => a[0] - b[0]);
  const knots = [];
  let end = spans.length ? spans[0][0] : 0;
  let removed = 0;
  spans.forEach(([from, to]) => {
    if (from - end > most) {
      knots.push([end, end - removed], [from, from - removed - (from - end - most)]);
      removed += from - end - most;
    }
    end = Math.max(end, to);
  });
  return (value) => {
    let shift = 0;
    for (let k = 0; k < knots.length; k += 2) {
      const [[a, ma], [b, mb]] = [knots[k], knots[k + 1]];
      if (value >= b) shift = mb - b;
      else if (value > a) return ma + ((value - a) * (mb - ma)) / (b - a);
    }
    return value + shift;
  };
}

// Graphviz leaves room for heads as wide as their pens; these heads are smaller and go on to the box.
function touching(points, item) {
  if (points.length < 2) return points;
  const [tip, before] = [points[points.length - 1], points[points.length - 2]];
  const length = Math.hypot(tip[0] - before[0], tip[1] - before[1]) || 1;
  const [dx, dy] = [(tip[0] - before[0]) / length, (tip[1] - before[1]) / length];
  for (let more = 0; more <= 14; more += 0.5) {
    const [x, y] = [tip[0] + more * dx, tip[1] + more * dy];
    if (Math.abs(x - item.x) <= item.w / 2 && Math.abs(y - item.y) <= item.h / 2) return [...points.slice(0, -1), [x, y]];
  }
  return points;
}

function boxLinks(P, byNode, mapX, mapY) {
  const { edges: E, boxes: B } = P;
  const merged = new Map();
  for (let e = 0; e < E.n; e++) {
    const [a, b] = [byNode[E.source[e]], byNode[E.target[e]]];
    if (a === b) continue;
    const whole = a.cluster === undefined && b.cluster === undefined;
    const key = whole ? `e${e}` : `${a.key}>${b.key}`;
    if (!merged.has(key)) merged.set(key, { key, a, b, edges: [], whole });
    merged.get(key).edges.push(e);
  }
  const links = [...merged.values()];
  links.forEach((link) => {
    const [fore, back, at] = B.lines[link.edges[0]];
    const pairs = (flat) => flat.reduce((list, _, i) => (i % 2 ? list : [...list, [mapX(flat[i]), mapY(flat[i + 1])]]), []);
    if (link.whole) {
      Object.assign(link, { fore: pairs(fore), back: touching(pairs(back), link.a), at: at ? [mapX(at[0]), mapY(at[1])] : null });
      return;
    }
    const { a, b } = link;
    const down = b.y >= a.y;
    const x = (one, other) => clamp(other.x, one.x - one.w / 4, one.x + one.w / 4);
    const from = [x(a, b), a.y + ((down ? 1 : -1) * a.h) / 2];
    const to = [x(b, a), b.y - ((down ? 1 : -1) * b.h) / 2];
    const shifted = (curve, dx) => curve.map(([px, py]) => [px + dx, py]);
    Object.assign(link, { fore: shifted(bent(from, to), 5), back: shifted(bent(to, from), -4), at: [(from[0] + to[0]) / 2 + 22, (from[1] + to[1]) / 2] });
  });
  return links;
}
